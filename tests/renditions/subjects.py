"""Synthetic cutouts with exact alpha, for the tests of renditions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def product(
    seed: int, size: tuple[int, int] = (600, 500), *, light: bool = False
) -> NDArray[np.uint8]:
    """A cutout: a textured body with a hole and a thin handle, antialiased.

    Args:
        seed: Which one.
        size: Width and height, pixels.
        light: Whether it is nearly white.

    Returns:
        uint8 HxWx4, straight alpha.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    fine = 4
    mask = np.zeros((height * fine, width * fine), np.uint8)
    centre = (int(width * fine * rng.uniform(0.4, 0.6)), int(height * fine * rng.uniform(0.4, 0.6)))
    axes = (
        int(width * fine * rng.uniform(0.12, 0.3)),
        int(height * fine * rng.uniform(0.12, 0.3)),
    )
    tilt = float(rng.uniform(0, 180))
    if seed % 2:
        corners = cv2.boxPoints((centre, (2 * axes[0], 2 * axes[1]), tilt)).astype(np.int32)
        cv2.fillConvexPoly(mask, corners, 255)
    else:
        cv2.ellipse(mask, centre, axes, tilt, 0, 360, 255, -1)
    if seed % 3 == 0:
        cv2.circle(mask, centre, min(axes) // 3, 0, -1)
    end = (int(centre[0] + axes[0] * rng.uniform(-0.6, 0.6)), int(height * fine * 0.08))
    cv2.line(mask, centre, end, 255, int(rng.uniform(2, 12) * fine))
    alpha = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    base = rng.uniform(205, 240, 3) if light else rng.uniform(30, 190, 3)
    shade = cv2.resize(rng.uniform(-14, 14, (9, 9, 3)).astype(np.float32), size)
    grain = rng.normal(0, 3, (height, width, 1))
    colours = np.clip(base + shade + grain, 0, 250).astype(np.uint8)
    colours[alpha == 0] = 0
    return np.dstack([colours, alpha])


def disc(side: int = 200, radius: int = 60, colour: tuple[int, int, int] = (200, 30, 30)):
    """A disc in the middle of a square: uint8 side x side x 4."""
    mask = np.zeros((side * 8, side * 8), np.uint8)
    cv2.circle(mask, (side * 4, side * 4), radius * 8, 255, -1)
    alpha = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)
    rgba = np.zeros((side, side, 4), np.uint8)
    rgba[alpha > 0, :3] = colour
    rgba[..., 3] = alpha
    return rgba


def bar(width: int, height: int, *, margin: int = 40) -> NDArray[np.uint8]:
    """An opaque rectangle of an exact size, with a margin around it."""
    rgba = np.zeros((height + 2 * margin, width + 2 * margin, 4), np.uint8)
    rgba[margin : margin + height, margin : margin + width] = (60, 90, 120, 255)
    return rgba
