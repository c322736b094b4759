"""Trimap to alpha: solve where it is small, then go up with the picture as guide.

The picture and the trimap are halved until the unknown band is small enough to be solved
exactly; there and on the next level closed-form matting runs in the band, above that guided
upsampling alone. So the cost grows with the band, not with the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from transforms.matting.guided import TILE, upsample_guided, upsample_guided_u8
from transforms.matting.laplacian import solve_band
from transforms.matting.prior import colour_prior
from transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN

__all__ = ["refine_alpha"]

_COARSEST_BAND = 8_000  # unknown pixels at the level where the solve begins
_LARGEST_BAND = 32_000  # the solve is repeated on finer levels up to this
_STEPS = 80
_MARGIN = 32  # known pixels around the band that the colours are taken from


def refine_alpha(
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    coarse: NDArray[np.uint8] | None = None,
    *,
    solve: bool = True,
    tile: int = TILE,
) -> NDArray[np.uint8]:
    """Alpha of the unknown band.

    Args:
        image: uint8 HxWx3; the order of the channels is of no consequence.
        trimap: uint8 HxW of 0, 128 and 255.
        coarse: uint8 HxW, the network's alpha; where the solve starts from.
        solve: False to trust the coarse alpha and only sharpen it along the picture's edges.
        tile: Side of the tiles of the upsampling; the result does not depend on it.

    Returns:
        uint8 HxW; 0 and 255 where the trimap knows.

    Raises:
        ValueError: The shapes or dtypes do not fit.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: uint8 HxWx3 is needed, got {image.dtype} {image.shape}")
    if trimap.dtype != np.uint8 or trimap.shape != image.shape[:2]:
        raise ValueError(
            f"trimap: uint8 {image.shape[:2]} is needed, got {trimap.dtype} {trimap.shape}"
        )
    left, top, width, height = cv2.boundingRect((trimap == UNKNOWN).view(np.uint8))
    if width == 0:
        return trimap.copy()
    rows = slice(max(top - _MARGIN, 0), top + height + _MARGIN)
    columns = slice(max(left - _MARGIN, 0), left + width + _MARGIN)
    levels = [(image[rows, columns], trimap[rows, columns])]
    while _band(levels[-1][1]) > _COARSEST_BAND and min(levels[-1][1].shape) > 16:
        levels.append(_half(*levels[-1]))
    guess = None if coarse is None else coarse[rows, columns]
    result: NDArray[np.float32] | None = None
    inner: NDArray[np.uint8] | None = None
    for level in range(len(levels) - 1, -1, -1):
        picture, known = levels[level]
        unknown = known == UNKNOWN
        solves = solve and (result is None or _band(known) <= _LARGEST_BAND)
        if result is None:
            start = (known == FOREGROUND).astype(np.float32)
            if guess is not None:
                small = cv2.resize(guess, known.shape[::-1], interpolation=cv2.INTER_AREA)
                start[unknown] = small[unknown] * np.float32(1 / 255)
            else:
                start[unknown] = 0.5
        elif level == 0 and not solves:
            inner = upsample_guided_u8(levels[1][0], result, picture, known, tile)
            break
        else:
            start = upsample_guided(levels[level + 1][0], result, picture, known, tile)
        if solves:
            colours = picture.astype(np.float32) * np.float32(1 / 255)
            prior, certainty = colour_prior(colours, known, unknown)
            if result is None:
                start[unknown] += certainty * (prior - start[unknown])
            start = solve_band(colours, start, unknown, prior, certainty, _STEPS)
        result = start
    if inner is None:
        assert result is not None
        inner = np.rint(result * np.float32(255)).astype(np.uint8)
    out = trimap.copy()
    out[rows, columns] = inner
    return out


def _band(trimap: NDArray[np.uint8]) -> int:
    return int(cv2.countNonZero((trimap == UNKNOWN).view(np.uint8)))


def _half(
    image: NDArray[np.uint8], trimap: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Half the size, rounded up; known only where all four pixels agree."""
    height, width = trimap.shape
    if height % 2 or width % 2:
        pad = (0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        image, trimap = cv2.copyMakeBorder(image, *pad), cv2.copyMakeBorder(trimap, *pad)
    half = ((width + 1) // 2, (height + 1) // 2)
    small = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
    corners = [trimap[dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)]
    low = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    high = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    known = np.full(low.shape, UNKNOWN, np.uint8)
    known[low == FOREGROUND] = FOREGROUND
    known[high == BACKGROUND] = BACKGROUND
    return small, known
