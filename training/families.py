"""Which of the shared 3D models are learnt from and which are held out; plain Python."""

from __future__ import annotations

import re

__all__ = ["family_of", "held_out_models", "train_models"]

_FAMILIES = (
    "beaker", "book-pile", "building-block", "carton", "clamp", "painted", "picture-frame",
    "puzzle-cube", "smart-speaker",
)  # fmt: skip
_TEA_SET = frozenset({"tea-set", "teapot", "sugar-bowl", "cup-and-saucer"})
_EVERY = 5


def family_of(name: str) -> str:
    """The family of a model, all of which stays on one side of the split."""
    if name in _TEA_SET:
        return "tea-set"
    stem = re.match("|".join(_FAMILIES), name)
    return stem.group() if stem else name


def _side(names: list[str], out: bool) -> list[str]:
    families = sorted({family_of(name) for name in names})
    kept = {family for i, family in enumerate(families) if (i % _EVERY == _EVERY - 1) == out}
    return sorted(name for name in names if family_of(name) in kept)


def held_out_models(names: list[str]) -> list[str]:
    """Of all models' names, those of every fifth family by name."""
    return _side(names, True)


def train_models(names: list[str]) -> list[str]:
    """Of all models' names, those that may be learnt from."""
    return _side(names, False)
