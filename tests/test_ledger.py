"""Resuming: nothing that is finished is done again, and nothing that changed is passed over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import Shop, tiny_onnx

FillShop = Callable[..., Shop]

# What is the same after a kill and a resume as after a run that nobody disturbed.
TIMELESS = (
    "id", "image", "status", "line", "backend", "cutout", "mask", "width", "height",
    "source_sha256", "model_sha256", "subject_box", "coverage", "confidence", "fingerprint",
    "task_uid", "request_uuid", "attempts", "extra",
)  # fmt: skip


def timeless(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {id: {name: row[name] for name in TIMELESS} for id, row in rows.items()}


def runs(shop: Shop) -> dict[str, str]:
    return {id: row["run_id"] for id, row in shop.rows().items()}


def redone(shop: Shop, *arguments: str) -> set[str]:
    """Runs the job; the ids of the rows that were worked on."""
    before = runs(shop)
    assert shop.run(*arguments) == 0
    after = runs(shop)
    return {id for id in after if after[id] != before.get(id)}


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(filled_shop: FillShop) -> None:
    shop = filled_shop(3)
    assert shop.run() == 0
    files = {path: path.stat().st_mtime_ns for path in shop.out.rglob("*.png")}
    rows = timeless(shop.rows())
    assert redone(shop) == set()
    assert timeless(shop.rows()) == rows
    assert {path: path.stat().st_mtime_ns for path in shop.out.rglob("*.png")} == files


@pytest.mark.slow
def test_what_changed_is_done_again(filled_shop: FillShop, tmp_path: Path) -> None:
    shop = filled_shop(3)
    assert shop.run() == 0
    everything = {f"images/p{n}" for n in range(3)}

    shop.picture("images/p1.png", 99)
    os.utime(shop.folder / "images/p1.png", ns=(1, 1))
    assert redone(shop) == {"images/p1"}, "another source"

    assert redone(shop, "--set", "matting.erode_size=3") == everything, "another parameter"
    shop.manifest("image,sku,erode_size\nimages/p0.png,S0,3\nimages/p1.png,S1,3\n"
                  "images/p2.png,S2,4\n")  # fmt: skip
    assert redone(shop, "--set", "matting.erode_size=3") == {"images/p2"}, "another row parameter"

    shop.manifest("image,new\nimages/p2.png,b\nimages/p1.png,a\n")
    assert redone(shop, "--set", "matting.erode_size=3") == {"images/p2"}
    rows = shop.rows()
    assert set(rows) == {"images/p1", "images/p2"}, "only what the manifest has"
    assert rows["images/p1"]["extra"] == [("new", "a")] and rows["images/p1"]["line"] == 3

    (shop.out / "cutouts/images/p1.png").unlink()
    assert redone(shop, "--set", "matting.erode_size=3") == {"images/p1"}, "a deleted cutout"
    (shop.out / "masks/images/p2.png").unlink()
    assert redone(shop, "--set", "matting.erode_size=3") == {"images/p2"}, "a deleted mask"

    model = tmp_path / "other" / "tiny.onnx"
    model.parent.mkdir()
    model.write_bytes(tiny_onnx(19.0))
    model.with_suffix(".json").write_text('{"input_size": 64}')
    both = {"images/p1", "images/p2"}
    other = ("--set", f"backend.model={model}", "--set", "matting.erode_size=3")
    assert redone(shop, *other) == both, "another model"
    assert redone(shop, *other) == set()
    assert redone(shop, "--fresh", *other) == both


def test_a_failure_is_tried_again(filled_shop: FillShop) -> None:
    shop = filled_shop(2)
    (shop.folder / "images/p1.png").unlink()
    assert shop.run() == 3
    assert shop.rows()["images/p1"]["error_code"] == "not_found"
    shop.picture("images/p1.png", 1)
    assert redone(shop) == {"images/p1"}
    assert not (shop.out / "failures.jsonl").exists()


def test_two_ids_of_one_image_are_each_done_once(shop: Shop) -> None:
    shop.picture("p.png")
    shop.manifest("image,id\np.png,a\np.png,b\n")
    shop.write_job()
    assert shop.run() == 0
    files = {path: path.stat().st_mtime_ns for path in shop.out.rglob("cutouts/*")}
    assert redone(shop) == set()
    assert {path: path.stat().st_mtime_ns for path in shop.out.rglob("cutouts/*")} == files
    rows = shop.rows()
    assert [rows[id]["cutout"] for id in "ab"] == ["cutouts/a.png", "cutouts/b.png"]
    assert rows["a"]["task_uid"] == rows["b"]["task_uid"]


DRIVER = """
import os, signal, sys
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from alphabeam import (LocalBackend, ReadImages, ReadManifest, RemoveBackground, SkipFinished,
                       WriteCutouts, WriteMetadata)
from alphabeam.transforms.metadata import groups

manifest, out, model, kill_after = sys.argv[1:]
groups._GROUP_ROWS = 4
count = 0

def on_row(row):
    global count
    count += 1
    if count > int(kill_after):
        os.kill(os.getpid(), signal.SIGKILL)

backend = LocalBackend(model, threads=2)
with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
    (p | ReadManifest(manifest, redistribute=False) | SkipFinished(out, backend) | ReadImages()
       | RemoveBackground(backend) | WriteCutouts(out)
       | WriteMetadata(out, "killed", on_row=on_row))
"""


@pytest.mark.slow
def test_a_killed_run_started_again_redoes_nothing_that_the_ledger_holds(
    filled_shop: FillShop, tmp_path: Path
) -> None:
    shop = filled_shop(15)
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent / "src")}
    killed = subprocess.run(
        [sys.executable, str(tmp_path / "driver.py"), str(shop.folder / "manifest.csv"),
         str(shop.out), shop.model, "10"],
        env=environment, capture_output=True, timeout=120,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert not (shop.out / "metadata").exists()
    assert len(list((shop.out / "ledger/rows/killed").iterdir())) == 2  # groups of 4 rows
    assert shop.run() == 0
    resumed = shop.rows()
    assert sum(row["run_id"] == "killed" for row in resumed.values()) == 8
    outputs = shop.files("cutouts", "masks")
    assert len(outputs) == 30

    undisturbed = Shop(shop.folder, shop.model)
    undisturbed.out = shop.folder / "calm"
    assert undisturbed.run("--set", "output.directory=calm") == 0
    assert timeless(resumed) == timeless(undisturbed.rows())
    assert outputs == undisturbed.files("cutouts", "masks")


def test_a_broken_group_of_the_ledger_is_named(filled_shop: FillShop, capsys: Any) -> None:
    shop = filled_shop(1)
    group = shop.out / "ledger" / "rows" / "r0" / "x.parquet"
    group.parent.mkdir(parents=True)
    group.write_bytes(b"PAR1 broken")
    assert shop.run() == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "x.parquet" in line


@pytest.mark.parametrize("format", ["png", "webp"])
def test_an_other_cutout_format_is_written(filled_shop: FillShop, format: str) -> None:
    shop = filled_shop(1, output={"cutout_format": format})
    assert shop.run() == 0
    assert shop.rows()["images/p0"]["cutout"] == f"cutouts/images/p0.{format}"
    data = (shop.out / f"cutouts/images/p0.{format}").read_bytes()
    assert data.startswith(b"\x89PNG" if format == "png" else b"RIFF")


def test_a_run_over_a_part_of_the_catalogue_leaves_the_rest_finished(filled_shop: FillShop) -> None:
    shop = filled_shop(3)
    (shop.folder / "images/p1.png").unlink()
    assert shop.run() == 3
    first = runs(shop)
    shop.picture("images/p1.png", 1)
    assert shop.run("--set", f"input.manifest={shop.out / 'failures.jsonl'}") == 0
    second = runs(shop)
    assert set(second) == {"images/p1"} and second["images/p1"] != first["images/p1"]
    assert shop.run() == 0
    assert runs(shop) == {**first, **second}, "the others were carried over in the ledger"


def test_outputs_follow_a_new_id_or_format_without_being_made_again(shop: Shop) -> None:
    shop.picture("p.png")
    shop.manifest("image,id\np.png,old\n")
    shop.write_job()
    assert shop.run() == 0
    (first,) = runs(shop).values()
    shop.manifest("image,id\np.png,new\n")
    assert shop.run() == 0
    assert runs(shop) == {"new": first}
    cutouts = shop.files("cutouts")
    assert cutouts["cutouts/new.png"] == cutouts["cutouts/old.png"]
    assert redone(shop, "--set", "output.cutout_format=webp") == set()
    assert shop.rows()["new"]["cutout"] == "cutouts/new.webp"
    png, webp = (
        cv2.imread(str(shop.out / f"cutouts/new.{kind}"), cv2.IMREAD_UNCHANGED)
        for kind in ("png", "webp")
    )
    assert np.array_equal(png, webp)
