"""Cloth: a cushion, towels, a throw."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np

from renderer import prints
from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import Array, arc
from renderer.hairs import Coat

__all__ = ["cushion", "towels", "throw"]


def cushion(dice: Dice) -> None:
    """A scatter cushion, leaning back, with piping or a fringe."""
    h, puff = dice.between("height", 0.75, 1.0), dice.between("puff", 0.2, 0.32)
    one, two = dice.colour("cloth"), dice.colour("second cloth")
    patterned = dice.chance("patterned", 0.4)
    if patterned:
        cloth = materials.printed(prints.pattern(dice), 0.9, True)
    else:
        cloth = materials.fabric(
            one, two if dice.chance("two tone", 0.5) else None, dice.between("threads", 25, 60)
        )
    rng = dice.rng("creases")
    phase = rng.uniform(0, 6, 8)

    def face(way: int) -> Callable[[Array, Array], Array]:
        def surface(u: Array, v: Array) -> Array:
            x, z = 2 * u - 1, 2 * v - 1
            dome = ((1 - np.abs(x) ** 2.4) * (1 - np.abs(z) ** 2.4)) ** 0.55
            pull = 1 - 0.07 * (1 - z**2) * np.abs(x) ** 2
            pull_z = 1 - 0.07 * (1 - x**2) * np.abs(z) ** 2
            corner = np.abs(x * z) ** 1.2
            crease = (
                0.02 * corner * np.sin(9 * np.arctan2(np.abs(z), np.abs(x)) * 2 + phase[0] + 3 * x)
            )
            soft = 0.012 * np.sin(3.1 * x + phase[1]) * np.sin(2.7 * z + phase[2]) * dome
            return np.stack([x * pull, way * (-(puff * dome) + crease + soft), h * z * pull_z], -1)

        return surface

    parts = [
        shapes.sheet(face(1), cloth, (90, 90), unit_uv=patterned),
        shapes.sheet(face(-1), cloth, (90, 90)),
    ]
    t = np.linspace(-1, 1, 60)
    rim = np.concatenate(
        [
            np.stack([t, -1 + 0 * t], 1),
            np.stack([1 + 0 * t, t], 1)[1:],
            np.stack([-t, 1 + 0 * t], 1)[1:],
            np.stack([-1 + 0 * t, -t], 1)[1:-1],
        ]
    )
    x, z = rim.T
    edge = np.stack([x * (1 - 0.07 * (1 - z**2)), 0 * x, h * z * (1 - 0.07 * (1 - x**2))], 1)
    trim = dice.pick("trim", ("piping", "fringe", "tassels", "none"))
    yarn_colour = dice.colour("yarn", (0.0, 0.5), (0.4, 0.95))
    if trim == "piping":
        parts.append(shapes.tube(edge, 0.022, materials.fabric(two, threads=60), closed=True))
    elif trim != "none":
        yarn = materials.hair(tuple(np.array(yarn_colour) * 0.8), yarn_colour)
        where = edge
        if trim == "tassels":
            where = edge[np.abs(x * z) > 0.985]
        n = 9000 if trim == "fringe" else 3600
        index = rng.integers(len(where), size=n)
        step = np.roll(edge, -1, axis=0) - edge
        root = where[index] + (step[index] * rng.random((n, 1)) if trim == "fringe" else 0)
        root = root + rng.normal(0, 0.008, root.shape)
        out = where[index] * (1, 0, 1 / h)
        out = out / np.abs(out).max(1, keepdims=True)
        out[np.abs(out) < 0.93] = 0
        long = (0.16 if trim == "fringe" else 0.24) * rng.uniform(0.8, 1.1, (n, 1))
        lie = rng.normal(0, 0.1, (n, 3))
        q = np.linspace(0, 1, 6)[None, :, None]
        hairs = root[:, None] + long[:, None] * (
            (out + lie)[:, None] * q * 0.9 + np.array((0, 0, -0.5)) * q**2
        )
        hairs[..., 2] = np.maximum(hairs[..., 2], -h - 0.03 + 0.02 * rng.random(hairs.shape[:2]))
        parts.append(shapes.strands(hairs, 0.004, yarn))
        parts.append(
            shapes.tube(edge, 0.012, materials.fabric(yarn_colour, threads=60), closed=True)
        )
    lean = np.radians(dice.between("lean", 8, 25))
    for part in parts:
        part.rotation_euler = (-lean, 0, 0)


def _folded(
    cloth: bpy.types.Material,
    rng: np.random.Generator,
    size: tuple[float, float],
    layers: int,
    ply: float,
    z: float,
) -> bpy.types.Object:
    """Cloth folded over and over, its round folds to the front."""
    w, d = size
    path: list[tuple[float, float]] = []
    for k in range(layers):
        front, back = -d / 2, d / 2
        ys = np.linspace(back, front, 30) if k % 2 == 0 else np.linspace(front, back, 30)
        path += [(y, ply * (k + 0.5)) for y in ys]
        if k < layers - 1:
            turn = arc(ply / 2, -90, 90, 9)[1:-1]
            sign = -1 if k % 2 == 0 else 1
            path += [(sign * (d / 2 + px * 1.3), ply * (k + 1) + pz) for px, pz in turn]
    p = np.array(path)
    a, b, c = rng.uniform(0, 6, 3)

    def surface(u: Array, v: Array) -> Array:
        i = np.minimum((u * (len(p) - 1)).round().astype(int), len(p) - 1)
        x = (v - 0.5) * w
        y, zz = p[i, 0], p[i, 1]
        lift = 0.006 * np.sin(5 * x / w + a + zz * 9) + 0.005 * np.sin(7 * y / d + b)
        sway = 0.008 * np.sin(6 * x / w + c + zz * 20) + 0.012 * np.sin(zz / ply * 2.1 + a)
        return np.stack(
            [
                x + 0.012 * np.sin(zz / ply * 1.7 + b),
                y + sway,
                z + zz + lift * np.minimum(1, zz / ply),
            ],
            -1,
        )

    return shapes.sheet(surface, cloth, (len(p), 40), ply * 0.8, 1, name="folded")


def towels(dice: Dice) -> None:
    """A stack of folded towels: terry pile."""
    rng = dice.rng("towels")
    z = 0.0
    for k in range(dice.count("towels", 2, 4)):
        colour = dice.colour(f"towel {k}", (0.05, 0.6), (0.4, 0.95))
        ply = dice.between(f"ply {k}", 0.075, 0.095)
        layers = dice.count(f"layers {k}", 3, 3)
        cloth = _folded(
            materials.plain(tuple(np.array(colour) * 0.92), 0.95),
            rng,
            (1.25 - 0.02 * k, 0.8),
            layers,
            ply,
            z,
        )
        pile = materials.hair(tuple(np.array(colour) * 0.94), colour, 0.8)
        loops = dice.count("loops", 90000, 150000)
        growth = Coat(loops, 0.0085, comb=(0, 0, 0), curl=0.7, steps=3)
        shapes.fur(cloth, pile, rng, growth, 0.0016)
        z += ply * layers + 0.012


def throw(dice: Dice) -> None:
    """A folded woollen throw with a fringe along its sides."""
    rng = dice.rng("throw")
    colour, second = (
        dice.colour("wool", (0.05, 0.5), (0.3, 0.9)),
        dice.colour("weft", (0.0, 0.4), (0.4, 0.95)),
    )
    ply, layers = 0.1, dice.count("layers", 3, 5)
    _folded(
        materials.fabric(colour, second, dice.between("threads", 26, 45)),
        rng,
        (1.3, 0.85),
        layers,
        ply,
        0.0,
    )
    yarn = materials.hair(tuple(np.array(colour) * 0.55 + np.array(second) * 0.35), second, 0.8)
    for side in (-1, 1):
        tufts = 26 * layers
        k = np.arange(tufts) % layers
        root_y = rng.uniform(-0.4, 0.4, tufts)
        n = 70
        root = np.stack([np.full(tufts, side * 0.645), root_y, ply * (k + 0.5)], 1)
        root = np.repeat(root, n, 0) + rng.normal(0, 1, (tufts * n, 3)) * (0.006, 0.009, 0.012)
        lie = np.repeat(rng.normal(0, 0.25, (tufts, 3)), n, 0) + rng.normal(0, 0.12, (tufts * n, 3))
        long = np.repeat(rng.uniform(0.15, 0.24, tufts), n)[:, None, None]
        q = np.linspace(0, 1, 7)[None, :, None]
        fall = np.array((0, 0, -1.0)) * np.minimum(1.0, root[:, 2:] / 0.12)[:, None]
        hairs = root[:, None] + long * (
            (np.array((side, 0, 0.1)) + lie)[:, None] * q + fall * q**2 * 0.8
        )
        hairs[..., 2] = np.maximum(hairs[..., 2], 0.006 + 0.02 * rng.random((len(root), 1)))
        shapes.strands(hairs, 0.0035, yarn)
