"""Shadows that the subject throws on a plain ground, as black with alpha.

Off the subject, a shadow is where the picture is darker than its ground by about the same factor
in all channels. The ground is filled in from the pixels far from the subject.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.prior import ramp
from alphabeam.transforms.matting.pushpull import push_pull

__all__ = ["add_shadow", "find_shadow"]

_SIDE = 512  # shadows are soft: they are found at this size
_REACH = 0.12  # of the picture's longer side: farther from the subject lies bare ground
_FAINTEST, _FULL = 0.03, 0.08  # darkening that is no shadow yet, and that is one for sure
_TINT = 0.12  # channels may darken this much differently


def find_shadow(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Opacity of the subject's shadow.

    Args:
        image: uint8 HxWx3, RGB.
        alpha: uint8 HxW, the subject.

    Returns:
        uint8 HxW, the alpha that black would need to darken the bare ground as the shadow does;
        0 where there is none, and everywhere if the picture shows no ground to compare with.
    """
    height, width = alpha.shape
    shrink = max(1.0, max(height, width) / _SIDE)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small *= np.float32(1 / 255)
    subject = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    near = (subject > 12).view(np.uint8)
    distance = cv2.distanceTransform(1 - near, cv2.DIST_L2, 5)
    far = (distance > _REACH * max(size)).astype(np.float32)
    if not near.any() or not far.any():
        return np.zeros_like(alpha)
    ground = np.maximum(push_pull(small, far), np.float32(0.02))
    ratio = np.minimum(small / ground, 1)
    darkening = 1 - ratio.mean(2)
    tint = ratio.max(2) - ratio.min(2)
    sure = ramp(darkening, _FAINTEST, _FULL)
    sure *= np.clip(2 - tint / _TINT, 0, 1)
    # Only what hangs together with the subject.
    dark = ((darkening * sure > _FAINTEST) | (near > 0)).astype(np.uint8)
    _, labels = cv2.connectedComponents(dark, connectivity=8)
    held = np.zeros(int(labels.max()) + 1, bool)
    held[labels[near > 0]] = True
    held[0] = False
    # Under the subject's soft rim the picture is a mixture: fill from the shadow beside it.
    outside = (distance > 1.5).astype(np.float32)
    opacity = (darkening * sure * held[labels]).astype(np.float32)
    filled = push_pull(cv2.merge([opacity] * 3), outside)[..., 0] if outside.any() else opacity
    opacity = np.where(outside > 0, opacity, filled)
    opacity = cv2.GaussianBlur(opacity, (0, 0), 1.0)
    eight = np.rint(np.clip(opacity, 0, 1) * 255).astype(np.uint8)
    return cv2.resize(eight, (width, height), interpolation=cv2.INTER_LINEAR)


def add_shadow(
    alpha: NDArray[np.uint8], rgba: NDArray[np.uint8] | None, shadow: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Lay the subject over its shadow.

    Args:
        alpha: uint8 HxW, the subject.
        rgba: uint8 HxWx4, straight alpha, or None.
        shadow: uint8 HxW, black's opacity.

    Returns:
        Alpha and RGBA of both together.
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
