"""The journal: rows that are finished, durable within two seconds.

`WriteMetadata` puts finished rows to the ledger in groups, when Beam hands them over. Beam hands
an element over only when the next one comes or the bundle ends, so a run that waits long for its
last rows, and is killed, would lose what it finished before. `WriteCutouts` therefore notes each
row here as soon as its outputs are written; a timer puts the rows that are in no group yet to one
object per process. It is written anew until the groups have taken its rows over.
"""

from __future__ import annotations

import logging
import secrets
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from apache_beam.utils.shared import Shared

from alphabeam.transforms.errors import RowError
from alphabeam.transforms.metadata.schema import encode_table, metadata_row, table_from_rows
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Row

__all__ = ["Journal", "OpenJournal", "flush_all"]

_logger = logging.getLogger(__name__)

_FLUSH_S = 1.5
_RECENT = 10_000  # rows of this run that a later row with the same content finds in memory


@dataclass(frozen=True)
class Journal:
    """A run's journal; each process that asks for it opens one.

    Attributes:
        output: The job's output.
        run_id: The run.
    """

    output: Output
    run_id: str
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def open(self) -> OpenJournal:
        """This process's journal."""
        journal: OpenJournal = self._shared.acquire(lambda: OpenJournal(self.output, self.run_id))
        return journal


class OpenJournal:
    """The journal of one process.

    Args:
        output: The job's output.
        run_id: The run.
    """

    def __init__(self, output: Output, run_id: str) -> None:
        self._output = output
        self._run_id = run_id
        self._uri = output.group(run_id, f"open-{secrets.token_hex(8)}")
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._open: dict[tuple[str, int], Row] = {}
        self._recent: OrderedDict[str, Row] = OrderedDict()
        self._timer: threading.Timer | None = None
        self._written = False
        _journals.add(self)

    def note(self, row: Row) -> None:
        """Notes a row whose outputs are written."""
        row = metadata_row(row, self._run_id)
        with self._lock:
            self._open[row.id, row.line] = row
            if row.fingerprint:
                self._recent[row.fingerprint] = row
                if len(self._recent) > _RECENT:
                    self._recent.popitem(last=False)
            self._schedule()

    def settle(self, rows: Iterable[Row]) -> None:
        """Forgets rows that stand in a group of the ledger now.

        Waits for a put that is on its way: it would come after the commit, and leave rows of a
        run that is whole in the ledger.
        """
        with self._flushing, self._lock:
            for row in rows:
                self._open.pop((row.id, row.line), None)
            if self._written:  # what was put holds the rows as well
                self._schedule()

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_FLUSH_S, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def find(self, fingerprint: str) -> Row | None:
        """A row that this process finished in this run, if it is among the latest."""
        with self._lock:
            return self._recent.get(fingerprint)

    def flush(self) -> None:
        """Puts the rows that are in no group yet."""
        with self._flushing:
            with self._lock:
                rows = [*self._open.values()]
                self._timer = None
            try:
                if rows:
                    self._output.put(self._uri, encode_table(table_from_rows(rows)))
                elif self._written:
                    self._output.delete([self._uri])
                self._written = bool(rows)
            except RowError as error:  # the groups follow; only a kill in between would lose rows
                _logger.warning("the journal could not be written: %s", error.message)


_journals: weakref.WeakSet[OpenJournal] = weakref.WeakSet()


def flush_all() -> None:
    """Flushes every journal of this process, because it is about to end."""
    for journal in [*_journals]:
        journal.flush()
