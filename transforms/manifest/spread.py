"""A survey on many workers: each reads one file of the manifest, ids are compared by a shuffle.

`survey_part` is what a worker does, `colliding` compares the names that begin with the same bits,
`merged` makes of it what `survey` makes of all files in one process: the same survey.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.manifest.names import checksum
from alphabeam.transforms.manifest.parts import part_of
from alphabeam.transforms.manifest.shards import (
    NAME,
    File,
    Names,
    Survey,
    survey_file,
    survey_of,
)
from alphabeam.transforms.manifest.source import Manifest, Shard
from alphabeam.transforms.spill import Spill, repeated

__all__ = ["Block", "PartSurvey", "colliding", "merged", "survey_part"]

# A name, and on which line of which file it stands.
_PLACED = np.dtype([*NAME.descr, ("file", "<u4")])


class PartSurvey(NamedTuple):
    """What is known of one file of a manifest.

    Attributes:
        number: The file's, from 0.
        uri: The file; empty for a manifest that is one file.
        file: Rows, shards and version; lines are counted from 1.
        lines: The rows' lines, packed.
    """

    number: int
    uri: str
    file: File
    lines: bytes


class Block(NamedTuple):
    """Names of one file that begin with the same bits, records of `NAME`."""

    number: int
    names: bytes


def survey_part(
    manifest: Manifest, number: int, uri: str
) -> Iterator[PartSurvey | tuple[int, Block]]:
    """Reads one file of a manifest.

    Args:
        manifest: The whole manifest.
        number: The file's, from 0.
        uri: The file; empty for a manifest that is one file.

    Yields:
        The names, with the number of their bucket; then what else is known of the file.

    Raises:
        ManifestError: The file cannot be used, or was replaced meanwhile.
        RowError: The store refuses it.
    """
    part = part_of(manifest, uri) if uri else manifest
    lines = _Packed()
    with Spill(NAME) as spill:
        names = Names(spill)
        file = survey_file(part, names, manifest.folder, lines.add)
        names.warn(part)
        for bucket, found in enumerate(names.buckets()):
            if len(found):
                yield bucket, Block(number, found.tobytes())
    yield PartSurvey(number, uri, file, lines.end())


def colliding(blocks: Iterable[Block]) -> bytes:
    """Of the names in one bucket, those that occur more than once, with their files."""
    placed = []
    for block in sorted(blocks):
        names = np.frombuffer(block.names, NAME)
        own = np.empty(len(names), _PLACED)
        for field in NAME.names or ():
            own[field] = names[field]
        own["file"] = block.number
        placed.append(own)
    return repeated(np.concatenate(placed)).tobytes()


def merged(manifest: Manifest, parts: Iterable[PartSurvey], same: Iterable[bytes]) -> Survey:
    """The survey of a manifest whose files were read by themselves.

    Args:
        manifest: The manifest.
        parts: Of all its files.
        same: What `colliding` found in all buckets.
    """
    parquet = manifest.kind == "parquet"
    rows, lines, version, before = 0, 0, "", [0]
    shards: list[Shard] = []
    for part in sorted(parts, key=lambda one: one.number):
        rows += part.file.rows
        lines = checksum(_unpacked(part.lines) + before[-1], lines)
        if part.uri:
            shards += [
                one.shifted(before[-1], parquet).of(part.uri, before[-1] + 1, part.file.version)
                for one in part.file.shards
            ]
        else:
            shards, version = part.file.shards, part.file.version
        before.append(before[-1] + part.file.next_line - 1)
    surveyed = survey_of(rows, shards, _with_lines(same, before))
    return replace(surveyed, lines=lines, version=version)


def _with_lines(same: Iterable[bytes], before: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The same records with the lines of the whole manifest."""
    shift = np.array(before, np.uint64)
    for data in same:
        placed = np.frombuffer(data, _PLACED)
        found = np.empty(len(placed), NAME)
        found["key"], found["uri"] = placed["key"], placed["uri"]
        found["line"] = placed["line"] + shift[placed["file"]]
        yield found


class _Packed:
    """Lines, packed: those of most manifests follow one another, and take next to nothing."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(1)
        self._packed: list[bytes] = []
        self._waiting: list[int] = []
        self._last = 0

    def add(self, line: int) -> None:
        self._waiting.append(line)
        if len(self._waiting) == 8192:
            self._flush()

    def end(self) -> bytes:
        self._flush()
        return b"".join([*self._packed, self._packer.flush()])

    def _flush(self) -> None:
        steps = np.diff(np.array([self._last, *self._waiting], np.int64)).astype("<u4")
        self._packed.append(self._packer.compress(steps.tobytes()))
        self._last = self._waiting[-1] if self._waiting else self._last
        self._waiting.clear()


def _unpacked(data: bytes) -> NDArray[np.int64]:
    return np.cumsum(np.frombuffer(zlib.decompress(data), "<u4"), dtype=np.int64)
