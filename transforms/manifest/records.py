"""The records of a manifest as they stand in it, with what is wrong with them.

Every reader gives a record at a time, and with it where the next one begins, which is where a
shard may begin. A bad line costs one record; only what makes a whole manifest useless raises.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.rows import columns_of
from alphabeam.transforms.manifest.source import Manifest, ManifestError, Shard

__all__ = ["End", "Record", "parquet_records", "text_records"]

# A quoted CSV field may hold line breaks; past this many lines a quote is taken for a stray one.
_MAX_RECORD_LINES = 50
_MAX_LINE_BYTES = 1 << 20


class Record(NamedTuple):
    """A record as it stands in the manifest: its values, or what is wrong with it."""

    line: int
    values: Mapping[str, Any]
    error: RowError | None = None


class _Line(NamedTuple):
    number: int
    end: int  # offset of the first byte after the line
    text: str
    error: str | None = None


def _decompressed(stream: BinaryIO) -> tuple[BinaryIO, bool]:
    """The stream as plain bytes, and whether it was compressed; goes by the content."""
    head = stream.read(4)
    stream.seek(0)
    codec = "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head == b"\x28\xb5\x2f\xfd" else ""
    if codec:
        plain = pa.CompressedInputStream(pa.PythonFile(stream, "r"), codec)
        return cast(BinaryIO, io.BufferedReader(plain, 1 << 17)), True
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ManifestError("the text is UTF-16; save it as UTF-8")
    return stream, False


def _lines(stream: BinaryIO, offset: int, number: int, end: int | None) -> Iterator[_Line]:
    while end is None or offset < end:
        raw = stream.readline(_MAX_LINE_BYTES)
        if not raw:
            return
        error = None
        if len(raw) == _MAX_LINE_BYTES and not raw.endswith(b"\n"):
            error = f"the line is longer than {_MAX_LINE_BYTES} bytes"
            while raw and not raw.endswith(b"\n"):
                offset += len(raw)
                raw = stream.readline(_MAX_LINE_BYTES)
        offset += len(raw)
        if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
            raw = raw[3:]
        text = ""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            error = error or "the line is not UTF-8; save the manifest as UTF-8"
        if error is None and "\0" in text:
            error = "the line holds a NUL byte"
        yield _Line(number, offset, "" if error else text.rstrip("\r\n"), error)
        number += 1


def _bad(line: int, reason: str, **values: str) -> Record:
    return Record(line, values, RowError(ErrorCode.MANIFEST_ROW, f"line {line}: {reason}"))


class _CsvRecords:
    """Splits lines into CSV records; one bad line costs one record.

    A record is complete when the csv module, in strict mode, takes it. One that ends inside quotes
    is given further lines; if that does not complete it, its first line alone is the bad record and
    reading goes on with the line behind it.
    """

    def __init__(self, lines: Iterator[_Line], delimiter: str) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._ahead: list[_Line] = []

    def _next(self) -> _Line | None:
        return self._ahead.pop(0) if self._ahead else next(self._lines, None)

    def _parse(self, text: str) -> list[str] | str:
        try:
            rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            return str(error).partition(" - ")[0]
        return rows[0] if rows else []

    def __iter__(self) -> Iterator[tuple[_Line, _Line, list[str] | str]]:
        """Yields the record's first and last line, and its fields or the error."""
        while (line := self._next()) is not None:
            if line.error:
                yield line, line, line.error
                continue
            fields = self._parse(line.text)
            taken = [line]
            while fields == "unexpected end of data" and len(taken) < _MAX_RECORD_LINES:
                more = self._next()
                if more is None:
                    break
                taken.append(more)
                fields = self._parse("\n".join(part.text for part in taken))
            if isinstance(fields, str) and len(taken) > 1:
                self._ahead[:0] = taken[1:]
                taken = taken[:1]
                fields = "unexpected end of data"
            if fields == "unexpected end of data":
                fields = "a quote is opened and never closed"
            yield line, taken[-1], fields


def _open_text(manifest: Manifest) -> tuple[BinaryIO, bool]:
    stream = storage.open_input(manifest.uri, options=manifest.storage_options)
    try:
        return _decompressed(stream)
    except ManifestError as error:
        raise ManifestError(f"{manifest.shown}: {error}") from None


def _csv_header(manifest: Manifest, stream: BinaryIO) -> tuple[dict[str, str], int, int]:
    """Reads the header: columns by field, offset behind it, next line's number."""
    where = f"{manifest.shown}:1"
    for line, last, fields in _CsvRecords(_lines(stream, 0, 1, None), _delimiter(manifest)):
        if isinstance(fields, str):
            raise ManifestError(f"{manifest.shown}:{line.number}: header: {fields}")
        if not fields:
            continue
        if len(set(fields)) < len(fields):
            raise ManifestError(f"{where}: a column name occurs twice: {', '.join(fields)}")
        return columns_of(fields, where), last.end, last.number + 1
    raise ManifestError(f"{manifest.shown}: the file is empty; a header with 'image' is needed")


def _delimiter(manifest: Manifest) -> str:
    return "\t" if manifest.kind == "tsv" else ","


class End(NamedTuple):
    """What stands behind a record: where a shard may begin.

    Attributes:
        offset: Of the next byte; of a Parquet manifest, the number of the next row group.
        line: Number of the next line.
        seekable: Whether a shard can begin there.
    """

    offset: int
    line: int
    seekable: bool = True


def text_records(manifest: Manifest, shard: Shard | None = None) -> Iterator[tuple[Record, End]]:
    """Yields each record and its end."""
    kind = manifest.kind
    stream, compressed = _open_text(manifest)
    try:
        offset, number = 0, 1
        columns: dict[str, str] = {}
        if kind in ("csv", "tsv"):
            columns, offset, number = _csv_header(manifest, stream)
        if shard is not None and shard.start > offset:
            stream.seek(shard.start)
            offset, number = shard.start, shard.line
        lines = _lines(stream, offset, number, shard.end if shard else None)
        if kind in ("csv", "tsv"):
            for line, last, fields in _CsvRecords(lines, _delimiter(manifest)):
                if fields == []:
                    continue
                end = End(last.end, last.number + 1, not compressed)
                yield _csv_record(line.number, fields, columns), end
        else:
            parse = _json_record if kind == "jsonl" else _list_record
            for line in lines:
                end = End(line.end, line.number + 1, not compressed)
                if line.error:
                    yield _bad(line.number, line.error), end
                elif line.text.strip():
                    yield parse(line), end
    except OSError as error:
        if compressed:
            raise ManifestError(
                f"{manifest.shown}: the compressed data is broken or cut off: {error}"
            ) from None
        raise
    finally:
        stream.close()


def _csv_record(line: int, fields: list[str] | str, columns: dict[str, str]) -> Record:
    if isinstance(fields, str):
        return _bad(line, fields)
    if len(fields) != len(columns):
        return _bad(line, f"{len(fields)} fields where the header has {len(columns)}")
    return Record(line, dict(zip(columns.values(), fields, strict=True)))


def _json_record(line: _Line) -> Record:
    try:
        values = json.loads(line.text)
        if "\\u" in line.text:  # half a surrogate pair is JSON, and no text
            json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _bad(line.number, "half a surrogate pair; write whole characters")
    except (ValueError, RecursionError) as error:
        return _bad(line.number, f"not JSON: {error}")
    if not isinstance(values, dict):
        return _bad(line.number, "not a JSON object; one object a line is needed")
    try:
        columns = columns_of(values, f"line {line.number}")
    except ManifestError as error:
        return Record(line.number, {}, RowError(ErrorCode.MANIFEST_ROW, str(error)))
    return Record(line.number, {columns[k]: v for k, v in values.items()})


def _list_record(line: _Line) -> Record:
    return Record(line.number, {"image": line.text.strip()})


def parquet_records(
    manifest: Manifest, shard: Shard | None, only_names: bool = False
) -> Iterator[tuple[Record, End]]:
    """Like `text_records`."""
    stream = storage.open_input(manifest.uri, options=manifest.storage_options)
    try:
        try:
            file = pq.ParquetFile(stream)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise ManifestError(f"{manifest.shown}: not a Parquet file: {reason}") from None
        columns = columns_of(file.schema_arrow.names, manifest.shown)
        wanted = [
            name for name, ours in columns.items() if not only_names or ours in ("id", "image")
        ]
        groups = range(file.num_row_groups) if shard is None else (shard.start,)
        line = 1 if shard is None else shard.line
        for group in groups:
            for batch in file.iter_batches(1024, row_groups=[group], columns=wanted):
                for values, wrong in _parquet_rows(batch, columns):
                    record = _bad(line, wrong) if wrong else Record(line, values)
                    yield record, End(group + 1, line + 1)
                    line += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ManifestError(f"{manifest.shown}: the Parquet file is broken: {reason}") from None
    finally:
        stream.close()


def _parquet_rows(
    batch: pa.RecordBatch, columns: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], str]]:
    """The values of each row by our column names, and what is wrong with it."""
    try:
        for record in batch.to_pylist():
            yield {columns[name]: value for name, value in record.items()}, ""
        return
    except (ValueError, OverflowError, TypeError, pa.ArrowException):
        pass  # a value that Python cannot hold: search for it row by row
    for number in range(batch.num_rows):
        values: dict[str, Any] = {}
        error = ""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            ours, scalar = columns[name], column[number]
            try:
                values[ours] = scalar.as_py()
            except (ValueError, OverflowError, TypeError, pa.ArrowException) as reason:
                if ours in ("image", "id"):
                    error = f"column {name!r}: {' '.join(str(reason).split())[:100]}"
                values[ours] = _as_text(scalar)
        yield values, error


def _as_text(scalar: pa.Scalar) -> str:
    """A value that Python cannot hold, such as a date after the year 9999, as text."""
    try:
        return str(scalar.cast(pa.string()).as_py())
    except (ValueError, OverflowError, pa.ArrowException):
        pass
    try:
        return bytes(scalar.cast(pa.binary()).as_py()).decode("utf-8", "replace")
    except (ValueError, OverflowError, TypeError, pa.ArrowException):
        return str(scalar)
