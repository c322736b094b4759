"""Products that fill the frame: a swatch of cloth, a cover, a poster.

A network looks for what stands before a background. Where there is none it sees nothing, or takes
the lettering for the product; or it keeps the picture whole, as it also does, wrongly, with letters
on a bare background.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import components_of, max_pool
from alphabeam.transforms.pixels import shrunk

__all__ = ["seems_to_fill_the_frame"]

_WHOLE = 0.98  # of the picture, at least, is kept
_SIDE = 512  # longer side, pixels, at which it is looked
# Texture: on nearly all of the squares of _SQUARE pixels, grey values (0..255) scatter by more than
# that. An even background, however lit, scatters by 1 to 2.
_SQUARE = 16
_TEXTURE = 4.0
_TEXTURED = 0.9
# Lettering: of the visible components that are small by the frame's area, so many of nearly one
# height stand in lines, each with another beside it. Products in lines are larger, or equal.
_SMALL = (2e-5, 0.02)
_LETTERS = 8
_HEIGHTS = (0.5, 1.8)  # by the median height
_TALL = 0.125  # of the longer side: what is higher is no letter
_EQUAL = 0.05  # standard deviation of their areas, by the mean: equal things are products
_BESIDE = 1.5  # heights to the next one
_IN_LINES = 0.7  # of the small components


def seems_to_fill_the_frame(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> bool:
    """Whether the product seems to fill the picture: a person ought to see such a result.

    Args:
        rgb: uint8 HxWx3, the picture.
        alpha: uint8 HxW, the result.

    Returns:
        True if nothing is visible and all of the picture is textured, if what is visible is mostly
        lettering, or if the picture is kept whole.
    """
    if not alpha.any():
        return _is_textured(rgb)
    if np.count_nonzero(alpha > 127) > _WHOLE * alpha.size:
        return True
    return _is_lettering(alpha)


def _is_textured(rgb: NDArray[np.uint8]) -> bool:
    shrink = min(1.0, _SIDE / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * shrink)), max(1, round(rgb.shape[0] * shrink)))
    grey = cv2.cvtColor(shrunk(rgb, *size), cv2.COLOR_RGB2GRAY)
    plane = grey.astype(np.float32)
    squares = (max(1, size[0] // _SQUARE), max(1, size[1] // _SQUARE))
    mean, square = (cv2.resize(p, squares, interpolation=cv2.INTER_AREA) for p in (plane, plane**2))
    scatter = np.sqrt(np.maximum(square - mean**2, 0))
    return bool((scatter > _TEXTURE).mean() > _TEXTURED)


def _is_lettering(alpha: NDArray[np.uint8]) -> bool:
    while max(alpha.shape) > 2 * _SIDE and min(alpha.shape) > 1:
        alpha = max_pool(alpha)
    visible = (alpha > 127).view(np.uint8)
    _, _, stats = components_of(visible)
    share = stats[:, cv2.CC_STAT_AREA] / alpha.size
    small = (share > _SMALL[0]) & (share < _SMALL[1])
    small[0] = False
    if np.count_nonzero(small) < _LETTERS:
        return False
    height = stats[small, cv2.CC_STAT_HEIGHT].astype(float)
    typical = float(np.median(height))
    if typical > _TALL * max(alpha.shape) or share[small].std() < _EQUAL * share[small].mean():
        return False
    alike = (height > _HEIGHTS[0] * typical) & (height < _HEIGHTS[1] * typical)
    left = stats[small, cv2.CC_STAT_LEFT].astype(float)
    right = left + stats[small, cv2.CC_STAT_WIDTH]
    middle = stats[small, cv2.CC_STAT_TOP] + height / 2
    same_line = np.abs(middle[:, None] - middle[None]) < 0.35 * typical
    gap = left[None] - right[:, None]
    beside = same_line & (gap < _BESIDE * typical) & (gap > -0.5 * typical) & alike[None]
    beside |= beside.T
    np.fill_diagonal(beside, False)
    letters = int(np.count_nonzero(alike & beside.any(axis=1)))
    return letters >= _LETTERS and letters > _IN_LINES * len(height)
