"""The whole way of an image, from the manifest to the metadata, on Beam's FnApiRunner."""

from __future__ import annotations

import base64
import bz2
import contextlib
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from alphabeam.transforms.metadata import SCHEMA
from tests.conftest import Shop, encoded, product

ROOT = Path(__file__).parent.parent
FillShop = Callable[..., Shop]


def test_outputs_are_in_place(filled_shop: FillShop) -> None:
    shop = filled_shop(3)
    assert shop.run() == 0
    assert set(shop.files("cutouts", "masks")) == {
        f"{folder}/images/p{n}.png" for folder in ("cutouts", "masks") for n in range(3)
    }
    assert {path.name for path in shop.out.iterdir()} <= {
        "cutouts", "masks", "metadata", "ledger", "report", "summary.json",
    }  # fmt: skip
    for id, row in shop.rows().items():
        cutout = cv2.imread(str(shop.out / row["cutout"]), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(shop.out / row["mask"]), cv2.IMREAD_UNCHANGED)
        assert cutout.shape == (60, 80, 4) and mask.shape == (60, 80)
        assert (cutout[..., 3] == mask).all()
        source = product(int(id[-1]))
        subject = (source < 200).all(-1)
        assert mask[subject].mean() > 240 and mask[~subject].mean() < 12, "the subject, alone"
        solid = mask == 255
        assert solid.sum() > 0.5 * subject.sum()
        shift = np.abs(cutout[..., 2::-1][solid].astype(int) - source[solid])
        assert np.median(shift) <= 2, "the subject's own colours"
        left, top, right, bottom = row["subject_box"]
        assert not mask[:top].any() and not mask[:, :left].any()
        assert not mask[bottom:].any() and not mask[:, right:].any()
        assert row["coverage"] == pytest.approx(mask.mean() / 255, abs=1e-4)
        assert row["run_id"] and row["finished_at"] and row["attempts"] == 1
        assert min(row["read_ms"], row["remove_ms"], row["write_ms"]) > 0


def test_only_mask(filled_shop: FillShop) -> None:
    shop = filled_shop(2, matting={"only_mask": True})
    assert shop.run() == 0
    assert set(shop.files("masks")) == {"masks/images/p0.png", "masks/images/p1.png"}
    assert not (shop.out / "cutouts").exists()
    assert [row["cutout"] for row in shop.rows().values()] == [None, None]


def test_the_same_bytes_from_run_to_run(filled_shop: FillShop) -> None:
    shop = filled_shop(4)
    assert shop.run() == 0
    first = shop.files("cutouts", "masks")
    assert shop.run("--fresh") == 0
    assert shop.files("cutouts", "masks") == first
    for row in shop.rows().values():
        assert row["attempts"] == 1


def test_bundles_that_run_twice_give_each_output_once(filled_shop: FillShop) -> None:
    shop = filled_shop(5)
    (shop.folder / "images/p4.png").unlink()
    assert shop.run("--", "--direct_runner_bundle_repeat=0") == 3
    once, rows = shop.files("cutouts", "masks"), shop.rows()
    shop.out = shop.folder / "twice"
    assert shop.run("--set", "output.directory=twice", "--", "--direct_runner_bundle_repeat=2") == 3
    assert shop.files("cutouts", "masks") == once
    twice = shop.rows()
    timing = {"read_ms", "remove_ms", "write_ms", "finished_at", "run_id"}
    for id, row in rows.items():
        assert {k: v for k, v in row.items() if k not in timing} == {
            k: v for k, v in twice[id].items() if k not in timing
        }
    assert (shop.out / "failures.jsonl").read_text().count("\n") == 1


@pytest.mark.slow
def test_two_processes(filled_shop: FillShop) -> None:
    shop = filled_shop(6, engine={"processes": 2, "threads": 1})
    assert shop.run() == 0
    assert len(shop.rows()) == 6
    many = shop.files("cutouts", "masks")
    shop.out = shop.folder / "one"
    assert shop.run("--set", "output.directory=one", "--set", "engine.processes=1") == 0
    assert shop.files("cutouts", "masks") == many


def test_datasets_read_the_metadata_with_every_column_typed(filled_shop: FillShop) -> None:
    shop = filled_shop(2)
    assert shop.run() == 0
    dataset = ds.dataset(shop.out / "metadata", format="parquet", exclude_invalid_files=True)
    assert dataset.schema.equals(SCHEMA)
    assert not [field for field in dataset.schema if pa.types.is_null(field.type)]
    (run,) = (shop.out / "metadata").iterdir()
    assert (run / "_SUCCESS").is_file()
    table = dataset.to_table(filter=ds.field("coverage") > 0, columns=["id", "task_uid"])
    assert table.num_rows == 2
    assert all(len(uid) == 20 for uid in table["task_uid"].to_pylist())


@pytest.mark.slow
def test_manifests_of_every_kind_give_the_same_cutouts(shop: Shop) -> None:
    import json

    import pyarrow.parquet as pq

    names = [shop.picture(f"images/p{n}.png", n) for n in range(2)]
    shop.manifest("image\n" + "\n".join(names))
    shop.manifest("".join(json.dumps({"image": name}) + "\n" for name in names), "m.jsonl")
    shop.manifest("\n".join(names), "m.txt")
    pq.write_table(pa.table({"image": names}), shop.folder / "m.parquet")
    shop.write_job()
    outputs = {}
    for manifest in ("manifest.csv", "m.jsonl", "m.txt", "m.parquet", "images/*.png", "images"):
        shop.out = shop.folder / f"out-{len(outputs)}"
        assert shop.run("--set", f"input.manifest={manifest}",
                        "--set", f"output.directory={shop.out}") == 0, manifest  # fmt: skip
        outputs[manifest] = sorted(shop.files("cutouts").values())
        assert len(outputs[manifest]) == 2
    assert len({tuple(files) for files in outputs.values()}) == 1


def test_stores_other_than_the_disk(shop: Shop) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for n in range(2):
        memory.pipe_file(f"/catalogue-test/in/p {n}#.png", encoded(product(n)))
    memory.pipe_file("/catalogue-test/in/m.csv", b"image\np 0#.png\np 1#.png\n")
    shop.write_job(
        "memory://catalogue-test/in/m.csv", output={"directory": "memory://catalogue-test/out"}
    )
    assert shop.run() == 0
    found = memory.find("/catalogue-test/out/cutouts")
    assert len(found) == 2 and all(" " not in name and "#" not in name for name in found)
    assert memory.cat_file("/catalogue-test/out/summary.json")
    assert shop.run() == 0


FIVE_LINES = """
import apache_beam as beam
from alphabeam import *
from apache_beam.options.pipeline_options import PipelineOptions

if __name__ == "__main__":
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        (p | ReadManifest({manifest!r}) | ReadImages()
           | RemoveBackground(LocalBackend({model!r})) | WriteCutouts({out!r})
           | WriteMetadata({out!r}, run_id="monday"))
"""

THREE_LINES = """
from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.parameters import MattingParameters
matte = MattingCore({model!r}).remove(image, MattingParameters(erode_size=5))
"""


def run_script(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_transforms_in_another_pipeline(filled_shop: FillShop) -> None:
    shop = filled_shop(2)
    run_script(
        FIVE_LINES.format(
            manifest=str(shop.folder / "manifest.csv"), model=shop.model, out=str(shop.out)
        )
    )
    assert len(shop.files("cutouts", "masks")) == 4
    assert {row["run_id"] for row in shop.rows().values()} == {"monday"}


def test_the_core_in_a_notebook_without_beam(tiny_model: str) -> None:
    script = (
        "import numpy as np, sys\nimage = np.full((40, 60, 3), 250, np.uint8)\n"
        "image[10:30, 15:45] = 40"
        + THREE_LINES.format(model=tiny_model)
        + "print(matte.subject_box, 'apache_beam' in sys.modules)"
    )
    *box, beam = run_script(script).replace("(", "").replace(")", "").replace(",", "").split()
    assert beam == "False"
    assert np.abs(np.array(box, int) - [15, 10, 45, 30]).max() <= 3


def test_public_names_are_there_and_no_others() -> None:
    import alphabeam

    for name in set(alphabeam.__all__) - {"__version__"}:
        assert getattr(alphabeam, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        alphabeam.Nonsense  # noqa: B018


def unpacked(graph: bytes) -> Iterator[bytes]:
    """A graph and what is pickled in it: Beam packs pickles with zlib or bz2, and in base64."""
    yield graph
    for found in re.finditer(rb"[A-Za-z0-9+/]{40,}={0,2}", graph):
        for start in range(4):  # the match may begin with a letter that stands before it
            text = found.group()[start:]
            with contextlib.suppress(ValueError):
                packed = base64.b64decode(text + b"=" * (-len(text) % 4))
                for unpack in (zlib.decompress, bz2.decompress):
                    with contextlib.suppress(zlib.error, OSError, ValueError):
                        yield from unpacked(unpack(packed))


def test_the_graph_pickles_no_session_and_no_secret(
    filled_shop: FillShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import apache_beam as beam

    from alphabeam.pipelines.catalogue import Catalogue
    from alphabeam.pipelines.engines import threads_of
    from alphabeam.pipelines.job_file import load_job

    monkeypatch.setenv("HUSH", "the-secret-itself")
    (tmp_path / "hush").write_text("another-secret\n")
    cookie = f"session=${{file:{tmp_path}/hush}}"
    storage = {
        "s3": {"secret": "${env:HUSH}", "client_kwargs": {"aws_session_token": "${env:HUSH}"}},
        "http": {"headers": {"cdn.example": {"Cookie": cookie}}},
    }
    monkeypatch.setenv("LIST", "https://shop.example/list.csv?X-Amz-Signature=the-secret-itself")
    monkeypatch.setenv("MODEL", "https://me:the-secret-itself@shop.example/own.onnx")
    urls = {"input": {"manifest": "${env:LIST}"}, "backend": {"model": "${env:MODEL}"}}
    shop = filled_shop(1, storage=storage, **urls)
    job = load_job(str(shop.job))
    assert job.input.manifest.startswith("https://shop.example/list.csv?X-Amz")
    assert "the-secret-itself" not in repr(job)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    pipeline | Catalogue(job, "r1", threads_of(job))
    graph = pipeline.to_runner_api().SerializeToString()
    everything = b"".join(unpacked(graph))
    for reference in (b"${env:HUSH}", cookie.encode()):
        assert reference not in graph and reference in everything, "the search finds what is there"
    assert b"the-secret-itself" not in everything and b"another-secret" not in everything
    for part in (b"list.csv", b"own.onnx", b"X-Amz-Signature"):
        assert part not in everything, "a presigned URL stands there as its reference"
    assert b"${env:LIST}" in everything and b"${env:MODEL}" in everything
    assert len(graph) < 500_000
    labels = str(sorted(pipeline.applied_labels))
    for step in ("ReadManifest", "Images", "WriteMetadata"):
        assert f"Catalogue/{step}" in labels
