"""A plush bear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import Array, arc, spline
from renderer.hairs import Coat
from renderer.products.boxes import bow

__all__ = ["teddy"]


def teddy(dice: Dice) -> None:
    """A plush bear, sitting, with fur, glass eyes, a stitched nose and a ribbon."""
    colour = np.array(
        dice.pick(
            "fur",
            (
                (0.74, 0.54, 0.36),
                (0.86, 0.76, 0.62),
                (0.42, 0.3, 0.22),
                (0.8, 0.55, 0.5),
                (0.55, 0.57, 0.62),
            ),
        )
    )
    base = materials.plain(tuple(colour * 0.7), 0.9)
    coat = materials.hair(tuple(colour * 0.85), tuple(np.clip(colour * 1.2, 0, 1)))
    pale = np.clip(colour * 0.6 + 0.38, 0, 1)
    pale_coat = materials.hair(tuple(pale * 0.9), tuple(pale))
    density, length = dice.between("density", 1.2, 2.4), dice.between("fur length", 0.04, 0.075)
    rng = dice.rng("fur")
    parts: list[
        tuple[tuple[float, ...], tuple[float, ...], tuple[float, float, float], int, bool]
    ] = [
        ((0.36, 0.31, 0.42), (0, 0.02, 0.42), (0, 0, 0), 17000, False),
        ((0.33, 0.30, 0.30), (0, -0.02, 1.03), (0, 0, 0), 15000, False),
        ((0.125, 0.06, 0.125), (-0.25, 0.02, 1.29), (0, 0, -0.2), 3600, False),
        ((0.125, 0.06, 0.125), (0.25, 0.02, 1.29), (0, 0, 0.2), 3600, False),
        ((0.13, 0.14, 0.27), (-0.37, -0.12, 0.52), (0.5, 0.5, 0), 6000, False),
        ((0.13, 0.14, 0.27), (0.37, -0.12, 0.52), (0.5, -0.5, 0), 6000, False),
        ((0.16, 0.33, 0.16), (-0.27, -0.31, 0.16), (0.0, 0.0, -0.35), 7500, False),
        ((0.16, 0.33, 0.16), (0.27, -0.31, 0.16), (0.0, 0.0, 0.35), 7500, False),
        ((0.155, 0.15, 0.12), (0, -0.27, 0.95), (0, 0, 0), 3000, True),
    ]
    bare = [(-0.125, -0.32, 1.085, 0.062), (0.125, -0.32, 1.085, 0.062), (0, -0.425, 1.0, 0.065)]
    bare += [(side * 0.375, -0.63, 0.17, 0.12) for side in (-1, 1)]

    def grows(root: Array) -> NDArray[np.bool_]:
        """Not where an eye, the nose or a sole sits."""
        kept = np.ones(len(root), dtype=bool)
        for x, y, z, reach in bare:
            kept &= np.linalg.norm(root - (x, y, z), axis=1) > reach
        return kept

    for radii, centre, turn, hairs, light in parts:
        skin = shapes.ball(radii, base, centre)
        skin.rotation_euler = turn
        growth = Coat(
            int(hairs * density),
            length * (0.55 if light else 1),
            comb=(0, -0.05, -0.5),
            curl=0.22,
            keep=grows,
        )
        shapes.fur(skin, pale_coat if light else coat, rng, growth, 0.0019)
    pad = materials.plain(tuple(pale), 0.9)
    for side in (-1, 1):
        sole = shapes.ball((0.12, 0.05, 0.125), pad, (side * 0.378, -0.625, 0.17))
        sole.rotation_euler = (0, 0, side * 0.35)
        inner = shapes.ball((0.07, 0.03, 0.07), pad, (side * 0.25, -0.035, 1.29))
        inner.rotation_euler = (0, 0, side * 0.2)
        shapes.ball(
            0.044, materials.plastic((0.02, 0.015, 0.01), 0.05), (side * 0.125, -0.325, 1.085)
        )
    black = materials.plastic((0.06, 0.035, 0.03), 0.35)
    shapes.ball((0.058, 0.035, 0.042), black, (0, -0.425, 1.0))
    mouth = spline(
        [
            (-0.07, -0.405, 0.9),
            (-0.03, -0.425, 0.885),
            (0, -0.43, 0.905),
            (0.03, -0.425, 0.885),
            (0.07, -0.405, 0.9),
        ],
        30,
    )
    shapes.tube(mouth, 0.008, black, sides=8)
    shapes.tube([(0, -0.435, 0.97), (0, -0.432, 0.905)], 0.008, black, sides=8)
    if dice.chance("ribbon", 0.7):
        silk = materials.fabric(dice.colour("silk", (0.4, 0.9), (0.4, 0.9)), threads=80)
        shapes.ring(
            0.27,
            0.03,
            silk,
            (0, -0.01, 0.79),
            (0, -0.12, 1),
            arc(1, 0, 360, 17)[:-1] * (0.055, 0.03),
        )
        for part in bow(silk, 0.14, 0.24, 0.0, 0):
            part.location = (part.location[0], -0.36, 0.72 + part.location[2] * 0.3)
            part.rotation_euler = (1.1, 0, 0)
