"""`render`: from a cutout to a rendition's file, and what is to be said of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.parameters import Box
from alphabeam.transforms.renditions.compose import compose
from alphabeam.transforms.renditions.encoding import encode
from alphabeam.transforms.renditions.measure import measure
from alphabeam.transforms.renditions.presets import load_preset
from alphabeam.transforms.renditions.rules import Violation, violations
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.renditions.subject import Subject

__all__ = ["BREAKS_PRESET", "DOES_NOT_FILL", "FLAGS", "UPSCALED", "Rendered", "render"]

UPSCALED = "upscaled"
"""The flag of a rendition whose subject is larger than in its source."""

DOES_NOT_FILL = "does_not_fill_preset"
"""The flag of one whose subject is smaller on its canvas than asked: its source is too small."""

BREAKS_PRESET = "breaks_preset"
"""The flag of one that breaks another rule of its preset."""

FLAGS = (UPSCALED, DOES_NOT_FILL, BREAKS_PRESET)
_FILL_RULES = ("fill_min", "subject_min")


class Rendered(NamedTuple):
    """A rendition of one cutout.

    Attributes:
        data: The file.
        width: Pixels.
        height: Likewise.
        box: The subject's box on the canvas: left, top, right, bottom.
        scale: Of the subject, against its source.
        quality: 1..100; None where the format is without loss.
        flags: What a person should look at: of `FLAGS`.
        violations: The rules of its preset that it breaks.
    """

    data: bytes
    width: int
    height: int
    box: Box
    scale: float
    quality: int | None
    flags: tuple[str, ...]
    violations: tuple[Violation, ...]


def render(
    cutout: NDArray[np.uint8] | Subject,
    rendition: Rendition,
    image: NDArray[np.uint8] | None = None,
    name: str = "",
) -> Rendered:
    """Makes a rendition of a cutout, and checks it against its preset as anyone would.

    Args:
        cutout: uint8 HxWx4, straight alpha, sRGB; or a `Subject`, where several renditions are
            made of one cutout.
        rendition: What is asked for.
        image: The background's image, uint8 HxWx3, if it is one.
        name: The file's name, for a preset that has a rule on it.

    Returns:
        The file, and what was found.

    Raises:
        EmptySubjectError: The cutout is empty.
        TooLargeError: It has more bytes than it may have at every quality.
        ValueError: There is no room for the subject.
    """
    if not isinstance(cutout, Subject):
        cutout = Subject(cutout, shadow=rendition.shadow == "keep")
    composed = compose(rendition, cutout, image)
    encoded = encode(composed.pixels, rendition)
    flags = [UPSCALED] if composed.scale > 1.001 else []
    broken: tuple[Violation, ...] = ()
    if rendition.preset:
        rules = load_preset(rendition.preset).rules
        found = violations(measure(encoded.data, name), rules)
        broken = tuple(one for one in found if not one.advice)
        flags += [BREAKS_PRESET] if any(v.rule not in _FILL_RULES for v in broken) else []
    if not composed.filled or any(v.rule in _FILL_RULES for v in broken):
        flags.append(DOES_NOT_FILL)
    height, width = composed.pixels.shape[:2]
    return Rendered(
        encoded.data,
        width,
        height,
        composed.box,
        composed.scale,
        encoded.quality,
        tuple(flags),
        broken,
    )
