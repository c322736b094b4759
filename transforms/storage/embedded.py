"""Links to pictures inside Parquet files: ``parquet://COLUMN/ROW/NAME?version=DIGEST::FILE``.

Only the link crosses a shuffle; the picture is read where it is worked on. Rows are counted from
1. ``NAME`` is the picture's own name, if it has one. ``version`` is a digest of the file's version:
a link into a file that was written anew since is refused, for another picture may be in that row.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.uris import chain, redact, spell

__all__ = ["Embedded", "embedded"]

_VERSION = "?version="
_SPECIAL = re.compile(r"[%:?\x00-\x1f\x7f]")  # what would end a link, a name or a line


class Embedded(NamedTuple):
    """A picture inside a Parquet file.

    Attributes:
        file: URI of the file.
        column: Its column, of type binary or struct<bytes: binary, …>.
        row: From 1.
        name: The picture's own name; empty if it has none.
        version: Digest of the file's version; empty for whichever version is there.
    """

    file: str
    column: str
    row: int
    name: str = ""
    version: str = ""

    @property
    def uri(self) -> str:
        """The link."""
        name = "/" + _SPECIAL.sub(lambda found: quote(found[0]), self.name) if self.name else ""
        version = _VERSION + self.version if self.version else ""
        return f"parquet://{quote(self.column, safe='')}/{self.row}{name}{version}::{self.file}"

    def pinned(self, version: str) -> Embedded:
        """The same picture of one version of the file, as `stat` gives it; none is no pin."""
        return self._replace(version=_digest(version) if version else "")

    def is_of(self, version: str) -> bool:
        """Whether the link is good for a version of the file."""
        return self.version in ("", _digest(version))


def embedded(uri: str) -> Embedded | None:
    """Takes a link apart; None for a URI of any other kind.

    Raises:
        RowError: INVALID_URI for a link that names no row.
    """
    if not uri.startswith("parquet://"):
        return None
    link, *file = chain(uri)
    place, _, version = link.rest.partition(_VERSION)
    column, _, place = place.partition("/")
    row, _, name = place.partition("/")
    if not column or not re.fullmatch(r"[1-9][0-9]{0,17}", row):
        raise RowError(
            ErrorCode.INVALID_URI,
            f"'{redact(uri)}' names no picture; write parquet://COLUMN/ROW::FILE, rows from 1",
        )
    return Embedded(spell(tuple(file)), unquote(column), int(row), unquote(name), version)


def _digest(version: str) -> str:
    return hashlib.blake2b(version.encode(), digest_size=4).hexdigest()
