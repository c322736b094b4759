"""Hard cast shadows that a network takes for parts of the product: a handle's, a wire's, a leaf's.

Under one light, all of a hard shadow's core has the colour of the table times one factor. Most of a
shadow the network tells from the product; what it keeps of it is thin, has that factor too, and is
connected with the rest.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import components_of
from alphabeam.transforms.matting.even import largest_channel, plane_of_light

__all__ = ["drop_cast_shadow"]

# Set on composed hard shadows on even backgrounds, and on held-out renders with a hard light
# (benchmarks/model_quality.py --scenes). Lengths are in the network's pixels, colours RGB of 0..1.
_SUBJECT = 0.2  # the network's alpha above it may be the product
_AWAY = 9  # side of the square that must be free of subject, where the background is known
_KNOWN = 0.1  # of the picture, at least, is
_MOST = 0.8  # of that is the background in full light
_EVEN = 0.02  # and of it, six tenths are within this of a plane of light
_SHADE = (0.05, 0.8)  # a shadow's factor
_BESIDE = 5  # side of the square that must be free of subject, where a shadow is looked at
_CORE = 40  # pixels of a shadow's core, at least
_SAME = 0.05  # a core's factors are within it of their median, in each channel,
_UNIFORM = 0.6  # for so much of what is dark: else the light is soft;
_HALF = 4.0  # and so many pixels in half shadow to each one of the core's outline, at most
_PART = 12  # pixels of the product, at least, that have the core's factor
_LEAST_LIGHT = 0.05  # of the background, for division
_TAKEN = 0.12  # of the subject, at most, is shadow: else the product has the shadow's colour
_BARE = 0.02  # from the table in full light, at most: it is seen,
_INSIDE = 0.9  # for so much of what is left: then the dark part is a frame, and this its inside
_EDGE = 7  # side of the square around it in which half shadow goes with it


def drop_cast_shadow(alpha: NDArray[np.float32], picture: NDArray[np.uint8]) -> bool:
    """Sets alpha to 0, in place, where the network took a hard shadow for the product.

    Args:
        alpha: float32 hxw, 0..1, the network's; changed in place.
        picture: uint8 hxwx3, what it saw, at its resolution.

    Returns:
        Whether there was such a shadow.
    """
    subject = (alpha > _SUBJECT).view(np.uint8)
    known = cv2.dilate(subject, np.ones((_AWAY, _AWAY), np.uint8)) == 0
    if known.mean() < _KNOWN:
        return False
    colours = picture.astype(np.float32) * np.float32(1 / 255)
    plane, rest = plane_of_light(colours, known, most=_MOST)
    if np.quantile(np.abs(rest).max(axis=0), 0.6) > _EVEN:
        return False
    factors = np.asarray(colours / np.maximum(plane, np.float32(_LEAST_LIGHT)), np.float32)
    mean = cv2.transform(factors, np.full((1, 3), 1 / 3, np.float32))
    away = cv2.dilate(subject, np.ones((_BESIDE, _BESIDE), np.uint8)) == 0
    dark = ((mean > _SHADE[0]) & (mean < _SHADE[1]) & away).view(np.uint8)
    core = cv2.erode(dark, np.ones((3, 3), np.uint8)) > 0
    if np.count_nonzero(core) < _CORE:
        return False
    seen = factors[core]
    factor = np.asarray(np.median(seen, axis=0), np.float32)
    if (largest_channel(np.abs(seen - factor)) < _SAME).mean() < _UNIFORM:
        return False
    alike = largest_channel(np.abs(factors - factor)) < _SAME
    half = away & (mean > factor.mean() + _SAME) & (mean < 1 - _SAME)
    if np.count_nonzero(half) > _HALF * _outline(alike & away):
        return False
    shadow = _connected_with(alike, core)
    kept = shadow & (subject > 0)
    _, labels, stats = components_of(kept.view(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= _PART
    large[0] = False
    kept = large[labels]
    if not 0 < np.count_nonzero(kept) <= _TAKEN * np.count_nonzero(alpha > 0.5):
        return False
    near = cv2.dilate(kept.view(np.uint8), np.ones((_EDGE, _EDGE), np.uint8)) > 0
    left = (alpha > 0.5) & ~near
    bare = left & (largest_channel(np.abs(colours - plane)) < _BARE)
    if np.count_nonzero(bare) > _INSIDE * np.count_nonzero(left):
        return False
    alpha[kept | (near & _is_in_half_shadow(factors, factor))] = 0
    return True


def _outline(mask: NDArray[np.bool_]) -> int:
    """Pixels beside a mask."""
    grown = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return int(np.count_nonzero(grown & ~mask))


def _connected_with(mask: NDArray[np.bool_], core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The components of a mask that hold pixels of the core."""
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    theirs = np.zeros(count, bool)
    theirs[labels[core & mask]] = True
    theirs[0] = False
    return np.asarray(theirs[labels])


def _is_in_half_shadow(
    factors: NDArray[np.float32], factor: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Where the table's light lies between a shadow's and the full one.

    Args:
        factors: float32 hxwx3, colours by those of the table in full light.
        factor: float32 3, those of the shadow's core.
    """
    way = factor - 1
    share = np.clip((factors - 1) @ way / (way @ way), 0, 1)
    return largest_channel(np.abs(factors - 1 - share[..., None] * way)) < _SAME
