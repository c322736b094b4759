"""Where a subject goes on a canvas: sizes and places, no pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

from alphabeam.transforms.renditions.settings import (
    MOST_PIXELS,
    Canvas,
    Margins,
    Rendition,
    parse_canvas,
)

__all__ = ["Layout", "Size", "lay_out", "place"]

_WHOLE = 1e-6  # what rounding of floats leaves over a whole number


class Size(NamedTuple):
    """Width and height, pixels."""

    width: float
    height: float


class Layout(NamedTuple):
    """A canvas, and the room on it that a subject is put into.

    Attributes:
        width: Of the canvas, pixels.
        height: Likewise.
        scale: Of the subject, against its source.
        room: Left, top, right and bottom of the room within which the subject is aligned, pixels.
        wanted: The scale at which the subject would fill the canvas as asked.
        axis: The direction in which the subject fills its room: 0 across, 1 down.
    """

    width: int
    height: int
    scale: float
    room: tuple[float, float, float, float]
    wanted: float
    axis: int


def lay_out(rendition: Rendition, subject: Size, source: Size) -> Layout:
    """Chooses a canvas's size and the subject's scale.

    Args:
        rendition: What is asked for.
        subject: Size of the subject's box in its source, pixels, at least 1.
        source: Size of the source.

    Returns:
        The layout. Its scale is as large as the settings allow, and never above the limit.

    Raises:
        ValueError: There is no room between the margins, or they make the canvas too large.
    """
    canvas = parse_canvas(rendition.canvas)
    margins = rendition.margins or Margins()
    if canvas.kind == "source":
        longest = min(max(source), rendition.max_side or math.inf, rendition.largest_side)
        scale = longest / max(source)
        width, height = _whole(source.width * scale), _whole(source.height * scale)
        return Layout(width, height, scale, (0, 0, width, height), scale, _longer(subject))
    if canvas.kind == "fit":
        return _fitted(rendition, margins, subject)
    if canvas.kind == "ratio":
        canvas = _canvas_of_ratio(canvas, rendition, margins, subject)
    width, height = int(canvas.width), int(canvas.height)
    filled = rendition.filled
    left, right = margins.left.of(width), width - margins.right.of(width)
    top, bottom = margins.top.of(height), height - margins.bottom.of(height)
    if rendition.margins is None:  # what fill leaves free, it leaves at both sides
        left, right = width * (1 - filled) / 2, width * (1 + filled) / 2
        top, bottom = height * (1 - filled) / 2, height * (1 + filled) / 2
    room = min(right - left, width * filled), min(bottom - top, height * filled)
    if min(room) < 1:
        raise ValueError(f"margin: {rendition.margin!r} leaves no room on {width}x{height}")
    fills = room[0] / subject.width, room[1] / subject.height
    wanted = min(fills)
    scale = min(wanted, rendition.upscale_limit)
    return Layout(width, height, scale, (left, top, right, bottom), wanted, fills.index(wanted))


def _fitted(rendition: Rendition, margins: Margins, subject: Size) -> Layout:
    """A canvas around the subject, at its own scale unless it would be too large."""
    shares = (
        margins.left.share + margins.right.share,
        margins.top.share + margins.bottom.share,
    )
    pixels = (
        margins.left.pixels + margins.right.pixels,
        margins.top.pixels + margins.bottom.pixels,
    )
    most = min(rendition.max_side or math.inf, rendition.largest_side)
    scale = 1.0
    for extent, share, fixed in zip(subject, shares, pixels, strict=True):
        scale = min(scale, (most * (1 - share) - fixed) / extent)
    if scale <= 0:
        raise ValueError(f"margin: {rendition.margin!r} leaves no room under {most:g} pixels")
    inner = Size(_whole(subject.width * scale), _whole(subject.height * scale))
    width, height = (
        min(math.ceil((extent + fixed) / (1 - share) - _WHOLE), int(most))
        for extent, share, fixed in zip(inner, shares, pixels, strict=True)
    )
    area = width * height
    if area > MOST_PIXELS and area > 4 * inner.width * inner.height:  # it is no large source
        raise ValueError(f"margin: {rendition.margin!r} makes {width} x {height} pixels")
    left, top = margins.left.of(width), margins.top.of(height)
    right, bottom = width - margins.right.of(width), height - margins.bottom.of(height)
    return Layout(width, height, scale, (left, top, right, bottom), scale, _longer(subject))


def _canvas_of_ratio(
    canvas: Canvas, rendition: Rendition, margins: Margins, subject: Size
) -> Canvas:
    """The canvas of a ratio on which the subject, at its own scale, fills what it may fill."""

    def least(extent: float, share: float, pixels: float) -> float:
        return max(extent / rendition.filled, (extent + pixels) / (1 - share))

    ratio = canvas.width / canvas.height
    most = min(canvas.most_side, rendition.largest_side)
    width = least(
        subject.width,
        margins.left.share + margins.right.share,
        margins.left.pixels + margins.right.pixels,
    )
    height = least(
        subject.height,
        margins.top.share + margins.bottom.share,
        margins.top.pixels + margins.bottom.pixels,
    )
    longest = max(width, height * ratio) * max(1, 1 / ratio)
    longest = max(longest, rendition.min_side or 1)
    longest = min(longest, rendition.max_side or math.inf, most)
    side = math.floor(longest + 0.5)
    if ratio >= 1:
        return Canvas("pixels", side, _whole(side / ratio))
    return Canvas("pixels", _whole(side * ratio), side)


def place(
    rendition: Rendition, layout: Layout, box: tuple[int, int, int, int], stand: int
) -> tuple[int, int]:
    """Where resampled pixels go, so that the subject in them is aligned.

    Args:
        rendition: What is asked for.
        layout: Of it.
        box: The subject's box in the resampled pixels: left, top, right, bottom.
        stand: The row that the subject stands on, exclusive, in the resampled pixels.

    Returns:
        Left and top of the resampled pixels on the canvas; they may lie outside it.
    """
    left, top, right, bottom = box
    align = rendition.align
    free_x = layout.room[2] - layout.room[0] - (right - left)
    free_y = layout.room[3] - layout.room[1] - (bottom - top)
    x = layout.room[0] + free_x * (0 if "left" in align else 1 if "right" in align else 0.5)
    if align == "baseline":
        y = layout.room[3] - stand
    else:
        down = 0 if align.startswith("top") else 1 if align.startswith("bottom") else 0.5
        y = layout.room[1] + free_y * down - top
    return math.floor(x - left + 0.5), math.floor(y + 0.5)


def _longer(subject: Size) -> int:
    return subject.index(max(subject))


def _whole(length: float) -> int:
    return max(1, math.floor(length + 0.5))
