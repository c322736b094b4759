"""What is in the pictures: the samples by hand, and other pictures by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import scenes
from dice import Dice
from objects import PRODUCTS as _FIRM
from objects import glassware
from scenes import Light, View
from wear import MORE_PRODUCTS

__all__ = ["SAMPLES", "Piece", "Sample", "compose", "compose_at_random"]

PRODUCTS = {**_FIRM, **MORE_PRODUCTS}
_BUILDERS = {**PRODUCTS, "glassware": glassware}  # which is drawn only where it is asked for


@dataclass(frozen=True)
class Piece:
    """One product in a picture.

    Attributes:
        product: A key of `_BUILDERS`.
        fixed: The answers that are not left to the dice.
        at: Where it stands.
        turn: Degrees about z.
        size: Its longest side.
        tilt: How it leans: degrees about x and about y.
        seed: Of its dice.
    """

    product: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0
    size: float = 1.0
    tilt: tuple[float, float] = (0.0, 0.0)
    seed: int = 1


@dataclass(frozen=True)
class Sample:
    """One picture of the catalogue: what is for sale, what merely stands about, and the studio."""

    id: str
    title: str
    category: str
    ground: str
    pieces: Sequence[Piece]
    scene: str
    setting: Mapping[str, Any]
    view: View
    light: Light = field(default_factory=Light)
    clutter: Sequence[Piece] = ()
    samples: int = 32


def _place(pieces: Sequence[Piece]) -> list[bpy.types.Object]:
    made = []
    for p in pieces:
        dice = Dice(p.seed, p.fixed)
        made += scenes.stage(_BUILDERS[p.product], dice, p.at, p.turn, p.size, p.tilt)
    return made


def compose(sample: Sample, scale: float = 1.0) -> list[bpy.types.Object]:
    """Set the sample up in an empty scene; returns the objects that are the product."""
    scenes.reset()
    subject = _place(sample.pieces)
    scenes.GROUNDS[sample.scene](Dice(7, sample.setting))
    _place(sample.clutter)
    scenes.light(sample.light)
    width, height = (round(n * scale) for n in sample.view.size)
    scenes.aim(replace(sample.view, size=(width, height)), subject)
    return subject


_WHITE = {"ground": (0.97, 0.97, 0.97), "ground back": 3.0}

SAMPLES: tuple[Sample, ...] = (
    Sample(
        "bottle",
        "Amber bottle with pump, 250 ml",
        "care",
        "white sweep",
        [
            Piece(
                "bottle",
                {
                    "glass": True,
                    "body": (0.72, 0.36, 0.1),
                    "content": (0.35, 0.14, 0.03),
                    "radius": 0.36,
                    "height": 0.95,
                    "shoulder": 0.2,
                    "neck": 0.38,
                    "round": 0.14,
                    "closure": "pump",
                    "lid": (0.04, 0.04, 0.04),
                    "paper": (0.95, 0.93, 0.88),
                    "ink": (0.1, 0.1, 0.1),
                    "wrap": 200,
                    "title": "ALBA",
                    "ornament": "leaf",
                    "label band": False,
                    "label frame": False,
                    "label top": 0.86,
                },
                turn=12,
            )
        ],
        "sweep",
        _WHITE,
        View((800, 1000), 0, 8, 90, 0.8),
    ),
    Sample(
        "vase",
        "Speckled vase with pampas",
        "home",
        "terracotta sweep",
        [
            Piece(
                "vase",
                {
                    "glaze": (0.9, 0.87, 0.8),
                    "speckle": 0.9,
                    "roughness": 0.35,
                    "belly": 0.42,
                    "foot": 0.24,
                    "neck": 0.13,
                    "mouth": 0.18,
                    "waist": 0.42,
                    "grasses": True,
                    "plume": (0.72, 0.58, 0.42),
                    "stems": 7,
                },
            )
        ],
        "sweep",
        {"ground": (0.72, 0.42, 0.31), "ground back": 2.5},
        View((800, 1000), 0, 7, 85, 0.86),
    ),
    Sample(
        "gift",
        "Gift box with bow",
        "gifts",
        "pink sweep",
        [
            Piece(
                "gift",
                {
                    "paper": (0.95, 0.94, 0.9),
                    "patterned": False,
                    "ribbon": (0.75, 0.1, 0.16),
                    "width": 1.0,
                    "depth": 0.95,
                    "height": 0.62,
                    "bow": 0.42,
                    "bow turn": 20,
                },
                turn=-28,
            )
        ],
        "sweep",
        {"ground": (0.95, 0.62, 0.66), "ground back": 2.2},
        View((900, 900), 0, 24, 80, 0.72),
    ),
    Sample(
        "mug",
        "Stoneware mug, dipped",
        "kitchen",
        "oak table",
        [
            Piece(
                "mug",
                {
                    "glaze": (0.86, 0.85, 0.8),
                    "speckle": 0.8,
                    "gloss": 0.15,
                    "dipped": True,
                    "dip colour": (0.16, 0.3, 0.42),
                    "dip": 0.42,
                    "full": True,
                    "drink": (0.25, 0.13, 0.06),
                    "radius": 0.42,
                    "height": 0.86,
                    "flare": 0.02,
                },
                turn=-25,
            )
        ],
        "table",
        {
            "top": "oak",
            "top shade": 0.95,
            "wall": "paint",
            "wall colour": (0.83, 0.83, 0.8),
            "table front": 0.85,
            "table depth": 1.8,
            "wall gap": 1.0,
            "top width": 0.42,
        },
        View((1000, 750), 0, 18, 75, 0.62, (-0.08, 0.0)),
        Light(side=1, warmth=0.5),
    ),
    Sample(
        "plant",
        "Spider plant in a clay pot",
        "plants",
        "off-white sweep",
        [
            Piece(
                "plant",
                {
                    "kind": "spider",
                    "variegated": True,
                    "terracotta": True,
                    "green": (0.25, 0.46, 0.14),
                },
            )
        ],
        "sweep",
        {"ground": (0.93, 0.91, 0.86)},
        View((800, 960), 0, 10, 85, 0.84),
    ),
    Sample(
        "basket",
        "Copper wire basket",
        "home",
        "grey concrete",
        [
            Piece(
                "basket",
                {
                    "metal": (0.9, 0.55, 0.42),
                    "wires": 22,
                    "turns": 0.09,
                    "handles": True,
                    "filled": False,
                    "gauge": 0.009,
                    "bulge": 0.05,
                },
                turn=20,
            )
        ],
        "table",
        {
            "top": "concrete",
            "top colour": (0.62, 0.62, 0.61),
            "wall": "paint",
            "wall colour": (0.66, 0.67, 0.68),
            "table front": 2.5,
            "table depth": 2.4,
            "wall gap": 0.0,
        },
        View((1000, 800), 0, 20, 80, 0.74),
    ),
    Sample(
        "tumbler",
        "Iced orange in a tumbler",
        "drinks",
        "pale blue sweep",
        [
            Piece(
                "tumbler",
                {
                    "tint": (1.0, 0.55, 0.03),
                    "cloud": 1.0,
                    "drink": True,
                    "cubes": 3,
                    "straw": True,
                    "slice": True,
                    "straw colour": (0.1, 0.5, 0.6),
                    "peel": (0.95, 0.5, 0.05),
                    "flesh": (0.98, 0.62, 0.15),
                    "level": 0.8,
                },
            )
        ],
        "sweep",
        {"ground": (0.7, 0.84, 0.9)},
        View((750, 1000), 0, 10, 85, 0.76),
    ),
    Sample(
        "lamp",
        "Desk lamp, mustard",
        "lighting",
        "desk and wall",
        [
            Piece(
                "lamp",
                {
                    "enamel": (0.9, 0.64, 0.12),
                    "gloss": 0.3,
                    "arm": (0.78, 0.78, 0.8),
                    "lower lean": 18,
                    "upper lean": 52,
                    "shade tilt": 28,
                    "cable": True,
                },
                turn=30,
            )
        ],
        "table",
        {
            "top": "walnut",
            "wall": "paint",
            "wall colour": (0.36, 0.45, 0.47),
            "table front": 0.75,
            "table depth": 1.5,
            "wall gap": 0.0,
        },
        View((800, 1000), 0, 8, 80, 0.8),
        Light(sky=0.55),
    ),
    Sample(
        "teddy",
        "Plush bear",
        "toys",
        "light grey sweep",
        [
            Piece(
                "teddy",
                {
                    "fur": (0.76, 0.56, 0.38),
                    "density": 2.6,
                    "fur length": 0.05,
                    "ribbon": True,
                    "silk": (0.15, 0.3, 0.5),
                },
                turn=18,
            )
        ],
        "sweep",
        {"ground": (0.86, 0.86, 0.87)},
        View((880, 960), 0, 12, 85, 0.82),
    ),
    Sample(
        "sandals",
        "Cork sandals, two straps",
        "shoes",
        "sand sweep",
        [
            Piece(
                "sandals",
                {
                    "cork": True,
                    "bed": (0.72, 0.55, 0.4),
                    "strap": (0.3, 0.17, 0.1),
                    "buckle": (0.83, 0.66, 0.36),
                    "outsole": (0.2, 0.16, 0.13),
                    "thread": (0.8, 0.66, 0.45),
                },
                turn=-32,
            )
        ],
        "sweep",
        {"ground": (0.86, 0.8, 0.71)},
        View((1000, 800), 0, 32, 85, 0.8),
    ),
    Sample(
        "handbag",
        "Leather handbag, bottle green",
        "bags",
        "beige sweep",
        [
            Piece(
                "handbag",
                {
                    "hide": (0.1, 0.27, 0.2),
                    "gloss": 0.4,
                    "metal": (0.83, 0.66, 0.36),
                    "thread": (0.6, 0.55, 0.38),
                    "width": 1.25,
                    "height": 0.85,
                    "depth": 0.36,
                    "flap": 0.42,
                    "strap": 0.55,
                },
                turn=-24,
            )
        ],
        "sweep",
        {"ground": (0.9, 0.84, 0.77)},
        View((800, 1000), 0, 12, 85, 0.8),
    ),
    Sample(
        "chair",
        "Spindle chair, oak and black",
        "furniture",
        "furnished room",
        [
            Piece(
                "chair",
                {
                    "painted": True,
                    "paint": (0.07, 0.075, 0.08),
                    "one timber": False,
                    "timber": ((0.84, 0.66, 0.45), (0.6, 0.43, 0.27)),
                    "stool": False,
                    "spindles": 7,
                    "back": 0.95,
                },
                turn=-38,
            )
        ],
        "floor",
        {
            "floor": "oak",
            "floor shade": 0.95,
            "floor width": 0.16,
            "wall": "paint",
            "wall colour": (0.8, 0.81, 0.77),
            "skirting colour": (0.94, 0.94, 0.92),
            "back wall": 1.7,
            "skirting height": 0.11,
        },
        View((800, 1000), 0, 13, 60, 0.68, (0.07, -0.04), 2.5),
        Light(warmth=0.6, size=2.6),
        (
            Piece(
                "plant",
                {
                    "kind": "broad",
                    "terracotta": False,
                    "pot": "ceramic",
                    "pot colour": (0.9, 0.9, 0.88),
                    "variegated": False,
                    "green": (0.13, 0.33, 0.13),
                },
                at=(-0.78, 1.25, 0),
                size=0.95,
                seed=5,
            ),
            Piece(
                "basket",
                {"metal": (0.12, 0.12, 0.13), "turns": 0.08, "filled": False},
                at=(0.8, 1.3, 0),
                size=0.34,
            ),
        ),
    ),
    Sample(
        "mills",
        "Salt and pepper mills",
        "kitchen",
        "cluttered kitchen",
        [
            Piece(
                "mill",
                {
                    "lacquered": False,
                    "timber": ((0.45, 0.3, 0.2), (0.22, 0.13, 0.08)),
                    "metal": (0.78, 0.78, 0.8),
                    "waist": 0.15,
                    "tall": 1.35,
                },
                at=(-0.27, 0, 0),
            ),
            Piece(
                "mill",
                {
                    "lacquered": False,
                    "timber": ((0.9, 0.78, 0.6), (0.72, 0.56, 0.38)),
                    "metal": (0.78, 0.78, 0.8),
                    "waist": 0.17,
                    "tall": 1.0,
                },
                at=(0.27, -0.08, 0),
                size=0.8,
                seed=2,
            ),
        ],
        "table",
        {
            "top": "marble",
            "top scale": 0.6,
            "wall": "tiles",
            "wall colour": (0.88, 0.9, 0.88),
            "wall width": 0.62,
            "bond": 0.5,
            "table front": 1.3,
            "table depth": 1.25,
            "wall gap": 0.0,
        },
        View((1000, 800), 0, 11, 70, 0.74, (0.1, -0.03), 3.5),
        Light(side=1, warmth=0.3),
        (
            Piece(
                "mug",
                {"glaze": (0.75, 0.36, 0.25), "dipped": False, "full": False},
                at=(-1.0, 0.55, 0),
                size=0.5,
                turn=200,
            ),
            Piece(
                "bottle",
                {
                    "glass": True,
                    "body": (0.45, 0.6, 0.3),
                    "content": (0.75, 0.65, 0.15),
                    "closure": "cork",
                    "title": "OLIVA",
                    "height": 1.5,
                    "radius": 0.3,
                },
                at=(-0.72, 0.95, 0),
                size=1.1,
                turn=-10,
                seed=4,
            ),
            Piece(
                "basket",
                {
                    "metal": (0.12, 0.12, 0.13),
                    "filled": True,
                    "fruit": (0.95, 0.75, 0.12),
                    "handles": False,
                },
                at=(0.95, 0.72, 0),
                size=0.8,
            ),
        ),
    ),
    Sample(
        "brush",
        "Shaving brush, ivory handle",
        "care",
        "bathroom shelf",
        [
            Piece(
                "brush",
                {
                    "handle": (0.93, 0.9, 0.82),
                    "wooden": False,
                    "ferrule": (0.83, 0.66, 0.36),
                    "bristle": (0.82, 0.74, 0.62),
                    "flare": 0.5,
                },
            )
        ],
        "shelf",
        {
            "top": "walnut",
            "wall": "paint",
            "wall colour": (0.35, 0.42, 0.38),
            "shelf back": 1.3,
            "shelf above": 2.2,
        },
        View((800, 1000), 0, 8, 85, 0.66, (-0.04, -0.02), 3.0),
        Light(),
        (
            Piece(
                "bottle",
                {"glass": True, "body": (0.72, 0.36, 0.1), "closure": "dropper"},
                at=(0.66, 0.85, 0),
                size=0.9,
                seed=3,
            ),
            Piece(
                "carton",
                {"parcel": False, "body": (0.8, 0.72, 0.6), "width": 0.8, "height": 0.9},
                at=(-0.75, 0.9, 0),
                size=0.75,
                turn=15,
                seed=6,
            ),
        ),
    ),
    Sample(
        "wheel",
        "Front wheel, 32 spokes",
        "bicycles",
        "grey workshop",
        [
            Piece(
                "wheel",
                {"tyre": (0.035, 0.035, 0.04), "rim": (0.78, 0.78, 0.8), "spokes": 32},
                turn=-30,
            )
        ],
        "floor",
        {
            "floor": "concrete",
            "floor colour": (0.5, 0.5, 0.5),
            "wall": "concrete",
            "wall colour": (0.72, 0.72, 0.7),
            "back wall": 0.8,
            "skirting": False,
        },
        View((900, 900), 0, 8, 70, 0.94, (0.1, -0.02)),
    ),
    Sample(
        "headphones",
        "Over-ear headphones, silver",
        "audio",
        "yellow sweep",
        [
            Piece(
                "headphones",
                {
                    "shell": (0.88, 0.88, 0.87),
                    "pad": (0.2, 0.2, 0.21),
                    "gloss": 0.3,
                    "metal": (0.78, 0.78, 0.8),
                },
                turn=-32,
            )
        ],
        "sweep",
        {"ground": (0.97, 0.77, 0.13), "ground back": 2.5},
        View((900, 900), 0, 10, 85, 0.7),
    ),
    Sample(
        "cushion",
        "Linen cushion with fringe",
        "textiles",
        "warm white",
        [
            Piece(
                "cushion",
                {
                    "patterned": False,
                    "cloth": (0.7, 0.42, 0.3),
                    "second cloth": (0.78, 0.52, 0.4),
                    "two tone": True,
                    "trim": "fringe",
                    "yarn": (0.93, 0.88, 0.78),
                    "threads": 46,
                    "height": 0.92,
                    "lean": 16,
                    "puff": 0.26,
                },
                turn=-14,
            )
        ],
        "sweep",
        {"ground": (0.95, 0.94, 0.91)},
        View((900, 900), 0, 10, 85, 0.8),
    ),
)


# ------------------------------------------------------------------------------- by chance

_SCENES = ("sweep", "sweep", "sweep", "table", "floor", "bokeh", "shelf", "flat")
_LYING = frozenset({"bottle", "carton", "mill", "brush", "turned", "watch", "headphones"})
_BEHIND = (
    "bottle", "vase", "mug", "carton", "gift", "mill", "turned", "radio", "plant", "lamp", "basket",
)  # fmt: skip
# What the ground shows through is the hardest to learn, so it comes twice as often.
_OPEN = ("basket", "chair", "headphones", "mug", "plant", "tumbler", "vase", "wheel")


def _view_at_random(dice: Dice, scene: str, size: int) -> View:
    aspect = dice.pick("aspect", (1.0, 1.0, 0.8, 0.75, 4 / 3, 1.5))
    low, high = {"flat": (50, 88), "shelf": (2, 12)}.get(scene, (3, 35))
    return View(
        (2 * round(size * aspect**0.5 / 2), 2 * round(size / aspect**0.5 / 2)),
        0.0,
        dice.between("elevation", low, high),
        dice.between("focal", 35, 110),
        dice.between("fill", 0.45, 0.95) + (0.25 if dice.chance("close", 0.06) else 0.0),
        (dice.between("shift x", -0.1, 0.1), dice.between("shift y", -0.08, 0.08)),
        dice.between("blur", 0.2, 1.0) if dice.chance("blurred", 0.25) else 0.0,
    )


def _light_at_random(dice: Dice) -> Light:
    return Light(
        key=dice.between("key", 0.4, 1.3),
        fill=dice.between("fill light", 0.0, 0.6),
        rim=dice.between("rim", 0.0, 1.0),
        sky=dice.between("sky", 0.2, 0.8),
        side=dice.pick("side", (-1.0, 1.0)) * dice.between("swing", 0.4, 1.2),
        size=dice.between("softness", 0.3, 3.0),
        height=dice.between("key height", 1.5, 3.5),
        warmth=dice.between("warmth", -1.0, 1.0),
    )


def _pieces_at_random(dice: Dice, lying: bool, glass: float) -> list[Piece]:
    names = [*sorted(PRODUCTS), *_OPEN]
    count = dice.pick("count", (1, 1, 1, 1, 1, 1, 2, 2, 3))
    pieces = []
    x = 0.0
    for k in range(count):
        # Asked apart from the others, so that the pictures without it stay what they were.
        name = dice.pick(f"product {k}", names)
        if dice.chance(f"glassware {k}", glass):
            name = "glassware"
        down = lying and name in _LYING and dice.chance(f"down {k}", 0.6)
        size = 1.0 if k == 0 else dice.between(f"size {k}", 0.4, 0.9)
        if k:
            x += (-1) ** k * dice.between(f"apart {k}", 0.35, 0.75) * k
        pieces.append(
            Piece(
                name,
                at=(x, dice.between(f"depth {k}", -0.3, 0.2) if k else 0.0, 0.0),
                turn=dice.between(f"turn {k}", -45, 45),
                size=size,
                tilt=(0.0, 90.0) if down else (0.0, 0.0),
                seed=dice.seed + 1 + k,
            )
        )
    return pieces


def _set_at_random(dice: Dice, glass: float) -> list[bpy.types.Object]:
    """Two or three of one product, so close together that little ground shows between them."""
    piece = _pieces_at_random(dice, False, glass)[0]
    made: list[bpy.types.Object] = []
    end = 0.0
    for k in range(dice.count("set of", 2, 3)):
        y = dice.between(f"set depth {k}", -0.06, 0.06)
        turn = piece.turn + dice.between(f"set turn {k}", -8, 8)
        one = _place([replace(piece, at=(0.0, y, 0.0), turn=turn)])
        low, high = scenes.span(one)
        gap = dice.between(f"gap {k}", 0.005, 0.08)
        scenes.push(one, end + gap - low)
        end += gap + high - low
        made += one
    return made


def _clutter_at_random(dice: Dice, scene: str) -> list[Piece]:
    if scene == "flat" or not dice.chance("cluttered", 0.12 if scene == "sweep" else 0.55):
        return []
    depth = 0.25 if scene == "shelf" else 1.0
    return [
        Piece(
            dice.pick(f"clutter {k}", _BEHIND),
            at=(
                dice.between(f"clutter x {k}", -1.6, 1.6),
                dice.between(f"clutter y {k}", 0.0, 0.2) + depth,
                0.0,
            ),
            turn=dice.between(f"clutter turn {k}", -60, 60),
            size=dice.between(f"clutter size {k}", 0.3, 1.0),
            seed=dice.seed + 100 + k,
        )
        for k in range(dice.count("clutter", 1, 4))
    ]


def compose_at_random(
    seed: int, size: int, glass: float = 0.0, sets: float = 0.0
) -> tuple[list[bpy.types.Object], int]:
    """A picture by chance, of about `size` x `size` pixels, none of the samples.

    Args:
        seed: Of its dice.
        size: Side of a square of the picture's area, pixels.
        glass: Share of the products, 0..1, that are glassware.
        sets: Share of the pictures, 0..1, of two or three of a kind close together.

    Returns:
        The objects that are the product, and a JPEG quality to save the picture with.
    """
    scenes.reset()
    dice = Dice(seed)
    scene = dice.pick("scene", _SCENES)
    together = dice.chance("set", sets)
    if together:
        subject = _set_at_random(dice, glass)
    else:
        subject = _place(_pieces_at_random(dice, scene == "flat", glass))
    # Half of the sweeps are white or nearly so, as most shops have them.
    plain = scene == "sweep" and dice.chance("white", 0.5)
    tone = dice.between("white tone", 0.85, 0.99)
    scenes.GROUNDS[scene](Dice(seed, {"ground": (tone, tone, tone)} if plain else {}))
    _place(_clutter_at_random(dice, scene))
    scenes.light(_light_at_random(dice))
    view = _view_at_random(dice, scene, size)
    if together:  # from above, too: into mouths, and down on shoes
        view = replace(view, elevation=dice.between("set elevation", 5, 65))
    scenes.aim(view, subject)
    return subject, dice.count("quality", 70, 95)
