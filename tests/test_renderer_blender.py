"""The renderer's parts that need Blender's module; skipped where it is not installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip(
    "bpy", reason="needs Python 3.11 with renderer/requirements.txt (Blender's module bpy)"
)

from renderer import __main__ as command
from renderer.blender.settings import SETTING_BUILDERS
from renderer.blender.studio import _stage, _vertices, compose
from renderer.catalogue import read_catalogue
from renderer.pictures import SETTINGS, Camera, Picture, Piece, Setting
from renderer.products import PRODUCTS
from renderer.random_pictures import draw_picture

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = {sample.id: sample for sample in read_catalogue()}
PLAIN = Picture((Piece("mill"),), Setting("sweep"), Camera((64, 64)))


def test_there_is_a_function_for_each_setting() -> None:
    assert set(SETTING_BUILDERS) == set(SETTINGS)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_product_stands_on_the_floor_in_its_size(product: str) -> None:
    compose(PLAIN)
    low, high = (f(_vertices(_stage(Piece(product, size=0.7))), axis=0) for f in (np.min, np.max))
    assert (high - low).max() == pytest.approx(0.7, rel=1e-3)
    assert low[2] == pytest.approx(0, abs=1e-4)
    assert (low + high)[:2] == pytest.approx((0, 0), abs=1e-3)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_makes_use_of_all_its_choices(sample: str) -> None:
    assert compose(SAMPLES[sample].picture, 0.1)


@pytest.mark.parametrize("where", ["product", "setting"])
def test_a_choice_that_nothing_asks_for_is_an_error(where: str) -> None:
    piece = Piece("mill", {"wiast": 0.2} if where == "product" else {})
    setting = Setting("sweep", {"colour": (1, 1, 1)} if where == "setting" else {})
    with pytest.raises(ValueError, match="'wiast'" if where == "product" else "'colour'"):
        compose(Picture((piece,), setting, Camera((64, 64))))


def test_a_row_has_the_gaps_that_were_drawn() -> None:
    picture = draw_picture(3, 64, sets=1.0)
    assert picture.gaps is not None
    parts = compose(picture)
    roots = sorted({part.parent for part in parts}, key=lambda root: root.name)
    assert len(roots) == len(picture.products)
    x = [_vertices(p for p in parts if p.parent == root)[:, 0] for root in roots]
    for left, right, gap in zip(x[:-1], x[1:], picture.gaps[1:], strict=True):
        assert right.min() - left.max() == pytest.approx(gap, abs=1e-3)


def test_a_sample_is_rendered_as_it_is_committed(tmp_path: Path) -> None:
    arguments = ["samples", "--only", "mug", "--draft", "0.08", "--out", str(tmp_path)]
    assert command.main(arguments) == 0
    with Image.open(tmp_path / "truth/mug.png") as rendered:
        alpha = np.asarray(rendered, dtype=float) / 255
        with Image.open(ROOT / "samples/truth/mug.png") as committed:
            small = committed.resize(rendered.size, Image.Resampling.BOX)
    assert np.abs(alpha - np.asarray(small, dtype=float) / 255).mean() < 0.01
    assert (tmp_path / "manifest.csv").read_text().count("\n") == 2


def test_a_training_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    arguments = ["training", "--seed", "10", "--size", "32", "--out", str(tmp_path), "--count"]
    assert command.main([*arguments, "1"]) == 0
    first = tmp_path / "images/0010-00000.jpg"
    written = first.stat().st_mtime_ns
    assert command.main([*arguments, "2"]) == 0
    assert first.stat().st_mtime_ns == written
    assert (tmp_path / "truth/0010-00001.png").exists()
