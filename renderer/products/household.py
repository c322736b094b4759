"""Things for the house: a wire basket, a desk lamp."""

from __future__ import annotations

import numpy as np

from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import fillet, spline
from renderer.products.finishes import BLACK, BRASS, STEEL

__all__ = ["basket", "lamp"]


def basket(dice: Dice) -> None:
    """A wire basket: a lattice of two families of wires between rings."""
    r, h = dice.between("radius", 0.45, 0.6), dice.between("height", 0.45, 0.85)
    foot = dice.between("foot", 0.65, 0.9) * r
    wire = materials.metal(
        dice.pick("metal", ((0.9, 0.58, 0.45), BRASS, (0.12, 0.12, 0.13), STEEL)), 0.25
    )
    bulge = dice.between("bulge", 0.0, 0.12)
    count, turns = dice.count("wires", 16, 30), dice.between("turns", 0.0, 0.2)
    gauge = dice.between("gauge", 0.007, 0.013)
    t = np.linspace(0, 1, 40)
    radius = foot + (r - foot) * t + bulge * np.sin(np.pi * t)
    for k in range(count):
        for way in (-1, 1) if turns > 0.03 else (1,):
            a = 2 * np.pi * (k / count + way * turns * t)
            shapes.tube(
                np.stack([radius * np.cos(a), radius * np.sin(a), gauge + h * t], -1),
                gauge,
                wire,
                sides=10,
            )
    for level, thick in ((0.0, 1.6), (1.0, 2.2)):
        rr = foot if level == 0 else r
        shapes.ring(rr, gauge * thick, wire, (0, 0, gauge + h * level))
    for q in (0.25, 0.5, 0.75):
        shapes.ring(foot * q, gauge, wire, (0, 0, gauge))
    for k in range(count // 2):
        at = 2 * np.pi * k / (count // 2)
        end = (float(foot * np.cos(at)), float(foot * np.sin(at)), gauge)
        shapes.tube([(0, 0, gauge), end], gauge, wire, sides=8)
    if dice.chance("handles", 0.6):
        grip = materials.wood((0.8, 0.6, 0.4), (0.55, 0.36, 0.22), 2.0, axis=0)
        for side in (-1, 1):
            p = spline(
                [
                    (side * r, -0.16, h),
                    (side * (r + 0.03), -0.15, h + 0.14),
                    (side * (r + 0.03), 0, h + 0.17),
                    (side * (r + 0.03), 0.15, h + 0.14),
                    (side * r, 0.16, h),
                ],
                40,
            )
            shapes.tube(p, gauge * 1.5, wire)
            shapes.tube(p[12:-12], gauge * 3.2, grip)
    if dice.chance("filled", 0.25):
        rng = dice.rng("fruit")
        skin = materials.plastic(dice.colour("fruit", (0.6, 0.95), (0.5, 0.95)), 0.35, 0.2)
        for k in range(9):
            at, q = k * 2.4, 0.55 * foot * np.sqrt(k / 9)
            centre = (q * np.cos(at), q * np.sin(at), 0.17 + 0.06 * (k % 3))
            shapes.ball(0.15 * rng.uniform(0.9, 1.1, 3), skin, centre)


def lamp(dice: Dice) -> None:
    """A desk lamp: weighted base, two arms with a joint, a conical shade, its bulb lit."""
    enamel = materials.plastic(
        dice.colour("enamel", (0.0, 0.85), (0.05, 0.95)), dice.between("gloss", 0.15, 0.5)
    )
    steel = materials.metal(dice.pick("arm", (STEEL, BRASS, (0.06, 0.06, 0.07))), 0.2)
    shapes.lathe(
        fillet(
            [(0, 0), (0.36, 0), (0.36, 0.045), (0.05, 0.085), (0.045, 0.14), (0, 0.14)], 0.03, 8
        ),
        enamel,
    )
    first, second = dice.between("lower lean", 5, 30), dice.between("upper lean", 35, 75)
    a = np.array((0.0, 0.0, 0.12))
    b = a + 0.95 * np.array((np.sin(np.radians(first)), 0, np.cos(np.radians(first))))
    c = b + 0.85 * np.array((-np.sin(np.radians(second)), 0, np.cos(np.radians(second))))
    for start, end in ((a, b), (b, c)):
        for y in (-0.035, 0.035):
            aside = np.array((0, y, 0))
            shapes.tube([start + aside, end + aside], 0.016, steel)
        for joint in (start, end):
            knob = shapes.lathe(
                fillet([(0, -0.075), (0.05, -0.075), (0.05, 0.075), (0, 0.075)], 0.012), enamel
            )
            knob.rotation_euler = (np.pi / 2, 0, 0)
            knob.location = tuple(joint)
    turns = np.linspace(0, 2 * np.pi * 16, 400)
    along = a + (b - a) * np.linspace(0.12, 0.42, 400)[:, None]
    n1 = np.array((np.cos(np.radians(first)), 0, -np.sin(np.radians(first))))
    spring = along + 0.024 * (np.cos(turns)[:, None] * n1 + np.sin(turns)[:, None] * (0, 1, 0))
    shapes.tube(spring, 0.005, steel, sides=6)
    tilt = np.radians(dice.between("shade tilt", 20, 60))
    wide, deep = dice.between("shade", 0.28, 0.4), dice.between("shade depth", 0.3, 0.45)
    outer = fillet(
        [(0.0, deep + 0.12), (0.075, deep + 0.12), (0.09, deep), (0.13, deep - 0.02), (wide, 0.0)],
        0.04,
        8,
    )
    profile = np.vstack(
        [
            outer,
            [(wide + 0.008, -0.004), (wide - 0.012, 0.002)],
            (outer[::-1] - (0.014, 0.012))[:-9],
            [(0, deep - 0.03)],
        ]
    )
    profile = np.clip(profile, (0, -1), None)
    shade = shapes.lathe(profile, enamel, 128)
    bulb = shapes.ball(
        (0.1, 0.1, 0.12), materials.glow((1.0, 0.82, 0.55), dice.between("bulb", 3, 9)), (0, 0, 0)
    )
    socket = shapes.lathe([(0.05, 0.1), (0.05, deep)], materials.plastic((0.9, 0.9, 0.88)))
    for part, lift in ((shade, 0.0), (bulb, deep * 0.42), (socket, 0.0)):
        part.rotation_euler = (0, tilt, 0)
        top = np.array((np.sin(tilt), 0, np.cos(tilt)))
        part.location = tuple(c - top * (deep + 0.05) + top * lift)
    cable = spline(
        [(0.3, 0.1, 0.03), (0.5, 0.2, 0.012), (0.75, 0.12, 0.012), (0.9, 0.3, 0.012)], 60
    )
    if dice.chance("cable", 0.7):
        shapes.tube(cable, 0.012, materials.rubber(BLACK), sides=10)
