"""Guided upsampling of alpha by two.

The colour guided filter of He, Sun and Tang, Guided Image Filtering, PAMI 2013, computed on the
coarse level and applied to the fine one, as in He and Sun, Fast Guided Filter, 2015: in each 3x3
window of the coarse level, alpha is an affine function of colour. The functions' coefficients are
averaged, enlarged, and applied to the fine image.

The result does not depend on the tiles, to the bit: all sums over windows are of whole numbers
below 2**24, which are exact in single precision in any order, and all else is per pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.trimap import FOREGROUND, UNKNOWN
from alphabeam.transforms.parameters import Box

__all__ = ["ALPHA_STEPS", "TILE", "upsample_guided", "upsample_guided_u8"]

ALPHA_STEPS = 4080  # alpha is quantised to this many steps: 16 per step of 8 bit
TILE = 128
# Regularises the covariance. Colours are 0..255 here; 1e-4 / 9 in colours of 0..1. Set by hand.
_EPSILON = np.float32(1e-4 / 9 * 255**2)
_HALO = 3  # coarse pixels that a fine one depends on: two windows of radius 1, and the enlargement


def upsample_guided(
    coarse_image: NDArray[np.uint8],
    coarse_alpha: NDArray[np.float32],
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    tile: int = TILE,
) -> NDArray[np.float32]:
    """Doubles the resolution of alpha in the unknown band.

    Args:
        coarse_image: uint8 hxwx3, half the size of ``image``, rounded up.
        coarse_alpha: float32 hxw, 0..1.
        image: uint8 HxWx3.
        trimap: uint8 HxW.
        tile: Side of the tiles, in coarse pixels; the result does not depend on it.

    Returns:
        float32 HxW, 0..1; 0 and 1 where the trimap is known.
    """
    out: NDArray[np.float32] = (trimap == FOREGROUND).astype(np.float32)
    for box, values in _tiles(coarse_image, coarse_alpha, image, trimap, tile):
        left, top, right, bottom = box
        band = trimap[top:bottom, left:right] == UNKNOWN
        np.copyto(out[top:bottom, left:right], values * np.float32(1 / ALPHA_STEPS), where=band)
    return out


def upsample_guided_u8(
    coarse_image: NDArray[np.uint8],
    coarse_alpha: NDArray[np.float32],
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    tile: int = TILE,
) -> NDArray[np.uint8]:
    """As :func:`upsample_guided`, but uint8 0..255, in a quarter of the memory."""
    out = trimap.copy()
    for box, values in _tiles(coarse_image, coarse_alpha, image, trimap, tile):
        left, top, right, bottom = box
        band = trimap[top:bottom, left:right] == UNKNOWN
        eight = np.rint(values * np.float32(255 / ALPHA_STEPS)).astype(np.uint8)
        np.copyto(out[top:bottom, left:right], eight, where=band)
    return out


def _tiles(
    coarse_image: NDArray[np.uint8],
    coarse_alpha: NDArray[np.float32],
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    tile: int,
) -> Iterator[tuple[Box, NDArray[np.float32]]]:
    """Boxes of the fine image that hold unknown pixels, and alpha there, 0..ALPHA_STEPS."""
    rows, columns = coarse_alpha.shape
    for y in range(0, rows, tile):
        for x in range(0, columns, tile):
            fy, fx = 2 * y, 2 * x
            band = (trimap[fy : fy + 2 * tile, fx : fx + 2 * tile] == UNKNOWN).view(np.uint8)
            bx, by, bw, bh = cv2.boundingRect(band)
            if bw == 0:
                continue
            left, top, right, bottom = fx + bx, fy + by, fx + bx + bw, fy + by + bh
            cl, ct = max(left // 2 - _HALO, 0), max(top // 2 - _HALO, 0)
            cr = min((right + 1) // 2 + _HALO, columns)
            cb = min((bottom + 1) // 2 + _HALO, rows)
            planes = [c.astype(np.float32) for c in cv2.split(coarse_image[ct:cb, cl:cr])]
            alpha = np.rint(coarse_alpha[ct:cb, cl:cr] * np.float32(ALPHA_STEPS))
            weights = _affine(planes, alpha)
            inner = np.s_[top - 2 * ct : bottom - 2 * ct, left - 2 * cl : right - 2 * cl]
            value = _double(weights[3])[inner]
            for channel in range(3):
                fine = image[top:bottom, left:right, channel]
                value += _double(weights[channel])[inner] * fine
            np.clip(value, 0, ALPHA_STEPS, out=value)
            yield (left, top, right, bottom), value


def _affine(
    planes: list[NDArray[np.float32]], alpha: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Coefficients of red, green, blue and the constant in 3x3 windows, averaged over 3x3.

    Args:
        planes: Red, green and blue of the coarse level, float32 hxw, 0..255.
        alpha: float32 hxw, whole numbers 0..ALPHA_STEPS.
    """
    r, g, b = planes
    ninth = np.float32(1 / 9)

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        total: NDArray[np.float32] = cv2.boxFilter(
            x, -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE
        )
        total *= ninth
        return total

    mr, mg, mb, ma = mean(r), mean(g), mean(b), mean(alpha)
    # Solved by elimination: Cramer's rule loses all digits where the channels are alike.
    rr = mean(r * r) - mr * mr + _EPSILON
    lg = (mean(r * g) - mr * mg) / rr
    lb = (mean(r * b) - mr * mb) / rr
    gg = mean(g * g) - mg * mg + _EPSILON - lg * lg * rr
    gb = mean(g * b) - mg * mb - lg * lb * rr
    lgb = gb / gg
    bb = mean(b * b) - mb * mb + _EPSILON - lb * lb * rr - lgb * gb
    cr = mean(r * alpha) - mr * ma
    cg = mean(g * alpha) - mg * ma - lg * cr
    cb = mean(b * alpha) - mb * ma - lb * cr - lgb * cg
    wb = cb / bb
    wg = cg / gg - lgb * wb
    wr = cr / rr - lg * wg - lb * wb
    one = ma - wr * mr - wg * mg - wb * mb
    return [_smooth(w) for w in (wr, wg, wb, one)]


def _smooth(x: NDArray[Any]) -> NDArray[np.float32]:
    """Mean over 3x3, in one fixed order of summation."""
    x = cv2.copyMakeBorder(x, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    x = x[:-2] + x[1:-1] + x[2:]
    x = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    x *= np.float32(1 / 9)
    return x


def _double(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear enlargement by two, pixel centres aligned, in one fixed order of summation."""
    for _ in range(2):
        near, far = x * np.float32(0.75), x * np.float32(0.25)
        out = np.empty((2 * x.shape[0], x.shape[1]), np.float32)
        np.add(near[0], far[0], out=out[0])
        np.add(near[1:], far[:-1], out=out[2::2])
        np.add(near[:-1], far[1:], out=out[1:-1:2])
        np.add(near[-1], far[-1], out=out[-1])
        x = cv2.transpose(out)
    return x
