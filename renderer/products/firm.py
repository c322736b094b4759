"""The products, one function each.

A product is built about the z axis, front to -y, in any unit that suits it: `scenes.stage` brings
it to size. Its measures and colours come from a `Dice`, by name.
"""

from __future__ import annotations

from collections.abc import Callable

import bpy
import materials as m
import numpy as np
import prints
import shapes as s
from dice import Dice

__all__ = ["PRODUCTS", "glassware"]

_BLACK = (0.03, 0.03, 0.035)
_STEEL = (0.78, 0.78, 0.8)
_BRASS = (0.83, 0.66, 0.36)


def _xyz(xz: np.ndarray, y: float = 0.0) -> np.ndarray:
    """A path in the x-z plane as points in space."""
    return np.column_stack([xz[:, 0], np.full(len(xz), y), xz[:, 1]])


# How far a drink reaches into its glass: with air between them, the wall would stand apart from
# the drink as a clear ring, which no glass shows.
_WET = 0.003


def _vessel(outer: np.ndarray, wall: float, floor: float) -> np.ndarray:
    """The profile of a hollow body: up the outside, over a round lip, down the inside."""
    inner = outer[outer[:, 1] > floor][::-1].copy()
    inner[:, 0] = np.maximum(inner[:, 0] - wall, 1e-3)
    lip = s.arc(wall / 2, 0, 180, 7, (outer[-1, 0] - wall / 2, outer[-1, 1]))
    bottom = [(inner[-1, 0], floor), (0.0, floor)]
    return np.vstack([outer, lip[1:-1], inner, bottom])


def _drink(
    outer: np.ndarray, wall: float, floor: float, level: float, points: int = 24
) -> np.ndarray:
    """The profile of what fills a `_vessel` up to a level."""
    at = np.linspace(floor - _WET, level, points)
    width = np.maximum(np.interp(at, outer[:, 1], outer[:, 0]) - wall + _WET, 0.002)
    return np.vstack([[(0, at[0])], np.column_stack([width, at]), [(0, level)]])


def _coat(dice: Dice, name: str = "coat") -> bpy.types.Material:
    """A material that a moulded or turned thing may be made of."""
    colour = dice.colour(f"{name} colour")
    kind = dice.pick(name, ("ceramic", "plastic", "speckled", "metal", "wood", "rubber", "leather"))
    if kind == "ceramic":
        return m.ceramic(colour)
    if kind == "speckled":
        return m.ceramic(colour, 0.8, 0.4)
    if kind == "metal":
        tint = dice.pick(f"{name} metal", (_STEEL, _BRASS, (0.85, 0.52, 0.4), (0.3, 0.3, 0.32)))
        return m.metal(tint, dice.between(f"{name} rough", 0.08, 0.5), 0.6)
    if kind == "wood":
        light = np.array((0.82, 0.63, 0.42)) * dice.between(f"{name} shade", 0.4, 1.05)
        return m.wood(tuple(light), tuple(light * 0.62), 1.5)
    if kind == "rubber":
        return m.rubber(colour)
    if kind == "leather":
        return m.leather(colour)
    return m.plastic(colour, dice.between(f"{name} rough", 0.08, 0.6))


def bottle(dice: Dice) -> None:
    """A bottle with a printed label: amber glass or plastic, with a cap, a pump or a dropper."""
    r = dice.between("radius", 0.26, 0.45)
    h = dice.between("height", 0.9, 1.7)
    neck = dice.between("neck", 0.3, 0.5) * r
    shoulder = dice.between("shoulder", 0.1, 0.5)
    outer = s.fillet(
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
        s.lathe(_vessel(outer, 0.035, 0.06), m.glass(tint))
        inside = outer[outer[:, 1] < h * dice.between("level", 0.6, 0.95)]
        low = 0.06 - _WET
        inside = np.clip(inside, (0, low), None) - (0.035 - _WET, 0)
        inside = np.vstack([[(0, low)], np.clip(inside, 0, None), [(0, inside[-1, 1])]])
        s.lathe(inside, m.liquid(dice.colour("content", (0.4, 0.9), (0.2, 0.7)), 0.5))
    else:
        s.lathe(outer, m.plastic(tint, dice.between("roughness", 0.15, 0.55), 0.2))
    paper = dice.colour("paper", (0.0, 0.3), (0.75, 0.98))
    ink = dice.colour("ink", (0.0, 0.7), (0.03, 0.3))
    wrap = dice.between("wrap", 120, 300)
    low, high = 0.12 * h, dice.between("label top", 0.65, 0.88) * h
    pixels = prints.label(dice, paper, ink, (int(900 * wrap / 180 * r / (high - low) * np.pi), 900))
    s.lathe(
        [(r + 0.003, low), (r + 0.003, high)],
        m.printed(pixels, 0.55),
        80,
        (-90 - wrap / 2, -90 + wrap / 2),
        "label",
    )
    lid = m.plastic(dice.colour("lid", (0.0, 0.5), (0.02, 0.9)), 0.3)
    kind = dice.pick("closure", ("cap", "pump", "dropper", "cork"))
    cap = neck + 0.045
    if kind == "cork":
        s.lathe(
            s.fillet(
                [
                    (0, top - 0.1),
                    (neck * 0.86, top - 0.1),
                    (neck * 0.98, top + 0.16),
                    (0, top + 0.16),
                ],
                0.03,
            ),
            m.cork(),
        )
        return
    ribs = s.arc(1, 0, 360, 241)[:-1]
    ribs *= (cap * (1 + 0.012 * np.sign(np.sin(np.arange(240) * np.pi / 2 + 0.3))))[:, None]
    s.slab(ribs, 0.22, lid, 0.008).location[2] = top - 0.14
    s.lathe(s.fillet([(cap * 1.0, top + 0.07), (cap * 0.98, top + 0.1), (0, top + 0.1)], 0.03), lid)
    if kind == "pump":
        s.lathe([(0.05, top + 0.1), (0.05, top + 0.3)], lid, 32)
        s.lathe(
            s.fillet(
                [(0, top + 0.28), (0.13, top + 0.28), (0.13, top + 0.4), (0, top + 0.42)], 0.04
            ),
            lid,
        )
        nozzle = s.spline([(0.05, 0, top + 0.36), (-0.2, 0, top + 0.37), (-0.4, 0, top + 0.33)], 24)
        s.tube(nozzle, np.linspace(0.055, 0.035, 24), lid)
    elif kind == "dropper":
        s.lathe(
            s.fillet(
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
            m.rubber(dice.colour("bulb", (0.0, 0.4), (0.03, 0.5))),
        )


def vase(dice: Dice) -> None:
    """A thrown vase, sometimes with dried grasses in it."""
    belly, foot = dice.between("belly", 0.32, 0.6), dice.between("foot", 0.18, 0.34)
    neck, mouth = dice.between("neck", 0.1, 0.26), dice.between("mouth", 0.12, 0.34)
    waist = dice.between("waist", 0.3, 0.6)
    body = s.spline(
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
    glaze = m.ceramic(
        dice.colour("glaze", (0.0, 0.6), (0.2, 0.95)),
        dice.between("speckle", 0, 1),
        dice.between("roughness", 0.1, 0.6),
        dice.between("throwing", 0.1, 0.6),
    )
    s.lathe(_vessel(outer, 0.025, 0.1), glaze, 128)
    if not dice.chance("grasses", 0.5):
        return
    rng = dice.rng("grass")
    straw = m.plastic((0.66, 0.52, 0.34), 0.7)
    plume = m.hair(dice.colour("plume", (0.15, 0.4), (0.5, 0.8)), (0.95, 0.88, 0.76))
    lip = waist + 0.62
    for _ in range(dice.count("stems", 4, 8)):
        a, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.55)
        tall = lip + rng.uniform(0.7, 1.25)
        out = np.array([np.cos(a) * 1.2, np.sin(a) * 0.6, 0])
        path = s.spline(
            [
                out * 0.04 + (0, 0, 0.3),
                out * neck * 0.7 + (0, 0, lip),
                out * (neck + lean * 0.5) + (0, 0, (lip + tall) / 2 + 0.1),
                out * (neck + lean) + (0, 0, tall),
            ],
            60,
        )
        s.tube(path, np.linspace(0.009, 0.004, 60), straw, sides=8)
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
        s.strands(hairs + rng.normal(0, 0.006, hairs.shape) * t, 0.0022, plume)


def mug(dice: Dice) -> None:
    """A mug with a handle, glazed in one colour or two; sometimes full."""
    r, h = dice.between("radius", 0.36, 0.5), dice.between("height", 0.7, 1.1)
    flare = dice.between("flare", -0.06, 0.08)
    outer = s.fillet(
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
    glaze = m.ceramic(
        dice.colour("glaze"), dice.between("speckle", 0, 1), dice.between("gloss", 0.08, 0.5)
    )
    profile = _vessel(outer, 0.04, 0.06)
    s.lathe(profile, glaze, 128)
    if dice.chance("dipped", 0.5):
        dip = dice.between("dip", 0.25, 0.5) * h
        band = outer[(outer[:, 1] < dip) & (outer[:, 0] > 0.7 * r)]
        edge = (np.interp(dip, outer[-20:, 1], outer[-20:, 0]), dip)
        s.lathe(
            np.vstack([band, [edge]]) + np.array((0.004, 0)),
            m.ceramic(dice.colour("dip colour"), 0.4, 0.5),
            128,
        )
    width = dice.between("handle", 0.22, 0.34)
    x = r + flare * 0.4 - 0.02
    path = s.spline(
        [
            (x - 0.01, 0, h * 0.8),
            (x + width * 0.65, 0, h * 0.83),
            (x + width, 0, h * 0.6),
            (x + width * 0.8, 0, h * 0.34),
            (x - 0.01, 0, h * 0.22),
        ],
        60,
    )
    section = s.arc(1, 0, 360, 25)[:-1] * (0.042, 0.075)
    swell = 1 + 0.35 * np.abs(np.linspace(-1, 1, 60)) ** 4
    s.sweep(path, section, glaze, swell, up=None, name="handle")
    if dice.chance("full", 0.5):
        level = h * 0.84
        width = np.interp(level, outer[:, 1], outer[:, 0]) - 0.038
        drink = m.liquid(
            dice.pick("drink", ((0.25, 0.13, 0.06), (0.7, 0.5, 0.33), (0.6, 0.3, 0.08))), 1.0
        )
        s.lathe([(0, level), (width - 0.02, level), (width, level + 0.008)], drink)


def _bow(ribbon: bpy.types.Material, width: float, size: float, z: float, turn: float) -> None:
    """A tied bow: two loops, two tails, a knot."""
    made = []
    for side in (-1, 1):
        loop = s.spline(
            [
                (0, 0.02),
                (0.45, 0.34),
                (0.85, 0.42),
                (1.0, 0.22),
                (0.75, 0.05),
                (0.3, 0.0),
                (0, 0.0),
            ],
            60,
        )
        pinch = 0.35 + 0.65 * np.sin(np.pi * np.linspace(0, 1, 60)) ** 0.6

        def surface(u: np.ndarray, v: np.ndarray, loop=loop, pinch=pinch, side=side) -> np.ndarray:
            i = np.round(u * 59).astype(int)
            across = (v - 0.5) * width * pinch[i]
            wave = 0.05 * size * np.cos(v * 2 * np.pi) * (1 - pinch[i])
            swing = 0.25 * loop[i, 0] * size * side
            return np.stack(
                [side * loop[i, 0] * size, across + swing, loop[i, 1] * size + wave], -1
            )

        made.append(s.sheet(surface, ribbon, (60, 12), 0.006, 1))
        tail = s.spline([(0, 0.04), (0.3, 0.06), (0.62, 0.0), (0.95, 0.035)], 40)

        def tail_surface(u: np.ndarray, v: np.ndarray, tail=tail, side=side) -> np.ndarray:
            i = np.round(u * 39).astype(int)
            across = (v - 0.5) * width * (0.4 + 0.6 * np.minimum(u * 2.5, 1))
            notch = 0.12 * u * np.abs(v - 0.5) * 2
            x = side * (tail[i, 0] * size * 0.8 + notch * size)
            return np.stack([x, across - 0.6 * tail[i, 0] * size, tail[i, 1] * size], -1)

        made.append(s.sheet(tail_surface, ribbon, (40, 10), 0.006, 1))
    made.append(s.ball((0.13 * size, width * 0.32, 0.12 * size), ribbon, (0, 0, 0.07 * size)))
    for part in made:
        part.location = (part.location[0], part.location[1], part.location[2] + z)
        part.rotation_euler = (0, 0, np.radians(turn))


def gift(dice: Dice) -> None:
    """A gift box with lid, ribbon and bow."""
    w, d, h = (
        dice.between("width", 0.8, 1.2),
        dice.between("depth", 0.7, 1.1),
        dice.between("height", 0.4, 1.0),
    )
    if dice.chance("patterned", 0.4):
        paper = m.printed(prints.pattern(dice), 0.5, True)
    else:
        paper = m.card(dice.colour("paper", (0.1, 0.8), (0.3, 0.95)), 0.55)
    top = 0.24
    s.block((w, d, h - top + 0.02), paper, (0, 0, (h - top) / 2), 0.01)
    s.block((w + 0.05, d + 0.05, top), paper, (0, 0, h - top / 2), 0.012)
    ribbon = m.fabric(dice.colour("ribbon", (0.2, 0.9), (0.3, 0.95)), threads=90)
    wide = dice.between("ribbon width", 0.1, 0.2)
    gap = 0.008
    for sx, sy in ((wide, d + 0.05 + 2 * gap), (w + 0.05 + 2 * gap, wide)):
        s.block((sx, sy, top + 2 * gap), ribbon, (0, 0, h - top / 2), 0.008)
        trim = 0.05 - 0.012
        s.block(
            (sx - trim if sx > sy else sx, sy - trim if sy > sx else sy, h - top),
            ribbon,
            (0, 0, (h - top) / 2),
            0.004,
        )
    _bow(
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
        s.block((w, d, h), m.card((0.74, 0.56, 0.38)), (0, 0, h / 2), 0.012)
        tape = m.plastic(dice.colour("tape", (0.1, 0.4), (0.5, 0.8)), 0.25)
        s.block((w + 0.004, 0.12, 0.3), tape, (0, 0, h - 0.148), 0.002)
        label = prints.label(dice, (0.96, 0.96, 0.95), _BLACK, (900, 600))
        s.block((0.4 * w, 0.004, 0.26 * w), m.printed(label), (-0.2 * w, -d / 2, 0.55 * h), 0)
        return
    body = m.card(dice.colour("body", (0.0, 0.8), (0.2, 0.95)), 0.4)
    s.block((w, d, h), body, (0, 0, h / 2), 0.008)
    art = prints.label(
        dice,
        dice.colour("paper", (0, 0.5), (0.5, 0.97)),
        dice.colour("ink", (0, 0.8), (0, 0.3)),
        (int(900 * w / h), 900),
    )
    s.block(
        (w * 0.97, 0.004, h * 0.97), m.printed(art, 0.35, coat=0.3), (0, -d / 2 - 0.001, h / 2), 0
    )
    side = m.printed(prints.pattern(dice), 0.4, True)
    s.block((0.004, d * 0.96, h * 0.96), side, (w / 2 + 0.001, 0, h / 2), 0)


def _pot(dice: Dice, r: float, h: float) -> None:
    wall = m.concrete((0.74, 0.42, 0.29)) if dice.chance("terracotta", 0.4) else _coat(dice, "pot")
    outer = s.fillet(
        [(0, 0.0), (r * 0.68, 0.0), (r * 0.93, h * 0.76), (r * 1.0, h * 0.765), (r * 1.04, h)],
        0.02,
        6,
    )
    s.lathe(_vessel(outer, 0.05, 0.05), wall, 96)
    rng = dice.rng("soil")
    soil = m.concrete((0.2, 0.14, 0.1), 3)
    s.lathe([(0, h * 0.9), (r * 0.98, h * 0.88)], soil)
    for _ in range(60):
        a, q = rng.uniform(0, 2 * np.pi), r * 0.85 * np.sqrt(rng.random())
        s.ball(rng.uniform(0.012, 0.04, 3), soil, (q * np.cos(a), q * np.sin(a), h * 0.9))


def plant(dice: Dice) -> None:
    """A pot plant: arching grass-like leaves, upright blades, or broad leaves on stalks."""
    r, h = dice.between("pot radius", 0.28, 0.42), dice.between("pot height", 0.42, 0.7)
    _pot(dice, r, h)
    kind = dice.pick("kind", ("spider", "blade", "broad"))
    rng = dice.rng("leaves")
    tone = dice.rng("green").uniform(0.0, 0.2, 3)
    green = dice.pick("green", [(0.13 + tone[0], 0.33 + tone[1], 0.08 + 0.75 * tone[2])])
    edge = (0.85, 0.88, 0.6) if dice.chance("variegated", 0.4) else None
    stuff = m.leaf(green, edge)
    count = {"spider": 64, "blade": 16, "broad": 18}[kind]
    for k in range(count):
        a = k * 2.39996 + rng.normal(0, 0.2)
        out = np.array([np.cos(a), np.sin(a), 0.0])
        f = (k + 0.5) / count
        if kind == "spider":
            reach, rise = (
                rng.uniform(0.35, 1.0) * (0.4 + 0.6 * f),
                rng.uniform(0.5, 0.95) * (1.1 - 0.45 * f),
            )
            path = s.spline(
                [
                    out * 0.03 + (0, 0, h * 0.9),
                    out * reach * 0.35 + (0, 0, h + rise * 0.8),
                    out * reach * 0.8 + (0, 0, h + rise * 0.85),
                    out * reach * 1.15 + (0, 0, h + rise * rng.uniform(-0.1, 0.55)),
                ],
                40,
            )
            width = 0.052
        elif kind == "blade":
            tall = rng.uniform(0.7, 1.5) * (1.1 - 0.4 * f)
            base = out * 0.17 * np.sqrt(f)
            path = s.spline(
                [
                    base * 1.0 + (0, 0, h * 0.85),
                    base * 1.3 + (0, 0, h + tall * 0.4),
                    base * 1.7 + (0, 0, h + tall),
                ],
                40,
            )
            width = 0.1
        else:
            reach, rise = rng.uniform(0.25, 0.75), rng.uniform(0.35, 1.1) * (1.1 - 0.5 * f)
            top = out * reach * 0.7 + (0, 0, h + rise)
            stalk = s.spline(
                [out * 0.05 + (0, 0, h * 0.88), out * reach * 0.35 + (0, 0, h + rise * 0.65), top],
                24,
            )
            s.tube(stalk, 0.012, stuff, sides=8)
            path = s.spline(
                [
                    top,
                    top + out * 0.2 + (0, 0, 0.06),
                    top + out * 0.42 + (0, 0, -0.04),
                    top + out * 0.58 + (0, 0, -0.2),
                ],
                40,
            )
            width = rng.uniform(0.16, 0.22)
        t = np.linspace(0, 1, 40)
        if kind == "spider":
            wide = width * np.minimum(1, (1 - t) * 2.2) ** 0.8
        elif kind == "blade":
            wide = (
                width * (0.55 + 0.5 * np.sin(np.pi * t**0.8)) * np.minimum(1, (1 - t) * 3.5) ** 0.7
            )
        else:
            wide = width * np.sin(np.pi * t**0.62) ** 0.8
        tangent = np.gradient(path, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        side = np.cross(tangent, (0, 0, 1)) if kind != "blade" else np.cross(tangent, out)
        side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6)
        if kind == "blade":
            twist = rng.normal(0, 0.5) + t * rng.normal(0, 0.8)
            across = np.cross(side, tangent)
            side = side * np.cos(twist)[:, None] + across * np.sin(twist)[:, None]
        normal = np.cross(side, tangent)
        v = np.linspace(-1, 1, 7)
        cup = 0.35 if kind != "broad" else 0.18
        grid = path[:, None] + wide[:, None, None] * (
            side[:, None] * v[None, :, None] + cup * normal[:, None] * (v**2)[None, :, None]
        )
        if kind == "broad":
            grid += normal[:, None] * (
                0.012 * np.sin(t * 22)[:, None, None] * (v**2)[None, :, None]
            )
        s.sheet(np.moveaxis(grid, 0, 1), stuff, thickness=0.004, unit_uv=True)


def basket(dice: Dice) -> None:
    """A wire basket: a lattice of two families of wires between rings."""
    r, h = dice.between("radius", 0.45, 0.6), dice.between("height", 0.45, 0.85)
    foot = dice.between("foot", 0.65, 0.9) * r
    wire = m.metal(
        dice.pick("metal", ((0.9, 0.58, 0.45), _BRASS, (0.12, 0.12, 0.13), _STEEL)), 0.25
    )
    bulge = dice.between("bulge", 0.0, 0.12)
    count, turns = dice.count("wires", 16, 30), dice.between("turns", 0.0, 0.2)
    gauge = dice.between("gauge", 0.007, 0.013)
    t = np.linspace(0, 1, 40)
    radius = foot + (r - foot) * t + bulge * np.sin(np.pi * t)
    for k in range(count):
        for way in (-1, 1) if turns > 0.03 else (1,):
            a = 2 * np.pi * (k / count + way * turns * t)
            s.tube(
                np.stack([radius * np.cos(a), radius * np.sin(a), gauge + h * t], -1),
                gauge,
                wire,
                sides=10,
            )
    for level, thick in ((0.0, 1.6), (1.0, 2.2)):
        rr = foot if level == 0 else r
        s.ring(rr, gauge * thick, wire, (0, 0, gauge + h * level))
    for q in (0.25, 0.5, 0.75):
        s.ring(foot * q, gauge, wire, (0, 0, gauge))
    for k in range(count // 2):
        a = 2 * np.pi * k / (count // 2)
        s.tube([(0, 0, gauge), (foot * np.cos(a), foot * np.sin(a), gauge)], gauge, wire, sides=8)
    if dice.chance("handles", 0.6):
        grip = m.wood((0.8, 0.6, 0.4), (0.55, 0.36, 0.22), 2.0, axis=0)
        for side in (-1, 1):
            p = s.spline(
                [
                    (side * r, -0.16, h),
                    (side * (r + 0.03), -0.15, h + 0.14),
                    (side * (r + 0.03), 0, h + 0.17),
                    (side * (r + 0.03), 0.15, h + 0.14),
                    (side * r, 0.16, h),
                ],
                40,
            )
            s.tube(p, gauge * 1.5, wire)
            s.tube(p[12:-12], gauge * 3.2, grip)
    if dice.chance("filled", 0.25):
        rng = dice.rng("fruit")
        skin = m.plastic(dice.colour("fruit", (0.6, 0.95), (0.5, 0.95)), 0.35, 0.2)
        for k in range(9):
            a = k * 2.4
            q = 0.55 * foot * np.sqrt(k / 9)
            s.ball(
                0.15 * rng.uniform(0.9, 1.1, 3),
                skin,
                (q * np.cos(a), q * np.sin(a), 0.17 + 0.06 * (k % 3)),
            )


def tumbler(dice: Dice) -> None:
    """A drinking glass with a cold drink, ice, a straw and a slice of fruit."""
    r, h = dice.between("radius", 0.28, 0.4), dice.between("height", 0.7, 1.1)
    foot = dice.between("foot", 0.7, 1.0) * r
    outer = s.fillet([(0, 0), (foot, 0), (r, h)], 0.05, 8)
    line = np.linspace(0.05, 1, 30)[:, None]
    outer = np.vstack([outer[:-1], outer[-2] + (outer[-1] - outer[-2]) * line])
    s.lathe(_vessel(outer, 0.022, 0.09), m.glass((0.99, 1.0, 1.0), airy=True), 128)
    if not dice.chance("drink", 0.75):
        return
    level = dice.between("level", 0.6, 0.86) * h
    tint = dice.colour("tint", (0.5, 0.95), (0.5, 1.0))
    s.lathe(
        _drink(outer, 0.022, 0.09, level, 20),
        m.liquid(tint, dice.between("cloud", 0.2, 0.95)),
        128,
    )
    rng = dice.rng("ice")
    ice = m.glass((0.98, 0.99, 1.0), 0.05, 1.31)
    for k in range(dice.count("cubes", 0, 3)):
        a = k * 2.2 + 0.6
        cube = s.block(
            (0.19, 0.19, 0.19), ice, (0.11 * np.cos(a), 0.11 * np.sin(a), level + 0.02), 0.03
        )
        cube.rotation_euler = tuple(rng.uniform(0, 1.5, 3))
    if dice.chance("straw", 0.7):
        a, b = np.array((foot * 0.6, 0.05, 0.12)), np.array((-r * 1.02, 0.0, h * 1.32))
        path = a + (b - a) * np.linspace(0, 1, 60)[:, None]
        first, second = (
            m.plastic(dice.colour("straw colour", (0.4, 0.9), (0.4, 0.9)), 0.3),
            m.plastic((0.95,) * 3, 0.3),
        )
        for k in range(20):
            s.tube(path[k * 3 : k * 3 + 4], 0.028, first if k % 2 else second, sides=24)
    if dice.chance("slice", 0.6):
        peel = m.plastic(
            dice.pick("peel", ((0.95, 0.5, 0.05), (0.55, 0.7, 0.1), (0.95, 0.8, 0.1))), 0.4
        )
        flesh = m.liquid(dice.pick("flesh", ((0.98, 0.62, 0.15), (0.8, 0.88, 0.45))), 0.9)
        x, z = r + 0.02, h + 0.02
        for parts in (
            s.lathe(
                s.fillet([(0.165, -0.022), (0.195, -0.022), (0.195, 0.022), (0.165, 0.022)], 0.008),
                peel,
            ),
            s.lathe([(0, -0.02), (0.17, -0.02)], flesh),
            s.lathe([(0, 0.02), (0.17, 0.02)], flesh),
        ):
            parts.rotation_euler = (np.pi / 2, 0, 0.35)
            parts.location = (x, 0, z)
        pith = m.wax((0.98, 0.95, 0.85))
        for k in range(8):
            spoke = s.tube(
                [(0, 0, 0), (0.165 * np.cos(k * np.pi / 4), 0.165 * np.sin(k * np.pi / 4), 0)],
                0.006,
                pith,
                sides=8,
            )
            for side in (-0.019, 0.019):
                copy = s.link(bpy.data.objects.new("pith", spoke.data))
                copy.rotation_euler = (np.pi / 2, 0, 0.35)
                copy.location = (x + side * np.sin(0.35), -side * np.cos(0.35), z)
            bpy.data.objects.remove(spoke)


def _silhouette(kind: str, rng: np.random.Generator) -> np.ndarray:
    """The outside of a glass from its foot to its lip: 80 points (radius, z)."""
    r, h, foot = 0.4, rng.uniform(0.6, 1.3), rng.uniform(0.24, 0.4)
    if kind == "straight":
        path = s.fillet([(r * rng.uniform(0.75, 1), 0.0), (r, h)], 0.03)
    elif kind == "jar":
        neck = r * rng.uniform(0.7, 0.98)
        turns = [(r * 0.96, 0.0), (r, 0.05), (r, h), (neck, h + 0.1), (neck, h + 0.2)]
        path = s.fillet(turns, 0.06)
    elif kind == "carafe":
        turns = [(foot, 0.0), (r * 1.1, 0.25), (0.14, 0.75), (rng.uniform(0.14, 0.3), 1.1)]
        path = s.spline(turns, 60)
    elif kind == "bowl":
        lip = (r * rng.uniform(1, 1.3), rng.uniform(0.3, 0.6))
        path = s.spline([(foot * 0.6, 0.0), (r * 0.95, 0.2), lip], 50)
    elif kind == "vase":
        radii = (foot, *rng.uniform(0.2, 0.45, 2), rng.uniform(0.15, 0.45))
        path = s.spline(list(zip(radii, np.linspace(0, h, 4), strict=True)), 60)
    else:
        lip = (r * rng.uniform(0.45, 0.75), 0.75)
        path = s.spline([(0.03, 0.0), (0.3, 0.14), (r * 0.8, 0.4), lip], 60)
    path = np.asarray(path, dtype=float)
    at, given = np.linspace(0, 1, 80), np.linspace(0, 1, len(path))
    path = np.column_stack([np.interp(at, given, path[:, k]) for k in (0, 1)])
    path[:, 0] = np.maximum(path[:, 0], 0.03)
    return path


def glassware(dice: Dice) -> None:
    """Clear or tinted glass: a bowl, a jar, a carafe, a stem glass, a vase (training only)."""
    kind = dice.pick("kind", ("tumbler", "straight", "stem", "carafe", "jar", "bowl", "vase"))
    if kind == "tumbler":
        return tumbler(dice)
    rng = dice.rng("form")
    path = _silhouette(kind, rng)
    tint = (0.97, 0.99, 0.98)
    if dice.chance("tinted", 0.3):
        tint = dice.colour("glass", (0.1, 0.6), (0.6, 0.98))
    etched = 0.15 if dice.chance("etched", 0.15) else 0.0
    stuff = m.glass(tint, etched, airy=dice.chance("airy", 0.75))
    wall, floor = rng.uniform(0.012, 0.04), rng.uniform(0.03, 0.12)
    foot = 0.0
    if kind == "stem":
        foot, disc, thin = rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.36), 0.022
        turns = [(0, 0), (disc, 0), (disc, 0.015), (0.05, 0.04), (thin, 0.12)]
        turns += [(thin, foot - 0.06), (0.06, foot + 0.02), (0, foot + 0.02)]
        s.lathe(s.fillet(turns, 0.03, 8), stuff)
        path[:, 1] += foot
    s.lathe(_vessel(np.vstack([[(0, foot)], path]), wall, foot + floor), stuff, 128)
    top = path[-1, 1]
    if dice.chance("filled", 0.4):
        low = foot + floor
        level = low + (top - low) * dice.between("level", 0.2, 0.85)
        cloud = dice.pick("cloud", (0.0, 0.0, 0.3, 1.0))
        stuff = m.liquid(dice.colour("drink", (0.05, 0.9), (0.4, 0.98)), cloud)
        s.lathe(_drink(path, wall, low, level), stuff, 128)
    if kind == "jar" and dice.chance("lid", 0.7):
        cap = path[-1, 0] + 0.025
        turns = [(0, top - 0.12), (cap, top - 0.12), (cap, top + 0.05), (0, top + 0.05)]
        s.lathe(s.fillet(turns, 0.02), m.cork() if dice.chance("cork", 0.3) else _coat(dice, "lid"))
    if kind in ("jar", "straight", "carafe") and dice.chance("label", 0.25):
        at = np.linspace(0.3 * top, rng.uniform(0.45, 0.65) * top, 12)
        paper = dice.colour("paper", (0, 0.3), (0.7, 0.98))
        pixels = prints.label(dice, paper, (0.1, 0.1, 0.1), (900, 600))
        around = np.column_stack([np.interp(at, path[:, 1], path[:, 0]) + 0.004, at])
        s.lathe(around, m.printed(pixels, 0.5), 80, (-150, -30), "label")
    return None


def lamp(dice: Dice) -> None:
    """A desk lamp: weighted base, two arms with a joint, a conical shade, its bulb lit."""
    enamel = m.plastic(
        dice.colour("enamel", (0.0, 0.85), (0.05, 0.95)), dice.between("gloss", 0.15, 0.5)
    )
    steel = m.metal(dice.pick("arm", (_STEEL, _BRASS, (0.06, 0.06, 0.07))), 0.2)
    s.lathe(
        s.fillet(
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
            s.tube([start + aside, end + aside], 0.016, steel)
        for joint in (start, end):
            knob = s.lathe(
                s.fillet([(0, -0.075), (0.05, -0.075), (0.05, 0.075), (0, 0.075)], 0.012), enamel
            )
            knob.rotation_euler = (np.pi / 2, 0, 0)
            knob.location = tuple(joint)
    turns = np.linspace(0, 2 * np.pi * 16, 400)
    along = a + (b - a) * np.linspace(0.12, 0.42, 400)[:, None]
    n1 = np.array((np.cos(np.radians(first)), 0, -np.sin(np.radians(first))))
    spring = along + 0.024 * (np.cos(turns)[:, None] * n1 + np.sin(turns)[:, None] * (0, 1, 0))
    s.tube(spring, 0.005, steel, sides=6)
    tilt = np.radians(dice.between("shade tilt", 20, 60))
    wide, deep = dice.between("shade", 0.28, 0.4), dice.between("shade depth", 0.3, 0.45)
    outer = s.fillet(
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
    shade = s.lathe(profile, enamel, 128)
    bulb = s.ball(
        (0.1, 0.1, 0.12), m.glow((1.0, 0.82, 0.55), dice.between("bulb", 3, 9)), (0, 0, 0)
    )
    socket = s.lathe([(0.05, 0.1), (0.05, deep)], m.plastic((0.9, 0.9, 0.88)))
    for part, lift in ((shade, 0.0), (bulb, deep * 0.42), (socket, 0.0)):
        part.rotation_euler = (0, tilt, 0)
        top = np.array((np.sin(tilt), 0, np.cos(tilt)))
        part.location = tuple(c - top * (deep + 0.05) + top * lift)
    cable = s.spline(
        [(0.3, 0.1, 0.03), (0.5, 0.2, 0.012), (0.75, 0.12, 0.012), (0.9, 0.3, 0.012)], 60
    )
    if dice.chance("cable", 0.7):
        s.tube(cable, 0.012, m.rubber(_BLACK), sides=10)


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
    base = m.plain(tuple(colour * 0.7), 0.9)
    coat = m.hair(tuple(colour * 0.85), tuple(np.clip(colour * 1.2, 0, 1)))
    pale = np.clip(colour * 0.6 + 0.38, 0, 1)
    pale_coat = m.hair(tuple(pale * 0.9), tuple(pale))
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

    def grows(root: np.ndarray) -> np.ndarray:
        """Not where an eye, the nose or a sole sits."""
        kept = np.ones(len(root), dtype=bool)
        for x, y, z, reach in bare:
            kept &= np.linalg.norm(root - (x, y, z), axis=1) > reach
        return kept

    for radii, centre, turn, hairs, light in parts:
        skin = s.ball(radii, base, centre)
        skin.rotation_euler = turn
        s.fur(
            skin,
            pale_coat if light else coat,
            rng,
            int(hairs * density),
            length * (0.55 if light else 1),
            0.0019,
            (0, -0.05, -0.5),
            0.22,
            keep=grows,
        )
    pad = m.plain(tuple(pale), 0.9)
    for side in (-1, 1):
        sole = s.ball((0.12, 0.05, 0.125), pad, (side * 0.378, -0.625, 0.17))
        sole.rotation_euler = (0, 0, side * 0.35)
        inner = s.ball((0.07, 0.03, 0.07), pad, (side * 0.25, -0.035, 1.29))
        inner.rotation_euler = (0, 0, side * 0.2)
        s.ball(0.044, m.plastic((0.02, 0.015, 0.01), 0.05), (side * 0.125, -0.325, 1.085))
    black = m.plastic((0.06, 0.035, 0.03), 0.35)
    s.ball((0.058, 0.035, 0.042), black, (0, -0.425, 1.0))
    mouth = s.spline(
        [
            (-0.07, -0.405, 0.9),
            (-0.03, -0.425, 0.885),
            (0, -0.43, 0.905),
            (0.03, -0.425, 0.885),
            (0.07, -0.405, 0.9),
        ],
        30,
    )
    s.tube(mouth, 0.008, black, sides=8)
    s.tube([(0, -0.435, 0.97), (0, -0.432, 0.905)], 0.008, black, sides=8)
    if dice.chance("ribbon", 0.7):
        silk = m.fabric(dice.colour("silk", (0.4, 0.9), (0.4, 0.9)), threads=80)
        s.ring(
            0.27,
            0.03,
            silk,
            (0, -0.01, 0.79),
            (0, -0.12, 1),
            s.arc(1, 0, 360, 17)[:-1] * (0.055, 0.03),
        )
        before = set(bpy.data.objects)
        _bow(silk, 0.14, 0.24, 0.0, 0)
        for part in set(bpy.data.objects) - before:
            part.location = (part.location[0], -0.36, 0.72 + part.location[2] * 0.3)
            part.rotation_euler = (1.1, 0, 0)


PRODUCTS: dict[str, Callable[[Dice], None]] = {
    f.__name__: f for f in (bottle, vase, mug, gift, carton, plant, basket, tumbler, lamp, teddy)
}
