"""Materials and colours that several products share."""

from __future__ import annotations

import bpy
import numpy as np

from renderer.blender import materials
from renderer.dice import Dice

__all__ = ["BLACK", "BRASS", "OAK", "STEEL", "WALNUT", "random_finish"]

BLACK = (0.03, 0.03, 0.035)
STEEL = (0.78, 0.78, 0.8)
BRASS = (0.83, 0.66, 0.36)
# Light and dark grain.
OAK = ((0.84, 0.66, 0.45), (0.6, 0.43, 0.27))
WALNUT = ((0.45, 0.3, 0.2), (0.22, 0.13, 0.08))


def random_finish(dice: Dice, name: str = "coat") -> bpy.types.Material:
    """A material that a moulded or turned thing may be made of."""
    colour = dice.colour(f"{name} colour")
    kind = dice.pick(name, ("ceramic", "plastic", "speckled", "metal", "wood", "rubber", "leather"))
    if kind == "ceramic":
        return materials.ceramic(colour)
    if kind == "speckled":
        return materials.ceramic(colour, 0.8, 0.4)
    if kind == "metal":
        tint = dice.pick(f"{name} metal", (STEEL, BRASS, (0.85, 0.52, 0.4), (0.3, 0.3, 0.32)))
        return materials.metal(tint, dice.between(f"{name} rough", 0.08, 0.5), 0.6)
    if kind == "wood":
        light = np.array((0.82, 0.63, 0.42)) * dice.between(f"{name} shade", 0.4, 1.05)
        return materials.wood(tuple(light), tuple(light * 0.62), 1.5)
    if kind == "rubber":
        return materials.rubber(colour)
    if kind == "leather":
        return materials.leather(colour)
    return materials.plastic(colour, dice.between(f"{name} rough", 0.08, 0.6))
