"""Records by the million in flat memory: kept apart by their keys, in one temporary file."""

from __future__ import annotations

import array
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BUCKETS", "Spill", "bounds", "repeated"]

_BITS = 8
BUCKETS = 1 << _BITS
_CHUNK = 1 << 15  # bytes of a bucket that wait in memory
_AT_ONCE = 8192  # records that `append` collects


def bounds(bucket: int) -> tuple[int, int]:
    """The least key of a bucket, and the one past its greatest."""
    return bucket << (64 - _BITS), (bucket + 1) << (64 - _BITS)


def repeated(records: NDArray[Any]) -> NDArray[Any]:
    """Of records with a field ``key``, those whose key occurs more than once, in their order."""
    order = np.argsort(records["key"], kind="stable")
    keys = records["key"][order]
    same = np.flatnonzero(keys[1:] == keys[:-1])
    members: NDArray[Any] = records[np.sort(order[np.unique(np.concatenate([same, same + 1]))])]
    return members


class Spill:
    """Records in `BUCKETS` buckets by the top bits of their keys.

    Keys are digests, so buckets are of one size, and what sorts or compares records does it one
    bucket at a time: a 256th of them are in memory. Few records touch no disk.

    Args:
        dtype: Of a record; its field ``key`` is a uint64.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._appended = array.array("Q")
        self._waiting = [bytearray() for _ in range(BUCKETS)]
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in range(BUCKETS)]
        self._file: Any = None
        self._end = 0
        self._count = 0

    def __len__(self) -> int:
        self._add_appended()
        return self._count

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, records: NDArray[Any]) -> None:
        """Adds records; thousands at a time, for each call looks at every bucket."""
        self._count += len(records)
        numbers = (records["key"] >> np.uint64(64 - _BITS)).astype(np.int64)
        order = np.argsort(numbers, kind="stable")
        records = records[order]
        ends = np.cumsum(np.bincount(numbers, minlength=BUCKETS)).tolist()
        begin = 0
        for bucket, end in enumerate(ends):
            if end > begin:
                waiting = self._waiting[bucket]
                waiting += records[begin:end].tobytes()
                if len(waiting) >= _CHUNK:
                    self._flush(bucket)
            begin = end

    def append(self, *values: int) -> None:
        """Adds one record, all of whose fields are uint64; they are added thousands at a time."""
        self._appended.extend(values)
        if len(self._appended) >= _AT_ONCE * len(values):
            self._add_appended()

    def _add_appended(self) -> None:
        if self._appended:
            self.add(np.frombuffer(self._appended.tobytes(), self._dtype))
            del self._appended[:]

    def bucket(self, number: int) -> NDArray[Any]:
        """The records of a bucket, in the order in which they were added."""
        self._add_appended()
        found = []
        for at, size in self._chunks[number]:
            self._file.seek(at)
            found.append(self._file.read(size))
        data = b"".join([*found, bytes(self._waiting[number])])
        return np.frombuffer(data, self._dtype)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return map(self.bucket, range(BUCKETS))

    def _flush(self, bucket: int) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the spill
        data = self._waiting[bucket]
        self._file.seek(self._end)
        self._file.write(data)
        self._chunks[bucket].append((self._end, len(data)))
        self._end += len(data)
        data.clear()
