"""Made-up goods that shops show: packs and covers with pictures and text, loops and chains."""

from __future__ import annotations

import cv2
import numpy as np

from .backgrounds import light_plane, studio_colour, textured
from .objects import outline
from .patterns import PATTERNS, draw_palette, draw_pattern
from .pieces import Cutout, Rng

__all__ = ["draw_cover", "draw_face", "draw_loop", "draw_pack"]

_LETTERS = np.array(list("ABCDEFGHIJKLMNOPRSTUVWXYZabcdefghiklmnoprstuvwz0123456789&%"))


def _word(rng: Rng, least: int, most: int) -> str:
    return "".join(rng.choice(_LETTERS, int(rng.integers(least, most + 1))))


def _write(rng: Rng, face: np.ndarray, x: int, y: int, high: float, words: str) -> None:
    """Writes a line of text, `high` pixels high, its foot at (x, y)."""
    font = int(rng.choice([0, 1, 2, 3, 4, 6, 7]))
    bold = max(1, round(high * rng.uniform(0.06, 0.22)))
    colour = np.rint(rng.choice(np.array([[20.0] * 3, [245.0] * 3, rng.uniform(0, 255, 3)])))
    scale = high / 22
    cv2.putText(face, words, (x, y), font, scale, colour.tolist(), bold, cv2.LINE_AA)


def draw_face(rng: Rng, textures: list[np.ndarray], h: int, w: int) -> np.ndarray:
    """The printed front of a pack, a book, a poster: h x w x 3 uint8.

    Args:
        rng: Source of chance.
        textures: Surfaces, uint8, that serve as pictures.
        h: Height, pixels.
        w: Width, pixels.
    """
    face = np.empty((h, w, 3), np.float32)
    face[:] = studio_colour(rng)
    if rng.random() < 0.5:
        face += light_plane(rng, h, w)[..., None] * rng.uniform(-60, 60, 3)
    face = np.clip(face, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 4))):  # bands and fields
        x, y = int(rng.uniform(-0.1, 0.7) * w), int(rng.uniform(-0.1, 0.9) * h)
        to = (x + int(rng.uniform(0.2, 1.2) * w), y + int(rng.uniform(0.05, 0.5) * h))
        cv2.rectangle(face, (x, y), to, np.rint(studio_colour(rng)).tolist(), -1)
    for _ in range(int(rng.integers(0, 3))):  # pictures
        pw, ph = max(int(rng.uniform(0.2, 0.8) * w), 8), max(int(rng.uniform(0.15, 0.5) * h), 8)
        kind = rng.random()
        if kind < 0.4 and textures:
            picture = textured(rng, textures, ph, pw)
        elif kind < 0.6:
            pattern = str(rng.choice(list(PATTERNS)))
            repeat = draw_pattern(rng, pattern, [], draw_palette(rng))
            picture = cv2.resize(repeat, (pw, ph), interpolation=cv2.INTER_AREA)
        else:
            picture = np.empty((ph, pw, 3), np.float32)
            picture[:] = studio_colour(rng)
            for _ in range(int(rng.integers(1, 4))):
                mask = cv2.resize(outline(rng, 96), (pw, ph))[..., None]
                picture = picture + mask * (rng.uniform(0, 255, 3) - picture)
        x, y = int(rng.integers(0, max(w - pw, 1))), int(rng.integers(0, max(h - ph, 1)))
        area = face[y : y + ph, x : x + pw]
        area[:] = np.clip(picture, 0, 255)[: area.shape[0], : area.shape[1]]
    for _ in range(int(rng.integers(1, 4))):  # titles
        high = rng.uniform(0.04, 0.16) * h
        x, y = int(rng.uniform(0, 0.4) * w), int(rng.uniform(0.1, 0.95) * h)
        _write(rng, face, x, y, high, _word(rng, 3, 10))
    if rng.random() < 0.6:  # small print
        x, top, step = int(rng.uniform(0.02, 0.5) * w), rng.uniform(0.3, 0.9) * h, h * 0.035
        for k in range(int(rng.integers(2, 9))):
            _write(rng, face, x, int(top + k * step), step * 0.6, _word(rng, 6, 24))
    if rng.random() < 0.25:  # a bar code
        x, y = int(rng.uniform(0.05, 0.7) * w), int(rng.uniform(0.6, 0.9) * h)
        bars = np.repeat(rng.integers(0, 2, 40), max(w // 160, 1)) * 255
        area = face[y : y + int(0.1 * h), x : x + len(bars)]
        area[:] = bars[None, : area.shape[1], None]
    return face


def draw_pack(rng: Rng, textures: list[np.ndarray], size: int = 320) -> Cutout | None:
    """A box, a book or a card, seen from the front or from a corner."""
    wide, high, deep = 1.0, rng.uniform(0.5, 1.6), rng.choice([0.02, rng.uniform(0.05, 0.9)])
    yaw, pitch = rng.uniform(-1, 1), rng.choice([0.0, rng.uniform(0, 0.8)])
    if rng.random() < 0.25:
        yaw = 0.0
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    turn = np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) @ turn
    x, y, z = wide / 2, high / 2, deep / 2
    faces = {  # corners from the upper left clockwise; y points down, z away
        "front": ([[-x, -y, -z], [x, -y, -z], [x, y, -z], [-x, y, -z]], (high, wide)),
        "left": ([[-x, -y, z], [-x, -y, -z], [-x, y, -z], [-x, y, z]], (high, deep)),
        "right": ([[x, -y, -z], [x, -y, z], [x, y, z], [x, y, -z]], (high, deep)),
        "top": ([[-x, -y, z], [x, -y, z], [x, -y, -z], [-x, -y, -z]], (deep, wide)),
    }
    far = rng.uniform(3, 8)
    seen = {}
    for name, (corners, extent) in faces.items():
        at = np.array(corners) @ turn.T
        seen[name] = (at[:, :2] / (1 + at[:, 2:] / far), extent)
    flat = np.concatenate([at for at, _ in seen.values()])
    low, span = flat.min(axis=0), float((flat.max(axis=0) - flat.min(axis=0)).max())
    fine = 2 * size
    colour, alpha = np.zeros((fine, fine, 3), np.float32), np.zeros((fine, fine), np.float32)
    printed = rng.random() < 0.7
    base = studio_colour(rng)
    for name, (at, extent) in seen.items():
        at = ((at - low) / span * 0.96 + 0.02) * fine
        edge, other = at[1] - at[0], at[3] - at[0]
        if edge[0] * other[1] - edge[1] * other[0] <= fine:  # turned away
            continue
        h, w = (max(int(share * fine / span), 8) for share in extent)
        if name == "front" or printed:
            face = draw_face(rng, textures, h, w)
        else:
            face = np.empty((h, w, 3), np.uint8)
            face[:] = np.rint(np.clip(base, 0, 255))
        face_corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
        matrix = cv2.getPerspectiveTransform(face_corners, at.astype(np.float32))
        drawn = cv2.warpPerspective(face, matrix, (fine, fine), borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros((fine, fine), np.uint8)
        cv2.fillConvexPoly(mask, np.rint(at * 16).astype(np.int32), 255, cv2.LINE_8, 4)
        shade = 1.0 if name == "front" else rng.uniform(0.55, 1.1)
        colour[mask > 0] = drawn[mask > 0] * shade
        alpha[mask > 0] = 1
    colour += (light_plane(rng, fine, fine) * rng.exponential(10))[..., None]
    premultiplied = cv2.resize(
        colour * alpha[..., None], (size, size), interpolation=cv2.INTER_AREA
    )
    alpha = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_AREA)
    bgr = premultiplied / np.maximum(alpha, 1e-3)[..., None]
    return Cutout.make(np.clip(bgr, 0, 255).astype(np.uint8), alpha, size)


def draw_cover(
    rng: Rng, textures: list[np.ndarray], h: int, w: int
) -> tuple[np.ndarray, np.ndarray]:
    """A cover that fills the frame, perhaps with a strip of background at some sides.

    Args:
        rng: Source of chance.
        textures: Surfaces, uint8.
        h: Height, pixels.
        w: Width, pixels.

    Returns:
        The picture, h x w x 3 float32, and its alpha, h x w float32.
    """
    sides = rng.uniform(0, 0.05, 4) * (rng.random(4) < 0.4) * (h, h, w, w)
    top, below, left, right = np.rint(sides).astype(int)
    picture = np.empty((h, w, 3), np.float32)
    picture[:] = studio_colour(rng)
    alpha = np.zeros((h, w), np.float32)
    inner = slice(top, h - below), slice(left, w - right)
    picture[inner] = draw_face(rng, textures, h - top - below, w - left - right)
    alpha[inner] = 1
    return picture, alpha


def _curve(rng: Rng, size: int) -> np.ndarray:
    """A closed curve as 240 points (x, y) within size x size."""
    t = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    kind = rng.random()
    if kind < 0.45:  # hoop, bracelet, frame
        n = rng.choice([2, 2, 2, 4, 8])
        x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / n)
        y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / n) * rng.uniform(0.3, 1)
    elif kind < 0.75:  # a necklace: narrow above, wide below
        y = -np.cos(t)
        x = np.sin(t) * (0.35 + rng.uniform(0.1, 0.5) * (y + 1) / 2)
    else:  # a cable or a string laid down
        r = 1 + sum(
            rng.normal(0, 0.16) / k**0.5 * np.cos(k * t + rng.uniform(0, 6.3)) for k in range(2, 6)
        )
        r = np.clip(r, 0.3, 1.4) / 1.4
        x, y = r * np.cos(t), r * np.sin(t)
    turn = rng.choice([0.0, rng.normal(0, 0.3), rng.uniform(0, 6.3)])
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    points = np.stack([x, y], axis=1)
    placed: np.ndarray = points / np.abs(points).max() * 0.45 * size + size / 2
    return placed


def draw_loop(rng: Rng, textures: list[np.ndarray], size: int = 400) -> Cutout | None:
    """A thin closed loop or a chain: what it encloses is background.

    Args:
        rng: Source of chance.
        textures: Surfaces, uint8.
        size: Side of the frame, pixels.
    """
    fine = 2 * size
    mask = np.zeros((fine, fine), np.uint8)
    for _ in range(int(rng.choice([1, 1, 1, 2]))):
        points = _curve(rng, fine)
        width = max(int(fine * np.exp(rng.uniform(np.log(0.006), np.log(0.05)))), 3)
        kind = rng.random()
        if kind < 0.55:  # a wire, a tube, a cable
            cv2.polylines(mask, [np.rint(points).astype(np.int32)], True, 255, width)
        else:
            steps = np.linalg.norm(np.diff(points, axis=0, append=points[:1]), axis=1)
            length = np.concatenate([[0], np.cumsum(steps)])
            pitch = width * (rng.uniform(0.9, 1.3) if kind < 0.8 else 1.3)
            at = np.arange(0, length[-1], pitch)
            closed = np.concatenate([points, points[:1]])
            x, y = (np.interp(at, length, closed[:, i]) for i in (0, 1))
            heading = np.degrees(np.arctan2(np.gradient(y), np.gradient(x)))
            for k, (px, py, angle) in enumerate(zip(x, y, heading, strict=True)):
                centre = (round(px), round(py))
                if kind < 0.8:  # beads
                    cv2.circle(mask, centre, max(width // 2, 1), 255, -1)
                else:  # links, every other one seen from its edge
                    axes = (max(width, 2), max(width // (2 if k % 2 else 5), 1))
                    line = max(width // 4, 1)
                    cv2.ellipse(mask, centre, axes, float(angle), 0, 360, 255, line)
        if rng.random() < 0.3:  # a pendant, a clasp, a plug
            low = points[points[:, 1].argmax()]
            charm = cv2.resize(outline(rng, 64), None, fx=fine / 64 * 0.14, fy=fine / 64 * 0.14)
            y, x = (int(v) for v in np.clip(low[::-1], 0, fine - charm.shape[0]))
            part = mask[y : y + charm.shape[0], x : x + charm.shape[1]]
            np.maximum(part, (charm * 255).astype(np.uint8), out=part)
    alpha = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) / np.float32(255)
    if rng.random() < 0.3 and textures:
        surface = textured(rng, textures, size, size)
    else:
        surface = np.empty((size, size, 3), np.float32)
        surface[:] = studio_colour(rng) if rng.random() < 0.7 else rng.uniform(0, 255, 3)
    depth = cv2.GaussianBlur(alpha, (0, 0), size * 0.006)
    surface += ((depth - 0.6) * rng.uniform(0, 150))[..., None]
    surface += (light_plane(rng, size, size) * rng.uniform(0, 70))[..., None]
    return Cutout.make(np.clip(surface, 0, 255).astype(np.uint8), alpha, size)
