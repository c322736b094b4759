"""A plant in its pot."""

from __future__ import annotations

import numpy as np

from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import fillet, spline
from renderer.products.finishes import random_finish
from renderer.profiles import vessel

__all__ = ["plant"]


def _pot(dice: Dice, r: float, h: float) -> None:
    wall = (
        materials.concrete((0.74, 0.42, 0.29))
        if dice.chance("terracotta", 0.4)
        else random_finish(dice, "pot")
    )
    outer = fillet(
        [(0, 0.0), (r * 0.68, 0.0), (r * 0.93, h * 0.76), (r * 1.0, h * 0.765), (r * 1.04, h)],
        0.02,
        6,
    )
    shapes.lathe(vessel(outer, 0.05, 0.05), wall, 96)
    rng = dice.rng("soil")
    soil = materials.concrete((0.2, 0.14, 0.1), 3)
    shapes.lathe([(0, h * 0.9), (r * 0.98, h * 0.88)], soil)
    for _ in range(60):
        a, q = rng.uniform(0, 2 * np.pi), r * 0.85 * np.sqrt(rng.random())
        shapes.ball(rng.uniform(0.012, 0.04, 3), soil, (q * np.cos(a), q * np.sin(a), h * 0.9))


def plant(dice: Dice) -> None:
    """A pot plant: arching grass-like leaves, upright blades, or broad leaves on stalks."""
    r, h = dice.between("pot radius", 0.28, 0.42), dice.between("pot height", 0.42, 0.7)
    _pot(dice, r, h)
    kind = dice.pick("kind", ("spider", "blade", "broad"))
    rng = dice.rng("leaves")
    tone = dice.rng("green").uniform(0.0, 0.2, 3)
    green = dice.pick("green", [(0.13 + tone[0], 0.33 + tone[1], 0.08 + 0.75 * tone[2])])
    edge = (0.85, 0.88, 0.6) if dice.chance("variegated", 0.4) else None
    leaf = materials.leaf(green, edge)
    count = {"spider": 64, "blade": 16, "broad": 18}[kind]
    for k in range(count):
        a = k * 2.39996 + rng.normal(0, 0.2)
        out = np.array([np.cos(a), np.sin(a), 0.0])
        f = (k + 0.5) / count
        if kind == "spider":
            reach, rise = (
                rng.uniform(0.35, 1.0) * (0.4 + 0.6 * f),
                rng.uniform(0.5, 0.95) * (1.1 - 0.45 * f),
            )
            path = spline(
                [
                    out * 0.03 + (0, 0, h * 0.9),
                    out * reach * 0.35 + (0, 0, h + rise * 0.8),
                    out * reach * 0.8 + (0, 0, h + rise * 0.85),
                    out * reach * 1.15 + (0, 0, h + rise * rng.uniform(-0.1, 0.55)),
                ],
                40,
            )
            width = 0.052
        elif kind == "blade":
            tall = rng.uniform(0.7, 1.5) * (1.1 - 0.4 * f)
            base = out * 0.17 * np.sqrt(f)
            path = spline(
                [
                    base * 1.0 + (0, 0, h * 0.85),
                    base * 1.3 + (0, 0, h + tall * 0.4),
                    base * 1.7 + (0, 0, h + tall),
                ],
                40,
            )
            width = 0.1
        else:
            reach, rise = rng.uniform(0.25, 0.75), rng.uniform(0.35, 1.1) * (1.1 - 0.5 * f)
            top = out * reach * 0.7 + (0, 0, h + rise)
            stalk = spline(
                [out * 0.05 + (0, 0, h * 0.88), out * reach * 0.35 + (0, 0, h + rise * 0.65), top],
                24,
            )
            shapes.tube(stalk, 0.012, leaf, sides=8)
            path = spline(
                [
                    top,
                    top + out * 0.2 + (0, 0, 0.06),
                    top + out * 0.42 + (0, 0, -0.04),
                    top + out * 0.58 + (0, 0, -0.2),
                ],
                40,
            )
            width = rng.uniform(0.16, 0.22)
        t = np.linspace(0, 1, 40)
        if kind == "spider":
            wide = width * np.minimum(1, (1 - t) * 2.2) ** 0.8
        elif kind == "blade":
            wide = (
                width * (0.55 + 0.5 * np.sin(np.pi * t**0.8)) * np.minimum(1, (1 - t) * 3.5) ** 0.7
            )
        else:
            wide = width * np.sin(np.pi * t**0.62) ** 0.8
        tangent = np.gradient(path, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        side = np.cross(tangent, (0, 0, 1)) if kind != "blade" else np.cross(tangent, out)
        side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6)
        if kind == "blade":
            twist = rng.normal(0, 0.5) + t * rng.normal(0, 0.8)
            across = np.cross(side, tangent)
            side = side * np.cos(twist)[:, None] + across * np.sin(twist)[:, None]
        normal = np.cross(side, tangent)
        v = np.linspace(-1, 1, 7)
        cup = 0.35 if kind != "broad" else 0.18
        grid = path[:, None] + wide[:, None, None] * (
            side[:, None] * v[None, :, None] + cup * normal[:, None] * (v**2)[None, :, None]
        )
        if kind == "broad":
            grid += normal[:, None] * (
                0.012 * np.sin(t * 22)[:, None, None] * (v**2)[None, :, None]
            )
        shapes.sheet(np.moveaxis(grid, 0, 1), leaf, thickness=0.004, unit_uv=True)
