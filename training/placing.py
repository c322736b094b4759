"""Where cut-outs stand: one, two beside one another, or many of the same."""

from __future__ import annotations

import cv2
import numpy as np

from .pieces import Cutout, Rng

__all__ = ["Placed", "pair", "place", "spread"]

Placed = tuple[np.ndarray, np.ndarray, "np.ndarray | None"]
"""Colours h x w x 3 uint8, alpha h x w float32, and the shadow, h x w float32, where known."""


def place(
    rng: Rng, cutout: Cutout, h: int, w: int, reach: tuple[float, float], truncate: bool
) -> Placed:
    """Puts a cut-out somewhere into h x w.

    Args:
        rng: Source of chance.
        cutout: The subject.
        h: Height, pixels.
        w: Width, pixels.
        reach: Least and largest share of the picture that the subject spans.
        truncate: Whether it may run out of the picture.

    Returns:
        Its colours, its alpha and its shadow.
    """
    level = cutout.levels[0]
    angle = rng.normal(0, 0.12) if rng.random() < 0.75 else rng.uniform(0, 2 * np.pi)
    c, s = np.cos(angle), np.sin(angle)
    ch, cw = level.shape[:2]
    bw, bh = abs(c) * cw + abs(s) * ch, abs(s) * cw + abs(c) * ch
    scale = rng.uniform(*reach) * min(w / bw, h / bh)
    if truncate:
        scale *= rng.uniform(1, 1.6)
    slack_x, slack_y = (w - bw * scale) / 2, (h - bh * scale) / 2
    dx, dy = (float(np.clip(rng.normal(0, 0.4), -1, 1)) * abs(v) for v in (slack_x, slack_y))
    if truncate:
        dx += rng.normal(0, 0.2) * w
        dy += rng.normal(0, 0.2) * h
    flip = -1 if rng.random() < 0.5 else 1
    a = np.array([[c * scale * flip, -s * scale], [s * scale * flip, c * scale]])
    shift = np.array([w / 2 + dx, h / 2 + dy]) - a @ np.array([cw / 2, ch / 2])
    shadow = None
    if cutout.shadow is not None:
        move = np.column_stack([2 * a, shift - a @ np.array(cutout.origin)])
        shadow = cv2.warpAffine(cutout.shadow, move, (w, h), flags=cv2.INTER_LINEAR)
        shadow = shadow.astype(np.float32) / 255
    if scale < 0.6:
        level, a = cutout.levels[1], 2 * a
    placed = cv2.warpAffine(
        level, np.column_stack([a, shift]), (w, h), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0)
    )
    return placed[..., :3], placed[..., 3].astype(np.float32) / 255, shadow


def spread(rng: Rng, cutout: Cutout, h: int, w: int) -> Placed:
    """Two to seven of the same product, in rows or strewn about, none upon another.

    Args:
        rng: Source of chance.
        cutout: The product.
        h: Height, pixels.
        w: Width, pixels.

    Returns:
        The colours, the alpha and the shadow of all of them.
    """
    count = int(rng.integers(2, 8))
    across = int(np.ceil(np.sqrt(count * w / h))) if rng.random() < 0.75 else count
    down = -(-count // across)
    alike, reach = rng.random() < 0.6, rng.uniform(0.5, 0.9)
    state = int(rng.integers(2**31))
    colours, alpha = np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.float32)
    shadow = np.zeros((h, w), np.float32)
    for at in rng.permutation(across * down)[:count]:
        i, j = divmod(int(at), across)
        dice = np.random.default_rng(state) if alike else rng
        bgr, a, own = place(
            dice, cutout, h // down, w // across, (reach, reach + 0.08), truncate=False
        )
        y, x = i * (h // down), j * (w // across)
        part = slice(y, y + h // down), slice(x, x + w // across)
        colours[part], alpha[part] = bgr, a
        if own is not None:
            shadow[part] = own
    return colours, alpha, shadow if cutout.shadow is not None else None


def pair(rng: Rng, bgr: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The subject and its like beside it, as shoes are shown: the gap is narrow.

    Args:
        rng: Source of chance.
        bgr: The subject's colours, h x w x 3 uint8.
        alpha: Its alpha, h x w float32.

    Returns:
        Both together, shrunk into the same h x w; the subject as it was where it is too small.
    """
    h, w = alpha.shape
    twin_bgr, twin = (bgr[:, ::-1], alpha[:, ::-1]) if rng.random() < 0.6 else (bgr, alpha)
    gap = round(w * rng.uniform(0.005, 0.06))
    solid, other = alpha > 0.1, twin > 0.1
    rows = solid.any(axis=1) & other.any(axis=1)
    if rows.sum() < 8:
        return bgr, alpha
    last = w - 1 - solid[rows, ::-1].argmax(axis=1)  # of the subject, in each row
    by = int((last - other[rows].argmax(axis=1)).max()) + gap + 1
    both = np.zeros((h, w + abs(by), 4), np.float32)  # colours times alpha, and alpha
    for at, colours, a in ((max(by, 0), twin_bgr, twin), (max(-by, 0), bgr, alpha)):
        both[:, at : at + w] *= 1 - a[..., None]
        both[:, at : at + w] += np.dstack([colours * a[..., None], a])
    columns = np.flatnonzero(both[..., 3].any(axis=0))
    left, right = columns[0], columns[-1] + 1
    k = min(1.0, w / (right - left))
    size = (min(w, round((right - left) * k)), max(1, round(h * k)))
    both = cv2.resize(both[:, left:right], size, interpolation=cv2.INTER_AREA)
    frame = np.zeros((h, w, 4), np.float32)
    x, y = int(rng.integers(0, w - size[0] + 1)), int(rng.integers(0, h - size[1] + 1))
    frame[y : y + size[1], x : x + size[0]] = both
    alpha = np.minimum(frame[..., 3], 1)
    return np.rint(frame[..., :3] / np.maximum(alpha, 1e-3)[..., None]).astype(np.uint8), alpha
