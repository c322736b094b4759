"""Backgrounds: what a text names, and its pixels on a canvas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

__all__ = ["Background", "Colour", "parse_background", "parse_colour"]

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Background:
    """What lies behind a subject.

    Attributes:
        kind: ``transparent``, ``colour``, ``linear`` or ``radial`` (a gradient), or ``image``.
        colours: One for a colour, two for a gradient: top and bottom, or middle and corners.
        uri: Of the image.
    """

    kind: Literal["transparent", "colour", "linear", "radial", "image"]
    colours: tuple[Colour, ...] = ()
    uri: str = ""

    @property
    def is_transparent(self) -> bool:
        """Whether there is none."""
        return self.kind == "transparent"

    def pixels(
        self, width: int, height: int, image: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """The background on a canvas.

        Args:
            width: Of the canvas, pixels.
            height: Likewise.
            image: The decoded image, uint8 HxWx3, if it is one; it covers the canvas, cut evenly
                at two sides.

        Returns:
            uint8 height x width x 3.

        Raises:
            ValueError: It is transparent, or an image that was not given.
        """
        if self.kind == "colour":
            row = np.full((width, 3), self.colours[0], np.uint8)
            return np.broadcast_to(row, (height, width, 3)).copy()
        if self.kind == "image" and image is not None:
            return _cover(image, width, height)
        if self.kind not in ("linear", "radial"):
            raise ValueError(f"background: {self.kind} has no pixels")
        first, last = (np.array(c, np.float32) for c in self.colours)
        down = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
        if self.kind == "linear":
            share = np.broadcast_to(down, (height, width))
        else:
            across = (np.arange(width, dtype=np.float32)[None] + 0.5) / width
            share = np.hypot(across - 0.5, down - 0.5) / np.float32(np.sqrt(0.5))
        # Ordered dither: a gradient of a few levels would show its steps.
        tiles = np.tile(_BAYER, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
        mixed = first + share[..., None] * (last - first)
        return np.floor(np.clip(mixed + tiles, 0, 255)).astype(np.uint8)


_BAYER = (
    np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) + 0.5
) / 16


def _cover(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large: NDArray[np.uint8] = cv2.resize(image, size, interpolation=how)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def parse_colour(text: str) -> Colour:
    """A colour by its name in CSS, as ``#rgb`` or ``#rrggbb``, or as ``rgb(244, 244, 244)``.

    Raises:
        ValueError: It is none.
    """
    value = ImageColor.getrgb(text.strip().strip("'\""))
    if len(value) != 3:
        raise ValueError("a colour is opaque")
    return value


def parse_background(text: str) -> Background:
    """A background from what a job file says.

    Raises:
        ValueError: It is none; the message starts with ``background:``.
    """
    stripped = text.strip()
    if stripped.lower() == "transparent":
        return Background("transparent")
    if found := re.fullmatch(r"(?i)(linear|radial)-gradient\((.+)\)", stripped):
        parts = re.split(r",(?![^(]*\))", found[2])
        if len(parts) == 2:
            try:
                colours = tuple(parse_colour(part) for part in parts)
            except ValueError:
                colours = ()
            if colours:
                return Background("linear" if found[1].lower() == "linear" else "radial", colours)
        raise ValueError(f"background: a gradient has two colours, got {text!r}")
    try:
        return Background("colour", (parse_colour(stripped),))
    except ValueError:
        pass
    if "/" in stripped or re.search(r"\.\w{3,4}$", stripped):
        return Background("image", uri=stripped)
    raise ValueError(
        f"background: {text!r} is no colour, gradient, image or 'transparent'; a # begins a "
        "comment in YAML, so put '#ffffff' into quotes"
    )
