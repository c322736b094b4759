"""Every example does what it says."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image

from alphabeam.transforms.picpik.emulator import running_emulator
from tests.conftest import Shop
from tests.picpik_jobs import PicpikShop

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def statuses(directory: Path) -> dict[str, str]:
    table = ds.dataset(directory / "metadata").to_table(columns=["id", "status"])
    return {row["id"]: row["status"] for row in table.to_pylist()}


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((EXAMPLES / "before_and_after.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    monkeypatch.chdir(EXAMPLES)
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "before_and_after.ipynb", "exec"), names)
    shown = names["before_and_after"]
    assert isinstance(shown, Image.Image) and shown.height == 180
    pixels = np.asarray(shown)
    part = shown.width // 4
    # The corner of the photo is grey, of the mask black, of the cutouts the new background.
    corners = [tuple(pixels[2, number * part + 4]) for number in range(4)]
    assert corners[1:] == [(0, 0, 0), (255, 255, 255), (32, 96, 96)]
    assert corners[0] not in corners[1:]
    outputs = [o for c in notebook["cells"] for o in c.get("outputs", ())]
    pictures = [o["data"]["image/jpeg"] for o in outputs if "image/jpeg" in o.get("data", {})]
    assert len(pictures) == 1 and len(pictures[0]) < 100_000
    assert not any(o["output_type"] == "error" for o in outputs)


@pytest.mark.slow
def test_a_pipeline_of_ones_own(shop: Shop) -> None:
    shop.picture("a.png")
    shop.manifest("image\na.png\nnone.png\n")
    run("examples/own_pipeline.py", shop.folder / "manifest.csv", shop.out, "--model", shop.model)
    assert statuses(shop.out) == {"a": "done", "none": "failed"}
    with Image.open(shop.out / "previews/a.jpg") as preview:
        assert preview.size == (80, 60) and min(preview.getpixel((1, 1))) > 250
    assert not (shop.out / "previews/none.jpg").exists()
    (review,) = shop.out.glob("review*.tsv")
    assert "none\t" in review.read_text(encoding="utf-8")


needs_yaml = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("jinja2", "docstring_parser", "pandas")),
    reason="Beam YAML needs apache-beam[yaml]",
)


def run_yaml(name: str, **variables: str) -> str:
    variables["providers"] = run("-m", "alphabeam.pipelines.beam_yaml").strip()
    return run(
        *("-m", "apache_beam.yaml.main", f"--yaml_pipeline_file={EXAMPLES / name}"),
        *("--runner=FnApiRunner", "--jinja_variables", json.dumps(variables)),
    )


@pytest.mark.slow
@needs_yaml
def test_the_beam_yaml_file(shop: Shop) -> None:
    shop.picture("a.png")
    shop.picture("b.png", 1)
    shop.manifest("image,id\na.png,A\nb.png,B\nnone.png,C\n")
    manifest, out = str(shop.folder / "manifest.csv"), str(shop.out)
    backend = json.dumps({"model": shop.model})
    run_yaml("catalogue.yaml", manifest=manifest, output=out, backend=backend, keep="id != 'B'")
    assert statuses(shop.out) == {"A": "done", "C": "failed"}
    assert (shop.out / "cutouts/A.png").exists() and (shop.out / "masks/A.png").exists()


@pytest.mark.slow
@pytest.mark.servers
@needs_yaml
def test_the_one_step_of_beam_yaml_by_the_api(tmp_path: Path) -> None:
    with running_emulator() as emulator:
        shop = PicpikShop(tmp_path, emulator)
        shop.fill(2)
        run_yaml(
            "one_step.yaml",
            manifest=str(shop.folder / "manifest.csv"),
            output=str(shop.out),
            endpoint=emulator.endpoint,
            public_key=f"${{file:{shop.folder}/public_key}}",
            private_key=f"${{file:{shop.folder}/private_key}}",
        )
        assert emulator.billed == 2
    assert set(statuses(shop.out).values()) == {"done"} and len(statuses(shop.out)) == 2
