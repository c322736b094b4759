"""Which manifest to read, in which format; and the stretches that it is read in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from alphabeam.transforms import storage
from alphabeam.transforms.parameters import MattingParameters

__all__ = ["Manifest", "ManifestError", "ManifestFormat", "Shard", "braced", "table_extension"]

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


# What a job and a report write (a browser numbers a second download). The settings of a job's own
# manifest do not hold for them.
_OURS = re.compile(r"(?:.*/)?(?:failures\.jsonl|decisions[-_ ()0-9]*\.csv)")


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
        exclude: What a glob leaves out: objects, and folders with a ``/`` at their ends.
        allow_empty: Whether a glob may match nothing.
        delimiter: What separates a CSV's fields; ``auto`` for what its header shows.
        encoding: Python's name of a text's encoding; ``auto`` for what its content shows.
        columns: The manifest's own names for ours, such as ``{"image": "Foto 2"}``.

    ``failures.jsonl`` and ``decisions.csv``, which jobs and reports write, are read as what they
    are, whatever format, delimiter and encoding say.
    """

    uri: str
    format: ManifestFormat = "auto"
    defaults: MattingParameters = field(default_factory=MattingParameters)
    storage_options: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    exclude: tuple[str, ...] = ()
    allow_empty: bool = False
    delimiter: str = "auto"
    encoding: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if _OURS.fullmatch(self.uri):
            for name in ("format", "delimiter", "encoding"):
                object.__setattr__(self, name, "auto")
        if self.format not in get_args(ManifestFormat):
            raise ValueError(
                f"manifest format {self.format!r} is not one of "
                f"{', '.join(get_args(ManifestFormat))}"
            )
        if self.delimiter not in ("auto", "tab") and len(self.delimiter) != 1:
            raise ValueError(f"delimiter {self.delimiter!r} is not one character, tab or auto")
        try:
            "".encode("utf-8" if self.encoding == "auto" else self.encoding)
        except LookupError:
            raise ValueError(
                f"encoding {self.encoding!r} is not known; try utf-8 or cp1252"
            ) from None

    @property
    def shown(self) -> str:
        """The URI as messages show it."""
        return storage.redact(self.uri)

    @property
    def kind(self) -> ManifestFormat:
        """The format, with ``auto`` decided by the name.

        Raises:
            ManifestError: The name tells nothing.
        """
        if self.format != "auto":
            return self.format
        uri = self.uri
        if uri.lower().startswith(("http://", "https://")):
            uri = re.split("[?#]", uri, maxsplit=1)[0]  # a query is no pattern
        uri = re.sub(r"\?versionId=[^/]*$", "", uri)
        extension = table_extension(uri.rstrip("/"))
        if extension:
            return _EXTENSIONS[extension]
        if any(c in uri for c in "*?[") or len(braced(uri)) > 1 or uri.endswith("/"):
            return "glob"
        if storage.is_local(self.uri) and os.path.isdir(os.path.expanduser(self.uri)):
            return "glob"
        raise ManifestError(
            f"{self.shown}: the name does not show the format; "
            "say input.format: csv, tsv, jsonl, parquet, list or glob"
        )

    @property
    def folder(self) -> str:
        """What relative image URIs and default ids are relative to."""
        fixed = re.split(r"[*?\[]|\{(?=[^{}/]*,)", self.uri, maxsplit=1)[0]
        if self.kind == "glob":
            if fixed == self.uri:
                return fixed
            folder, slash, _ = fixed.rpartition("/")
            return folder or slash or "."
        if fixed != self.uri and not self.uri.lower().startswith(("http://", "https://")):
            folder, slash, _ = re.sub(r"\?versionId=[^/]*$", "", fixed).rpartition("/")
            return folder or slash or "."
        return storage.parent(self.uri)


def table_extension(uri: str) -> str:
    """The extension that tells a manifest's format; empty if there is none."""
    name = uri.rsplit("/", 1)[-1].lower()
    extension = os.path.splitext(re.sub(r"\.(gz|gzip|zst|zstd)$", "", name))[1]
    return extension if extension in _EXTENSIONS else ""


def braced(pattern: str) -> list[str]:
    """The patterns that one with braces stands for: ``a.{jpg,png}`` is ``a.jpg`` and ``a.png``."""
    found = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [one for choice in found[1].split(",") for one in braced(f"{before}{choice}{after}")]


class Shard(NamedTuple):
    """A stretch of a manifest that one worker reads.

    Attributes:
        start: First byte of a text manifest; row group of a Parquet one.
        end: One past its last byte (text) or row (Parquet); None means to the end.
        line: Line (text) or row (Parquet, glob) number of its first record, from 1.
        uris: A glob's URIs themselves.
        part: The file, of a manifest of several.
        first: Number of this file's first line: lines are counted through all parts.
        version: This file's version.
    """

    start: int
    end: int | None
    line: int
    uris: tuple[str, ...] = ()
    part: str = ""
    first: int = 1
    version: str = ""

    def of(self, part: str, first: int, version: str) -> Shard:
        """The shard as one of a manifest of several files."""
        return self._replace(part=part, first=first, version=version)

    def shifted(self, lines: int, parquet: bool) -> Shard:
        """The shard of a file before which there are so many lines."""
        end = self.end + lines if parquet and self.end is not None else self.end
        return self._replace(line=self.line + lines, end=end)
