"""250 odd pictures and more: none is silently wrong. The table of docs/formats.md is made here.

``python -m tests.images.test_outcomes`` writes the table anew.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from alphabeam.transforms.errors import RowError
from alphabeam.transforms.images import decode_fully, inspect
from tests.images.odd import Odd, odd_pictures

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
TABLE = re.compile(r"(?<=<!-- outcomes -->\n\n).*(?=<!-- end outcomes -->)", re.DOTALL)

# What lossy formats may lose of a smooth picture, in steps of 255.
TOLERANCE = {"JPEG": 12, "WebP": 12, "AVIF": 12, "HEIF": 12, "TIFF, 8-bit CIELab": 12}
_ROUNDING = 3  # of colours converted in 8 bits
_SPREAD = 3  # by which another version of an encoder may differ from the table


class Outcome(NamedTuple):
    """What became of a picture; ``error`` is the largest difference to the truth."""

    odd: Odd
    said: str
    error: int | None

    @property
    def line(self) -> str:
        error = "" if self.error is None else str(self.error)
        return f"| {self.odd.format} | {self.odd.variant} | {self.said} | {error} |"


def difference(pixels: np.ndarray, truth: np.ndarray) -> int:
    if pixels.shape[:2] != truth.shape[:2]:
        return 255
    seen = np.ones(truth.shape[:2], bool)
    error = 0
    if truth.shape[2] == 4 or pixels.shape[2] == 4:
        opaque = np.full(truth.shape[:2], 255, np.uint8)
        alphas = [p[..., 3] if p.shape[2] == 4 else opaque for p in (pixels, truth)]
        error = int(np.abs(alphas[0].astype(int) - alphas[1]).max())
        seen = alphas[1] >= 64  # fainter colours are mostly rounding
    colours = np.abs(pixels[..., :3].astype(int) - truth[..., :3])[seen]
    return max(error, int(colours.max(initial=0)))


@cache
def outcomes() -> tuple[Outcome, ...]:
    return tuple(outcome(odd) for odd in odd_pictures())


def outcome(odd: Odd) -> Outcome:
    try:
        source = decode_fully(odd.data, odd.limits)
    except RowError as error:
        # What a library adds in brackets is another with another version of it.
        said = re.sub(r" \([^()]*(\([^()]*\))?[^()]*\)$", "", error.message.split(";")[0])
        return Outcome(odd, f"`{error.code.value}`: {said}", None)
    said = ", ".join(["decoded", *(f"`{flag}`" for flag in source.flags)])
    return Outcome(odd, said, None if odd.truth is None else difference(source.pixels, odd.truth))


def table() -> str:
    lines = ["| format | variant | outcome | error |", "|---|---|---|---|"]
    return "\n".join([*lines, *(one.line for one in outcomes()), "\n"])


@pytest.mark.slow
def test_there_are_enough_of_them_and_no_two_are_called_the_same() -> None:
    names = [(one.odd.format, one.odd.variant) for one in outcomes()]
    assert len(names) >= 250 and len(set(names)) == len(names)


def is_right(found: Outcome) -> bool:
    odd = found.odd
    if odd.truth is not None:
        size = (odd.truth.shape[1], odd.truth.shape[0])
        most = TOLERANCE.get(f"{odd.format}, {odd.variant}", TOLERANCE.get(odd.format, _ROUNDING))
        near = found.error is not None and found.error <= most
        return near and inspect(odd.data)[1:] == size
    if odd.limits.damaged == "flag":
        return found.said == "decoded, `damaged_source`" or "`truncated_image`" in found.said
    return found.said.startswith("`")


def test_every_picture_comes_out_right_or_is_refused() -> None:
    assert [found.line for found in outcomes() if not is_right(found)] == []


def test_the_documentations_table_is_current() -> None:
    written = TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert written, f"{PAGE.name} has no mark for the table"
    before, now = (text.strip().splitlines() for text in (written[0], table()))
    assert len(before) == len(now), "run: python -m tests.images.test_outcomes"
    for old, new in zip(before, now, strict=True):
        *said, error, _ = old.split("|")
        *says, errs, _ = new.split("|")
        assert said == says, "run: python -m tests.images.test_outcomes"
        if error.strip().isdigit():
            assert abs(int(error) - int(errs)) <= _SPREAD, new


@pytest.mark.slow
def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for odd in odd_pictures():
        outcome(odd)
    assert capfd.readouterr() == ("", "")


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), "utf-8")
