"""Printed matter: labels, patterns and dials, drawn as numpy pictures for `materials.printed`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from renderer.dice import Colour, Dice

__all__ = ["Print", "dial", "label", "pattern"]

Print = NDArray[np.float32]  # sRGB, h x w x 3, 0..1


# Brands that do not exist.
_BRANDS = (
    "ALBA", "NORDEN", "FIELD & CO", "MAISON", "OLIVA", "TERRE", "LUMEN", "HOLM", "SOLSTICE",
    "KIN", "MERIDIAN", "FERN", "ATELIER 9", "PURE", "HAVEN", "COBALT", "SALT", "MIRA", "WREN",
)  # fmt: skip
_LINES = (
    "hand & body wash", "extra virgin", "small batch", "250 ml  8.4 fl oz", "no. 27",
    "cold pressed", "cedar + vetiver", "fig & thyme", "since 1987", "slow made", "net wt 340 g",
)  # fmt: skip


def _rgb(colour: Colour) -> tuple[int, int, int]:
    r, g, b = (round(255 * float(c)) for c in colour[:3])
    return r, g, b


def _text(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], words: str, size: int, ink: Colour
) -> None:
    draw.text(centre, words, font=ImageFont.load_default(size), fill=_rgb(ink), anchor="mm")


def _floats(image: Image.Image) -> Print:
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def label(dice: Dice, paper: Colour, ink: Colour, size: tuple[int, int] = (768, 768)) -> Print:
    """A shop label: name, rule, small lines, an ornament (h x w x 3, float 0..1)."""
    w, h = size
    image = Image.new("RGB", size, _rgb(paper))
    draw = ImageDraw.Draw(image)
    word = dice.pick("title", _BRANDS)
    band = dice.chance("label band", 0.4)
    accent = dice.colour("label accent", (0.3, 0.9), (0.3, 0.9))
    if band:
        draw.rectangle((0, int(h * 0.8), w, h), fill=_rgb(accent))
    if dice.chance("label frame", 0.5):
        inset = int(0.04 * h)
        draw.rectangle(
            (inset, inset, w - inset, h - inset), outline=_rgb(ink), width=max(h // 150, 2)
        )
    letters = int(min(h * 0.17, 1.35 * w / max(len(word), 4)))
    _text(draw, (w / 2, h * 0.47), word, letters, ink)
    draw.line((w * 0.4, h * 0.6, w * 0.6, h * 0.6), fill=_rgb(ink), width=max(h // 180, 2))
    rng = dice.rng("label lines")
    for i, line in enumerate(rng.permutation(np.array(_LINES))[:2]):
        _text(draw, (w / 2, h * (0.67 + 0.07 * i)), str(line), int(h * 0.048), ink)
    ornament = dice.pick("ornament", ("leaf", "circle", "sun", "none"))
    x, y, r = w / 2, h * 0.23, h * 0.09
    if ornament == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), outline=_rgb(ink), width=max(h // 120, 2))
        _text(draw, (x, y), word[0], int(r * 1.1), ink)
    elif ornament == "sun":
        draw.ellipse((x - r / 2, y - r / 2, x + r / 2, y + r / 2), fill=_rgb(accent))
        for a in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            c, s = np.cos(a), np.sin(a)
            draw.line(
                (x + 0.7 * r * c, y + 0.7 * r * s, x + r * c, y + r * s),
                fill=_rgb(accent),
                width=max(h // 160, 2),
            )
    elif ornament == "leaf":
        for side in (-1, 1):
            for k in range(4):
                ly = y + r - k * r * 0.55
                draw.line(
                    (x, ly, x + side * r * 0.75, ly - r * 0.55),
                    fill=_rgb(ink),
                    width=max(h // 90, 2),
                )
        draw.line((x, y + r * 1.2, x, y - r * 1.2), fill=_rgb(ink), width=max(h // 140, 2))
    return _floats(image)


def pattern(dice: Dice, size: int = 512) -> Print:
    """A repeating pattern of few colours: stripes, checks, dots, triangles (size x size x 3)."""
    background = dice.colour("pattern background", (0.0, 0.6), (0.5, 0.97))
    ink = dice.colour("pattern ink", (0.2, 0.9), (0.1, 0.8))
    kind = dice.pick("pattern", ("stripes", "checks", "dots", "triangles", "blocks"))
    repeat = dice.count("pattern repeat", 2, 9)
    yy, xx = (np.mgrid[0:size, 0:size] + 0.5) / size * repeat
    fx, fy = xx % 1, yy % 1
    if kind == "stripes":
        mask = (fx < 0.5).astype(float)
    elif kind == "checks":
        mask = ((fx < 0.5).astype(float) + (fy < 0.5)) / 2
    elif kind == "dots":
        mask = (np.hypot(fx - 0.5, fy - 0.5) < 0.28).astype(float)
    elif kind == "triangles":
        mask = (fx < fy).astype(float)
    else:
        table = dice.rng("pattern table").random((repeat, repeat))
        mask = table[yy.astype(int) % repeat, xx.astype(int) % repeat]
    one, two = np.asarray(background), np.asarray(ink)
    return np.asarray(one * (1 - mask[..., None]) + two * mask[..., None], dtype=np.float32)


def dial(paper: Colour, ink: Colour, accent: Colour, numerals: bool, size: int = 1024) -> Print:
    """The face of a watch or clock, without hands; what lies outside the circle is paper."""
    image = Image.new("RGB", (size, size), _rgb(paper))
    draw = ImageDraw.Draw(image)
    c = size / 2
    for i in range(60):
        a = np.pi * i / 30
        outer, inner = 0.95, 0.85 if i % 5 == 0 else 0.915
        wide = size // 70 if i % 5 == 0 and not numerals else size // 220
        x, y = np.sin(a), -np.cos(a)
        draw.line(
            (c + c * inner * x, c + c * inner * y, c + c * outer * x, c + c * outer * y),
            fill=_rgb(ink),
            width=wide,
        )
        if numerals and i % 5 == 0:
            _text(draw, (c + c * 0.72 * x, c + c * 0.72 * y), str(i // 5 or 12), size // 11, ink)
    _text(draw, (c, c * 0.62), "HOLM", size // 20, ink)
    _text(draw, (c, c * 1.42), "automatic", size // 38, accent)
    return _floats(image)
