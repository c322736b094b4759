"""Who removes backgrounds: the `Backend` protocol, and one module for each kind of backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from alphabeam.transforms.rows import Picture, Row

__all__ = ["Backend", "SecondBackend"]


class Backend(Protocol):
    """A small, picklable description that opens on the worker."""

    @property
    def threads(self) -> int:
        """Images at work at once in one process; 0 for as many as cores."""

    @property
    def depth(self) -> int:
        """Images in the step's bounded pool, at work and waiting; 0 for twice the threads."""

    @property
    def pixels_in_flight(self) -> int:
        """Most pixels of decoded images in the pool."""

    @property
    def throttled_seconds(self) -> float:
        """How long this process has been held back so far, over all threads."""

    @property
    def second(self) -> SecondBackend | None:
        """The backend that goes on where this one's result is not good enough; None for none."""

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its result would have."""

    def open(self) -> Callable[[Picture], Picture]:
        """What does the work: fills in a picture's alpha, cutout and row, or fails its row."""


class SecondBackend(Backend, Protocol):
    """One that is given the results of another, and replaces some of them."""

    def wants(self, row: Row) -> bool:
        """Whether the other one's result, pending or finished, is to be replaced."""
