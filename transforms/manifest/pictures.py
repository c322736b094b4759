"""A Parquet manifest whose image column holds the pictures themselves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.storage.parquet import buffered, bytes_leaf, held_in

__all__ = ["Pictures", "pictures_of"]

_LONGEST_URI = 4096  # bytes; what is longer on average is no text
_LOOKED_AT = 100  # rows, for the first value of a binary column
_BATCH = 16


class Pictures(NamedTuple):
    """The column with the pictures of one Parquet file.

    Attributes:
        file: The file, open.
        stream: Its bytes.
        uri: Its URI.
        column: The column.
        leaf: The dotted name of the pictures in it.
        path: The dotted name of their paths; empty if there are none.
    """

    file: pq.ParquetFile
    stream: BinaryIO
    uri: str
    column: str
    leaf: str
    path: str

    def held(self, group: int) -> Iterator[bool]:
        """Whether each row of a row group has a picture; by the footer, where all or none have."""
        found = self.file.metadata.row_group(group)
        columns = (found.column(n) for n in range(found.num_columns))
        said = next((one.statistics for one in columns if one.path_in_schema == self.leaf), None)
        if said is not None and said.has_null_count and said.null_count in (0, found.num_rows):
            return itertools.repeat(said.null_count == 0, found.num_rows)
        return self._read(group)

    def _read(self, group: int) -> Iterator[bool]:
        for values in _values(self.file, self.stream, self.leaf, [group], _BATCH):
            yield from values.is_valid().to_pylist()

    def image(self, values: Mapping[str, Any], held: bool, row: int) -> Any:
        """What a row's image is: a link to its picture, or the path where there is no picture.

        Args:
            values: The record's, where the image is a struct of what is not the picture.
            held: Whether there is a picture.
            row: In the file, from 1.
        """
        path = (values.get("image") or {}).get("path") if self.path else None
        if not held:
            return path
        return storage.Embedded(self.uri, self.column, row, _name(path)).uri


def pictures_of(file: pq.ParquetFile, stream: BinaryIO, uri: str, column: str) -> Pictures | None:
    """The pictures in a column; None if it holds none."""
    kind = file.schema_arrow.field(column).type
    leaf = bytes_leaf(column, kind)
    if leaf is None or (leaf == column and _is_text(file, stream, leaf)):
        return None
    has_path = leaf != column and kind.get_field_index("path") >= 0
    return Pictures(file, stream, uri, column, leaf, f"{column}.path" if has_path else "")


def _is_text(file: pq.ParquetFile, stream: BinaryIO, leaf: str) -> bool:
    """Whether a binary column holds URIs, as writers without a type for text leave it."""
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    for number, group in enumerate(groups):
        columns = (group.column(n) for n in range(group.num_columns))
        one = next(one for one in columns if one.path_in_schema == leaf)
        if one.total_uncompressed_size > _LONGEST_URI * max(1, one.num_values):
            return False
        values = itertools.chain.from_iterable(_values(file, stream, leaf, [number], 1))
        for scalar in itertools.islice(values, _LOOKED_AT):
            value = scalar.as_py()
            if value:
                return _is_uri(value)
    return True


def _is_uri(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return len(value) <= _LONGEST_URI and b"\0" not in value


def _values(
    file: pq.ParquetFile, stream: BinaryIO, leaf: str, groups: list[int], batch: int
) -> Iterator[pa.Array]:
    """The pictures of some row groups, a few in memory at a time."""
    parts = buffered(stream, file.metadata).iter_batches(
        batch, row_groups=groups, columns=[leaf], use_threads=False
    )
    for found in parts:
        yield held_in(found)


def _name(path: str | None) -> str:
    """A picture's own name; a signature or a password in it must not stand in a link."""
    name = (path or "").strip()
    try:
        return storage.public(name) if "://" in name else name
    except RowError:
        return ""
