"""The rules that a channel may have, and whether a measured picture keeps them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from alphabeam.transforms.renditions.measure import Measures

__all__ = ["RULES", "Rule", "Violation", "violations"]

# Of what is measured in a file: a codec's ringing moves a box by some pixels.
_FILL_TOLERANCE = 0.005
_RATIO_TOLERANCE = 0.005


@dataclass(frozen=True)
class Rule:
    """One rule of a preset.

    Attributes:
        name: In `RULES`.
        value: Its number, list or text.
        source: A URL, or words that say where it is from.
        checked: The day on which the source was read, ``2026-11-26``.
        advice: Whether the channel only recommends it: breaking it is no violation.
    """

    name: str
    value: Any
    source: str
    checked: str
    advice: bool = False


class Violation(NamedTuple):
    """A rule that a file breaks.

    Attributes:
        rule: Its name.
        found: What was measured.
        wanted: What the rule wants.
        advice: Whether it is a recommendation only.
    """

    rule: str
    found: str
    wanted: str
    advice: bool = False

    def __str__(self) -> str:
        return f"{self.rule}: {self.found}; wanted: {self.wanted}"


_Check = Callable[[Measures, Any], "tuple[str, str] | None"]


class _Known(NamedTuple):
    meaning: str
    check: _Check


def violations(measures: Measures, rules: Mapping[str, Rule]) -> Iterator[Violation]:
    """The rules that a picture breaks, in the order of `RULES`.

    Args:
        measures: Of the picture.
        rules: By name.

    Yields:
        A violation for each.
    """
    if measures.broken:
        yield Violation("readable", measures.broken, "a picture that can be decoded whole")
        return
    if measures.extension and measures.extension not in _EXTENSIONS.get(measures.format, ()):
        yield Violation(
            "extension", f".{measures.extension} of a {measures.format} file",
            " or ".join(f".{e}" for e in _EXTENSIONS.get(measures.format, ())),
        )  # fmt: skip
    for name, known in RULES.items():
        rule = rules.get(name)
        if rule is not None and (broken := known.check(measures, rule.value)) is not None:
            yield Violation(name, *broken, rule.advice)


_EXTENSIONS = {
    "jpeg": ("jpg", "jpeg"), "png": ("png",), "webp": ("webp",), "avif": ("avif",),
    "tiff": ("tif", "tiff"), "gif": ("gif",), "bmp": ("bmp",), "heif": ("heic", "heif"),
}  # fmt: skip


def _one_of(found: str, wanted: list[str]) -> tuple[str, str] | None:
    return None if found in wanted else (found, " or ".join(wanted))


def _at_least(found: float, least: float, unit: str) -> tuple[str, str] | None:
    return None if found >= least else (f"{found:g}{unit}", f"at least {least:g}{unit}")


def _at_most(found: float, most: float, unit: str) -> tuple[str, str] | None:
    return None if found <= most else (f"{found:g}{unit}", f"at most {most:g}{unit}")


def _size(m: Measures, wanted: list[int]) -> tuple[str, str] | None:
    if [m.width, m.height] == list(wanted):
        return None
    return f"{m.width}x{m.height} pixels", f"{wanted[0]}x{wanted[1]} pixels"


def _ratio(m: Measures, wanted: list[float]) -> tuple[str, str] | None:
    ratio = wanted[0] / wanted[1]
    if abs(m.width / m.height / ratio - 1) <= _RATIO_TOLERANCE:
        return None
    return f"{m.width}:{m.height}", f"{wanted[0]:g}:{wanted[1]:g}"


def _share(m: Measures) -> float:
    return round(m.fill, 3)


def _fill_min(m: Measures, least: float) -> tuple[str, str] | None:
    if m.box is None:
        return "no subject", "a subject"
    if m.fill >= least - _FILL_TOLERANCE:
        return None
    return f"the subject takes {m.fill:.1%} of the frame", f"at least {least:.0%}"


def _fill_max(m: Measures, most: float) -> tuple[str, str] | None:
    if m.box is None or m.fill <= most + _FILL_TOLERANCE:
        return None
    return f"the subject takes {m.fill:.1%} of the frame", f"at most {most:.0%}"


def _subject_min(m: Measures, least: int) -> tuple[str, str] | None:
    extent = max(m.box[2] - m.box[0], m.box[3] - m.box[1]) if m.box else 0
    return _at_least(extent, least, " pixels of subject")


def _subject_max(m: Measures, most: int) -> tuple[str, str] | None:
    extent = max(m.box[2] - m.box[0], m.box[3] - m.box[1]) if m.box else 0
    return _at_most(extent, most, " pixels of subject")


def _white(m: Measures, wanted: bool) -> tuple[str, str] | None:
    if not wanted or not (m.off_white or m.off_white_edge or m.specks):
        return None
    if m.off_white_edge:
        found = f"{m.off_white_edge} pixels of the edge are not white, down to {m.edge_worst}"
    elif m.off_white:
        found = (
            f"{m.off_white} pixels of the background are not white, down to {m.worst}, the first "
            f"at {m.first[0]},{m.first[1]}"
        )
    else:
        found = f"{m.specks} specks in the background, one at {m.first[0]},{m.first[1]}"
    return found, "255 in every pixel of the background, to the edges"


def _inside(m: Measures, wanted: bool) -> tuple[str, str] | None:
    sides = [side for side, touched in zip(_SIDES, m.touched, strict=True) if touched]
    if not wanted or not sides:
        return None
    return f"the subject touches the frame: {', '.join(sides)}", "all of the subject in the frame"


_SIDES = ("left", "top", "right", "bottom")


def _centred(m: Measures, most: float) -> tuple[str, str] | None:
    if m.box is None:
        return None
    across = abs((m.box[0] + m.box[2]) / 2 / m.width - 0.5)
    down = abs((m.box[1] + m.box[3]) / 2 / m.height - 0.5)
    if max(across, down) <= most:
        return None
    return (
        f"the subject's middle is {across:.1%} and {down:.1%} off the frame's",
        f"at most {most:.0%}",
    )


def _no_fringe(m: Measures, wanted: bool) -> tuple[str, str] | None:
    if not wanted or m.fringe < 0.6:
        return None
    return f"a fringe of a foreign colour along {m.fringe:.0%} of the outline", "none"


def _opaque(m: Measures, wanted: bool) -> tuple[str, str] | None:
    return ("pixels that are not opaque", "an opaque picture") if wanted and m.alpha else None


def _name(m: Measures, pattern: str) -> tuple[str, str] | None:
    return None if re.fullmatch(pattern, m.stem) else (repr(m.stem), f"a name like {pattern}")


# What each rule compares, in the order in which violations are listed.
RULES: dict[str, _Known] = {
    "formats": _Known("the file's format, one of", lambda m, v: _one_of(m.format, v)),
    "modes": _Known("the colours' kind, one of", lambda m, v: _one_of(m.mode, v)),
    "profiles": _Known("the colour profile, one of", lambda m, v: _one_of(m.profile, v)),
    "opaque": _Known("no transparent pixels", _opaque),
    "size": _Known("width and height, pixels", _size),
    "width_min": _Known("least width", lambda m, v: _at_least(m.width, v, " pixels wide")),
    "height_min": _Known("least height", lambda m, v: _at_least(m.height, v, " pixels high")),
    "shortest_min": _Known(
        "least pixels of the shorter side",
        lambda m, v: _at_least(min(m.width, m.height), v, " pixels"),
    ),
    "longest_min": _Known(
        "least pixels of the longer side",
        lambda m, v: _at_least(max(m.width, m.height), v, " pixels"),
    ),
    "longest_max": _Known(
        "most pixels of the longer side",
        lambda m, v: _at_most(max(m.width, m.height), v, " pixels"),
    ),
    "sides_max": _Known(
        "most pixels of width and height together",
        lambda m, v: _at_most(m.width + m.height, v, " pixels of width and height"),
    ),
    "pixels_max": _Known(
        "most pixels in all", lambda m, v: _at_most(m.width * m.height, v, " pixels in all")
    ),
    "ratio": _Known("width to height", _ratio),
    "bytes_min": _Known("least bytes", lambda m, v: _at_least(m.bytes, v, " bytes")),
    "bytes_max": _Known("most bytes", lambda m, v: _at_most(m.bytes, v, " bytes")),
    "white": _Known("the background is exactly 255 to the edges", _white),
    "inside": _Known("the subject does not touch the frame", _inside),
    "fill_min": _Known("least share of the frame that the subject takes", _fill_min),
    "fill_max": _Known("most share of the frame that the subject takes", _fill_max),
    "subject_min": _Known("least pixels of the subject's longer extent", _subject_min),
    "subject_max": _Known("most pixels of the subject's longer extent", _subject_max),
    "centred": _Known("how far the subject's middle may be off the frame's", _centred),
    "no_fringe": _Known("no rim of a foreign colour", _no_fringe),
    "name": _Known("the file's name without extension", _name),
}
