"""A first alpha from colours alone: how far between a foreground and a background colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.pushpull import push_pull
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND

__all__ = [
    "ColourPrior",
    "colour_prior",
    "foreign_to_ground",
    "off_ground",
    "ramp",
    "same_as_ground",
]

# Standard deviation of the colour that a mixture of two candidates may miss by, and the squared
# distance of two candidates at which the mixture is half certain; colours in 0..1.
_SIGMA = 0.03
_TAU = 0.03
# Ground is what lies within _SHADE of its colour in brightness and within _NOISE standard
# deviations and _FOREIGN otherwise; at twice that, and where the candidates explain next to
# nothing of the difference, a colour is surely foreign to it.
_SHADE = (0.5, 1.15)
_NOISE = 2.5
_FOREIGN = 0.02
_UNEXPLAINED = 0.25
_WINDOW = 64  # side of the window that the ground is judged in, pixels,
_SEEN = 0.3  # and the share of it that must be known
_STEP = 4  # pixels of the picture per pixel of that judgement
# A colour nearer than the first to the ground's is the ground's own; at twice that it is not. It
# says nothing where subject and ground are nearer to each other than the second.
_SAME = 0.03
_APART = 0.1


@dataclass(frozen=True)
class ColourPrior:
    """What colours say of the unknown pixels.

    Attributes:
        alpha: float32 0..1, one value per unknown pixel, in row order.
        certainty: float32 0..1, likewise.
        missed: float32, squared distance of the colour from the mixture, likewise.
        fore: float32 HxWx3, 0..1, the foreground's colours, filled in smoothly.
        back: The background's.
    """

    alpha: NDArray[np.float32]
    certainty: NDArray[np.float32]
    missed: NDArray[np.float32]
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
    return ColourPrior(alpha, certainty, least, fills[0], fills[1])


def foreign_to_ground(
    image: NDArray[np.float32],
    trimap: NDArray[np.uint8],
    unknown: NDArray[np.bool_],
    prior: ColourPrior,
) -> NDArray[np.float32]:
    """How surely a colour is not the ground's, though the prior cannot say what else it is.

    The prior's two candidates are not all of a subject's colours. On an even ground, a colour
    that is neither the ground's own, in light or in shadow, nor a mixture of candidates, belongs
    to the subject.

    Args:
        image: float32 HxWx3, 0..1.
        trimap: uint8 HxW.
        unknown: Where the trimap is unknown.
        prior: What :func:`colour_prior` says of the same.

    Returns:
        float32 0..1, one value per unknown pixel: what is to be added to the prior's certainty,
        for alpha 1. Next to nothing on a rough ground, or far from all that is known of it.
    """
    height, width = trimap.shape
    small = (-(-width // _STEP), -(-height // _STEP))
    side = (_WINDOW // _STEP,) * 2
    known = (trimap == BACKGROUND).astype(np.float32)
    ground = cv2.multiply(image, cv2.merge([known] * 3))
    seen, mean, square = (
        cv2.blur(cv2.resize(plane, small, interpolation=cv2.INTER_AREA), side)
        for plane in (known, ground, cv2.transform(ground * ground, np.ones((1, 3))))
    )
    weight = np.maximum(seen, np.float32(1e-6))
    mean /= weight[..., None]
    variance = square / weight - np.einsum("yxc,yxc->yx", mean, mean)
    noise = np.sqrt(np.maximum(variance, 0))
    noise, seen = (cv2.resize(plane, (width, height))[unknown] for plane in (noise, seen))
    colour, back = _planes(image, unknown), _planes(prior.back, unknown)
    far = off_ground(colour, back)
    unexplained = np.sqrt(prior.missed) / np.maximum(far, np.float32(1e-6))
    foreign = np.clip((far - _FOREIGN - _NOISE * noise) / _FOREIGN, 0, 1)
    foreign *= np.clip(unexplained / _UNEXPLAINED - 1, 0, 1)
    foreign *= np.minimum(seen / _SEEN, 1)
    foreign *= 1 - prior.certainty
    return foreign


def same_as_ground(
    image: NDArray[np.float32], unknown: NDArray[np.bool_], prior: ColourPrior
) -> NDArray[np.float32]:
    """How surely a colour is the ground's own, beside a subject of another colour.

    What shows between two stems or through a handle is narrower than a network's outline is
    sharp: there it must not be believed against what is plain to see.

    Args:
        image: float32 HxWx3, 0..1.
        unknown: Where the trimap is unknown.
        prior: What :func:`colour_prior` says of the same.

    Returns:
        float32 0..1, one value per unknown pixel.
    """
    back = prior.back[unknown]
    off = np.linalg.norm(image[unknown] - back, axis=1)
    apart = np.linalg.norm(prior.fore[unknown] - back, axis=1)
    same: NDArray[np.float32] = np.clip(2 - off / np.float32(_SAME), 0, 1)
    same *= np.clip(apart / np.float32(_APART) - 1, 0, 1)
    return same


def off_ground(
    colour: NDArray[np.float32],
    ground: NDArray[np.float32],
    light: tuple[float, float] = _SHADE,
) -> NDArray[np.float32]:
    """How far colours are from the ground's, in whatever light or shadow it may lie.

    Args:
        colour: float32 3xn, or 3x1 for one colour.
        ground: float32 3xn, 0..1.
        light: How dark and how bright the ground may be there, 1 being as it is.

    Returns:
        float32 n, the distance.
    """
    shade = np.einsum("in,in->n", colour, ground)
    shade /= np.maximum(np.einsum("in,in->n", ground, ground), np.float32(1e-6))
    missed = colour - ground * np.clip(shade, *light)
    distance: NDArray[np.float32] = np.sqrt(np.einsum("in,in->n", missed, missed))
    return distance


def ramp(values: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    """From 0 at ``start`` to 1 at ``end``, whichever is the larger."""
    ramp: NDArray[np.float32] = np.clip((values - start) / (end - start), 0, 1)
    return ramp


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
