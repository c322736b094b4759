"""The image pyramid on which alpha is computed: image and trimap, halved level by level."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from alphabeam.transforms.pixels import halved

__all__ = ["Level", "build_pyramid", "sharpest_level"]

_LEAST_SIDE = 16  # pixels; a level with a side this short is not halved again
# Percentile of the gradient magnitudes that stands for a level's sharpest edges. Not the maximum,
# which noise decides.
_STEEPEST = 99.5


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes:
        image: uint8 HxWx3.
        trimap: uint8 HxW of BACKGROUND, UNKNOWN and FOREGROUND.
        unknown: Number of unknown pixels.
    """

    image: NDArray[np.uint8]
    trimap: NDArray[np.uint8]
    unknown: int


def build_pyramid(
    image: NDArray[np.uint8], trimap: NDArray[np.uint8], coarsest: int
) -> list[Level]:
    """Halves image and trimap until few unknown pixels are left.

    Args:
        image: uint8 HxWx3.
        trimap: uint8 HxW.
        coarsest: Unknown pixels that the last level may have.

    Returns:
        The levels, the finest first. Level k has 1/2**k of the size, rounded up.
    """
    levels = [_level(image, trimap)]
    while levels[-1].unknown > coarsest and min(levels[-1].trimap.shape) > _LEAST_SIDE:
        levels.append(_halve(levels[-1]))
    return levels


def sharpest_level(levels: list[Level], solved: int, sharp: float) -> int:
    """The finest level that shows more detail than the next coarser one.

    An enlarged or out-of-focus image shows no more at full size than at half of it. On the half
    size, a refiner with a fixed receptive field sees twice as far.

    Args:
        levels: The pyramid.
        solved: A level with at most this many unknown pixels is solved, and so always qualifies.
        sharp: Least ratio of the gradients of a level and of the next coarser one.

    Returns:
        The index of that level; the last one if none qualifies.
    """
    for index, (level, coarser) in enumerate(pairwise(levels)):
        if level.unknown <= solved or _gradient(level) >= sharp * _gradient(coarser):
            return index
    return len(levels) - 1


def _level(image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Level:
    unknown = int(cv2.countNonZero((trimap == UNKNOWN).view(np.uint8)))
    return Level(image, trimap, unknown)


def _halve(level: Level) -> Level:
    """Half the size, rounded up. A pixel is known only if all four that it covers agree."""
    image, trimap = level.image, level.trimap
    height, width = trimap.shape
    if height % 2 or width % 2:
        pad = (0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        trimap = cv2.copyMakeBorder(trimap, *pad)
    corners = [trimap[dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)]
    low = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    high = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    known = np.full(low.shape, UNKNOWN, np.uint8)
    known[low == FOREGROUND] = FOREGROUND
    known[high == BACKGROUND] = BACKGROUND
    return _level(halved(image), known)


def _gradient(level: Level) -> float:
    """Magnitude of the steepest edges in the unknown band, 0..255 a pixel, of the green channel."""
    green = cv2.extractChannel(level.image, 1)
    across = cv2.absdiff(green[:-1, 1:], green[:-1, :-1])
    down = cv2.absdiff(green[1:, :-1], green[:-1, :-1])
    steps = cv2.max(across, down)[level.trimap[:-1, :-1] == UNKNOWN]
    return float(np.percentile(steps, _STEEPEST)) if steps.size else 0.0
