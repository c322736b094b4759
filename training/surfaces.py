"""What products wear: other colours, prints and fringes, or glass instead of their own stuff."""

from __future__ import annotations

import cv2
import numpy as np

from .backgrounds import studio_colour
from .objects import openwork, outline, stripes
from .pieces import Rng

__all__ = ["fray", "print_on", "tint", "vitrify", "whiten"]


def whiten(rng: Rng, bgr: np.ndarray) -> np.ndarray:
    """The same product in white, with its folds: float32."""
    x = bgr.astype(np.float32)
    grey = x.mean(axis=2, keepdims=True)
    white: np.ndarray = 255 - (255 - grey) * rng.uniform(0.15, 0.5)
    white = white + (x - grey) * rng.uniform(0, 0.3)
    return white


def tint(rng: Rng, bgr: np.ndarray) -> np.ndarray:
    """Another colour of the same product; whites and greys are frequent in shops."""
    x = bgr.astype(np.float32)
    kind = rng.random()
    if kind < 0.16:
        x = whiten(rng, bgr)
    elif kind < 0.24:  # to black
        grey = x.mean(axis=2, keepdims=True)
        x = grey * rng.uniform(0.15, 0.45) + (x - grey) * rng.uniform(0, 0.3)
    elif kind < 0.5:
        hsv = cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + rng.integers(180)) % 180
        x = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(np.float32)
    return x * rng.uniform(0.75, 1.2) + rng.normal(0, 8)


def fray(rng: Rng, bgr: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grows strands out of a part of the outline, or all of it: fringes, tassels, bristles, fur.

    Args:
        rng: Source of chance.
        bgr: The subject's colours, h x w x 3.
        alpha: Its alpha, h x w float32.

    Returns:
        Colours, h x w x 3 float32, and alpha, h x w float32, with the strands.
    """
    h, w = alpha.shape
    colours = bgr.astype(np.float32)
    _, _, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
    contours, _ = cv2.findContours(
        (alpha > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    outer = max((c[:, 0].astype(np.float64) for c in contours), key=len, default=np.empty((0, 2)))
    if len(outer) < 60:
        return colours, alpha
    fine = 3  # strands are drawn at three times the size
    side = max(bw, bh)
    length = side * np.exp(rng.uniform(np.log(0.03), np.log(0.2)))
    apart = np.exp(rng.uniform(np.log(0.5), np.log(5)))
    count = int(min(len(outer) / apart, 900))
    first, share = rng.integers(len(outer)), rng.choice([1.0, rng.uniform(0.1, 0.6)])
    at = (first + rng.uniform(0, share * len(outer), count)).astype(int) % len(outer)
    along = np.roll(outer, -4, axis=0) - np.roll(outer, 4, axis=0)
    away = np.stack([-along[:, 1], along[:, 0]], axis=1)  # OpenCV goes round the other way
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    hanging = rng.choice([0.0, rng.uniform(0.2, 1.5)])
    wild, curl = rng.uniform(0.02, 0.5), rng.uniform(0, 0.6)
    width = int(np.clip(rng.exponential(0.012) * side * fine, 1, 12))
    mask = np.zeros((h * fine, w * fine), np.uint8)
    tones = colours.copy()
    t = np.linspace(0, 1, 7)[:, None]
    for start in at:
        heading = away[start] + rng.normal(0, wild, 2) + (0, hanging)
        reach = length * rng.uniform(0.5, 1)
        bend = np.array([-heading[1], heading[0]]) * rng.normal(0, curl)
        points = outer[start] - 2 * away[start] + reach * (t * heading + t**2 * bend)
        path = np.rint((points + 0.5) * fine).astype(np.int32)
        cv2.polylines(mask, [path], False, 255, width, cv2.LINE_AA)
        root = np.clip(outer[start] - 3 * away[start], 0, (w - 1, h - 1)).astype(int)
        tone = colours[root[1], root[0]] * rng.uniform(0.75, 1.2)
        drawn = np.rint(points).astype(np.int32)
        cv2.polylines(tones, [drawn], False, tone.tolist(), width // fine + 4)
    strands = cv2.resize(mask, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    colours = colours + (1 - alpha)[..., None] * (tones - colours)
    return colours, alpha + strands * (1 - alpha)


def print_on(rng: Rng, bgr: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Prints a pattern on the subject, or paints a part of it: paint opens nothing.

    Without it a network that has seen lattices takes dark or foreign patches for openings.

    Args:
        rng: Source of chance.
        bgr: The subject's colours, h x w x 3.
        alpha: Its alpha, h x w float32.
        background: The picture that it is placed in, h x w x 3; some paint is near its colour.

    Returns:
        The colours with the print, h x w x 3 float32, shaded as they were.
    """
    h, w = alpha.shape
    x, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
    if not bw:
        return bgr
    kind = rng.random()
    motif = (
        openwork(rng, 96) if kind < 0.2 else stripes(rng, 96) if kind < 0.5 else outline(rng, 64)
    )
    if rng.random() < 0.6:  # all over
        above, below, left, right = rng.integers(0, 24, 4).tolist()
        motif = cv2.copyMakeBorder(motif, above, below, left, right, cv2.BORDER_CONSTANT)
        share, border = rng.uniform(0.04, 0.35), cv2.BORDER_WRAP
    else:  # one patch: a label, a screen, a lining, what a cup holds
        share, border = rng.uniform(0.25, 1.1), cv2.BORDER_CONSTANT
    scale = share * max(bw, bh) / 64
    angle = rng.choice([0.0, rng.uniform(0, 2 * np.pi)])
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    cx, cy = x + bw * rng.uniform(0.2, 0.8), y + bh * rng.uniform(0.2, 0.8)
    mh, mw = motif.shape
    py, px = np.mgrid[:h, :w].astype(np.float32)
    if rng.random() < 0.5:  # on a fold
        fold = rng.normal(0, 0.04 * max(bw, bh), (2, *rng.integers(2, 6, 2))).astype(np.float32)
        py += cv2.resize(fold[0], (w, h), interpolation=cv2.INTER_CUBIC)
        px += cv2.resize(fold[1], (w, h), interpolation=cv2.INTER_CUBIC)
    at_x = np.float32(c) * (px - np.float32(cx)) - np.float32(s) * (py - np.float32(cy)) + mw / 2
    at_y = np.float32(s) * (px - np.float32(cx)) + np.float32(c) * (py - np.float32(cy)) + mh / 2
    mask = cv2.remap(motif, at_x, at_y, cv2.INTER_LINEAR, borderMode=border)
    if border == cv2.BORDER_WRAP and rng.random() < 0.4:
        mask = 1 - mask
    inside = alpha > 0.5
    grey = cv2.cvtColor(np.clip(bgr, 0, 255).astype(np.uint8), cv2.COLOR_BGR2GRAY)
    shade = grey.astype(np.float32) / max(float(grey[inside].mean()), 24)
    shade = 1 + (np.clip(shade, 0, 2) - 1) * rng.uniform(0.2, 0.9)
    kind = rng.random()
    if kind < 0.3:
        paint = background[inside].mean(axis=0) + rng.normal(0, 24, 3)
    elif kind < 0.45:  # black, as the depth of an opening is
        paint = rng.uniform(0, 50) + rng.normal(0, 8, 3)
    else:
        paint = studio_colour(rng)
    cover = (mask * rng.uniform(0.6, 1))[..., None]
    printed: np.ndarray = bgr + cover * (paint.astype(np.float32) * shade[..., None] - bgr)
    return printed


def vitrify(rng: Rng, bgr: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Turns the subject, or what of it lies above a level, to clear glass: subject all the same.

    What stands behind is seen through it, a little bent and dimmed; the walls seen edge on, along
    the outline, and the highlights keep the subject's own colours.

    Args:
        rng: Source of chance.
        bgr: The subject's colours, h x w x 3.
        alpha: Its alpha, h x w float32.
        background: The picture that it is placed in, h x w x 3.

    Returns:
        The colours as glass, h x w x 3 float32.
    """
    h, w = alpha.shape
    x, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
    if not bw:
        return bgr
    sigma = rng.uniform(0.01, 0.04) * max(bw, bh)
    inner = np.clip(2 * cv2.GaussianBlur(alpha, (0, 0), sigma) - 1, 0, 1)
    grey = cv2.cvtColor(np.clip(bgr, 0, 255).astype(np.uint8), cv2.COLOR_BGR2GRAY)
    bright = np.clip((grey.astype(np.float32) - rng.uniform(170, 240)) / 40, 0, 1)
    solid = rng.uniform(0.04, 0.3) + rng.uniform(0.4, 0.9) * (1 - inner) ** rng.uniform(1, 3)
    solid = np.maximum(solid, bright * rng.uniform(0, 0.8))
    if rng.random() < 0.4:  # full up to a level, or a foot
        level = y + bh * rng.uniform(0.2, 0.8)
        solid = np.where(np.arange(h)[:, None] > level, 1, solid)
    k = rng.uniform(0.85, 1.15)
    middle = np.array([x + bw / 2, y + bh / 2])
    bend = np.column_stack([np.eye(2) * k, middle * (1 - k) + rng.normal(0, 0.02, 2) * bh])
    behind = cv2.warpAffine(background, bend, (w, h), borderMode=cv2.BORDER_REPLICATE)
    behind *= (rng.uniform(0.75, 1.02) + rng.normal(0, 0.02, 3)).astype(np.float32)
    cover = np.clip(solid, 0, 1).astype(np.float32)[..., None]
    glass: np.ndarray = behind + cover * (bgr - behind)
    return glass
