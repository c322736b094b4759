"""The colour prior: alpha of each unknown pixel from its colour alone.

Sampling-based matting with two fixed candidates a side, instead of a search: the colour of the
nearest known pixel, and a smooth fill (push-pull) of all known ones. The best of the four pairs
gives alpha, as in Wang and Cohen, Optimized Color Sampling for Robust Matting, CVPR 2007. A search
as in He et al., A Global Sampling Method for Alpha Matting, CVPR 2011, was tried and gains too
little; see docs/matting.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.pushpull import push_pull
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND

__all__ = ["ColourPrior", "colour_prior", "colours_at"]

_SIGMA = 0.03  # standard deviation of the mixture's residual; colours in 0..1
_TAU = 0.03  # squared distance of a pair at which the certainty is halved


@dataclass(frozen=True)
class ColourPrior:
    """What colours say about the unknown pixels, of which there are n, in row order.

    Attributes:
        alpha: float32 n, 0..1.
        certainty: float32 n, 0..1. High if a pair of distant colours explains the pixel.
        residual: float32 n, squared distance of the pixel's colour from that pair's mixture.
        foreground: float32 HxWx3, 0..1, the known foreground filled in smoothly.
        background: float32 HxWx3, 0..1, the known background, likewise.
    """

    alpha: NDArray[np.float32]
    certainty: NDArray[np.float32]
    residual: NDArray[np.float32]
    foreground: NDArray[np.float32]
    background: NDArray[np.float32]


def colour_prior(
    image: NDArray[np.float32], trimap: NDArray[np.uint8], unknown: NDArray[np.bool_]
) -> ColourPrior:
    """Estimates alpha and its certainty from the known colours around.

    Args:
        image: float32 HxWx3, 0..1.
        trimap: uint8 HxW.
        unknown: bool HxW, where the trimap is unknown.

    Returns:
        The prior. Where the trimap knows no foreground (or background) at all, the image's own
        colours stand for it.
    """
    colour = colours_at(image, unknown)
    foreground, foreground_candidates = _candidates(image, trimap == FOREGROUND, unknown, colour)
    background, background_candidates = _candidates(image, trimap == BACKGROUND, unknown, colour)
    best = np.full(colour.shape[1], np.inf, np.float32)
    alpha, certainty = np.empty_like(best), np.empty_like(best)
    for fore in foreground_candidates:
        for back in background_candidates:
            pair_alpha, residual, pair_certainty = _unmix(colour, fore, back)
            better = residual < best
            np.copyto(alpha, pair_alpha, where=better)
            np.copyto(certainty, pair_certainty, where=better)
            np.copyto(best, residual, where=better)
    return ColourPrior(alpha, certainty, best, foreground, background)


def colours_at(image: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The colours of the chosen pixels as float32 3xn: planes multiply faster than pixels."""
    return np.ascontiguousarray(image[where].T)


def _candidates(
    image: NDArray[np.float32],
    known: NDArray[np.bool_],
    unknown: NDArray[np.bool_],
    colour: NDArray[np.float32],
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """One side's fill (HxWx3) and its candidates for the unknown pixels (3xn each)."""
    mask = known.view(np.uint8)
    if not mask.any():
        return image, [colour]
    fill = push_pull(image, mask.astype(np.float32))
    return fill, [colours_at(fill, unknown), _nearest(image, mask, unknown)]


def _unmix(
    colour: NDArray[np.float32], fore: NDArray[np.float32], back: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Projects colours on the line from ``back`` to ``fore``, all float32 3xn.

    Returns:
        Alpha (clipped to 0..1), squared residual, and certainty, float32 n each.
    """
    axis = fore - back
    length = np.einsum("in,in->n", axis, axis)
    offset = colour - back
    alpha = np.einsum("in,in->n", offset, axis) / np.maximum(length, np.float32(1e-6))
    np.clip(alpha, 0, 1, out=alpha)
    axis *= alpha
    offset -= axis
    residual = np.einsum("in,in->n", offset, offset)
    likelihood = np.exp(residual * np.float32(-0.5 / _SIGMA**2))
    return alpha, residual, likelihood * length / (length + np.float32(_TAU))


def _nearest(
    image: NDArray[np.float32], mask: NDArray[np.uint8], at: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The colour of the nearest pixel of the mask, float32 3xn."""
    _, labels = cv2.distanceTransformWithLabels(
        1 - mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = np.flatnonzero(mask)
    pixel_of = np.zeros(int(labels.max()) + 1, np.intp)
    pixel_of[labels.ravel()[inside]] = inside
    return np.ascontiguousarray(image.reshape(-1, 3)[pixel_of[labels[at]]].T)
