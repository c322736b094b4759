"""HTTP sessions that connect only where rows may read from; also along redirects.

A name is looked up once, and what was checked is what is connected to: a name server that gives
another address the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from alphabeam.transforms.storage.allowed import AllowList

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from aiohttp.abc import ResolveResult

__all__ = ["client_maker"]


def client_maker(
    allow: AllowList, proxy: str | None = None
) -> Callable[..., Awaitable[ClientSession]]:
    """What makes the session of an HTTP file system: fsspec's ``get_client``.

    A proxy looks names up by itself: behind one, hosts are checked by their names and literal
    addresses alone.

    Args:
        allow: Where rows may read from.
        proxy: The URL of the proxy that the options name; with ``trust_env`` in the client's
            options, those of the environment are known too.
    """
    import aiohttp
    from aiohttp.abc import AbstractResolver

    class Request(aiohttp.ClientRequest):
        """Made for the first request and for each redirect."""

        def __init__(self, method: str, url: Any, *args: Any, **kwargs: Any) -> None:
            allow.check_host(str(url))
            super().__init__(method, url, *args, **kwargs)

    class Resolver(AbstractResolver):
        def __init__(self, proxies: frozenset[str]) -> None:
            self._names = aiohttp.DefaultResolver()
            self._proxies = proxies

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await self._names.resolve(host, port, family)
            if host in self._proxies:
                return found
            allowed = allow.allowed_addresses(host, port, [one["host"] for one in found])
            return [one for one in found if one["host"] in allowed]

        async def close(self) -> None:
            await self._names.close()

    async def make(**kwargs: Any) -> ClientSession:
        proxies = [proxy or "", *(getproxies().values() if kwargs.get("trust_env") else ())]
        names = frozenset(urlsplit(one).hostname or "" for one in proxies)
        connector = aiohttp.TCPConnector(resolver=Resolver(names))
        return aiohttp.ClientSession(request_class=Request, connector=connector, **kwargs)

    return make
