"""Stray islands: specks of alpha that nothing supports."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["cut_by_frame", "drop_islands", "pool"]

_VISIBLE = 12  # alpha above it belongs to an island
_SURE = 204  # the network's alpha from which it is decided,
_DECIDED = 0.4  # and the share of an island that it must be decided of
_FAINT = 40  # mean alpha of an island under which it is a veil
_NEIGHBOUR = 0.1  # of the largest island's area; smaller ones that the frame cuts are dropped
_SPECK = 0.001  # of the largest island's area; for smaller ones see `drop_islands`
_PIXELS = 1 << 20  # islands are found at this size at most


def drop_islands(alpha: NDArray[np.uint8], coarse: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Clear the islands that the network does not support; the largest always stays.

    The network is decided about a second piece of the subject, and wavers over what merely stands
    about. A speck is too small for it to be decided: there it must say subject all over. And where
    the largest island stands free in the picture, a small one that the frame cuts off is no part
    of the product but a neighbour of it, however decided the network is.

    Args:
        alpha: uint8 HxW.
        coarse: uint8 HxW, the network's alpha.

    Returns:
        uint8 HxW; ``alpha`` itself if nothing is to be dropped.
    """
    small, seen, step = alpha, coarse, 1
    while small.size > _PIXELS and min(small.shape) > 1:
        small, seen, step = pool(small), pool(seen), step * 2
    visible = (small > _VISIBLE).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(visible, connectivity=8)
    if count <= 2:
        return alpha
    area = stats[:, cv2.CC_STAT_AREA]
    share = [
        np.bincount(labels[mask].ravel(), minlength=count) / area
        for mask in (seen > _SURE, seen > 127)
    ]
    opacity = np.bincount(labels.ravel(), weights=small.ravel(), minlength=count) / area
    main = 1 + int(area[1:].argmax())
    largest = int(area[main])
    dropped = np.where(area < _SPECK * largest, share[1] < 0.9, share[0] < _DECIDED)
    dropped |= opacity < _FAINT
    cut = cut_by_frame(stats, small.shape)
    if not cut[main]:
        dropped |= cut & (area < _NEIGHBOUR * largest)
    dropped[[0, main]] = False
    if not dropped.any():
        return alpha
    clear = dropped[labels].view(np.uint8)
    # An island's faint rim goes with it, another island's does not.
    clear = cv2.dilate(clear, np.ones((5, 5), np.uint8))
    clear &= (dropped[labels] | (labels == 0)).view(np.uint8)
    if step > 1:
        clear = np.repeat(np.repeat(clear, step, 0), step, 1)[: alpha.shape[0], : alpha.shape[1]]
    out = alpha.copy()
    out[clear > 0] = 0
    return out


def pool(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest of each 2x2 pixels, uint8; half the size, rounded up."""
    rows = plane[0::2].copy()
    np.maximum(rows[: plane.shape[0] // 2], plane[1::2], out=rows[: plane.shape[0] // 2])
    out = rows[:, 0::2].copy()
    half = plane.shape[1] // 2
    np.maximum(out[:, :half], rows[:, 1::2], out=out[:, :half])
    return out


def cut_by_frame(stats: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which components touch the picture's border.

    Args:
        stats: As OpenCV's ``connectedComponentsWithStats`` gives them, nx5.
        shape: Height and width of the picture.

    Returns:
        bool n.
    """
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    cut: NDArray[np.bool_] = (left == 0) | (top == 0) | (right == shape[1]) | (bottom == shape[0])
    return cut
