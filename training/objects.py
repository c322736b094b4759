"""Made-up things: outlines, openwork, stripes, and objects of several parts."""

from __future__ import annotations

import cv2
import numpy as np

from .backgrounds import light_plane, studio, textured
from .pieces import Cutout, Rng

__all__ = ["draw_object", "openwork", "outline", "stripes"]


def outline(rng: Rng, size: int) -> np.ndarray:
    """A random closed shape as a size x size float32 mask, antialiased."""
    s = size * 2
    mask = np.zeros((s, s), np.uint8)
    c = s / 2
    kind = rng.random()
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    aspect = rng.uniform(0.25, 1)
    if kind < 0.3:  # superellipse: from lozenge over ellipse to rounded box
        n = rng.choice([1.2, 2, 2, 3, 5, 10])
        reach = 0.46 * s
        x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / n) * reach
        y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / n) * reach * aspect
    elif kind < 0.5:  # blob
        r: np.ndarray = np.full(120, 0.33)
        for k in range(2, 7):
            r += rng.normal(0, 0.07) / k**0.5 * np.cos(k * angle + rng.uniform(0, 6.3))
        r = np.clip(r, 0.1, 0.48) * s
        x, y = r * np.cos(angle), r * np.sin(angle)
    elif kind < 0.62:  # polygon
        at = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        r = rng.uniform(0.25, 0.48, len(at)) * s
        x, y = r * np.cos(at), r * np.sin(at) * max(aspect, 0.5)
    elif kind < 0.75:  # a body of revolution: bottle, vase, cup
        t = np.linspace(0, 1, 60)
        wide = rng.uniform(0.12, 0.3) + sum(
            rng.normal(0, 0.05) * np.sin(k * np.pi * t + rng.uniform(0, 6.3)) for k in (1, 2, 3)
        )
        r = np.clip(wide, 0.05, 0.45) * s
        x, y = np.concatenate([r, -r[::-1]]), (np.concatenate([t, t[::-1]]) - 0.5) * 0.92 * s
    else:  # thin: cable, strap, frame
        points = (rng.uniform(0.08, 0.92, (rng.integers(2, 6), 2)) * s).astype(np.float32)
        t = np.linspace(0, len(points) - 1, 80)
        x, y = (np.interp(t, np.arange(len(points)), points[:, i]) for i in (0, 1))
        path = np.stack(
            [np.convolve(np.pad(v, 6, mode="edge"), np.ones(13) / 13, "valid") for v in (x, y)],
            axis=1,
        )
        cv2.polylines(
            mask, [np.rint(path).astype(np.int32)], bool(rng.random() < 0.3), 255,
            int(rng.uniform(0.012, 0.09) * s) + 1, cv2.LINE_AA,
        )  # fmt: skip
        thin: np.ndarray = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
        return thin / np.float32(255)
    turn = rng.choice([0.0, rng.uniform(0, 6.3)])
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    shape = np.rint(np.stack([x + c, y + c], axis=1)).astype(np.int32)
    cv2.fillPoly(mask, [shape], 255, cv2.LINE_AA)
    hole = rng.random()
    if hole < 0.12:  # a ring or a handle
        inner = np.rint((shape - c) * rng.uniform(0.4, 0.9) + c).astype(np.int32)
        cv2.fillPoly(mask, [inner], 0, cv2.LINE_AA)
    elif hole < 0.18:  # a lattice
        step = int(rng.uniform(0.05, 0.14) * s)
        bar = max(int(step * rng.uniform(0.2, 0.5)), 3)
        lattice = np.zeros_like(mask)
        for first in range(0, s, step):
            lattice[first : first + bar] = lattice[:, first : first + bar] = 255
        rim = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((2 * bar + 1,) * 2, np.uint8))
        mask = cv2.min(mask, cv2.max(lattice, rim))
    fitted: np.ndarray = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
    return fitted / np.float32(255)


def openwork(rng: Rng, size: int) -> np.ndarray:
    """Bars and what shows between them, as of wheels, baskets, racks and grilles.

    Returns:
        size x size float32 mask, antialiased.
    """
    s = size * 2
    mask = np.zeros((s, s), np.uint8)
    bar = max(int(rng.uniform(0.006, 0.03) * s), 2)

    def line(points: np.ndarray, width: int) -> None:
        cv2.polylines(mask, [np.rint(points).astype(np.int32)], False, 255, width, cv2.LINE_AA)

    t = np.linspace(0, 1, 40)
    if rng.random() < 0.45:  # a wheel: rims, spokes, hub
        turn = np.linspace(0, 2 * np.pi, 160)
        rim = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 0.45
        squeeze = np.diag([rng.uniform(0.45, 1), 1.0])
        a = rng.uniform(0, np.pi)
        tilt = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ squeeze

        def put(points: np.ndarray) -> np.ndarray:
            placed: np.ndarray = (points @ tilt.T + 0.5) * s
            return placed

        hub, spokes, lean = rng.uniform(0.02, 0.15), rng.integers(3, 37), rng.uniform(0, 0.5)
        line(put(rim), int(bar * rng.uniform(1, 6)))
        if rng.random() < 0.5:
            line(put(rim * rng.uniform(0.75, 0.93)), bar)
        for k in range(spokes):
            outer, inner = 2 * np.pi * k / spokes, 2 * np.pi * k / spokes + lean * (-1) ** k
            ends = np.array([[np.cos(outer), np.sin(outer)], [np.cos(inner), np.sin(inner)]])
            line(put(ends * [[0.45], [0.45 * hub]]), bar)
        cv2.fillPoly(mask, [np.rint(put(rim * hub)).astype(np.int32)], 255, cv2.LINE_AA)
    else:  # a grid on a bent sheet, bars along one way or both
        corners = np.array([[0.1, 0.15], [0.9, 0.15], [0.1, 0.85], [0.9, 0.85]])
        corners += rng.uniform(-0.08, 0.08, (4, 2)) + rng.choice([0, 0.12]) * np.array(
            [[0, 0], [0, 0], [1, 0], [-1, 0]]
        )
        sag = rng.uniform(-0.12, 0.12, 2)

        def sheet(u: np.ndarray, v: np.ndarray) -> np.ndarray:
            w = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], axis=-1)
            bent = np.stack([sag[0] * v * (1 - v) * (2 * u - 1), sag[1] * u * (1 - u)], axis=-1)
            placed: np.ndarray = (w @ corners + 4 * bent) * s
            return placed

        across, along = rng.integers(4, 24), rng.choice([2, 2, 3, *range(4, 16)])
        for k in range(across):
            line(sheet(np.full_like(t, k / (across - 1)), t), bar)
        for k in range(along):
            thick = int(bar * rng.uniform(1, 3)) if k in (0, along - 1) else bar
            line(sheet(t, np.full_like(t, k / (along - 1))), thick)
        if rng.random() < 0.5:  # the far side shows through the near one
            move = [[1.0, 0, 0], [0, rng.uniform(0.3, 1), rng.uniform(0, 0.2) * s]]
            shift = np.array(move, np.float32)
            mask = cv2.max(mask, cv2.warpAffine(mask, shift, (s, s)))
    fitted: np.ndarray = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
    return fitted / np.float32(255)


def stripes(rng: Rng, size: int) -> np.ndarray:
    """Bars beside one another, whole or broken, as cloth has them.

    Returns:
        size x size float32 mask, antialiased.
    """
    period = size / rng.uniform(1.5, 12)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    row, within = np.divmod(y, period)
    bars = np.clip(period * rng.uniform(0.1, 0.35) - np.abs(within - period / 2) + 0.5, 0, 1)
    if rng.random() < 0.5:
        length = period * rng.uniform(0.7, 5)
        start = x + rng.uniform(-1, 1) * y + row * rng.choice([0, length / 2, rng.uniform(0, size)])
        bars = bars * np.clip((start % length) - length * rng.uniform(0.1, 0.5), 0, 1)
    drawn: np.ndarray = bars.astype(np.float32)
    return drawn


def draw_object(rng: Rng, textures: list[np.ndarray], size: int = 320) -> Cutout | None:
    """Draws a made-up thing of one to four parts, each with its own surface and shading."""
    colour = np.zeros((size, size, 3), np.float32)
    alpha = np.zeros((size, size), np.float32)
    open_work = rng.random() < 0.3
    for _ in range(1 if open_work else rng.choice([1, 1, 2, 3, 4])):
        part = openwork(rng, size) if open_work else outline(rng, size)
        if rng.random() < 0.5:
            surface = textured(rng, textures, size, size)
        else:
            surface = studio(rng, size, size)
        depth = cv2.GaussianBlur(part, (0, 0), size * rng.uniform(0.02, 0.12))
        shade = (depth - 0.7) * rng.uniform(0, 120)  # darker towards the outline
        if rng.random() < 0.3:
            shade = -shade * 0.5
        surface = surface + (shade + light_plane(rng, size, size) * rng.uniform(0, 40))[..., None]
        if rng.random() < 0.3:  # a highlight
            spot = outline(rng, size)
            spot = cv2.GaussianBlur(spot, (0, 0), size * 0.02) * rng.uniform(20, 160)
            surface = surface + spot[..., None]
        colour += part[..., None] * (surface - colour)
        alpha = part + alpha * (1 - part)
    return Cutout.make(np.clip(colour, 0, 255).astype(np.uint8), alpha, size)
