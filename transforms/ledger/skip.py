"""``SkipFinished``: rows that an earlier run finished go straight through."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import apache_beam as beam
import cv2
import numpy as np
from apache_beam.utils.shared import Shared

from alphabeam.transforms import storage
from alphabeam.transforms.backends import Backend
from alphabeam.transforms.encoding import encode_cutout
from alphabeam.transforms.ledger.finished import FinishedRows
from alphabeam.transforms.output import Output
from alphabeam.transforms.pool import Overlap
from alphabeam.transforms.rows import PENDING, Row

__all__ = ["SkipFinished", "look_up"]


@beam.typehints.with_input_types(Row)
@beam.typehints.with_output_types(Row)
class SkipFinished(beam.PTransform):
    """Marks as done the rows that an earlier run finished: `Row` in, `Row` out.

    A row counts as finished if the same source version was worked on with the same parameters
    by the same model, and its outputs are still there. That asks the store for the source's
    version, and for the outputs of those found. If the id or the cutouts' format has changed
    since, the outputs are copied or encoded anew.

    Args:
        output: The job's output, or its folder.
        backend: The backend that would do the work.
        threads: Rows looked up at once, per process.
    """

    def __init__(self, output: Output | str, backend: Backend, *, threads: int = 16) -> None:
        super().__init__()
        self._look_up = _LookUp(Output.of(output), backend)
        self._threads = threads

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[Row]:
        """Builds the step."""
        return rows | "LookUp" >> Overlap(self._look_up, Row, threads=self._threads)


@dataclass(frozen=True)
class _LookUp:
    """Opens the index of finished rows, once a process."""

    output: Output
    backend: Backend
    shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def __call__(self) -> Callable[[Row], Row]:
        finished = self.shared.acquire(lambda: FinishedRows(self.output))
        return lambda row: self.find(row, finished)

    def find(self, row: Row, finished: FinishedRows) -> Row:
        if row.status != PENDING or not finished:
            return row
        try:
            pending, found = look_up(row, self.backend, finished, self.output)
            return pending if found is None else _adopt(found, row, self.output)
        except Exception as error:
            return row.failed("read", error)


def look_up(
    row: Row,
    backend: Backend,
    finished: FinishedRows,
    output: Output,
) -> tuple[Row, Row | None]:
    """Finds what an earlier run made of a row; see `SkipFinished`.

    Returns:
        The row with its source's version, and the finished one if its outputs are still there.

    Raises:
        RowError: The source cannot be found, or a store refuses an answer.
    """
    version = storage.stat(row.image, options=output.storage).version
    row = row._replace(source_version=version)
    found = finished.find(backend.fingerprinted(row).fingerprint or "")
    if found is not None:
        for name in (found.cutout, found.mask):
            if name and not output.exists(output.uri(name)):
                return row, None
    return row, found


def _adopt(found: Row, row: Row, output: Output) -> Row:
    """The finished row under the manifest's id, line and columns, its outputs named to match."""

    def named(name: str | None, new: str) -> str | None:
        if name is None or name == new:
            return name
        data = output.read(output.uri(name))
        if os.path.splitext(name)[1] != os.path.splitext(new)[1]:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            rgba = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA).astype(np.uint8)
            data = encode_cutout(rgba, output.cutout_format)
        output.put(output.uri(new), data)
        return new

    return found._replace(
        id=row.id,
        line=row.line,
        extra=row.extra,
        cutout=named(found.cutout, output.cutout(row.id)),
        mask=named(found.mask, output.mask(row.id)),
    )
