"""Runs an emulator in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from alphabeam.transforms.picpik.emulator.emulator import Emulator

__all__ = ["running_emulator"]


@contextmanager
def running_emulator(
    *, host: str = "127.0.0.1", port: int = 0, **options: Any
) -> Iterator[Emulator]:
    """Runs an emulator in a thread of its own; port 0 picks a free one.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        **options: Of `Emulator`.
    """
    emulator = Emulator(**options)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(
        emulator.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        emulator.endpoint = f"http://{host}:{runner.addresses[0][1]}"

    thread = threading.Thread(target=loop.run_forever, name="picpik-emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield emulator
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
