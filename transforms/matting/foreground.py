"""Foreground estimation: the subject's own colours where the background shines through.

After Germer et al., Fast Multi-Level Foreground Estimation, ICPR 2020. Their method changes
foreground and background as little as possible so that both explain the image, on every level of a
pyramid. Here both sides are filled in by push-pull on one coarse level, and the minimal change is
made twice: on that level and at full size.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.pushpull import push_pull

__all__ = ["straight_alpha"]

_MARGIN = 64  # pixels around the soft pixels that colours are taken from
# The coarse level has half the size, or less until it has at most this many pixels. Measured
# against a quarter of the size: benchmarks/matting.py composites, see docs/matting.md.
_LARGEST_FILL = 500_000
# A pixel's weight in a side's fill is the side's share in it, squared this many times: its 8th
# power. Measured against the 4th power, which leaves background in wide soft edges.
_SQUARINGS = 3
_TILE = 128
_UNIT = np.float32(1 / 255)

# Foreground and background on the coarse level: three float32 hxw planes each.
_Sides = tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]


def straight_alpha(
    image: NDArray[np.uint8], alpha: NDArray[np.uint8], tile: int = _TILE
) -> NDArray[np.uint8]:
    """Estimates the foreground's colours and stacks them with alpha.

    Args:
        image: uint8 HxWx3.
        alpha: uint8 HxW.
        tile: Side of the tiles in pixels; bounds the temporaries.

    Returns:
        uint8 HxWx4, straight alpha. Colours are the image's own where alpha is 255, and 0 where
        alpha is 0.
    """
    out: NDArray[np.uint8] = cv2.merge([cv2.bitwise_and(image, image, mask=alpha), alpha])
    soft = cv2.inRange(alpha, 1, 254)
    left, top, width, height = cv2.boundingRect(soft)
    if width == 0:
        return out
    rows = slice(max(top - _MARGIN, 0), min(top + height + _MARGIN, alpha.shape[0]))
    columns = slice(max(left - _MARGIN, 0), min(left + width + _MARGIN, alpha.shape[1]))
    image, alpha, soft, result = (x[rows, columns] for x in (image, alpha, soft, out))
    sides = _coarse_sides(image, alpha)
    height, width = alpha.shape
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            bx, by, bw, bh = cv2.boundingRect(soft[y : y + tile, x : x + tile])
            if bw:
                here = np.s_[y + by : y + by + bh, x + bx : x + bx + bw]
                _colour_tile(image, alpha, soft, sides, here, result)
    return out


def _coarse_sides(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> _Sides:
    """Foreground (changed, 0..1) and background (as filled in) at a fraction of the size."""
    height, width = alpha.shape
    shrink = 2
    while height * width / shrink**2 > _LARGEST_FILL:
        shrink *= 2
    size = (-(-width // shrink), -(-height // shrink))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) * _UNIT
    a = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) * _UNIT
    fore = list(cv2.split(push_pull(small, _fill_weight(a))))
    back = list(cv2.split(push_pull(small, _fill_weight(1 - a))))
    share = _foreground_share(a)
    # By channels: numpy is slow over an axis of three.
    for seen, front, behind in zip(cv2.split(small), fore, back, strict=True):
        residual = seen - a * front - (1 - a) * behind
        front += share * residual
        np.clip(front, 0, 1, out=front)
    return fore, back


def _colour_tile(
    image: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    soft: NDArray[np.uint8],
    sides: _Sides,
    here: tuple[slice, slice],
    result: NDArray[np.uint8],
) -> None:
    """Writes the foreground's colours of one tile's soft pixels into ``result``, uint8 HxWx4."""
    coarse = sides[0][0].shape
    fy, fx = coarse[0] / alpha.shape[0], coarse[1] / alpha.shape[1]
    rows, columns = here
    # Maps the tile's pixel centres to the coarse level.
    to_coarse = np.array(
        [
            [fx, 0, (columns.start + 0.5) * fx - 0.5],
            [0, fy, (rows.start + 0.5) * fy - 0.5],
        ],
        np.float32,
    )
    size = (columns.stop - columns.start, rows.stop - rows.start)
    opaque = alpha[here].astype(np.float32) * _UNIT
    clear, share = 1 - opaque, _foreground_share(opaque)
    within = soft[here] > 0
    for channel in range(3):
        f, b = (
            cv2.warpAffine(
                side[channel],
                to_coarse,
                size,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for side in sides
        )
        colour = image[here][..., channel] * _UNIT
        colour -= opaque * f
        colour -= clear * b
        colour *= share
        colour += f
        colour *= 255
        np.clip(colour, 0, 255, out=colour)
        np.copyto(result[here][..., channel], np.rint(colour).astype(np.uint8), where=within)


def _fill_weight(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight of a pixel in a side's fill, by the side's share in it, 0..1."""
    for _ in range(_SQUARINGS):
        share = share * share
    return share


def _foreground_share(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change of F per unit of residual ``I - alpha F - (1 - alpha) B``.

    Of all changes of F and B that make the residual 0, the smallest (least squares) changes F by
    this much; B changes by ``(1 - alpha) / (alpha**2 + (1 - alpha)**2)``.
    """
    share: NDArray[np.float32] = alpha / (alpha**2 + (1 - alpha) ** 2)
    return share
