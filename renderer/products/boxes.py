"""Boxes: a gift with its bow, a carton."""

from __future__ import annotations

from functools import partial

import bpy
import numpy as np

from renderer import prints
from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import Array, spline
from renderer.products.finishes import BLACK

__all__ = ["bow", "carton", "gift"]


def bow(
    ribbon: bpy.types.Material, width: float, size: float, z: float, turn: float
) -> list[bpy.types.Object]:
    """A tied bow, two loops, two tails and a knot: its parts.

    Args:
        ribbon: What it is tied of.
        width: Of the ribbon.
        size: From the knot to the end of a loop.
        z: Height of what it lies on.
        turn: Degrees about z.
    """
    loop = spline(
        [(0, 0.02), (0.45, 0.34), (0.85, 0.42), (1.0, 0.22), (0.75, 0.05), (0.3, 0.0), (0, 0.0)], 60
    )
    pinch = 0.35 + 0.65 * np.sin(np.pi * np.linspace(0, 1, 60)) ** 0.6
    tail = spline([(0, 0.04), (0.3, 0.06), (0.62, 0.0), (0.95, 0.035)], 40)

    def loop_surface(side: int, u: Array, v: Array) -> Array:
        i = np.round(u * 59).astype(int)
        across = (v - 0.5) * width * pinch[i]
        wave = 0.05 * size * np.cos(v * 2 * np.pi) * (1 - pinch[i])
        swing = 0.25 * loop[i, 0] * size * side
        return np.stack([side * loop[i, 0] * size, across + swing, loop[i, 1] * size + wave], -1)

    def tail_surface(side: int, u: Array, v: Array) -> Array:
        i = np.round(u * 39).astype(int)
        across = (v - 0.5) * width * (0.4 + 0.6 * np.minimum(u * 2.5, 1))
        notch = 0.12 * u * np.abs(v - 0.5) * 2
        x = side * (tail[i, 0] * size * 0.8 + notch * size)
        return np.stack([x, across - 0.6 * tail[i, 0] * size, tail[i, 1] * size], -1)

    parts = []
    for side in (-1, 1):
        parts.append(shapes.sheet(partial(loop_surface, side), ribbon, (60, 12), 0.006, 1))
        parts.append(shapes.sheet(partial(tail_surface, side), ribbon, (40, 10), 0.006, 1))
    parts.append(shapes.ball((0.13 * size, width * 0.32, 0.12 * size), ribbon, (0, 0, 0.07 * size)))
    for part in parts:
        part.location = (part.location[0], part.location[1], part.location[2] + z)
        part.rotation_euler = (0, 0, np.radians(turn))
    return parts


def gift(dice: Dice) -> None:
    """A gift box with lid, ribbon and bow."""
    w, d, h = (
        dice.between("width", 0.8, 1.2),
        dice.between("depth", 0.7, 1.1),
        dice.between("height", 0.4, 1.0),
    )
    if dice.chance("patterned", 0.4):
        paper = materials.printed(prints.pattern(dice), 0.5, True)
    else:
        paper = materials.card(dice.colour("paper", (0.1, 0.8), (0.3, 0.95)), 0.55)
    top = 0.24
    shapes.block((w, d, h - top + 0.02), paper, (0, 0, (h - top) / 2), 0.01)
    shapes.block((w + 0.05, d + 0.05, top), paper, (0, 0, h - top / 2), 0.012)
    ribbon = materials.fabric(dice.colour("ribbon", (0.2, 0.9), (0.3, 0.95)), threads=90)
    wide = dice.between("ribbon width", 0.1, 0.2)
    gap = 0.008
    for sx, sy in ((wide, d + 0.05 + 2 * gap), (w + 0.05 + 2 * gap, wide)):
        shapes.block((sx, sy, top + 2 * gap), ribbon, (0, 0, h - top / 2), 0.008)
        trim = 0.05 - 0.012
        shapes.block(
            (sx - trim if sx > sy else sx, sy - trim if sy > sx else sy, h - top),
            ribbon,
            (0, 0, (h - top) / 2),
            0.004,
        )
    bow(
        ribbon, wide * 1.5, dice.between("bow", 0.3, 0.45), h + gap, dice.between("bow turn", 0, 50)
    )


def carton(dice: Dice) -> None:
    """A printed carton, or a plain parcel with tape and a label."""
    w, d, h = (
        dice.between("width", 0.5, 1.2),
        dice.between("depth", 0.25, 0.9),
        dice.between("height", 0.4, 1.3),
    )
    if dice.chance("parcel", 0.4):
        shapes.block((w, d, h), materials.card((0.74, 0.56, 0.38)), (0, 0, h / 2), 0.012)
        tape = materials.plastic(dice.colour("tape", (0.1, 0.4), (0.5, 0.8)), 0.25)
        shapes.block((w + 0.004, 0.12, 0.3), tape, (0, 0, h - 0.148), 0.002)
        label = prints.label(dice, (0.96, 0.96, 0.95), BLACK, (900, 600))
        shapes.block(
            (0.4 * w, 0.004, 0.26 * w), materials.printed(label), (-0.2 * w, -d / 2, 0.55 * h), 0
        )
        return
    body = materials.card(dice.colour("body", (0.0, 0.8), (0.2, 0.95)), 0.4)
    shapes.block((w, d, h), body, (0, 0, h / 2), 0.008)
    art = prints.label(
        dice,
        dice.colour("paper", (0, 0.5), (0.5, 0.97)),
        dice.colour("ink", (0, 0.8), (0, 0.3)),
        (int(900 * w / h), 900),
    )
    shapes.block(
        (w * 0.97, 0.004, h * 0.97),
        materials.printed(art, 0.35, coat=0.3),
        (0, -d / 2 - 0.001, h / 2),
        0,
    )
    side = materials.printed(prints.pattern(dice), 0.4, True)
    shapes.block((0.004, d * 0.96, h * 0.96), side, (w / 2 + 0.001, 0, h / 2), 0)
