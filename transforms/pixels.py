"""Arithmetic on pixels that the matting core, the decoder, the backends and the encoders share.

Needs numpy and OpenCV only.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.parameters import Box

__all__ = ["composite_over", "coverage_of", "halved", "shrunk", "subject_box", "to_8_bit"]

_Number = TypeVar("_Number", np.uint8, np.float32)
_NEARLY = 0.8  # of the size
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


def halved(image: NDArray[_Number]) -> NDArray[_Number]:
    """The means of two by two pixels.

    Args:
        image: uint8 or float32, HxW or HxWxC.

    Returns:
        The same dtype, half the size, rounded up; a last odd row or column stands for two.
    """
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    half = ((width + 1) // 2, (height + 1) // 2)
    return np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), image.dtype)


def shrunk(image: NDArray[_Number], width: int, height: int) -> NDArray[_Number]:
    """An image made smaller, by area averages.

    Halving takes a twentieth of what another factor takes, a pixel. So the image is halved as
    often as it can be; the last step makes good what a halved odd side is too long. Where that
    step is short, linear interpolation averages well enough, in a tenth of the time.

    Args:
        image: uint8 or float32, HxW or HxWxC.
        width: Of the result, pixels.
        height: Likewise.

    Returns:
        The same dtype, of that size.
    """
    down, across = float(image.shape[0]), float(image.shape[1])
    while down >= 2 * height and across >= 2 * width:
        image, down, across = halved(image), down / 2, across / 2
    factors = {"fx": width / across, "fy": height / down}  # OpenCV keeps to them: nothing is moved
    how = cv2.INTER_LINEAR if min(factors.values()) > _NEARLY else cv2.INTER_AREA
    small = cv2.resize(image, None, interpolation=how, **factors)
    return np.asarray(small[:height, :width], image.dtype)


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
