"""What a store says of one object, without sending it."""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from datetime import datetime, timezone
from typing import Any, NamedTuple

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage import http
from alphabeam.transforms.storage.allowed import AllowList
from alphabeam.transforms.storage.connections import borrow
from alphabeam.transforms.storage.deadlines import TOTAL_S
from alphabeam.transforms.storage.embedded import Embedded, embedded
from alphabeam.transforms.storage.faults import StorageOptions, retry
from alphabeam.transforms.storage.local import local_path
from alphabeam.transforms.storage.uris import is_local, join, redact

__all__ = ["Entry", "Stat", "entry", "entry_of", "exists", "size_below", "stat"]


class Stat(NamedTuple):
    """What a store tells of an object without sending it.

    Attributes:
        size: Bytes; None if the store does not say (an HTTP answer without Content-Length).
        version: Changes when the object does: the etag, or else time of change and size, as the
            store gives them; empty if it gives neither.
    """

    size: int | None
    version: str


def stat(
    uri: str,
    *,
    options: StorageOptions | None = None,
    timeout: float | None = TOTAL_S,
    allow: AllowList | None = None,
) -> Stat:
    """Size and version of an object, without reading it.

    Args:
        uri: The object; of a picture inside a Parquet file, the version is the file's.
        options: Options per protocol.
        timeout: Seconds for everything together; None for no bound.
        allow: Where a row may read from; None for a URI that the user himself gave.

    Raises:
        RowError: As for :func:`read`.
    """
    picture = embedded(uri)
    if picture is not None:
        return Stat(None, _version_of_file(picture, options, timeout, allow))
    if is_local(uri):  # every row asks for three: no clock, no retry where none is needed
        try:
            return _stat_local(uri, allow)
        except OSError:
            pass  # is asked again below, with retries and the user's words
    return retry(lambda: _stat_once(uri, options, allow), "check", uri, options, timeout=timeout)


def size_below(folder: str, name: str, *, options: StorageOptions | None = None) -> int | None:
    """Size of an object that an output has, by its name below the output's folder.

    Args:
        folder: The output's.
        name: Relative to it.
        options: Options per protocol.

    Raises:
        RowError: As for :func:`read`.
    """
    place = _local_folder(folder)
    if place is not None and _PLAIN_NAME.match(name):
        try:
            return os.stat(place + name).st_size
        except OSError:
            pass  # is asked again, with retries and the user's words
    return stat(join(folder, *name.split("/")), options=options).size


@functools.lru_cache(maxsize=16)
def _local_folder(folder: str) -> str | None:
    """The path before a name below a local folder; None for a folder elsewhere."""
    return local_path(join(folder, "x"))[:-1] if is_local(folder) else None


# Without empty parts, and without any that begins with a dot.
_PLAIN_NAME = re.compile(r"(?:[^./\0][^/\0]*/)*[^./\0][^/\0]*\Z")


def _stat_local(uri: str, allow: AllowList | None) -> Stat:
    if allow is not None:
        allow.check(uri)
    status = os.stat(local_path(uri))
    return Stat(status.st_size, f"{status.st_mtime_ns}-{status.st_size}")


def _stat_once(uri: str, options: StorageOptions | None, allow: AllowList | None) -> Stat:
    if is_local(uri):
        return _stat_local(uri, allow)
    with borrow(uri, options, allow=allow) as place:
        if place.protocol in ("http", "https"):
            return Stat(*http.request(place, http.head))
        info = place.fs.info(place.path)
    size = info.get("size")
    return Stat(int(size) if size is not None else None, _version(info))


_ASKED_S = 10.0  # how long an answer holds that is the version which the links name
_asked: dict[str, tuple[str, float]] = {}
_asked_lock = threading.Lock()


def _version_of_file(
    picture: Embedded,
    options: StorageOptions | None,
    timeout: float | None,
    allow: AllowList | None,
) -> str:
    """The version of a picture's Parquet file, asked for once for the many pictures in it.

    Raises:
        RowError: NOT_FOUND if the link was made for another version.
    """
    if allow is not None:
        allow.check(picture.file)
    with _asked_lock:
        version, until = _asked.get(picture.file, ("", 0.0))
    if picture.version and picture.is_of(version) and time.monotonic() < until:
        return version
    version = stat(picture.file, options=options, timeout=timeout, allow=allow).version
    if not picture.is_of(version):
        raise RowError(
            ErrorCode.NOT_FOUND,
            f"{redact(picture.uri)} is a link into an earlier version of the file; run the job "
            "with the file as its manifest",
        )
    with _asked_lock:
        while len(_asked) >= 1024:
            del _asked[next(iter(_asked))]
        _asked[picture.file] = version, time.monotonic() + _ASKED_S
    return version


_ETAGS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "CRC")
_TIMES = ("mtime", "modified", "last_modified", "LastModified", "modify", "date_time", "created")


def _version(info: dict[str, Any]) -> str:
    for name in _ETAGS:
        if info.get(name):
            return str(info[name]).strip('"')
    for name in _TIMES:
        moment = info.get(name)
        if moment is not None:
            text = moment.isoformat() if isinstance(moment, datetime) else str(moment)
            return f"{text}-{info.get('size')}"
    return ""


def exists(uri: str, *, options: StorageOptions | None = None) -> bool:
    """Whether there is an object, or a folder, of that name.

    Raises:
        RowError: If that cannot be known: ACCESS_DENIED, STORAGE_UNAVAILABLE …
    """
    if is_local(uri):
        return os.path.exists(local_path(uri))
    try:
        retry(lambda: _info_exists(uri, options), "check", uri, options)
    except RowError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return False
        raise
    return True


def _info_exists(uri: str, options: StorageOptions | None) -> None:
    with borrow(uri, options, fresh=True) as place:
        if place.protocol in ("http", "https"):
            http.request(place, http.head)
        else:
            place.fs.info(place.path)


class Entry(NamedTuple):
    """An object in a listing: its full URI, bytes, and time of change (Unix seconds; 0 unknown)."""

    uri: str
    size: int
    changed: float


def entry(uri: str, *, options: StorageOptions | None = None) -> Entry:
    """One object as a listing would show it.

    Raises:
        RowError: As for :func:`read`; NOT_FOUND for a folder.
    """

    def once() -> Entry:
        with borrow(uri, options, fresh=True) as place:
            if place.protocol in ("http", "https"):
                return Entry(uri, http.request(place, http.head)[0] or 0, 0.0)
            info = place.fs.info(place.path)
            if info["type"] == "directory":
                raise FileNotFoundError(uri)
            return entry_of(uri, info)

    return retry(once, "check", uri, options)


def entry_of(uri: str, info: dict[str, Any]) -> Entry:
    """What fsspec says of an object, as an entry."""
    changed = next((info[name] for name in _TIMES if info.get(name) is not None), 0.0)
    if isinstance(changed, str):
        try:
            changed = (
                datetime.strptime(changed[:14], "%Y%m%d%H%M%S")  # FTP
                if changed[:14].isdigit()
                else datetime.fromisoformat(changed.replace("Z", "+00:00"))
            )
        except ValueError:
            changed = 0.0
    if isinstance(changed, datetime):
        if changed.tzinfo is None:
            changed = changed.replace(tzinfo=timezone.utc)
        changed = changed.timestamp()
    if not isinstance(changed, (int, float)):
        changed = 0.0
    return Entry(uri, int(info.get("size") or 0), float(changed))
