"""One HTTP exchange: what was sent, what came back, and whether a lost request can have arrived."""

from __future__ import annotations

import functools
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import certifi
import urllib3
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, TimeoutError

__all__ = ["Answer", "AnswerTooLarge", "ExchangeFailed", "connections", "exchange", "tls_context"]

_BLOCK = 65_536


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer.

    Attributes:
        status: The HTTP status.
        headers: Its headers; names in lower case.
        body: Its bytes, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class ExchangeFailed(Exception):
    """No whole answer came.

    Attributes:
        reason: What happened, in a few words.
        delivered: The request was wholly handed to the connection, so the server may have acted
            on it. False proves that it cannot: an incomplete request has no valid signature.
        timed_out: The fault was a time-out.
        permanent: Trying again cannot help (the certificate is not trusted).
    """

    def __init__(
        self, reason: str, *, delivered: bool, timed_out: bool = False, permanent: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delivered = delivered
        self.timed_out = timed_out
        self.permanent = permanent


class AnswerTooLarge(Exception):
    """The answer is over the limit; it was cut off, never held."""


class _Outgoing:
    """A request's body, sent in blocks, that knows whether its last block has left."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.delivered = not body

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        # A send that fails half-way is unlike an answer that fails to come: blocks of bytes also
        # give every block its own time-out, as sendall() has one for the whole of what it gets.
        self.delivered = False
        for start in range(0, len(self._body), _BLOCK):
            yield self._body[start : start + _BLOCK]
        self.delivered = True  # asked for more: the last block was taken


class _FreshMixin:
    """Never uses again a connection that idled long enough for the server to be closing it.

    A request sent into a closing connection is lost in a way that cannot be told from a task
    that was queued. Servers keep idle connections for 15 s and more.
    """

    _MOST_IDLE = 10.0  # seconds

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if time.monotonic() - getattr(connection, "idle_since", 0.0) > self._MOST_IDLE:
            connection.close()  # it connects anew by itself
        return connection

    def _put_conn(self, connection: Any) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
        super()._put_conn(connection)  # type: ignore[misc]


class _FreshHTTPPool(_FreshMixin, urllib3.HTTPConnectionPool):
    pass


class _FreshHTTPSPool(_FreshMixin, urllib3.HTTPSConnectionPool):
    pass


def connections(
    scheme: str,
    host: str,
    port: int | None,
    *,
    timeout: urllib3.Timeout,
    size: int,
    tls: ssl.SSLContext,
    server_name: str | None = None,
) -> urllib3.HTTPConnectionPool:
    """Connections to one server, kept and used again.

    Args:
        scheme: ``http`` or ``https``.
        host: Name or address to connect to.
        port: Its port; None for the scheme's own.
        timeout: Connect and read time-outs.
        size: Most idle connections to keep.
        tls: The verifying context.
        server_name: The name that the certificate must bear, where ``host`` is an address.
    """
    if scheme == "http":
        return _FreshHTTPPool(host, port, timeout=timeout, maxsize=size)
    return _FreshHTTPSPool(
        host,
        port,
        timeout=timeout,
        maxsize=size,
        ssl_context=tls,
        server_hostname=server_name,  # OpenSSL checks the certificate against it
    )


@functools.lru_cache(maxsize=8)  # reading the authorities takes tens of milliseconds
def tls_context(ca_bundle: str | None = None) -> ssl.SSLContext:
    """A verifying TLS 1.2+ context.

    Args:
        ca_bundle: PEM file of the authorities to trust; None for certifi's.
    """
    context = ssl.create_default_context(cafile=ca_bundle or certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def exchange(
    pool: urllib3.HTTPConnectionPool,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    max_bytes: int,
    body_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Sends one request, once, and reads the whole answer. Follows no redirect.

    Args:
        pool: The connections to use; it carries the connect and read time-outs.
        method: ``GET`` or ``POST``.
        target: Path and query.
        headers: Headers to send.
        body: The request's body.
        max_bytes: Most bytes of the answer, as sent and as decompressed.
        body_seconds: Longest time for the answer's body as a whole: a read time-out alone
            would let a server drip for ever.
        clock: Monotonic seconds.

    Raises:
        ExchangeFailed: No whole answer came.
        AnswerTooLarge: The answer is over ``max_bytes``.
    """
    outgoing = _Outgoing(body)
    sent = {"Accept-Encoding": "identity", "User-Agent": "alphabeam", **headers}
    if method == "POST":
        sent["Content-Length"] = str(len(body))
    response: urllib3.BaseHTTPResponse | None = None
    whole = False
    try:
        response = pool.urlopen(
            method,
            target,
            body=outgoing if body else None,
            headers=sent,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        length = _whole_number(response.headers.get("Content-Length", ""))
        if length is not None and length > max_bytes:
            raise AnswerTooLarge(f"{length} bytes")
        blocks: list[bytes] = []
        size = 0
        deadline = clock() + body_seconds
        while block := response.read1(_BLOCK):
            size += len(block)
            if size > max_bytes:
                raise AnswerTooLarge(f"more than {max_bytes} bytes")
            if clock() > deadline:
                raise ExchangeFailed(
                    f"the answer was not complete after {body_seconds:g} s",
                    delivered=outgoing.delivered,
                    timed_out=True,
                )
            blocks.append(block)
        # read1() ends quietly at a lost connection; the length tells.
        if length is not None and size < length:
            raise ExchangeFailed(
                f"the connection ended after {size} of {length} bytes", delivered=outgoing.delivered
            )
        whole = True
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, names, _decompressed(b"".join(blocks), names, max_bytes))
    except (HTTPError, OSError) as error:
        raise ExchangeFailed(
            _reason(error),
            delivered=outgoing.delivered,
            timed_out=_timed_out(error),
            permanent="CERTIFICATE_VERIFY_FAILED" in str(error),
        ) from None
    finally:
        if response is not None:
            if not whole or not outgoing.delivered:
                # Unread bytes, or an answer that came before the request was whole: the
                # connection's next request could be mistaken for the rest of this one.
                response.close()
            response.release_conn()


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _decompressed(body: bytes, headers: Mapping[str, str], max_bytes: int) -> bytes:
    # "identity" was asked for, but a proxy on the way may compress all the same.
    if headers.get("content-encoding", "identity").lower() not in ("gzip", "x-gzip"):
        return body
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body, max_bytes + 1)
    except zlib.error:
        raise ExchangeFailed("the answer's gzip is damaged", delivered=True) from None
    if len(plain) > max_bytes:
        raise AnswerTooLarge(f"more than {max_bytes} bytes")
    if not inflate.eof:
        raise ExchangeFailed("the answer's gzip ends too early", delivered=True)
    return plain


def _timed_out(error: Exception) -> bool:
    # urllib3 counts a refused connection as a kind of connect time-out.
    return isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError)


def _reason(error: Exception) -> str:
    if isinstance(error, NameResolutionError):
        return "the host's name cannot be resolved"
    if _timed_out(error):
        return "timed out: " + type(error).__name__.removesuffix("Error")
    # urllib3 wraps the system's error; its own text holds object addresses.
    inner = next((a for a in error.args if isinstance(a, Exception)), None)
    text = str(inner if inner is not None else error).splitlines()[:1]
    kind = type(inner if inner is not None else error).__name__
    words = text[0].rpartition(">: ")[2][:200] if text else ""
    return f"{kind}: {words}" if words else kind
