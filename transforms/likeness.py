"""What tells whether pictures are alike: a perceptual hash, and the colour of the background.

Both are computed from a picture made small (`alphabeam.transforms.thumbnails.preview_of`), in a
fraction of a millisecond.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["backdrop_of", "perceptual_hash"]

_SIDE = 32  # pixels of the square that is hashed
_GREY_BITS, _COLOUR_BITS = 40, 12
_DEAD_ZONE = 60.0  # of colour's frequencies, so that what is grey has no noise for a hash
_BACKGROUND = 12  # alpha under which a pixel shows the background alone
_STEP = 3  # every third pixel says as much
_LEAST_SHARE = 0.02  # of the picture that must be background


def _lowest(size: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the lowest frequencies but the mean."""
    cells = sorted(
        ((y, x) for y in range(size) for x in range(size) if y or x), key=lambda c: (sum(c), c)
    )
    y, x = zip(*cells[:count], strict=True)
    return np.array(y, np.intp), np.array(x, np.intp)


_GREY, _COLOUR = _lowest(_SIDE, _GREY_BITS), _lowest(_SIDE, _COLOUR_BITS)


def perceptual_hash(preview: NDArray[np.uint8]) -> str:
    """A hash that is the same, or nearly, for the same picture in another size or file.

    The signs of the 40 lowest cosine frequencies of brightness, and of the 12 lowest of each of
    two colour differences, so that a product in another colour has another hash.

    Args:
        preview: uint8 hxwx3 RGB.

    Returns:
        16 hexadecimal digits. Pictures that look the same differ in at most 3 of the 64 bits.
    """
    small = cv2.resize(preview, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    channels = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    bits: list[NDArray[np.bool_]] = []
    for number, (cells, least) in enumerate(
        ((_GREY, 0.0), (_COLOUR, _DEAD_ZONE), (_COLOUR, _DEAD_ZONE))
    ):
        frequencies = cv2.dct(np.ascontiguousarray(channels[..., number]))[cells]
        bits.append(frequencies > least)
    return np.packbits(np.concatenate(bits)).tobytes().hex()


def backdrop_of(preview: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> str | None:
    """The median colour of what is background.

    Args:
        preview: uint8 hxwx3 RGB.
        alpha: The mask of the picture in any size, uint8.

    Returns:
        ``#rrggbb``; None if less than a fiftieth of the picture is background.
    """
    size = (preview.shape[1], preview.shape[0])
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_NEAREST)
    behind = small[::_STEP, ::_STEP] < _BACKGROUND
    if behind.mean() < _LEAST_SHARE:
        return None
    red, green, blue = np.median(preview[::_STEP, ::_STEP][behind], axis=0).astype(int).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"
