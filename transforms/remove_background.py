"""``RemoveBackground``: hands each picture to a backend.

The work itself is elsewhere: `alphabeam.transforms.backends.local` runs the matting core on the
worker, and `alphabeam.transforms.backends.picpik` calls the API.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.utils.shared import Shared

from alphabeam.transforms import counts
from alphabeam.transforms.backends import Backend, SecondBackend
from alphabeam.transforms.backends.local import LocalBackend
from alphabeam.transforms.locks import KeyedLocks
from alphabeam.transforms.pool import Overlap, Stage
from alphabeam.transforms.rows import FAILED, PENDING, Picture, Row

__all__ = ["RemoveBackground"]


@beam.typehints.with_input_types(Picture)
@beam.typehints.with_output_types(Picture)
class RemoveBackground(beam.PTransform):
    """Removes backgrounds: `Picture` in, `Picture` with its alpha and cutout out.

    Pictures whose row has failed or is done pass through. Order is not kept: one slow picture
    holds up no other.

    Args:
        backend: Who does the work; by default the embedded model on this machine.

    Attributes:
        stages: The work: one stage, or two if a second backend follows.
    """

    def __init__(self, backend: Backend | None = None) -> None:
        super().__init__()
        backend = backend or LocalBackend()
        first = Stage(
            _Open(backend),
            backend.threads,
            backend.depth,
            _pixels,
            backend.pixels_in_flight,
            concerns=_has_no_result,
        )
        second = backend.second
        self.stages = (first,) if second is None else (first, _second_stage(second))

    def expand(self, pictures: beam.PCollection[Picture]) -> beam.PCollection[Picture]:
        """Builds the step."""
        return pictures | "Matting" >> Overlap(*self.stages, output_type=Picture)


@dataclass(frozen=True)
class _Open:
    """Opens the backend on the worker."""

    backend: Backend
    shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def __call__(self) -> Callable[[Picture], Picture]:
        remove = self.backend.open()
        throttled = _Throttled(self.backend)
        known: _SameWork = self.shared.acquire(_SameWork)

        def work(picture: Picture) -> Picture:
            if picture.row.status != PENDING:
                return picture
            row = self.backend.fingerprinted(picture.row)
            picture = known.once(row, picture, remove)
            throttled.report()
            return picture

        return work


def _second_stage(backend: SecondBackend) -> Stage:
    """The stage of a backend that goes on where another one's result is not good enough."""

    def concerns(picture: Picture) -> bool:
        row = picture.row
        # A finished result stays, though its source cannot be read tonight to have a better one.
        there = row.status == PENDING or (row.status == FAILED and row.mask is not None)
        return there and backend.wants(row)

    return Stage(
        _OpenSecond(backend),
        backend.threads,
        backend.depth,
        _pixels,
        backend.pixels_in_flight,
        concerns=concerns,
        waits=True,
    )


@dataclass(frozen=True)
class _OpenSecond:
    """Opens a second backend on the worker."""

    backend: SecondBackend

    def __call__(self) -> Callable[[Picture], Picture]:
        replace = self.backend.open()
        throttled = _Throttled(self.backend)

        def work(picture: Picture) -> Picture:
            picture = replace(picture)
            throttled.report()
            return picture

        return work


class _SameWork:
    """Does the work of rows with one fingerprint once, while the first one's result is there.

    The result is held by whoever writes it, not here: once it is written, `SkipSameContent` finds
    it in the ledger.
    """

    def __init__(self) -> None:
        self._locks = KeyedLocks()
        self._results: weakref.WeakValueDictionary[str, Picture] = weakref.WeakValueDictionary()

    def once(self, row: Row, picture: Picture, remove: Callable[[Picture], Picture]) -> Picture:
        if not row.fingerprint:
            return remove(picture)
        with self._locks.of(row.fingerprint):
            result = self._results.get(row.fingerprint)
            if result is not None and result.alpha is not None:
                return _share(result, picture, row)
            picture = remove(picture)
            if picture.alpha is not None:
                self._results[row.fingerprint] = picture
            return picture


def _share(result: Picture, picture: Picture, row: Row) -> Picture:
    """Another row's result for a row with the same work; it cost nothing."""
    same = result.row
    row = row._replace(
        task_uid=same.task_uid,
        subject_box=same.subject_box,
        coverage=same.coverage,
        confidence=same.confidence,
        flags=same.flags,
        credits=None if same.credits is None else 0,
        attempts=same.attempts,
    )
    return Picture(
        row,
        data=result.data,  # empty, unless a second backend may need it
        limits=picture.limits,
        tags=picture.tags,
        alpha=result.alpha,
        rgba=result.rgba,
        preview=result.preview,
    )


class _Throttled:
    """Counts the seconds for which the backend was held back."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._reported = backend.throttled_seconds

    def report(self) -> None:
        seconds = self._backend.throttled_seconds
        before, self._reported = self._reported, seconds
        if seconds > before:
            # The name by which Dataflow knows that more workers would not help.
            counts.add("cumulativeThrottlingSeconds", seconds - before)


def _has_no_result(picture: Picture) -> bool:
    """False for a finished row, and for one whose finished result a second backend may replace."""
    return picture.row.mask is None


def _pixels(picture: Picture) -> int:
    if picture.row.status != PENDING:
        return 0
    return (picture.row.width or 0) * (picture.row.height or 0)
