"""fsspec file systems: made once a process, lent out, without listings that go stale.

An fsspec instance may hold a password, open sockets and an event loop. So none is ever pickled or
shared with a forked child, and none goes through fsspec's own instance cache. Asynchronous file
systems serve all threads of a process; the others (SFTP, FTP, archives …) serve one thread at a
time, and as many are opened as are in use at once.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from fsspec.dircache import DirCache
from fsspec.registry import get_filesystem_class
from fsspec.utils import infer_compression

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.secret_refs import resolve
from alphabeam.transforms.storage import http_headers
from alphabeam.transforms.storage.allowed import AllowList
from alphabeam.transforms.storage.capabilities import Capabilities, capabilities, spellings
from alphabeam.transforms.storage.faults import StorageOptions, as_row_error, diagnose
from alphabeam.transforms.storage.guarded import client_maker
from alphabeam.transforms.storage.streams import open_stream
from alphabeam.transforms.storage.uris import (
    ARCHIVES,
    CACHES,
    Link,
    chain,
    quoted_url,
    redact,
    spell,
)

__all__ = ["Place", "borrow", "options_of"]

_STAND_IN = "name"  # asks a file system class how it spells a name, whatever the real one holds

_CONNECT_S, _READ_S = 10, 30  # a server that is silent for longer has stalled


class Place(NamedTuple):
    """A file system and where in it a URI points.

    Attributes:
        fs: The fsspec file system, lent for the time of the ``with``.
        path: The object's path as ``fs`` spells it.
        protocol: The outermost protocol.
        prefix: What ``fs`` writes before every name of this store.
        root: What the URI writes there; with ``tail``, turns a path into a URI.
        tail: The rest of the chain.
    """

    fs: Any
    path: str
    protocol: str
    prefix: str
    root: str
    tail: str

    @property
    def store(self) -> Capabilities:
        """What this store can do."""
        return capabilities(self.protocol)

    def uri(self, path: str) -> str:
        """The full URI of a path that ``fs`` gave."""
        name = path if path.startswith(self.prefix) else self.prefix + path.lstrip("/")
        return self.root + name[len(self.prefix) :] + self.tail


def options_of(protocol: str, options: StorageOptions | None) -> dict[str, Any]:
    """The options given for a protocol, or for another spelling of it (``gs``, ``gcs``).

    References to secrets are resolved here, on the worker, each time: nothing that is kept or
    pickled holds more than the reference.
    """
    for name in spellings(protocol):
        if options and name in options:
            given = resolve(options[name] or {})
            return {key: value for key, value in given.items() if value is not None}
    return {}


def _with_defaults(protocol: str, given: dict[str, Any]) -> dict[str, Any]:
    """Time limits that end a stall, and no retries below ours, unless the options say otherwise."""
    options = dict(given)
    if protocol in ("s3", "s3a"):
        config = {"retries": {"mode": "standard", "total_max_attempts": 1}}
        options["config_kwargs"] = {
            "connect_timeout": _CONNECT_S,
            "read_timeout": _READ_S,
            **config,
            **(given.get("config_kwargs") or {}),
        }
    elif protocol in ("sftp", "ssh"):
        for name in ("timeout", "banner_timeout", "auth_timeout"):
            options.setdefault(name, _READ_S)
    elif protocol in ("http", "https"):
        import aiohttp

        options["headers"] = http_headers.checked(given.get("headers"))
        client = dict(given.get("client_kwargs") or {})
        http_headers.refuse_for_all(client)
        named = {str(name).lower() for name in client.get("headers") or ()}
        if "user-agent" not in named:
            client["headers"] = {
                "User-Agent": http_headers.USER_AGENT,
                **(client.get("headers") or {}),
            }
        most = options.get("requests_per_second")
        if most is not None and (
            isinstance(most, bool) or not isinstance(most, (int, float)) or not most > 0
        ):
            raise RowError(
                ErrorCode.INVALID_PARAMETER,
                f"storage.http.requests_per_second: {most!r} is no number over 0",
            )
        silence_s = float(options.pop("timeout", _READ_S))
        client.setdefault(
            "timeout",
            aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silence_s),
        )
        options["client_kwargs"] = client
        options["encoded"] = True  # by us, before
    elif protocol in ("gs", "gcs"):
        token = options.get("token")
        if isinstance(token, str) and token.lstrip().startswith("{"):
            options["token"] = json.loads(token)  # a key file's content; gcsfs takes it as a dict
    elif protocol in ("abfs", "abfss", "az"):
        options.setdefault("connection_timeout", _CONNECT_S)
        options.setdefault("read_timeout", _READ_S)
    elif protocol == "webdav":
        options.setdefault("timeout", _READ_S)
        options.setdefault("retry", False)
        if isinstance(options.get("auth"), list):  # YAML has no tuples
            options["auth"] = tuple(options["auth"])
    return options


class _Layer(NamedTuple):
    protocol: str
    kwargs: dict[str, Any]
    prefix: str
    path: str


def _layer(link: Link, uri: str, options: StorageOptions | None) -> _Layer:
    """How fsspec's class for a protocol spells the link, with the options to make an instance."""
    protocol = link.protocol
    try:
        cls = get_filesystem_class(protocol)
    except ValueError:
        raise RowError(
            ErrorCode.INVALID_URI,
            f"{redact(uri)}: no store is called {protocol}://; check the URI",
        ) from None
    except ImportError as error:
        raise as_row_error(error, "open", str(link), options) from None
    kwargs = _with_defaults(protocol, options_of(protocol, options))
    if protocol in ("http", "https"):
        path = quoted_url(str(link))
        return _Layer(protocol, kwargs, path[: path.index("/", len(protocol) + 3) + 1], path)
    if protocol in ("file", "local"):
        path = os.path.abspath(link.rest) if link.rest else os.getcwd()
        return _Layer("file", kwargs, "/", path)
    stand_in = f"{link.root}{_STAND_IN}"
    from_url = cls._get_kwargs_from_urls(stand_in)
    spelled = str(cls._strip_protocol(stand_in))
    prefix = spelled.removesuffix(_STAND_IN)
    name = link.name if link.authority else link.name.lstrip("/")
    path = prefix + name if name else prefix.rstrip("/") or prefix
    if protocol in ("s3", "s3a") and "?versionId=" in name:
        kwargs["version_aware"] = True
    # what stands in the URL is meant for this object, so it wins
    return _Layer(protocol, {**kwargs, **from_url}, prefix, path)


class _Pool:
    """The instances of one (protocol, options)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shared: Any = None
        self.idle: list[Any] = []


_pools: dict[str, _Pool] = {}
_pools_lock = threading.Lock()
_left_to_parent: list[dict[str, _Pool]] = []


def _after_fork() -> None:
    # The parent's sockets are not the child's to close, so its instances are kept, never used.
    global _pools, _pools_lock
    _left_to_parent.append(_pools)
    _pools, _pools_lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _take_names_literally(client: Any) -> None:
    """webdav4 puts a name into the URL as it is, where three characters mean another thing."""
    join = client.join_url

    def join_quoted(path: str, add_trailing_slash: bool = False) -> Any:
        quoted = path.replace("%", "%25").replace("#", "%23").replace("?", "%3F")
        return join(quoted, add_trailing_slash)

    client.join_url = join_quoted


def _connect(
    links: tuple[Link, ...],
    layers: list[_Layer],
    options: StorageOptions | None,
    allow: AllowList | None,
) -> Any:
    """An instance for the outermost link. An archive reads its file as everybody else would."""
    protocol, kwargs = layers[-1].protocol, dict(layers[-1].kwargs)
    if protocol in ARCHIVES:
        file = spell(links[1:])
        kwargs["fo"] = open_stream(lambda: borrow(file, options, allow=allow), file, options)
        if protocol == "tar":
            kwargs["compression"] = infer_compression(file)
    elif protocol in CACHES:
        kwargs["fs"] = _connect(links[1:], layers[:-1], options, allow)
    elif protocol in ("http", "https"):
        trace = http_headers.sender(kwargs.pop("headers"))
        most = kwargs.pop("requests_per_second", None)
        kwargs["client_kwargs"] = {**kwargs["client_kwargs"], "trace_configs": [trace]}
        if allow is not None:
            kwargs["get_client"] = client_maker(allow, kwargs.get("proxy"))
    fs = get_filesystem_class(protocol)(**kwargs, skip_instance_cache=True)
    if isinstance(getattr(fs, "dircache", None), DirCache):
        fs.dircache = DirCache(use_listings_cache=False)
    if protocol in ("http", "https"):
        fs.requests_per_second = most
    elif protocol in ("s3", "s3a"):
        fs.retries = 1
    elif protocol == "webdav":
        _take_names_literally(fs.client)
    elif protocol in ("sftp", "ssh"):
        fs.ftp.get_channel().settimeout(_READ_S)
    return fs


@contextmanager
def borrow(
    uri: str,
    options: StorageOptions | None = None,
    *,
    fresh: bool = False,
    allow: AllowList | None = None,
) -> Iterator[Place]:
    """Lends the file system of a URI.

    A connection on which anything failed but "not found" and "denied" is given up afterwards, so
    that a second try gets a new one.

    Args:
        uri: The URI.
        options: Options per protocol, secrets resolved.
        fresh: Makes a new instance of an archive or cache, which would not see a later change.
        allow: Where a row may read from; None for what the job itself names.

    Raises:
        RowError: NOT_ALLOWED; INVALID_URI, MISSING_DEPENDENCY, or INVALID_PARAMETER for options
            that the store does not take.
    """
    if allow is not None:
        allow.check(uri)
    links = chain(uri)
    layers: list[_Layer] = []
    for link in reversed(links):
        layer = _layer(link, uri, options)
        if link.protocol in CACHES and not link.rest:
            layer = layer._replace(path=layers[-1].path, prefix=layers[-1].prefix)
        layers.append(layer)
    place_of = _spelling(links, layers)
    key = json.dumps(
        [
            *(
                (layer.protocol, layer.kwargs, layer.path if layer is not layers[-1] else "")
                for layer in layers
            ),
            allow and allow.places,
        ],
        sort_keys=True,
        default=repr,
    )
    with _pools_lock:
        pool = _pools.setdefault(key, _Pool())
    with pool.lock:
        fs = pool.shared
        if fs is None and pool.idle:
            fs = pool.idle.pop()
        if fs is None or (fresh and len(links) > 1):
            fs = _connect(links, layers, options, allow)
            if getattr(fs, "async_impl", False) or layers[-1].protocol in ("file", "memory"):
                pool.shared = fs
    keep = True
    try:
        yield place_of(fs)
    except BaseException as error:
        code = diagnose(error).code if isinstance(error, Exception) else None
        keep = code in (
            ErrorCode.NOT_FOUND,
            ErrorCode.ACCESS_DENIED,
            ErrorCode.READ_ONLY,
            ErrorCode.NO_SPACE,
        )
        raise
    finally:
        if not keep:
            pool.idle.clear()  # what broke this connection has broken the others too
        elif fs is not pool.shared:
            pool.idle.append(fs)


def _spelling(links: tuple[Link, ...], layers: list[_Layer]) -> Any:
    outer, layer = links[0], layers[-1]
    head, tail = 0, ""
    while links[head].protocol in CACHES and not links[head].rest and head < len(links) - 1:
        head += 1
    named = links[head]
    caches = "".join(f"{link.protocol}::" for link in links[:head])
    if head + 1 < len(links):
        tail = "::" + spell(links[head + 1 :])
    if named.protocol in ("file", "local"):
        root = "/" if named.plain else f"{named.protocol}:///"
    else:
        root = named.root
    return lambda fs: Place(fs, layer.path, outer.protocol, layer.prefix, caches + root, tail)
