"""Groups: finished rows on their way to the metadata, kept in the ledger meanwhile."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from alphabeam.transforms.metadata.schema import encode_table, table_from_rows
from alphabeam.transforms.metrics import RowMetrics, report_counts
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Row

__all__ = ["WriteGroupsFn"]

_GROUP_ROWS = 256
_GROUP_SECONDS = 10.0


class WriteGroupsFn(beam.DoFn):
    """Puts groups of rows to the ledger; gives their URIs.

    Only the groups that a committed bundle gives are compacted, so that a bundle that is run
    again, with its groups cut otherwise, adds no row twice.

    Args:
        output: The job's output.
        run_id: This run's name.
        on_row: Called with every row, for progress.
    """

    def __init__(
        self, output: Output, run_id: str, on_row: Callable[[Row], None] | None = None
    ) -> None:
        super().__init__()
        self._output = output
        self._run_id = run_id
        self._on_row = on_row
        self._rows: list[Row] = []
        self._since = 0.0
        self._metrics = RowMetrics(run_id)

    def start_bundle(self) -> None:
        """Begins without rows, also after a bundle that failed."""
        self._rows = []

    def process(self, row: Row) -> Iterator[str]:
        """Takes a row in; puts the group once it is large or old enough."""
        self._metrics.add(row)
        if self._on_row is not None:
            self._on_row(row)
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append(row._replace(run_id=row.run_id or self._run_id))
        if len(self._rows) >= _GROUP_ROWS or time.monotonic() - self._since > _GROUP_SECONDS:
            yield self._put()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Puts what is left."""
        report_counts()
        if self._rows:
            window = GlobalWindow()
            yield WindowedValue(self._put(), window.max_timestamp(), (window,))

    def _put(self) -> str:
        names = "\n".join(f"{row.id}\t{row.line}" for row in self._rows)
        name = hashlib.blake2b(names.encode(), digest_size=12).hexdigest()
        uri = self._output.group(self._run_id, name)
        self._output.put(uri, encode_table(table_from_rows(self._rows)))
        self._rows = []
        return uri
