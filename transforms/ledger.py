"""The ledger: what is finished, so that nothing is done twice.

A finished row stands in a small Parquet group under ``ledger/rows/`` while its run is under way,
and in ``metadata/`` once the run is whole (`transforms.metadata`). ``SkipFinished`` looks rows up
in both by fingerprint, and hands on those it finds as they were finished; everything else stays
pending. A row that failed is not finished.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.utils.shared import Shared

from transforms import storage
from transforms.metadata import rows_from_table
from transforms.overlap import OverlappedDoFn
from transforms.records import DONE, PENDING, Row

__all__ = ["FinishedRows", "SkipFinished"]

_CACHED_TABLES = 8


class Backend(Protocol):
    """What the ledger needs to know of a backend."""

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its result would have."""


class FinishedRows:
    """An index of the rows that a job's earlier runs finished.

    Holds 16 bytes a row; the rows themselves are read back when asked for, a file at a time,
    which is quick because they stand in the order of the manifest.

    Args:
        directory: The job's output.
        storage_options: Options for fsspec, by protocol.
    """

    def __init__(
        self, directory: str, storage_options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._options = storage_options
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()
        self._files = [
            uri
            for folder in ("metadata", "ledger/rows")
            for uri in storage.list(
                storage.join(directory, *folder.split("/")), options=storage_options
            )
            if uri.endswith(".parquet")
        ]
        keys, places = [], []
        for number, (_uri, data) in enumerate(
            storage.read_many(self._files, options=storage_options)
        ):
            if isinstance(data, Exception):
                raise data
            table = pq.read_table(io.BytesIO(data), columns=["status", "fingerprint"])
            done = np.flatnonzero(
                pc.equal(table["status"], DONE).to_numpy(zero_copy_only=False)
            ).astype(np.uint64)
            prints = table["fingerprint"].take(pa.array(done)).to_pylist()
            keys.append(np.array([_key(p) for p in prints], np.uint64))
            places.append(done + np.uint64(number << 32))
        self._keys = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        self._places = np.concatenate(places) if places else np.empty(0, np.uint64)
        order = np.argsort(self._keys, kind="stable")
        self._keys, self._places = self._keys[order], self._places[order]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, fingerprint: str) -> Row | None:
        """The row that was finished under a fingerprint, the latest if there are several."""
        key = np.uint64(_key(fingerprint))
        stop = int(np.searchsorted(self._keys, key, side="right"))
        start = int(np.searchsorted(self._keys, key, side="left"))
        for index in range(stop - 1, start - 1, -1):
            number, position = divmod(int(self._places[index]), 1 << 32)
            table = self._table(number).slice(position, 1)
            row = next(rows_from_table(table))
            if row.fingerprint == fingerprint:
                return row
        return None

    def _table(self, number: int) -> pa.Table:
        with self._lock:  # neighbours ask for the same file: one of them reads it
            table = self._tables.get(number)
            if table is None:
                data = storage.read(self._files[number], options=self._options)
                table = self._tables[number] = pq.read_table(io.BytesIO(data))
                if len(self._tables) > _CACHED_TABLES:
                    self._tables.popitem(last=False)
            return table


def _key(fingerprint: str) -> int:
    return int(fingerprint[:16], 16)


class SkipFinished(beam.PTransform):
    """Marks as done the rows that an earlier run finished: `Row` in, `Row` out, in order.

    A row counts as finished if the same source version was worked on with the same parameters
    by the same model, under the same id, and its outputs are still there. That asks the store
    for the source's version, and for the outputs of those found.

    Args:
        directory: The job's output.
        backend: The backend that would do the work.
        threads: Rows looked up at once, per process.
        storage_options: Options for fsspec, by protocol.
    """

    def __init__(
        self,
        directory: str,
        backend: Backend,
        *,
        threads: int = 16,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self._fn = _SkipFinishedFn(directory, backend, threads, storage_options)

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Builds the step."""
        return rows | "LookUp" >> beam.ParDo(self._fn)


class _SkipFinishedFn(OverlappedDoFn):
    def __init__(
        self,
        directory: str,
        backend: Backend,
        threads: int,
        storage_options: Mapping[str, Mapping[str, Any]] | None,
    ) -> None:
        super().__init__(threads=threads)
        self._directory = directory
        self._backend = backend
        self._storage_options = storage_options
        self._shared = Shared()
        self._finished: FinishedRows | None = None

    def setup(self) -> None:
        self._finished = self._shared.acquire(
            lambda: FinishedRows(self._directory, self._storage_options)
        )
        super().setup()

    def work(self, row: Row) -> Row:
        if row.status != PENDING or not self._finished:
            return row
        try:
            return self._look_up(row, self._finished)
        except Exception as error:
            return row.failed("read", error)

    def _look_up(self, row: Row, finished: FinishedRows) -> Row:
        version = storage.stat(row.image, options=self._storage_options).version
        row = row._replace(source_version=version)
        found = finished.find(self._backend.fingerprinted(row).fingerprint or "")
        if found is None or found.id != row.id:
            return row
        for name in (found.cutout, found.mask):
            uri = storage.join(self._directory, name) if name else None
            if uri and not storage.exists(uri, options=self._storage_options):
                return row
        return found._replace(line=row.line, extra=row.extra)

    def infer_output_type(self, input_type: Any) -> Any:
        return Row
