"""Push-pull: fill what is unknown in a picture from what is known around it.

Gortler et al., The Lumigraph, SIGGRAPH 1996: average down a pyramid with weights, then come back
up, taking the coarser level where a finer one has no weight.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["push_pull"]

_TINY = np.float32(1e-6)


def push_pull(colours: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smoothly fill colours where the weight is low.

    Args:
        colours: float32 HxWx3.
        weight: float32 HxW, 0..1; 1 keeps a pixel's colour.

    Returns:
        float32 HxWx3. Zero everywhere if the weight is zero everywhere.
    """
    levels = [(cv2.multiply(colours, _three(weight)), weight)]
    while min(levels[-1][1].shape) > 2:
        height, width = levels[-1][1].shape
        half = ((width + 1) // 2, (height + 1) // 2)
        colour, known = (cv2.resize(x, half, interpolation=cv2.INTER_AREA) for x in levels[-1])
        levels.append((colour, known))
    colour, known = levels[-1]
    filled = colour / np.maximum(known, _TINY)[..., None]
    # A cell of which nothing is known has the mean of all: black would spread from it.
    filled[known < _TINY] = colour.sum((0, 1)) / np.maximum(known.sum(), _TINY)
    for colour, known in levels[-2::-1]:
        filled = cv2.resize(filled, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
        filled = cv2.multiply(filled, _three(1 - known))
        filled += colour
    return filled


def _three(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return cv2.merge([plane, plane, plane])
