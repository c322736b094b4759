"""A first alpha from colours alone: how far between a foreground and a background colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from transforms.matting.pushpull import push_pull
from transforms.matting.trimap import BACKGROUND, FOREGROUND

__all__ = ["ColourPrior", "colour_prior"]

# Standard deviation of the colour that a mixture of two candidates may miss by, and the squared
# distance of two candidates at which the mixture is half certain; colours in 0..1.
_SIGMA = 0.03
_TAU = 0.03


@dataclass(frozen=True)
class ColourPrior:
    """What colours say of the unknown pixels.

    Attributes:
        alpha: float32 0..1, one value per unknown pixel, in row order.
        certainty: float32 0..1, likewise.
        fore: float32 HxWx3, 0..1, the foreground's colours, filled in smoothly.
        back: The background's.
    """

    alpha: NDArray[np.float32]
    certainty: NDArray[np.float32]
    fore: NDArray[np.float32]
    back: NDArray[np.float32]


def colour_prior(
    image: NDArray[np.float32], trimap: NDArray[np.uint8], unknown: NDArray[np.bool_]
) -> ColourPrior:
    """Alpha and its certainty for the unknown pixels, from two candidates on each side.

    Args:
        image: float32 HxWx3, 0..1.
        trimap: uint8 HxW.
        unknown: Where the trimap is unknown.

    Returns:
        The prior. A side that the trimap knows no pixel of has the picture's own colours.
    """
    colour = _planes(image, unknown)
    sides: list[tuple[NDArray[np.float32], ...]] = []
    fills = []
    for label in (FOREGROUND, BACKGROUND):
        mask = (trimap == label).view(np.uint8)
        if mask.any():
            fill = push_pull(image, mask.astype(np.float32))
            sides.append((_planes(fill, unknown), _nearest(image, mask, unknown)))
        else:
            fill = image
            sides.append((colour,))
        fills.append(fill)
    least = np.full(colour.shape[1], np.inf, np.float32)
    alpha, certainty = np.empty_like(least), np.empty_like(least)
    for fore in sides[0]:
        for back in sides[1]:
            axis = fore - back
            length = np.einsum("in,in->n", axis, axis)
            offset = colour - back
            a = np.einsum("in,in->n", offset, axis) / np.maximum(length, np.float32(1e-6))
            np.clip(a, 0, 1, out=a)
            axis *= a
            offset -= axis
            missed = np.einsum("in,in->n", offset, offset)
            c = np.exp(missed * np.float32(-0.5 / _SIGMA**2)) * length / (length + np.float32(_TAU))
            better = missed < least
            np.copyto(alpha, a, where=better)
            np.copyto(certainty, c, where=better)
            np.copyto(least, missed, where=better)
    return ColourPrior(alpha, certainty, fills[0], fills[1])


def _nearest(
    image: NDArray[np.float32], mask: NDArray[np.uint8], at: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The colour of the nearest pixel of a mask, 3xn."""
    _, labels = cv2.distanceTransformWithLabels(
        1 - mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = np.flatnonzero(mask)
    pixel_of = np.zeros(int(labels.max()) + 1, np.intp)
    pixel_of[labels.ravel()[inside]] = inside
    return np.ascontiguousarray(image.reshape(-1, 3)[pixel_of[labels[at]]].T)


def _planes(image: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The colours there, 3xn: whole planes multiply quicker than pixels."""
    return np.ascontiguousarray(image[where].T)
