"""What a person should know about a result before publishing it: confidence and flags."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import components_of, max_pool
from alphabeam.transforms.pixels import subject_box

__all__ = [
    "CONFIDENT",
    "FLAGS",
    "QUALITIES",
    "Findings",
    "Quality",
    "confidence",
    "flags",
    "removed_share",
    "solid_removed_share",
]

Quality = Literal["fast", "thorough"]
QUALITIES: tuple[str, ...] = get_args(Quality)

CONFIDENT = 0.8
"""A network without a calibration is doubtful below it; see `calibration` for the others."""

FLAGS = (
    "empty",  # no pixel is visible: the network sees no subject
    "nearly_empty",  # the mean alpha is under 0.5 %
    "touches_border",  # alpha is over 1/2 on over 0.5 % of the image's border
    "several_subjects",  # a second component of over 5 % of the largest one's area
    "component_dropped",  # components of over 0.5 % of the subject's area were taken for stray ones
    "part_removed",  # of a part of the subject, the network is sure, or its colour; it is clear
    "reflection_removed",  # a mirror image below the product was taken away
    "shadow_removed",  # what has the colour of a hard shadow, and goes on in it, was taken away
    "fills_frame",  # perhaps the product does: all is kept, or texture and no subject, or lettering
    "low_confidence",  # the confidence is under what the calibration says, without one under 0.8
    "very_soft",  # over 35 % of the visible pixels are neither clear nor solid
    "tiny_subject",  # the subject's box is under 1 % of the image
    "own_alpha",  # the alpha is the picture's own: nobody decided anything
    "whole",  # the row says that all of the picture is the product
)

# Set by hand: what a reviewer of product photos wants to see. docs/matting.md repeats the numbers.
_NEARLY_EMPTY = 0.005
_BORDER = 0.005
_SECOND = 0.05
_DROPPED = 0.005
_REMOVED, _LEFT_OUT = 0.0025, 0.0012
# In one patch less is enough, as it is seen: .8 % of the good layouts of benchmarks/damage.py have
# such a patch.
_SOLID_REMOVED = 0.001
_SURE, _CLEAR = 0.78, 56  # of the network's alpha (0..1) above, of the result (0..255) below
_FAINT = 90  # of the result below, likewise
_SOFT = 0.35
_TINY = 0.01

_VISIBLE, _SOLID = 12, 242  # alpha above 5 % counts as visible, above 95 % as solid
_PIXELS = 1 << 19  # components are counted at this size at most, for speed


def confidence(coarse: NDArray[np.float32]) -> float:
    """How decided the network is; the confidence where there is no calibration.

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


class Findings(NamedTuple):
    """What the core did against the network, and what the picture looks like.

    Attributes:
        dropped: Area of the components that were dropped, by that of the subject.
        removed: As :func:`removed_share` gives it.
        solid_removed: As :func:`solid_removed_share` gives it.
        left_out: As `left_out.left_out_share` gives it.
        mirrored: Whether a reflection was taken away.
        shadowed: Whether parts of a cast shadow were.
        fills_frame: Whether the product seems to fill the frame.
    """

    dropped: float = 0.0
    removed: float = 0.0
    solid_removed: float = 0.0
    left_out: float = 0.0
    mirrored: bool = False
    shadowed: bool = False
    fills_frame: bool = False


def removed_share(network: NDArray[np.float32], result: NDArray[np.uint8]) -> float:
    """How much of what the network is sure of is clear in the result.

    Args:
        network: float32 hxw, 0..1, its answer.
        result: uint8 hxw, the result at its size.

    Returns:
        The area, by that of the subject. Pixels at the network's own outline do not count: it
        draws that roughly.
    """
    sure = cv2.erode((network > _SURE).view(np.uint8), np.ones((3, 3), np.uint8))
    removed = np.count_nonzero(sure & (result < _CLEAR))
    return float(removed) / max(int(np.count_nonzero(result > 127)), 1)


def solid_removed_share(network: NDArray[np.float32], result: NDArray[np.uint8]) -> float:
    """The largest patch of what the network is sure of and that is nearly clear in the result.

    At a rough outline the two differ in threads, which are no patch; a stripe that was opened is.

    Args:
        network: float32 hxw, 0..1, its answer.
        result: uint8 hxw, the result at its size.

    Returns:
        Its area, by that of the subject.
    """
    removed = ((network > _SURE) & (result < _FAINT)).view(np.uint8)
    removed = cv2.morphologyEx(removed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, _, stats = components_of(removed)
    largest = float(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
    return largest / max(int(np.count_nonzero(result > 127)), 1)


def flags(
    alpha: NDArray[np.uint8],
    confidence: float,
    findings: Findings | None = None,
    low: float = CONFIDENT,
) -> tuple[str, ...]:
    """The flags of a result.

    Args:
        alpha: uint8 HxW.
        confidence: The confidence in it, 0..1.
        findings: What else is known of it; None for nothing.
        low: The confidence under which it is flagged.

    Returns:
        Some of :data:`FLAGS`, in that order. An empty result has ``empty``, possibly
        ``fills_frame`` and ``low_confidence``, and no other.
    """
    findings = findings or Findings()
    box = subject_box(alpha)
    doubtful = ("low_confidence",) if confidence < low else ()
    fills = ("fills_frame",) if findings.fills_frame else ()
    if box is None:
        return ("empty", *fills, *doubtful)
    height, width = alpha.shape
    found: list[str] = []
    if cv2.mean(alpha)[0] < 255 * _NEARLY_EMPTY:
        found.append("nearly_empty")
    border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    if np.count_nonzero(border > 127) > _BORDER * border.size:
        found.append("touches_border")
    if _has_several_subjects(alpha):
        found.append("several_subjects")
    if findings.dropped > _DROPPED:
        found.append("component_dropped")
    if (
        findings.removed > _REMOVED
        or findings.solid_removed > _SOLID_REMOVED
        or findings.left_out > _LEFT_OUT
    ):
        found.append("part_removed")
    if findings.mirrored:
        found.append("reflection_removed")
    if findings.shadowed:
        found.append("shadow_removed")
    found.extend((*fills, *doubtful))
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
    count, _, stats = components_of((alpha > 127).view(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    return bool(count > 2 and np.count_nonzero(areas > _SECOND * areas.max()) > 1)
