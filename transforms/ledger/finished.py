"""Which rows earlier runs finished, and which of them are finished still."""

from __future__ import annotations

import io
import logging
import threading
from collections import OrderedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alphabeam.transforms import storage
from alphabeam.transforms.metadata.schema import decode_table, rows_from_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row

__all__ = ["FinishedRows"]

_logger = logging.getLogger(__name__)
_CACHED_TABLES = 8


class FinishedRows:
    """An index of the rows that a job's earlier runs finished.

    Holds 16 bytes a row; the rows themselves are read back when asked for, a file at a time,
    which is quick because they stand in the order of the manifest.

    Args:
        output: The job's output.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()
        self._files = [
            uri
            for found in (output.earlier_files(), output.committed_files(), output.group_files())
            for uri in found
            if uri.endswith(".parquet")
        ]
        keys, places = [], []
        for number, (uri, data) in enumerate(output.read_many(self._files)):
            try:
                table = pq.read_table(io.BytesIO(data), columns=["status", "fingerprint"])
            except pa.ArrowException:
                raise ValueError(
                    f"{storage.redact(uri)}: this file of the ledger is broken; delete it, and "
                    "the images in it are done again"
                ) from None
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

        if len(self._keys):
            _logger.info("%d rows were finished by earlier runs", len(self._keys))

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
                data = self._output.read(self._files[number])
                table = self._tables[number] = decode_table(data)
                if len(self._tables) > _CACHED_TABLES:
                    self._tables.popitem(last=False)
            return table


def _key(fingerprint: str) -> int:
    return int(fingerprint[:16], 16)
