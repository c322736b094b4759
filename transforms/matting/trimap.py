"""Coarse alpha to trimap: what is known, and the band that is not."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["BACKGROUND", "FOREGROUND", "UNKNOWN", "make_trimap"]

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255


def make_trimap(
    coarse: NDArray[np.uint8],
    foreground_threshold: int = 240,
    background_threshold: int = 15,
    band: int = 15,
) -> NDArray[np.uint8]:
    """Shrink both sure regions; what lies between is unknown.

    Args:
        coarse: uint8 HxW, the network's alpha at full size.
        foreground_threshold: Coarse alpha above it is surely subject.
        background_threshold: Coarse alpha below it is surely background.
        band: Side of the square that both sure regions are eroded by, in pixels.

    Returns:
        uint8 HxW of BACKGROUND, UNKNOWN and FOREGROUND.
    """
    trimap = np.full(coarse.shape, UNKNOWN, np.uint8)
    # Eroding what is above a threshold is the same as asking the local minimum.
    low, high = coarse, coarse
    if band > 1:
        square = cv2.getStructuringElement(cv2.MORPH_RECT, (band, band))
        low = cv2.erode(coarse, square, borderType=cv2.BORDER_REPLICATE)
        high = cv2.dilate(coarse, square, borderType=cv2.BORDER_REPLICATE)
    trimap[low > foreground_threshold] = FOREGROUND
    trimap[high < background_threshold] = BACKGROUND
    return trimap
