"""Connected components of alpha: removes stray ones, which neither network nor colours support."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.background_colour import distance_to_background

__all__ = ["components_of", "drop_stray_components", "max_pool", "touches_frame"]

# No measurement of these is recorded; they were set by hand on the samples.
_VISIBLE = 12  # alpha above it belongs to a component
# A component stays if the network's alpha is above _DECIDED on at least _DECIDED_SHARE of it. On a
# speck, too small for the network to be decided, its alpha must be above 1/2 on _SPECK_SHARE.
_DECIDED = 204
_DECIDED_SHARE = 0.4
_SPECK_SHARE = 0.9
_SPECK = 0.001  # a smaller fraction of the largest component's area is a speck
_FAINT = 40  # a component with a lower mean alpha is dropped whatever the network says
# Where the background is even, a component stays if _FOREIGN_SHARE of it has a colour that no light
# makes of the background's: a product among several, about which the network is undecided.
_EVEN = 0.04  # 90 % of an even background's pixels are within it of its median colour (RGB of 0..1)
# A foreign colour is farther from it than 2.5 times what 90 % of them are, within these bounds.
_FOREIGN = (0.04, 0.1)
_FOREIGN_SHARE = 0.4
_SAMPLE = 1 << 14  # of the background's pixels
_NEIGHBOUR = 0.1  # of the largest component's area: smaller ones cut by the frame may be neighbours
_PIXELS = 1 << 18  # components are found at this size at most, for speed


def drop_stray_components(
    alpha: NDArray[np.uint8], coarse: NDArray[np.uint8], rgb: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], float]:
    """Clears components that the network does not support. The largest one always stays.

    The network is decided about a second part of the subject, and undecided about objects that
    happen to be in the photo. On an even background, what has a colour of its own is taken for a
    part of the subject however undecided the network is. A small component that the frame cuts off
    is a neighbouring object, however decided the network is, unless the frame cuts the largest
    component too.

    Args:
        alpha: uint8 HxW.
        coarse: uint8 HxW, the network's alpha at full size.
        rgb: uint8 HxWx3, the picture.

    Returns:
        uint8 HxW, ``alpha`` itself if nothing is dropped; and the area of what was dropped by that
        of what stays, of components that are more than specks or a veil.
    """
    small, network, step = alpha, coarse, 1
    while small.size > _PIXELS and min(small.shape) > 1:
        small, network, step = max_pool(small), max_pool(network), step * 2
    visible = (small > _VISIBLE).view(np.uint8)
    count, labels, stats = components_of(visible)
    if count <= 2:  # the background and one component
        return alpha, 0.0
    stray, veil, doubtful = _find_stray(small, network, labels, stats)
    solid = np.zeros_like(small)
    if doubtful.any():
        kept, solid = _foreign(rgb[::step, ::step], labels, doubtful, ~stray)
        stray &= ~kept
    if not stray.any() and not solid.any():
        return alpha, 0.0
    clear = stray[labels].view(np.uint8)
    # A component's faint edge, below _VISIBLE, goes with it; another component's edge does not.
    clear = cv2.dilate(clear, np.ones((5, 5), np.uint8))
    clear &= (stray[labels] | (labels == 0)).view(np.uint8)
    if step > 1:
        clear, solid = (
            np.repeat(np.repeat(mask, step, 0), step, 1)[: alpha.shape[0], : alpha.shape[1]]
            for mask in (clear, solid)
        )
    out = alpha.copy()
    out[clear > 0] = 0
    out[solid > 0] = 255
    area = stats[:, cv2.CC_STAT_AREA]
    return out, float(area[stray & ~veil].sum() / area[1:][~stray[1:]].sum())


def _foreign(
    rgb: NDArray[np.uint8],
    labels: NDArray[np.int32],
    asked: NDArray[np.bool_],
    sure: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Which of some components have a colour of their own on an even background.

    Args:
        rgb: uint8 HxWx3.
        labels: int32 HxW.
        asked: bool n, the components in question.
        sure: bool n, those that stay as they are.

    Returns:
        bool n; and uint8 HxW, 1 where these components are solid: the inner part of what has such
        a colour and is connected with them, which the network may have seen through.
    """
    found, solid = np.zeros(len(asked), bool), np.zeros(labels.shape, np.uint8)
    around = rgb[labels == 0]
    around = around[:: max(1, len(around) // _SAMPLE)].astype(np.float32).T / 255
    background = np.asarray(np.median(around, axis=1, keepdims=True), np.float32)
    scatter = float(np.percentile(distance_to_background(around, background), 90))
    if scatter > _EVEN:
        return found, solid
    colours = np.asarray(rgb.reshape(-1, 3).T / np.float32(255), np.float32)
    distance = distance_to_background(colours, background).reshape(labels.shape)
    foreign = distance > np.clip(2.5 * scatter, *_FOREIGN)
    for label in np.flatnonzero(asked):
        found[label] = foreign[labels == label].mean() > _FOREIGN_SHARE
    if found.any():
        # An outline is left as it was solved.
        inner = cv2.erode(foreign.view(np.uint8), np.ones((5, 5), np.uint8))
        _, parts = cv2.connectedComponents(inner, connectivity=8)
        theirs = np.zeros(int(parts.max()) + 1, bool)
        theirs[parts[found[labels]]] = True
        theirs[parts[(labels > 0) & sure[labels]]] = False
        theirs[0] = False
        solid = theirs[parts].view(np.uint8)
    return found, solid


def max_pool(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Max pooling over 2x2 pixels: uint8, half the size, rounded up."""
    rows = plane[0::2].copy()
    np.maximum(rows[: plane.shape[0] // 2], plane[1::2], out=rows[: plane.shape[0] // 2])
    out = rows[:, 0::2].copy()
    half = plane.shape[1] // 2
    np.maximum(out[:, :half], rows[:, 1::2], out=out[:, :half])
    return out


def components_of(
    mask: NDArray[np.uint8], connectivity: int = 8
) -> tuple[int, NDArray[np.int32], NDArray[np.int32]]:
    """Connected components, as OpenCV's ``connectedComponentsWithStats`` finds them, but sooner.

    OpenCV's statistics take ten times as long as its labels, and most masks have one component.

    Args:
        mask: uint8 HxW, not 0 where there is something.
        connectivity: 4 or 8.

    Returns:
        The number of labels; the labels, int32 HxW, 0 where there is nothing; and for each left,
        top, width, height and area, int32 nx5. The box of label 0 may be the whole mask.
    """
    count, labels = cv2.connectedComponents(mask, connectivity=connectivity)
    if count > 2:
        how = cv2.CCL_BBDT if connectivity == 8 else cv2.CCL_DEFAULT
        count, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
            mask, connectivity, cv2.CV_32S, how
        )
    else:
        area = cv2.countNonZero(mask)
        rows = [[0, 0, *mask.shape[::-1], mask.size - area], [*cv2.boundingRect(mask), area]]
        stats = np.array(rows[:count], np.int32)
    return count, np.asarray(labels, np.int32), np.asarray(stats, np.int32)


def touches_frame(stats: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which components touch the image's border.

    Args:
        stats: nx5, as from `components_of`.
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
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels (of which 0 is the background) are to be dropped.

    Returns:
        Three arrays, bool n: those to be dropped; of all, those that are specks or a veil; of those
        to be dropped, those of which only the network says so, and their colours may say more.
    """
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
    veil = is_speck | (opacity < _FAINT)
    stray |= opacity < _FAINT
    cut = touches_frame(stats, alpha.shape)
    if not cut[main]:
        neighbour = cut & (area < _NEIGHBOUR * largest)
        stray |= neighbour
    else:
        neighbour = np.zeros(count, bool)
    stray[[0, main]] = False
    return stray, veil, stray & ~veil & ~neighbour
