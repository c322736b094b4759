"""Alpha to colours: the subject's own colour, freed from the ground that shone through."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.pushpull import push_pull

__all__ = ["straight_alpha"]

_MARGIN = 64  # pixels around the soft band that colours are taken from
_LARGEST_FILL = 500_000  # pixels that the fills may have
_SQUARINGS = 3  # of a side's share in a pixel, which weighs what the pixel says of its colour
_TILE = 128


def straight_alpha(
    image: NDArray[np.uint8], alpha: NDArray[np.uint8], tile: int = _TILE
) -> NDArray[np.uint8]:
    """Colours of the subject where it is soft, the picture's own where it is solid.

    Foreground and background are filled smoothly into the soft band at a fraction of the size;
    what the picture then misses of their mixture is shared between them, so that both change as
    little as can be, there and once more at full size (after Germer et al., Fast Multi-Level
    Foreground Estimation, ICPR 2020, whose steps do so on every level).

    Args:
        image: uint8 HxWx3.
        alpha: uint8 HxW.
        tile: Side of the tiles, in pixels.

    Returns:
        uint8 HxWx4, straight alpha; colours are 0 where alpha is 0.
    """
    out = cv2.merge([cv2.bitwise_and(image, image, mask=alpha), alpha])
    soft = cv2.inRange(alpha, 1, 254)
    left, top, width, height = cv2.boundingRect(soft)
    if width == 0:
        return out
    rows = slice(max(top - _MARGIN, 0), min(top + height + _MARGIN, alpha.shape[0]))
    columns = slice(max(left - _MARGIN, 0), min(left + width + _MARGIN, alpha.shape[1]))
    image, alpha, soft, result = (x[rows, columns] for x in (image, alpha, soft, out))
    height, width = alpha.shape
    shrink = 2
    while height * width / shrink**2 > _LARGEST_FILL:
        shrink *= 2
    size = (-(-width // shrink), -(-height // shrink))
    unit = np.float32(1 / 255)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) * unit
    a = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) * unit
    fore = push_pull(small, _weight(a))
    back = push_pull(small, _weight(1 - a))
    a = a[..., None]
    fore = np.clip(fore + _share(a) * (small - a * fore - (1 - a) * back), 0, 1)
    fore_planes, back_planes = cv2.split(fore), cv2.split(back)
    fx, fy = size[0] / width, size[1] / height
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            bx, by, bw, bh = cv2.boundingRect(soft[y : y + tile, x : x + tile])
            if bw == 0:
                continue
            here = np.s_[y + by : y + by + bh, x + bx : x + bx + bw]
            # Samples the small planes at this tile's pixel centres.
            sampling = np.array(
                [
                    [fx, 0, (x + bx + 0.5) * fx - 0.5],
                    [0, fy, (y + by + 0.5) * fy - 0.5],
                ],
                np.float32,
            )
            how = {
                "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                "borderMode": cv2.BORDER_REPLICATE,
            }
            opaque = alpha[here].astype(np.float32) * unit
            clear, share = 1 - opaque, _share(opaque)
            within = soft[here] > 0
            for channel in range(3):
                f = cv2.warpAffine(fore_planes[channel], sampling, (bw, bh), **how)
                b = cv2.warpAffine(back_planes[channel], sampling, (bw, bh), **how)
                colour = image[here][..., channel] * unit
                colour -= opaque * f
                colour -= clear * b
                colour *= share
                colour += f
                colour *= 255
                np.clip(colour, 0, 255, out=colour)
                np.copyto(
                    result[here][..., channel], np.rint(colour).astype(np.uint8), where=within
                )
    return out


def _weight(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much a pixel says of a side's colour, by the side's share in it."""
    for _ in range(_SQUARINGS):
        share = share * share
    return share


def _share(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of what the mixture misses makes it up at least cost, if the foreground takes it.

    The ground takes its own part; of all pairs of changes that fit, this is the smallest.
    """
    share: NDArray[np.float32] = alpha / (alpha**2 + (1 - alpha) ** 2)
    return share
