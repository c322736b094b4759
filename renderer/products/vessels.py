"""Vessels of glass, plastic and stoneware: a bottle, a vase, a mug."""

from __future__ import annotations

import numpy as np

from renderer import prints
from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import arc, fillet, spline
from renderer.profiles import WET, vessel

__all__ = ["bottle", "vase", "mug"]


def bottle(dice: Dice) -> None:
    """A bottle with a printed label: amber glass or plastic, with a cap, a pump or a dropper."""
    r = dice.between("radius", 0.26, 0.45)
    h = dice.between("height", 0.9, 1.7)
    neck = dice.between("neck", 0.3, 0.5) * r
    shoulder = dice.between("shoulder", 0.1, 0.5)
    outer = fillet(
        [
            (0, 0.02),
            (r * 0.8, 0.0),
            (r, 0.0),
            (r, h),
            (neck, h + shoulder),
            (neck, h + shoulder + 0.18),
        ],
        dice.between("round", 0.05, 0.22),
        10,
    )
    top = h + shoulder + 0.18
    tint = dice.colour("body", (0.1, 0.9), (0.3, 0.98))
    if dice.chance("glass", 0.4):
        shapes.lathe(vessel(outer, 0.035, 0.06), materials.glass(tint))
        inside = outer[outer[:, 1] < h * dice.between("level", 0.6, 0.95)]
        low = 0.06 - WET
        inside = np.clip(inside, (0, low), None) - (0.035 - WET, 0)
        inside = np.vstack([[(0, low)], np.clip(inside, 0, None), [(0, inside[-1, 1])]])
        shapes.lathe(inside, materials.liquid(dice.colour("content", (0.4, 0.9), (0.2, 0.7)), 0.5))
    else:
        shapes.lathe(outer, materials.plastic(tint, dice.between("roughness", 0.15, 0.55), 0.2))
    paper = dice.colour("paper", (0.0, 0.3), (0.75, 0.98))
    ink = dice.colour("ink", (0.0, 0.7), (0.03, 0.3))
    wrap = dice.between("wrap", 120, 300)
    low, high = 0.12 * h, dice.between("label top", 0.65, 0.88) * h
    pixels = prints.label(dice, paper, ink, (int(900 * wrap / 180 * r / (high - low) * np.pi), 900))
    shapes.lathe(
        [(r + 0.003, low), (r + 0.003, high)],
        materials.printed(pixels, 0.55),
        80,
        (-90 - wrap / 2, -90 + wrap / 2),
        "label",
    )
    lid = materials.plastic(dice.colour("lid", (0.0, 0.5), (0.02, 0.9)), 0.3)
    kind = dice.pick("closure", ("cap", "pump", "dropper", "cork"))
    cap = neck + 0.045
    if kind == "cork":
        shapes.lathe(
            fillet(
                [
                    (0, top - 0.1),
                    (neck * 0.86, top - 0.1),
                    (neck * 0.98, top + 0.16),
                    (0, top + 0.16),
                ],
                0.03,
            ),
            materials.cork(),
        )
        return
    ribs = arc(1, 0, 360, 241)[:-1]
    ribs *= (cap * (1 + 0.012 * np.sign(np.sin(np.arange(240) * np.pi / 2 + 0.3))))[:, None]
    shapes.slab(ribs, 0.22, lid, 0.008).location[2] = top - 0.14
    shapes.lathe(
        fillet([(cap * 1.0, top + 0.07), (cap * 0.98, top + 0.1), (0, top + 0.1)], 0.03), lid
    )
    if kind == "pump":
        shapes.lathe([(0.05, top + 0.1), (0.05, top + 0.3)], lid, 32)
        shapes.lathe(
            fillet([(0, top + 0.28), (0.13, top + 0.28), (0.13, top + 0.4), (0, top + 0.42)], 0.04),
            lid,
        )
        nozzle = spline([(0.05, 0, top + 0.36), (-0.2, 0, top + 0.37), (-0.4, 0, top + 0.33)], 24)
        shapes.tube(nozzle, np.linspace(0.055, 0.035, 24), lid)
    elif kind == "dropper":
        shapes.lathe(
            fillet(
                [
                    (cap * 0.62, top + 0.08),
                    (cap * 0.62, top + 0.16),
                    (cap * 0.52, top + 0.2),
                    (cap * 0.5, top + 0.48),
                    (cap * 0.3, top + 0.56),
                    (0, top + 0.57),
                ],
                0.05,
                8,
            ),
            materials.rubber(dice.colour("bulb", (0.0, 0.4), (0.03, 0.5))),
        )


def vase(dice: Dice) -> None:
    """A thrown vase, sometimes with dried grasses in it."""
    belly, foot = dice.between("belly", 0.32, 0.6), dice.between("foot", 0.18, 0.34)
    neck, mouth = dice.between("neck", 0.1, 0.26), dice.between("mouth", 0.12, 0.34)
    waist = dice.between("waist", 0.3, 0.6)
    body = spline(
        [
            (foot, 0.015),
            (foot + 0.6 * (belly - foot), 0.25 * waist + 0.05),
            (belly, waist),
            (0.5 * (belly + neck) + 0.03, waist + 0.27),
            (neck, waist + 0.5),
            (mouth, waist + 0.62),
        ],
        70,
    )
    outer = np.vstack(
        [[(0, 0.02), (foot - 0.04, 0.02), (foot - 0.03, 0.0), (foot - 0.008, 0.002)], body]
    )
    glaze = materials.ceramic(
        dice.colour("glaze", (0.0, 0.6), (0.2, 0.95)),
        dice.between("speckle", 0, 1),
        dice.between("roughness", 0.1, 0.6),
        dice.between("throwing", 0.1, 0.6),
    )
    shapes.lathe(vessel(outer, 0.025, 0.1), glaze, 128)
    if not dice.chance("grasses", 0.5):
        return
    rng = dice.rng("grass")
    straw = materials.plastic((0.66, 0.52, 0.34), 0.7)
    plume = materials.hair(dice.colour("plume", (0.15, 0.4), (0.5, 0.8)), (0.95, 0.88, 0.76))
    lip = waist + 0.62
    for _ in range(dice.count("stems", 4, 8)):
        a, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.55)
        tall = lip + rng.uniform(0.7, 1.25)
        out = np.array([np.cos(a) * 1.2, np.sin(a) * 0.6, 0])
        path = spline(
            [
                out * 0.04 + (0, 0, 0.3),
                out * neck * 0.7 + (0, 0, lip),
                out * (neck + lean * 0.5) + (0, 0, (lip + tall) / 2 + 0.1),
                out * (neck + lean) + (0, 0, tall),
            ],
            60,
        )
        shapes.tube(path, np.linspace(0.009, 0.004, 60), straw, sides=8)
        n, head = 1500, path[int(60 * rng.uniform(0.55, 0.66)) :]
        at = rng.beta(1.0, 1.25, n) * (len(head) - 1.001)
        i = at.astype(int)
        root = head[i] + (head[i + 1] - head[i]) * (at - i)[:, None]
        along = head[i + 1] - head[i]
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        side = rng.normal(0, 1, (n, 3))
        side -= along * np.sum(side * along, axis=1, keepdims=True)
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        length = (0.16 * np.sin(np.pi * (0.15 + 0.8 * at / len(head))) * rng.uniform(0.5, 1.2, n))[
            :, None
        ]
        t = np.linspace(0, 1, 5)[None, :, None]
        droop = np.array([0, 0, -0.35])
        hairs = root[:, None] + length[:, None] * (
            (along[:, None] * 1.1 + side[:, None] * 0.5) * t + (side[:, None] * 0.35 + droop) * t**2
        )
        shapes.strands(hairs + rng.normal(0, 0.006, hairs.shape) * t, 0.0022, plume)


def mug(dice: Dice) -> None:
    """A mug with a handle, glazed in one colour or two; sometimes full."""
    r, h = dice.between("radius", 0.36, 0.5), dice.between("height", 0.7, 1.1)
    flare = dice.between("flare", -0.06, 0.08)
    outer = fillet(
        [
            (0, 0.03),
            (r * 0.78, 0.03),
            (r * 0.8, 0.0),
            (r * 0.86, 0.0),
            (r, 0.12),
            (r + flare * 0.6, h * 0.6),
            (r + flare, h),
        ],
        dice.between("round", 0.03, 0.12),
        8,
    )
    glaze = materials.ceramic(
        dice.colour("glaze"), dice.between("speckle", 0, 1), dice.between("gloss", 0.08, 0.5)
    )
    profile = vessel(outer, 0.04, 0.06)
    shapes.lathe(profile, glaze, 128)
    if dice.chance("dipped", 0.5):
        dip = dice.between("dip", 0.25, 0.5) * h
        band = outer[(outer[:, 1] < dip) & (outer[:, 0] > 0.7 * r)]
        edge = (np.interp(dip, outer[-20:, 1], outer[-20:, 0]), dip)
        shapes.lathe(
            np.vstack([band, [edge]]) + np.array((0.004, 0)),
            materials.ceramic(dice.colour("dip colour"), 0.4, 0.5),
            128,
        )
    width = dice.between("handle", 0.22, 0.34)
    x = r + flare * 0.4 - 0.02
    path = spline(
        [
            (x - 0.01, 0, h * 0.8),
            (x + width * 0.65, 0, h * 0.83),
            (x + width, 0, h * 0.6),
            (x + width * 0.8, 0, h * 0.34),
            (x - 0.01, 0, h * 0.22),
        ],
        60,
    )
    section = arc(1, 0, 360, 25)[:-1] * (0.042, 0.075)
    swell = 1 + 0.35 * np.abs(np.linspace(-1, 1, 60)) ** 4
    shapes.sweep(path, section, glaze, swell, up=None, name="handle")
    if dice.chance("full", 0.5):
        level = h * 0.84
        width = np.interp(level, outer[:, 1], outer[:, 0]) - 0.038
        drink = materials.liquid(
            dice.pick("drink", ((0.25, 0.13, 0.06), (0.7, 0.5, 0.33), (0.6, 0.3, 0.08))), 1.0
        )
        shapes.lathe([(0, level), (width - 0.02, level), (width, level + 0.008)], drink)
