"""The records of a Parquet manifest; one value that cannot be held costs nothing but itself."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from alphabeam.transforms import storage
from alphabeam.transforms.manifest.cells import batches, in_pieces
from alphabeam.transforms.manifest.columns import columns_of
from alphabeam.transforms.manifest.pictures import Pictures, pictures_of
from alphabeam.transforms.manifest.records import End, Record, bad_record, record_of
from alphabeam.transforms.manifest.source import Manifest, ManifestError, Shard

__all__ = ["parquet_records"]

# What `as_py` raises for a value that Python cannot hold: a date after 9999, nanoseconds without
# pandas, a zone that this machine does not know, bytes that are no text.
_UNHELD = (ValueError, OverflowError, TypeError, LookupError, ImportError, pa.ArrowException)


def parquet_records(
    manifest: Manifest, shard: Shard | None, only_names: bool = False, first: int = 1
) -> Iterator[tuple[Record, End]]:
    """Like `text_records`."""
    stream = storage.open_input(manifest.uri, options=manifest.storage_options)
    try:
        try:
            file = pq.ParquetFile(stream)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise ManifestError(f"{manifest.shown}: not a Parquet file: {reason}") from None
        schema = file.schema_arrow
        columns = columns_of(schema.names, manifest.shown, manifest.columns)
        image = next(name for name, ours in columns.items() if ours == "image")
        pictures = pictures_of(file, stream, manifest.uri, image)
        if pictures is None:
            _check_type(image, schema.field(image).type, manifest.shown)
        wanted = [
            name for name, ours in columns.items() if not only_names or ours in ("id", "image")
        ]
        if pictures is not None:  # they are read where they are worked on
            at = wanted.index(image)
            wanted[at : at + 1] = [pictures.path] if pictures.path else []
        groups = range(file.num_row_groups) if shard is None else (shard.start,)
        before = (first if shard is None else shard.first) - 1
        for group in groups:
            for line, batch, held in _batches(file, stream, group, before, wanted, pictures, shard):
                for number, (values, wrong) in enumerate(_rows(batch, columns), line):
                    if pictures is not None:
                        values["image"] = pictures.image(
                            values, held[number - line], number - before
                        )
                    record = (
                        bad_record(number, wrong) if wrong else record_of(number, values, columns)
                    )
                    yield record, End(group + 1, number + 1)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ManifestError(f"{manifest.shown}: the Parquet file is broken: {reason}") from None
    finally:
        stream.close()


def _batches(
    file: pq.ParquetFile,
    stream: BinaryIO,
    group: int,
    before: int,
    wanted: list[str],
    pictures: Pictures | None,
    shard: Shard | None,
) -> Iterator[tuple[int, pa.RecordBatch, list[bool]]]:
    """What a shard has of a row group: first line, values, and which rows have a picture."""
    line = before + 1 + sum(file.metadata.row_group(n).num_rows for n in range(group))
    held = pictures.held(group) if pictures is not None else itertools.repeat(False)
    for batch in batches(file, stream, group, wanted):
        has = [*itertools.islice(held, batch.num_rows)]
        begin = 0 if shard is None else min(max(0, shard.line - line), batch.num_rows)
        end = None if shard is None or shard.end is None else max(0, shard.end - line)
        if end == 0:
            return
        yield line + begin, batch[begin:end], has[begin:end]
        line += batch.num_rows


def _check_type(name: str, kind: pa.DataType, shown: str) -> None:
    """Makes sure that images may be URIs."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        raise ManifestError(
            f"{shown}: column {name!r} is of type {kind}; a path or URI as text is needed, or the "
            "pictures as binary or struct<bytes: binary, path: string>"
        )
    if pa.types.is_nested(kind) or pa.types.is_primitive(kind) or pa.types.is_decimal(kind):
        raise ManifestError(
            f"{shown}: column {name!r} is of type {kind}; a path or URI as text is needed"
        )


def _rows(
    batch: pa.RecordBatch, columns: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], str]]:
    """The values of each row by our column names, and what is wrong with it."""
    if not batch.num_columns:
        yield from (({}, "") for _ in range(batch.num_rows))
        return
    for piece in in_pieces(batch, columns):
        if piece.wrong:
            yield {}, piece.wrong
        else:
            yield from _values(piece.rows, columns)


def _values(
    batch: pa.RecordBatch, columns: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], str]]:
    try:
        records = batch.to_pylist()
    except _UNHELD:  # search for it value by value
        for number in range(batch.num_rows):
            yield _row(batch, number, columns)
        return
    for record in records:
        yield {columns[name]: value for name, value in record.items()}, ""


def _row(
    batch: pa.RecordBatch, number: int, columns: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    values: dict[str, Any] = {}
    error = ""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        ours, scalar = columns[name], column[number]
        try:
            values[ours] = _as_py(scalar)
        except _UNHELD as reason:
            if ours in ("image", "id"):
                error = f"column {name!r}: {' '.join(str(reason).split())[:100]}"
            values[ours] = _held(scalar)
    return values, error


def _as_py(scalar: Any) -> Any:
    """A value as Python's own types hold it.

    Nanoseconds they do not hold. pyarrow would make pandas' values of them if pandas is installed,
    and the same manifest would give other texts.

    Raises:
        ValueError: They cannot hold it, or one of pyarrow's errors of the same meaning.
    """
    if _has_nanoseconds(scalar.type):
        raise ValueError(f"{scalar.type} values are finer than microseconds")
    return scalar.as_py()


@functools.lru_cache(maxsize=1024)
def _has_nanoseconds(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _has_nanoseconds(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_has_nanoseconds(kind.field(i).type) for i in range(kind.num_fields))
    return getattr(kind, "unit", "") == "ns"


def _held(scalar: Any) -> Any:
    """A value of which Python cannot hold a part, with that part as text."""
    try:
        return _as_py(scalar)
    except _UNHELD:
        pass
    kind = scalar.type
    if pa.types.is_struct(kind):
        return {field.name: _held(scalar[number]) for number, field in enumerate(kind)}
    if pa.types.is_map(kind):
        return [[_held(pair["key"]), _held(pair["value"])] for pair in scalar.values]
    if pa.types.is_nested(kind):
        return [_held(item) for item in scalar.values]
    if pa.types.is_dictionary(kind):
        return _held(scalar.value)
    zone = ""
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        scalar, zone = scalar.cast(pa.timestamp(kind.unit)), "Z"  # stored as UTC
    if pa.types.is_duration(kind):
        return f"{scalar.value} {kind.unit}"
    try:
        text = str(scalar.cast(pa.string()).as_py())
        if "out of range" not in text:
            return text + zone
    except _UNHELD:
        pass
    try:
        return bytes(scalar.cast(pa.binary()).as_py()).decode("utf-8", "replace")
    except _UNHELD:
        return f"{scalar.value} {kind}"
