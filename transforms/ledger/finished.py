"""Which rows earlier runs finished, and how they are found again."""

from __future__ import annotations

import bisect
import io
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.utils.shared import Shared

from alphabeam.transforms import storage
from alphabeam.transforms.ledger.journal import Journal, OpenJournal
from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.metadata.schema import rows_from_table, with_all_columns
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row

__all__ = ["Finished", "FinishedRows", "Found"]

_logger = logging.getLogger(__name__)
_INDEXED = ["id", "status", "fingerprint", "quick_key"]
_BATCH_ROWS = 8192
_CHUNK_ROWS = 256
_CACHED_FILES, _CACHED_GROUPS, _CACHED_CHUNKS = 4, 4, 16


class Found(NamedTuple):
    """A finished row that was found: where it stands, and what tells whether it is still good.

    Attributes:
        place: For `FinishedRows.row` and `FinishedRows.table`.
        key: What it was found by.
        complete: Whether it has a fingerprint and a quick key; version 0.1 wrote one of them.
        run_id: The run that finished it.
        cutout: As in `Row`, like all that follow.
    """

    place: int
    key: str
    complete: bool
    run_id: str | None
    cutout: str | None
    cutout_bytes: int | None
    mask: str | None
    mask_bytes: int | None


@dataclass(frozen=True)
class Finished:
    """The finished rows of an output; each process that asks for them reads the index once.

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

    Holds 48 bytes a row; the rows themselves are read back when asked for, a few hundred at a time,
    which is quick because they stand in the order of the manifest.

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
        self._files = [
            uri
            for found in (output.earlier_files(), _whole(output), output.group_files())
            for uri in found
            if uri.endswith(".parquet")
        ]
        by_print, by_quick_key, by_id = _Keys(), _Keys(), _Keys()
        for number, (uri, data) in enumerate(output.read_many(self._files)):
            start = number << 32
            try:
                for table in _batches(data):
                    status = pc.equal(table["status"], DONE)
                    done = np.flatnonzero(status.to_numpy(zero_copy_only=False))
                    table = table.take(pa.array(done))
                    places = done.astype(np.uint64) + np.uint64(start)
                    start += len(status)
                    prints = table["fingerprint"].to_pylist()
                    # What version 0.1 called the fingerprint is the quick key of today.
                    quick_keys = pc.coalesce(table["quick_key"], table["fingerprint"])
                    by_print.add([_key(text) for text in prints], places)
                    by_quick_key.add([_key(text) for text in quick_keys.to_pylist()], places)
                    by_id.add([digest(text) for text in table["id"].to_pylist()], places)
            except pa.ArrowException:
                raise ValueError(
                    f"{storage.redact(uri)}: this file of the ledger is broken; delete it, and "
                    "the images in it are done again"
                ) from None
        self._by_print, self._by_quick_key, self._by_id = (
            keys.sort() for keys in (by_print, by_quick_key, by_id)
        )
        if len(self):
            _logger.info("%d rows were finished by earlier runs", len(self))

    def __len__(self) -> int:
        return len(self._by_id)

    def with_fingerprint(self, fingerprint: str) -> Row | None:
        """The row that was finished under a fingerprint, the latest if there are several."""
        if self._journal is not None and (row := self._journal.find(fingerprint)) is not None:
            return row
        for place in self._by_print.find(_key(fingerprint)):
            if (row := self.row(place)).fingerprint == fingerprint:
                return row
        return None

    def with_quick_key(self, quick_key: str, id: str) -> Found | None:
        """The row that was finished under a quick key.

        Of several it is the one with that id, so that its outputs need not be copied; or else the
        latest.
        """
        own = self._by_id.find(digest(id))
        for place in chain(own, self._by_quick_key.find(_key(quick_key))):
            found = self._at(place)
            if found.key == quick_key:
                return found
        return None

    def with_id(self, id: str) -> Row | None:
        """The row that was finished last under an id."""
        for place in self._by_id.find(digest(id)):
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
            file = pq.ParquetFile(io.BytesIO(data))
            _keep(self._opened, number, file, _CACHED_FILES)
        return file

    def _group(self, number: int, group: int) -> pa.Table:
        table = self._groups.get((number, group))
        if table is None:
            table = with_all_columns(self._file(number).read_row_group(group))
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


class _Keys:
    """Sorted 64-bit keys and where the row of each stands."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []
        self._keys = np.empty(0, np.uint64)
        self._places = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: list[int], places: np.ndarray) -> None:
        """Adds keys; those that are 0 have no row."""
        array = np.array(keys, np.uint64)
        some = array != 0
        self._parts.append((array[some], places[some]))

    def sort(self) -> _Keys:
        if self._parts:
            keys = np.concatenate([keys for keys, _ in self._parts])
            places = np.concatenate([places for _, places in self._parts])
            order = np.argsort(keys, kind="stable")
            self._keys, self._places = keys[order], places[order]
            self._parts.clear()
        return self

    def find(self, key: int) -> Iterator[int]:
        """The places of a key, the latest first; thousands of rows may have one picture."""
        # NumPy's own search lets another thread in each time, and then waits for its turn.
        at = bisect.bisect_right(self._keys, key) - 1
        while at >= 0 and self._keys[at] == key:
            yield int(self._places[at])
            at -= 1


def _batches(data: bytes) -> Iterator[pa.Table]:
    """What the index is made of, in parts of one of the ledger's files."""
    file = pq.ParquetFile(io.BytesIO(data))
    there = [name for name in _INDEXED if name in file.schema_arrow.names]
    for batch in file.iter_batches(_BATCH_ROWS, columns=there, use_threads=False):
        yield with_all_columns(pa.Table.from_batches([batch])).select(_INDEXED)


def _whole(output: Output) -> list[str]:
    """The metadata of runs that have their marker."""
    files = output.committed_files()
    whole = {uri.rpartition("/")[0] for uri in files if uri.endswith("/_SUCCESS")}
    return [uri for uri in files if uri.rpartition("/")[0] in whole]


def _key(text: str | None) -> int:
    return int(text[:16], 16) if text else 0
