"""Push-pull: fills unknown pixels smoothly from known ones.

Gortler et al., The Lumigraph, SIGGRAPH 1996: a weighted average down a pyramid, then back up, with
the coarser level where the finer one has no weight.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["push_pull"]

_TINY = np.float32(1e-6)


def push_pull(colours: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fills colours smoothly where the weight is low.

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
    filled: NDArray[np.float32] = colour / np.maximum(known, _TINY)[..., None]
    # A coarsest pixel without any known one gets the mean of all: otherwise black would spread.
    filled[known < _TINY] = colour.sum((0, 1)) / np.maximum(known.sum(), _TINY)
    for colour, known in levels[-2::-1]:
        filled = cv2.resize(filled, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
        filled = cv2.multiply(filled, _three(1 - known))
        filled += colour
    return filled


def _three(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    planes: NDArray[np.float32] = cv2.merge([plane, plane, plane])
    return planes
