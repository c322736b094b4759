"""The file of a Flex template: compared with a golden one, and in step with the Dockerfile."""

from __future__ import annotations

import json
import os
import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from alphabeam.pipelines import flex_launch, flex_template
from alphabeam.pipelines.command import main

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("flex_template.json")
IMAGE = "europe-west1-docker.pkg.dev/my-project/shop/alphabeam:1"


def test_it_is_the_golden_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "alphabeam.json"
    assert main(["template", str(to), "--image", IMAGE]) == 0
    assert capsys.readouterr().out == f"template: {to}\n"
    text = to.read_text().replace(metadata.version("alphabeam"), "VERSION")
    if os.environ.get("ALPHABEAM_GOLDEN"):  # set it to write the file anew
        GOLDEN.write_text(text)
    assert json.loads(text) == json.loads(GOLDEN.read_text())


def test_a_store_that_refuses_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["template", "nowhere://b/a.json", "--image", IMAGE]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("template: ")


def test_parameters_take_what_they_should() -> None:
    found = flex_template.specification(IMAGE)["metadata"]["parameters"]
    regex = {one["name"]: re.compile(one["regexes"][0]) for one in found}
    assert regex["job"].fullmatch("gs://my-bucket/jobs/shoes.yaml")
    assert not regex["job"].fullmatch("/home/me/shoes.yaml")
    assert regex["workers"].fullmatch("20") and not regex["workers"].fullmatch("0")
    assert [one["name"] for one in found if not one["isOptional"]] == ["job"]


def test_parameters_become_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "shoes.yaml"
    job.write_text(yaml.safe_dump({"input": {"manifest": "gs://a/m.csv"}}))
    seen: list[str] = []

    def run(arguments: list[str]) -> int:
        seen.extend([Path(arguments[0]).read_text(), *arguments[1:]])
        assert Path(arguments[0]).name == "shoes.yaml", "the job is called after its file"
        return 3

    monkeypatch.setattr("alphabeam.pipelines.flex_launch.main", run)
    given = [f"--job={job}", "--output=gs://a/b c", "--sdk_container_image=i:1", "--region=r"]
    assert flex_launch.launch(given) == 3
    assert seen == [
        job.read_text(), "--quiet", "--set", "engine.wait=false",
        "--set", 'output.directory="gs://a/b c"', "--set", 'engine.image="i:1"', "--", "--region=r",
    ]  # fmt: skip


def test_the_image_starts_the_launch() -> None:
    text = (ROOT / "Dockerfile").read_text()
    (program,) = re.findall(r"^ENV FLEX_TEMPLATE_PYTHON_PY_FILE=(\S+)$", text, re.MULTILINE)
    (copied,) = re.findall(rf"^COPY (\S+) {program}$", text, re.MULTILINE)
    assert (ROOT / copied).resolve() == Path(flex_launch.__file__).resolve()
