"""Small scenes with exact alpha, and a network that needs no file."""

from __future__ import annotations

import cv2
import numpy as np


class ByColour:
    """A stand-in network: alpha from the distance to the border's median colour.

    Its answer is of low resolution and blurred, as a real network's; 0 for a plain image.
    """

    name = "by-colour"
    sha256 = "0" * 64

    def __init__(self, side: int = 64) -> None:
        self.side = side

    def predict(self, rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        scale = min(1.0, self.side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
        distance = np.linalg.norm(small - np.median(border, axis=0), axis=2)
        alpha = 1 / (1 + np.exp(-(distance - 60) / 8))
        return cv2.GaussianBlur(alpha.astype(np.float32), (3, 3), 0)


class Constant:
    """A network that returns the same alpha for every image."""

    def __init__(self, alpha: np.ndarray) -> None:
        self.alpha = alpha

    def predict(self, rgb: np.ndarray) -> np.ndarray:
        return self.alpha


def disc(
    size: int = 160,
    fore: tuple[int, int, int] = (200, 40, 30),
    back: tuple[int, int, int] = (230, 228, 224),
    softness: float = 1.5,
    noise: float = 2.0,
    centre: tuple[float, float] = (0.5, 0.5),
    radius: float = 0.28,
) -> tuple[np.ndarray, np.ndarray]:
    """A disc on a plain background: RGB image and exact alpha, both uint8."""
    y, x = np.mgrid[:size, :size] + 0.5
    distance = np.hypot(x - centre[0] * size, y - centre[1] * size) - radius * size
    alpha = np.clip(0.5 - distance / (2 * softness), 0, 1)
    image = alpha[..., None] * np.array(fore) + (1 - alpha[..., None]) * np.array(back)
    image += np.random.default_rng(7).normal(0, noise, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), np.rint(alpha * 255).astype(np.uint8)


def over(rgba: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """A straight-alpha cutout over a colour, float: the reference, so not the code under test."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + np.array(background) * (1 - alpha)
