"""HTTP requests; fsspec reads an answer whole before its size or status is looked at.

Each host has a pace of its own in a process. A host that refuses requests as too many is asked
less often, until it has been well for some seconds.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from fsspec.asyn import sync

from alphabeam.transforms.pace import Pace
from alphabeam.transforms.storage import deadlines
from alphabeam.transforms.storage.connections import Place
from alphabeam.transforms.storage.faults import HttpStatusError, too_large
from alphabeam.transforms.storage.local import CHUNK

__all__ = ["forget_paces", "get", "head", "request"]

# What is waited at least after a refusal that says nothing of how long, seconds.
THROTTLED_WAIT_S = 1.0
# A single 503 is an accident. Several of a host's last answers are a server that is asked too
# much; if all of them are, it is down, and fails no later if it is asked slowly.
_LAST, _SEVERAL = 30, 3


class _Host:
    """How often a host may be asked, and which of its last answers were 503, the newest last."""

    def __init__(self, requests_per_second: float | None) -> None:
        self.pace = Pace(requests_per_second)
        self._unavailable: deque[bool] = deque(maxlen=_LAST)

    def refuses(self, status: int) -> bool:
        """Notes an answer's status; whether it says that the host is asked too often."""
        self._unavailable.append(status == 503)
        last = list(self._unavailable)
        down = len(last) == _LAST and all(last)
        overloaded = status == 503 and sum(last[-10:]) >= _SEVERAL and not down
        if status == 429 or overloaded:
            self.pace.push_back()
            return True
        return False


_hosts: dict[tuple[str, float | None], _Host] = {}
_hosts_lock = threading.Lock()


def forget_paces() -> None:
    """Asks every host as often as if it had never refused."""
    with _hosts_lock:
        _hosts.clear()


def _host_of(place: Place) -> _Host:
    most = getattr(place.fs, "requests_per_second", None)
    key = (urlsplit(place.path).netloc.rpartition("@")[2].lower(), most)
    with _hosts_lock:
        return _hosts.setdefault(key, _Host(most))


def request(place: Place, what: Any, *args: Any) -> Any:
    """Runs one of the functions below on the file system's own event loop, until the deadline."""
    host = _host_of(place)
    host.pace.wait()
    timeout = deadlines.current().timeout()
    try:
        found = sync(place.fs.loop, what, place.fs, place.path, *args, timeout=timeout)
    except HttpStatusError as error:
        if host.refuses(error.status) and error.retry_after is None:
            error.retry_after = f"{THROTTLED_WAIT_S:.0f}"
        raise
    host.refuses(200)
    return found


async def _check(answer: Any) -> None:
    if answer.status >= 400:
        raise HttpStatusError(answer.status, answer.reason or "", answer.headers.get("Retry-After"))


async def get(fs: Any, path: str, uri: str, max_bytes: int | None) -> tuple[bytes, str]:
    """The bytes of an answer, at most so many; and its version as :func:`head` gives it."""
    session = await fs.set_session()
    async with session.get(fs.encode_url(path), **_plain(fs)) as answer:
        await _check(answer)
        version = _stat_of(answer.headers, answer.content_length)[1]
        if max_bytes is None:
            return bytes(await answer.read()), version
        if answer.content_length is not None and answer.content_length > max_bytes:
            answer.close()
            raise too_large(uri, max_bytes, answer.content_length)
        buffer = bytearray()
        async for block in answer.content.iter_chunked(CHUNK):
            buffer += block
            if len(buffer) > max_bytes:
                answer.close()
                raise too_large(uri, max_bytes)
        return bytes(buffer), version


def _plain(fs: Any) -> dict[str, Any]:
    """What requests are made with: a packed answer would have another size and etag."""
    settings = dict(fs.kwargs)
    settings["headers"] = {"Accept-Encoding": "identity", **settings.get("headers", {})}
    return settings


async def head(fs: Any, path: str) -> tuple[int | None, str]:
    """Size and version, see ``info.Stat``, without the bytes."""
    session = await fs.set_session()
    settings = _plain(fs)
    url = fs.encode_url(path)
    async with session.head(url, allow_redirects=True, **settings) as answer:
        if answer.status < 400:
            return _stat_of(answer.headers, answer.content_length)
        if answer.status not in (403, 405, 501):  # signed URLs are often good for GET only
            await _check(answer)
    async with session.get(url, **settings) as answer:
        await _check(answer)
        answer.close()
        return _stat_of(answer.headers, answer.content_length)


def _stat_of(headers: Any, size: int | None) -> tuple[int | None, str]:
    version = headers.get("ETag") or headers.get("Last-Modified", "")
    if version and "ETag" not in headers and size is not None:
        version = f"{version} {size}"
    return size, version
