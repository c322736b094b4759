"""``RemoveBackground``: hands each picture to a backend.

The work itself is elsewhere: `alphabeam.transforms.backends.local` runs the matting core on the
worker, and `alphabeam.transforms.backends.picpik` calls the API.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apache_beam as beam

from alphabeam.transforms import counts
from alphabeam.transforms.backends import Backend
from alphabeam.transforms.backends.local import LocalBackend
from alphabeam.transforms.pool import Overlap
from alphabeam.transforms.rows import PENDING, Picture

__all__ = ["RemoveBackground"]


@beam.typehints.with_input_types(Picture)
@beam.typehints.with_output_types(Picture)
class RemoveBackground(beam.PTransform):
    """Removes backgrounds: `Picture` in, `Picture` with its alpha and cutout out.

    Pictures whose row has failed or is done pass through. Order is not kept: one slow picture
    holds up no other.

    Args:
        backend: Who does the work; by default the embedded model on this machine.
    """

    def __init__(self, backend: Backend | None = None) -> None:
        super().__init__()
        self._backend: Backend = backend or LocalBackend()

    def expand(self, pictures: beam.PCollection[Picture]) -> beam.PCollection[Picture]:
        """Builds the step."""
        return pictures | "Matting" >> Overlap(
            _Open(self._backend),
            Picture,
            threads=self._backend.threads,
            depth=self._backend.depth,
            weigh=_pixels,
            capacity=self._backend.pixels_in_flight,
        )


@dataclass(frozen=True)
class _Open:
    """Opens the backend on the worker."""

    backend: Backend

    def __call__(self) -> Callable[[Picture], Picture]:
        remove = self.backend.open()
        throttled = _Throttled(self.backend)

        def work(picture: Picture) -> Picture:
            if picture.row.status != PENDING:
                return picture
            picture = remove(picture)
            throttled.report()
            return picture

        return work


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


def _pixels(picture: Picture) -> int:
    if picture.row.status != PENDING:
        return 0
    return (picture.row.width or 0) * (picture.row.height or 0)
