"""Renditions: pictures for sales channels, made of cutouts, and whether they keep their rules.

``render`` makes one from a cutout; `measure` and `violations` check any file. Neither needs a
pipeline::

    from alphabeam.transforms.renditions import load_preset, render, rendition_of

    made = render(rgba, rendition_of({"preset": "amazon-main"}))
    open("front.jpg", "wb").write(made.data)
"""

from alphabeam.transforms.renditions.measure import Measures, measure
from alphabeam.transforms.renditions.presets import (
    Preset,
    load_preset,
    preset_names,
    rendition_of,
)
from alphabeam.transforms.renditions.render import Rendered, render
from alphabeam.transforms.renditions.rules import RULES, Rule, Violation, violations
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.renditions.subject import Subject

__all__ = [
    "RULES",
    "Measures",
    "Preset",
    "Rendered",
    "Rendition",
    "Rule",
    "Subject",
    "Violation",
    "load_preset",
    "measure",
    "preset_names",
    "render",
    "rendition_of",
    "violations",
]
