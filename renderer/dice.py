"""Named, seeded choices.

A product asks for each of its measures by name. The samples fix the names they care about; the
training pictures leave all of them to chance. Every name has a stream of random numbers of its
own, so that a new question to a product changes none of its other answers.
"""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

__all__ = ["Colour", "Dice"]

T = TypeVar("T")
Colour = Sequence[float]  # sRGB, three numbers in 0..1

# Choices that were renamed, with the name whose stream they keep: a seed's pictures stay the same.
_FORMER_NAMES = {
    "background colour": "ground",
    "background depth": "ground back",
    "pattern background": "pattern ground",
    **{f"material {part}": f"stuff {part}" for part in range(3)},
}


class Dice:
    """Answers by name: the fixed one, or else a draw from the stream of `(seed, name)`."""

    def __init__(self, seed: int, fixed: Mapping[str, Any] | None = None) -> None:
        """Dice of a seed; `fixed` has the answers that are not left to chance."""
        self.seed = seed
        self._fixed = dict(fixed or {})
        self._asked: set[str] = set()

    @property
    def unused(self) -> list[str]:
        """The fixed names that nothing has asked for: misspelt ones, as a rule."""
        return sorted(set(self._fixed) - self._asked)

    def rng(self, name: str) -> np.random.Generator:
        """The generator that belongs to `name`."""
        stream = _FORMER_NAMES.get(name, name)
        return np.random.default_rng([self.seed, zlib.crc32(stream.encode())])

    def between(self, name: str, low: float, high: float) -> float:
        """A number in [low, high)."""
        if self._is_fixed(name):
            return float(self._fixed[name])
        return float(self.rng(name).uniform(low, high))

    def count(self, name: str, low: int, high: int) -> int:
        """A whole number in low..high."""
        if self._is_fixed(name):
            return int(self._fixed[name])
        return int(self.rng(name).integers(low, high + 1))

    def pick(self, name: str, options: Sequence[T]) -> T:
        """One of the options, or whatever is fixed."""
        if self._is_fixed(name):
            answer: T = self._fixed[name]
            return answer
        return options[int(self.rng(name).integers(len(options)))]

    def chance(self, name: str, probability: float) -> bool:
        """True in `probability` of the cases."""
        if self._is_fixed(name):
            return bool(self._fixed[name])
        return bool(self.rng(name).random() < probability)

    def colour(
        self,
        name: str,
        saturation: tuple[float, float] = (0.0, 0.9),
        value: tuple[float, float] = (0.1, 0.95),
    ) -> tuple[float, float, float]:
        """An sRGB colour of any hue; saturation and value in [low, high), all in 0..1."""
        if self._is_fixed(name):
            r, g, b = self._fixed[name]
            return (r, g, b)
        rng = self.rng(name)
        return colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))

    def _is_fixed(self, name: str) -> bool:
        self._asked.add(name)
        return name in self._fixed
