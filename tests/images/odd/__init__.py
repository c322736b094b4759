"""Odd pictures of every kind, each with what is in it: the generator behind docs/formats.md."""

from __future__ import annotations

from tests.images.odd.base import Odd
from tests.images.odd.jpegs import jpegs
from tests.images.odd.others import no_pictures, others
from tests.images.odd.pngs import pngs
from tests.images.odd.tiffs import tiffs

__all__ = ["Odd", "odd_pictures"]


def odd_pictures() -> list[Odd]:
    """All of them, in the order of the documentation's table."""
    return [*jpegs(), *pngs(), *tiffs(), *others(), *no_pictures()]
