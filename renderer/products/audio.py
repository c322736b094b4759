"""Headphones and a table radio."""

from __future__ import annotations

import numpy as np

from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import Array, arc, fillet, spline
from renderer.products.finishes import BRASS, OAK, STEEL, WALNUT

__all__ = ["headphones", "radio"]


def headphones(dice: Dice) -> None:
    """Over-ear headphones, standing."""
    shell = materials.plastic(
        dice.colour("shell", (0.0, 0.7), (0.04, 0.95)), dice.between("gloss", 0.2, 0.5)
    )
    pad = materials.leather(dice.colour("pad", (0.0, 0.4), (0.04, 0.6)), 0.5, 30)
    metal = materials.metal(
        dice.pick("metal", (STEEL, (0.9, 0.58, 0.45), (0.15, 0.15, 0.16))), 0.2, 0.5
    )
    wide, tall = dice.between("width", 0.42, 0.5), dice.between("height", 1.05, 1.25)
    path = spline(
        [
            (-wide, 0, 0.48),
            (-wide * 1.06, 0, 0.75),
            (-wide * 0.72, 0, tall * 0.93),
            (0, 0, tall + 0.06),
            (wide * 0.72, 0, tall * 0.93),
            (wide * 1.06, 0, 0.75),
            (wide, 0, 0.48),
        ],
        120,
    )
    band = fillet([(-0.09, -0.016), (0.09, -0.016), (0.09, 0.016), (-0.09, 0.016)], 0.014, 5, True)
    shapes.sweep(path[22:-22], band, shell, up=(0, 1, 0))
    normal = np.cross(np.gradient(path, axis=0), (0, 1, 0))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal *= -np.sign(normal[60, 2])
    plump = np.sin(np.linspace(0, np.pi, 56)) ** 0.25
    shapes.sweep(
        (path + normal * 0.035)[32:-32],
        arc(1, 0, 360, 33)[:-1] * (0.085, 0.035),
        pad,
        np.maximum(plump, 0.1),
        up=(0, 1, 0),
    )
    rod = fillet([(-0.035, -0.01), (0.035, -0.01), (0.035, 0.01), (-0.035, 0.01)], 0.008, 4, True)
    for half in (path[4:26], path[-26:-4]):
        shapes.sweep(half, rod, metal, up=(0, 1, 0))
    for side in (-1, 1):
        parts = [
            shapes.lathe(
                fillet(
                    [(0, 0.0), (0.26, 0.0), (0.285, 0.05), (0.27, 0.15), (0.18, 0.185), (0, 0.185)],
                    0.045,
                    8,
                ),
                shell,
            ),
            shapes.lathe(
                fillet([(0, 0.187), (0.15, 0.187), (0.155, 0.193), (0, 0.193)], 0.004), metal
            ),
            shapes.ring(0.272, 0.012, metal, (0, 0, 0.06)),
            shapes.ring(
                0.2, 1.0, pad, (0, 0, -0.055), section=arc(1, 0, 360, 33)[:-1] * (0.075, 0.088)
            ),
            shapes.disc(0.16, materials.fabric((0.05, 0.05, 0.055), threads=40), -0.02),
            shapes.ring(0.305, 0.016, metal, (0, 0, 0.09)),
        ]
        for part in parts:
            z = part.location[2]
            part.scale = (1.15 * part.scale[0], part.scale[1], part.scale[2])
            part.rotation_mode = "XYZ"
            part.rotation_euler = (0, side * np.pi / 2, 0)
            part.location = (side * (wide - 0.08 + z), 0, 0.36)
        shapes.ball((0.03, 0.05, 0.05), metal, (side * wide * 1.0, 0, 0.36 + 0.345))


def radio(dice: Dice) -> None:
    """A table radio or loudspeaker: wooden or coloured case, cloth front, knobs, a handle."""
    w, h, d = (
        dice.between("width", 0.9, 1.5),
        dice.between("height", 0.55, 0.95),
        dice.between("depth", 0.4, 0.7),
    )
    case = materials.wood(*dice.pick("timber", (OAK, WALNUT)), 1.6, 0, 0.35)
    if dice.chance("coloured", 0.5):
        case = materials.plastic(dice.colour("case"), 0.35)
    shapes.block((w, d, h), case, (0, 0, h / 2 + 0.04), dice.between("edge", 0.03, 0.12))
    cloth = materials.fabric(dice.colour("cloth", (0.0, 0.4), (0.1, 0.9)), threads=70)
    grille = w * dice.between("grille", 0.5, 0.62)

    def front(u: Array, v: Array) -> Array:
        return np.stack(
            [-w * 0.44 + u * grille, -d / 2 - 0.006 + 0 * u, 0.04 + h * (0.13 + 0.74 * v)], -1
        )

    shapes.sheet(front, cloth, (2, 2), 0.014)
    metal = materials.metal(dice.pick("metal", (BRASS, STEEL)), 0.2)
    x = -w * 0.44 + grille + (w * 0.9 - grille) / 2
    for k, (r, z) in enumerate(((0.2 * h, 0.66 * h), (0.085 * h, 0.27 * h))):
        knob = shapes.lathe(
            fillet([(r * 1.05, 0), (r, 0.07), (r * 0.8, 0.075), (0, 0.075)], 0.012),
            metal if k else case,
        )
        plate = shapes.lathe([(r * 1.25, 0), (r * 1.25, 0.008), (0, 0.008)], metal)
        for part in (knob, plate):
            part.rotation_euler = (np.pi / 2, 0, 0)
            part.location = (x, -d / 2, 0.04 + z)
    if dice.chance("handle", 0.6):
        hide = materials.leather(dice.colour("hide", (0.2, 0.6), (0.15, 0.6)))
        path = spline(
            [
                (-w * 0.38, 0, h + 0.03),
                (-w * 0.3, 0, h + 0.14),
                (0, 0, h + 0.19),
                (w * 0.3, 0, h + 0.14),
                (w * 0.38, 0, h + 0.03),
            ],
            50,
        )
        shapes.sweep(
            path,
            fillet([(-0.06, -0.012), (0.06, -0.012), (0.06, 0.012), (-0.06, 0.012)], 0.01, 4, True),
            hide,
            up=(0, 1, 0),
        )
    for fx in (-0.4, 0.4):
        for fy in (-0.35, 0.35):
            shapes.lathe(
                [(0.035, 0), (0.045, 0.06), (0, 0.06)], materials.rubber((0.04,) * 3)
            ).location = (
                fx * w,
                fy * d,
                0,
            )
