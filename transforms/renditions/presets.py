"""Presets: what sales channels want, as data.

Each channel is a YAML file of ``presets/``, with one or more versions: what a rendition is made
as, and the rules that `alphabeam.transforms.renditions.rules` checks, each with where and when it
was read. The first version in a file is the current one; ``NAME@VERSION`` names an older one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from alphabeam.transforms.renditions.rules import RULES, Rule
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.settings import settings_of

__all__ = ["Preset", "load_preset", "preset_names", "rendition_of"]


@dataclass(frozen=True)
class Preset:
    """A channel's wishes, in one version.

    Attributes:
        name: Such as ``amazon-main``.
        title: For people.
        version: Such as ``2026-11``.
        notes: What the rules leave out.
        rendition: Settings of a rendition that keeps the rules.
        rules: By name.
    """

    name: str
    title: str
    version: str
    notes: str
    rendition: Mapping[str, Any]
    rules: Mapping[str, Rule]


def preset_names() -> list[str]:
    """The presets that there are."""
    folder = resources.files("alphabeam") / "presets"
    return sorted(
        one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml")
    )


@functools.cache
def load_preset(name: str) -> Preset:
    """Loads a preset.

    Args:
        name: ``NAME``, for its current version, or ``NAME@VERSION``.

    Raises:
        ValueError: There is none of that name; the message starts with ``preset:``.
    """
    plain, _, wanted = name.partition("@")
    if plain not in preset_names():
        raise ValueError(f"preset: there is no {plain!r}; there are {', '.join(preset_names())}")
    file = resources.files("alphabeam") / "presets" / f"{plain}.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    versions = {str(one["version"]): one for one in data["versions"]}
    version = wanted or next(iter(versions))
    if version not in versions:
        raise ValueError(
            f"preset: {plain!r} has no version {version!r}; it has {', '.join(versions)}"
        )
    chosen = versions[version]
    rules = {key: Rule(key, **value) for key, value in chosen["rules"].items()}
    if unknown := set(rules) - set(RULES):
        raise ValueError(f"preset: {plain!r} has rules that nothing checks: {sorted(unknown)}")
    return Preset(plain, data["title"], version, chosen["notes"], chosen["rendition"], rules)


def rendition_of(given: Mapping[str, Any]) -> Rendition:
    """A rendition from what is set: its preset's settings, and over them its own.

    Raises:
        ValueError: Something is wrong; the message starts with the setting's name.
    """
    known = {one.name for one in settings_of(Rendition)}
    if unknown := set(given) - known:
        raise ValueError(f"{sorted(unknown)[0]}: a rendition has no such setting")
    values = dict(given)
    if preset := values.get("preset"):
        loaded = load_preset(preset)
        made = dict(loaded.rendition)
        if str(values.get("canvas", "1:1")) != str(made.get("canvas")) and "canvas" in values:
            for beside in ("min_side", "max_side"):  # they belong to the preset's canvas
                made.pop(beside, None)
        if "margin" in values and "fill" not in values:
            made.pop("fill", None)
        if values.get("format", made.get("format")) in ("png", "tiff"):
            for lossy in ("quality", "max_bytes"):
                made.pop(lossy, None)
        values = {**made, "name": loaded.name, **values}
    if not values.get("name"):
        raise ValueError("name: a rendition has a name, or a preset that gives it one")
    return Rendition(**values)
