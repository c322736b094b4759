"""Pictures inside Parquet files, read a row group at a time.

A column's values can be read in their order only, and a writer may have put all pictures of a row
group into one compressed page. So a process reads a row group's column once, from its beginning
and as far as it is asked, and keeps the pictures in a temporary file without a name. There any row
is found, in whatever order rows are asked for. Where many row groups were read in part, the earlier
ones are read to their ends, for what is left of them would fill the memory.
"""

from __future__ import annotations

import array
import bisect
import itertools
import json
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.locks import KeyedLocks
from alphabeam.transforms.retry import DeadlineExceededError
from alphabeam.transforms.storage import deadlines
from alphabeam.transforms.storage.allowed import AllowList
from alphabeam.transforms.storage.connections import borrow
from alphabeam.transforms.storage.embedded import Embedded
from alphabeam.transforms.storage.faults import StorageOptions, as_row_error, too_large
from alphabeam.transforms.storage.info import stat
from alphabeam.transforms.storage.streams import open_stream
from alphabeam.transforms.storage.uris import redact

__all__ = ["buffered", "bytes_leaf", "held_in", "read_embedded"]

_BUFFER = 1 << 20  # of what is read of a column at once
_BATCH = 16  # pictures in memory at once, beside the page that they are in
# Encoded pictures that a process keeps on disk; a single row group may be larger.
_KEPT_BYTES = 1 << 30
# Row groups that are read in part have their page in memory; a single one may be larger.
_OPEN_BYTES = 1 << 27
_KEPT_FOOTERS = 64


def bytes_leaf(column: str, kind: pa.DataType) -> str | None:
    """The dotted name of the values that are pictures in a column of a type; None if none are."""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column
    if pa.types.is_struct(kind) and {field.name for field in kind} in ({"bytes"}, _BYTES_AND_PATH):
        inner = kind.field(kind.get_field_index("bytes")).type
        return f"{column}.bytes" if bytes_leaf("", inner) == "" else None
    return None


_BYTES_AND_PATH = {"bytes", "path"}


def buffered(stream: BinaryIO, footer: pq.FileMetaData) -> pq.ParquetFile:
    """A Parquet file whose columns are read as far as they are asked, and not whole at once."""
    return pq.ParquetFile(stream, metadata=footer, buffer_size=_BUFFER, pre_buffer=False)


def held_in(batch: pa.RecordBatch) -> pa.Array:
    """The pictures in a batch of a leaf alone."""
    column = batch.column(0)
    return column.flatten()[0] if pa.types.is_struct(column.type) else column


def read_embedded(
    picture: Embedded,
    *,
    max_bytes: int | None,
    options: StorageOptions | None,
    timeout: float | None,
    allow: AllowList | None,
) -> bytes:
    """Reads a picture inside a Parquet file.

    Args:
        picture: The link.
        max_bytes: The most that is accepted.
        options: Options per protocol.
        timeout: Seconds for everything together; None for no bound. What was read of the row group
            until then is kept.
        allow: Where a row may read from; None for a link that the user himself gave.

    Raises:
        RowError: As for `read`. NOT_FOUND if the row is not there, holds no picture, or if the file
            was written anew since the link was made; INVALID_URI for a file that is broken.
    """
    if allow is not None:
        allow.check(picture.file)
    with deadlines.bounded(timeout):
        file = _file_of(picture, options, allow)
        data = file.group_of(picture).picture(picture)
    if max_bytes is not None and len(data) > max_bytes:
        raise too_large(picture.uri, max_bytes, len(data))
    return data


class _Source(NamedTuple):
    """A Parquet file of one version, and how it is opened."""

    uri: str
    version: str
    options: StorageOptions | None
    allow: AllowList | None

    def opened(self) -> BinaryIO:
        return open_stream(
            lambda: borrow(self.uri, self.options, allow=self.allow), self.uri, self.options
        )

    def check(self) -> None:
        """Makes sure that what was just opened is the version that is meant."""
        if stat(self.uri, options=self.options, allow=self.allow).version != self.version:
            raise RowError(
                ErrorCode.NOT_FOUND,
                f"{redact(self.uri)} changed while it was read; start the job again",
            )


class _File:
    """A Parquet file's footer, and which row groups of it are kept."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        with source.opened() as stream:
            try:
                file = pq.ParquetFile(stream)
            except (pa.ArrowException, OSError) as error:
                raise _broken(source.uri, error) from None
            self.footer, self.schema = file.metadata, file.schema_arrow
        source.check()
        counts = (self.footer.row_group(g).num_rows for g in range(self.footer.num_row_groups))
        self.ends = list(itertools.accumulate(counts))

    def group_of(self, picture: Embedded) -> _Group:
        """The row group that a picture is in.

        Raises:
            RowError: There is no such row or column.
        """
        number = bisect.bisect_left(self.ends, picture.row)
        index = self.schema.get_field_index(picture.column)
        if number == len(self.ends) or index < 0:
            what = f"row {picture.row}" if index >= 0 else f"column {picture.column!r}"
            raise RowError(
                ErrorCode.NOT_FOUND,
                f"there is no {what} in {redact(picture.file)}; check the link",
            )
        kind = self.schema.field(index).type
        leaf = bytes_leaf(picture.column, kind)
        if leaf is None:
            raise RowError(
                ErrorCode.INVALID_URI,
                f"column {picture.column!r} of {redact(picture.file)} is of type {kind}; pictures "
                "are in columns of type binary or struct<bytes: binary, path: string>",
            )
        return _kept.group(self, number, leaf)


class _Group:
    """The pictures of one row group, as far as they were read.

    Attributes:
        size: Bytes of all pictures, by the footer.
    """

    def __init__(self, file: _File, number: int, leaf: str) -> None:
        self._file, self._number, self._leaf = file, number, leaf
        group = file.footer.row_group(number)
        self._rows = group.num_rows
        self._first = file.ends[number] - self._rows + 1
        columns = (group.column(n) for n in range(group.num_columns))
        self.size = next(
            (one.total_uncompressed_size for one in columns if one.path_in_schema == leaf), 0
        )
        self._lock = threading.Lock()
        self._kept = tempfile.TemporaryFile(prefix="alphabeam-")  # noqa: SIM115
        self._ends = array.array("q", [0])
        self._sizes = array.array("q")  # -1 for null
        self._batches: Iterator[pa.Array] | None = None
        self._broken: RowError | None = None

    def picture(self, picture: Embedded) -> bytes:
        """One picture's bytes.

        Raises:
            RowError: It cannot be read in time, or at all; there is none.
        """
        index = picture.row - self._first
        deadline = deadlines.current()
        try:
            timeout = deadline.timeout()
            if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
                deadline.check()
            try:
                while len(self._sizes) <= index:
                    deadline.check()
                    self._take()
                size = self._sizes[index]
                if size >= 0:
                    self._kept.seek(self._ends[index])
                    return self._kept.read(size)
            finally:
                self._lock.release()
        except (DeadlineExceededError, OSError) as error:
            raise as_row_error(error, "read", picture.uri, self._file.source.options) from None
        raise RowError(ErrorCode.NOT_FOUND, f"{redact(picture.uri)} is null; leave the row out")

    @property
    def is_open(self) -> bool:
        """Whether it was read in part, so that some of it is in memory."""
        return self._batches is not None

    def finish(self) -> None:
        """Reads it to its end, unless somebody reads it anyway."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            while self._batches is not None and deadlines.current().remaining() > 0:
                self._take()
        except (RowError, OSError):
            pass  # it is closed, and whoever needs the rest tries again
        finally:
            self._lock.release()

    def _take(self) -> None:
        """Reads the next pictures; what fails for once is tried again with the next call."""
        if self._broken is not None:
            raise self._broken
        if self._batches is None:
            self._batches = self._arrays(len(self._sizes))
        try:
            pictures = next(self._batches, None)
            if pictures is None:
                raise _broken(self._file.source.uri, EOFError("it ends too early"))
            for scalar in pictures:
                self._keep(scalar.as_buffer())
            self._kept.flush()
        except BaseException as error:
            self._batches = None
            if isinstance(error, RowError) and error.code is ErrorCode.INVALID_URI:
                self._broken = error
            raise
        if len(self._sizes) == self._rows:
            self._batches = None  # its stream is closed with it

    def _keep(self, data: pa.Buffer | None) -> None:
        end = self._ends[-1]
        if data is not None:
            self._kept.seek(end)
            self._kept.write(data)
            end += data.size
        self._sizes.append(-1 if data is None else data.size)
        self._ends.append(end)

    def _arrays(self, skip: int) -> Iterator[pa.Array]:
        """The pictures from one on, some at a time."""
        source = self._file.source
        with source.opened() as stream:
            source.check()
            try:
                file = buffered(stream, self._file.footer)
                for batch in file.iter_batches(
                    _BATCH, row_groups=[self._number], columns=[self._leaf], use_threads=False
                ):
                    if skip < batch.num_rows:
                        yield held_in(batch)[skip:]
                    skip = max(0, skip - batch.num_rows)
            except MemoryError:
                raise
            except (pa.ArrowException, OSError) as error:
                raise _broken(source.uri, error) from None


def _broken(uri: str, error: Exception) -> RowError:
    reason = str(error).partition("\n")[0][:200]
    return RowError(
        ErrorCode.INVALID_URI,
        f"cannot read {redact(uri)}: no readable Parquet file: {reason}; write it again",
    )


class _Kept:
    """What this process keeps: footers, and row groups up to a number of bytes."""

    def __init__(self) -> None:
        self._lock, self._opening = threading.Lock(), KeyedLocks()
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._groups: OrderedDict[tuple[_File, int, str], _Group] = OrderedDict()

    def file(self, key: str, source: _Source) -> _File:
        with self._opening.of(key):
            with self._lock:
                found = self._files.get(key)
            if found is None:
                found = _File(source)
                with self._lock:
                    self._files[key] = found
                    while len(self._files) > _KEPT_FOOTERS:
                        self._files.popitem(last=False)
            return found

    def group(self, file: _File, number: int, leaf: str) -> _Group:
        key = (file, number, leaf)
        with self._lock:
            found = self._groups.get(key)
            if found is None:
                found = self._groups[key] = _Group(file, number, leaf)
            self._groups.move_to_end(key)
            opened = [group for group in self._groups.values() if group.is_open]
            size = sum(group.size for group in self._groups.values())
            while size > _KEPT_BYTES and len(self._groups) > 1:
                # Whoever still reads from it holds it; its files are closed after the last one.
                size -= self._groups.popitem(last=False)[1].size
        size = sum(group.size for group in opened)
        for group in opened:
            if size <= _OPEN_BYTES:
                break
            if group is not found:
                group.finish()
                size -= group.size
        return found


_kept = _Kept()


def _after_fork() -> None:
    # Parent and child would move each other's position in the temporary files.
    global _kept
    _left_to_parent.append(_kept)
    _kept = _Kept()


_left_to_parent: list[_Kept] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _file_of(picture: Embedded, options: StorageOptions | None, allow: AllowList | None) -> _File:
    """The footer of a picture's file, read once for each version of it."""
    version = stat(picture.uri, options=options, allow=allow).version
    source = _Source(picture.file, version, options, allow)
    key: Any = [picture.file, version, options, allow and allow.places]
    return _kept.file(json.dumps(key, sort_keys=True, default=repr), source)
