"""The metadata's columns: type and meaning of each, and rows to tables and back.

`COLUMNS` is the one list. The Parquet files carry the meanings in their schema too
(``pyarrow.parquet.read_schema(path).field("credits").metadata``), and the documentation's table is
made from it.
"""

from __future__ import annotations

import io
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.utils.timestamp import Timestamp

from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.parameters import PARAMETERS, Box
from alphabeam.transforms.rows import MadeRendition, Row
from alphabeam.transforms.settings import Setting

__all__ = [
    "COLUMNS",
    "SCHEMA",
    "Column",
    "decode_table",
    "encode_table",
    "metadata_row",
    "rows_from_table",
    "table_from_rows",
    "under_other_rows",
    "with_all_columns",
]


class Column(NamedTuple):
    """A column of the metadata.

    Attributes:
        type: Its Arrow type; null is allowed unless the meaning says otherwise.
        meaning: What it holds, with units and range.
    """

    type: pa.DataType
    meaning: str


_TEXT = pa.string()
_BOX = pa.list_(pa.int32())


def _arrow_type(parameter: Setting) -> pa.DataType:
    if parameter.type is bool:
        return pa.bool_()
    if parameter.type is int:
        small = parameter.high is not None and parameter.high < 2**15
        return pa.int16() if small else pa.int64()
    if typing.get_origin(parameter.type) is Literal:
        return _TEXT
    if parameter.type == Box | None:
        return _BOX
    raise TypeError(f"{parameter.name}: no column type for {parameter.type}")


def _meaning(parameter: Setting) -> str:
    bounds = f" ({parameter.bounds})" if parameter.bounds else ""
    return f"Parameter{bounds}. {parameter.meaning}"


_BEFORE: dict[str, Column] = {
    "id": Column(
        _TEXT,
        "The row's id. Unique, letter case aside, but for rows that failed for that "
        "(`duplicate_id`).",
    ),
    "image": Column(
        _TEXT,
        "URI of the source, resolved against the manifest, without user, password, signature and "
        "tokens.",
    ),
    "status": Column(_TEXT, "`done` or `failed`."),
    "line": Column(pa.int64(), "Line (Parquet: row) of the manifest, from 1."),
    "backend": Column(_TEXT, "`local` or `picpik`; empty if it was never reached."),
    "task_uid": Column(
        _TEXT,
        "The TaskUID, 20 characters: PICPIK's own, or one derived from the fingerprint; empty if "
        "the backend was never reached.",
    ),
    "request_uuid": Column(_TEXT, "UUIDv5 of the fingerprint, sent as `request_uuid`."),
    "cutout": Column(
        _TEXT,
        "Name of the cutout relative to the output directory. Of a failed row: the last good one, "
        "if an earlier run made one.",
    ),
    "mask": Column(_TEXT, "Name of the mask, likewise."),
    "cutout_bytes": Column(pa.int64(), "Size of the cutout, bytes."),
    "cutout_sha256": Column(_TEXT, "SHA-256 of the cutout, hex."),
    "mask_bytes": Column(pa.int64(), "Size of the mask, bytes."),
    "mask_sha256": Column(_TEXT, "SHA-256 of the mask, hex."),
    "width": Column(pa.int32(), "Width of the upright image, pixels."),
    "height": Column(pa.int32(), "Height of the upright image, pixels."),
    "source_format": Column(
        _TEXT,
        "Format of the source, by content: jpeg, png, webp, tiff, bmp, gif, avif, heif, "
        "jpeg2000, psd, jpegxl.",
    ),
    "source_bytes": Column(pa.int64(), "Encoded size of the source, bytes."),
    "source_sha256": Column(_TEXT, "SHA-256 of the source's bytes, hex."),
    "source_version": Column(
        _TEXT, "ETag, or time of change and size, as the store gives them; empty if it gives none."
    ),
}
_AFTER: dict[str, Column] = {
    "model": Column(_TEXT, "Name of the local model."),
    "model_sha256": Column(_TEXT, "SHA-256 of the model file, hex."),
    "subject_box": Column(
        _BOX,
        "Left, top, right, bottom of the subject that was found, pixels; right and bottom "
        "exclusive; null if nothing was found.",
    ),
    "coverage": Column(pa.float32(), "Mean alpha of the whole image, 0..1."),
    "phash": Column(
        _TEXT,
        "Perceptual hash of the source, 16 hex digits: those of one picture in another size or "
        "file differ in at most 3 of the 64 bits.",
    ),
    "backdrop": Column(
        _TEXT, "Median colour of what is background, `#rrggbb`; null if next to nothing is."
    ),
    "confidence": Column(pa.float32(), "How sure the backend is, 0..1."),
    "local_confidence": Column(
        pa.float32(),
        "Cascade: how sure the local core was of a result that was doubtful, 0..1; else null.",
    ),
    "doubts": Column(
        pa.list_(_TEXT),
        "Cascade: why the local result was doubtful: `confidence`, or its flags. With `backend` "
        "`picpik` it was bought; with `local` it was kept, and the flags say why.",
    ),
    "flags": Column(
        pa.list_(_TEXT),
        "What a person should check; see the page on matting. Of picpik also `sent_…`, how the "
        "upload was encoded again, and `resubmitted`, perhaps billed twice. Of a cascade "
        "`kept_local`, followed by the error code for which a doubtful result was not bought.",
    ),
    "credits": Column(
        pa.int64(), "API credits that the task cost; null while it is to be collected."
    ),
    "read_ms": Column(pa.float32(), "Reading and decoding, milliseconds of wall time."),
    "remove_ms": Column(
        pa.float32(), "Matting; or submitting, waiting and downloading; milliseconds."
    ),
    "write_ms": Column(pa.float32(), "Encoding and writing, milliseconds."),
    "attempts": Column(pa.int16(), "How often the backend was asked."),
    "error_stage": Column(_TEXT, "manifest, read, remove or write."),
    "error_code": Column(_TEXT, "One of `alphabeam.ErrorCode`."),
    "error_message": Column(_TEXT, "One line: what, where, and how to fix it."),
    "fingerprint": Column(
        _TEXT,
        "What makes the result the same result: the source's bytes, the parameters, backend and "
        "model; 32 hex digits. Null if the source was never read.",
    ),
    "quick_key": Column(
        _TEXT,
        "As the fingerprint, with the source's URI and version in place of its bytes: what a later "
        "run looks for before it reads the source. Null if the store gives no version.",
    ),
    "run_id": Column(_TEXT, "The run that finished the row."),
    "finished_at": Column(pa.timestamp("us", tz="UTC"), "When it was finished, UTC."),
    "renditions": Column(
        pa.list_(
            pa.struct(
                [
                    ("name", _TEXT),
                    ("preset", _TEXT),
                    ("uri", _TEXT),
                    ("width", pa.int32()),
                    ("height", pa.int32()),
                    ("bytes", pa.int64()),
                    ("sha256", _TEXT),
                    ("box", _BOX),
                    ("scale", pa.float32()),
                    ("quality", pa.int16()),
                    ("flags", pa.list_(_TEXT)),
                    ("violations", pa.list_(_TEXT)),
                    ("error", _TEXT),
                    ("key", _TEXT),
                    ("run_id", _TEXT),
                ]
            )
        ),
        "The renditions of the cutout, see the page on them: `uri` is a file's name relative to "
        "the output directory, `box` the subject's in it, `key` what makes it the same rendition; "
        "one with an `error` could not be made, and is tried again by the next run.",
    ),
    "extra": Column(
        pa.map_(_TEXT, _TEXT),
        "Every other column of the manifest; URLs in them without password, signature and tokens.",
    ),
}

COLUMNS: dict[str, Column] = {
    **_BEFORE,
    **{p.name: Column(_arrow_type(p), _meaning(p)) for p in PARAMETERS},
    **_AFTER,
}
SCHEMA = pa.schema(
    [
        pa.field(name, COLUMNS[name].type, metadata={"meaning": COLUMNS[name].meaning})
        for name in Row._fields
    ]
)


# Of one Parquet file; what looks single rows up decodes one group at a time.
_GROUP_ROWS = 4096


def metadata_row(row: Row, run_id: str) -> Row:
    """A row as the metadata holds it: with its run, and no secret in its URLs."""
    image, extra = _without_secrets(row)
    return row._replace(image=image, extra=extra, run_id=row.run_id or run_id)


def _without_secrets(row: Row) -> tuple[str, Mapping[str, str]]:
    """What of a row may hold URLs that the user wrote: the source's, and the other columns."""
    image = _public(row.image) if "://" in row.image else row.image
    extra = row.extra
    if any("://" in value for value in extra.values()):
        extra = {name: _URL.sub(_without_secret, value) for name, value in extra.items()}
    return image, extra


_URL = re.compile(r"(?<!\S)\S+://\S+")  # from a word's start alone: a word may have megabytes


def _without_secret(found: re.Match[str]) -> str:
    """A URL in a column of the user's own: as it is, unless there is a secret in it."""
    text = found.group()
    try:
        return _public(text) if storage.has_secret(text) else text
    except RowError:
        return storage.redact(text)


def _public(uri: str) -> str:
    try:
        return storage.public(uri)
    except RowError:
        return storage.redact(uri)


def table_from_rows(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table of `SCHEMA`."""
    columns: list[pa.Array] = []
    by_column: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    for column, values in zip(SCHEMA, by_column, strict=True):
        if column.name == "finished_at":
            values = [None if v is None else v.micros for v in values]
        elif column.name == "extra":
            values = [list(v.items()) for v in values]
        elif column.name == "renditions":
            values = [[one._asdict() for one in v] for v in values]
        columns.append(pa.array(values, column.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def rows_from_table(table: pa.Table) -> Iterator[Row]:
    """The rows of a table of `SCHEMA`, the inverse of `table_from_rows`.

    By columns, which takes a tenth of the time: a night on which nothing has changed reads each
    finished row.
    """
    columns: list[Sequence[Any]] = []
    for field in SCHEMA:
        column = table[field.name]
        if field.name == "finished_at":
            micros = column.cast(pa.int64()).to_pylist()
            columns.append([None if v is None else Timestamp(micros=v) for v in micros])
        elif field.name == "extra":
            columns.append([dict(v or ()) for v in column.to_pylist()])
        elif field.name == "flags":
            columns.append([tuple(v or ()) for v in column.to_pylist()])
        elif field.name == "doubts":
            some = pc.sum(pc.list_value_length(column)).as_py()
            columns.append(
                [tuple(v or ()) for v in column.to_pylist()] if some else [()] * len(column)
            )
        elif field.name == "renditions":
            columns.append(_made(column))
        elif (default := _DEFAULTS.get(field.name)) is not None:
            # null if it was written by a version that did not have the parameter
            columns.append([default if v is None else v for v in column.to_pylist()])
        else:
            columns.append(column.to_pylist())
    yield from map(Row._make, zip(*columns, strict=True))


def under_other_rows(table: pa.Table, rows: Sequence[Row]) -> pa.Table:
    """Rows of an earlier run's metadata, with the manifest's columns of other rows.

    The same as ``table_from_rows`` of rows that were read, and given an id, an image, a line and
    the manifest's own columns; but no row is made of those that are read.

    Args:
        table: Of `SCHEMA`.
        rows: As many, in the same order.
    """
    public = [_without_secrets(row) for row in rows]
    new: dict[str, list[Any]] = {
        "id": [row.id for row in rows],
        "image": [image for image, _ in public],
        "line": [row.line for row in rows],
        "extra": [[*extra.items()] for _, extra in public],
    }
    columns: list[pa.Array | pa.ChunkedArray] = []
    for field in SCHEMA:
        column = table[field.name]
        if field.name in new:
            column = pa.array(new[field.name], field.type)
        elif column.null_count and (default := _DEFAULTS.get(field.name)) is not None:
            column = pc.fill_null(column, pa.scalar(default, field.type))
        elif column.null_count and field.name in ("flags", "doubts", "renditions"):
            column = pa.array([some or [] for some in column.to_pylist()], field.type)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _made(column: pa.ChunkedArray) -> list[tuple[MadeRendition, ...]]:
    if not pc.sum(pc.list_value_length(column)).as_py():
        return [()] * len(column)
    return [tuple(MadeRendition(**one) for one in v or ()) for v in column.to_pylist()]


_DEFAULTS = {one.name: one.default for one in PARAMETERS}


def encode_table(table: pa.Table) -> bytes:
    """A table as one Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=_GROUP_ROWS)
    return sink.getvalue()


def decode_table(data: bytes, columns: Iterable[str] | None = None) -> pa.Table:
    """The table of one Parquet file of ours; columns that it lacks are null.

    Args:
        data: The file.
        columns: Those of `SCHEMA` that are wanted; all by default.

    Raises:
        pa.ArrowException: The file is broken.
    """
    file = pq.ParquetFile(io.BytesIO(data))
    schema = SCHEMA if columns is None else pa.schema([SCHEMA.field(name) for name in columns])
    there = [name for name in file.schema_arrow.names if name in schema.names]
    return with_all_columns(file.read(columns=there, use_threads=False), schema)


def with_all_columns(table: pa.Table, schema: pa.Schema = SCHEMA) -> pa.Table:
    """A table that another version wrote, as one of `SCHEMA`; columns that it lacks are null."""
    has = set(table.column_names)
    columns = [
        table[field.name].cast(field.type)
        if field.name in has
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
