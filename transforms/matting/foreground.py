"""Foreground estimation: the subject's own colours where the background shines through.

After Germer et al., Fast Multi-Level Foreground Estimation, ICPR 2020. Their method changes
foreground and background as little as possible so that both explain the image, on every level of a
pyramid. Here both sides are filled in by push-pull on one coarse level, and the minimal change is
made twice: on that level and at full size.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.pushpull import push_pull
from alphabeam.transforms.pixels import halved

__all__ = ["straight_alpha"]

_MARGIN = 64  # pixels around the soft pixels that colours are taken from
# The coarse level has half the size, or less until it has at most this many pixels. Measured
# against a quarter of the size: benchmarks/matting.py composites, see docs/matting.md.
_LARGEST_FILL = 500_000
# A pixel's weight in a side's fill is the side's share in it, squared this many times: its 8th
# power. Measured against the 4th power, which leaves background in wide soft edges.
_SQUARINGS = 3
_AT_ONCE = 1 << 16  # soft pixels, which bounds the temporaries
_LONGEST = (1 << 15) - 2  # pixels of a plane's side that OpenCV takes samples of, or puts them in
_ROW = 256  # soft pixels are put into a plane of rows as long
_UNIT = np.float32(1 / 255)


def straight_alpha(
    image: NDArray[np.uint8], alpha: NDArray[np.uint8], at_once: int = _AT_ONCE
) -> NDArray[np.uint8]:
    """Estimates the foreground's colours and stacks them with alpha.

    Args:
        image: uint8 HxWx3.
        alpha: uint8 HxW.
        at_once: Soft pixels that are worked on at a time; the result does not depend on it.

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
    xs, ys = cv2.findNonZero(soft).reshape(-1, 2).T
    for first in range(0, len(ys), at_once):
        y, x = ys[first : first + at_once], xs[first : first + at_once]
        result[y, x, :3] = _colours(image[y, x], alpha[y, x], sides, y, x)
    return out


class _Sides(NamedTuple):
    """Both sides' colours on the coarse level.

    Attributes:
        fore: float32 hxwx3, the foreground's, changed, 0..1.
        back: float32 hxwx3, the background's, as filled in.
        step: Pixels of the image for each of theirs.
    """

    fore: NDArray[np.float32]
    back: NDArray[np.float32]
    step: int


def _coarse_sides(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> _Sides:
    step = 1
    while step == 1 or alpha.size > _LARGEST_FILL or max(alpha.shape) > _LONGEST:
        image, alpha, step = halved(image), halved(alpha), 2 * step
    seen, a = image.astype(np.float32) * _UNIT, alpha.astype(np.float32) * _UNIT
    fore, back = push_pull(seen, _fill_weight(a)), push_pull(seen, _fill_weight(1 - a))
    seen -= cv2.multiply(fore, cv2.merge([a] * 3))
    seen -= cv2.multiply(back, cv2.merge([1 - a] * 3))
    fore += cv2.multiply(seen, cv2.merge([_foreground_share(a)] * 3))
    return _Sides(np.clip(fore, 0, 1, out=fore), back, step)


def _colours(
    seen: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    sides: _Sides,
    y: NDArray[np.int32],
    x: NDArray[np.int32],
) -> NDArray[np.uint8]:
    """The foreground's colours of n pixels, uint8 nx3.

    Args:
        seen: uint8 nx3, the image's colours there.
        alpha: uint8 n.
        sides: Both sides' colours.
        y: Rows of the image.
        x: Its columns.
    """
    places = [np.zeros(-(-len(y) // _ROW) * _ROW, np.float32) for _ in range(2)]
    for place, at in zip(places, (x, y), strict=True):
        np.add(at, 0.5, out=place[: len(y)], casting="same_kind")
        place *= np.float32(1 / sides.step)
        place -= np.float32(0.5)
    across, down = (place.reshape(-1, _ROW) for place in places)

    def sampled(side: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        how = cv2.INTER_LINEAR
        at = cv2.remap(side, across, down, how, borderMode=cv2.BORDER_REPLICATE)
        return [plane.ravel()[: len(y)] for plane in cv2.split(at)]

    fore, back = sampled(sides.fore), sampled(sides.back)
    opaque = alpha.astype(np.float32) * _UNIT
    clear, share = 1 - opaque, _foreground_share(opaque)
    colours = np.empty(seen.shape, np.uint8)
    for channel, (f, b) in enumerate(zip(fore, back, strict=True)):  # numpy is slow over three
        colour = seen[:, channel] * _UNIT
        colour -= opaque * f
        colour -= clear * b
        colour *= share
        colour += f
        colour *= 255
        colours[:, channel] = np.rint(np.clip(colour, 0, 255, out=colour))
    return colours


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
