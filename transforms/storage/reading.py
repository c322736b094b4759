"""Objects, read whole: one, or many at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage import http
from alphabeam.transforms.storage.allowed import AllowList
from alphabeam.transforms.storage.connections import Place, borrow
from alphabeam.transforms.storage.deadlines import TOTAL_S
from alphabeam.transforms.storage.embedded import embedded
from alphabeam.transforms.storage.faults import StorageOptions, retry, too_large
from alphabeam.transforms.storage.info import stat
from alphabeam.transforms.storage.local import read_local
from alphabeam.transforms.storage.parquet import read_embedded
from alphabeam.transforms.storage.renaming import read_ftp, read_sftp
from alphabeam.transforms.storage.streams import open_stream
from alphabeam.transforms.storage.uris import chain, is_local

__all__ = ["open_input", "read", "read_many", "read_with_version"]


def read(
    uri: str,
    *,
    max_bytes: int | None = None,
    options: StorageOptions | None = None,
    timeout: float | None = TOTAL_S,
    allow: AllowList | None = None,
) -> bytes:
    """Reads an object.

    Args:
        uri: The object, or a picture inside a Parquet file.
        max_bytes: The most that is accepted; a larger object is not read to its end.
        options: Options per protocol.
        timeout: Seconds for everything together, retries included; None for no bound.
        allow: Where a row may read from; None for a URI that the user himself gave.

    Raises:
        RowError: NOT_FOUND, ACCESS_DENIED, NOT_ALLOWED, TOO_LARGE, INVALID_URI,
            MISSING_DEPENDENCY or STORAGE_UNAVAILABLE.
    """
    picture = embedded(uri)
    if picture is not None:
        return read_embedded(
            picture, max_bytes=max_bytes, options=options, timeout=timeout, allow=allow
        )
    return retry(
        lambda: _read_once(uri, max_bytes, options, allow)[0],
        "read",
        uri,
        options,
        timeout=timeout,
    )


def read_with_version(
    uri: str,
    *,
    max_bytes: int | None = None,
    options: StorageOptions | None = None,
    timeout: float | None = TOTAL_S,
    allow: AllowList | None = None,
) -> tuple[bytes, str]:
    """Reads an object, with its version as :func:`stat` gives it; by one request where that tells.

    Args and exceptions are those of :func:`read`.
    """
    if chain(uri)[0].protocol in ("http", "https"):
        return retry(
            lambda: _read_once(uri, max_bytes, options, allow),
            "read",
            uri,
            options,
            timeout=timeout,
        )
    # The version first: bytes that come later are at least as new.
    version = stat(uri, options=options, timeout=timeout, allow=allow).version
    data = read(uri, max_bytes=max_bytes, options=options, timeout=timeout, allow=allow)
    return data, version


def _read_once(
    uri: str, max_bytes: int | None, options: StorageOptions | None, allow: AllowList | None
) -> tuple[bytes, str]:
    """The bytes, and from HTTP the version."""
    if is_local(uri):
        if allow is not None:
            allow.check(uri)
        return read_local(uri, max_bytes), ""
    with borrow(uri, options, allow=allow) as place:
        if place.protocol in ("http", "https"):
            found: tuple[bytes, str] = http.request(place, http.get, uri, max_bytes)
            return found
        data = _read_place(place, uri, max_bytes)
    if max_bytes is not None and len(data) > max_bytes:
        raise too_large(uri, max_bytes)
    return data, ""


def _read_place(place: Place, uri: str, max_bytes: int | None) -> bytes:
    fs, path = place.fs, place.path
    if place.protocol in ("sftp", "ssh"):
        return read_sftp(fs, path, uri, max_bytes)
    if place.protocol == "ftp":
        return read_ftp(fs, path, uri, max_bytes)
    if place.store.flat:
        if max_bytes is None:
            return bytes(fs.cat_file(path))
        try:
            return bytes(fs.cat_file(path, start=0, end=max_bytes + 1))
        except Exception:
            if fs.info(path)["size"] == 0:  # an empty object satisfies no range
                return b""
            raise
    with fs.open(path, "rb") as file:
        return bytes(file.read() if max_bytes is None else file.read(max_bytes + 1))


def read_many(
    uris: Iterable[str],
    *,
    concurrency: int = 16,
    max_bytes: int | None = None,
    options: StorageOptions | None = None,
    timeout: float | None = TOTAL_S,
) -> Iterator[tuple[str, bytes | RowError]]:
    """Reads many objects at once, and yields them in order.

    At most ``concurrency`` objects are being read or wait to be taken, so memory is bounded by
    ``concurrency`` times the largest object (``max_bytes``), however many URIs there are.

    Args:
        uris: The objects; taken one by one, as room is made.
        concurrency: 1 or more.
        max_bytes: The most that is accepted of one object.
        options: Options per protocol.
        timeout: Seconds for each object.

    Yields:
        The URI, and its bytes or why it could not be read.
    """
    if concurrency < 1:
        raise RowError(ErrorCode.INVALID_PARAMETER, f"concurrency is {concurrency}; give 1 or more")
    rest = iter(uris)
    pending: deque[tuple[str, Future[bytes]]] = deque()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="alphabeam-read") as pool:
        try:
            for uri in rest:
                reading = pool.submit(
                    read, uri, max_bytes=max_bytes, options=options, timeout=timeout
                )
                pending.append((uri, reading))
                if len(pending) == concurrency:
                    yield _outcome(*pending.popleft())
            while pending:
                yield _outcome(*pending.popleft())
        finally:
            for _, future in pending:
                future.cancel()


def _outcome(uri: str, future: Future[bytes]) -> tuple[str, bytes | RowError]:
    try:
        return uri, future.result()
    except RowError as error:
        return uri, error


def open_input(
    uri: str, *, options: StorageOptions | None = None, timeout: float | None = TOTAL_S
) -> BinaryIO:
    """Opens an object for reading piece by piece, for what may not fit into memory.

    Args:
        uri: The object.
        options: Options per protocol.
        timeout: Seconds for opening it, and for each piece of up to a megabyte.

    Raises:
        RowError: As for :func:`read`; also from the file's own methods.
    """
    return open_stream(lambda: borrow(uri, options), uri, options, timeout)
