"""Answers that break off, never end or have the wrong form."""

from __future__ import annotations

import asyncio
import io
import socket
import struct
from collections.abc import Callable

from aiohttp import web
from PIL import Image

__all__ = ["half", "huge", "other_size", "reset"]

_HUGE = 2 << 30
_BLOCK = 65_536


def reset(request: web.Request) -> web.Response:
    """Ends the connection with a TCP reset, as a server that dies does."""
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=500)  # goes nowhere


async def half(request: web.Request, body: bytes) -> web.StreamResponse:
    """Sends the first half of a body, then resets the connection."""
    response = web.StreamResponse()
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(0.02)  # so that the half arrives before the reset overtakes it
    reset(request)
    return response


def other_size(body: bytes) -> bytes:
    """The same picture, three pixels wider."""
    with Image.open(io.BytesIO(body)) as image:
        out = io.BytesIO()
        image.resize((image.width + 3, image.height)).save(out, "PNG")
    return out.getvalue()


async def huge(
    request: web.Request, begin: bytes, *, announced: bool, on_sent: Callable[[int], object]
) -> web.StreamResponse:
    """Sends 2 GB, or as much as is taken.

    Args:
        request: What to answer.
        begin: How the body begins.
        announced: Whether its length is sent ahead.
        on_sent: Called with the bytes of each block that left.
    """
    response = web.StreamResponse()
    if announced:
        response.content_length = _HUGE
    else:
        response.enable_chunked_encoding()
    await response.prepare(request)
    block = begin + b" " * (_BLOCK - len(begin))
    sent = 0
    try:
        while sent < _HUGE:
            await response.write(block)
            sent += len(block)
            on_sent(len(block))
    except (ConnectionError, asyncio.CancelledError):
        pass
    return response
