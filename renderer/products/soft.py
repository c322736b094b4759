"""Products that are soft, worn or carried, and furniture; see `objects`."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import materials as m
import numpy as np
import prints
import shapes as s
from dice import Dice

__all__ = ["MORE_PRODUCTS"]

_STEEL = (0.78, 0.78, 0.8)
_BRASS = (0.83, 0.66, 0.36)
_OAK = ((0.84, 0.66, 0.45), (0.6, 0.43, 0.27))
_WALNUT = ((0.45, 0.3, 0.2), (0.22, 0.13, 0.08))


def cushion(dice: Dice) -> None:
    """A scatter cushion, leaning back, with piping or a fringe."""
    h, puff = dice.between("height", 0.75, 1.0), dice.between("puff", 0.2, 0.32)
    one, two = dice.colour("cloth"), dice.colour("second cloth")
    patterned = dice.chance("patterned", 0.4)
    if patterned:
        stuff = m.printed(prints.pattern(dice), 0.9, True)
    else:
        stuff = m.fabric(
            one, two if dice.chance("two tone", 0.5) else None, dice.between("threads", 25, 60)
        )
    rng = dice.rng("creases")
    phase = rng.uniform(0, 6, 8)

    def face(way: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        def surface(u: np.ndarray, v: np.ndarray) -> np.ndarray:
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
        s.sheet(face(1), stuff, (90, 90), unit_uv=patterned),
        s.sheet(face(-1), stuff, (90, 90)),
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
        parts.append(s.tube(edge, 0.022, m.fabric(two, threads=60), closed=True))
    elif trim != "none":
        yarn = m.hair(tuple(np.array(yarn_colour) * 0.8), yarn_colour)
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
        parts.append(s.strands(hairs, 0.004, yarn))
        parts.append(s.tube(edge, 0.012, m.fabric(yarn_colour, threads=60), closed=True))
    lean = np.radians(dice.between("lean", 8, 25))
    for part in parts:
        part.rotation_euler = (-lean, 0, 0)


def _folded(
    stuff: bpy.types.Material,
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
            turn = s.arc(ply / 2, -90, 90, 9)[1:-1]
            sign = -1 if k % 2 == 0 else 1
            path += [(sign * (d / 2 + px * 1.3), ply * (k + 1) + pz) for px, pz in turn]
    p = np.array(path)
    a, b, c = rng.uniform(0, 6, 3)

    def surface(u: np.ndarray, v: np.ndarray) -> np.ndarray:
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

    return s.sheet(surface, stuff, (len(p), 40), ply * 0.8, 1, name="folded")


def towels(dice: Dice) -> None:
    """A stack of folded towels: terry pile."""
    rng = dice.rng("towels")
    z = 0.0
    for k in range(dice.count("towels", 2, 4)):
        colour = dice.colour(f"towel {k}", (0.05, 0.6), (0.4, 0.95))
        ply = dice.between(f"ply {k}", 0.075, 0.095)
        layers = dice.count(f"layers {k}", 3, 3)
        cloth = _folded(
            m.plain(tuple(np.array(colour) * 0.92), 0.95),
            rng,
            (1.25 - 0.02 * k, 0.8),
            layers,
            ply,
            z,
        )
        pile = m.hair(tuple(np.array(colour) * 0.94), colour, 0.8)
        loops = dice.count("loops", 90000, 150000)
        s.fur(cloth, pile, rng, loops, 0.0085, 0.0016, (0, 0, 0), 0.7, steps=3)
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
        m.fabric(colour, second, dice.between("threads", 26, 45)),
        rng,
        (1.3, 0.85),
        layers,
        ply,
        0.0,
    )
    yarn = m.hair(tuple(np.array(colour) * 0.55 + np.array(second) * 0.35), second, 0.8)
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
        s.strands(hairs, 0.0035, yarn)


def _sandal(dice: Dice, mirror: int) -> list[bpy.types.Object]:
    before = set(bpy.data.objects)
    foot = s.spline(
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
        m.rubber(dice.colour("outsole", (0, 0.3), (0.05, 0.9))),
        m.leather(dice.colour("bed", (0.2, 0.45), (0.45, 0.8)), 0.75, 60),
    )
    middle = (
        m.cork()
        if dice.chance("cork", 0.6)
        else m.rubber(dice.colour("midsole", (0, 0.4), (0.1, 0.95)))
    )
    s.slab(foot * 1.0, 0.07, rubber, 0.012)
    s.slab(foot * 0.985, 0.13, middle, 0.012).location[2] = 0.07
    s.slab(foot * 0.99, 0.035, bed, 0.016).location[2] = 0.2
    s.slab(
        foot * 0.86,
        0.01,
        m.leather(tuple(np.array(dice.colour("bed", (0.2, 0.45), (0.45, 0.8))) * 0.85), 0.8, 90),
        0.004,
    ).location[2] = 0.231
    strap, metal = (
        m.leather(dice.colour("strap", (0.0, 0.8), (0.05, 0.9)), 0.45),
        m.metal(dice.pick("buckle", (_BRASS, _STEEL)), 0.2),
    )
    thread = m.plain(dice.colour("thread", (0.0, 0.3), (0.5, 0.95)))
    for y0, wide, high in ((-0.5, 0.17, 0.36), (0.02, 0.17, 0.42)):
        inner = 0.36 if y0 < -0.3 else 0.29

        def point(
            u: np.ndarray, v: np.ndarray, y0=y0, wide=wide, high=high, inner=inner
        ) -> np.ndarray:
            a = np.pi * u
            x = -np.cos(a) * inner * (1 + 0.05 * np.sin(a))
            z = 0.14 + high * np.sin(a) ** 0.72
            y = y0 + (v - 0.5) * 2 * wide * (0.62 + 0.38 * np.sin(a)) + 0.05 * mirror * np.cos(a)
            return np.stack([x * 1.03, y, z + 0.03 * np.sin(a) * (v - 0.5)], -1)

        s.sheet(point, strap, (48, 16), 0.032, 1)
        for v in (0.09, 0.91):
            u = np.linspace(0.06, 0.94, 200)
            line = point(u, np.full_like(u, v))
            lift = np.stack(
                [-np.cos(np.pi * u) * 0.017, 0 * u, 0.4 * np.sin(np.pi * u) ** 0.5 * 0.045], 1
            )
            s.stitches(line + lift, thread, 0.02, 0.004)
        u0 = 0.76 if mirror > 0 else 0.24
        c = point(np.array(u0), np.array(0.5))
        du = point(np.array(u0 + 0.02), np.array(0.5)) - c
        du /= np.linalg.norm(du)
        normal = np.cross(du, (0, 1, 0))
        normal *= np.sign(normal[2])
        c = c + normal * 0.035
        frame = s.fillet(
            [(-0.09, -0.13), (0.09, -0.13), (0.09, 0.13), (-0.09, 0.13)], 0.035, 6, True
        )
        s.tube(
            c + frame[:, :1] * du + frame[:, 1:] * np.array((0, 1, 0)),
            0.014,
            metal,
            closed=True,
            sides=10,
        )
        s.tube(
            [c + 0.085 * du + normal * 0.008, c - 0.09 * du + normal * 0.012], 0.01, metal, sides=8
        )
        tail = [c - 0.16 * du, c + 0.05 * du, c + 0.2 * du]
        s.sweep(
            s.spline(tail, 12) - normal * 0.006,
            s.fillet(
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
    hide = m.leather(
        dice.colour("hide", (0.1, 0.85), (0.1, 0.85)), dice.between("gloss", 0.3, 0.55), 32
    )
    metal = m.metal(dice.pick("metal", (_BRASS, _STEEL)), 0.15)
    thread = m.plain(dice.colour("thread", (0.0, 0.4), (0.3, 0.95)))
    outline = s.fillet([(-w / 2, 0), (w / 2, 0), (w * 0.455, h), (-w * 0.455, h)], 0.12, 8, True)
    body = s.slab(outline, d, hide, 0.05)
    body.rotation_euler = (np.pi / 2, 0, 0)
    body.location = (0, d / 2, 0)
    low = dice.between("flap", 0.35, 0.5) * h
    section = s.fillet(
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

    def flap(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        side = 2 * v - 1
        drop = np.where(u > 0.5, np.abs(side) ** 4.0, 0) * np.clip((u - 0.5) * 2, 0, 1) * 0.2
        q = np.clip(u - drop * u, 0, 1)
        y, z = np.interp(q, along, section[:, 0]), np.interp(q, along, section[:, 1])
        wide = w * (0.455 + 0.045 * np.clip((h - z) / h, 0, 1)) + 0.004
        return np.stack([side * wide, y, z], -1)

    s.sheet(flap, hide, (70, 50), 0.026)
    v = np.concatenate([np.full(120, 0.025), np.linspace(0.025, 0.975, 160), np.full(120, 0.975)])
    u = np.concatenate(
        [np.linspace(0.45, 0.97, 120), np.full(160, 0.97), np.linspace(0.97, 0.45, 120)]
    )
    seam = flap(u, v)
    s.stitches(
        seam + np.where(seam[:, 1:2] < -d / 2, (0, -0.016, 0), (0, 0, 0.016)), thread, 0.022, 0.004
    )
    lock_z = low + 0.06
    s.block((0.2, 0.02, 0.11), metal, (0, -d / 2 - 0.045, lock_z), 0.012)
    s.block((0.03, 0.05, 0.075), metal, (0, -d / 2 - 0.07, lock_z), 0.012)
    tall = dice.between("strap", 0.35, 0.85)
    ends = 0.36 * w
    path = s.spline(
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
    ribbon = s.fillet(
        [(-0.075, -0.016), (0.075, -0.016), (0.075, 0.016), (-0.075, 0.016)], 0.012, 4, True
    )
    s.sweep(path, ribbon, hide, up=(0, 1, 0), name="strap")
    normal = np.cross(np.gradient(path, axis=0), (0, 1, 0))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    for y in (-0.058, 0.058):
        for way in (-1, 1):
            s.stitches(path + normal * 0.0175 * way + (0, y, 0), thread, 0.022, 0.0035)
    for side in (-1, 1):
        s.ring(0.075, 0.013, metal, (side * ends, 0, h + 0.065), (1, 0, 0))
        s.block((0.05, 0.13, 0.03), hide, (side * ends, 0, h + 0.03), 0.01)
    for x in (-w * 0.42, w * 0.42):
        for y in (-d * 0.35, d * 0.35):
            s.ball((0.03, 0.03, 0.015), metal, (x, y, -0.008))


def headphones(dice: Dice) -> None:
    """Over-ear headphones, standing."""
    shell = m.plastic(
        dice.colour("shell", (0.0, 0.7), (0.04, 0.95)), dice.between("gloss", 0.2, 0.5)
    )
    pad = m.leather(dice.colour("pad", (0.0, 0.4), (0.04, 0.6)), 0.5, 30)
    metal = m.metal(dice.pick("metal", (_STEEL, (0.9, 0.58, 0.45), (0.15, 0.15, 0.16))), 0.2, 0.5)
    wide, tall = dice.between("width", 0.42, 0.5), dice.between("height", 1.05, 1.25)
    path = s.spline(
        [
            (-wide, 0, 0.48),
            (-wide * 1.06, 0, 0.75),
            (-wide * 0.72, 0, tall * 0.93),
            (0, 0, tall + 0.06),
            (wide * 0.72, 0, tall * 0.93),
            (wide * 1.06, 0, 0.75),
            (wide, 0, 0.48),
        ],
        120,
    )
    band = s.fillet(
        [(-0.09, -0.016), (0.09, -0.016), (0.09, 0.016), (-0.09, 0.016)], 0.014, 5, True
    )
    s.sweep(path[22:-22], band, shell, up=(0, 1, 0))
    normal = np.cross(np.gradient(path, axis=0), (0, 1, 0))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal *= -np.sign(normal[60, 2])
    plump = np.sin(np.linspace(0, np.pi, 56)) ** 0.25
    s.sweep(
        (path + normal * 0.035)[32:-32],
        s.arc(1, 0, 360, 33)[:-1] * (0.085, 0.035),
        pad,
        np.maximum(plump, 0.1),
        up=(0, 1, 0),
    )
    rod = s.fillet([(-0.035, -0.01), (0.035, -0.01), (0.035, 0.01), (-0.035, 0.01)], 0.008, 4, True)
    for half in (path[4:26], path[-26:-4]):
        s.sweep(half, rod, metal, up=(0, 1, 0))
    for side in (-1, 1):
        parts = [
            s.lathe(
                s.fillet(
                    [(0, 0.0), (0.26, 0.0), (0.285, 0.05), (0.27, 0.15), (0.18, 0.185), (0, 0.185)],
                    0.045,
                    8,
                ),
                shell,
            ),
            s.lathe(
                s.fillet([(0, 0.187), (0.15, 0.187), (0.155, 0.193), (0, 0.193)], 0.004), metal
            ),
            s.ring(0.272, 0.012, metal, (0, 0, 0.06)),
            s.ring(
                0.2, 1.0, pad, (0, 0, -0.055), section=s.arc(1, 0, 360, 33)[:-1] * (0.075, 0.088)
            ),
            s.disc(0.16, m.fabric((0.05, 0.05, 0.055), threads=40), -0.02),
            s.ring(0.305, 0.016, metal, (0, 0, 0.09)),
        ]
        for part in parts:
            z = part.location[2]
            part.scale = (1.15 * part.scale[0], part.scale[1], part.scale[2])
            part.rotation_mode = "XYZ"
            part.rotation_euler = (0, side * np.pi / 2, 0)
            part.location = (side * (wide - 0.08 + z), 0, 0.36)
        s.ball((0.03, 0.05, 0.05), metal, (side * wide * 1.0, 0, 0.36 + 0.345))


def watch(dice: Dice) -> None:
    """A wrist watch, its leather strap closed, the dial to the front."""
    case = m.metal(dice.pick("case", (_STEEL, _BRASS, (0.9, 0.6, 0.48), (0.1, 0.1, 0.11))), 0.14)
    hide = m.leather(dice.colour("hide", (0.1, 0.7), (0.08, 0.6)), 0.45, 60)
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
    section = s.fillet(
        [(-width, -0.03), (width, -0.03), (width, 0.03), (-width, 0.03)], 0.022, 5, True
    )
    angle = np.arctan2(loop[:, 2], -loop[:, 1])
    keep = np.abs(angle) > 0.42
    order = np.argsort(np.mod(angle[keep], 2 * np.pi))
    band = loop[keep][order]
    far = 1 - np.abs(np.linspace(-1, 1, len(band)))
    s.sweep(band, section, hide, 1 - 0.16 * far, up=(1, 0, 0))
    out = band / np.linalg.norm(band, axis=1, keepdims=True)
    thread = m.plain(dice.colour("thread", (0.0, 0.4), (0.4, 0.95)))
    for side in (-1, 1):
        line = (
            band
            + out * 0.031
            + np.stack([side * width * 0.86 * (1 - 0.16 * far), 0 * far, 0 * far], 1)
        )
        s.stitches(line, thread, 0.032, 0.006)
    face = [
        s.lathe(
            s.fillet(
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
        s.disc(
            r * 0.86,
            m.printed(
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
    steel = m.metal(ink if dark else _STEEL, 0.25)
    for turn, long, wide, z in (
        (dice.between("hour", 0, 360), 0.5, 0.026, 0.108),
        (dice.between("minute", 0, 360), 0.74, 0.018, 0.114),
        (dice.between("second", 0, 360), 0.78, 0.007, 0.12),
    ):
        hand = s.slab(
            [(-wide / 2, -0.08), (wide / 2, -0.08), (wide / 3, long * r), (-wide / 3, long * r)],
            0.004,
            steel,
        )
        hand.rotation_euler = (0, 0, -np.radians(turn))
        hand.location = (0, 0, z)
        face.append(hand)
    face.append(s.lathe(s.fillet([(0.028, 0.1), (0.028, 0.13), (0, 0.13)], 0.008), steel))
    crown = (
        s.arc(0.055, 0, 360, 97)[:-1]
        * (1 + 0.06 * np.sign(np.sin(np.arange(96) * np.pi / 2 + 0.3)))[:, None]
    )
    knob = s.slab(crown, 0.09, case, 0.006)
    bars = []
    for up in (-1, 1):
        for x in (-1.13 * width, 1.13 * width):
            lug = [(x, 0.8 * r * up, 0.02), (x, 1.03 * r * up, -0.02), (x, 1.17 * r * up, -0.15)]
            path = s.spline(lug, 16)
            bars.append(s.tube(path, np.linspace(0.055, 0.036, 16), case))
        pin = [(x * 1.13 * width, 1.17 * r * up, -0.15) for x in (-1, 1)]
        bars.append(s.tube(pin, 0.018, case))
    quarter = np.pi / 2
    for part in face + bars:
        turn = part.rotation_euler[2]
        depth = part.location[2]
        part.rotation_mode = "XYZ"
        part.rotation_euler = (quarter, -turn, 0)
        part.location = (0, -a - 0.02 - depth, 0)
    knob.rotation_euler = (0, quarter, 0)
    knob.location = (r, -a - 0.06, 0)


def wheel(dice: Dice) -> None:
    """A spoked bicycle wheel with its tyre, standing."""
    tyre = m.rubber(dice.pick("tyre", ((0.035, 0.035, 0.04), (0.6, 0.45, 0.3), (0.85, 0.82, 0.75))))
    rim = m.metal(dice.pick("rim", (_STEEL, (0.06, 0.06, 0.07))), 0.2, 0.5)
    steel = m.metal(_STEEL, 0.15)
    parts = [
        s.ring(0.95, 0.052, tyre),
        s.ring(
            0.885,
            1,
            rim,
            section=s.fillet(
                [
                    (-0.035, 0.03),
                    (-0.038, -0.01),
                    (-0.02, -0.04),
                    (0.02, -0.04),
                    (0.038, -0.01),
                    (0.035, 0.03),
                ],
                0.01,
                4,
                True,
            ),
        ),
        s.lathe(
            s.fillet(
                [
                    (0, -0.16),
                    (0.03, -0.16),
                    (0.03, -0.1),
                    (0.085, -0.1),
                    (0.085, -0.08),
                    (0.04, -0.06),
                    (0.04, 0.06),
                    (0.085, 0.08),
                    (0.085, 0.1),
                    (0.03, 0.1),
                    (0.03, 0.16),
                    (0, 0.16),
                ],
                0.008,
            ),
            steel,
            64,
        ),
    ]
    tread = s.arc(1, 0, 360, 17)[:-1] * (0.046, 0.012)
    parts.append(s.ring(0.995, 1, m.rubber((0.03, 0.03, 0.03)), section=tread))
    count = dice.pick("spokes", (28, 32, 36))
    for k in range(count):
        side = 1 if k % 2 else -1
        way = 1 if (k // 2) % 2 else -1
        at = 2 * np.pi * k / count
        hub = at + way * 1.15
        start = (0.078 * np.cos(hub), 0.078 * np.sin(hub), side * 0.09)
        end = (0.852 * np.cos(at), 0.852 * np.sin(at), 0.0)
        parts.append(s.tube([start, end], dice.between("spoke", 0.0055, 0.0085), steel, sides=8))
        nipple = np.array(end) + (np.array(start) - end) * np.linspace(0, 0.04, 2)[:, None]
        parts.append(s.tube(nipple, 0.011, steel, sides=8))
    parts.append(
        s.tube([(0.85, 0.02, 0), (0.77, 0.018, 0)], 0.012, m.rubber((0.05,) * 3), sides=10)
    )
    for part in parts:
        part.rotation_mode = "XYZ"
        part.rotation_euler = (np.pi / 2, 0.3, 0)


def chair(dice: Dice) -> None:
    """A wooden chair with spindles, or a stool."""
    light, dark = dice.pick("timber", (_OAK, _WALNUT, ((0.9, 0.78, 0.6), (0.72, 0.56, 0.38))))
    painted = dice.chance("painted", 0.4)
    paint = m.plastic(dice.colour("paint", (0.0, 0.7), (0.05, 0.95)), 0.35)
    timber = paint if painted else m.wood(light, dark, 1.6, 2, 0.4)
    top = timber if dice.chance("one timber", 0.7) else m.wood(light, dark, 1.6, 1, 0.4)
    seat = dice.between("seat height", 0.85, 1.0)
    stool = dice.chance("stool", 0.3)
    if stool:
        s.lathe(
            s.fillet(
                [(0, -0.03), (0.38, -0.03), (0.42, 0.02), (0.4, 0.06), (0.28, 0.045), (0, 0.035)],
                0.03,
                6,
            ),
            top,
        ).location[2] = seat
    else:
        outline = s.spline(
            [
                (-0.4, -0.42),
                (0, -0.46),
                (0.4, -0.42),
                (0.45, -0.1),
                (0.38, 0.36),
                (0, 0.42),
                (-0.38, 0.36),
                (-0.45, -0.1),
            ],
            64,
            True,
        )
        s.slab(outline, 0.075, top, 0.025).location[2] = seat - 0.03
    spread = dice.between("spread", 1.15, 1.45)
    feet = []
    for x in (-1, 1):
        for y in (-1, 1):
            a = np.array((0.28 * x, 0.28 * y, seat))
            b = np.array((0.28 * x * spread * 1.15, 0.28 * y * spread * 1.15, 0.0))
            t = np.linspace(0, 1, 24)
            radius = 0.028 + 0.022 * np.sin(np.pi * np.clip(t * 1.15, 0, 1)) ** 1.2
            s.tube(a + (b - a) * t[:, None], radius, timber)
            feet.append((a, b))
    for i, j, f in ((0, 1, 0.62), (2, 3, 0.62), (0, 2, 0.52), (1, 3, 0.72)):
        p, q = (feet[k][0] + (feet[k][1] - feet[k][0]) * f for k in (i, j))
        t = np.linspace(0, 1, 16)
        s.tube(p + (q - p) * t[:, None], 0.018 + 0.012 * np.sin(np.pi * t), timber)
    if stool:
        return
    back = dice.between("back", 0.75, 1.05)
    count = dice.count("spindles", 5, 9)
    x = np.linspace(-1, 1, count)
    lean = 0.24
    for k in x:
        p = np.array((0.33 * k, 0.36 - 0.1 * k**2, seat))
        q = np.array((0.43 * k, 0.36 + lean - 0.12 * k**2, seat + back))
        t = np.linspace(0, 1, 20)
        thick = 0.024 if abs(k) == 1 else 0.0135
        s.tube(p + (q - p) * t[:, None], thick * (1 + 0.35 * np.sin(np.pi * t)), timber)
    k = np.linspace(-1.16, 1.16, 50)
    crest = np.stack([0.43 * k, 0.36 + lean - 0.12 * k**2, seat + back + 0.02 * (1 - k**2)], 1)
    section = s.fillet(
        [(-0.075, -0.02), (0.075, -0.02), (0.075, 0.02), (-0.075, 0.02)], 0.018, 5, True
    )
    s.sweep(crest, section, timber, 0.82 + 0.18 * (1 - (k / 1.16) ** 4), up=(0, 0, 1))


def mill(dice: Dice) -> None:
    """A turned salt or pepper mill."""
    light, dark = dice.pick("timber", (_OAK, _WALNUT, ((0.9, 0.78, 0.6), (0.72, 0.56, 0.38))))
    body = (
        m.plastic(dice.colour("lacquer"), 0.15)
        if dice.chance("lacquered", 0.4)
        else m.wood(light, dark, 2.2, 2, 0.3)
    )
    waist, tall = dice.between("waist", 0.13, 0.2), dice.between("tall", 0.9, 1.4)
    lower = s.spline(
        [
            (0.27, 0.03),
            (0.265, 0.1),
            (waist + 0.02, tall * 0.42),
            (waist, tall * 0.55),
            (0.2, tall * 0.78),
        ],
        50,
    )
    s.lathe(np.vstack([[(0, 0), (0.25, 0.0)], lower, [(0, tall * 0.78)]]), body)
    head = s.spline(
        [
            (0.2, tall * 0.795),
            (0.23, tall * 0.85),
            (0.215, tall * 0.92),
            (0.12, tall * 0.985),
            (0.05, tall),
        ],
        40,
    )
    s.lathe(np.vstack([[(0, tall * 0.795)], head, [(0, tall)]]), body)
    steel = m.metal(dice.pick("metal", (_STEEL, _BRASS)), 0.15)
    s.lathe([(0, tall * 0.775), (0.19, tall * 0.775), (0.19, tall * 0.8), (0, tall * 0.8)], steel)
    s.ball((0.055, 0.055, 0.05), steel, (0, 0, tall + 0.03))


def brush(dice: Dice) -> None:
    """A shaving or powder brush, its knot of bristles spread."""
    rng = dice.rng("bristles")
    handle = m.plastic(dice.colour("handle", (0.0, 0.8), (0.04, 0.95)), 0.12)
    if dice.chance("wooden", 0.4):
        handle = m.wood(*_WALNUT, 2.5, 2, 0.25)
    waist = dice.between("waist", 0.13, 0.2)
    profile = s.spline(
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
    s.lathe(np.vstack([[(0, 0), (0.24, 0.0)], profile, [(0.2, 0.7), (0, 0.7)]]), handle)
    metal = m.metal(dice.pick("ferrule", (_STEEL, _BRASS)), 0.12)
    s.lathe(s.fillet([(0.2, 0.68), (0.205, 0.69), (0.205, 0.8), (0.19, 0.81)], 0.008), metal)
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
    s.strands(hairs, 0.0034, m.hair(tuple(np.array(pale) * 0.28), pale, 0.5))


def radio(dice: Dice) -> None:
    """A table radio or loudspeaker: wooden or coloured case, cloth front, knobs, a handle."""
    w, h, d = (
        dice.between("width", 0.9, 1.5),
        dice.between("height", 0.55, 0.95),
        dice.between("depth", 0.4, 0.7),
    )
    case = m.wood(*dice.pick("timber", (_OAK, _WALNUT)), 1.6, 0, 0.35)
    if dice.chance("coloured", 0.5):
        case = m.plastic(dice.colour("case"), 0.35)
    s.block((w, d, h), case, (0, 0, h / 2 + 0.04), dice.between("edge", 0.03, 0.12))
    cloth = m.fabric(dice.colour("cloth", (0.0, 0.4), (0.1, 0.9)), threads=70)
    grille = w * dice.between("grille", 0.5, 0.62)

    def front(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.stack(
            [-w * 0.44 + u * grille, -d / 2 - 0.006 + 0 * u, 0.04 + h * (0.13 + 0.74 * v)], -1
        )

    s.sheet(front, cloth, (2, 2), 0.014)
    metal = m.metal(dice.pick("metal", (_BRASS, _STEEL)), 0.2)
    x = -w * 0.44 + grille + (w * 0.9 - grille) / 2
    for k, (r, z) in enumerate(((0.2 * h, 0.66 * h), (0.085 * h, 0.27 * h))):
        knob = s.lathe(
            s.fillet([(r * 1.05, 0), (r, 0.07), (r * 0.8, 0.075), (0, 0.075)], 0.012),
            metal if k else case,
        )
        plate = s.lathe([(r * 1.25, 0), (r * 1.25, 0.008), (0, 0.008)], metal)
        for part in (knob, plate):
            part.rotation_euler = (np.pi / 2, 0, 0)
            part.location = (x, -d / 2, 0.04 + z)
    if dice.chance("handle", 0.6):
        hide = m.leather(dice.colour("hide", (0.2, 0.6), (0.15, 0.6)))
        path = s.spline(
            [
                (-w * 0.38, 0, h + 0.03),
                (-w * 0.3, 0, h + 0.14),
                (0, 0, h + 0.19),
                (w * 0.3, 0, h + 0.14),
                (w * 0.38, 0, h + 0.03),
            ],
            50,
        )
        s.sweep(
            path,
            s.fillet(
                [(-0.06, -0.012), (0.06, -0.012), (0.06, 0.012), (-0.06, 0.012)], 0.01, 4, True
            ),
            hide,
            up=(0, 1, 0),
        )
    for fx in (-0.4, 0.4):
        for fy in (-0.35, 0.35):
            s.lathe([(0.035, 0), (0.045, 0.06), (0, 0.06)], m.rubber((0.04,) * 3)).location = (
                fx * w,
                fy * d,
                0,
            )


def turned(dice: Dice) -> None:
    """Anything turned: a random profile in one to three stuffs (training only)."""
    rng = dice.rng("profile")
    n = int(rng.integers(3, 8))
    height = rng.uniform(0.3, 2.0)
    radii = rng.uniform(0.12, 0.6, n)
    z = np.linspace(0, height, n)
    curve = (
        s.spline(np.stack([radii, z], 1), 80)
        if rng.random() < 0.6
        else s.fillet(np.stack([radii, z], 1), 0.08)
    )
    curve[:, 0] = np.maximum(curve[:, 0], 0.04)
    cuts = np.unique(rng.integers(2, len(curve) - 2, int(rng.integers(0, 3))))
    for k, part in enumerate(np.split(np.arange(len(curve)), cuts)):
        low, high = max(part[0] - 1, 0), part[-1]
        profile = curve[low : high + 1]
        ends = [[(0, profile[0, 1])], profile, [(0, profile[-1, 1])]]
        colour = dice.colour(f"part {k}")
        stuff = dice.pick(
            f"stuff {k}",
            (
                lambda c: m.ceramic(c, 0.5, 0.2),
                lambda c: m.plastic(c, 0.3),
                lambda c: m.metal(c, 0.3),
                lambda c: m.wax(c),
                lambda c: m.wood(
                    tuple(np.array(c) * 0.5 + 0.4), tuple(np.array(c) * 0.4 + 0.15), 2.0
                ),
                lambda c: m.rubber(c),
            ),
        )
        s.lathe(np.vstack(ends), stuff(colour))


MORE_PRODUCTS: dict[str, Callable[[Dice], None]] = {
    f.__name__: f
    for f in (
        cushion,
        towels,
        throw,
        sandals,
        handbag,
        headphones,
        watch,
        wheel,
        chair,
        mill,
        brush,
        radio,
        turned,
    )
}
