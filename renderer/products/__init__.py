"""The products, one function each.

A product is built about the z axis, its front to -y, in any unit that suits it:
`renderer.blender.studio` brings it to size. Its measures and colours come from a `Dice`, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from renderer.dice import Dice

__all__ = ["ON_REQUEST", "PRODUCTS", "builder"]

# The module of this package that builds each product. They need bpy, so they are imported late.
PRODUCTS = {
    "basket": "household",
    "bottle": "vessels",
    "brush": "turned",
    "carton": "boxes",
    "chair": "furniture",
    "cushion": "textiles",
    "gift": "boxes",
    "glassware": "glasses",
    "handbag": "worn",
    "headphones": "audio",
    "lamp": "household",
    "mill": "turned",
    "mug": "vessels",
    "plant": "plants",
    "radio": "audio",
    "sandals": "worn",
    "teddy": "toys",
    "throw": "textiles",
    "towels": "textiles",
    "tumbler": "glasses",
    "turned": "turned",
    "vase": "vessels",
    "watch": "worn",
    "wheel": "bicycles",
}

# Products that training pictures show only where they are asked for.
ON_REQUEST = frozenset({"glassware"})


def builder(product: str) -> Callable[[Dice], None]:
    """The function that builds a product, a key of `PRODUCTS`, into the empty part of a scene."""
    module = import_module(f"{__name__}.{PRODUCTS[product]}")
    build: Callable[[Dice], None] = getattr(module, product)
    return build
