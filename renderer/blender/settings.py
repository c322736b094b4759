"""What products stand in: a paper sweep, a table, a room, a shelf; one function each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bpy
import numpy as np

from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import Array, arc

__all__ = ["SETTING_BUILDERS"]


def _plane(
    material: bpy.types.Material, corner: Sequence[float], u: Sequence[float], v: Sequence[float]
) -> bpy.types.Object:
    c, a, b = (np.asarray(x, dtype=float) for x in (corner, u, v))

    def surface(p: Array, q: Array) -> Array:
        plane: Array = c + p[..., None] * a + q[..., None] * b
        return plane

    return shapes.sheet(surface, material, (2, 2), name="plane")


def _sweep(dice: Dice) -> None:
    """A seamless paper sweep of one colour."""
    colour = dice.colour("background colour", (0.0, 0.75), (0.25, 1.0))
    radius, back = 2.0, dice.between("background depth", 1.2, 4.0)
    profile = np.vstack(
        [
            [(-14.0, 0.0)],
            [(back + x, z) for x, z in arc(radius, -90, 0, 24, (0, radius))],
            [(back + radius, 14.0)],
        ]
    )

    def surface(u: Array, v: Array) -> Array:
        i = np.round(v * (len(profile) - 1)).astype(int)
        return np.stack([-16.0 + 32.0 * u, profile[i, 0], profile[i, 1]], axis=-1)

    shapes.sheet(surface, materials.plain(colour, 0.85), (2, len(profile)), name="sweep")


def _material(dice: Dice, name: str, options: Sequence[str]) -> bpy.types.Material:
    """A material for something large: a floor, a table, a wall."""
    kind = dice.pick(name, options)
    shade = dice.between(f"{name} shade", 0.35, 1.0)
    if kind == "oak":
        return materials.planks(
            (0.80 * shade, 0.64 * shade, 0.46 * shade),
            (0.56 * shade, 0.40 * shade, 0.26 * shade),
            dice.between(f"{name} width", 0.25, 0.7),
            4.0,
        )
    if kind == "walnut":
        return materials.planks(
            (0.47, 0.32, 0.22), (0.22, 0.13, 0.08), dice.between(f"{name} width", 0.3, 0.9), 5.0
        )
    if kind == "painted boards":
        colour = np.array(dice.colour(f"{name} colour", (0.0, 0.4), (0.5, 0.95)))
        return materials.planks(
            tuple(colour),
            tuple(colour * 0.9),
            dice.between(f"{name} width", 0.25, 0.6),
            6.0,
            gap=0.008,
        )
    if kind == "marble":
        return materials.marble(scale=dice.between(f"{name} scale", 0.5, 1.5))
    if kind == "dark marble":
        return materials.marble((0.13, 0.13, 0.14), (0.6, 0.58, 0.55))
    if kind == "concrete":
        return materials.concrete(dice.colour(f"{name} colour", (0.0, 0.12), (0.35, 0.8)))
    if kind == "linen":
        return materials.fabric(dice.colour(f"{name} colour", (0.0, 0.5), (0.3, 0.95)), threads=40)
    if kind == "tiles":
        return materials.tiles(
            dice.colour(f"{name} colour", (0.0, 0.4), (0.7, 0.98)),
            (0.8, 0.79, 0.77),
            dice.between(f"{name} width", 0.25, 0.8),
            dice.pick("bond", (0.5, 1.0)),
        )
    return materials.plain(dice.colour(f"{name} colour", (0.0, 0.6), (0.3, 0.97)))


_TOPS = ("oak", "walnut", "painted boards", "marble", "dark marble", "concrete", "linen", "paint")
_WALLS = ("paint", "paint", "concrete", "tiles", "painted wall")


def _flat(dice: Dice) -> None:
    """One large surface; for pictures from above."""
    _plane(_material(dice, "top", _TOPS), (-10, -10, 0), (20, 0, 0), (0, 20, 0))


def _table(dice: Dice) -> None:
    """A table with its front edge in the picture, and a wall behind it."""
    front = dice.between("table front", 0.45, 1.1)
    depth = dice.between("table depth", 1.4, 3.0)
    shapes.block(
        (9, front + depth, 0.12),
        _material(dice, "top", _TOPS[:6]),
        (0, (depth - front) / 2, -0.06),
        edge=0.015,
        name="table",
    )
    gap = dice.between("wall gap", 0.05, 2.0)
    _plane(_material(dice, "wall", _WALLS), (-12, depth + gap, -5), (24, 0, 0), (0, 0, 14))
    _plane(_material(dice, "floor", ("oak", "concrete")), (-12, -10, -2), (24, 0, 0), (0, 24, 0))


def _floor(dice: Dice) -> None:
    """A room's floor and wall, with a skirting board."""
    back = dice.between("back wall", 0.5, 2.2)
    _plane(
        _material(dice, "floor", ("oak", "walnut", "concrete", "painted boards")),
        (-12, -10, 0),
        (24, 0, 0),
        (0, 24, 0),
    )
    _plane(_material(dice, "wall", _WALLS), (-12, back, 0), (24, 0, 0), (0, 0, 12))
    if dice.chance("skirting", 0.8):
        height = dice.between("skirting height", 0.06, 0.16)
        shapes.block(
            (24, 0.03, height),
            materials.plain(dice.colour("skirting colour", (0, 0.1), (0.7, 0.97)), 0.4),
            (0, back - 0.015, height / 2),
            edge=0.008,
        )


def _bokeh(dice: Dice) -> None:
    """A table in front of something far away and out of focus: blotches of light and colour."""
    depth = dice.between("table depth", 1.2, 2.5)
    shapes.block(
        (12, 3 + depth, 0.1),
        _material(dice, "top", _TOPS[:6]),
        (0, (depth - 3) / 2, -0.05),
        edge=0.01,
    )
    rng = dice.rng("bokeh")
    base = np.array(dice.colour("bokeh", (0.05, 0.6), (0.1, 0.8)))
    pixels = np.zeros((96, 160, 3), dtype=np.float32) + base
    yy, xx = np.mgrid[0:96, 0:160]
    for _ in range(int(rng.integers(25, 70))):
        x, y = rng.uniform(0, 160), rng.uniform(0, 96)
        w, h = rng.uniform(3, 30, 2)
        soft = rng.uniform(1, 4)
        if rng.random() < 0.5:
            d = np.maximum(np.abs(xx - x) - w, np.abs(yy - y) - h)
        else:
            d = np.hypot(xx - x, yy - y) - min(w, h) / 2
        cover = (1 / (1 + np.exp(np.clip(d / soft, -30, 30))))[..., None] * rng.uniform(0.3, 1)
        tone = np.clip(base * rng.uniform(0.3, 1.6) + rng.normal(0, 0.15, 3), 0, 1)
        pixels = pixels * (1 - cover) + tone * cover
    wall = _plane(
        materials.printed(pixels.astype(np.float32), 0.9),
        (-8, depth + 2, -4),
        (16, 0, 0),
        (0, 0, 10),
    )
    layer = wall.data.uv_layers[0]
    for loop, uv in zip(wall.data.loops, layer.uv, strict=True):
        uv.vector = [(0, 0), (0, 1), (1, 0), (1, 1)][loop.vertex_index]


def _shelf(dice: Dice) -> None:
    """A shelf in a shop: board, back panel, and the next board above when the frame is wide."""
    board = _material(dice, "top", ("oak", "walnut", "painted boards", "paint"))
    back = dice.between("shelf back", 0.35, 0.8)
    shapes.block((12, back + 0.5, 0.06), board, (0, (back - 0.5) / 2, -0.03), edge=0.008)
    _plane(
        _material(dice, "wall", ("paint", "painted boards", "tiles")),
        (-12, back, -6),
        (24, 0, 0),
        (0, 0, 12),
    )
    above = dice.between("shelf above", 1.25, 1.7)
    shapes.block((12, back + 0.3, 0.06), board, (0, (back - 0.3) / 2, above), edge=0.008)
    shapes.block((12, back + 0.5, 0.06), board, (0, (back - 0.5) / 2, -above), edge=0.008)


SETTING_BUILDERS: dict[str, Callable[[Dice], None]] = {
    "sweep": _sweep,
    "flat": _flat,
    "table": _table,
    "floor": _floor,
    "bokeh": _bokeh,
    "shelf": _shelf,
}
