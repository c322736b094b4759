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
    levels = [cv2.merge([*cv2.split(colours * weight[..., None]), weight])]
    while min(levels[-1].shape[:2]) > 2:
        height, width = levels[-1].shape[:2]
        half = ((width + 1) // 2, (height + 1) // 2)
        levels.append(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA))
    filled = levels[-1][..., :3] / np.maximum(levels[-1][..., 3:], _TINY)
    for level in levels[-2::-1]:
        filled = cv2.resize(filled, level.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        known = level[..., 3:]
        filled += np.minimum(known, 1) * (level[..., :3] / np.maximum(known, _TINY) - filled)
    return filled
