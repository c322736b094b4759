"""Shadows and reflections, all of them background: soft ones of studios, hard ones of the sun.

Backgrounds are float32 BGR around 0..255, shadows float32 in 0..1.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from .objects import openwork, outline
from .pieces import Cutout, Rng

__all__ = ["Sun", "cast_soft", "draw_foreign", "mirror"]


@dataclasses.dataclass(frozen=True)
class Sun:
    """A small, far light: the shadows that it throws have crisp edges.

    Attributes:
        kind: How a shadow lies: "floor" (thrown along what the subject stands on), "board" (of a
            thing that lies, seen from above) or "wall" (on what is behind it).
        shear: Sideways run of a floor's shadow per height.
        flat: Its run up (or, below 0, down) the picture per height.
        run: Where the other shadows fall, as shares of the subject's size, x and y.
        sigma: Softness of the edge, pixels.
        grows: Whether it gets softer away from the subject's foot.
        left: What of the light is left in the shadow, BGR float32.
    """

    kind: str
    shear: float
    flat: float
    run: tuple[float, float]
    sigma: float
    grows: bool
    left: np.ndarray

    @classmethod
    def draw(cls, rng: Rng, side: int, kind: str | None = None) -> Sun:
        """Any sun over a picture of `side` pixels, or any of one `kind`."""
        kind = kind or str(rng.choice(["floor", "floor", "board", "wall"]))
        around, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.04, 0.35)
        left = rng.uniform(0.1, 0.75) * np.array(
            [1 + rng.uniform(-0.05, 0.3), 1, 1 - rng.uniform(-0.05, 0.2)]
        )
        return cls(
            kind,
            float(rng.uniform(-1.8, 1.8)),
            float(rng.choice([-1, 1, 1]) * rng.uniform(0.03, 0.7)),
            (float(far * np.cos(around)), float(far * np.sin(around))),
            float(rng.uniform(0.2, 1.6)) * side / 320,
            bool(rng.random() < 0.3),
            np.clip(left, 0, 1).astype(np.float32),
        )

    def shadow(self, alpha: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """The shadow of a subject, h x w float32 in 0..1.

        Args:
            alpha: The subject's alpha, h x w float32.
            known: Its shadow where it is known from the subject's shape, h x w float32.
        """
        h, w = alpha.shape
        _, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
        foot = y + bh
        if known is not None:
            hard = known
        elif self.kind == "floor":
            move = np.array(
                [[1, self.shear, -self.shear * foot], [0, self.flat, (1 - self.flat) * foot]]
            )
            # What lies towards the camera is thrown down, what lies away from it up the picture.
            hard = cv2.warpAffine(alpha, move, (w, h))
        else:
            dx, dy = (share * max(bw, bh) for share in self.run)
            steps = 7 if self.kind == "board" else 1  # a board's shadow begins below itself
            hard = np.zeros_like(alpha)
            for step in range(1, steps + 1):
                move = np.array([[1, 0, dx * step / steps], [0, 1, dy * step / steps]])
                hard = np.maximum(hard, cv2.warpAffine(alpha, move, (w, h)))
        crisp: np.ndarray = cv2.GaussianBlur(hard, (0, 0), max(self.sigma, 0.15))
        if not self.grows or not bh:
            return crisp
        soft = cv2.GaussianBlur(hard, (0, 0), 4 * self.sigma + 1)
        away = np.clip(np.abs(np.arange(h, dtype=np.float32) - foot) / bh, 0, 1)[:, None]
        growing: np.ndarray = crisp + away * (soft - crisp)
        return growing

    def cast(self, picture: np.ndarray, shadow: np.ndarray) -> np.ndarray:
        """The picture (h x w x 3 float32) with a shadow (h x w float32) on it."""
        shaded: np.ndarray = picture * (1 - shadow[..., None] * (1 - self.left))
        return shaded


def _blinds(rng: Rng, h: int, w: int) -> np.ndarray:
    """Slats, bars or a fence across the whole picture."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    along = (x * np.cos(angle) + y * np.sin(angle)) / (max(h, w) * rng.uniform(0.04, 0.3))
    slats: np.ndarray = ((along + rng.uniform(0, 1)) % 1 < rng.uniform(0.2, 0.8)).astype(np.float32)
    return slats


def _window(rng: Rng, h: int, w: int) -> np.ndarray:
    """Light that falls through panes; all around it is shadow."""
    n, m = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    panes = np.full((64 * m + 16, 64 * n + 16), 255, np.uint8)
    bar = int(rng.integers(2, 10))
    for i in range(m):
        for j in range(n):
            panes[8 + 64 * i + bar : 8 + 64 * (i + 1), 8 + 64 * j + bar : 8 + 64 * (j + 1)] = 0
    ph, pw = panes.shape
    corners = np.array([[0, 0], [pw, 0], [pw, ph], [0, ph]], np.float32)
    size = rng.uniform(0.5, 1.5)
    lean = rng.normal(0, 0.5)
    to = (corners / (pw, ph) - 0.5) * size
    to[:, 0] += lean * to[:, 1]
    to += rng.normal(0, 0.06, (4, 2)) + rng.uniform(0.2, 0.8, 2)
    matrix = cv2.getPerspectiveTransform(corners, (to * (w, h)).astype(np.float32))
    out = cv2.warpPerspective(panes, matrix, (w, h), borderValue=255)
    light: np.ndarray = out.astype(np.float32) / 255
    return light


def _leaves(rng: Rng, h: int, w: int) -> np.ndarray:
    """A twig that reaches in from outside."""
    out = np.zeros((h, w), np.uint8)
    side = max(h, w)
    at = rng.uniform(0, 1, 2) * (w, h)
    at[rng.integers(2)] = rng.choice([-0.05, 1.05]) * side
    heading = np.arctan2(h / 2 - at[1], w / 2 - at[0]) + rng.normal(0, 0.5)
    length, wide = rng.uniform(0.04, 0.16) * side, rng.uniform(0.15, 0.5)
    for _ in range(int(rng.integers(6, 24))):
        heading += rng.normal(0, 0.2)
        on = at + 0.6 * length * np.array([np.cos(heading), np.sin(heading)])
        cv2.line(out, at.astype(int).tolist(), on.astype(int).tolist(), 255, max(side // 120, 1))
        for turn in (-0.9, 0.9):
            leaf = heading + turn + rng.normal(0, 0.2)
            centre = on + length * np.array([np.cos(leaf), np.sin(leaf)])
            axes = (max(int(length), 1), max(int(length * wide), 1))
            cv2.ellipse(
                out, centre.astype(int).tolist(), axes, float(np.degrees(leaf)), 0, 360, 255, -1
            )
        at = on
    return out.astype(np.float32) / 255


def _things(rng: Rng, cutouts: list[Cutout], h: int, w: int) -> np.ndarray:
    """One to three things that stand outside of the picture, or partly so."""
    out = np.zeros((h, w), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.random()
        if kind < 0.4 and cutouts:
            mask = cutouts[rng.integers(len(cutouts))].levels[1][..., 3].astype(np.float32) / 255
        else:
            mask = openwork(rng, 96) if kind < 0.55 else outline(rng, 96)
        mh, mw = mask.shape
        k = rng.uniform(0.4, 1.6) * max(h, w) / max(mh, mw)
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * k
        turn = turn @ np.array([[1, rng.normal(0, 0.6)], [0, rng.uniform(0.5, 1.3)]])
        centre = rng.uniform(-0.15, 1.15, 2) * (w, h)
        shift = centre - turn @ np.array([mw / 2, mh / 2])
        out = np.maximum(out, cv2.warpAffine(mask, np.column_stack([turn, shift]), (w, h)))
    return out


def _edge(rng: Rng, h: int, w: int) -> np.ndarray:
    """The straight edge of a wall or a roof."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    along = (x / w - rng.uniform(0.1, 0.9)) * np.cos(angle)
    side: np.ndarray = along + (y / h - rng.uniform(0.1, 0.9)) * np.sin(angle)
    return (side > 0).astype(np.float32)


def draw_foreign(rng: Rng, cutouts: list[Cutout], h: int, w: int) -> np.ndarray:
    """Shadows of what is outside of the picture: h x w float32 in 0..1.

    Args:
        rng: Source of chance.
        cutouts: Things that may throw them.
        h: Height, pixels.
        w: Width, pixels.
    """
    kind = rng.random()
    if kind < 0.2:
        out = _blinds(rng, h, w)
    elif kind < 0.38:
        out = _window(rng, h, w)
    elif kind < 0.58:
        out = _leaves(rng, h, w)
    elif kind < 0.9:
        out = _things(rng, cutouts, h, w)
    else:
        out = _edge(rng, h, w)
    sigma = rng.uniform(0.3, 2.5) if rng.random() < 0.75 else rng.uniform(2.5, 9)
    soft: np.ndarray = cv2.GaussianBlur(out, (0, 0), sigma * max(h, w) / 320)
    return soft


def cast_soft(rng: Rng, background: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Darkens the background by soft shadows of `alpha`: contact, drop and cast."""
    h, w = alpha.shape
    dark = np.zeros((h, w), np.float32)
    if rng.random() < 0.75:  # contact or drop
        sigma = float(rng.choice([1.5, 4, 10, 25])) * rng.uniform(0.7, 1.5) * h / 320
        move = np.array(
            [[1, 0, rng.normal(0, 1.2) * sigma], [0, 1, rng.uniform(0, 1.6) * sigma]], np.float64
        )
        soft = cv2.warpAffine(cv2.GaussianBlur(alpha, (0, 0), sigma), move, (w, h))
        dark = np.maximum(dark, soft * rng.uniform(0.05, 0.65))
    if rng.random() < 0.3:  # a low lamp throws it over the table
        x, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
        foot = y + bh
        flat, shear = rng.uniform(-0.5, 0.5), rng.uniform(-1.5, 1.5)
        move = np.array([[1, shear, -shear * foot], [0, flat, (1 - flat) * foot]], np.float64)
        soft = cv2.warpAffine(alpha, move, (w, h))
        soft = cv2.GaussianBlur(soft, (0, 0), rng.uniform(1, 12) * h / 320)
        dark = np.maximum(dark, soft * rng.uniform(0.1, 0.6))
    if rng.random() < 0.25:  # the plate under things that float in shops' pictures
        x, y, bw, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
        plate = np.zeros((h, w), np.float32)
        at = (int(x + bw / 2), int(y + bh * rng.uniform(0.97, 1.08)))
        axes = (max(int(bw * rng.uniform(0.3, 0.6)), 1), max(int(bh * rng.uniform(0.02, 0.08)), 1))
        cv2.ellipse(plate, at, axes, 0, 0, 360, 1.0, -1)
        plate = cv2.GaussianBlur(plate, (0, 0), rng.uniform(2, 10) * h / 320)
        dark = np.maximum(dark, plate * rng.uniform(0.1, 0.7))
    hue = np.array([rng.uniform(0.9, 1.1), 1, rng.uniform(0.85, 1.05)], np.float32)
    darkened: np.ndarray = background * (1 - dark[..., None] * hue)
    return darkened


def mirror(rng: Rng, background: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A reflection under the subject, as on a glossy table."""
    h, _ = alpha.shape
    _, y, _, bh = cv2.boundingRect((alpha > 0.5).astype(np.uint8))
    foot = y + bh
    if bh == 0 or foot >= h - 4:
        return background
    rows = 2 * foot - 1 - np.arange(foot, h)
    rows = rows[rows >= 0]
    part = slice(foot, foot + len(rows))
    fade = np.linspace(1, 0, max(int(bh * rng.uniform(0.2, 1.5)), 2), dtype=np.float32)
    fade = np.pad(fade, (0, max(len(rows) - len(fade), 0)))[: len(rows)]
    seen = alpha[rows] * (fade * rng.uniform(0.1, 0.65))[:, None]
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.5, 3))
    background = background.copy()
    background[part] += seen[..., None] * (colour[rows].astype(np.float32) - background[part])
    return background
