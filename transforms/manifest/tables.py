"""CSV as people, spreadsheets and shops write it: one bad line costs one record."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from alphabeam.transforms.manifest.columns import Columns, columns_of
from alphabeam.transforms.manifest.source import ManifestError
from alphabeam.transforms.manifest.text import MAX_LINE_BYTES, Line, Text, lines_of

__all__ = ["Found", "Header", "header_of", "records_of"]

# A quoted field may hold line breaks, such as a shop's descriptions in HTML. Past this much a
# quote is taken for a stray one.
_MAX_RECORD_LINES = 10_000
_MAX_RECORD_BYTES = MAX_LINE_BYTES
# Past so many lines it is looked whether they are records of their own.
_PLAUSIBLE_LINES = 50
_LONGEST_PLAIN = 1 << 16  # what is longer may hold a field that the csv module refuses

_DELIMITERS = (",", ";", "\t", "|")
_SEP = re.compile(r'^"?sep=(.)"?[,;\t|]*$', re.IGNORECASE)  # what Excel heeds
_OPEN = "unexpected end of data"

# The module's own limit is for the whole process; it is only ever raised.
csv.field_size_limit(max(csv.field_size_limit(), _MAX_RECORD_BYTES))


class Header(NamedTuple):
    """A table's header.

    Attributes:
        delimiter: What separates fields.
        names: The columns, in order; trailing ones may be empty.
        columns: Ours by theirs.
        offset: Of the first byte behind it.
        line: Number of the line behind it.
    """

    delimiter: str
    names: list[str]
    columns: Columns
    offset: int
    line: int

    @property
    def keys(self) -> list[str | None]:
        """Our name of each column; None for one without a name."""
        return [self.columns[name] if name.strip() else None for name in self.names]

    @property
    def least(self) -> int:
        """Columns up to the last one that has a name."""
        return max(number for number, name in enumerate(self.names, 1) if name.strip())

    @property
    def image(self) -> int:
        """Index of the images' column."""
        return next(n for n, name in enumerate(self.names) if self.columns.get(name) == "image")


class Found(NamedTuple):
    """A record: its first and last line, and its fields or what is wrong with it.

    One that is ``short`` lacks cells at its end, and the next line looks like its rest. No shard
    may begin between the two.
    """

    first: Line
    last: Line
    fields: list[str] | str
    short: bool = False


def header_of(
    text: Text,
    shown: str,
    delimiter: str,
    given: Mapping[str, str] | None = None,
    number: int = 1,
) -> tuple[Header, Iterator[Line]]:
    """Reads a table's header from the text's beginning.

    Args:
        text: Its stream is at its beginning.
        shown: The manifest, for messages.
        delimiter: What separates fields; "auto" for what the header shows.
        given: As for `columns_of`.
        number: Of the first line.

    Returns:
        The header, and the lines behind it.

    Raises:
        ManifestError: There is none, or it is of no use.
    """
    lines = lines_of(text, 0, number)
    first: Line | None = None
    for line in lines:
        if line.error:
            raise ManifestError(f"{shown}:{line.number - number + 1}: header: {line.error}")
        said = _SEP.match(line.text.strip())
        if first is None and said:
            delimiter = said[1] if delimiter == "auto" else delimiter
        elif line.text.strip(' ",;\t|'):
            first = line
            break
    if first is None:
        raise ManifestError(f"{shown}: the file is empty; a header with 'image' is needed")
    more: list[Line] = []
    found: Header | None = None
    wrong: ManifestError | None = None
    most = 0
    for one in _DELIMITERS if delimiter == "auto" else (delimiter,):
        source = _Source(lines, [first, *more])
        record = _record(source, one, None)
        assert record is not None
        more = [*source.taken, *source.ahead][1:]
        try:
            where = f"{shown}:{first.number - number + 1}"
            header = _header(record, where, one, given)
        except ManifestError as error:
            width = first.text.count(one) + 1
            if width > most or wrong is None:
                most, wrong = width, error
            continue
        if found is None or len(header.names) > len(found.names):
            found = header
    if found is None:
        assert wrong is not None
        raise wrong
    behind = (line for line in more if line.number >= found.line)
    return found, itertools.chain(behind, lines)


def _header(record: Found, where: str, delimiter: str, given: Mapping[str, str] | None) -> Header:
    if isinstance(record.fields, str):
        raise ManifestError(f"{where}: header: {record.fields}")
    named = [name for name in record.fields if name.strip()]
    if len(set(named)) < len(named):
        twice = ", ".join(record.fields)
        raise ManifestError(f"{where}: a column name occurs twice: {twice}")
    columns = columns_of(record.fields, where, given)
    return Header(delimiter, record.fields, columns, record.last.end, record.last.number + 1)


class _Source:
    """Lines that can be put back."""

    def __init__(self, lines: Iterator[Line], ahead: list[Line] | None = None) -> None:
        self._lines = lines
        self.ahead = ahead or []
        self.taken: list[Line] = []

    def next(self) -> Line | None:
        line = self.ahead.pop(0) if self.ahead else next(self._lines, None)
        if line is not None:
            self.taken.append(line)
        return line

    def back(self, keep: int) -> None:
        """Puts back all the lines taken but the first ``keep``."""
        self.ahead[:0] = self.taken[keep:]
        del self.taken[keep:]


def records_of(lines: Iterator[Line], header: Header) -> Iterator[Found]:
    """The records behind the header; blank ones are left out.

    A record is complete when the csv module, in strict mode, takes it. One that ends inside quotes
    is given further lines; if that does not complete it, its first line alone is the bad record and
    reading goes on with the line behind it.
    """
    source = _Source(lines)
    before: Found | None = None  # a short record, held back
    while True:
        source.taken.clear()
        found = _record(source, header.delimiter, header)
        if before is not None:
            yield _whole(before, found)
            before = None
        if found is None:
            return
        if found.short:
            before = found
        elif isinstance(found.fields, str) or any(map(str.strip, found.fields)):
            yield found


def _whole(short: Found, behind: Found | None) -> Found:
    """A short record, or what is wrong with it if the line behind is no record but its rest."""
    if behind is None or isinstance(behind.fields, list):
        return short._replace(short=False)
    return short._replace(
        fields="cells are missing at its end, and the next line is no row; put cells with line "
        "breaks in quotes"
    )


def _record(source: _Source, delimiter: str, header: Header | None) -> Found | None:
    first = source.next()
    if first is None:
        return None
    if first.error:
        return Found(first, first, first.error)
    plain = _plain_fields(first.text, delimiter)
    if plain is not None and header is not None and len(plain) == len(header.names):
        return Found(first, first, plain)
    fields = _fitted(plain or _fields(source, delimiter, header, escaped=False), header)
    lines = len(source.taken)
    if isinstance(fields, str) and any('\\"' in line.text for line in source.taken):
        source.back(1)
        escaped = _fitted(_fields(source, delimiter, header, escaped=True), header)
        if isinstance(escaped, list):
            fields, lines = escaped, len(source.taken)
        else:
            source.back(1)
            while len(source.taken) < lines:
                source.next()
    if fields == _OPEN:
        source.back(1)
        fields = "a quote is opened and never closed"
    if isinstance(fields, str) and header is not None and len(source.taken) == 1:
        cells = _short(first, header)
        if cells is not None and first.ended:
            return Found(first, first, cells, short=True)
        fields = f"the line is cut off: {fields}" if cells is not None else fields
    bad = next((line.error for line in source.taken if line.error), None)
    return Found(first, source.taken[-1], bad or fields)


def _plain_fields(text: str, delimiter: str) -> list[str] | None:
    """The fields of a line without quotes, which most lines are; None for any other.

    The same as the csv module gives, in a fifth of the time.
    """
    if not text or '"' in text or "\r" in text or len(text) > _LONGEST_PLAIN:
        return None
    return text.split(delimiter)


def _short(line: Line, header: Header) -> list[str] | None:
    """The cells of a line that lacks some at its end, as Excel leaves out empty ones.

    Only if there is an image among them, or the rest of a broken line would be taken for a row.
    """
    try:
        cells = next(csv.reader([line.text], delimiter=header.delimiter, strict=True), [])
    except csv.Error:
        return None
    if not header.image < len(cells) < header.least or '\\"' in line.text:
        return None
    image = cells[header.image].strip()
    if "://" not in image and not _is_image(image):
        return None
    return [*cells, *[""] * (len(header.names) - len(cells))]


def _fields(
    source: _Source, delimiter: str, header: Header | None, *, escaped: bool
) -> list[str] | str:
    """The fields of the record whose first line was just taken; takes the lines that it needs.

    With ``escaped``, a backslash before a quote means that the quote is part of the field.
    """

    def text_of(line: Line) -> str:
        return _BACKSLASH.sub(_plain_csv, line.text) if escaped else line.text

    def parse(texts: Iterator[str]) -> list[str] | str:
        try:
            return next(csv.reader(texts, delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            return str(error).partition(" - ")[0]

    def more() -> Iterator[str]:
        size = 0
        for line in source.taken[:1]:
            yield text_of(line) + "\n"
        while len(source.taken) < _MAX_RECORD_LINES and size < _MAX_RECORD_BYTES:
            line_behind = source.next()
            if line_behind is None:
                return
            size += len(line_behind.text)
            yield text_of(line_behind) + "\n"

    fields = parse(iter([text_of(source.taken[0])]))
    if fields != _OPEN:
        return fields
    fields = parse(more())
    if isinstance(fields, str) or _holds_records(source.taken, delimiter, header):
        return _OPEN
    return fields


_BACKSLASH = re.compile(r'\\(["\\])')


def _plain_csv(match: re.Match[str]) -> str:
    return '""' if match[1] == '"' else "\\"


def _holds_records(lines: list[Line], delimiter: str, header: Header | None) -> bool:
    """Whether most lines inside a very long record are records of their own, with images."""
    if header is None or len(header.names) < 2 or len(lines) <= _PLAUSIBLE_LINES:
        return False
    alike = 0
    for line in lines[1:-1]:
        fields = line.text.split(delimiter)
        if len(fields) == len(header.names) and _is_image(fields[header.image].strip()):
            alike += 1
    return 2 * alike > len(lines)


_NAME = re.compile(r"[^<>\"\s][^<>\"]*")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{2,5}(\?|$)")


def _is_image(cell: str) -> bool:
    """Whether a cell names an image as a manifest does, and as no sentence and no HTML does.

    It may have a query, which has no spaces: so its extension is in the last word.
    """
    if not _NAME.fullmatch(cell):
        return False
    word = len(cell) - len(cell.split()[-1])
    return _EXTENSION.search(cell, max(1, word)) is not None


def _fitted(fields: list[str] | str, header: Header | None) -> list[str] | str:
    """As many fields as the header has; empty ones at the end may be missing or too many."""
    if isinstance(fields, str) or header is None or not any(map(str.strip, fields)):
        return fields
    width = len(header.names)
    if header.least <= len(fields) < width:
        return [*fields, *[""] * (width - len(fields))]
    if len(fields) > width and not any(map(str.strip, fields[width:])):
        return fields[:width]
    if len(fields) != width:
        return f"{len(fields)} fields where the header has {header.least}"
    return fields
