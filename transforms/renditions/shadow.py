"""Shadows that are made: a soft one where a subject stands, and its displaced shape."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.parameters import Box

__all__ = ["contact_shadow", "drop_shadow"]

# Both are shares of the subject's height, set by eye on the samples.
_REACH = 0.06  # how high above the ground a part of the subject still darkens it
_DEPTH = 0.018  # how far to the front and back the shadow goes


def contact_shadow(
    alpha: NDArray[np.uint8], box: Box, stand: int, blur: float
) -> NDArray[np.float32]:
    """The shadow that a subject has where it touches the ground.

    Args:
        alpha: uint8 HxW on the canvas.
        box: The subject's box.
        stand: The row that it stands on, exclusive.
        blur: Standard deviation across, pixels; down it is a third.

    Returns:
        float32 HxW, 0..1: how dark the ground is.
    """
    left, top, right, _ = box
    height, width = alpha.shape
    tall = max(stand - top, 1)
    reach = max(1, round(_REACH * tall))
    band = alpha[max(stand - reach, 0) : stand, left:right] > 127
    shadow = np.zeros((height, width), np.float32)
    if not band.any():
        return shadow
    # Each column darkens the ground under its own lowest pixel: what is a little higher stands
    # farther back. The higher it is, the less it is on the ground.
    above = np.argmax(band[::-1], axis=0)
    near = np.where(band.any(axis=0), 1 - above / reach, 0).astype(np.float32)
    depth = max(1.0, _DEPTH * tall)
    first, last = max(0, round(stand - reach - depth)), min(height, round(stand + depth) + 1)
    below = np.arange(first, last)[:, None] - (stand - above)
    shadow[first:last, left:right] = near * ((below >= -depth) & (below <= depth / 2))
    down = max(blur / 3, 0.5)
    return _blurred(shadow, blur, down)


def drop_shadow(
    alpha: NDArray[np.uint8], across: float, down: float, blur: float
) -> NDArray[np.float32]:
    """The subject's own shape, displaced and blurred.

    Args:
        alpha: uint8 HxW on the canvas.
        across: To the right, pixels.
        down: Downwards, pixels.
        blur: Standard deviation, pixels.

    Returns:
        float32 HxW, 0..1.
    """
    moved = cv2.warpAffine(
        alpha.astype(np.float32) / 255,
        np.array([[1, 0, across], [0, 1, down]], np.float32),
        (alpha.shape[1], alpha.shape[0]),
    )
    return _blurred(moved, blur, blur)


def _blurred(shadow: NDArray[np.float32], across: float, down: float) -> NDArray[np.float32]:
    """A Gaussian blur, at a size at which its deviation is a few pixels."""
    if max(across, down) < 0.3:
        return shadow
    height, width = shadow.shape
    shrink = max(1.0, min(across, down) / 3)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    small = cv2.resize(shadow, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(
        small, (0, 0), max(across / shrink, 0.3), sigmaY=max(down / shrink, 0.3),
        borderType=cv2.BORDER_CONSTANT,
    )  # fmt: skip
    large: NDArray[np.float32] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return large
