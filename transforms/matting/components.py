"""Connected components of alpha: removes stray ones that the network does not support."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["drop_stray_components", "max_pool", "touches_frame"]

# No measurement of these is recorded; they were set by hand on the samples.
_VISIBLE = 12  # alpha above it belongs to a component
# A component stays if the network's alpha is above _DECIDED on at least _DECIDED_SHARE of it. On a
# speck, too small for the network to be decided, its alpha must be above 1/2 on _SPECK_SHARE.
_DECIDED = 204
_DECIDED_SHARE = 0.4
_SPECK_SHARE = 0.9
_SPECK = 0.001  # a smaller fraction of the largest component's area is a speck
_FAINT = 40  # a component with a lower mean alpha is dropped whatever the network says
_NEIGHBOUR = 0.1  # of the largest component's area: smaller ones cut by the frame may be neighbours
_PIXELS = 1 << 20  # components are found at this size at most, for speed


def drop_stray_components(alpha: NDArray[np.uint8], coarse: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Clears components that the network does not support. The largest one always stays.

    The network is decided about a second part of the subject, and undecided about objects that
    happen to be in the photo. A small component that the frame cuts off is a neighbouring object,
    however decided the network is, unless the frame cuts the largest component too.

    Args:
        alpha: uint8 HxW.
        coarse: uint8 HxW, the network's alpha at full size.

    Returns:
        uint8 HxW; ``alpha`` itself if nothing is dropped.
    """
    small, network, step = alpha, coarse, 1
    while small.size > _PIXELS and min(small.shape) > 1:
        small, network, step = max_pool(small), max_pool(network), step * 2
    visible = (small > _VISIBLE).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(visible, connectivity=8)
    if count <= 2:  # the background and one component
        return alpha
    stray = _find_stray(small, network, labels, stats)
    if not stray.any():
        return alpha
    clear = stray[labels].view(np.uint8)
    # A component's faint edge, below _VISIBLE, goes with it; another component's edge does not.
    clear = cv2.dilate(clear, np.ones((5, 5), np.uint8))
    clear &= (stray[labels] | (labels == 0)).view(np.uint8)
    if step > 1:
        clear = np.repeat(np.repeat(clear, step, 0), step, 1)[: alpha.shape[0], : alpha.shape[1]]
    out = alpha.copy()
    out[clear > 0] = 0
    return out


def max_pool(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Max pooling over 2x2 pixels: uint8, half the size, rounded up."""
    rows = plane[0::2].copy()
    np.maximum(rows[: plane.shape[0] // 2], plane[1::2], out=rows[: plane.shape[0] // 2])
    out = rows[:, 0::2].copy()
    half = plane.shape[1] // 2
    np.maximum(out[:, :half], rows[:, 1::2], out=out[:, :half])
    return out


def touches_frame(stats: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which components touch the image's border.

    Args:
        stats: nx5, as OpenCV's ``connectedComponentsWithStats`` returns them.
        shape: Height and width of the image.

    Returns:
        bool n.
    """
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    touches: NDArray[np.bool_] = (
        (left == 0) | (top == 0) | (right == shape[1]) | (bottom == shape[0])
    )
    return touches


def _find_stray(
    alpha: NDArray[np.uint8],
    coarse: NDArray[np.uint8],
    labels: NDArray[np.int32],
    stats: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Which labels (of which 0 is the background) are to be dropped, bool n."""
    count = len(stats)
    area = stats[:, cv2.CC_STAT_AREA]
    decided, half_decided = (
        np.bincount(labels[mask].ravel(), minlength=count) / area
        for mask in (coarse > _DECIDED, coarse > 127)
    )
    opacity = np.bincount(labels.ravel(), weights=alpha.ravel(), minlength=count) / area
    main = 1 + int(area[1:].argmax())
    largest = int(area[main])
    is_speck = area < _SPECK * largest
    stray: NDArray[np.bool_] = np.where(
        is_speck, half_decided < _SPECK_SHARE, decided < _DECIDED_SHARE
    )
    stray |= opacity < _FAINT
    cut = touches_frame(stats, alpha.shape)
    if not cut[main]:
        stray |= cut & (area < _NEIGHBOUR * largest)
    stray[[0, main]] = False
    return stray
