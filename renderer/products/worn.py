"""What is worn or carried: sandals, a handbag, a wrist watch."""

from __future__ import annotations

from functools import partial

import bpy
import numpy as np

from renderer import prints
from renderer.blender import materials, shapes
from renderer.dice import Dice
from renderer.geometry import Array, arc, fillet, spline
from renderer.products.finishes import BRASS, STEEL

__all__ = ["sandals", "handbag", "watch"]


def _strap(
    y0: float, wide: float, high: float, inner: float, mirror: int, u: Array, v: Array
) -> Array:
    """The surface of a sandal's strap over the foot, from inside (u 0) to outside (u 1).

    Args:
        y0: Where along the foot it lies.
        wide: Half of its width on top.
        high: Of its arch.
        inner: Half of its span.
        mirror: -1 for the other foot.
        u: Across the foot, 0..1.
        v: Along the foot, 0..1.
    """
    a = np.pi * u
    x = -np.cos(a) * inner * (1 + 0.05 * np.sin(a))
    z = 0.14 + high * np.sin(a) ** 0.72
    y = y0 + (v - 0.5) * 2 * wide * (0.62 + 0.38 * np.sin(a)) + 0.05 * mirror * np.cos(a)
    return np.stack([x * 1.03, y, z + 0.03 * np.sin(a) * (v - 0.5)], -1)


def _sandal(dice: Dice, mirror: int) -> list[bpy.types.Object]:
    before = set(bpy.data.objects)
    foot = spline(
        [
            (0.0, -1.0),
            (0.26, -0.88),
            (0.37, -0.55),
            (0.33, -0.15),
            (0.25, 0.25),
            (0.27, 0.65),
            (0.19, 0.93),
            (0.0, 1.02),
            (-0.19, 0.93),
            (-0.26, 0.62),
            (-0.21, 0.2),
            (-0.27, -0.25),
            (-0.36, -0.6),
            (-0.25, -0.9),
        ],
        96,
        True,
    ) * (mirror, 1)
    if mirror < 0:
        foot = foot[::-1]
    rubber, bed = (
        materials.rubber(dice.colour("outsole", (0, 0.3), (0.05, 0.9))),
        materials.leather(dice.colour("bed", (0.2, 0.45), (0.45, 0.8)), 0.75, 60),
    )
    middle = (
        materials.cork()
        if dice.chance("cork", 0.6)
        else materials.rubber(dice.colour("midsole", (0, 0.4), (0.1, 0.95)))
    )
    shapes.slab(foot * 1.0, 0.07, rubber, 0.012)
    shapes.slab(foot * 0.985, 0.13, middle, 0.012).location[2] = 0.07
    shapes.slab(foot * 0.99, 0.035, bed, 0.016).location[2] = 0.2
    shapes.slab(
        foot * 0.86,
        0.01,
        materials.leather(
            tuple(np.array(dice.colour("bed", (0.2, 0.45), (0.45, 0.8))) * 0.85), 0.8, 90
        ),
        0.004,
    ).location[2] = 0.231
    strap, metal = (
        materials.leather(dice.colour("strap", (0.0, 0.8), (0.05, 0.9)), 0.45),
        materials.metal(dice.pick("buckle", (BRASS, STEEL)), 0.2),
    )
    thread = materials.plain(dice.colour("thread", (0.0, 0.3), (0.5, 0.95)))
    for y0, wide, high, inner in ((-0.5, 0.17, 0.36, 0.36), (0.02, 0.17, 0.42, 0.29)):
        point = partial(_strap, y0, wide, high, inner, mirror)
        shapes.sheet(point, strap, (48, 16), 0.032, 1)
        for v in (0.09, 0.91):
            u = np.linspace(0.06, 0.94, 200)
            line = point(u, np.full_like(u, v))
            lift = np.stack(
                [-np.cos(np.pi * u) * 0.017, 0 * u, 0.4 * np.sin(np.pi * u) ** 0.5 * 0.045], 1
            )
            shapes.stitches(line + lift, thread, 0.02, 0.004)
        u0 = 0.76 if mirror > 0 else 0.24
        c = point(np.array(u0), np.array(0.5))
        du = point(np.array(u0 + 0.02), np.array(0.5)) - c
        du /= np.linalg.norm(du)
        normal = np.cross(du, (0, 1, 0))
        normal *= np.sign(normal[2])
        c = c + normal * 0.035
        frame = fillet([(-0.09, -0.13), (0.09, -0.13), (0.09, 0.13), (-0.09, 0.13)], 0.035, 6, True)
        shapes.tube(
            c + frame[:, :1] * du + frame[:, 1:] * np.array((0, 1, 0)),
            0.014,
            metal,
            closed=True,
            sides=10,
        )
        shapes.tube(
            [c + 0.085 * du + normal * 0.008, c - 0.09 * du + normal * 0.012], 0.01, metal, sides=8
        )
        tail = [c - 0.16 * du, c + 0.05 * du, c + 0.2 * du]
        shapes.sweep(
            spline(tail, 12) - normal * 0.006,
            fillet(
                [(-0.012, -0.085), (0.012, -0.085), (0.012, 0.085), (-0.012, 0.085)], 0.01, 4, True
            ),
            strap,
            up=tuple(normal),
        )
    return [o for o in bpy.data.objects if o not in before]


def sandals(dice: Dice) -> None:
    """A pair of buckled two-strap sandals on cork soles."""
    left = _sandal(dice, 1)
    right = _sandal(dice, -1)
    for parts, x, y, turn in ((left, 0.42, 0.0, 0.1), (right, -0.42, 0.12, -0.14)):
        for part in parts:
            part.rotation_euler = (0, 0, turn)
            part.location = (x, y, part.location[2])


def handbag(dice: Dice) -> None:
    """A structured leather bag: flap, turn-lock, stitched edges, a handle on rings."""
    w, h, d = (
        dice.between("width", 1.0, 1.35),
        dice.between("height", 0.7, 0.95),
        dice.between("depth", 0.28, 0.42),
    )
    hide = materials.leather(
        dice.colour("hide", (0.1, 0.85), (0.1, 0.85)), dice.between("gloss", 0.3, 0.55), 32
    )
    metal = materials.metal(dice.pick("metal", (BRASS, STEEL)), 0.15)
    thread = materials.plain(dice.colour("thread", (0.0, 0.4), (0.3, 0.95)))
    outline = fillet([(-w / 2, 0), (w / 2, 0), (w * 0.455, h), (-w * 0.455, h)], 0.12, 8, True)
    body = shapes.slab(outline, d, hide, 0.05)
    body.rotation_euler = (np.pi / 2, 0, 0)
    body.location = (0, d / 2, 0)
    low = dice.between("flap", 0.35, 0.5) * h
    section = fillet(
        [
            (d * 0.45, h * 0.82),
            (d * 0.5, h + 0.016),
            (-d * 0.5 - 0.018, h + 0.016),
            (-d / 2 - 0.022, low),
        ],
        0.07,
        10,
    )
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(section, axis=0), axis=1))])
    along /= along[-1]

    def flap(u: Array, v: Array) -> Array:
        side = 2 * v - 1
        drop = np.where(u > 0.5, np.abs(side) ** 4.0, 0) * np.clip((u - 0.5) * 2, 0, 1) * 0.2
        q = np.clip(u - drop * u, 0, 1)
        y, z = np.interp(q, along, section[:, 0]), np.interp(q, along, section[:, 1])
        wide = w * (0.455 + 0.045 * np.clip((h - z) / h, 0, 1)) + 0.004
        return np.stack([side * wide, y, z], -1)

    shapes.sheet(flap, hide, (70, 50), 0.026)
    v = np.concatenate([np.full(120, 0.025), np.linspace(0.025, 0.975, 160), np.full(120, 0.975)])
    u = np.concatenate(
        [np.linspace(0.45, 0.97, 120), np.full(160, 0.97), np.linspace(0.97, 0.45, 120)]
    )
    seam = flap(u, v)
    shapes.stitches(
        seam + np.where(seam[:, 1:2] < -d / 2, (0, -0.016, 0), (0, 0, 0.016)), thread, 0.022, 0.004
    )
    lock_z = low + 0.06
    shapes.block((0.2, 0.02, 0.11), metal, (0, -d / 2 - 0.045, lock_z), 0.012)
    shapes.block((0.03, 0.05, 0.075), metal, (0, -d / 2 - 0.07, lock_z), 0.012)
    tall = dice.between("strap", 0.35, 0.85)
    ends = 0.36 * w
    path = spline(
        [
            (-ends, 0, h + 0.06),
            (-ends * 0.98, 0, h + tall * 0.45),
            (-ends * 0.6, 0, h + tall * 0.88),
            (0, 0, h + tall),
            (ends * 0.6, 0, h + tall * 0.88),
            (ends * 0.98, 0, h + tall * 0.45),
            (ends, 0, h + 0.06),
        ],
        90,
    )
    ribbon = fillet(
        [(-0.075, -0.016), (0.075, -0.016), (0.075, 0.016), (-0.075, 0.016)], 0.012, 4, True
    )
    shapes.sweep(path, ribbon, hide, up=(0, 1, 0), name="strap")
    normal = np.cross(np.gradient(path, axis=0), (0, 1, 0))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    for y in (-0.058, 0.058):
        for way in (-1, 1):
            shapes.stitches(path + normal * 0.0175 * way + (0, y, 0), thread, 0.022, 0.0035)
    for side in (-1, 1):
        shapes.ring(0.075, 0.013, metal, (side * ends, 0, h + 0.065), (1, 0, 0))
        shapes.block((0.05, 0.13, 0.03), hide, (side * ends, 0, h + 0.03), 0.01)
    for x in (-w * 0.42, w * 0.42):
        for y in (-d * 0.35, d * 0.35):
            shapes.ball((0.03, 0.03, 0.015), metal, (x, y, -0.008))


def watch(dice: Dice) -> None:
    """A wrist watch, its leather strap closed, the dial to the front."""
    case = materials.metal(
        dice.pick("case", (STEEL, BRASS, (0.9, 0.6, 0.48), (0.1, 0.1, 0.11))), 0.14
    )
    hide = materials.leather(dice.colour("hide", (0.1, 0.7), (0.08, 0.6)), 0.45, 60)
    paper = dice.colour("dial", (0.0, 0.5), (0.05, 0.97))
    dark = np.mean(paper) > 0.5
    ink = (0.08, 0.08, 0.1) if dark else (0.92, 0.92, 0.9)
    r = dice.between("radius", 0.4, 0.5)
    a, b = 0.62, 0.72
    t = np.linspace(0, 2 * np.pi, 161)[:-1] - np.pi / 2
    loop = np.stack(
        [
            0 * t,
            a * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** 0.85 + 0.0,
            b * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** 0.85,
        ],
        1,
    )
    width = r * dice.between("strap", 0.42, 0.52)
    section = fillet(
        [(-width, -0.03), (width, -0.03), (width, 0.03), (-width, 0.03)], 0.022, 5, True
    )
    angle = np.arctan2(loop[:, 2], -loop[:, 1])
    keep = np.abs(angle) > 0.42
    order = np.argsort(np.mod(angle[keep], 2 * np.pi))
    band = loop[keep][order]
    far = 1 - np.abs(np.linspace(-1, 1, len(band)))
    shapes.sweep(band, section, hide, 1 - 0.16 * far, up=(1, 0, 0))
    out = band / np.linalg.norm(band, axis=1, keepdims=True)
    thread = materials.plain(dice.colour("thread", (0.0, 0.4), (0.4, 0.95)))
    for side in (-1, 1):
        line = (
            band
            + out * 0.031
            + np.stack([side * width * 0.86 * (1 - 0.16 * far), 0 * far, 0 * far], 1)
        )
        shapes.stitches(line, thread, 0.032, 0.006)
    face = [
        shapes.lathe(
            fillet(
                [
                    (0, -0.06),
                    (r * 0.9, -0.06),
                    (r, -0.02),
                    (r, 0.09),
                    (r * 0.96, 0.13),
                    (r * 0.87, 0.14),
                    (r * 0.84, 0.1),
                    (0, 0.1),
                ],
                0.02,
                6,
            ),
            case,
            128,
        ),
        shapes.disc(
            r * 0.86,
            materials.printed(
                prints.dial(
                    paper,
                    ink,
                    dice.colour("accent", (0.5, 0.9), (0.4, 0.9)),
                    dice.chance("numerals", 0.4),
                ),
                0.35,
            ),
            0.103,
        ),
    ]
    steel = materials.metal(ink if dark else STEEL, 0.25)
    for turn, long, wide, z in (
        (dice.between("hour", 0, 360), 0.5, 0.026, 0.108),
        (dice.between("minute", 0, 360), 0.74, 0.018, 0.114),
        (dice.between("second", 0, 360), 0.78, 0.007, 0.12),
    ):
        hand = shapes.slab(
            [(-wide / 2, -0.08), (wide / 2, -0.08), (wide / 3, long * r), (-wide / 3, long * r)],
            0.004,
            steel,
        )
        hand.rotation_euler = (0, 0, -np.radians(turn))
        hand.location = (0, 0, z)
        face.append(hand)
    face.append(shapes.lathe(fillet([(0.028, 0.1), (0.028, 0.13), (0, 0.13)], 0.008), steel))
    crown = (
        arc(0.055, 0, 360, 97)[:-1]
        * (1 + 0.06 * np.sign(np.sin(np.arange(96) * np.pi / 2 + 0.3)))[:, None]
    )
    knob = shapes.slab(crown, 0.09, case, 0.006)
    bars = []
    for up in (-1, 1):
        for x in (-1.13 * width, 1.13 * width):
            lug = [(x, 0.8 * r * up, 0.02), (x, 1.03 * r * up, -0.02), (x, 1.17 * r * up, -0.15)]
            path = spline(lug, 16)
            bars.append(shapes.tube(path, np.linspace(0.055, 0.036, 16), case))
        pin = [(x * 1.13 * width, 1.17 * r * up, -0.15) for x in (-1, 1)]
        bars.append(shapes.tube(pin, 0.018, case))
    quarter = np.pi / 2
    for part in face + bars:
        turn = part.rotation_euler[2]
        depth = part.location[2]
        part.rotation_mode = "XYZ"
        part.rotation_euler = (quarter, -turn, 0)
        part.location = (0, -a - 0.02 - depth, 0)
    knob.rotation_euler = (0, quarter, 0)
    knob.location = (r, -a - 0.06, 0)
