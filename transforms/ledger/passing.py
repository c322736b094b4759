"""``PassFinished``: in a job that is run every night, finished rows leave the stream at once.

`SkipFinished` gives each finished row as a `Row`, which a later step writes as a row. Here, what is
as an earlier run finished it goes from the ledger's columns to the new metadata's columns, many
rows at a time, and only what is left to do becomes an element for the steps behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.ledger.finished import Finished, FinishedRows, Found
from alphabeam.transforms.ledger.skip import LookUp, finished_of
from alphabeam.transforms.metadata.parts import group_name
from alphabeam.transforms.metadata.schema import encode_table, under_other_rows
from alphabeam.transforms.metrics import count_finished_before, report_counts
from alphabeam.transforms.output import Output
from alphabeam.transforms.pool import BoundedPool, InFlight
from alphabeam.transforms.renditions.plan import Renditions
from alphabeam.transforms.renditions.writing import OpenRenditions
from alphabeam.transforms.rows import DONE, PENDING, Row
from alphabeam.transforms.storage.deadlines import TOTAL_S

if TYPE_CHECKING:
    from alphabeam.transforms.backends import Backend

__all__ = ["PassFinished"]

_GROUP_ROWS = 2048
_BATCH_ROWS = 64
_QUICK_S = 0.001  # a row; a disk that takes longer is asked for one row at a time
_TELL_S = 0.2


class _Known(NamedTuple):
    """A row as the manifest has it, and as it was finished."""

    row: Row
    found: Found


@beam.typehints.with_input_types(Row)
class PassFinished(beam.PTransform):
    """Puts aside the rows that an earlier run finished: `Row` in; ``rows`` and ``groups`` out.

    What counts as finished is as for `SkipFinished`. ``rows`` are all that are not written yet:
    pending ones, failed ones, and finished ones of which something has changed, such as the name of
    an output. ``groups`` are URIs, for ``WriteMetadata``. Elements are taken as they come, whatever
    their windows are.

    Args:
        finished: The output's finished rows; or the output, or its folder.
        backend: The backend that would do the work.
        run_id: This run's name.
        threads: Rows looked up at once, per process.
        allow: Where rows may read from, as for ``ReadImages``.
        read_timeout: Seconds in which the store must give a source's version.
        renditions: What else each row is to have; one that lacks some is among ``rows``.
        on_passed: Called on the worker with how many more rows were finished, for progress.
    """

    def __init__(
        self,
        finished: Finished | Output | str,
        backend: Backend,
        run_id: str,
        *,
        threads: int = 16,
        allow: storage.AllowList = storage.ANYWHERE,
        read_timeout: float = TOTAL_S,
        renditions: Renditions | None = None,
        on_passed: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        look_up = LookUp(finished_of(finished), backend, allow, read_timeout)
        self._fn = _PassFn(_Sort(look_up, run_id, renditions or None), threads, on_passed)

    def expand(self, rows: beam.PCollection[Row]) -> Any:
        """Builds the step."""
        step = beam.ParDo(self._fn).with_output_types(Row)
        return rows | "LookUp" >> step.with_outputs("groups", main="rows")


@dataclass(frozen=True)
class _Sort:
    """Tells finished rows that are as they were from all others."""

    look_up: LookUp
    run_id: str
    renditions: Renditions | None

    def __call__(self) -> Callable[[Row], Row | _Known]:
        rows, look_up = self.look_up.finished.open(), self.look_up
        making = None
        if self.renditions is not None:
            making = OpenRenditions(self.renditions, look_up.finished.output, self.run_id)

        def work(row: Row) -> Row | _Known:
            row, found = look_up.find(row, rows)
            if found is None:
                return row
            # What this run finished, before a bundle failed and came again, belongs to the ledger.
            plain = found.run_id != self.run_id and look_up.is_as_it_was(row, found)
            if plain and making is None:
                return _Known(row, found)
            adopted = look_up.adopt(row, found, rows)
            if not plain or making is None or adopted.status != DONE:
                return adopted
            ours = any(made.run_id == self.run_id for made in adopted.renditions)
            return _Known(row, found) if making.has_all(adopted) and not ours else adopted

        return work


class _PassFn(beam.DoFn):
    def __init__(self, sort: _Sort, threads: int, on_passed: Callable[[int], None] | None) -> None:
        super().__init__()
        self._sort = sort
        self._threads = threads
        self._on_passed = on_passed
        self._shared = Shared()
        self._in_flight: InFlight[list[Row], list[Row | _Known]] | None = None
        self._rows: FinishedRows | None = None
        self._local = False
        self._start()

    def _start(self) -> None:
        self._batch: list[Row] = []
        self._known: list[_Known] = []
        self._told, self._told_at = 0, 0.0
        self._size = 1

    def setup(self) -> None:
        work = self._sort()
        finished = self._sort.look_up.finished
        self._rows = finished.open()
        self._local = storage.is_local(finished.output.directory)
        pool: BoundedPool = self._shared.acquire(lambda: BoundedPool(self._threads))
        self._in_flight = InFlight(pool, lambda batch: self._looked_up(batch, work))

    def _looked_up(
        self, batch: list[Row], work: Callable[[Row], Row | _Known]
    ) -> list[Row | _Known]:
        """On a thread of the pool."""
        began = time.monotonic()
        found = [work(row) for row in batch]
        # A disk answers at once, and handing rows over one by one would take longer than the
        # answer. Where it does not, as over a network, no row is to wait for another.
        quick = time.monotonic() - began < _QUICK_S * len(batch)
        self._size = min(2 * len(batch), _BATCH_ROWS) if quick else 1
        return found

    def start_bundle(self) -> None:
        assert self._in_flight is not None
        self._in_flight.abandon()  # what a bundle that failed has left
        self._start()

    def process(self, row: Row) -> Iterator[Any]:
        assert self._in_flight is not None
        row = Row.of(row)
        if row.status != PENDING:
            yield row
            return
        if self._on_disks(row):
            self._batch.append(row)
            if len(self._batch) < self._size:
                return
            batch, self._batch = self._batch, []
        else:
            batch = [row]
        for found in self._in_flight.push(batch):
            yield from self._taken(found)

    def _on_disks(self, row: Row) -> bool:
        """Whether all that a row is looked up by is on this machine's own disks."""
        try:
            return self._local and storage.is_local(row.image)
        except RowError:  # the look-up says what is wrong
            return False

    def finish_bundle(self) -> Iterator[WindowedValue | beam.pvalue.TaggedOutput]:
        assert self._in_flight is not None
        pushed = self._in_flight.push(self._batch) if self._batch else ()
        for found in chain(pushed, self._in_flight.drain()):
            yield from map(_windowed, self._taken(found))
        yield from map(_windowed, self._put())
        report_counts()

    def teardown(self) -> None:
        if self._in_flight is not None:
            self._in_flight.abandon()

    def _taken(self, found: list[Row | _Known]) -> Iterator[Any]:
        for one in found:
            if isinstance(one, _Known):
                self._known.append(one)
            else:
                yield one
        if len(self._known) >= _GROUP_ROWS:
            yield from self._put()
        elif time.monotonic() - self._told_at > _TELL_S:
            self._tell()

    def _tell(self) -> None:
        if self._on_passed is not None and len(self._known) > self._told:
            self._on_passed(len(self._known) - self._told)
        self._told, self._told_at = len(self._known), time.monotonic()

    def _put(self) -> Iterator[Row | beam.pvalue.TaggedOutput]:
        """Puts the finished rows as one group; gives its URI, or the rows if that cannot be."""
        if not self._known:
            return
        assert self._rows is not None
        self._tell()
        rows = [one.row for one in self._known]
        try:
            there = self._rows.table([one.found.place for one in self._known])
            data = encode_table(under_other_rows(there, rows))
        except Exception:  # what fits no column costs a row where rows are written one by one
            look_up = self._sort.look_up
            yield from (look_up.adopt(one.row, one.found, self._rows) for one in self._known)
            self._known, self._told = [], 0
            return
        output, run_id = self._sort.look_up.finished.output, self._sort.run_id
        uri = output.passing(run_id, group_name(rows))
        output.put(uri, data)
        count_finished_before(len(rows))
        self._known, self._told = [], 0
        yield beam.pvalue.TaggedOutput("groups", uri)


def _windowed(one: Any) -> Any:
    window = GlobalWindow()
    if isinstance(one, beam.pvalue.TaggedOutput):
        value = WindowedValue(one.value, window.max_timestamp(), (window,))
        return beam.pvalue.TaggedOutput(one.tag, value)
    return WindowedValue(one, window.max_timestamp(), (window,))
