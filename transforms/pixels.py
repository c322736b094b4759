"""Arithmetic on pixels that the matting core, the decoder, the backends and the encoders share.

Needs numpy and OpenCV only.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.parameters import Box

__all__ = ["composite_over", "coverage_of", "subject_box", "to_8_bit"]

_STRIP = 1 << 20  # pixels composited at once, which bounds the 16-bit temporaries to a few MiB


def composite_over(
    rgba: NDArray[np.uint8], background: tuple[int, int, int] = (255, 255, 255)
) -> NDArray[np.uint8]:
    """Composites a straight-alpha image over one colour.

    Args:
        rgba: uint8 HxWx4, straight alpha.
        background: Red, green and blue, each 0..255.

    Returns:
        uint8 HxWx3, ``alpha * colour + (1 - alpha) * background``, rounded to the nearest value.
    """
    out = np.empty((*rgba.shape[:2], 3), np.uint8)
    below = np.asarray(background, np.uint16)
    rows = max(1, _STRIP // max(rgba.shape[1], 1))
    for top in range(0, rgba.shape[0], rows):
        strip = rgba[top : top + rows]
        alpha = strip[..., 3:].astype(np.uint16)
        mixed = strip[..., :3] * alpha
        mixed += below * (255 - alpha) + np.uint16(127)  # 127 rounds; at most 65152, no overflow
        mixed //= 255
        out[top : top + rows] = mixed
    return out


def coverage_of(alpha: NDArray[np.uint8]) -> float:
    """Mean alpha, 0..1: of the exact sum, since a mean of doubles may come out just over 1.

    Args:
        alpha: uint8 HxW.
    """
    return float(cv2.sumElems(alpha)[0]) / (255 * alpha.size)


def subject_box(alpha: NDArray[np.uint8]) -> Box | None:
    """The bounding box of all pixels with alpha above 0.

    Args:
        alpha: uint8 HxW.

    Returns:
        Left, top, right, bottom in pixels, right and bottom exclusive; None if alpha is 0
        everywhere.
    """
    left, top, width, height = cv2.boundingRect(alpha)
    return (left, top, left + width, top + height) if width else None


def to_8_bit(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Converts 16-bit samples to 8 bits.

    Args:
        samples: Integers of any shape and dtype, 0..65535.

    Returns:
        uint8 of the same shape: a 257th of each, rounded to the nearest. So the 16-bit twin of an
        8-bit image gives the same pixels.
    """
    eight: NDArray[np.uint8] = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return eight
