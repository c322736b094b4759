"""The records of a manifest as they stand in it, with what is wrong with them.

Every reader gives a record at a time, and with it where the next one begins, which is where a
shard may begin. A bad line costs one record; only what makes a whole manifest useless raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.columns import Columns, columns_of
from alphabeam.transforms.manifest.source import Manifest, ManifestError, Shard
from alphabeam.transforms.manifest.tables import Found, Header, header_of, records_of
from alphabeam.transforms.manifest.text import Line, Text, lines_of, open_text

__all__ = ["End", "Record", "bad_record", "header_in", "record_of", "text_records"]

_REJECTED = frozenset({"reject", "rejected"})  # the second is what people type


class Record(NamedTuple):
    """One record of the manifest: its values, or what is wrong with it.

    One that is ``left_out`` becomes no row: a shop's product without a picture, or a result that
    was looked at and not rejected. The text says what such records are.
    """

    line: int
    values: Mapping[str, Any]
    error: RowError | None = None
    left_out: str = ""


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


def bad_record(line: int, reason: str) -> Record:
    """A record that costs its row."""
    return Record(line, {}, RowError(ErrorCode.MANIFEST_ROW, f"line {line}: {reason}"))


def record_of(line: int, values: dict[str, Any], columns: Columns) -> Record:
    """A record from its values by our names."""
    image = values.get("image")
    if columns.of_shop and (image is None or (isinstance(image, str) and not image.strip())):
        return Record(line, {}, left_out="products without an image")
    if columns.rooted and isinstance(image, str):
        values["image"] = image.strip().lstrip("/")
    return Record(line, values)


def text_records(
    manifest: Manifest, shard: Shard | None = None, first: int = 1
) -> Iterator[tuple[Record, End]]:
    """The records of a text manifest.

    Args:
        manifest: Of one file.
        shard: The stretch to read; None for all of it.
        first: Number of its first line.

    Yields:
        Each record and its end.
    """
    text = open_text(manifest)
    try:
        header, lines = header_in(manifest, text, first)
        offset, number = (header.offset, header.line) if header else (0, first)
        if text.seekable:
            if shard is not None and shard.start > offset:
                offset, number = shard.start, shard.line
            text.stream.seek(offset)
            lines = lines_of(text, offset, number, shard.end if shard else None)
        if header is not None:
            keys = header.keys
            for found in records_of(lines, header):
                end = End(found.last.end, found.last.number + 1, text.seekable and not found.short)
                yield _table_record(found, header, keys), end
        else:
            parse = _json_record if manifest.kind == "jsonl" else _list_record
            for line in lines:
                record = (
                    bad_record(line.number, line.error) if line.error else parse(line, manifest)
                )
                if record is not None:
                    yield record, End(line.end, line.number + 1, text.seekable)
    except OSError as error:
        if text.compressed:
            raise ManifestError(
                f"{manifest.shown}: the compressed data is broken or cut off: {error}"
            ) from None
        raise
    finally:
        text.stream.close()


def header_in(manifest: Manifest, text: Text, first: int) -> tuple[Header | None, Iterator[Line]]:
    """The header of a table, None for what is no table; and the lines behind it.

    Args:
        manifest: Of one file.
        text: Its text, at the beginning.
        first: Number of its first line.

    Raises:
        ManifestError: No column holds the images, or several may.
    """
    delimiter = "\t" if manifest.delimiter == "tab" else manifest.delimiter
    if manifest.kind == "tsv" and delimiter == "auto":
        delimiter = "\t"
    if manifest.kind in ("csv", "tsv"):
        return header_of(text, manifest.shown, delimiter, manifest.columns, first)
    if manifest.kind == "list" and manifest.format == "auto":
        # Excel's "Unicode text" has the name of a list.
        head = text.head.partition(b"\n")[0].decode(text.encodings[0], "replace")
        names = head.strip("\ufeff\r").split("\t")
        if len(names) > 1 and _has_image(names, manifest):
            return header_of(text, manifest.shown, "\t", manifest.columns, first)
    return None, lines_of(text, 0, first)


def _has_image(names: list[str], manifest: Manifest) -> bool:
    try:
        columns_of(names, "", manifest.columns)
    except ManifestError:
        return False
    return True


def _table_record(found: Found, header: Header, keys: list[str | None]) -> Record:
    line = found.first.number
    if isinstance(found.fields, str):
        return bad_record(line, found.fields)
    values: dict[str, Any] = {}
    for number, (key, field) in enumerate(zip(keys, found.fields, strict=True), 1):
        if key is not None:
            values[key] = field
        elif field.strip():
            values[f"column {number}"] = field
    if header.columns.reviewed and values["decision"].strip().lower() not in _REJECTED:
        return Record(line, {}, left_out="results that were not rejected")
    return record_of(line, values, header.columns)


def _json_record(line: Line, manifest: Manifest) -> Record | None:
    if not line.text.strip():
        return None
    try:
        values = json.loads(line.text)
        if "\\u" in line.text:  # half a surrogate pair is JSON, and no text
            json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return bad_record(line.number, "half a surrogate pair; write whole characters")
    except (ValueError, RecursionError) as error:
        return bad_record(line.number, f"not JSON: {error}")
    if not isinstance(values, dict):
        return bad_record(line.number, "not a JSON object; one object a line is needed")
    try:
        columns = columns_of(values, f"line {line.number}", manifest.columns, hint="")
    except ManifestError as error:
        return Record(line.number, {}, RowError(ErrorCode.MANIFEST_ROW, str(error)))
    named = {columns[name]: value for name, value in values.items() if name in columns}
    return record_of(line.number, named, columns)


def _list_record(line: Line, _: Manifest) -> Record | None:
    text = line.text.strip()
    return None if not text or text.startswith("#") else Record(line.number, {"image": text})
