"""HTTP requests; fsspec reads an answer whole before its size or status is looked at."""

from __future__ import annotations

from typing import Any

from fsspec.asyn import sync

from alphabeam.transforms.storage import deadlines
from alphabeam.transforms.storage.connections import Place
from alphabeam.transforms.storage.faults import HttpStatusError, too_large
from alphabeam.transforms.storage.local import CHUNK

__all__ = ["get", "head", "request"]


def request(place: Place, what: Any, *args: Any) -> Any:
    """Runs one of the functions below on the file system's own event loop, until the deadline."""
    return sync(
        place.fs.loop, what, place.fs, place.path, *args, timeout=deadlines.current().timeout()
    )


async def _check(answer: Any) -> None:
    if answer.status >= 400:
        raise HttpStatusError(answer.status, answer.reason or "", answer.headers.get("Retry-After"))


async def get(fs: Any, path: str, uri: str, max_bytes: int | None) -> bytes:
    """The bytes of an answer, at most so many."""
    session = await fs.set_session()
    async with session.get(fs.encode_url(path), **fs.kwargs) as answer:
        await _check(answer)
        if max_bytes is None:
            return bytes(await answer.read())
        if answer.content_length is not None and answer.content_length > max_bytes:
            answer.close()
            raise too_large(uri, max_bytes, answer.content_length)
        buffer = bytearray()
        async for block in answer.content.iter_chunked(CHUNK):
            buffer += block
            if len(buffer) > max_bytes:
                answer.close()
                raise too_large(uri, max_bytes)
        return bytes(buffer)


async def head(fs: Any, path: str) -> tuple[int | None, str]:
    """Size and version, see ``info.Stat``, without the bytes."""
    session = await fs.set_session()
    settings = dict(fs.kwargs)
    settings["headers"] = {"Accept-Encoding": "identity", **settings.get("headers", {})}
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
