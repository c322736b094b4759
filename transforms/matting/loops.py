"""Thin closed loops, such as hoops, necklaces and frames, which a network takes for solid.

What is inside of a loop on an even background is that background, pixel for pixel. Nothing else is:
the face of a white product has its own light, a print, or a border that is not thin.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import components_of
from alphabeam.transforms.matting.even import EvenBackground

__all__ = ["open_loops"]

_SUBJECT = 0.5  # the network's alpha above it
# Set on drawn loops of 0.2 to 3 % of the side and on white products with outlines: see
# benchmarks/damage.py.
_AREA = 0.002  # of the picture, at least, is inside a loop
_NOISE = 4.0  # standard deviations of the background within which a pixel has its colour
_ALIKE = 0.004  # the most by which the inside's mean may differ from it, RGB of 0..1
_WHOLE = 0.97  # of what is enclosed has the background's colour: there is no print, and no face
# The most that a loop is wide: of the whole picture's longer side, and of what the network saw.
_THIN, _THIN_SEEN = 0.04, 0.09
_AROUND = 0.6  # of the inside's outline lies so near to the background outside


def open_loops(
    alpha: NDArray[np.float32], background: EvenBackground, side: float | None = None
) -> bool:
    """Sets alpha to 0, in place, inside of thin closed loops.

    Args:
        alpha: float32 hxw, 0..1, the network's; changed in place.
        background: The same picture's.
        side: Longer side of the whole picture, in the network's pixels; None if it saw all of it.

    Returns:
        Whether there was one. None is sought where the background is not bare: a bright gap in a
        shadow is no loop.
    """
    if not background.is_bare:
        return False
    difference = background.difference()
    limit = max(_NOISE * background.scatter, 2 * _ALIKE)
    alike = (difference < limit) & (alpha > _SUBJECT)
    least = max(_AREA * alpha.size, 16)
    if np.count_nonzero(alike) < least:
        return False
    count, labels, stats = components_of(alike.view(np.uint8), connectivity=4)
    outside = (alpha <= _SUBJECT).view(np.uint8)
    reach = cv2.distanceTransform(1 - outside, cv2.DIST_L2, 5)
    thin = min(_THIN * (side or max(alpha.shape)), _THIN_SEEN * max(alpha.shape))
    opened = False
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < least:
            continue
        inside = (labels == label).view(np.uint8)
        if _is_bare(inside, background) and _is_within_a_loop(inside, reach, thin):
            # Single pixels of noise go with it; the loop's own inner edge is left to the solver.
            whole = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
            alpha[whole > 0] = 0
            opened = True
    return opened


def _is_bare(inside: NDArray[np.uint8], background: EvenBackground) -> bool:
    """Whether an area shows the background and nothing else, enclosed islands included."""
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros_like(inside)
    cv2.drawContours(whole, contours, -1, 1, cv2.FILLED)
    if np.count_nonzero(inside) < _WHOLE * np.count_nonzero(whole):
        return False
    core = cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0
    if not core.any():
        return False
    rest = (background.colours - background.plane)[core]
    return bool(
        np.abs(rest.mean(axis=0)).max() < _ALIKE + background.scatter / np.sqrt(len(rest))
        and rest.std() < 1.5 * background.scatter + _ALIKE
    )


def _is_within_a_loop(inside: NDArray[np.uint8], reach: NDArray[np.float32], thin: float) -> bool:
    """Whether most of an area's outline is near to the background outside."""
    outline = inside - cv2.erode(inside, np.ones((3, 3), np.uint8))
    return bool((reach[outline > 0] < thin).mean() > _AROUND)
