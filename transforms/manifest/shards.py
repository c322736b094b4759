"""The two passes over a manifest: `survey` looks at it, `read_shard` makes its rows."""

from __future__ import annotations

import array
import functools
import itertools
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.names import (
    IMAGE_EXTENSIONS,
    checksum,
    digest,
    file_name,
    suffix,
)
from alphabeam.transforms.manifest.parquet import parquet_records
from alphabeam.transforms.manifest.parts import has_pattern, matches, part_of, parts_of
from alphabeam.transforms.manifest.records import End, Record, text_records
from alphabeam.transforms.manifest.rows import id_and_image, own_id, row_from_record
from alphabeam.transforms.manifest.source import Manifest, ManifestError, Shard
from alphabeam.transforms.rows import FAILED, PENDING, Row
from alphabeam.transforms.spill import Spill, repeated

__all__ = [
    "NAME",
    "Collisions",
    "File",
    "Names",
    "Survey",
    "read_shard",
    "survey",
    "survey_file",
    "survey_of",
]

_logger = logging.getLogger(__name__)

_SHARD_ROWS = 2048
_LEAST_SHARDS = 64
_MOST_SHARDS = 8192  # that are held while the manifest is read
_AT_ONCE = 8192
_GROUP_ROWS = 256  # of a Parquet row group; whoever reads a later shard of it reads over the others


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
        lines: Checksum of the rows' lines, to prove later that each came through once.
        version: The manifest's version, as the store gives it; empty for a glob.
    """

    rows: int
    shards: list[Shard]
    first_lines: dict[int, int]
    ambiguous: frozenset[int]
    first_uses: dict[int, int]
    lines: int = 0
    version: str = ""

    @property
    def collisions(self) -> Collisions:
        """The part that reading a shard needs."""
        return Collisions(self.first_lines, self.ambiguous, self.first_uses, self.version)


class Collisions(NamedTuple):
    """Ids that occur more than once, and the version that was surveyed; see `Survey`."""

    first_lines: Mapping[int, int] = {}
    ambiguous: frozenset[int] = frozenset()
    first_uses: Mapping[int, int] = {}
    version: str = ""


def survey(manifest: Manifest) -> Survey:
    """Reads a manifest once, as a stream: its size, its shards, the ids that collide.

    Args:
        manifest: The manifest.

    Returns:
        The survey. What is compared of all rows, 24 bytes each, is on disk where there are many.

    Raises:
        ManifestError: The manifest as a whole cannot be used.
        RowError: The store refuses it.
    """
    with Spill(NAME) as spill:
        if manifest.kind == "glob":
            return _survey_glob(manifest, Names(spill))
        return _survey_files(manifest, Names(spill))


def _survey_files(manifest: Manifest, names: Names) -> Survey:
    parts = parts_of(manifest)
    whole = parts == [manifest]
    rows, lines, version, first = 0, Lines(), "", 1
    shards: list[Shard] = []
    for part in parts:
        found = survey_file(part, names, manifest.folder, lines.add, first)
        rows, version = rows + found.rows, found.version
        shards += (
            found.shards if whole else [one.of(part.uri, first, version) for one in found.shards]
        )
        first = found.next_line
    names.warn(manifest)
    surveyed = names.survey(rows, shards)
    return replace(surveyed, lines=lines.checksum(), version=version if whole else "")


class Lines:
    """The checksum of lines that come one by one."""

    def __init__(self) -> None:
        self._waiting = array.array("q")
        self._sum = 0

    def add(self, line: int) -> None:
        """Takes a line."""
        self._waiting.append(line)
        if len(self._waiting) == _AT_ONCE:
            self.checksum()

    def checksum(self) -> int:
        """The checksum so far."""
        self._sum = checksum(np.array(self._waiting, np.int64), self._sum)
        del self._waiting[:]
        return self._sum


class File(NamedTuple):
    """What one pass over one file tells."""

    rows: int
    shards: list[Shard]
    next_line: int
    version: str


def survey_file(
    manifest: Manifest, names: Names, folder: str, on_line: Callable[[int], None], first: int = 1
) -> File:
    """Reads one file of a manifest once.

    Args:
        manifest: Of this file alone.
        names: Get the rows' names.
        folder: The whole manifest's, which ids are relative to.
        on_line: Called with the line of each row.
        first: Number of the file's first line.

    Raises:
        ManifestError: The file cannot be used, or was replaced meanwhile.
        RowError: The store refuses it.
    """
    version = storage.stat(manifest.uri, options=manifest.storage_options).version
    parquet = manifest.kind == "parquet"
    shards: list[Shard] = []
    begin: End | None = None  # where the shard at hand begins, and its rows so far
    rows, rows_in_shard = 0, 0
    grain = _GROUP_ROWS if parquet else _SHARD_ROWS // _LEAST_SHARDS
    left_out: Counter[str] = Counter()
    end = End(0, first)
    for record, behind in (
        parquet_records(manifest, None, only_names=True, first=first)
        if parquet
        else text_records(manifest, first=first)
    ):
        if parquet and (behind.offset != end.offset or rows_in_shard == grain):
            shards.append(Shard(behind.offset - 1, None, record.line))
            rows_in_shard = 0
        elif not parquet and begin is None:
            begin = end
        rows_in_shard += 1
        end = behind
        if record.left_out:
            left_out[record.left_out] += 1
        else:
            rows += 1
            on_line(record.line)
        if record.error is None and not record.left_out:
            names.add(record, folder)
        if begin and end.seekable and rows_in_shard >= grain:
            shards.append(Shard(begin.offset, end.offset, begin.line))
            begin, rows_in_shard = None, 0
            if len(shards) == _MOST_SHARDS and grain < _SHARD_ROWS:
                shards, grain = _joined(shards, 2), 2 * grain
    if begin:
        shards.append(Shard(begin.offset, end.offset if end.seekable else None, begin.line))
    if parquet:  # each ends where the next one begins
        behind_each = [*(shard.line for shard in shards[1:]), end.line]
        shards = [
            shard._replace(end=line) for shard, line in zip(shards, behind_each, strict=False)
        ]
    _check_version(manifest, version)
    for what, number in left_out.items():
        _logger.warning("%s: %d %s are left out", manifest.shown, number, what)
    shards = _coalesced(shards, parquet, _SHARD_ROWS // grain)
    return File(rows, shards, end.line, version)


def _check_version(manifest: Manifest, version: str) -> None:
    """Makes sure that the manifest is still the one that was surveyed.

    Raises:
        ManifestError: It was replaced: its rows would be lost or doubled.
    """
    now = storage.stat(manifest.uri, options=manifest.storage_options).version
    if now != version:
        raise ManifestError(
            f"{manifest.shown}: the manifest changed while the job ran; start the job again"
        )


def _coalesced(shards: list[Shard], parquet: bool, most: int) -> list[Shard]:
    """Joins neighbours so that a small manifest still has shards enough for every worker.

    Those of a Parquet file are joined within their row group.

    Args:
        shards: All of a file.
        parquet: Whether it is one.
        most: How many of them make a shard of a large manifest.
    """
    step = max(1, min(most, len(shards) // _LEAST_SHARDS))
    apart = itertools.groupby(shards, lambda shard: shard.start if parquet else 0)
    return [one for _, found in apart for one in _joined([*found], step)]


def _joined(shards: list[Shard], step: int) -> list[Shard]:
    groups = [shards[i : i + step] for i in range(0, len(shards), step)]
    return [Shard(g[0].start, g[-1].end, g[0].line) for g in groups]


def _survey_glob(manifest: Manifest, names: Names) -> Survey:
    uris = matches(manifest)
    if has_pattern(manifest.uri.rsplit("/", 1)[-1]):
        chosen = [uri for uri in uris if not uri.endswith("/")]
    else:  # a folder: its images, not the read-me beside them
        chosen = [u for u in uris if os.path.splitext(u)[1].lower() in IMAGE_EXTENSIONS]
    excluded = tuple(map(storage.canonical, manifest.exclude))
    if excluded:
        chosen = [uri for uri in chosen if not storage.canonical(uri).startswith(excluded)]
    if not chosen and not manifest.allow_empty:
        raise ManifestError(f"{manifest.shown}: no image matches; check the pattern")
    for line, uri in enumerate(chosen, 1):
        names.add(Record(line, {"image": uri}), manifest.folder)
    step = max(1, min(_SHARD_ROWS, len(chosen) // _LEAST_SHARDS))
    shards = [
        Shard(i, None, i + 1, tuple(chosen[i : i + step])) for i in range(0, len(chosen), step)
    ]
    lines = checksum(range(1, len(chosen) + 1))
    return replace(names.survey(len(chosen), shards), lines=lines)


# Key: digest of the row's file name. URI: 0 where the id is the row's own, not a default.
NAME = np.dtype([("key", "<u8"), ("uri", "<u8"), ("line", "<u8")])


# A number as a spreadsheet shows it where the column is too narrow, in the formats of all locales.
_SHORTENED = re.compile(r"[-+]?\d([.,]\d+)?[eE]\+\d+")


class Names:
    """Finds file names that occur more than once, and ids that a spreadsheet has spoilt.

    Args:
        spill: Where what is known of the rows is kept.
    """

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._shortened = 0
        self._example = ("", 0)

    def add(self, record: Record, folder: str) -> None:
        """Takes a row."""
        id, image = id_and_image(record.values, folder=folder, line=record.line)
        name = digest(file_name(id, keep=True).casefold())
        own = own_id(record.values)
        if _SHORTENED.fullmatch(own):
            self._example = self._example if self._shortened else (own, record.line)
            self._shortened += 1
        uri = 0 if own else digest(image) | 1
        self._spill.append(name, uri, record.line)

    def warn(self, manifest: Manifest) -> None:
        """Says how many ids a spreadsheet has shortened, if it has any."""
        if self._shortened:
            _warn_of_shortened(manifest.shown, self._shortened, *self._example)

    def buckets(self) -> Iterator[NDArray[Any]]:
        """All of them, records of `NAME`, by the top bits of their keys."""
        return iter(self._spill)

    def survey(self, rows: int, shards: list[Shard]) -> Survey:
        """The survey, with what collides."""
        return survey_of(rows, shards, map(repeated, self.buckets()))


@functools.cache  # a job may survey its manifest more than once
def _warn_of_shortened(manifest: str, count: int, id: str, line: int) -> None:
    _logger.warning(
        "%s: %s lost digits in a spreadsheet, such as %s in line %d; format the column as text "
        "there, and export it again",
        manifest,
        "1 id has" if count == 1 else f"{count} ids have",
        id,
        line,
    )


def survey_of(rows: int, shards: list[Shard], same: Iterable[NDArray[Any]]) -> Survey:
    """The survey.

    Args:
        rows: How many there are.
        shards: Where they stand.
        same: Records of `NAME` whose names occur more than once, all of one name together, in the
            order of their lines.
    """
    first_lines: dict[int, int] = {}
    first_uses: dict[int, int] = {}
    ambiguous: set[int] = set()
    for found in same:
        uris: dict[int, set[int]] = {}
        for name, uri, line in found.tolist():
            first_lines.setdefault(name, line)
            uris.setdefault(name, set()).add(uri)
            if uri:
                first_uses.setdefault(uri, line)
        ambiguous.update(name for name, of in uris.items() if len(of - {0}) > 1)
    return Survey(rows, shards, first_lines, frozenset(ambiguous), first_uses)


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
    file = part_of(manifest, shard.part) if shard.part else manifest
    version = shard.version or collisions.version
    if version and manifest.kind != "glob":
        _check_version(file, version)
    records: Iterable[Record]
    if manifest.kind == "glob":
        records = (Record(shard.line + i, {"image": u}) for i, u in enumerate(shard.uris))
    elif manifest.kind == "parquet":
        records = (record for record, _ in parquet_records(file, shard))
    else:
        records = (record for record, _ in text_records(file, shard, shard.first))
    folder = manifest.folder
    for record in records:
        if record.left_out:
            continue
        if record.error is not None:
            row = Row(id=f"line-{record.line}", image="", line=record.line)
            yield _placed(row.failed("manifest", record.error), shard)
            continue
        row = row_from_record(
            record.values, folder=folder, defaults=manifest.defaults, line=record.line
        )
        if collisions.first_lines:
            row = _distinct(row, bool(own_id(record.values)), collisions)
        yield _placed(_pinned(row, file.uri, version), shard)


def _pinned(row: Row, file: str, version: str) -> Row:
    """The row; a link into the manifest itself is good for the version that was surveyed alone.

    If the file is replaced while the job runs, another picture may be where the link leads.
    """
    picture = storage.embedded(row.image) if row.status == PENDING else None
    if picture is None or not row.image.endswith(f"::{file}"):
        return row
    return row._replace(image=picture.pinned(version).uri)


def _placed(row: Row, shard: Shard) -> Row:
    """The row; a failed one of a manifest of several files says which of them it is in."""
    if not shard.part or row.status != FAILED:
        return row
    name = storage.redact(shard.part.rsplit("/", 1)[-1])
    where = f"{row.error_message} ({name}, line {row.line - shard.first + 1})"
    return row._replace(error_message=where[:1000])


def _distinct(row: Row, named: bool, collisions: Collisions) -> Row:
    name = digest(file_name(row.id, keep=True).casefold())
    first = collisions.first_lines.get(name)
    if first is None:
        return row
    if not named and name in collisions.ambiguous:
        first = collisions.first_uses.get(digest(row.image) | 1, row.line)
        row = row._replace(id=f"{row.id}-{suffix(row.image)}")
    if first == row.line or row.error_code is not None:
        return row
    used = row.line if named else collisions.first_uses.get(digest(row.image) | 1, row.line)
    if used != row.line:
        reason = (
            f"line {used} names the same image, and neither row has an id; give each an id (a "
            "column 'id', or input.columns: {id: NAME}), or leave one out"
        )
    else:
        reason = (
            f"the id {row.id!r} stands on line {first} already; "
            f"ids must be unique (letter case does not count){_shortened(row.id)}"
        )
    error = RowError(ErrorCode.DUPLICATE_ID, f"line {row.line}: {reason}")
    return row.failed("manifest", error)


def _shortened(id: str) -> str:
    """What became of a long number that a spreadsheet shows as 4.00638E+12."""
    if _SHORTENED.fullmatch(id) is None:
        return ""
    return "; a spreadsheet has shortened it: format the column as text, and export it again"
