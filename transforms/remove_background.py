"""``RemoveBackground``: hands each picture to a backend.

The work itself is elsewhere: `alphabeam.transforms.backends.local` runs the matting core on the
worker, and `alphabeam.transforms.backends.picpik` calls the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from alphabeam.transforms.backends import Backend
from alphabeam.transforms.backends.local import LocalBackend
from alphabeam.transforms.images import Limits
from alphabeam.transforms.overlap import OverlappedDoFn
from alphabeam.transforms.rows import PENDING, Picture

__all__ = ["RemoveBackground"]


class RemoveBackground(beam.PTransform):
    """Removes backgrounds: `Picture` in, `Picture` with its alpha and cutout out.

    Pictures whose row has failed or is done pass through. Order is not kept: one slow picture
    holds up no other.

    Args:
        backend: Who does the work; by default the embedded model on this machine.
        limits: What not to decode; the same as given to ``ReadImages``.
    """

    def __init__(self, backend: Backend | None = None, *, limits: Limits | None = None) -> None:
        super().__init__()
        self._backend = backend or LocalBackend()
        self._limits = limits or Limits()

    def expand(self, pictures: beam.PCollection) -> beam.PCollection:
        """Builds the step."""
        return pictures | "Matting" >> beam.ParDo(_RemoveFn(self._backend, self._limits))


class _RemoveFn(OverlappedDoFn):
    def __init__(self, backend: Backend, limits: Limits) -> None:
        super().__init__(
            threads=backend.threads,
            depth=backend.depth,
            capacity=backend.pixels_in_flight,
            ordered=False,
        )
        self._backend = backend
        self._limits = limits
        self._remove: Callable[[Picture], Picture] | None = None
        # The name by which Dataflow knows that a stage is held back and more workers do not help.
        self._throttling = Metrics.counter("alphabeam", "cumulativeThrottlingSeconds")
        self._reported = 0

    def setup(self) -> None:
        self._remove = self._backend.open(self._limits)
        super().setup()

    def weigh(self, picture: Picture) -> int:
        if picture.row.status != PENDING:
            return 0
        return (picture.row.width or 0) * (picture.row.height or 0)

    def work(self, picture: Picture) -> Picture:
        if picture.row.status != PENDING:
            return picture
        assert self._remove is not None
        return self._remove(picture)

    def finish_bundle(self) -> Iterator[Any]:
        yield from super().finish_bundle()
        # Counters count on Beam's own thread only, so the pool's waiting is told here.
        throttled = int(self._backend.throttled_seconds)
        if throttled > self._reported:
            self._throttling.inc(throttled - self._reported)
            self._reported = throttled
