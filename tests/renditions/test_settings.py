"""What a rendition's settings take, and what they refuse."""

from __future__ import annotations

import pytest

from alphabeam.transforms.renditions.background import parse_background
from alphabeam.transforms.renditions.settings import (
    Canvas,
    Length,
    Rendition,
    parse_canvas,
    parse_margins,
)


@pytest.mark.parametrize(
    "text, canvas",
    [
        (2000, Canvas("pixels", 2000, 2000)),
        ("1801x2600", Canvas("pixels", 1801, 2600)),
        ("1801 \u00d7 2600", Canvas("pixels", 1801, 2600)),
        ("1:1.44", Canvas("ratio", 1, 1.44)),
        ("4/3", Canvas("ratio", 4, 3)),
        ("fit", Canvas("fit")),
        ("Source", Canvas("source")),
    ],
)
def test_canvases(text: int | str, canvas: Canvas) -> None:
    assert parse_canvas(text) == canvas


def test_canvases_have_up_to_a_hundred_megapixels() -> None:
    Rendition(name="one", canvas="40000x2500")
    Rendition(name="one", canvas="1:2", min_side=14_142)


def test_margins_are_ordered_as_in_css() -> None:
    two = parse_margins("5% 10px")
    assert two is not None
    assert (two.top, two.right, two.bottom, two.left) == (
        *(Length(share=0.05), Length(10)),
        *(Length(share=0.05), Length(10)),
    )
    four = parse_margins("1 2 3 4")
    assert four is not None and [side.pixels for side in four] == [1, 2, 3, 4]
    assert parse_margins("") is None


@pytest.mark.parametrize(
    "text, kind, colours",
    [
        ("white", "colour", ((255, 255, 255),)),
        ("#f0a", "colour", ((255, 0, 170),)),
        ("rgb(1, 2, 3)", "colour", ((1, 2, 3),)),
        ("transparent", "transparent", ()),
        ("linear-gradient(white, '#ddd')", "linear", ((255, 255, 255), (221, 221, 221))),
        ("radial-gradient(rgb(9,9,9), black)", "radial", ((9, 9, 9), (0, 0, 0))),
        ("s3://shop/marble.jpg", "image", ()),
        ("marble.png", "image", ()),
    ],
)
def test_backgrounds(text: str, kind: str, colours: tuple[object, ...]) -> None:
    found = parse_background(text)
    assert (found.kind, found.colours) == (kind, colours)


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({"canvas": "big"}, "canvas: 'big' is no canvas"),
        ({"canvas": 70_000}, "canvas: jpeg has at most 65535"),
        ({"canvas": "60000x60000"}, "canvas: 60000 x 60000 pixels are over 100000000"),
        ({"canvas": "1:2", "min_side": 14_143}, "min_side: a canvas of 1:2 with it has over"),
        ({"canvas": "fit", "fill": 0.9}, "fill: it is of no use"),
        ({"canvas": "source", "margin": 5}, "margin: it is of no use"),
        ({"canvas": 500, "max_side": 400}, "max_side: it is of no use"),
        ({"min_side": 900, "max_side": 400}, "min_side: 900 is over max_side"),
        ({"margin": "60%"}, "margin: '60%' leaves no room"),
        ({"margin": "1 2 3 4 5"}, "margin: one to four lengths"),
        ({"margin": "-4"}, "margin: '-4' is no length"),
        ({"fill": 1.2}, "fill: 1.2"),
        ({"fill": 0}, "fill: 0"),
        ({"upscale": 9}, "upscale: 'never' or a number 1..8"),
        ({"upscale": "always"}, "upscale: 'never' or a number 1..8"),
        ({"background": "transparent"}, "background: jpeg cannot be transparent"),
        ({"background": "whitte"}, "background: 'whitte' is no colour"),
        ({"background": "linear-gradient(white)"}, "background: a gradient has two colours"),
        ({"format": "png", "quality": 90}, "quality: png is without loss"),
        ({"format": "gif"}, "format: 'gif' is not one of"),
        ({"content": "mask", "shadow": "drop"}, "shadow: a mask has none"),
        ({"name": "a b"}, "name: 'a b' is not of the form"),
        ({"shadow_offset": "1 2 3"}, "shadow_offset: one or two lengths"),
    ],
)
def test_what_is_wrong_is_said_with_the_settings_name(
    values: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError) as error:
        Rendition(**{"name": "one", **values})  # type: ignore[arg-type]
    assert str(error.value).startswith(complaint)
