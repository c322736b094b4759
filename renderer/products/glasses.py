"""Drinking glasses and other clear glass."""

from __future__ import annotations

import bpy
import numpy as np

from renderer import prints
from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import fillet
from renderer.products.finishes import random_finish
from renderer.profiles import drink, silhouette, vessel

__all__ = ["tumbler", "glassware"]


def tumbler(dice: Dice) -> None:
    """A drinking glass with a cold drink, ice, a straw and a slice of fruit."""
    r, h = dice.between("radius", 0.28, 0.4), dice.between("height", 0.7, 1.1)
    foot = dice.between("foot", 0.7, 1.0) * r
    outer = fillet([(0, 0), (foot, 0), (r, h)], 0.05, 8)
    line = np.linspace(0.05, 1, 30)[:, None]
    outer = np.vstack([outer[:-1], outer[-2] + (outer[-1] - outer[-2]) * line])
    shapes.lathe(vessel(outer, 0.022, 0.09), materials.glass((0.99, 1.0, 1.0), airy=True), 128)
    if not dice.chance("drink", 0.75):
        return
    level = dice.between("level", 0.6, 0.86) * h
    tint = dice.colour("tint", (0.5, 0.95), (0.5, 1.0))
    shapes.lathe(
        drink(outer, 0.022, 0.09, level, 20),
        materials.liquid(tint, dice.between("cloud", 0.2, 0.95)),
        128,
    )
    rng = dice.rng("ice")
    ice = materials.glass((0.98, 0.99, 1.0), 0.05, 1.31)
    for k in range(dice.count("cubes", 0, 3)):
        a = k * 2.2 + 0.6
        cube = shapes.block(
            (0.19, 0.19, 0.19), ice, (0.11 * np.cos(a), 0.11 * np.sin(a), level + 0.02), 0.03
        )
        cube.rotation_euler = tuple(rng.uniform(0, 1.5, 3))
    if dice.chance("straw", 0.7):
        low, high = np.array((foot * 0.6, 0.05, 0.12)), np.array((-r * 1.02, 0.0, h * 1.32))
        path = low + (high - low) * np.linspace(0, 1, 60)[:, None]
        first, second = (
            materials.plastic(dice.colour("straw colour", (0.4, 0.9), (0.4, 0.9)), 0.3),
            materials.plastic((0.95,) * 3, 0.3),
        )
        for k in range(20):
            shapes.tube(path[k * 3 : k * 3 + 4], 0.028, first if k % 2 else second, sides=24)
    if dice.chance("slice", 0.6):
        peel = materials.plastic(
            dice.pick("peel", ((0.95, 0.5, 0.05), (0.55, 0.7, 0.1), (0.95, 0.8, 0.1))), 0.4
        )
        flesh = materials.liquid(dice.pick("flesh", ((0.98, 0.62, 0.15), (0.8, 0.88, 0.45))), 0.9)
        x, z = r + 0.02, h + 0.02
        for parts in (
            shapes.lathe(
                fillet([(0.165, -0.022), (0.195, -0.022), (0.195, 0.022), (0.165, 0.022)], 0.008),
                peel,
            ),
            shapes.lathe([(0, -0.02), (0.17, -0.02)], flesh),
            shapes.lathe([(0, 0.02), (0.17, 0.02)], flesh),
        ):
            parts.rotation_euler = (np.pi / 2, 0, 0.35)
            parts.location = (x, 0, z)
        pith = materials.wax((0.98, 0.95, 0.85))
        for k in range(8):
            spoke = shapes.tube(
                [(0, 0, 0), (0.165 * np.cos(k * np.pi / 4), 0.165 * np.sin(k * np.pi / 4), 0)],
                0.006,
                pith,
                sides=8,
            )
            for side in (-0.019, 0.019):
                copy = shapes.link(bpy.data.objects.new("pith", spoke.data))
                copy.rotation_euler = (np.pi / 2, 0, 0.35)
                copy.location = (x + side * np.sin(0.35), -side * np.cos(0.35), z)
            bpy.data.objects.remove(spoke)


def glassware(dice: Dice) -> None:
    """Clear or tinted glass: a bowl, a jar, a carafe, a stem glass, a vase (training only)."""
    kind = dice.pick("kind", ("tumbler", "straight", "stem", "carafe", "jar", "bowl", "vase"))
    if kind == "tumbler":
        return tumbler(dice)
    rng = dice.rng("form")
    path = silhouette(kind, rng)
    tint = (0.97, 0.99, 0.98)
    if dice.chance("tinted", 0.3):
        tint = dice.colour("glass", (0.1, 0.6), (0.6, 0.98))
    etched = 0.15 if dice.chance("etched", 0.15) else 0.0
    glass = materials.glass(tint, etched, airy=dice.chance("airy", 0.75))
    wall, floor = rng.uniform(0.012, 0.04), rng.uniform(0.03, 0.12)
    foot = 0.0
    if kind == "stem":
        foot, disc, thin = rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.36), 0.022
        turns = [(0, 0), (disc, 0), (disc, 0.015), (0.05, 0.04), (thin, 0.12)]
        turns += [(thin, foot - 0.06), (0.06, foot + 0.02), (0, foot + 0.02)]
        shapes.lathe(fillet(turns, 0.03, 8), glass)
        path[:, 1] += foot
    shapes.lathe(vessel(np.vstack([[(0, foot)], path]), wall, foot + floor), glass, 128)
    top = path[-1, 1]
    if dice.chance("filled", 0.4):
        low = foot + floor
        level = low + (top - low) * dice.between("level", 0.2, 0.85)
        cloud = dice.pick("cloud", (0.0, 0.0, 0.3, 1.0))
        content = materials.liquid(dice.colour("drink", (0.05, 0.9), (0.4, 0.98)), cloud)
        shapes.lathe(drink(path, wall, low, level), content, 128)
    if kind == "jar" and dice.chance("lid", 0.7):
        cap = path[-1, 0] + 0.025
        turns = [(0, top - 0.12), (cap, top - 0.12), (cap, top + 0.05), (0, top + 0.05)]
        shapes.lathe(
            fillet(turns, 0.02),
            materials.cork() if dice.chance("cork", 0.3) else random_finish(dice, "lid"),
        )
    if kind in ("jar", "straight", "carafe") and dice.chance("label", 0.25):
        at = np.linspace(0.3 * top, rng.uniform(0.45, 0.65) * top, 12)
        paper = dice.colour("paper", (0, 0.3), (0.7, 0.98))
        pixels = prints.label(dice, paper, (0.1, 0.1, 0.1), (900, 600))
        around = np.column_stack([np.interp(at, path[:, 1], path[:, 0]) + 0.004, at])
        shapes.lathe(around, materials.printed(pixels, 0.5), 80, (-150, -30), "label")
    return None
