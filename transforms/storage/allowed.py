"""Which places a manifest's rows may read from.

A manifest may come from somebody else. Its rows name what the job reads with its own credentials,
from inside its own network, and what it writes where others see it.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from fsspec import available_protocols

from alphabeam.transforms.addresses import METADATA_NAMES, Kind, kind_of, parsed
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.capabilities import capabilities
from alphabeam.transforms.storage.uris import Link, chain, quoted_url, redact

__all__ = ["ANYWHERE", "AllowList"]

DEFAULT = "default"

_HTTP = ("http", "https")
# Protocols whose URIs name the host that is connected to. Buckets and options name all others.
_HOSTS = frozenset({*_HTTP, "ftp", "sftp", "smb", "hdfs", "webhdfs", "arrow_hdfs"})
_PORTS = {"http": 80, "https": 443, "ftp": 21, "sftp": 22}
_NOT_LISTED = "it is none of the places that rows may read from"
_WHAT = {
    "loopback": "this machine itself",
    "link-local": "a link-local address",
    "metadata": "a cloud's metadata service",
}
_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class _Store(NamedTuple):
    """Protocol by its usual name; host and port, or bucket or container; what a URI reads from."""

    protocol: str
    host: str
    port: int | None

    @property
    def entry(self) -> str:
        """What allows it, as an entry of the list."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port in (None, _PORTS.get(self.protocol)) else f":{self.port}"
        return f"{self.protocol}://{host}{port}" if host else self.protocol


class _Place(NamedTuple):
    """Where rows may read from.

    Attributes:
        protocol: The usual name of the protocol; empty for all.
        host: Host, bucket or container; ``*.`` for all hosts beneath; empty for all.
        port: The host's port; None for all.
        path: Folder with a ``/`` at its end; empty for all.
        named: Whether the list names the host, so that it may be this machine.
    """

    protocol: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    named: bool = False

    def holds(self, store: _Store, path: str = "") -> bool:
        """Whether an object lies there; without a path, whether anything of that store does."""
        return (
            self.protocol in ("", store.protocol)
            and self.port in (None, store.port)
            and self._names(store.host)
            and (not self.path or not path or (path + "/").startswith(self.path))
        )

    def _names(self, host: str) -> bool:
        if not self.host:
            return True
        if self.host.startswith("*."):
            return host.endswith(self.host[1:])
        own, other = parsed(self.host), parsed(host)
        return own == other if own and other else self.host == host


@dataclass(frozen=True)
class AllowList:
    """The places that rows may read from; the default allows every store.

    Whatever the list, a row reads from this machine's own addresses (loopback), from its cable
    (link-local) and from a cloud's metadata service only if the list names the host.

    Attributes:
        entries: The list as it was given, for messages.
        places: The same, taken apart.
    """

    entries: tuple[str, ...] = (DEFAULT,)
    places: tuple[_Place, ...] = field(default=(_Place(),), repr=False)

    @classmethod
    def of(cls, manifest: str, entries: Sequence[str] = (DEFAULT,)) -> AllowList:
        """The list for the rows of a manifest.

        Args:
            manifest: The manifest's URI.
            entries: ``default``; a protocol (``s3``, ``file``); a host (``https://cdn.example``,
                ``https://*.example.com``, ``http://127.0.0.1:8000``); a bucket, or a folder in it
                (``s3://photos/shoes``); a local folder (``./photos``).

        Raises:
            RowError: INVALID_PARAMETER for an entry that is no place.
        """
        places: list[_Place] = []
        for entry in entries:
            places += _default(manifest) if entry == DEFAULT else [_place(entry)]
        return cls(tuple(entries), tuple(places))

    def check(self, uri: str) -> None:
        """Makes sure that a row may read an object.

        Raises:
            RowError: NOT_ALLOWED; the message says how to allow it.
        """
        link = chain(uri)[-1]
        if link.protocol in _HTTP:
            self.check_host(quoted_url(str(link)))
            return
        store = _store(link)
        path = _path(link) if any(place.path for place in self.places) else ""
        if not any(place.holds(store, path) for place in self.places):
            entry = _folder_of(link) if store.protocol == "file" else store.entry
            raise self._refusal(uri, entry, _NOT_LISTED)
        if store.protocol in _HOSTS:
            self._check_name(store, uri)
            self._allowed([store], _addresses(store), uri)

    def check_host(self, url: str) -> None:
        """Makes sure that a row may send a request to the host of an HTTP URL.

        Addresses are checked where the URL has one; those of a name are not known yet.

        Raises:
            RowError: As for :meth:`check`.
        """
        store = _http_store(url)
        if not any(place.holds(store) for place in self.places):
            raise self._refusal(url, store.entry, _NOT_LISTED)
        self._check_name(store, url)

    def allowed_addresses(self, host: str, port: int, addresses: Iterable[str]) -> list[str]:
        """Those addresses of a host, asked by HTTP or HTTPS, that a row may send a request to.

        Raises:
            RowError: NOT_ALLOWED, if there are some and none of them may be used.
        """
        first, second = ("https", "http") if port == _PORTS["https"] else ("http", "https")
        stores = [_Store(protocol, host.lower().rstrip("."), port) for protocol in (first, second)]
        return self._allowed(stores, addresses, stores[0].entry)

    def _check_name(self, store: _Store, uri: str) -> None:
        if store.host in METADATA_NAMES and not self._is_listed(store):
            raise self._refusal(uri, store.entry, f"{store.host} is {_WHAT['metadata']}")
        if parsed(store.host) is not None:
            self._allowed([store], [store.host], uri)
        elif _is_localhost(store.host):  # wherever it is looked up
            self._allowed([store], ["127.0.0.1"], uri)

    def _allowed(self, stores: Sequence[_Store], addresses: Iterable[str], uri: str) -> list[str]:
        store = stores[0]
        allowed: list[str] = []
        reason = ""
        for address in addresses:
            ip = parsed(address)
            kind = kind_of(ip) if ip is not None else "ordinary"
            if kind == "ordinary" or any(self._is_special(one, kind) for one in stores):
                allowed.append(address)
            else:
                which = "" if address == store.host else f" ({address})"
                reason = f"{store.host} is {_WHAT[kind]}{which}"
        if reason and not allowed:
            raise self._refusal(uri, store.entry, reason)
        return allowed

    def _is_special(self, store: _Store, kind: Kind) -> bool:
        """Whether the list lets rows reach an address of that kind by the name of a host."""
        if kind == "loopback":
            return self._is_listed(store)
        # A name may come to lead there, by accident or malice; the address itself cannot.
        exact = parsed(store.host) is not None or store.host in METADATA_NAMES
        return exact and self._is_listed(store)

    def _is_listed(self, store: _Store) -> bool:
        return any(place.named and place.holds(store) for place in self.places)

    def _refusal(self, uri: str, entry: str, reason: str) -> RowError:
        setting = (
            f"set input.allow: [{', '.join((*self.entries, entry))}]"
            if len(self.entries) <= 3
            else f"add {entry} to input.allow"
        )
        return RowError(
            ErrorCode.NOT_ALLOWED,
            f"{redact(uri)} is not read: {reason}; if rows may read from there, {setting}",
        )


ANYWHERE = AllowList()


def _default(manifest: str) -> list[_Place]:
    """A local manifest's rows may name every store; those of another one its own, and the web."""
    store = _store(chain(manifest)[-1])
    if store.protocol == "file":
        return [_Place()]
    named = _is_localhost(store.host) or parsed(store.host) is not None
    return [_Place(*store, named=named), *(_Place(name) for name in _HTTP)]


def _place(entry: str) -> _Place:
    if "/" not in entry and entry not in (".", ".."):
        if entry.lower() not in {*available_protocols(), "file"}:
            raise _no_place(
                entry, "no such protocol; write https://NAME for a host, ./NAME for a folder"
            )
        return _Place(_usual(entry.lower()))
    link = chain(entry)[-1]
    store = _store(link, with_usual_port=False)
    if store.protocol == "file":
        return _Place("file", path=_folder(os.path.realpath(link.rest)))
    if store.protocol not in _HOSTS:
        return _Place(*store, path=_folder(link.name))
    if "@" in link.authority:
        raise _no_place(entry, "give it without user and password")
    if store.protocol in _HTTP and link.name.strip("/"):
        raise _no_place(entry, "give the host alone, without a path")
    if parsed(store.host) is None and not _HOST.fullmatch(store.host):
        raise _no_place(entry, "give a host like https://cdn.example.com or https://*.example.com")
    named = not store.host.startswith("*.")
    return _Place(*store, _folder("" if store.protocol in _HTTP else link.name), named)


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _no_place(entry: str, fix: str) -> RowError:
    return RowError(ErrorCode.INVALID_PARAMETER, f"{redact(entry)!r} is no place: {fix}")


def _usual(protocol: str) -> str:
    """The usual one of a protocol's names; ``https`` is no other name of ``http``."""
    return protocol if protocol in _HTTP else capabilities(protocol).protocols[0]


def _folder(name: str) -> str:
    return name.strip("/") + "/" if name.strip("/") else ""


def _store(link: Link, with_usual_port: bool = True) -> _Store:
    protocol = _usual(link.protocol)
    if protocol not in _HOSTS:
        return _Store(protocol, link.authority, None)
    host, port = _host_and_port(f"{link.protocol}://{link.authority}")
    if port is None and with_usual_port:
        port = _PORTS.get(protocol)
    return _Store(protocol, host, port)


def _http_store(url: str) -> _Store:
    protocol = url.partition(":")[0]
    host, port = _host_and_port(url)
    return _Store(protocol, host, port or _PORTS[protocol])


def _host_and_port(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower().rstrip(".")
        return host if host.isascii() else host.encode("idna").decode(), parts.port
    except ValueError:
        raise RowError(ErrorCode.INVALID_URI, f"{redact(url)} is no URL; check it") from None


def _path(link: Link) -> str:
    """What is compared with the folders of places; a name that climbs out of one is in none."""
    if _usual(link.protocol) == "file":
        return os.path.realpath(link.rest).strip("/") or "/"
    return "/" if ".." in link.name.split("/") else link.name.strip("/") or "/"


def _folder_of(link: Link) -> str:
    return os.path.dirname(os.path.abspath(link.rest))


def _addresses(store: _Store) -> list[str]:
    try:
        found = socket.getaddrinfo(store.host, store.port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []  # the store's own library will say so
    return [str(entry[4][0]) for entry in found]
