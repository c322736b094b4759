"""An HTTP server with the habits of real ones: redirects, etags, no length, faults, stalls.

``python http_server.py PORT [PHOTO ...]``. ``/seen`` answers with the requests it got.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import json
import random
import sys
import time
from pathlib import Path

from aiohttp import web

DATA = bytes(range(256)) * 400  # 102 400 bytes
_seen: dict[str, int] = {}
_random = random.Random(6)
_photos: list[bytes] | None = None


async def _count(request: web.Request) -> int:
    _seen[request.raw_path] = _seen.get(request.raw_path, 0) + 1
    return _seen[request.raw_path]


async def plain(request: web.Request) -> web.Response:
    """The bytes, with an etag and a length."""
    await _count(request)
    etag = hashlib.md5(DATA).hexdigest()
    return web.Response(body=DATA, headers={"ETag": f'"{etag}"'})


async def echo(request: web.Request) -> web.Response:
    """The name as it arrived, as it stood in the request line."""
    return web.Response(text=request.raw_path)


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound("/plain")


async def headers(request: web.Request) -> web.Response:
    """The request's own headers, always of one length."""
    return web.Response(text=json.dumps(dict(request.headers)).ljust(4000))


async def elsewhere(request: web.Request) -> web.Response:
    """Redirects to the same server under the other name of loopback."""
    other = "localhost" if request.host.startswith("127") else "127.0.0.1"
    raise web.HTTPFound(f"http://{other}:{request.host.partition(':')[2]}/headers")


async def to(request: web.Request) -> web.Response:
    """Redirects to what the query says."""
    return web.Response(status=302, headers={"Location": request.query_string})


async def here(request: web.Request) -> web.Response:
    raise web.HTTPFound("/headers")


async def circle(request: web.Request) -> web.Response:
    raise web.HTTPFound("/circle")


async def chunked(request: web.Request) -> web.StreamResponse:
    """No Content-Length."""
    answer = web.StreamResponse()
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    if request.method == "HEAD":
        return answer
    for start in range(0, len(DATA), 10_000):
        await answer.write(DATA[start : start + 10_000])
    await answer.write_eof()
    return answer


async def get_only(request: web.Request) -> web.Response:
    """As signed URLs do, refuses what is no GET."""
    if request.method != "GET":
        raise web.HTTPForbidden
    return web.Response(body=DATA)


async def status(request: web.Request) -> web.Response:
    await _count(request)
    return web.Response(status=int(request.match_info["status"]), text="secret page")


async def flaky(request: web.Request) -> web.Response:
    """503 twice, then well."""
    if await _count(request) <= 2:
        return web.Response(status=503, headers={"Retry-After": "0"})
    return web.Response(body=DATA)


async def thrice(request: web.Request) -> web.Response:
    """503 three times, then well."""
    return web.Response(body=DATA) if await _count(request) > 3 else web.Response(status=503)


async def later(request: web.Request) -> web.Response:
    """429 once, with a Retry-After of one or two seconds."""
    if await _count(request) > 1:
        return web.Response(body=DATA)
    asked = "1"
    if request.match_info["form"] == "date":
        asked = email.utils.formatdate(time.time() + 2, usegmt=True)
    return web.Response(status=429, headers={"Retry-After": asked})


_asked: list[float] = []


async def limited(request: web.Request) -> web.Response:
    """429 without a Retry-After for more than five requests in a second."""
    now = time.monotonic()
    _asked[:] = [moment for moment in _asked if moment > now - 1]
    if len(_asked) >= 5:
        await _count(request)
        return web.Response(status=int(request.query.get("status", "429")))
    _asked.append(now)
    return web.Response(body=DATA[:100])


async def dated(request: web.Request) -> web.Response:
    """No etag, but a date."""
    await _count(request)
    return web.Response(body=DATA, headers={"Last-Modified": "Mon, 02 Nov 2026 08:00:00 GMT"})


async def cut(request: web.Request) -> web.StreamResponse:
    """Promises more than it sends, twice."""
    if await _count(request) > 2:
        return web.Response(body=DATA)
    answer = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
    await answer.prepare(request)
    await answer.write(DATA[:1000])
    assert request.transport is not None
    request.transport.close()
    return answer


async def stall(request: web.Request) -> web.StreamResponse:
    """Begins, then says nothing, once."""
    if await _count(request) > 1:
        return web.Response(body=DATA)
    answer = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
    await answer.prepare(request)
    await answer.write(DATA[:1000])
    await asyncio.sleep(60)
    return answer


async def unreliable(request: web.Request) -> web.StreamResponse:
    """Fails 10 % of the requests and stalls 1 %."""
    await _count(request)
    chance = _random.random()
    if chance < 0.10:
        return web.Response(status=_random.choice([500, 502, 503]))
    if chance < 0.11:
        await asyncio.sleep(60)
    name = request.match_info["name"]
    if name.startswith("missing"):
        raise web.HTTPNotFound
    if _photos is not None:
        return web.Response(body=_photos[int(name.partition("-")[2]) % len(_photos)])
    return web.Response(text=name)


async def slow(request: web.Request) -> web.Response:
    """50 ms away."""
    await asyncio.sleep(0.05)
    return web.Response(body=DATA[:100_000])


async def seen(request: web.Request) -> web.Response:
    return web.json_response(_seen)


async def listing(request: web.Request) -> web.Response:
    """A page of links, as servers make of folders."""
    links = "".join(f'<a href="{name}">x</a>' for name in ("a.jpg", "b.png", "../", "?sort"))
    return web.Response(text=f"<html>{links}</html>", content_type="text/html")


def main() -> None:
    global _photos
    if sys.argv[2:]:
        _photos = [Path(path).read_bytes() for path in sys.argv[2:]]
    app = web.Application()
    for path, handler in {
        "/plain": plain,
        "/redirect": redirect,
        "/circle": circle,
        "/headers": headers,
        "/elsewhere": elsewhere,
        "/here": here,
        "/to": to,
        "/chunked": chunked,
        "/get-only": get_only,
        "/status/{status}": status,
        "/flaky": flaky,
        "/thrice": thrice,
        "/later/{form}": later,
        "/limited/{name}": limited,
        "/dated": dated,
        "/cut": cut,
        "/stall": stall,
        "/unreliable/{name}": unreliable,
        "/slow/{name}": slow,
        "/seen": seen,
        "/folder/": listing,
        "/echo/{name:.*}": echo,
    }.items():
        app.router.add_route("*", path, handler)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
