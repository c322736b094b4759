"""A closer look at a subject that fills a part of the picture only.

A network sees the picture at some 400 pixels. Of a product that spans half of it, it sees 200. A
second run on that part alone sees all 400, and less of what is around: it draws the outline finer,
and takes less of a pattern for the product.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import components_of
from alphabeam.transforms.matting.network import intersection_over_union
from alphabeam.transforms.parameters import Box

__all__ = ["closer_region", "merge_looks"]

# Set on the held-out sets of benchmarks/model_quality.py.
_SEEN = 0.2  # the network's alpha above it, on so many connected pixels, may be the subject
_SPECK = 9
_MARGIN = 0.15  # of the subject's longer side, on each side: less of what is around misleads
_GAIN = 1.3  # times finer, at least: else it does not pay
_LEAST = 100  # pixels of the picture across the part, at least: else there is no more to see
_AGREE = 0.8  # intersection over union of the two answers: under it, the first stays;
_ALIKE = 0.95  # from it on, the second replaces the first; between, their mean does


def closer_region(alpha: NDArray[np.float32], shape: tuple[int, int]) -> Box | None:
    """The part of the picture to look at again.

    Args:
        alpha: float32 hxw, 0..1, the network's answer for the whole picture.
        shape: Height and width of the picture, pixels.

    Returns:
        Left, top, right, bottom in pixels of the picture; None where a closer look does not pay.
    """
    seen = (alpha > _SEEN).view(np.uint8)
    _, _, stats = components_of(seen)
    parts = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= _SPECK]
    if not len(parts) or not (alpha > 0.5).any():
        return None
    height, width = shape
    scale = np.array([width / alpha.shape[1], height / alpha.shape[0]])
    first = parts[:, :2].min(axis=0) * scale
    last = (parts[:, :2] + parts[:, 2:4]).max(axis=0) * scale
    margin = _MARGIN * float((last - first).max())
    left, top = (int(max(at - margin, 0)) for at in first)
    right, bottom = (
        int(min(at + margin, end)) for at, end in zip(last, (width, height), strict=True)
    )
    longer = max(right - left, bottom - top)
    if longer < _LEAST or max(shape) < _GAIN * longer:
        return None
    return left, top, right, bottom


def merge_looks(
    first: NDArray[np.float32], region: Box, shape: tuple[int, int], closer: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """What both looks together say of a part of the picture.

    Args:
        first: float32 hxw, 0..1, the network's answer for the whole picture.
        region: The part, as `closer_region` gives it.
        shape: Height and width of the picture, pixels.
        closer: float32 h'xw', 0..1, its answer for the part.

    Returns:
        Alpha of the part, float32 h'xw'; None where the two do not agree.
    """
    left, top, right, bottom = region
    down, across = first.shape[0] / shape[0], first.shape[1] / shape[1]
    height, width = closer.shape
    step_x, step_y = across * (right - left) / width, down * (bottom - top) / height
    to_first = np.array(
        [
            [step_x, 0, across * left + step_x / 2 - 0.5],
            [0, step_y, down * top + step_y / 2 - 0.5],
        ]
    )
    before: NDArray[np.float32] = cv2.warpAffine(
        first,
        to_first,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    agreement = intersection_over_union(before, closer)
    if agreement < _AGREE or not (closer > 0.5).any():
        return None
    if agreement >= _ALIKE:
        return closer
    mean: NDArray[np.float32] = (before + closer) * np.float32(0.5)
    return mean
