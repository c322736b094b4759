"""Shards: a few dozen thumbnails in one object, written by the process that made them."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from apache_beam.utils.shared import Shared

from alphabeam.transforms.errors import RowError
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Picture, Row
from alphabeam.transforms.thumbnails.pictures import Thumbnail, thumbnail_of

__all__ = [
    "SHARD_ROWS",
    "OpenThumbnails",
    "Thumbnails",
    "decode_shard",
    "encode_shard",
    "key_of",
    "shard_name",
]

_logger = logging.getLogger(__name__)

SHARD_ROWS = 32  # 400 KB: what a page loads for each picture that it shows first
_DOUBTFUL = 0.9  # a confidence under which a person is likely to look
_CALL = "alphabeam.receive("  # what a shard calls when a page loads it


@dataclass(frozen=True)
class Thumbnails:
    """An output's thumbnails; each process that asks for them opens one collection.

    Attributes:
        output: The job's output.
    """

    output: Output
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def open(self) -> OpenThumbnails:
        """This process's collection."""
        opened: OpenThumbnails = self._shared.acquire(lambda: OpenThumbnails(self.output))
        return opened


class OpenThumbnails:
    """The thumbnails that one process makes.

    They are known by their rows' fingerprints: the same work has the same thumbnail, whatever its
    id. Doubtful results are kept together, since these are what people look at. A store that
    refuses thumbnails, or a picture of which none can be made, costs a warning and nothing else.

    Args:
        output: The job's output.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lock = threading.Lock()
        self._waiting: dict[bool, dict[str, Thumbnail]] = {True: {}, False: {}}
        self._listed: dict[str, tuple[str, int]] = {}

    def add(self, picture: Picture, row: Row) -> None:
        """Makes the thumbnail of a picture whose outputs are written.

        Args:
            picture: With its preview, alpha and cutout.
            row: As it is done.
        """
        if picture.preview is None or picture.alpha is None or not row.fingerprint:
            return
        try:
            made = thumbnail_of(picture.preview, picture.alpha, picture.rgba)
        except Exception:
            _logger.warning("row %s: no thumbnail could be made", row.id, exc_info=True)
            return
        doubtful = bool(row.flags) or row.confidence is None or row.confidence < _DOUBTFUL
        with self._lock:
            waiting = self._waiting[doubtful]
            waiting[row.fingerprint] = made
            if len(waiting) < SHARD_ROWS:
                return
            self._waiting[doubtful] = {}
        self._put(waiting)

    def flush(self, everything: bool) -> None:
        """Puts what a group of the metadata is about to rely on.

        Args:
            everything: Also the shards that are not full, because the bundle ends.
        """
        if everything:
            with self._lock:
                rest = [*self._waiting.values()]
                self._waiting = {True: {}, False: {}}
            for waiting in rest:
                if waiting:
                    self._put(waiting)
        with self._lock:
            listed, self._listed = self._listed, {}
        if listed:
            names = hashlib.blake2b("\n".join(listed).encode(), digest_size=12).hexdigest()
            self._try(self._output.thumbnail_list(names), json.dumps(listed).encode())

    def _put(self, thumbnails: dict[str, Thumbnail]) -> None:
        name = shard_name(thumbnails)
        data = encode_shard(name, [*thumbnails.values()])
        if self._try(self._output.thumbnails(name), data):
            with self._lock:
                places = ((key, (name, at)) for at, key in enumerate(thumbnails))
                self._listed.update(places)

    def _try(self, uri: str, data: bytes) -> bool:
        try:
            self._output.put(uri, data)
        except RowError as error:
            _logger.warning("thumbnails for the report are lost: %s", error.message)
            return False
        return True


def shard_name(fingerprints: Iterable[str]) -> str:
    """A shard's name: the same rows in the same order, the same name."""
    text = "\n".join(fingerprints)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def encode_shard(name: str, thumbnails: Sequence[Thumbnail]) -> bytes:
    """A shard as a script: a page that is opened from a disk may load no other data."""
    rows = [[base64.b64encode(part).decode() for part in one] for one in thumbnails]
    return f'{_CALL}"thumbs","{name}",{json.dumps(rows, separators=(",", ":"))});\n'.encode()


def decode_shard(data: bytes) -> list[Thumbnail]:
    """The thumbnails of a shard.

    Raises:
        ValueError: It is none.
    """
    rows = json.loads(data[data.index(b"[") : data.rindex(b"]") + 1])
    return [Thumbnail(base64.b64decode(a), base64.b64decode(b)) for a, b in rows]


def key_of(fingerprint: str) -> int:
    """A fingerprint as a 64-bit number, by which an index finds it."""
    return int(fingerprint[:16], 16)
