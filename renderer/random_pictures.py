"""Pictures drawn at random, for training: other products, settings, lights and cameras.

Ranges are [low, high). Choices are drawn by name from `Dice`, so that a further choice leaves the
others as they were.
"""

from __future__ import annotations

from dataclasses import replace

from renderer.dice import Dice
from renderer.pictures import Camera, Light, Picture, Piece, Setting
from renderer.products import ON_REQUEST, PRODUCTS

__all__ = ["draw_picture", "draw_quality"]

# What is listed more than once is drawn more often.
_SETTINGS = ("sweep", "sweep", "sweep", "table", "floor", "bokeh", "shelf", "flat")
# Products through which the background shows are the hardest to learn: they come twice as often.
_OPEN = ("basket", "chair", "headphones", "mug", "plant", "tumbler", "vase", "wheel")
_PRODUCTS = (*sorted(PRODUCTS.keys() - ON_REQUEST), *_OPEN)
_COUNTS = (1, 1, 1, 1, 1, 1, 2, 2, 3)
# Products that may lie on their side where the camera looks from above.
_LYING = frozenset({"bottle", "carton", "mill", "brush", "turned", "watch", "headphones"})
_CLUTTER = (
    "bottle", "vase", "mug", "carton", "gift", "mill", "turned", "radio", "plant", "lamp", "basket",
)  # fmt: skip
_ASPECTS = (1.0, 1.0, 0.8, 0.75, 4 / 3, 1.5)  # width / height
_ELEVATION = {"flat": (50, 88), "shelf": (2, 12)}  # degrees
_ELEVATION_ELSEWHERE = (3, 35)
_JPEG_QUALITY = (70, 95)
_LIGHT = {  # field of `Light`: the choice's name, its range
    "key": ("key", 0.4, 1.3),
    "fill": ("fill light", 0.0, 0.6),
    "rim": ("rim", 0.0, 1.0),
    "sky": ("sky", 0.2, 0.8),
    "size": ("softness", 0.3, 3.0),
    "height": ("key height", 1.5, 3.5),
    "warmth": ("warmth", -1.0, 1.0),
}


def draw_picture(seed: int, size: int, glass: float = 0.0, sets: float = 0.0) -> Picture:
    """A picture at random, none of the samples.

    Args:
        seed: Of its dice.
        size: Side of a square of the picture's area, pixels.
        glass: Share of the products, 0..1, that are glassware.
        sets: Share of the pictures, 0..1, of two or three of a kind close together.
    """
    dice = Dice(seed)
    kind = dice.pick("scene", _SETTINGS)
    camera = _camera(dice, kind, size)
    gaps = None
    if dice.chance("set", sets):
        pieces, gaps = _row(dice, _pieces(dice, False, glass)[0])
        # From above, too: into mouths, and down on shoes.
        camera = replace(camera, elevation=dice.between("set elevation", 5, 65))
    else:
        pieces = _pieces(dice, kind == "flat", glass)
    setting, light, clutter = _setting(dice, kind), _light(dice), _clutter(dice, kind)
    return Picture(pieces, setting, camera, light, clutter, gaps)


def draw_quality(seed: int) -> int:
    """The JPEG quality to save the picture of a seed with."""
    return Dice(seed).count("quality", *_JPEG_QUALITY)


def _camera(dice: Dice, kind: str, size: int) -> Camera:
    aspect = dice.pick("aspect", _ASPECTS)
    return Camera(
        size=(2 * round(size * aspect**0.5 / 2), 2 * round(size / aspect**0.5 / 2)),
        elevation=dice.between("elevation", *_ELEVATION.get(kind, _ELEVATION_ELSEWHERE)),
        focal=dice.between("focal", 35, 110),
        fill=dice.between("fill", 0.45, 0.95) + (0.25 if dice.chance("close", 0.06) else 0.0),
        shift=(dice.between("shift x", -0.1, 0.1), dice.between("shift y", -0.08, 0.08)),
        blur=dice.between("blur", 0.2, 1.0) if dice.chance("blurred", 0.25) else 0.0,
    )


def _light(dice: Dice) -> Light:
    drawn = {field: dice.between(*choice) for field, choice in _LIGHT.items()}
    side = dice.pick("side", (-1.0, 1.0)) * dice.between("swing", 0.4, 1.2)
    return Light(side=side, **drawn)


def _setting(dice: Dice, kind: str) -> Setting:
    # Half of the sweeps are white or nearly so, as most shops have them.
    if kind == "sweep" and dice.chance("white", 0.5):
        tone = dice.between("white tone", 0.85, 0.99)
        return Setting(kind, {"background colour": (tone, tone, tone)}, dice.seed)
    return Setting(kind, seed=dice.seed)


def _pieces(dice: Dice, may_lie: bool, glass: float) -> tuple[Piece, ...]:
    """One to three products, the first in the middle, the others to its right and left."""
    pieces = []
    x = 0.0
    for k in range(dice.pick("count", _COUNTS)):
        name = dice.pick(f"product {k}", _PRODUCTS)
        # A choice of its own, so that pictures without glassware stay what they were.
        if dice.chance(f"glassware {k}", glass):
            name = "glassware"
        lies = may_lie and name in _LYING and dice.chance(f"down {k}", 0.6)
        if k:
            x += (-1) ** k * dice.between(f"apart {k}", 0.35, 0.75) * k
        pieces.append(
            Piece(
                name,
                at=(x, dice.between(f"depth {k}", -0.3, 0.2) if k else 0.0, 0.0),
                turn=dice.between(f"turn {k}", -45, 45),
                size=dice.between(f"size {k}", 0.4, 0.9) if k else 1.0,
                tilt=(0.0, 90.0) if lies else (0.0, 0.0),
                seed=dice.seed + 1 + k,
            )
        )
    return tuple(pieces)


def _row(dice: Dice, piece: Piece) -> tuple[tuple[Piece, ...], tuple[float, ...]]:
    """Two or three of one product, so close that little background shows between them."""
    pieces, gaps = [], []
    for k in range(dice.count("set of", 2, 3)):
        at = (0.0, dice.between(f"set depth {k}", -0.06, 0.06), 0.0)
        turn = piece.turn + dice.between(f"set turn {k}", -8, 8)
        pieces.append(replace(piece, at=at, turn=turn))
        gaps.append(dice.between(f"gap {k}", 0.005, 0.08))
    return tuple(pieces), tuple(gaps)


def _clutter(dice: Dice, kind: str) -> tuple[Piece, ...]:
    if kind == "flat" or not dice.chance("cluttered", 0.12 if kind == "sweep" else 0.55):
        return ()
    depth = 0.25 if kind == "shelf" else 1.0
    return tuple(
        Piece(
            dice.pick(f"clutter {k}", _CLUTTER),
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
    )
