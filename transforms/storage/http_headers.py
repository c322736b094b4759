"""Which headers an HTTP request carries: those of its own host, also after a redirect.

``storage.http.headers`` of the job file gives them host by host:

    headers:
      cdn.example.com: {Authorization: "${env:CDN_TOKEN}"}
      "*.example.org": {X-Api-Key: "${env:SHOP_KEY}"}

A host may have a port (``localhost:8080``); ``*.`` stands for every host beneath. Headers that are
no secret, such as ``User-Agent``, may be given without a host.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.secret_refs import is_secret_name

if TYPE_CHECKING:
    from aiohttp import TraceConfig
    from yarl import URL

__all__ = ["USER_AGENT", "checked", "refuse_for_all", "sender"]

USER_AGENT = f"alphabeam/{metadata.version('alphabeam')}"

_Headers = dict[str, dict[str, str]]  # host, or "" for every host -> name -> value


def checked(given: Any) -> _Headers:
    """The headers by host.

    Raises:
        RowError: INVALID_PARAMETER for what is no header, and for a secret without a host.
    """
    found: _Headers = {"": {}}
    if given is not None and not isinstance(given, Mapping):
        raise RowError(
            ErrorCode.INVALID_PARAMETER,
            "storage.http.headers: a mapping is needed; write {HOST: {NAME: VALUE}}",
        )
    for name, value in (given or {}).items():
        if isinstance(value, Mapping):
            found[str(name).lower()] = {str(key): str(item) for key, item in value.items()}
        elif is_secret_name(str(name)):  # a manifest's rows may name any server
            raise RowError(
                ErrorCode.INVALID_PARAMETER,
                f"storage.http.headers.{name}: it would be sent to every server that a row names; "
                f"give it for its host: headers: {{cdn.example.com: {{{name}: …}}}}",
            )
        else:
            found[""][str(name)] = str(value)
    return found


def refuse_for_all(client: Mapping[str, Any]) -> None:
    """Makes sure that a client's own options send nothing secret to every server.

    Raises:
        RowError: INVALID_PARAMETER.
    """
    given = client.get("headers")
    secret = [name for name in given or () if is_secret_name(str(name))]
    for name in (*(n for n in ("auth", "cookies") if client.get(n)), *secret):
        raise RowError(
            ErrorCode.INVALID_PARAMETER,
            f"storage.http.client_kwargs: {name} would be sent to every server that a row names; "
            "give it as a header of its host: storage.http.headers: {HOST: {NAME: VALUE}}",
        )


def sender(headers: _Headers) -> TraceConfig:
    """What puts the headers of its host on each request, and takes them off for another one."""
    import aiohttp
    from yarl import URL

    names = {name.lower() for of_host in headers.values() for name in of_host}

    def put(url: URL, on: Any, everywhere: bool) -> None:
        for host, given in headers.items():
            if _matches(host, url) if host else everywhere:
                on.update(given)

    async def start(session: Any, context: Any, request: aiohttp.TraceRequestStartParams) -> None:
        put(request.url, request.headers, everywhere=True)

    async def redirect(
        session: Any, context: Any, request: aiohttp.TraceRequestRedirectParams
    ) -> None:
        answer = request.response
        onward = answer.headers.get("Location") or answer.headers.get("URI") or ""
        try:
            target = request.url.join(URL(onward))
        except ValueError:
            return  # aiohttp refuses it
        for name in [name for name in request.headers if name.lower() in names]:
            request.headers.popall(name, None)
        if request.url.scheme != "https" or target.scheme == "https":
            same = (request.url.host, request.url.port) == (target.host, target.port)
            put(target, request.headers, everywhere=same)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(start)
    trace.on_request_redirect.append(redirect)
    return trace


def _matches(host: str, url: URL) -> bool:
    """Whether a URL is on a host as the options name it: ``host``, ``host:port``, ``*.host``."""
    name, _, port = host.partition(":")
    found = (url.host or "").lower()
    if port and port != str(url.port):
        return False
    return found.endswith(name[1:]) if name.startswith("*.") else found == name
