"""Fetching result images from URLs that somebody else wrote."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3

from alphabeam.transforms.addresses import unwrapped
from alphabeam.transforms.picpik.connections import connections
from alphabeam.transforms.picpik.errors import (
    AnswerInvalidError,
    ResultRefusedError,
    TaskExpiredError,
)
from alphabeam.transforms.picpik.transport import (
    Answer,
    AnswerTooLargeError,
    ExchangeFailedError,
    exchange,
)
from alphabeam.transforms.redaction import redact
from alphabeam.transforms.retry import Deadline

__all__ = ["ResultFetcher", "is_loopback", "is_public", "own_domain"]

_REDIRECTS = 3
_MOST_SERVERS = 32  # whose connections are kept
_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
# Labels beneath which registries of two-letter top-level domains sell names: example.com.cn.
_REGISTRY_LABELS = frozenset(
    {"ac", "co", "com", "edu", "gob", "gov", "gv", "ltd", "me", "mil", "ne", "net", "nom", "or"}
    | {"org", "plc", "sch"}
)

Resolver = Callable[[str, int], list[str]]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback: ``localhost`` or a loopback address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also once its wrapping is undone.

    False for private, loopback, link-local, carrier-grade NAT, multicast and reserved addresses,
    and for IPv6 forms that carry one of these (IPv4-mapped, 6to4, NAT64).
    """
    ip = unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def own_domain(host: str) -> str:
    """The registrable domain of an endpoint's host: ``picpik.ai`` for ``api.picpik.ai``.

    Errs on the narrow side where the public suffix list would be needed to be sure.
    """
    labels = host.lower().rstrip(".").split(".")
    keep = 3 if len(labels[-1]) == 2 and len(labels) > 1 and labels[-2] in _REGISTRY_LABELS else 2
    return ".".join(labels[-keep:])


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class ResultFetcher:
    """Fetches results from the hosts that may be trusted with a request.

    Args:
        api_host: The endpoint's host; its registrable domain is allowed.
        allowed_hosts: Further hosts; ``*.example.com`` stands for every host beneath.
        timeout: Connect and read time-outs.
        max_bytes: Most bytes of one result.
        total_seconds: Most seconds of one result, redirects included.
        max_connections: Most idle connections to keep for one server.
        tls: The verifying context.
        resolve: Host and port to addresses.

    Raises:
        ValueError: An allowed host is not a host's name.
    """

    def __init__(
        self,
        api_host: str,
        *,
        allowed_hosts: Collection[str],
        timeout: urllib3.Timeout,
        max_bytes: int,
        total_seconds: float,
        max_connections: int,
        tls: ssl.SSLContext,
        resolve: Resolver = _resolve,
    ) -> None:
        self._loopback = is_loopback(api_host)
        self._names = {host.lower() for host in allowed_hosts}
        for name in self._names:
            if not _HOST.fullmatch(name):
                raise ValueError(
                    f"allowed_hosts: {name!r} is not a host like cdn.example.com or *.example.com"
                )
        if not self._loopback and not _is_address(api_host):
            self._names |= {own_domain(api_host), "*." + own_domain(api_host)}
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._total_seconds = total_seconds
        self._tls = tls
        self._resolve = resolve
        self._max_connections = max_connections
        self._lock = threading.Lock()
        self._pools: OrderedDict[tuple[str, str, str, int], urllib3.HTTPConnectionPool]
        self._pools = OrderedDict()

    def close(self) -> None:
        """Closes the connections that are kept."""
        with self._lock:
            while self._pools:
                self._pools.popitem()[1].close()

    def fetch(self, url: str) -> Answer:
        """Gets a URL, following redirects within its own origin only.

        Raises:
            ResultRefusedError: The URL, or where it leads, must not be fetched; or it is too large.
            ExchangeFailedError: No whole answer came.
        """
        deadline = Deadline(self._total_seconds)
        for _ in range(_REDIRECTS + 1):
            parts = self._checked(url)
            answer = self._get(parts, deadline)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            onward = _joined(url, answer.headers.get("location", ""))
            if _origin(onward) != _origin(url):
                raise ResultRefusedError(
                    f"the result at {redact(url)} redirects to {redact(onward)}, "
                    "another origin; redirects are not followed elsewhere"
                )
            url = onward
        raise ResultRefusedError(
            f"the result at {redact(url)} redirects more than {_REDIRECTS} times"
        )

    @staticmethod
    def picture(url: str, answer: Answer) -> bytes:
        """The picture that an answer without a transient fault holds.

        Raises:
            TaskExpiredError: HTTP 403, 404 or 410.
            AnswerInvalidError: Another status than 200, or bytes that are no PNG, JPEG or WebP.
        """
        if answer.status in (403, 404, 410):
            raise TaskExpiredError(
                f"the result at {redact(url)} is gone (HTTP {answer.status}); "
                "the vendor keeps results for 24 hours"
            )
        if answer.status != 200:
            raise AnswerInvalidError(f"the result at {redact(url)} answered HTTP {answer.status}")
        body = answer.body
        if not (
            body.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))
            or (body[:4] == b"RIFF" and body[8:12] == b"WEBP")
        ):
            raise AnswerInvalidError(
                f"the result at {redact(url)} is no PNG, JPEG or WebP; "
                f"it begins with {body[:12].hex() or 'nothing'}"
            )
        return body

    def _checked(self, url: str) -> SplitResult:
        """Refuses a URL by what it says, before anything is resolved."""
        try:
            parts = urlsplit(url)
            host, _port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise ResultRefusedError("the API gave a result URL that is not a URL") from None
        shown = redact(url)
        if parts.username is not None or parts.password is not None or not host:
            raise ResultRefusedError(
                f"the result URL at {shown} has no host, or carries a user name"
            )
        if any(ord(c) <= 32 or ord(c) == 127 for c in url) or not host.isascii():
            raise ResultRefusedError(f"the result URL at {shown} holds blanks or unusual letters")
        if is_loopback(host):
            if self._loopback and parts.scheme in ("http", "https"):
                return parts
            raise ResultRefusedError(f"the result URL {shown} points to this machine itself")
        if parts.scheme != "https":
            raise ResultRefusedError(f"the result URL {shown} is not https")
        if not self._allows(host):
            raise ResultRefusedError(
                f"the result URL {shown} is on a host that the job does not allow; "
                f"if the vendor's results come from there, add {host!r} to allowed_hosts"
            )
        return parts

    def _allows(self, host: str) -> bool:
        beneath = ("*." + ".".join(host.split(".")[n:]) for n in range(1, host.count(".") + 1))
        return host in self._names or any(name in self._names for name in beneath)

    def _get(self, parts: SplitResult, deadline: Deadline) -> Answer:
        host = (parts.hostname or "").lower()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = self._resolve(host, port)
        except OSError:
            raise ExchangeFailedError(f"{host} cannot be resolved", delivered=False) from None
        except UnicodeError:  # a label that is empty or too long
            raise ResultRefusedError(f"the result's host {host} is not a host's name") from None
        if not is_loopback(host):
            # One private address among public ones is refused as well: it should not be there.
            for address in addresses:
                if not is_public(address):
                    raise ResultRefusedError(
                        f"the result's host {host} resolves to {address}, which is not public"
                    )
        elif not all(is_loopback(address) for address in addresses):
            raise ResultRefusedError(f"{host} does not resolve to loopback on this machine")
        failed = ExchangeFailedError(f"{host} has no address", delivered=False)
        for address in addresses:
            try:
                return self._get_from(address, parts, host, port, deadline)
            except ExchangeFailedError as error:
                failed = error
        raise failed

    def _get_from(
        self, address: str, parts: SplitResult, host: str, port: int, deadline: Deadline
    ) -> Answer:
        """Connects to the very address that was checked; TLS still proves the host's name."""
        key = (parts.scheme, address, host, port)
        with self._lock:
            pool = self._pools.pop(key, None) or connections(
                parts.scheme,
                address,
                port,
                timeout=self._timeout,
                size=self._max_connections,
                tls=self._tls,
                server_name=host,
            )
            self._pools[key] = pool  # now the last used
            if len(self._pools) > _MOST_SERVERS:
                self._pools.popitem(last=False)[1].close()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            return exchange(
                pool,
                "GET",
                target,
                headers={"Host": parts.netloc, "Accept": "image/png, image/webp, image/jpeg"},
                max_bytes=self._max_bytes,
                deadline=deadline,
            )
        except AnswerTooLargeError as error:
            raise ResultRefusedError(
                f"the result at {redact(parts.geturl())} is too large: {error}; "
                f"the limit is {self._max_bytes} bytes"
            ) from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # no URL, so of no origin


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", "", None
