"""The shadow that the subject casts on a plain background, as black with alpha.

A pixel beside the subject is in shadow if it is darker than the background by about the same factor
in all channels, and connected to the subject. The background is filled in by push-pull from pixels
far from the subject.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.pushpull import push_pull
from alphabeam.transforms.matting.ramp import ramp
from alphabeam.transforms.pixels import shrunk

__all__ = ["add_shadow", "find_shadow"]

# No measurement of these is recorded; they were set by hand on the samples.
_SIDE = 512  # longer side, in pixels, at which shadows are found: they are soft
_REACH = 0.12  # of the longer side: pixels farther from the subject show the bare background
_FAINTEST, _FULL = 0.03, 0.08  # relative darkening: none of it is shadow below, all of it above
_TINT = 0.12  # difference of the channels' darkening from which it is less and less a shadow
_SUBJECT = 12  # alpha (0..255) above it is subject
_LEAST = np.float32(0.02)  # the background's least brightness, 0..1: ratios need it above 0


def find_shadow(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Estimates the opacity of the subject's shadow.

    Args:
        image: uint8 HxWx3, RGB.
        alpha: uint8 HxW, the subject.

    Returns:
        uint8 HxW: the alpha that black needs to darken the background as the shadow does. 0 where
        there is no shadow, and everywhere if no pixel is far enough from the subject.
    """
    height, width = alpha.shape
    shrink = max(1.0, max(height, width) / _SIDE)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = shrunk(image, *size).astype(np.float32)
    small *= np.float32(1 / 255)
    subject = (shrunk(alpha, *size) > _SUBJECT).view(np.uint8)
    distance = cv2.distanceTransform(1 - subject, cv2.DIST_L2, 5)
    far = (distance > _REACH * max(size)).astype(np.float32)
    if not subject.any() or not far.any():
        return np.zeros_like(alpha)
    opacity = _darkening(small, far)
    opacity = opacity * _connected((opacity > _FAINTEST) | (subject > 0), subject)
    opacity = _fill_under_subject(opacity.astype(np.float32), distance)
    opacity = cv2.GaussianBlur(opacity, (0, 0), 1.0)
    eight = np.rint(np.clip(opacity, 0, 1) * 255).astype(np.uint8)
    shadow: NDArray[np.uint8] = cv2.resize(eight, (width, height), interpolation=cv2.INTER_LINEAR)
    return shadow


def add_shadow(
    alpha: NDArray[np.uint8], rgba: NDArray[np.uint8] | None, shadow: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Composites the subject over its shadow.

    Args:
        alpha: uint8 HxW, the subject.
        rgba: uint8 HxWx4, straight alpha; or None.
        shadow: uint8 HxW, the opacity of black.

    Returns:
        Alpha (uint8 HxW) and RGBA (uint8 HxWx4, or None) of both together.
    """
    clear = 255 - alpha.astype(np.uint16)
    together = alpha + ((clear * shadow + 127) // 255).astype(np.uint8)
    if rgba is None:
        return together, None
    out = rgba.copy()
    out[..., 3] = together
    mixed = np.nonzero((alpha > 0) & (together > alpha))
    share = alpha[mixed].astype(np.float32) / together[mixed]
    out[mixed[0], mixed[1], :3] = np.rint(rgba[mixed][:, :3] * share[:, None]).astype(np.uint8)
    return together, out


def _darkening(image: NDArray[np.float32], far: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much darker than the background each pixel is, 0..1; 0 where it is tinted or faint.

    Args:
        image: float32 hxwx3, 0..1.
        far: float32 hxw, 1 where the bare background is visible.
    """
    background = np.maximum(push_pull(image, far), _LEAST)
    ratio = np.minimum(image / background, 1)
    darkening = 1 - ratio.mean(2)
    tint = ratio.max(2) - ratio.min(2)
    certainty = ramp(darkening, _FAINTEST, _FULL)
    certainty *= np.clip(2 - tint / _TINT, 0, 1)
    result: NDArray[np.float32] = darkening * certainty
    return result


def _connected(dark: NDArray[np.bool_], subject: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which dark pixels are in a component that contains a pixel of the subject."""
    _, labels = cv2.connectedComponents(dark.view(np.uint8), connectivity=8)
    held = np.zeros(int(labels.max()) + 1, bool)
    held[labels[subject > 0]] = True
    held[0] = False
    connected: NDArray[np.bool_] = held[labels]
    return connected


def _fill_under_subject(
    opacity: NDArray[np.float32], distance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Continues the shadow under the subject and its soft edge, where the image is a mixture."""
    outside = (distance > 1.5).astype(np.float32)
    if not outside.any():
        return opacity
    filled = push_pull(cv2.merge([opacity] * 3), outside)[..., 0]
    return np.where(outside > 0, opacity, filled)
