"""Parts of the subject that a network leaves out though their colour is not the background's.

A pale lid on a white table, or the light side of a cup, looks like the background to a network. On
an even background it can be told apart: no light and no shadow makes its colour of the
background's. Coloured light beside a product differs from it as well, and so does a shadow under
two lights; these lie beside the subject, while a part of it is enclosed by the rest. So what is
enclosed is filled, and what lies beside the result is measured, to be flagged.

A thing that stands by itself is another product. If the network saw a part of it, all of it is
filled: the solver would otherwise find only what the trimap calls unknown, in square blocks.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import components_of
from alphabeam.transforms.matting.even import EvenBackground
from alphabeam.transforms.pixels import shrunk

__all__ = ["fill_left_out", "left_out_share"]

_SUBJECT = 0.5  # the network's alpha above it
_CLEAR = 56  # of the result (0..255) below
# Set as the limits of a foreign colour are, see `even`.
_BESIDE = 17  # side of the square about a pixel of the subject that a patch must reach into
_AREA = 1e-4  # of the picture, at least
_SOLID = 6  # pixels of it, at least, are more than a pixel away from its outline
_ENCLOSED = 0.5  # of the pixels around it, at least, are the subject's
_THING = 1e-3  # of the picture, at least, is another product
_ALONE = 7  # side of the square about each pixel of a thing in which no other subject is
# The network's alpha above which the trimap is unknown, and the side of the square that it spreads
# to: the band's, at its least wide.
_FAINT, _SPREAD = 0.06, 7
_SEEN = 0.2  # of a thing's pixels, at least, would be unknown


def fill_left_out(alpha: NDArray[np.float32], background: EvenBackground) -> bool:
    """Sets alpha to 1, in place, in patches of a colour that the background has not.

    They are enclosed by the subject, or stand by themselves and were seen in part.

    Args:
        alpha: float32 hxw, 0..1, the network's; changed in place.
        background: The same picture's.

    Returns:
        Whether there was such a patch.
    """
    alone = _fill_alone(alpha, background)
    subject = (alpha > _SUBJECT).view(np.uint8)
    labels, stats = _patches(subject == 0, background)
    square = np.ones((3, 3), np.uint8)
    filled = False
    for label in range(1, len(stats)):
        x, y, w, h, area = stats[label]
        if area < _AREA * alpha.size:
            continue
        here = np.s_[max(y - 1, 0) : y + h + 1, max(x - 1, 0) : x + w + 1]
        patch = (labels[here] == label).view(np.uint8)
        if np.count_nonzero(cv2.erode(patch, square)) < _SOLID:
            continue
        around = cv2.dilate(patch, square) - patch > 0
        if subject[here][around].mean() >= _ENCLOSED:
            alpha[here][patch > 0] = 1
            filled = True
    return filled or alone


def _fill_alone(alpha: NDArray[np.float32], background: EvenBackground) -> bool:
    """Fills things, in place, that stand by themselves and that the network saw in part."""
    near = np.ones((3, 3), np.uint8)
    spread = np.ones((_SPREAD, _SPREAD), np.uint8)
    seen = cv2.dilate((alpha > _FAINT).view(np.uint8), spread) > 0
    subject = (alpha > _SUBJECT).view(np.uint8)
    labels, stats = _patches(np.ones(alpha.shape, np.bool_), background)
    height, width = alpha.shape
    reach = _ALONE // 2
    filled = False
    for label in range(1, len(stats)):
        x, y, w, h, area = stats[label]
        if area < _THING * alpha.size or x == 0 or y == 0 or x + w == width or y + h == height:
            continue
        here = np.s_[max(y - reach, 0) : y + h + reach, max(x - reach, 0) : x + w + reach]
        thing = labels[here] == label
        if subject[here][thing].mean() >= _SUBJECT or seen[here][thing].mean() < _SEEN:
            continue
        around = cv2.dilate(thing.view(np.uint8), np.ones((_ALONE, _ALONE), np.uint8)) > 0
        own = cv2.dilate(thing.view(np.uint8), near) > 0  # the network's outline is rough
        if not subject[here][around & ~own].any():
            alpha[here][thing] = 1
            filled = True
    return filled


def left_out_share(alpha: NDArray[np.uint8], background: EvenBackground) -> float:
    """The largest patch beside a result's subject that has not the background's colour.

    Args:
        alpha: uint8 HxW, the result in the part of the picture that the background is of.
        background: That part's, h x w pixels.

    Returns:
        Its area, by the subject's.
    """
    height, width = background.plane.shape[:2]
    small = shrunk(alpha, width, height)
    labels, stats = _patches(small < _CLEAR, background)
    subject = (small > 127).view(np.uint8)
    beside = np.unique(labels[cv2.dilate(subject, np.ones((_BESIDE, _BESIDE), np.uint8)) > 0])
    largest = float(stats[beside[beside > 0], cv2.CC_STAT_AREA].max(initial=0))
    if largest < _AREA * small.size:
        return 0.0
    return largest / max(int(np.count_nonzero(subject)), 1)


def _patches(
    clear: NDArray[np.bool_], background: EvenBackground
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Connected patches, of what is clear (bool hxw), that no light makes the background's colour.

    Returns:
        Labels, int32 hxw, and OpenCV's statistics of each; 0 is all else.
    """
    patches = (background.foreign & clear).view(np.uint8)
    patches = cv2.morphologyEx(patches, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return components_of(patches, connectivity=4)[1:]
