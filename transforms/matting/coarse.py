"""The network's alpha, brought to the size of the image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from transforms.matting.network import Predictor
from transforms.parameters import Box

__all__ = ["coarse_alpha", "upsample"]

# A network is trained on whole pictures: it wants some ground around the object. A tenth of the
# box's side is what product photos have around their subject.
_BOX_MARGIN = 0.1


def coarse_alpha(
    network: Predictor, rgb: NDArray[np.uint8], box: Box | None = None
) -> tuple[NDArray[np.float32], Box]:
    """Run the network on the picture, or on the neighbourhood of the box.

    Args:
        network: Anything with ``predict``.
        rgb: uint8 HxWx3.
        box: Where the subject is, inside the picture; None for the whole picture.

    Returns:
        The coarse alpha, float32 0..1 at the network's resolution, and the region of the image
        that it covers.

    Raises:
        ValueError: The network gave something that is no alpha.
    """
    height, width = rgb.shape[:2]
    region = (0, 0, width, height)
    if box is not None:
        left, top, right, bottom = box
        mx, my = round((right - left) * _BOX_MARGIN), round((bottom - top) * _BOX_MARGIN)
        region = (
            max(left - mx, 0),
            max(top - my, 0),
            min(right + mx, width),
            min(bottom + my, height),
        )
    left, top, right, bottom = region
    alpha = np.asarray(network.predict(np.ascontiguousarray(rgb[top:bottom, left:right])))
    if alpha.ndim != 2 or alpha.size == 0:
        raise ValueError(f"the network gave an alpha of shape {alpha.shape}; HxW is needed")
    if alpha.dtype == np.uint8:
        alpha = alpha.astype(np.float32) / np.float32(255)
    return np.clip(np.nan_to_num(alpha.astype(np.float32, copy=False)), 0, 1), region


def upsample(alpha: NDArray[np.float32], region: Box, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a coarse alpha to full size.

    Args:
        alpha: float32 hxw, 0..1.
        region: The part of the image that it covers.
        shape: Height and width of the image.

    Returns:
        uint8 HxW, 0 outside the region.
    """
    small = np.rint(alpha * np.float32(255)).astype(np.uint8)
    left, top, right, bottom = region
    size = (right - left, bottom - top)
    shrinks = size[0] <= small.shape[1] and size[1] <= small.shape[0]
    full = cv2.resize(small, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if size == (shape[1], shape[0]):
        return full
    out = np.zeros(shape, np.uint8)
    out[top:bottom, left:right] = full
    return out
