"""Turned things: a mill, a brush, and any profile."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np

from renderer.blender import materials, shapes
from renderer.dice import Colour, Dice
from renderer.geometry import fillet, spline
from renderer.products.finishes import BRASS, OAK, STEEL, WALNUT

__all__ = ["mill", "brush", "turned"]


def mill(dice: Dice) -> None:
    """A turned salt or pepper mill."""
    light, dark = dice.pick("timber", (OAK, WALNUT, ((0.9, 0.78, 0.6), (0.72, 0.56, 0.38))))
    body = (
        materials.plastic(dice.colour("lacquer"), 0.15)
        if dice.chance("lacquered", 0.4)
        else materials.wood(light, dark, 2.2, 2, 0.3)
    )
    waist, tall = dice.between("waist", 0.13, 0.2), dice.between("tall", 0.9, 1.4)
    lower = spline(
        [
            (0.27, 0.03),
            (0.265, 0.1),
            (waist + 0.02, tall * 0.42),
            (waist, tall * 0.55),
            (0.2, tall * 0.78),
        ],
        50,
    )
    shapes.lathe(np.vstack([[(0, 0), (0.25, 0.0)], lower, [(0, tall * 0.78)]]), body)
    head = spline(
        [
            (0.2, tall * 0.795),
            (0.23, tall * 0.85),
            (0.215, tall * 0.92),
            (0.12, tall * 0.985),
            (0.05, tall),
        ],
        40,
    )
    shapes.lathe(np.vstack([[(0, tall * 0.795)], head, [(0, tall)]]), body)
    steel = materials.metal(dice.pick("metal", (STEEL, BRASS)), 0.15)
    shapes.lathe(
        [(0, tall * 0.775), (0.19, tall * 0.775), (0.19, tall * 0.8), (0, tall * 0.8)], steel
    )
    shapes.ball((0.055, 0.055, 0.05), steel, (0, 0, tall + 0.03))


def brush(dice: Dice) -> None:
    """A shaving or powder brush, its knot of bristles spread."""
    rng = dice.rng("bristles")
    handle = materials.plastic(dice.colour("handle", (0.0, 0.8), (0.04, 0.95)), 0.12)
    if dice.chance("wooden", 0.4):
        handle = materials.wood(*WALNUT, 2.5, 2, 0.25)
    waist = dice.between("waist", 0.13, 0.2)
    profile = spline(
        [
            (0.27, 0.03),
            (0.285, 0.1),
            (waist + 0.04, 0.34),
            (waist, 0.45),
            (0.22, 0.6),
            (0.235, 0.66),
        ],
        60,
    )
    shapes.lathe(np.vstack([[(0, 0), (0.24, 0.0)], profile, [(0.2, 0.7), (0, 0.7)]]), handle)
    metal = materials.metal(dice.pick("ferrule", (STEEL, BRASS)), 0.12)
    shapes.lathe(fillet([(0.2, 0.68), (0.205, 0.69), (0.205, 0.8), (0.19, 0.81)], 0.008), metal)
    n = dice.count("bristles", 8000, 13000)
    q = np.sqrt(rng.random(n))[:, None]
    angle = rng.uniform(0, 2 * np.pi, n)[:, None]
    out = np.concatenate([np.cos(angle), np.sin(angle), 0 * angle], 1)
    long = dice.between("length", 0.6, 0.85) * (1 - 0.22 * q**2) * rng.uniform(0.92, 1.03, (n, 1))
    flare = dice.between("flare", 0.35, 0.75)
    t = np.linspace(0, 1, 8)[None, :, None]
    root = out * q * 0.18 + (0, 0, 0.75)
    hairs = root[:, None] + long[:, None] * (
        np.array((0, 0, 1.0)) * t + (out * q * flare)[:, None] * t**1.5
    )
    hairs += rng.normal(0, 0.02, (n, 1, 3)) * t**2
    pale = dice.colour("bristle", (0.1, 0.4), (0.5, 0.9))
    shapes.strands(hairs, 0.0034, materials.hair(tuple(np.array(pale) * 0.28), pale, 0.5))


# What a part of a turned thing may be made of: each takes the part's colour.
_TURNED: tuple[Callable[[Colour], bpy.types.Material], ...] = (
    lambda colour: materials.ceramic(colour, 0.5, 0.2),
    lambda colour: materials.plastic(colour, 0.3),
    lambda colour: materials.metal(colour, 0.3),
    materials.wax,
    lambda colour: materials.wood(
        tuple(np.array(colour) * 0.5 + 0.4), tuple(np.array(colour) * 0.4 + 0.15), 2.0
    ),
    materials.rubber,
)


def turned(dice: Dice) -> None:
    """Anything turned: a random profile, of one to three materials (training only)."""
    rng = dice.rng("profile")
    n = int(rng.integers(3, 8))
    height = rng.uniform(0.3, 2.0)
    radii = rng.uniform(0.12, 0.6, n)
    z = np.linspace(0, height, n)
    curve = (
        spline(np.stack([radii, z], 1), 80)
        if rng.random() < 0.6
        else fillet(np.stack([radii, z], 1), 0.08)
    )
    curve[:, 0] = np.maximum(curve[:, 0], 0.04)
    cuts = np.unique(rng.integers(2, len(curve) - 2, int(rng.integers(0, 3))))
    for k, part in enumerate(np.split(np.arange(len(curve)), cuts)):
        low, high = max(part[0] - 1, 0), part[-1]
        profile = curve[low : high + 1]
        colour = dice.colour(f"part {k}")
        material = dice.pick(f"material {k}", _TURNED)
        closed = np.vstack([[(0, profile[0, 1])], profile, [(0, profile[-1, 1])]])
        shapes.lathe(closed, material(colour))
