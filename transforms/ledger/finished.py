"""Which rows earlier runs finished, and how they are found again."""

from __future__ import annotations

import io
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.utils.shared import Shared

from alphabeam.transforms.ledger.journal import Journal, OpenJournal
from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.metadata.keys import (
    BY_FINGERPRINT,
    BY_ID,
    BY_QUICK_KEY,
    BrokenFileError,
    open_keys,
    short_key,
)
from alphabeam.transforms.metadata.schema import rows_from_table, with_all_columns
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Row

__all__ = ["Finished", "FinishedRows", "Found"]

_logger = logging.getLogger(__name__)
_CHUNK_ROWS = 256
_CACHED_FILES, _CACHED_GROUPS, _CACHED_CHUNKS = 4, 4, 16


class Found(NamedTuple):
    """A finished row that was found: where it stands, and what tells whether it is still good.

    Attributes:
        place: For `FinishedRows.row` and `FinishedRows.table`.
        key: What it was found by.
        complete: Whether it has a fingerprint and a quick key; version 0.1 wrote one of them.
        run_id: The run that finished it.
        cutout: As in `Row`, like the three that follow.
        doubtful: A run that was cut off may have written over its outputs; see `kept`.
    """

    place: int
    key: str
    complete: bool
    run_id: str | None
    cutout: str | None
    cutout_bytes: int | None
    mask: str | None
    mask_bytes: int | None
    doubtful: bool = False


@dataclass(frozen=True)
class Finished:
    """The finished rows of an output; each process that asks for them opens the index once.

    Attributes:
        output: The job's output.
        journal: Of this run: rows that it has finished itself are found too.
    """

    output: Output
    journal: Journal | None = None
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def open(self) -> FinishedRows:
        """This process's index."""
        rows: FinishedRows = self._shared.acquire(
            lambda: FinishedRows(self.output, self.journal.open() if self.journal else None)
        )
        return rows


class FinishedRows:
    """An index of the rows that a job's earlier runs finished.

    Maps the index that the commit wrote, see `alphabeam.transforms.metadata.keys`. The rows
    themselves are read back when asked for, a few hundred at a time, which is quick because they
    stand in the order of the manifest.

    Args:
        output: The job's output.
        journal: Of this run, in this process.
    """

    def __init__(self, output: Output, journal: OpenJournal | None = None) -> None:
        self._output = output
        self._journal = journal
        # A file's bytes, one of its row groups as a table, and a part of that as rows.
        self._opened: OrderedDict[int, pq.ParquetFile] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._chunks: OrderedDict[tuple[int, int], list[Row]] = OrderedDict()
        self._found: OrderedDict[tuple[int, int], list[Found]] = OrderedDict()
        self._lock = threading.Lock()
        self._keys = open_keys(output)
        # What a run that was cut off has written over, by its SHA-256.
        self._kept = frozenset(uri.rsplit("/", 1)[-1] for uri in output.kept_files())
        self._files = self._keys.files
        if len(self):
            _logger.info("%d rows were finished by earlier runs", len(self))

    def __len__(self) -> int:
        return len(self._keys)

    def with_fingerprint(self, fingerprint: str) -> Row | None:
        """The row that was finished under a fingerprint, the latest if there are several."""
        if self._journal is not None and (row := self._journal.find(fingerprint)) is not None:
            return row
        for place in self._keys.find(BY_FINGERPRINT, short_key(fingerprint)):
            if (row := self.row(place)).fingerprint == fingerprint:
                return row
        return None

    def with_quick_key(self, quick_key: str, id: str) -> Found | None:
        """The row that was finished under a quick key.

        Of several it is the one with that id, so that its outputs need not be copied; or else the
        latest.
        """
        again = False  # whether a later run has finished the id once more
        for place in self._keys.find(BY_ID, digest(id)):
            found = self._at(place)
            if found.key == quick_key:
                return found._replace(doubtful=again or self._was_kept(place))
            again = True
        for place in self._keys.find(BY_QUICK_KEY, short_key(quick_key)):
            found = self._at(place)
            if found.key == quick_key:
                return found._replace(doubtful=self._was_kept(place))
        return None

    def is_doubtful(self, row: Row) -> bool:
        """Whether a run that was cut off may have written over a finished row's outputs."""
        latest = self.with_id(row.id)
        again = latest is not None and latest.fingerprint != row.fingerprint
        return again or not self._kept.isdisjoint((row.cutout_sha256, row.mask_sha256))

    def _was_kept(self, place: int) -> bool:
        if not self._kept:  # nearly always, and the row need not be read
            return False
        row = self.row(place)
        return not self._kept.isdisjoint((row.cutout_sha256, row.mask_sha256))

    def with_id(self, id: str) -> Row | None:
        """The row that was finished last under an id."""
        for place in self._keys.find(BY_ID, digest(id)):
            if (row := self.row(place)).id == id:
                return row
        return None

    def row(self, place: int) -> Row:
        """The row at a place."""
        number, position = divmod(place, 1 << 32)
        chunk, within = divmod(position, _CHUNK_ROWS)
        with self._lock:  # neighbours ask for the same rows: one of them decodes these
            rows = self._chunks.get((number, chunk))
            if rows is None:
                rows = [*rows_from_table(self._slice(number, chunk * _CHUNK_ROWS))]
                _keep(self._chunks, (number, chunk), rows, _CACHED_CHUNKS)
        return rows[within]

    def table(self, places: Sequence[int]) -> pa.Table:
        """The rows at some places, in their order, as a table of the metadata's schema."""
        wanted = np.array(places, np.uint64)
        order = np.argsort(wanted, kind="stable")
        tables = []
        with self._lock:
            for number in np.unique(wanted >> np.uint64(32)).tolist():
                own = wanted[order][wanted[order] >> np.uint64(32) == number]
                positions = (own & np.uint64(0xFFFF_FFFF)).astype(np.int64)
                for group, begin, end in self._groups_of(number):
                    here = positions[(begin <= positions) & (positions < end)]
                    if len(here):
                        tables.append(self._group(number, group).take(pa.array(here - begin)))
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        table = pa.concat_tables(tables)
        return table if (order[1:] > order[:-1]).all() else table.take(pa.array(back))

    def _at(self, place: int) -> Found:
        number, position = divmod(place, 1 << 32)
        chunk, within = divmod(position, _CHUNK_ROWS)
        some = self._found.get((number, chunk))
        if some is not None:
            return some[within]
        with self._lock:
            some = self._found.get((number, chunk))
            if some is None:
                table = self._slice(number, chunk * _CHUNK_ROWS)
                first = (number << 32) + chunk * _CHUNK_ROWS
                columns = [table[name].to_pylist() for name in ("quick_key", *_FOUND)]
                some = [
                    Found(first + at, quick or print or "", bool(quick and print), *rest)
                    for at, (quick, print, *rest) in enumerate(zip(*columns, strict=True))
                ]
                _keep(self._found, (number, chunk), some, _CACHED_CHUNKS)
        return some[within]

    def _slice(self, number: int, start: int) -> pa.Table:
        """A chunk of a file's rows; it may lie in two of the file's row groups."""
        tables = []
        for group, begin, end in self._groups_of(number):
            if begin < start + _CHUNK_ROWS and start < end:
                low = max(start - begin, 0)
                length = min(start + _CHUNK_ROWS, end) - begin - low
                tables.append(self._group(number, group).slice(low, length))
        return pa.concat_tables(tables)

    def _groups_of(self, number: int) -> Iterator[tuple[int, int, int]]:
        """The row groups of a file: number, first row, and the row behind the last."""
        file, begin = self._file(number), 0
        for group in range(file.num_row_groups):
            end = begin + file.metadata.row_group(group).num_rows
            yield group, begin, end
            begin = end

    def _file(self, number: int) -> pq.ParquetFile:
        file = self._opened.get(number)
        if file is None:
            data = self._output.read(self._files[number])
            try:
                file = pq.ParquetFile(io.BytesIO(data))
            except pa.ArrowException:
                raise BrokenFileError(self._files[number]) from None
            _keep(self._opened, number, file, _CACHED_FILES)
        return file

    def _group(self, number: int, group: int) -> pa.Table:
        table = self._groups.get((number, group))
        if table is None:
            try:
                table = with_all_columns(self._file(number).read_row_group(group))
            except (pa.ArrowException, OSError):  # damaged pages are the latter
                raise BrokenFileError(self._files[number]) from None
            _keep(self._groups, (number, group), table, _CACHED_GROUPS)
        return table


_FOUND = ("fingerprint", "run_id", "cutout", "cutout_bytes", "mask", "mask_bytes")
_K = TypeVar("_K")
_V = TypeVar("_V")


def _keep(cache: OrderedDict[_K, _V], key: _K, value: _V, most: int) -> None:
    """Adds to a cache, and drops what was added first."""
    cache[key] = value
    if len(cache) > most:
        cache.popitem(last=False)
