"""A chair or stool."""

from __future__ import annotations

import numpy as np

from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import fillet, spline
from renderer.products.finishes import OAK, WALNUT

__all__ = ["chair"]


def chair(dice: Dice) -> None:
    """A wooden chair with spindles, or a stool."""
    light, dark = dice.pick("timber", (OAK, WALNUT, ((0.9, 0.78, 0.6), (0.72, 0.56, 0.38))))
    painted = dice.chance("painted", 0.4)
    paint = materials.plastic(dice.colour("paint", (0.0, 0.7), (0.05, 0.95)), 0.35)
    timber = paint if painted else materials.wood(light, dark, 1.6, 2, 0.4)
    top = timber if dice.chance("one timber", 0.7) else materials.wood(light, dark, 1.6, 1, 0.4)
    seat = dice.between("seat height", 0.85, 1.0)
    stool = dice.chance("stool", 0.3)
    if stool:
        shapes.lathe(
            fillet(
                [(0, -0.03), (0.38, -0.03), (0.42, 0.02), (0.4, 0.06), (0.28, 0.045), (0, 0.035)],
                0.03,
                6,
            ),
            top,
        ).location[2] = seat
    else:
        outline = spline(
            [
                (-0.4, -0.42),
                (0, -0.46),
                (0.4, -0.42),
                (0.45, -0.1),
                (0.38, 0.36),
                (0, 0.42),
                (-0.38, 0.36),
                (-0.45, -0.1),
            ],
            64,
            True,
        )
        shapes.slab(outline, 0.075, top, 0.025).location[2] = seat - 0.03
    spread = dice.between("spread", 1.15, 1.45)
    feet = []
    for x in (-1, 1):
        for y in (-1, 1):
            a = np.array((0.28 * x, 0.28 * y, seat))
            b = np.array((0.28 * x * spread * 1.15, 0.28 * y * spread * 1.15, 0.0))
            t = np.linspace(0, 1, 24)
            radius = 0.028 + 0.022 * np.sin(np.pi * np.clip(t * 1.15, 0, 1)) ** 1.2
            shapes.tube(a + (b - a) * t[:, None], radius, timber)
            feet.append((a, b))
    for i, j, f in ((0, 1, 0.62), (2, 3, 0.62), (0, 2, 0.52), (1, 3, 0.72)):
        p, q = (feet[k][0] + (feet[k][1] - feet[k][0]) * f for k in (i, j))
        t = np.linspace(0, 1, 16)
        shapes.tube(p + (q - p) * t[:, None], 0.018 + 0.012 * np.sin(np.pi * t), timber)
    if stool:
        return
    back = dice.between("back", 0.75, 1.05)
    count = dice.count("spindles", 5, 9)
    lean = 0.24
    for k in np.linspace(-1, 1, count):
        p = np.array((0.33 * k, 0.36 - 0.1 * k**2, seat))
        q = np.array((0.43 * k, 0.36 + lean - 0.12 * k**2, seat + back))
        t = np.linspace(0, 1, 20)
        thick = 0.024 if abs(k) == 1 else 0.0135
        shapes.tube(p + (q - p) * t[:, None], thick * (1 + 0.35 * np.sin(np.pi * t)), timber)
    u = np.linspace(-1.16, 1.16, 50)
    crest = np.stack([0.43 * u, 0.36 + lean - 0.12 * u**2, seat + back + 0.02 * (1 - u**2)], 1)
    section = fillet(
        [(-0.075, -0.02), (0.075, -0.02), (0.075, 0.02), (-0.075, 0.02)], 0.018, 5, True
    )
    shapes.sweep(crest, section, timber, 0.82 + 0.18 * (1 - (u / 1.16) ** 4), up=(0, 0, 1))
