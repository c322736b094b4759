"""The validator: every wrong file is caught, and no right one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from alphabeam.transforms.renditions import (
    Subject,
    load_preset,
    measure,
    preset_names,
    render,
    rendition_of,
    violations,
)
from alphabeam.transforms.renditions.compose import compose
from alphabeam.transforms.renditions.encoding import encode
from alphabeam.transforms.renditions.settings import Rendition
from tests.renditions.subjects import bar, disc, product
from tests.renditions.wrong import Wrong, wrong_files

WRONG = wrong_files()


def test_there_are_thirty_kinds_of_wrong_files() -> None:
    assert len({one.kind for one in WRONG}) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=[one.kind for one in WRONG])
def test_every_wrong_file_is_caught_by_its_rule(wrong: Wrong) -> None:
    rules = load_preset("amazon-main").rules
    found = [one.rule for one in violations(measure(wrong.data, wrong.name), rules)]
    assert wrong.rule in found


def _right(seed: int) -> tuple[str, ...]:
    """What the validator says of a right file: the preset's own rendition of a product."""
    name = preset_names()[seed % len(preset_names())]
    made = {"preset": name, "upscale": 8}
    if least := load_preset(name).rendition.get("min_side"):
        made["max_side"] = least  # small files, since there are many
    rgba = product(seed, (500, 460), light=seed % 5 == 4)
    return tuple(map(str, render(rgba, rendition_of(made), name="00012345678905.jpg").violations))


@pytest.mark.parametrize(
    "start", [0, *(pytest.param(one, marks=pytest.mark.slow) for one in range(20, 200, 20))]
)
def test_of_two_hundred_right_files_none_is_caught(start: int) -> None:
    assert {seed: found for seed in range(start, start + 20) if (found := _right(seed))} == {}


@pytest.mark.parametrize("format, quality", [("png", None), ("jpeg", 75), ("jpeg", 92)])
def test_the_box_and_its_share_are_measured(format: str, quality: int | None) -> None:
    rendition = Rendition(name="a", canvas=800, fill=0.7, format=format, quality=quality)
    made = compose(rendition, Subject(bar(560, 300)))
    found = measure(encode(made.pixels, rendition).data, f"a.{rendition.extension}")
    assert found.box is not None
    # A JPEG's ringing reaches to the end of its blocks.
    within = 0 if format == "png" else 7
    assert max(abs(a - b) for a, b in zip(found.box, made.box, strict=True)) <= within
    assert found.fill == pytest.approx(0.7, abs=0.02)
    assert (found.width, found.height, found.profile, found.mode) == (800, 800, "srgb", "rgb")
    assert found.off_white == found.off_white_edge == found.specks == 0


def test_white_parts_of_a_white_product_are_no_background() -> None:
    """A disc whose middle is 253, closed all round by a darker outline."""
    rgba = disc(400, 120, (180, 180, 180))
    inner = disc(400, 110)[..., 3] > 250
    rgba[inner, :3] = 253
    rendition = Rendition(name="a", canvas=500, upscale=2)
    made = compose(rendition, Subject(rgba))
    found = measure(encode(made.pixels, rendition).data, "a.jpg")
    assert (found.off_white, found.specks) == (0, 0)


def test_half_resolution_of_colours_gives_blocks_of_sixteen() -> None:
    """A file of somebody else's, with 4:2:0: its colours bleed within their blocks of 16."""
    pixels = compose(Rendition(name="a", canvas=512), Subject(disc(400, 120))).pixels
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=95, subsampling=2)
    assert measure(sink.getvalue(), "a.jpg").off_white == 0


def test_a_cutout_with_its_old_background_in_its_edge_has_a_fringe() -> None:
    """An edge of four pixels that is green, where the product is grey."""
    rgba = disc(400, 120, (120, 120, 120))
    core = disc(400, 116)[..., 3] > 128
    rgba[~core & (rgba[..., 3] > 0), :3] = (20, 200, 20)
    rendition = Rendition(name="a", canvas=400, upscale=2)
    made, clean = (
        measure(encode(compose(rendition, Subject(one)).pixels, rendition).data, "a.jpg")
        for one in (rgba, disc(400, 120, (120, 120, 120)))
    )
    assert made.fringe > 0.9
    assert clean.fringe < 0.1


def test_a_position_off_the_middle_is_measured() -> None:
    rules = dict(load_preset("amazon-main").rules)
    centred = rules["fill_min"].__class__("centred", 0.02, "a test", "2026-11-26")
    rendition = Rendition(name="a", canvas=400, fill=0.5, align="left", margin="10")
    data = encode(compose(rendition, Subject(bar(200, 200))).pixels, rendition).data
    found = [v for v in violations(measure(data, "a.jpg"), {"centred": centred})]
    assert [one.rule for one in found] == ["centred"]
    assert "22.0%" in found[0].found


def test_measures_of_a_plain_white_frame() -> None:
    rendition = Rendition(name="a", format="png")
    found = measure(encode(np.full((50, 50, 3), 255, np.uint8), rendition).data, "x/a.png")
    assert (found.box, found.fill, found.stem, found.off_white) == (None, 0, "a", 0)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_backdrop_that_is_nearly_white_is_no_subject_that_is_cut() -> None:
    across = np.linspace(236, 254, 400)[None, :, None]
    pixels = np.broadcast_to(across, (300, 400, 3)).astype(np.uint8).copy()
    pixels[:, -20:] = 249
    pixels[100:200, 150:250] = (40, 60, 90)
    found = measure(_png(pixels), "a.png")
    assert found.off_white_edge > 1000 and found.edge_worst == 236


def test_a_close_up_that_three_sides_cut_is_a_subject() -> None:
    pixels = np.full((300, 400, 3), 255, np.uint8)
    pixels[60:] = (40, 60, 90)
    found = measure(_png(pixels), "a.png")
    assert found.touched == (True, False, True, True) and found.off_white_edge == 0
