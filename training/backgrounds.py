"""Backgrounds without a pattern: studios, surfaces, tables before walls, cluttered scenes.

Float32 BGR, around 0..255.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .pieces import Rng

__all__ = [
    "draw_background", "light_plane", "scenery", "studio", "studio_colour", "textured",
]  # fmt: skip


def light_plane(rng: Rng, h: int, w: int) -> np.ndarray:
    """A soft random light: h x w float32 around 0, within about ±1."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    linear = ((x / w - 0.5) * np.cos(angle) + (y / h - 0.5) * np.sin(angle)) * 2
    cx, cy, r = rng.uniform(-0.2, 1.2), rng.uniform(-0.2, 1.2), rng.uniform(0.3, 1.2)
    radial = np.exp(-((x / w - cx) ** 2 + (y / h - cy) ** 2) / (2 * r * r)) * 2 - 1
    mix = rng.random()
    light: np.ndarray = mix * linear + (1 - mix) * radial
    return light


def studio_colour(rng: Rng) -> np.ndarray:
    """A background colour as studios use them, BGR."""
    kind = rng.random()
    if kind < 0.32:
        return np.full(3, rng.uniform(238, 256)) - rng.uniform(0, 5, 3)
    if kind < 0.55:  # warm or cool off-white
        return np.full(3, rng.uniform(195, 245)) + rng.normal(0, 1, 3) * [9, 3, 9]
    if kind < 0.72:
        return np.full(3, rng.uniform(70, 210)) + rng.normal(0, 4, 3)
    if kind < 0.82:
        return np.full(3, rng.uniform(5, 60)) + rng.normal(0, 4, 3)
    hsv = np.array([[[rng.uniform(0, 180), rng.uniform(30, 230), rng.uniform(90, 255)]]], np.uint8)
    colour: np.ndarray = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float64)
    return colour


def studio(rng: Rng, h: int, w: int, colour: np.ndarray | None = None) -> np.ndarray:
    """A softly lit backdrop, of `colour` (BGR) or of any: h x w x 3 float32."""
    base = studio_colour(rng) if colour is None else colour
    background = np.empty((h, w, 3), np.float32)
    background[:] = base
    background += (light_plane(rng, h, w) * rng.exponential(14))[..., None]
    if rng.random() < 0.3:  # where the table ends or the backdrop bends
        tilt = rng.normal(0, 0.06) * np.linspace(-0.5, 0.5, w)
        seam = (rng.uniform(0.15, 0.85) + tilt) * h
        sigma = rng.choice([0.7, 3, 12, 40]) * h / 320
        below = 1 / (1 + np.exp(-(np.arange(h)[:, None] - seam[None]) / sigma))
        other = studio_colour(rng) if rng.random() < 0.35 else base + rng.normal(0, 18)
        background += below[..., None].astype(np.float32) * (other - base).astype(np.float32)
    return background


def textured(rng: Rng, textures: Sequence[np.ndarray], h: int, w: int) -> np.ndarray:
    """One of the surfaces, repeated as often as it takes: h x w x 3 float32."""
    tile = textures[int(rng.integers(len(textures)))]
    if rng.random() < 0.5:
        tile = tile.swapaxes(0, 1)
    scale = np.exp(rng.uniform(np.log(0.8), np.log(6))) * max(h, w) / 320
    th, tw = tile.shape[:2]
    angle = rng.choice([0.0, 0.0, rng.uniform(-0.4, 0.4)])
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[c, -s, rng.uniform(0, tw)], [s, c, rng.uniform(0, th)]], np.float32)
    out = cv2.warpAffine(
        tile, matrix, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    ).astype(np.float32)  # fmt: skip
    if rng.random() < 0.4:  # brighter or paler than the sample card
        out = out * rng.uniform(0.5, 1) + rng.uniform(0, 120)
    surface: np.ndarray = out + (light_plane(rng, h, w) * rng.exponential(16))[..., None]
    return surface


def scenery(rng: Rng, scenes: Sequence[np.ndarray], h: int, w: int) -> np.ndarray:
    """A part of one of the photos, most of the time out of focus: h x w x 3 float32."""
    scene = scenes[int(rng.integers(len(scenes)))]
    sh, sw = scene.shape[:2]
    k = min(sh / h, sw / w) * rng.uniform(0.45, 1)
    ch, cw = max(int(h * k), 8), max(int(w * k), 8)
    y, x = rng.integers(sh - ch + 1), rng.integers(sw - cw + 1)
    out = cv2.resize(scene[y : y + ch, x : x + cw], (w, h), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        out = out[:, ::-1]
    if rng.random() < 0.75:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(1, 9)) * max(h, w) / 320)
    part: np.ndarray = out.astype(np.float32)
    return part


def draw_background(
    rng: Rng,
    textures: Sequence[np.ndarray],
    scenes: Sequence[np.ndarray],
    h: int,
    w: int,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """A background: studio, surface, table before a wall, or a cluttered scene.

    Args:
        rng: Source of chance.
        textures: Surfaces, uint8.
        scenes: Cluttered photos, uint8.
        h: Height, pixels.
        w: Width, pixels.
        like: A BGR colour that a studio background comes close to, for subjects that hardly show.

    Returns:
        h x w x 3 float32, around 0..255.
    """
    kind = rng.random()
    if like is not None or kind < 0.5 or not textures:
        return studio(rng, h, w, None if like is None else like + rng.normal(0, 14, 3))
    if kind < 0.68:
        return textured(rng, textures, h, w)
    if kind < 0.82 or not scenes:  # a table before a wall
        table = textured(rng, textures, h, w)
        wall = studio(rng, h, w) if rng.random() < 0.6 else textured(rng, textures, h, w)
        cut = int(rng.uniform(0.2, 0.7) * h)
        table[:cut] = wall[:cut]
        return table
    return scenery(rng, scenes, h, w)
