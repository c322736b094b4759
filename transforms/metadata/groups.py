"""Groups: rows on their way to the metadata, put to the output as they come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.metadata.parts import group_name
from alphabeam.transforms.metadata.schema import encode_table, metadata_row, table_from_rows
from alphabeam.transforms.metrics import RowMetrics, report_counts
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, FAILED, Row

if TYPE_CHECKING:
    from alphabeam.transforms.ledger.finished import Finished, FinishedRows
    from alphabeam.transforms.ledger.journal import Journal, OpenJournal
    from alphabeam.transforms.thumbnails import OpenThumbnails, Thumbnails

__all__ = ["WriteGroupsFn"]

_logger = logging.getLogger(__name__)

_GROUP_ROWS = 256
_GROUP_CHARACTERS = 1 << 26  # of the manifest's own columns; Arrow holds under 2 GiB of texts
_GROUP_SECONDS = 10.0


class WriteGroupsFn(beam.DoFn):
    """Puts groups of rows to the output; gives their URIs.

    Rows that this run finished go to the ledger, where a later run finds them if this one is
    killed. Failed rows, and those that an earlier run finished, go to the run's own folder, so
    that the ledger does not grow with every restart. Only the groups that a committed bundle gives
    are compacted, so that a bundle that is run again, with its groups cut otherwise, adds no row
    twice.

    Args:
        output: The job's output.
        run_id: This run's name.
        on_row: Called with every row, for progress.
        journal: Learns which rows the groups hold, and drops them.
        finished: Where the last good outputs of a failed row are looked for.
        thumbnails: Those of the rows; they are put before the rows are.
    """

    def __init__(
        self,
        output: Output,
        run_id: str,
        on_row: Callable[[Row], None] | None = None,
        journal: Journal | None = None,
        finished: Finished | None = None,
        thumbnails: Thumbnails | None = None,
    ) -> None:
        super().__init__()
        self._output = output
        self._run_id = run_id
        self._on_row = on_row
        self._journal = journal
        self._finished = finished
        self._thumbnails = thumbnails
        self._open_journal: OpenJournal | None = None
        self._finished_rows: FinishedRows | None = None
        self._open_thumbnails: OpenThumbnails | None = None
        self._groups: dict[bool, list[Row]] = {True: [], False: []}
        self._characters = 0
        self._since = 0.0
        self._metrics = RowMetrics(run_id)

    def setup(self) -> None:
        """Opens what the process shares."""
        self._open_journal = self._journal.open() if self._journal else None
        self._finished_rows = self._finished.open() if self._finished else None
        self._open_thumbnails = self._thumbnails.open() if self._thumbnails else None

    def start_bundle(self) -> None:
        """Begins without rows, also after a bundle that failed."""
        self._groups = {True: [], False: []}
        self._characters = 0

    def process(self, row: Row) -> Iterator[str]:
        """Takes a row in; puts the groups once one is large or old enough."""
        row = Row.of(row)
        self._metrics.add(row)
        if self._on_row is not None:
            self._on_row(row)
        if not any(self._groups.values()):
            self._since = time.monotonic()
        row = metadata_row(row, self._run_id)
        if row.status == FAILED:
            row = self._with_last_good(row)
        own = row.status == DONE and (
            row.run_id == self._run_id
            or any(made.run_id == self._run_id for made in row.renditions)
        )
        self._groups[own].append(row)
        self._characters += sum(map(len, row.extra.values()))
        large = len(self._groups[own]) >= _GROUP_ROWS or self._characters >= _GROUP_CHARACTERS
        old = time.monotonic() - self._since > _GROUP_SECONDS
        if large or old:
            yield from self._put()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Puts what is left."""
        window = GlobalWindow()
        for uri in self._put(last=True):
            yield WindowedValue(uri, window.max_timestamp(), (window,))

    def _with_last_good(self, row: Row) -> Row:
        """A failed row with the outputs that an earlier run made, if they are known."""
        if self._finished_rows is None:
            return row
        good = self._finished_rows.with_id(row.id)
        if good is None:
            return row
        return row._replace(
            cutout=good.cutout,
            mask=good.mask,
            cutout_bytes=good.cutout_bytes,
            cutout_sha256=good.cutout_sha256,
            mask_bytes=good.mask_bytes,
            mask_sha256=good.mask_sha256,
            renditions=good.renditions,
        )

    def _put(self, last: bool = False) -> Iterator[str]:
        report_counts()
        self._characters = 0
        if self._open_thumbnails is not None:
            self._open_thumbnails.flush(everything=last)
        for own, rows in self._groups.items():
            if not rows:
                continue
            place = self._output.group if own else self._output.passing
            uri = place(self._run_id, group_name(rows))
            self._output.put(uri, encode_table(_table(rows)))
            if own and self._open_journal is not None:
                self._open_journal.settle(rows)
            self._groups[own] = []
            yield uri


def _table(rows: list[Row]) -> pa.Table:
    """The rows as a table; a row of which a value fits no column is given up, not the group."""
    try:
        return table_from_rows(rows)
    except Exception:
        return pa.concat_tables([_row_table(row) for row in rows])


def _row_table(row: Row) -> pa.Table:
    try:
        return table_from_rows([row])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        _logger.error("line %d: the row cannot be written: %s", row.line, reason)
        clean = Row(
            id=row.id.encode("utf-8", "backslashreplace").decode(),
            image=row.image.encode("utf-8", "backslashreplace").decode(),
            line=min(row.line, 2**63 - 1),
            run_id=row.run_id,
        )
        failure = RowError(
            ErrorCode.UNWRITABLE_ROW,
            f"line {row.line}: a value of the row fits no column of the metadata: {reason}",
        )
        return table_from_rows([clean.failed("write", failure)])
