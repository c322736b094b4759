"""What a person should know of a matte: its box, confidence and flags."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.islands import pool
from alphabeam.transforms.parameters import Box

__all__ = ["FLAGS", "confidence", "flags", "subject_box"]

FLAGS = (
    "empty",  # nothing visible: the network sees no subject
    "nearly_empty",  # under 0.5 % of the picture is covered
    "touches_border",  # the subject is solid on over 0.5 % of the picture's border
    "several_subjects",  # more than one island of over 5 % of the largest one's area
    "low_confidence",  # confidence is under 0.8
    "very_soft",  # over 35 % of the visible pixels are neither clear nor solid
    "tiny_subject",  # the subject's box is under 1 % of the picture
)

_NEARLY_EMPTY = 0.005
_BORDER = 0.005
_SECOND = 0.05
_CONFIDENT = 0.8
_SOFT = 0.35
_TINY = 0.01


def subject_box(alpha: NDArray[np.uint8]) -> Box | None:
    """Left, top, right, bottom of all that is visible, right and bottom exclusive."""
    left, top, width, height = cv2.boundingRect(alpha)
    return (left, top, left + width, top + height) if width else None


def confidence(coarse: NDArray[np.float32]) -> float:
    """How decided the network is.

    Where it sees a subject: the mean of |2p - 1| over the picture, weighted by p, so that a solid
    subject gives nearly 1 and a grey cloud nearly 0. Where it sees none: 1 - 2 max(p).

    Args:
        coarse: float32 hxw, p, 0..1.

    Returns:
        0..1.
    """
    peak = float(coarse.max())
    if peak <= 0.5:
        return 1 - 2 * peak
    weighted = (coarse * np.abs(2 * coarse - 1)).sum(dtype=np.float64)
    return float(weighted / coarse.sum(dtype=np.float64))


def flags(alpha: NDArray[np.uint8], sure: float) -> tuple[str, ...]:
    """The flags of a matte.

    Args:
        alpha: uint8 HxW.
        sure: Its confidence.

    Returns:
        Some of :data:`FLAGS`, in that order. An empty matte has no other but ``low_confidence``.
    """
    box = subject_box(alpha)
    low = ("low_confidence",) if sure < _CONFIDENT else ()
    if box is None:
        return ("empty", *low)
    height, width = alpha.shape
    found = []
    if cv2.mean(alpha)[0] < 255 * _NEARLY_EMPTY:
        found.append("nearly_empty")
    rim = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    if np.count_nonzero(rim > 127) > _BORDER * rim.size:
        found.append("touches_border")
    small = alpha
    while small.size > 1 << 19 and min(small.shape) > 1:
        small = pool(small)
    count, _, stats, _ = cv2.connectedComponentsWithStats((small > 127).view(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count > 2 and np.count_nonzero(areas > _SECOND * areas.max()) > 1:
        found.append("several_subjects")
    found.extend(low)
    visible = cv2.countNonZero((alpha > 12).view(np.uint8))
    solid = cv2.countNonZero((alpha > 242).view(np.uint8))
    if visible - solid > _SOFT * max(visible, 1):
        found.append("very_soft")
    if (box[2] - box[0]) * (box[3] - box[1]) < _TINY * height * width:
        found.append("tiny_subject")
    return tuple(found)
