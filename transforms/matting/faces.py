"""Round faces that a network takes for what a hoop encloses: a plate's, a clock's, a pan's.

A network has learnt from rings and hoops that a round rim encloses the background. A pale face
within a coloured rim looks so too, and it opens all of it, without a doubt. Behind a hoop,
however, the background goes on: the two sides of its rim have one colour, whatever the light does.
Where they differ nearly all the way round, what the rim encloses is a part of the product, and is
filled. Where they differ a little, in texture, or by what is printed inside, it is in doubt.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import components_of, touches_frame
from alphabeam.transforms.matting.even import largest_channel

__all__ = ["Faces", "fill_faces"]

# Set on drawn and rendered plates, pans, clocks, mirrors and hoops; see benchmarks/damage.py.
_SUBJECT = 0.5  # the network's alpha above it
_LARGE = 2e-3  # of the picture, at least, is a face;
_SHARE = 0.2  # and so much of it and all that is subject
_ROUND = 0.93  # intersection over union with an ellipse, at least
_NEAR, _BESIDE = 3, 4  # pixels from the rim, and so many pixels there, are looked at on each side;
_FAR = 0.3  # and as many others up to so much of the face's width away from it
_ANGLES = 72  # directions, of which
_SEEN = 24  # so many show the background outside, at least
_STEP = 0.03  # from side to side, in the worst channel of 0..1, at least: then it is a face,
_ROUND_ABOUT = 0.75  # in so many of the directions
_DOUBT = 0.012  # a smaller step is in doubt, and so is
_PLAIN, _ROUGH = 0.004, 3.0  # a texture that one side has, so many times the other's,
_PRINT = 0.005  # or what stands alone inside, by the area: a clock's hands


class Faces(NamedTuple):
    """What was found of round openings.

    Attributes:
        filled: Whether there was a face, which is filled now.
        doubted: Area of the openings that may be faces, and stay open, by that of the subject.
    """

    filled: bool
    doubted: float


def fill_faces(alpha: NDArray[np.float32], picture: NDArray[np.uint8]) -> Faces:
    """Sets alpha to 1, in place, in round openings that do not show what is around them.

    Args:
        alpha: float32 hxw, 0..1, the network's; changed in place.
        picture: uint8 hxwx3, what it saw, at its resolution.

    Returns:
        What was found.
    """
    subject = (alpha > _SUBJECT).view(np.uint8)
    _, labels, stats = components_of(1 - subject, connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= _LARGE * alpha.size
    large[0] = False
    large &= ~touches_frame(stats, alpha.shape)
    if not large.any():
        return Faces(False, 0.0)
    colours = cv2.GaussianBlur(picture, (3, 3), 0).astype(np.float32) * np.float32(1 / 255)
    rough = _roughness(picture)
    open_air = (labels > 0) & touches_frame(stats, alpha.shape)[labels]
    filled, doubted = False, 0
    for label in np.flatnonzero(large):
        hole = (labels == label).view(np.uint8)
        found = _kind_of(hole, subject, open_air, colours, rough)
        if found == "face":
            near = cv2.dilate(hole, np.ones((5, 5), np.uint8)) > 0
            beyond = cv2.dilate(open_air.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
            alpha[(hole > 0) | (near & ~beyond)] = 1
            filled = True
        elif found == "doubt":
            doubted += int(stats[label, cv2.CC_STAT_AREA])
    return Faces(filled, doubted / max(int(np.count_nonzero(alpha > _SUBJECT)), 1))


def _kind_of(
    hole: NDArray[np.uint8],
    subject: NDArray[np.uint8],
    open_air: NDArray[np.bool_],
    colours: NDArray[np.float32],
    rough: NDArray[np.float32],
) -> str:
    """What an opening (uint8 hxw, 0 or 1) is: ``face``, ``doubt``, or nothing to see."""
    contours, _ = cv2.findContours(hole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    if len(outline) < _ANGLES:
        return ""
    ellipse = cv2.fitEllipse(outline)
    shape, drawn = np.zeros_like(hole), np.zeros_like(hole)
    cv2.drawContours(shape, [outline], 0, 1, cv2.FILLED)
    cv2.ellipse(drawn, ellipse, 1, cv2.FILLED)
    if np.count_nonzero(shape & drawn) < _ROUND * np.count_nonzero(shape | drawn):
        return ""
    if np.count_nonzero(hole) < _SHARE * np.count_nonzero(shape | subject):
        return ""
    across = float(np.sqrt(ellipse[1][0] * ellipse[1][1]))
    points = outline[:: len(outline) // _ANGLES, 0].astype(np.float32)
    ways = points - np.array(ellipse[0], np.float32)
    ways /= np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-3)
    pairs = [
        pair
        for point, way in zip(points, ways, strict=True)
        if (pair := _across_rim(point, way, across, hole, subject, open_air)) is not None
    ]
    if len(pairs) < _SEEN:
        return ""
    inner, outer = (np.stack(some) for some in zip(*pairs, strict=True))
    # A rim's own shadow is a band beside it, and farther away the light may be another one.
    steps = np.full(len(pairs), 1, np.float32)
    for part in (slice(_BESIDE), slice(_BESIDE, None)):
        seen = [colours[at[:, part, 1], at[:, part, 0]] for at in (inner, outer)]
        apart = np.abs(np.median(seen[0], axis=1) - np.median(seen[1], axis=1))
        steps = np.minimum(steps, largest_channel(apart))
    if np.quantile(steps, 1 - _ROUND_ABOUT) > _STEP:
        return "face"
    texture = [float(np.median(rough[at[..., 1], at[..., 0]])) for at in (inner, outer)]
    differs = max(texture) > _PLAIN + _ROUGH * min(texture)
    printed = np.count_nonzero(shape & subject) > _PRINT * np.count_nonzero(shape)
    return "doubt" if np.median(steps) > _DOUBT or differs or printed else ""


def _across_rim(
    point: NDArray[np.float32],
    way: NDArray[np.float32],
    across: float,
    hole: NDArray[np.uint8],
    subject: NDArray[np.uint8],
    open_air: NDArray[np.bool_],
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Places (x and y) on both sides of a rim; None where the background is not seen beyond it."""
    height, width = subject.shape
    away = np.arange(1, int(across) + 1, dtype=np.float32)[:, None]
    out = np.rint(point + away * way).astype(np.intp)
    out = out[((out >= 0) & (out < (width, height))).all(axis=1)]
    beyond = np.flatnonzero(
        (subject[out[:, 1], out[:, 0]] == 0) & (hole[out[:, 1], out[:, 0]] == 0)
    )
    if not len(beyond):
        return None
    outer = out[beyond[0] + _NEAR :]
    outer = outer[: max(round(_FAR * across), 2 * _BESIDE)]
    inner = np.rint(point - (_NEAR - 1 + away[: len(outer)]) * way).astype(np.intp)
    if len(outer) < 2 * _BESIDE:
        return None
    chosen = [*range(_BESIDE), *np.linspace(_BESIDE, len(outer) - 1, _BESIDE).astype(int)]
    inner, outer = inner[chosen], outer[chosen]
    near = inner[:_BESIDE]
    if not open_air[outer[:, 1], outer[:, 0]].all() or not hole[near[:, 1], near[:, 0]].all():
        return None
    return inner, outer


def _roughness(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much a picture changes from pixel to pixel, about each: float32 hxw, 0..1."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) * np.float32(1 / 255)
    second = np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=1))
    return np.asarray(cv2.blur(second, (5, 5)), np.float32)
