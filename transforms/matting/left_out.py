"""Parts of the subject that a network leaves out though their colour is not the background's.

A pale lid on a white table, or the light side of a cup, looks like the background to a network. On
an even background it can be told apart: no light and no shadow makes its colour of the
background's. Coloured light beside a product differs from it as well, and so does a shadow under
two lights; these lie beside the subject, while a part of it is enclosed by the rest.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.background_colour import distance_to_background
from alphabeam.transforms.matting.even import EvenBackground

__all__ = ["fill_left_out"]

_SUBJECT = 0.5  # the network's alpha above it
# Set on the layouts, single products and reflections of benchmarks/damage.py, and on the held-out
# sets of benchmarks/model_quality.py.
_NOISE = 8.0  # standard deviations of the background, and
_FOREIGN = 0.03  # RGB of 0..1, by which a colour differs at least from every shade of it
_SHADE = (0.3, 1.3)  # light and shadow scale the background by these factors at most
_AREA = 1e-4  # of the picture, at least
_SOLID = 6  # pixels of it, at least, are more than a pixel away from its outline
_ENCLOSED = 0.5  # of the pixels around it, at least, are the subject's


def fill_left_out(alpha: NDArray[np.float32], background: EvenBackground) -> bool:
    """Sets alpha to 1, in place, in enclosed patches of a colour that the background has not.

    Args:
        alpha: float32 hxw, 0..1, the network's; changed in place.
        background: The same picture's.

    Returns:
        Whether there was one.
    """
    shape = alpha.shape
    colours, plane = (
        np.ascontiguousarray(one.reshape(-1, 3).T) for one in (background.colours, background.plane)
    )
    foreign = distance_to_background(colours, plane, _SHADE).reshape(shape)
    limit = max(_NOISE * background.noise, _FOREIGN)
    subject = (alpha > _SUBJECT).view(np.uint8)
    square = np.ones((3, 3), np.uint8)
    patches = ((foreign > limit) & (subject == 0)).view(np.uint8)
    patches = cv2.morphologyEx(patches, cv2.MORPH_OPEN, square)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(patches, connectivity=4)
    filled = False
    for label in np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= _AREA * alpha.size):
        if label == 0:
            continue
        x, y, w, h, _ = stats[label]
        here = np.s_[max(y - 1, 0) : y + h + 1, max(x - 1, 0) : x + w + 1]
        patch = (labels[here] == label).view(np.uint8)
        if np.count_nonzero(cv2.erode(patch, square)) < _SOLID:
            continue
        around = cv2.dilate(patch, square) - patch > 0
        if subject[here][around].mean() >= _ENCLOSED:
            alpha[here][patch > 0] = 1
            filled = True
    return filled
