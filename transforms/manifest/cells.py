"""How many bytes the cells of a Parquet file hold, counted before Python holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alphabeam.transforms.manifest.text import MAX_LINE_BYTES

__all__ = ["Piece", "batches", "in_pieces"]

_MOST_ROWS = 1024
_LEAST_ROWS = 16
_BATCH_BYTES = 1 << 20  # of a batch, on average; where the long cells are, nothing tells
_PIECE_BYTES = 1 << 24  # that Python holds at once
# Of a row with what is no text: pictures in columns of the user's own.
_MOST_BYTES = 1 << 28
_SMALL = 1 << 18  # bytes of a column: whatever its cells share is small too
_LONG_ITEM = 1 << 12  # bytes of a list's items


class Piece(NamedTuple):
    """Neighbouring rows of a batch.

    Attributes:
        begin: The first one's number in the batch.
        rows: The rows; empty if they cannot be used.
        wrong: What is wrong with the one row that it is then; else empty.
    """

    begin: int
    rows: pa.RecordBatch
    wrong: str = ""


def batches(
    file: pq.ParquetFile, stream: BinaryIO, group: int, wanted: list[str]
) -> Iterator[pa.RecordBatch]:
    """Reads a row group, some rows at a time.

    Forty rows that share a text of 100 MB by their column's dictionary would be 4 GB as they are
    read mostly. Such columns are read as dictionaries, which hold it once; others are not, for
    that takes ten times as long.

    Args:
        file: The file, open.
        stream: Its bytes.
        group: The row group's number.
        wanted: Dotted names of columns.
    """
    found, schema = file.metadata.row_group(group), file.metadata.schema
    size, longest = 1, 1
    shared: list[str] = []
    for number in range(found.num_columns):
        column = found.column(number)
        leaf = column.path_in_schema
        if not any(f"{leaf}.".startswith(f"{name}.") for name in wanted):
            continue
        size += column.total_uncompressed_size
        listed = schema.column(number).max_repetition_level > 0
        # One row may have all of a column's items.
        all_alike = column.total_uncompressed_size * (column.num_values if listed else 1)
        if (
            column.physical_type != "BYTE_ARRAY"
            or all_alike <= (_MOST_BYTES if listed else _SMALL)
            or not any("DICTIONARY" in encoding for encoding in column.encodings)
        ):
            continue
        length = _longest_shared(stream, file.metadata, group, leaf)
        too_many = length > _LONG_ITEM and length * column.num_values > _MOST_BYTES
        if length > MAX_LINE_BYTES or (listed and too_many):
            shared.append(leaf)
        elif not listed:
            longest = max(longest, length)
    if shared:
        file = pq.ParquetFile(stream, metadata=file.metadata, read_dictionary=shared)
    rows = min(_BATCH_BYTES * found.num_rows // size, _PIECE_BYTES // longest)
    rows = max(_LEAST_ROWS, min(_MOST_ROWS, rows))
    yield from file.iter_batches(rows, row_groups=[group], columns=wanted)


def _longest_shared(stream: BinaryIO, footer: pq.FileMetaData, group: int, leaf: str) -> int:
    """The bytes of the longest value in a column's dictionary, which is its first page."""
    file = pq.ParquetFile(
        stream, metadata=footer, read_dictionary=[leaf], buffer_size=_BATCH_BYTES, pre_buffer=False
    )
    for batch in file.iter_batches(
        _LEAST_ROWS, row_groups=[group], columns=[leaf], use_threads=False
    ):
        array = batch.column(0)
        while pa.types.is_nested(array.type):
            if pa.types.is_map(array.type):
                array = array.keys if pa.types.is_dictionary(array.keys.type) else array.items
            else:
                array = array.field(0) if pa.types.is_struct(array.type) else array.values
        if not pa.types.is_dictionary(array.type):
            return 0
        if len(array.dictionary):  # all of it, with the first value
            return int(pc.max(pc.binary_length(array.dictionary)).as_py())
    return 0


def in_pieces(batch: pa.RecordBatch, ours: Mapping[str, str]) -> Iterator[Piece]:
    """A batch in pieces that Python may hold; a row that has too much is one by itself.

    Args:
        batch: As it was read.
        ours: Our name of each column.
    """
    texts: dict[str, Any] = {}
    everything = np.zeros(batch.num_rows, np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        texts[name] = _bytes_of(column, ours[name] in ("image", "id"))
        everything += _bytes_of(column, True)
    text = sum(texts.values(), np.zeros(batch.num_rows, np.int64))
    wrong = (text > MAX_LINE_BYTES) | (everything > _MOST_BYTES)
    if not wrong.any() and everything.sum() <= _PIECE_BYTES:
        yield Piece(0, _decoded(batch))
        return
    for number in range(batch.num_rows):
        if not wrong[number]:
            yield Piece(number, _decoded(batch[number : number + 1]))
        elif text[number] <= MAX_LINE_BYTES:
            yield Piece(number, batch[:0], f"the row holds {everything[number]} bytes")
        else:
            longest = max(texts, key=lambda name: texts[name][number])
            yield Piece(
                number,
                batch[:0],
                f"column {longest!r} holds {texts[longest][number]} bytes; all columns of a row "
                f"together may hold {MAX_LINE_BYTES}",
            )


def _decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose columns are no dictionaries, which Python takes ten times as long to read."""
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _bytes_of(array: pa.Array, binary: bool) -> Any:
    """The bytes of each cell: of its texts, eight for each of its numbers.

    Args:
        array: A column, or what is below one.
        binary: Whether what is binary counts.

    Returns:
        int64, one for each cell.
    """
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _bytes_of(array.storage, binary)
    if pa.types.is_dictionary(kind):
        own = np.append(_bytes_of(array.dictionary, binary), 0)  # the last is for null
        return own[_numpy(array.indices, len(own) - 1)]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _numpy(pc.binary_length(array), 0)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _numpy(pc.binary_length(array), 0) if binary else np.zeros(len(array), np.int64)
    if pa.types.is_struct(kind):
        below = (_bytes_of(one, binary) for one in array.flatten())
        return sum(below, np.zeros(len(array), np.int64))
    if pa.types.is_map(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        ends = np.append(0, np.cumsum(_bytes_of(array.values, binary)))
        return np.diff(ends[array.offsets.to_numpy()])
    if pa.types.is_fixed_size_list(kind):
        first, size = array.offset * kind.list_size, len(array) * kind.list_size
        below = _bytes_of(array.values, binary)[first : first + size]
        return below.reshape(len(array), kind.list_size).sum(1)
    return np.full(len(array), 8, np.int64)


def _numpy(array: pa.Array, null: int) -> Any:
    return array.cast(pa.int64()).fill_null(null).to_numpy(zero_copy_only=False)
