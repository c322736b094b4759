"""``ReadManifest``: rows from a CSV, TSV, JSONL, Parquet, list or glob, on any fsspec store.

A manifest is read twice, both times as a stream. The first pass, `survey`, counts the rows, marks
where shards begin, and finds ids that occur more than once; it keeps 24 bytes a row. The second,
`read_shard`, makes the rows, on as many workers as there are shards. So a manifest of ten million
rows is never held in memory whole, and an id that collides is known before anything is written.

When not to use it: rows that another pipeline already has need no manifest; make `Row` values
with `row_from_record` and go on from there.
"""

from __future__ import annotations

import array
import csv
import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, NamedTuple, cast, get_args

import apache_beam as beam
import numpy as np
import zstandard

from transforms import storage
from transforms.errors import ErrorCode, RowError
from transforms.parameters import MattingParameters
from transforms.records import Row

__all__ = [
    "Manifest",
    "ManifestError",
    "ManifestFormat",
    "ReadManifest",
    "Shard",
    "Survey",
    "file_name",
    "read_shard",
    "row_from_record",
    "survey",
]

ManifestFormat = Literal["auto", "csv", "tsv", "jsonl", "parquet", "list", "glob"]

_EXTENSIONS: dict[str, ManifestFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "list",
    ".list": "list",
    ".lst": "list",
}
_IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp"),
    *(".tif", ".tiff", ".bmp", ".gif", ".avif"),
)
# A quoted CSV field may hold line breaks; past this many lines a quote is taken for a stray one.
_MAX_RECORD_LINES = 50
_MAX_LINE_BYTES = 1 << 20
_SHARD_ROWS = 2048
_LEAST_SHARDS = 64

_PARAMETERS = {f.name: f for f in dataclasses.fields(MattingParameters)}
# The API's own spellings (ErodeSize) and ours (erode_size) meet when case and "_" are dropped.
_KNOWN_COLUMNS = {name.replace("_", ""): name for name in (*_PARAMETERS, "image", "id")}
# What failures.jsonl adds to a row: dropped when such a file is run again as a manifest.
_FAILURE_COLUMNS = frozenset({"error_line", "error_stage", "error_code", "error_message"})


class ManifestError(Exception):
    """The manifest as a whole cannot be used; the message is one line for its author."""


@dataclass(frozen=True)
class Manifest:
    """A manifest and how to read it.

    Attributes:
        uri: Path or fsspec URL of the file; for a glob, the pattern.
        format: One of `ManifestFormat`; ``auto`` goes by the name.
        defaults: Parameters of rows that do not say their own.
        storage_options: Options for fsspec, by protocol.
    """

    uri: str
    format: ManifestFormat = "auto"
    defaults: MattingParameters = field(default_factory=MattingParameters)
    storage_options: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.format not in get_args(ManifestFormat):
            raise ValueError(
                f"manifest format {self.format!r} is not one of "
                f"{', '.join(get_args(ManifestFormat))}"
            )

    @property
    def kind(self) -> ManifestFormat:
        """The format, with ``auto`` decided by the name.

        Raises:
            ManifestError: The name tells nothing.
        """
        if self.format != "auto":
            return self.format
        name = self.uri.rsplit("/", 1)[-1].lower()
        stem = re.sub(r"\.(gz|gzip|zst|zstd)$", "", name)
        extension = os.path.splitext(stem)[1]
        if extension in _EXTENSIONS:
            return _EXTENSIONS[extension]
        if any(c in self.uri for c in "*?[") or self.uri.endswith("/"):
            return "glob"
        if storage.is_local(self.uri) and os.path.isdir(os.path.expanduser(self.uri)):
            return "glob"
        raise ManifestError(
            f"{self.uri}: the format cannot be told from the name; "
            "say input.format: csv, tsv, jsonl, parquet, list or glob"
        )

    @property
    def folder(self) -> str:
        """What relative image URIs and default ids are relative to."""
        if self.kind == "glob":
            fixed = re.split(r"[*?\[]", self.uri, maxsplit=1)[0]
            if fixed == self.uri:
                return fixed
            folder, slash, _ = fixed.rpartition("/")
            return folder or slash or "."
        return storage.parent(self.uri)


class Shard(NamedTuple):
    """A stretch of a manifest that one worker reads.

    Attributes:
        start: First byte of a text manifest; row group of a Parquet one.
        end: One past its last byte; None means to the end.
        line: Line (text) or row (Parquet, glob) number of its first record, from 1.
        uris: A glob's URIs themselves.
    """

    start: int
    end: int | None
    line: int
    uris: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What one pass over a manifest tells.

    Attributes:
        rows: How many rows there are, good and bad.
        shards: Where they stand.
        first_lines: For each file name that occurs more than once, by its digest: the line that
            has it first.
        ambiguous: Those among them that different images' default ids share.
        first_uses: For each image that shares its default id with itself: its first line.
    """

    rows: int
    shards: list[Shard]
    first_lines: dict[int, int]
    ambiguous: frozenset[int]
    first_uses: dict[int, int]

    @property
    def collisions(self) -> Collisions:
        """The part that reading a shard needs."""
        return Collisions(self.first_lines, self.ambiguous, self.first_uses)


class Collisions(NamedTuple):
    """Ids that occur more than once; see `Survey`."""

    first_lines: Mapping[int, int] = {}
    ambiguous: frozenset[int] = frozenset()
    first_uses: Mapping[int, int] = {}


class _Record(NamedTuple):
    """A record as it stands in the manifest: its values, or what is wrong with it."""

    line: int
    values: Mapping[str, Any]
    error: RowError | None = None


# ---------------------------------------------------------------------------------- names and ids


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _suffix(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)")  # on Windows


def file_name(id: str) -> str:
    """An id as a relative file name that every store and file system takes.

    Slashes become folders. An id of ASCII letters, digits, ``.``, ``_`` and ``-`` stays as it is;
    any other is cleaned, and gets a digest so that different ids keep different names.

    Args:
        id: Any non-empty text.

    Returns:
        A name without extension, at most 200 characters.
    """
    parts = (_UNSAFE.sub("-", part).strip("-.")[:80].strip("-.") for part in id.split("/"))
    clean = "/".join(_RESERVED.sub(r"_\g<0>", part) for part in parts if part)[-180:].strip("/-.")
    if clean == id:
        return id
    return f"{clean}-{_suffix(id)}" if clean else f"image-{_suffix(id)}"


def _default_id(uri: str, folder: str) -> str:
    """The URI without scheme and extension, relative to the manifest's folder where it is below."""
    prefix = folder.rstrip("/") + "/"
    relative = uri[len(prefix) :] if uri.startswith(prefix) else uri.split("://", 1)[-1]
    stem, extension = os.path.splitext(relative)
    return (stem if extension.lower() in _IMAGE_EXTENSIONS else relative).strip("/") or "image"


# ------------------------------------------------------------------------------- records to rows


def _columns(names: Iterable[str], where: str) -> dict[str, str]:
    """Maps a manifest's own column names to ours; unknown ones are carried through."""
    mapped: dict[str, str] = {}
    for name in names:
        known = _KNOWN_COLUMNS.get(name.strip().lower().replace("_", ""))
        if known in mapped.values():
            raise ManifestError(
                f"{where}: two columns mean {known!r} ({name!r} is the second); leave one out"
            )
        mapped[name] = known or name.strip()
    if "image" not in mapped.values():
        found = ", ".join(repr(n) for n in mapped) or "none"
        raise ManifestError(f"{where}: there is no column 'image'; the columns are {found}")
    return mapped


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _whole_number(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, str):  # spreadsheets and pandas write 15.0 for 15
            return int(re.sub(r"\.0+$", "", value.strip()))
        number = int(value)
        if number != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise RowError(
            ErrorCode.INVALID_PARAMETER, f"{name}: {_shown(value)} is not a whole number"
        ) from None
    return number


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in {"true", "1", "yes"}:
        return True
    if text in {"false", "0", "no"}:
        return False
    raise RowError(ErrorCode.INVALID_PARAMETER, f"{name}: {_shown(value)} is not true or false")


def _box(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        value = [part for part in value.strip().strip("[]()").split(",")]
    elif isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise RowError(
            ErrorCode.INVALID_PARAMETER,
            f"box: four whole numbers left,top,right,bottom are needed, got {_shown(value)}",
        )
    return tuple(_whole_number("box", v) for v in value)


def _parameters(values: Mapping[str, Any], defaults: MattingParameters) -> MattingParameters:
    given: dict[str, Any] = {}
    for name in _PARAMETERS:
        value = values.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if name == "box":
            given[name] = _box(value)
        elif name in ("only_mask", "keep_shadow"):
            given[name] = _truth(name, value)
        elif name == "hair_optimization":
            # YAML and JSON writers turn a bare on/off into a boolean.
            on_off = {True: "on", False: "off"}
            text = on_off[value] if isinstance(value, bool) else str(value)
            given[name] = text.strip().lower()
        else:
            given[name] = _whole_number(name, value)
    try:
        return dataclasses.replace(defaults, **given) if given else defaults
    except ValueError as error:
        raise RowError(ErrorCode.INVALID_PARAMETER, str(error)) from None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (dict, list, bool)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _check_text(image: str, line: int) -> None:
    """A listed file's name may be bytes that are no text; no row can hold it."""
    try:
        image.encode()
    except UnicodeEncodeError:
        raise RowError(
            ErrorCode.INVALID_URI, f"line {line}: {image!r} is not UTF-8; rename the image"
        ) from None


def row_from_record(
    values: Mapping[str, Any],
    *,
    folder: str = ".",
    defaults: MattingParameters | None = None,
    line: int = 0,
) -> Row:
    """Makes a row from one record of a manifest.

    Args:
        values: By our column names: ``image``, optionally ``id`` and the parameters; every other
            key goes to the row's ``extra``.
        folder: What a relative ``image`` is relative to.
        defaults: Parameters that the record does not say.
        line: Where the record stands, for messages.

    Returns:
        A pending row, or a failed one that says what is wrong with the record.
    """
    defaults = defaults or MattingParameters()
    extra = {
        str(k): _text(v)
        for k, v in values.items()
        if v is not None
        and k not in _PARAMETERS
        and k not in ("image", "id")
        and k not in _FAILURE_COLUMNS
    }
    raw_image = values.get("image")
    image = _text(raw_image).strip() if raw_image is not None else ""
    raw_id = values.get("id")
    id = _text(raw_id).strip() if raw_id is not None else ""
    shown = image.encode("utf-8", "backslashreplace").decode()
    row = Row(id=id or f"line-{line}", image=shown, line=line)
    try:
        if not image:
            raise RowError(ErrorCode.MANIFEST_ROW, f"line {line}: 'image' is empty; give its URI")
        if not image.isascii():
            _check_text(image, line)
        uri = storage.resolve(folder, image)
        row = row._replace(id=id or _default_id(uri, folder), image=uri)
        if len(row.id) > 1000:
            raise RowError(
                ErrorCode.MANIFEST_ROW, f"line {line}: the id has over 1000 characters; shorten it"
            )
        parameters = _parameters(values, defaults)
    except RowError as error:
        if not error.message.startswith("line "):
            error = RowError(error.code, f"line {line}: {error.message}")
        # What was given stands in the failures as it was given, to be mended there.
        given = {k: _text(v) for k, v in values.items() if k in _PARAMETERS and v is not None}
        return row._replace(extra={**extra, **given}).failed("manifest", error)
    return row._replace(
        extra=extra,
        **{name: getattr(parameters, name) for name in _PARAMETERS},
    )


# --------------------------------------------------------------------------------- text manifests


class _Line(NamedTuple):
    number: int
    end: int  # offset of the first byte after the line
    text: str
    error: str | None = None


class _Zstd(io.RawIOBase):
    """Reads zstd frames; unlike zstandard's own reader, it raises if one is cut off."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._frame: Any = None
        self._read = b""  # compressed, not yet given to a frame
        self._left = memoryview(b"")  # plain, not yet handed out

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            # Little at a time, because four bytes may hold a block of 128 KiB.
            self._read = self._read or self._stream.read(256)
            if not self._read:
                if self._frame is not None:
                    raise EOFError("the last zstd frame has no end")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._left = memoryview(self._frame.decompress(self._read))
            self._read = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def _decompressed(stream: BinaryIO) -> tuple[BinaryIO, bool]:
    """The stream as plain bytes, and whether it was compressed; goes by the content."""
    head = stream.read(4)
    stream.seek(0)
    if head[:2] == b"\x1f\x8b":
        return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=stream))), True
    if head == b"\x28\xb5\x2f\xfd":
        return cast(BinaryIO, io.BufferedReader(_Zstd(stream), 1 << 17)), True
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


def _bad(line: int, reason: str, **values: str) -> _Record:
    return _Record(line, values, RowError(ErrorCode.MANIFEST_ROW, f"line {line}: {reason}"))


class _CsvRecords:
    """Splits lines into CSV records; one bad line costs one record.

    A record is complete when the csv module, in strict mode, takes it. One that ends inside quotes
    is given further lines; if that does not mend it, its first line alone is the bad record and
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
        raise ManifestError(f"{manifest.uri}: {error}") from None


def _csv_header(manifest: Manifest, stream: BinaryIO) -> tuple[dict[str, str], int, int]:
    """Reads the header: columns by field, offset behind it, next line's number."""
    where = f"{manifest.uri}:1"
    for line, last, fields in _CsvRecords(_lines(stream, 0, 1, None), _delimiter(manifest)):
        if isinstance(fields, str):
            raise ManifestError(f"{manifest.uri}:{line.number}: header: {fields}")
        if not fields:
            continue
        if len(set(fields)) < len(fields):
            raise ManifestError(f"{where}: a column name occurs twice: {', '.join(fields)}")
        return _columns(fields, where), last.end, last.number + 1
    raise ManifestError(f"{manifest.uri}: the file is empty; a header with 'image' is needed")


def _delimiter(manifest: Manifest) -> str:
    return "\t" if manifest.kind == "tsv" else ","


class _End(NamedTuple):
    """What stands behind a record: where a shard may begin.

    Attributes:
        offset: Of the next byte; of a Parquet manifest, the number of the next row group.
        line: Number of the next line.
        seekable: Whether a shard can begin there.
    """

    offset: int
    line: int
    seekable: bool = True


def _text_records(manifest: Manifest, shard: Shard | None = None) -> Iterator[tuple[_Record, _End]]:
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
                end = _End(last.end, last.number + 1, not compressed)
                yield _csv_record(line.number, fields, columns), end
        else:
            parse = _json_record if kind == "jsonl" else _list_record
            for line in lines:
                end = _End(line.end, line.number + 1, not compressed)
                if line.error:
                    yield _bad(line.number, line.error), end
                elif line.text.strip():
                    yield parse(line), end
    except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
        if compressed:
            raise ManifestError(
                f"{manifest.uri}: the compressed data is broken or cut off: {error}"
            ) from None
        raise
    finally:
        stream.close()


def _csv_record(line: int, fields: list[str] | str, columns: dict[str, str]) -> _Record:
    if isinstance(fields, str):
        return _bad(line, fields)
    if len(fields) != len(columns):
        return _bad(line, f"{len(fields)} fields where the header has {len(columns)}")
    return _Record(line, dict(zip(columns.values(), fields, strict=True)))


def _json_record(line: _Line) -> _Record:
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
        columns = _columns(values, f"line {line.number}")
    except ManifestError as error:
        return _Record(line.number, {}, RowError(ErrorCode.MANIFEST_ROW, str(error)))
    return _Record(line.number, {columns[k]: v for k, v in values.items()})


def _list_record(line: _Line) -> _Record:
    return _Record(line.number, {"image": line.text.strip()})


# ------------------------------------------------------------------------------ Parquet manifests


def _parquet_records(
    manifest: Manifest, shard: Shard | None, only_names: bool = False
) -> Iterator[tuple[_Record, _End]]:
    """Like `_text_records`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = storage.open_input(manifest.uri, options=manifest.storage_options)
    try:
        try:
            file = pq.ParquetFile(stream)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise ManifestError(f"{manifest.uri}: not a Parquet file: {reason}") from None
        columns = _columns(file.schema_arrow.names, manifest.uri)
        wanted = [
            name for name, ours in columns.items() if not only_names or ours in ("id", "image")
        ]
        groups = range(file.num_row_groups) if shard is None else (shard.start,)
        line = 1 if shard is None else shard.line
        for group in groups:
            for batch in file.iter_batches(1024, row_groups=[group], columns=wanted):
                for record in batch.to_pylist():
                    values = {columns[k]: v for k, v in record.items()}
                    yield _Record(line, values), _End(group + 1, line + 1)
                    line += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ManifestError(f"{manifest.uri}: the Parquet file is broken: {reason}") from None
    finally:
        stream.close()


# ------------------------------------------------------------------------------ survey and reading


def survey(manifest: Manifest) -> Survey:
    """Reads a manifest once, as a stream: its size, its shards, the ids that collide.

    Args:
        manifest: The manifest.

    Returns:
        The survey; about 24 bytes of memory a row.

    Raises:
        ManifestError: The manifest as a whole cannot be used.
        RowError: The store refuses it.
    """
    if manifest.kind == "glob":
        return _survey_glob(manifest)
    names = _Names()
    folder = manifest.folder
    parquet = manifest.kind == "parquet"
    shards: list[Shard] = []
    begin: _End | None = None  # where the shard at hand begins, and its rows so far
    rows, rows_in_shard = 0, 0
    end = _End(0, 1)
    for record, behind in (
        _parquet_records(manifest, None, only_names=True) if parquet else _text_records(manifest)
    ):
        if parquet and behind.offset != end.offset:  # the first row of another row group
            shards.append(Shard(behind.offset - 1, behind.offset, record.line))
        elif not parquet and begin is None:
            begin = end
        rows += 1
        rows_in_shard += 1
        end = behind
        if record.error is None:
            named = {name: record.values.get(name) for name in ("image", "id")}
            names.add(row_from_record(named, folder=folder, line=record.line), record)
        if begin and end.seekable and rows_in_shard >= _SHARD_ROWS // _LEAST_SHARDS:
            shards.append(Shard(begin.offset, end.offset, begin.line))
            begin, rows_in_shard = None, 0
    if begin:
        shards.append(Shard(begin.offset, end.offset if end.seekable else None, begin.line))
    return names.survey(rows, shards if parquet else _coalesced(shards))


def _coalesced(shards: list[Shard]) -> list[Shard]:
    """Joins neighbours so that a small manifest still has shards enough for every worker."""
    step = max(1, min(_LEAST_SHARDS, len(shards) // _LEAST_SHARDS))
    groups = [shards[i : i + step] for i in range(0, len(shards), step)]
    return [Shard(g[0].start, g[-1].end, g[0].line) for g in groups]


def _survey_glob(manifest: Manifest) -> Survey:
    pattern = manifest.uri
    if storage.is_local(pattern) and os.path.isdir(os.path.expanduser(pattern)):
        pattern = pattern.rstrip("/") + "/"
    uris = storage.glob(pattern, options=manifest.storage_options)
    if any(c in manifest.uri.rsplit("/", 1)[-1] for c in "*?["):
        chosen = [uri for uri in uris if not uri.endswith("/")]
    else:  # a folder: its images, not the read-me beside them
        chosen = [u for u in uris if os.path.splitext(u)[1].lower() in _IMAGE_EXTENSIONS]
    if not chosen:
        raise ManifestError(f"{manifest.uri}: no image matches; look at the pattern")
    names = _Names()
    for line, uri in enumerate(chosen, 1):
        names.add(row_from_record({"image": uri}, folder=manifest.folder, line=line), None)
    step = max(1, min(_SHARD_ROWS, len(chosen) // _LEAST_SHARDS))
    shards = [
        Shard(i, None, i + 1, tuple(chosen[i : i + step])) for i in range(0, len(chosen), step)
    ]
    return names.survey(len(chosen), shards)


class _Names:
    """Finds file names that occur more than once, in 24 bytes a row."""

    def __init__(self) -> None:
        self._names = array.array("Q")
        self._uris = array.array("Q")  # 0 where the id is the row's own, not a default
        self._lines = array.array("Q")

    def add(self, row: Row, record: _Record | None) -> None:
        own_id = record is not None and bool(str(record.values.get("id") or "").strip())
        self._names.append(_digest(file_name(row.id).casefold()))
        self._uris.append(0 if own_id else _digest(row.image) | 1)
        self._lines.append(row.line)

    def survey(self, rows: int, shards: list[Shard]) -> Survey:
        names = np.frombuffer(self._names, np.uint64)
        order = np.argsort(names, kind="stable")
        same = np.flatnonzero(names[order[1:]] == names[order[:-1]])
        members = order[np.unique(np.concatenate([same, same + 1]))]
        first_lines: dict[int, int] = {}
        first_uses: dict[int, int] = {}
        uris: dict[int, set[int]] = {}
        for index in sorted(members):  # ascending index, so the first seen is the first line
            name, uri = self._names[index], self._uris[index]
            first_lines.setdefault(name, self._lines[index])
            uris.setdefault(name, set()).add(uri)
            if uri:
                first_uses.setdefault(uri, self._lines[index])
        ambiguous = frozenset(name for name, of in uris.items() if len(of - {0}) > 1)
        return Survey(rows, shards, first_lines, ambiguous, first_uses)


def read_shard(
    manifest: Manifest, shard: Shard, collisions: Collisions | None = None
) -> Iterator[Row]:
    """Reads the rows of one shard, pending ones and failed ones, in order.

    Args:
        manifest: The manifest.
        shard: One of its shards, from `survey`.
        collisions: From the same survey; ids that occur there are made distinct where they are
            defaults, and refused where they are the rows' own.

    Yields:
        One row a record.
    """
    collisions = collisions or Collisions()
    records: Iterable[_Record]
    if manifest.kind == "glob":
        records = (_Record(shard.line + i, {"image": u}) for i, u in enumerate(shard.uris))
    elif manifest.kind == "parquet":
        records = (record for record, _ in _parquet_records(manifest, shard))
    else:
        records = (record for record, _ in _text_records(manifest, shard))
    folder = manifest.folder
    for record in records:
        if record.error is not None:
            row = Row(id=f"line-{record.line}", image="", line=record.line)
            yield row.failed("manifest", record.error)
            continue
        row = row_from_record(
            record.values, folder=folder, defaults=manifest.defaults, line=record.line
        )
        if collisions.first_lines:
            own_id = bool(str(record.values.get("id") or "").strip())
            row = _distinct(row, own_id, collisions)
        yield row


def _distinct(row: Row, own_id: bool, collisions: Collisions) -> Row:
    name = _digest(file_name(row.id).casefold())
    first = collisions.first_lines.get(name)
    if first is None:
        return row
    if not own_id and name in collisions.ambiguous:
        first = collisions.first_uses.get(_digest(row.image) | 1, row.line)
        row = row._replace(id=f"{row.id}-{_suffix(row.image)}")
    if first == row.line or row.error_code is not None:
        return row
    return row.failed(
        "manifest",
        RowError(
            ErrorCode.DUPLICATE_ID,
            f"line {row.line}: the id {row.id!r} stands on line {first} already; "
            "ids must be unique (letter case does not count)",
        ),
    )


class ReadManifest(beam.PTransform):
    """Reads a manifest into rows: pending ones, and failed ones that say what is wrong.

    Args:
        manifest: A `Manifest`, or the URI of one.
        redistribute: Spread the rows over all workers. Leave it on for distributed runners. One
            machine's runner keeps what is redistributed in memory, and needs it not.
        on_survey: Called on the worker with the number of rows, once it is known.
    """

    def __init__(
        self,
        manifest: Manifest | str,
        *,
        redistribute: bool = True,
        on_survey: Any = None,
    ) -> None:
        super().__init__()
        self._manifest = Manifest(manifest) if isinstance(manifest, str) else manifest
        self._redistribute = redistribute
        self._on_survey = on_survey

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        """Builds the step."""
        surveyed = (
            pbegin
            | "Manifest" >> beam.Create([None])
            | "Survey"
            >> beam.ParDo(_SurveyFn(self._manifest, self._on_survey)).with_outputs(
                "collisions", main="shards"
            )
        )
        rows = (
            surveyed.shards
            | "SpreadShards" >> beam.Reshuffle()
            | "ReadShards"
            >> beam.ParDo(
                _ReadShardFn(self._manifest), beam.pvalue.AsSingleton(surveyed.collisions)
            )
        )
        return rows | "SpreadRows" >> beam.Reshuffle() if self._redistribute else rows


class _SurveyFn(beam.DoFn):
    def __init__(self, manifest: Manifest, on_survey: Any) -> None:
        self._manifest = manifest
        self._on_survey = on_survey

    def process(self, _: Any) -> Iterator[Any]:
        result = survey(self._manifest)
        if self._on_survey is not None:
            self._on_survey(result.rows)
        yield beam.pvalue.TaggedOutput("collisions", result.collisions)
        yield from result.shards


class _ReadShardFn(beam.DoFn):
    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def process(self, shard: Shard, collisions: Collisions) -> Iterator[Row]:
        yield from read_shard(self._manifest, shard, collisions)

    def infer_output_type(self, input_type: Any) -> Any:
        return Row
