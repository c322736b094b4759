"""Named, seeded choices.

A product asks for each of its measures by name. The samples fix the names they care about; the
training renders leave all of them to chance. Every name has a stream of its own, so that adding a
question to a product changes none of its other answers.
"""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

__all__ = ["Dice"]

T = TypeVar("T")
Colour = tuple[float, float, float]


class Dice:
    """Answers by name: what is `fixed`, else a draw from the stream of `(seed, name)`."""

    def __init__(self, seed: int, fixed: Mapping[str, Any] | None = None) -> None:
        self.seed = seed
        self.fixed = dict(fixed or {})

    def rng(self, name: str) -> np.random.Generator:
        """The generator that belongs to `name`."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def between(self, name: str, low: float, high: float) -> float:
        """A number in [low, high)."""
        if name in self.fixed:
            return float(self.fixed[name])
        return float(self.rng(name).uniform(low, high))

    def count(self, name: str, low: int, high: int) -> int:
        """A whole number in low..high."""
        if name in self.fixed:
            return int(self.fixed[name])
        return int(self.rng(name).integers(low, high + 1))

    def pick(self, name: str, options: Sequence[T]) -> T:
        """One of the options, or whatever is fixed."""
        if name in self.fixed:
            return self.fixed[name]
        return options[int(self.rng(name).integers(len(options)))]

    def chance(self, name: str, probability: float) -> bool:
        """True in `probability` of the cases."""
        if name in self.fixed:
            return bool(self.fixed[name])
        return bool(self.rng(name).random() < probability)

    def colour(
        self,
        name: str,
        saturation: tuple[float, float] = (0.0, 0.9),
        value: tuple[float, float] = (0.1, 0.95),
    ) -> Colour:
        """An sRGB colour."""
        if name in self.fixed:
            r, g, b = self.fixed[name]
            return (r, g, b)
        rng = self.rng(name)
        return colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
