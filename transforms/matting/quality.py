"""What a person should know about a result before publishing it: confidence and flags."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import max_pool
from alphabeam.transforms.pixels import subject_box

__all__ = ["FLAGS", "confidence", "flags"]

FLAGS = (
    "empty",  # no pixel is visible: the network sees no subject
    "nearly_empty",  # the mean alpha is under 0.5 %
    "touches_border",  # alpha is over 1/2 on over 0.5 % of the image's border
    "several_subjects",  # a second component of over 5 % of the largest one's area
    "component_dropped",  # components of over 0.5 % of the subject's area were taken for stray ones
    "low_confidence",  # the confidence is under 0.8
    "very_soft",  # over 35 % of the visible pixels are neither clear nor solid
    "tiny_subject",  # the subject's box is under 1 % of the image
    "own_alpha",  # the alpha is the picture's own: nobody decided anything
)

# Set by hand: what a reviewer of product photos wants to see. docs/matting.md repeats the numbers.
_NEARLY_EMPTY = 0.005
_BORDER = 0.005
_SECOND = 0.05
_DROPPED = 0.005
_CONFIDENT = 0.8
_SOFT = 0.35
_TINY = 0.01

_VISIBLE, _SOLID = 12, 242  # alpha above 5 % counts as visible, above 95 % as solid
_PIXELS = 1 << 19  # components are counted at this size at most, for speed


def confidence(coarse: NDArray[np.float32]) -> float:
    """How decided the network is.

    With p the network's alpha: the mean of |2p - 1| weighted by p where it sees a subject, so that
    a solid subject gives nearly 1 and a grey area nearly 0; 1 - 2 max(p) where it sees none.

    Args:
        coarse: float32 hxw, 0..1, p at the network's resolution.

    Returns:
        0..1.
    """
    peak = float(coarse.max())
    if peak <= 0.5:
        return 1 - 2 * peak
    weighted = (coarse * np.abs(2 * coarse - 1)).sum(dtype=np.float64)
    return float(weighted / coarse.sum(dtype=np.float64))


def flags(alpha: NDArray[np.uint8], confidence: float, dropped: float = 0.0) -> tuple[str, ...]:
    """The flags of a result.

    Args:
        alpha: uint8 HxW.
        confidence: The network's confidence, 0..1.
        dropped: Area of the components that were dropped, by that of the subject.

    Returns:
        Some of :data:`FLAGS`, in that order. An empty result has ``empty``, possibly
        ``low_confidence``, and no other.
    """
    box = subject_box(alpha)
    low = ("low_confidence",) if confidence < _CONFIDENT else ()
    if box is None:
        return ("empty", *low)
    height, width = alpha.shape
    found: list[str] = []
    if cv2.mean(alpha)[0] < 255 * _NEARLY_EMPTY:
        found.append("nearly_empty")
    border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    if np.count_nonzero(border > 127) > _BORDER * border.size:
        found.append("touches_border")
    if _has_several_subjects(alpha):
        found.append("several_subjects")
    if dropped > _DROPPED:
        found.append("component_dropped")
    found.extend(low)
    visible = cv2.countNonZero((alpha > _VISIBLE).view(np.uint8))
    solid = cv2.countNonZero((alpha > _SOLID).view(np.uint8))
    if visible - solid > _SOFT * max(visible, 1):
        found.append("very_soft")
    if (box[2] - box[0]) * (box[3] - box[1]) < _TINY * height * width:
        found.append("tiny_subject")
    return tuple(found)


def _has_several_subjects(alpha: NDArray[np.uint8]) -> bool:
    while alpha.size > _PIXELS and min(alpha.shape) > 1:
        alpha = max_pool(alpha)
    count, _, stats, _ = cv2.connectedComponentsWithStats((alpha > 127).view(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    return bool(count > 2 and np.count_nonzero(areas > _SECOND * areas.max()) > 1)
