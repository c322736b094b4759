"""What is in a picture, as plain data: products, setting, light, camera.

Lengths are in units of the product's longest side. The product stands on z = 0 about the origin
and is looked at from -y.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SETTINGS", "Camera", "Light", "Picture", "Piece", "Setting"]

# What a product can stand in: `renderer.blender.settings` has a function for each.
SETTINGS = ("bokeh", "flat", "floor", "shelf", "sweep", "table")


@dataclass(frozen=True)
class Piece:
    """One product in a picture.

    Attributes:
        product: A key of `renderer.products.PRODUCTS`.
        choices: The answers that are not left to the dice.
        at: Where it stands: x, y, z.
        turn: Degrees about z.
        size: Its longest side.
        tilt: How it leans: degrees about x and about y.
        seed: Of its dice.
    """

    product: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0
    size: float = 1.0
    tilt: tuple[float, float] = (0.0, 0.0)
    seed: int = 1


@dataclass(frozen=True)
class Setting:
    """What stands behind and under the products.

    Attributes:
        kind: One of `SETTINGS`.
        choices: The answers that are not left to the dice.
        seed: Of its dice.
    """

    kind: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 7


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and how the products sit in the frame.

    Attributes:
        size: Width and height of the picture, pixels.
        elevation: Degrees above the horizon.
        focal: Focal length, mm, on a sensor whose longer side is 36 mm.
        fill: Share of the frame's width or height that the products take, whichever is more.
        shift: Where the products' middle lies, in frame widths and heights off the middle.
        blur: How shallow the depth of field is; 0 is none, 1 a wide-open lens.
    """

    size: tuple[int, int] = (1000, 1000)
    elevation: float = 12.0
    focal: float = 85.0
    fill: float = 0.75
    shift: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0


@dataclass(frozen=True)
class Light:
    """A studio's light; strengths are relative to a well-lit white background.

    Attributes:
        key: Strength of the main softbox.
        fill: Strength of the softbox on the other side.
        rim: Strength of the light from behind.
        sky: Strength of the light from all around.
        side: Where the key stands: -1 left, +1 right.
        size: Width of the key; large is soft.
        height: Height of the key.
        warmth: -1 (cold) .. 1 (warm).
    """

    key: float = 1.0
    fill: float = 0.35
    rim: float = 0.5
    sky: float = 0.45
    side: float = -1.0
    size: float = 2.2
    height: float = 2.8
    warmth: float = 0.0


@dataclass(frozen=True)
class Picture:
    """Everything that is needed to render one picture.

    Attributes:
        products: What is for sale: the foreground.
        setting: What it stands in.
        camera: How it is looked at.
        light: How it is lit.
        clutter: What merely stands about; part of the background.
        gaps: Free space before each product, along x, one for each: the products stand in a row
            then, and `at` says only how far each is to the back. None leaves them where `at` says.
    """

    products: tuple[Piece, ...]
    setting: Setting
    camera: Camera
    light: Light = field(default_factory=Light)
    clutter: tuple[Piece, ...] = ()
    gaps: tuple[float, ...] | None = None
