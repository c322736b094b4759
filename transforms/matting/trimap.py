"""The trimap: what is surely foreground, what is surely background, and the band between."""

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
    """Thresholds the coarse alpha and erodes both sure regions.

    Args:
        coarse: uint8 HxW, the network's alpha at full size.
        foreground_threshold: Alpha above it is surely foreground, 0..255.
        background_threshold: Alpha below it is surely background, 0..255.
        band: Side of the square that erodes both regions, in pixels. At a sharp outline the
            unknown band gets about this width.

    Returns:
        uint8 HxW of BACKGROUND (0), UNKNOWN (128) and FOREGROUND (255).
    """
    trimap = np.full(coarse.shape, UNKNOWN, np.uint8)
    # Eroding the region above a threshold is the same as thresholding the local minimum.
    low, high = coarse, coarse
    if band > 1:
        square = cv2.getStructuringElement(cv2.MORPH_RECT, (band, band))
        low = cv2.erode(coarse, square, borderType=cv2.BORDER_REPLICATE)
        high = cv2.dilate(coarse, square, borderType=cv2.BORDER_REPLICATE)
    trimap[low > foreground_threshold] = FOREGROUND
    trimap[high < background_threshold] = BACKGROUND
    return trimap
