"""Connections that are kept, but not too long, and whose requests end by a deadline."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import threading
import time
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from alphabeam.transforms.retry import Deadline

__all__ = ["connections", "end_requests_by", "tls_context"]

# The deadline of the request that a thread is making, which urllib3 has no way to hand down to
# the connection.
_request = threading.local()


def end_requests_by(deadline: Deadline) -> None:
    """Sets the deadline of this thread's next requests."""
    _request.deadline = deadline


class _BoundedReader(io.RawIOBase):
    """Reads from a socket until a deadline: a read time-out alone lets a server drip for ever."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._deadline = deadline
        self._longest = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.timeout(self._longest))
        try:
            return self._raw.readinto(buffer)
        except OSError:
            self._deadline.check()
            raise

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """An answer whose status line, headers and body must all come before a deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline, **options: Any) -> None:
        super().__init__(sock, **options)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_BoundedReader(raw, sock, deadline))


class _BoundedMixin:
    """A connection whose requests end before their deadline, in sending and in reading."""

    def send(self, data: Any) -> None:
        sock = self.sock  # type: ignore[attr-defined]
        if sock is not None:
            sock.settimeout(_request.deadline.timeout(self.timeout))  # type: ignore[attr-defined]
        super().send(data)  # type: ignore[misc]

    def response_class(self, sock: socket.socket, **options: Any) -> _BoundedResponse:
        return _BoundedResponse(sock, _request.deadline, **options)


class _BoundedHTTPConnection(_BoundedMixin, HTTPConnection):  # type: ignore[misc]
    pass


class _BoundedHTTPSConnection(_BoundedMixin, HTTPSConnection):  # type: ignore[misc]
    pass


class _FreshMixin:
    """Never uses again a connection that idled long enough for the server to be closing it.

    A request sent into a closing connection is lost in a way that looks like a task that
    was queued. Servers keep idle connections for 15 s and more.
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
    ConnectionCls = _BoundedHTTPConnection


class _FreshHTTPSPool(_FreshMixin, urllib3.HTTPSConnectionPool):
    ConnectionCls = _BoundedHTTPSConnection


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
        server_name: The name that the certificate must hold, where ``host`` is an address.
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
