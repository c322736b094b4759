"""How unknown pixels compare with the colour of the background around them.

The two-candidate colour prior (`prior`) fails in two situations that are common in product photos.
The subject has colours that neither candidate shows: `foreign_to_background` detects these. The
network's outline is too blurred to resolve a narrow gap through which the background is visible:
`matches_background` detects this.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.prior import ColourPrior, colours_at
from alphabeam.transforms.matting.trimap import BACKGROUND

__all__ = ["distance_to_background", "foreign_to_background", "matches_background"]

# All colour distances are Euclidean, in RGB of 0..1. All constants were tuned together; what each
# idea gains is in docs/matting.md, "What was tried" (benchmarks/matting.py composites).

# Factors by which shadow darkens and light brightens a background, beyond which it is another
# colour.
_SHADE = (0.5, 1.15)

# foreign_to_background: a colour is foreign from _FOREIGN + _NOISE standard deviations of the
# local background on, and fully so after another _FOREIGN.
_FOREIGN = 0.02
_NOISE = 2.5
# The prior's mixture must leave more than this share of that distance unexplained.
_UNEXPLAINED = 0.25
_WINDOW = 64  # side of the window for the background's local statistics, pixels
_KNOWN_SHARE = 0.3  # of that window; with less known background the result is scaled down
_STEP = 4  # the statistics are computed at 1/4 of the size, for speed

# matches_background: closer than _SAME is the background's own colour, beyond 2 * _SAME it is not.
_SAME = 0.03
# Below this distance between foreground and background the comparison says nothing; it counts
# fully at twice that.
_APART = 0.1


def distance_to_background(
    colour: NDArray[np.float32],
    background: NDArray[np.float32],
    shade: tuple[float, float] = _SHADE,
) -> NDArray[np.float32]:
    """Distance of colours from the background's, whatever light or shadow falls on it.

    Args:
        colour: float32 3xn, or 3x1 for one colour; 0..1.
        background: float32 3xn, 0..1.
        shade: The smallest and the largest factor that light may scale the background by.

    Returns:
        float32 n: the distance to the nearest ``f * background`` with ``f`` within ``shade``.
    """
    factor = np.einsum("in,in->n", colour, background)
    factor /= np.maximum(np.einsum("in,in->n", background, background), np.float32(1e-6))
    residual = colour - background * np.clip(factor, *shade)
    distance: NDArray[np.float32] = np.sqrt(np.einsum("in,in->n", residual, residual))
    return distance


def foreign_to_background(
    image: NDArray[np.float32],
    trimap: NDArray[np.uint8],
    unknown: NDArray[np.bool_],
    prior: ColourPrior,
) -> NDArray[np.float32]:
    """How certain it is that a pixel is subject because its colour is not the background's.

    A pixel is foreign if its colour is far from an even background, in any light, and is not a
    mixture of the prior's two candidates either.

    Args:
        image: float32 HxWx3, 0..1.
        trimap: uint8 HxW.
        unknown: bool HxW, where the trimap is unknown; n pixels.
        prior: The colour prior of the same image and trimap.

    Returns:
        float32 n, 0..1. Near 0 where the background is textured, or not known nearby.
    """
    noise, known_share = _local_background(image, trimap)
    noise, known_share = noise[unknown], known_share[unknown]
    far = distance_to_background(colours_at(image, unknown), colours_at(prior.background, unknown))
    unexplained = np.sqrt(prior.residual) / np.maximum(far, np.float32(1e-6))
    foreign: NDArray[np.float32] = np.clip((far - _FOREIGN - _NOISE * noise) / _FOREIGN, 0, 1)
    foreign *= np.clip(unexplained / _UNEXPLAINED - 1, 0, 1)
    foreign *= np.minimum(known_share / _KNOWN_SHARE, 1)
    foreign *= 1 - prior.certainty
    return foreign


def matches_background(
    image: NDArray[np.float32], unknown: NDArray[np.bool_], prior: ColourPrior
) -> NDArray[np.float32]:
    """How certain it is that a pixel has the background's own colour, and the subject another.

    Args:
        image: float32 HxWx3, 0..1.
        unknown: bool HxW, where the trimap is unknown; n pixels.
        prior: The colour prior of the same image and trimap.

    Returns:
        float32 n, 0..1.
    """
    background = prior.background[unknown]
    off = np.linalg.norm(image[unknown] - background, axis=1)
    apart = np.linalg.norm(prior.foreground[unknown] - background, axis=1)
    same: NDArray[np.float32] = np.clip(2 - off / np.float32(_SAME), 0, 1)
    same *= np.clip(apart / np.float32(_APART) - 1, 0, 1)
    return same


def _local_background(
    image: NDArray[np.float32], trimap: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standard deviation of the known background in a window, and its share of that window.

    Both are float32 HxW. The standard deviation is of all three channels together.
    """
    height, width = trimap.shape
    small = (-(-width // _STEP), -(-height // _STEP))
    window = (_WINDOW // _STEP,) * 2
    known = (trimap == BACKGROUND).astype(np.float32)
    masked = cv2.multiply(image, cv2.merge([known] * 3))
    share, mean, square = (
        cv2.blur(cv2.resize(plane, small, interpolation=cv2.INTER_AREA), window)
        for plane in (known, masked, cv2.transform(masked * masked, np.ones((1, 3))))
    )
    weight = np.maximum(share, np.float32(1e-6))
    mean /= weight[..., None]
    variance = square / weight - np.einsum("yxc,yxc->yx", mean, mean)
    noise = np.sqrt(np.maximum(variance, 0))
    return cv2.resize(noise, (width, height)), cv2.resize(share, (width, height))
