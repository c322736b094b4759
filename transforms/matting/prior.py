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
    colour = image[unknown]
    sides: list[tuple[NDArray[np.float32], ...]] = []
    fills = []
    for label in (FOREGROUND, BACKGROUND):
        mask = (trimap == label).astype(np.uint8)
        if mask.any():
            fill = push_pull(image, mask.astype(np.float32))
            sides.append((fill[unknown], _nearest(image, mask, unknown)))
        else:
            fill = image
            sides.append((colour,))
        fills.append(fill)
    alpha = certainty = least = None
    for fore in sides[0]:
        for back in sides[1]:
            axis = fore - back
            length = np.einsum("ij,ij->i", axis, axis)
            offset = colour - back
            a = np.einsum("ij,ij->i", offset, axis) / np.maximum(length, np.float32(1e-6))
            np.clip(a, 0, 1, out=a)
            offset -= a[:, None] * axis
            missed = np.einsum("ij,ij->i", offset, offset)
            c = np.exp(-missed / (2 * _SIGMA**2)) * length / (length + _TAU)
            if least is None:
                alpha, certainty, least = a, c, missed
            else:
                better = missed < least
                alpha = np.where(better, a, alpha)
                certainty = np.where(better, c, certainty)
                least = np.where(better, missed, least)
    assert alpha is not None and certainty is not None
    return ColourPrior(alpha.astype(np.float32), certainty.astype(np.float32), fills[0], fills[1])


def _nearest(
    image: NDArray[np.float32], mask: NDArray[np.uint8], at: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The colour of the nearest pixel of a mask."""
    _, labels = cv2.distanceTransformWithLabels(
        1 - mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = mask > 0
    table = np.zeros((int(labels.max()) + 1, 3), np.float32)
    table[labels[inside]] = image[inside]
    return table[labels[at]]
