"""The user's box around the subject: clipping, margin, and neighbours that reach into it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.components import components_of
from alphabeam.transforms.parameters import Box

__all__ = ["BoxOutsideError", "clip_box", "drop_neighbours", "keep_inside", "with_margin"]

# Networks are trained on whole photos and expect some background around the subject. A tenth of
# the box's side on each side is usual in product photos.
_MARGIN = 0.1
# An object with more than this share of its area outside the box is a neighbour. Set by hand.
_OUTSIDE_SHARE = 0.3


class BoxOutsideError(ValueError):
    """The box does not overlap the image."""


def clip_box(box: Box | None, shape: tuple[int, int]) -> Box | None:
    """Clips a box to the image.

    Args:
        box: Left, top, right, bottom in pixels, right and bottom exclusive; or None.
        shape: Height and width of the image.

    Returns:
        The part of the box inside the image; None for None.

    Raises:
        BoxOutsideError: The box does not overlap the image.
    """
    if box is None:
        return None
    height, width = shape
    left, top, right, bottom = box[0], box[1], min(box[2], width), min(box[3], height)
    if left >= right or top >= bottom:
        shown = ",".join(str(side) for side in box)
        raise BoxOutsideError(f"the box {shown} lies outside the {width} x {height} picture")
    return left, top, right, bottom


def with_margin(box: Box, shape: tuple[int, int]) -> Box:
    """The box enlarged by a tenth of its side on each side, clipped to the image."""
    left, top, right, bottom = box
    height, width = shape
    mx, my = round((right - left) * _MARGIN), round((bottom - top) * _MARGIN)
    return max(left - mx, 0), max(top - my, 0), min(right + mx, width), min(bottom + my, height)


def keep_inside(alpha: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """A copy of alpha (uint8 HxW) that is 0 outside the box."""
    left, top, right, bottom = box
    out = np.zeros_like(alpha)
    out[top:bottom, left:right] = alpha[top:bottom, left:right]
    return out


def drop_neighbours(alpha: NDArray[np.float32], region: Box, box: Box) -> None:
    """Clears, in place, objects that lie to a large part outside the box.

    The margin that the network saw shows how far an object reaches outside. The object with the
    largest area inside the box always stays.

    Args:
        alpha: float32 hxw, 0..1, the network's alpha; changed in place.
        region: The part of the image that ``alpha`` covers, in pixels.
        box: The box, inside the region.
    """
    visible = (alpha > 0.5).view(np.uint8)
    count, labels, stats = components_of(visible)
    if count <= 2:  # the background and one object
        return
    height, width = alpha.shape
    x0, y0, x1, y1 = region
    fx, fy = width / (x1 - x0), height / (y1 - y0)
    rows = slice(round((box[1] - y0) * fy), round((box[3] - y0) * fy))
    columns = slice(round((box[0] - x0) * fx), round((box[2] - x0) * fx))
    inside = np.bincount(labels[rows, columns].ravel(), minlength=count)
    neighbour = inside < (1 - _OUTSIDE_SHARE) * stats[:, cv2.CC_STAT_AREA]
    neighbour[[0, 1 + int(inside[1:].argmax())]] = False
    if not neighbour.any():
        return
    removed = neighbour[labels].view(np.uint8)
    kept = visible & (1 - removed)
    # A neighbour's blurred edge, below alpha 0.5, goes too, but nothing near what stays.
    edge = cv2.dilate(removed, np.ones((9, 9), np.uint8)) & (
        1 - cv2.dilate(kept, np.ones((5, 5), np.uint8))
    )
    alpha[(removed | edge) > 0] = 0
