"""Beam YAML: transforms with plain arguments, checked like a job file, named in one file."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import yaml

from alphabeam import ReadManifest, RemoveBackground, WriteCutouts
from alphabeam.pipelines import beam_yaml
from alphabeam.transforms.backends.cascade import CascadeBackend
from alphabeam.transforms.backends.local import LocalBackend
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.rows import Row


def named() -> dict[str, Any]:
    """The provider file's transforms."""
    (provider,) = yaml.safe_load(beam_yaml.PROVIDERS.read_text(encoding="utf-8"))
    return {
        name: getattr(beam_yaml, path.removeprefix("alphabeam.pipelines.beam_yaml."))
        for name, path in provider["transforms"].items()
    }


def test_the_provider_file_names_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert {one.__name__ for one in named().values()} == {*beam_yaml.__all__} - {"PROVIDERS"}
    runpy.run_module("alphabeam.pipelines.beam_yaml", run_name="__main__")
    assert Path(capsys.readouterr().out.strip()) == beam_yaml.PROVIDERS


@pytest.mark.parametrize("name", named())
def test_every_argument_is_plain_and_documented(name: str) -> None:
    pytest.importorskip("docstring_parser", reason="comes with apache-beam[yaml]")
    pytest.importorskip("pandas", reason="comes with apache-beam[yaml]")
    from apache_beam.yaml.yaml_provider import InlineProvider

    transform = named()[name]
    schema = InlineProvider({name: transform}).config_schema(name)
    assert [field.name for field in schema.fields] == list(inspect.signature(transform).parameters)
    for field in schema.fields:
        assert field.description, field.name
        kind = field.type.WhichOneof("type_info")
        assert kind in ("atomic_type", "array_type", "iterable_type", "map_type"), field.name


def test_sections_of_the_job_file_are_taken(tmp_path: Path) -> None:
    made = beam_yaml.remove_background({"model": "isnet-general-use"})
    assert isinstance(made, RemoveBackground)
    backend = made.stages[0].open.backend
    assert isinstance(backend, LocalBackend) and backend.model == "isnet-general-use"
    made = beam_yaml.remove_background({"kind": "picpik", "max_credits": 5}, str(tmp_path))
    backend = made.stages[0].open.backend
    assert isinstance(backend, PicpikBackend) and backend.max_credits == 5
    section = {"kind": "cascade", "below": 0.7, "flags": ["empty"], "picpik": {"max_tasks": 5}}
    first, second = beam_yaml.remove_background(section, str(tmp_path)).stages
    backend = first.open.backend
    assert isinstance(backend, CascadeBackend) and backend.below == 0.7
    assert backend.flags == ("empty",) and second.open.backend.cascade.picpik.max_tasks == 5
    assert isinstance(beam_yaml.write_cutouts(str(tmp_path), cutout_format="webp"), WriteCutouts)
    reading = beam_yaml.read_manifest("m.csv", matting={"erode_size": 3})
    assert isinstance(reading, ReadManifest)
    pipeline = beam.Pipeline(options=beam.options.pipeline_options.PipelineOptions([]))
    assert (pipeline | reading).element_type is Row


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("ReadManifest", {"manifest": "m.csv", "format": "xls"}, "input.format: input should be"),
        ("RemoveBackground", {"backend": {"modl": "x"}}, "(did you mean 'model'?)"),
        ("RemoveBackground", {"backend": {"kind": "picpik"}}, "output is missing; kind: picpik"),
        ("RemoveBackground", {"backend": {"kind": "cascade"}}, "output is missing; kind: cascade"),
        (
            "RemoveBackground",
            {"backend": {"kind": "cascade", "at_most": "10%"}, "output": "o"},
            "which only a whole job knows (Catalogue); set picpik.max_tasks",
        ),
        (
            "RemoveBackground",
            {"backend": {"kind": "cascade", "local": {"modl": "x"}}, "output": "o"},
            "backend.local.modl: extra inputs are not permitted (did you mean 'model'?)",
        ),
        (
            "RemoveBackground",
            {"backend": {"kind": "cascade", "picpik": {"private_key": "abc"}}, "output": "o"},
            "backend.picpik.private_key: give a reference",
        ),
        ("WriteCutouts", {"output": "out", "names": "any"}, "output.names: input should be"),
        ("ReadImages", {"storage": {"s3": {"secret": "abc"}}}, "a secret is given by reference"),
        ("Catalogue", {"input": {}, "output": {"directory": "o"}}, "input.manifest: is missing"),
    ],
)
def test_a_wrong_argument_is_one_line(name: str, config: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        named()[name](**config)
    (line,) = str(caught.value).splitlines()
    assert says in line and "pipeline.yaml" not in line and "abc" not in line


def test_what_beam_yaml_adds_is_left_out() -> None:
    backend = {"model": "u2net", "__line__": 7, "__uuid__": "x"}
    made = beam_yaml.remove_background(backend)
    assert made.stages[0].open.backend.model == "u2net"
