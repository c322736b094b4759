"""Objects, whole: reading many at once, writing one so that no reader ever sees half of it."""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import re
import shutil
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fsspec.asyn import sync
from fsspec.utils import glob_translate

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.connections import Place, borrow
from alphabeam.transforms.storage.faults import HttpStatusError, StorageOptions, diagnose, retry
from alphabeam.transforms.storage.uris import chain, has_magic, is_local, redact

__all__ = [
    "Stat",
    "delete",
    "exists",
    "glob",
    "list_objects",
    "open_input",
    "put",
    "read",
    "read_many",
    "stat",
]

# One request stores the whole object, or none of it.
_OBJECT_STORES = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "memory"}
)
# Written under a temporary name in the same folder, then renamed onto the real one.
_RENAMING = frozenset({"sftp", "ssh", "ftp", "webdav"})

_PARTIAL = re.compile(r"\.alphabeam-[0-9a-f]{32}\.partial$")
_CHUNK = 1 << 20


class Stat(NamedTuple):
    """What a store tells of an object without sending it.

    Attributes:
        size: Bytes; None if the store does not say (an HTTP answer without Content-Length).
        version: Changes when the object does: the etag, or else time of change and size, as the
            store gives them; empty if it gives neither.
    """

    size: int | None
    version: str


def _too_large(uri: str, max_bytes: int, size: int | None = None) -> RowError:
    told = f"{size} bytes" if size is not None else f"more than {max_bytes} bytes"
    return RowError(
        ErrorCode.TOO_LARGE,
        f"{redact(uri)} has {told}, the limit is {max_bytes}; raise the limit, or leave it out",
    )


# ---- reading


def read(uri: str, *, max_bytes: int | None = None, options: StorageOptions | None = None) -> bytes:
    """Reads an object.

    Args:
        uri: The object.
        max_bytes: The most that is accepted; a larger object is not read to its end.
        options: Options per protocol.

    Raises:
        RowError: NOT_FOUND, ACCESS_DENIED, TOO_LARGE, INVALID_URI, MISSING_DEPENDENCY or
            STORAGE_UNAVAILABLE.
    """
    return retry(lambda: _read_once(uri, max_bytes, options), "read", uri, options)


def _read_once(uri: str, max_bytes: int | None, options: StorageOptions | None) -> bytes:
    if is_local(uri):
        return _read_local(uri, max_bytes)
    with borrow(uri, options) as place:
        if place.protocol in ("http", "https"):
            return _http(place, _http_read, uri, max_bytes)
        data = _read_place(place, uri, max_bytes)
    if max_bytes is not None and len(data) > max_bytes:
        raise _too_large(uri, max_bytes)
    return data


def _read_local(uri: str, max_bytes: int | None) -> bytes:
    with open(_local_path(uri), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise _too_large(uri, max_bytes, size)
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    if max_bytes is not None and len(data) > max_bytes:
        raise _too_large(uri, max_bytes)
    return data


def _read_place(place: Place, uri: str, max_bytes: int | None) -> bytes:
    fs, path = place.fs, place.path
    if place.protocol in ("sftp", "ssh"):
        return _read_sftp(fs, path, uri, max_bytes)
    if place.protocol == "ftp":
        return _read_ftp(fs, path, uri, max_bytes)
    if place.protocol in _OBJECT_STORES:
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


def _read_sftp(fs: Any, path: str, uri: str, max_bytes: int | None) -> bytes:
    with fs.ftp.open(path, "rb") as file:
        size = file.stat().st_size
        if max_bytes is not None and size > max_bytes:
            raise _too_large(uri, max_bytes, size)
        if size > 32768:  # one answer's worth; more are asked for at once
            file.prefetch(size)
        return bytes(file.read(size)) if size else b""


def _read_ftp(fs: Any, path: str, uri: str, max_bytes: int | None) -> bytes:
    buffer = io.BytesIO()

    def take(block: bytes) -> None:
        buffer.write(block)
        if max_bytes is not None and buffer.tell() > max_bytes:
            raise _too_large(uri, max_bytes)

    fs.ftp.retrbinary(f"RETR {path}", take, blocksize=1 << 16)
    return buffer.getvalue()


def read_many(
    uris: Iterable[str],
    *,
    concurrency: int = 16,
    max_bytes: int | None = None,
    options: StorageOptions | None = None,
) -> Iterator[tuple[str, bytes | RowError]]:
    """Reads many objects at once, and yields them in order.

    At most ``concurrency`` objects are being read or wait to be taken, so memory is bounded by
    ``concurrency`` times the largest object (``max_bytes``), however many URIs there are.

    Args:
        uris: The objects; taken one by one, as room is made.
        concurrency: 1 or more.
        max_bytes: The most that is accepted of one object.
        options: Options per protocol.

    Yields:
        The URI, and its bytes or why it could not be read.
    """
    if concurrency < 1:
        raise RowError(ErrorCode.INVALID_PARAMETER, f"concurrency is {concurrency}; give 1 or more")
    rest = iter(uris)
    window: deque[tuple[str, Future[bytes]]] = deque()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="alphabeam-read") as pool:
        try:
            for uri in rest:
                window.append((uri, pool.submit(read, uri, max_bytes=max_bytes, options=options)))
                if len(window) == concurrency:
                    yield _outcome(*window.popleft())
            while window:
                yield _outcome(*window.popleft())
        finally:
            for _, future in window:
                future.cancel()


def _outcome(uri: str, future: Future[bytes]) -> tuple[str, bytes | RowError]:
    try:
        return uri, future.result()
    except RowError as error:
        return uri, error


# ---- HTTP: fsspec reads an answer whole before its size or status is looked at


def _http(place: Place, request: Any, *args: Any) -> Any:
    return sync(place.fs.loop, request, place.fs, place.path, *args)


async def _http_check(answer: Any) -> None:
    if answer.status >= 400:
        raise HttpStatusError(answer.status, answer.reason or "", answer.headers.get("Retry-After"))


async def _http_read(fs: Any, path: str, uri: str, max_bytes: int | None) -> bytes:
    session = await fs.set_session()
    async with session.get(fs.encode_url(path), **fs.kwargs) as answer:
        await _http_check(answer)
        if max_bytes is None:
            return bytes(await answer.read())
        if answer.content_length is not None and answer.content_length > max_bytes:
            answer.close()
            raise _too_large(uri, max_bytes, answer.content_length)
        buffer = bytearray()
        async for block in answer.content.iter_chunked(_CHUNK):
            buffer += block
            if len(buffer) > max_bytes:
                answer.close()
                raise _too_large(uri, max_bytes)
        return bytes(buffer)


async def _http_stat(fs: Any, path: str) -> Stat:
    session = await fs.set_session()
    settings = dict(fs.kwargs)
    settings["headers"] = {"Accept-Encoding": "identity", **settings.get("headers", {})}
    url = fs.encode_url(path)
    async with session.head(url, allow_redirects=True, **settings) as answer:
        if answer.status < 400:
            return _http_stat_of(answer.headers, answer.content_length)
        if answer.status not in (403, 405, 501):  # signed URLs are often good for GET only
            await _http_check(answer)
    async with session.get(url, **settings) as answer:
        await _http_check(answer)
        answer.close()
        return _http_stat_of(answer.headers, answer.content_length)


def _http_stat_of(headers: Any, size: int | None) -> Stat:
    version = headers.get("ETag") or headers.get("Last-Modified", "")
    if version and "ETag" not in headers and size is not None:
        version = f"{version} {size}"
    return Stat(size, version)


# ---- what is there


def stat(uri: str, *, options: StorageOptions | None = None) -> Stat:
    """Size and version of an object, without reading it.

    Raises:
        RowError: As for :func:`read`.
    """
    return retry(lambda: _stat_once(uri, options), "look at", uri, options)


def _stat_once(uri: str, options: StorageOptions | None) -> Stat:
    if is_local(uri):
        status = os.stat(_local_path(uri))
        return Stat(status.st_size, f"{status.st_mtime_ns}-{status.st_size}")
    with borrow(uri, options) as place:
        if place.protocol in ("http", "https"):
            found: Stat = _http(place, _http_stat)
            return found
        info = place.fs.info(place.path)
    size = info.get("size")
    return Stat(int(size) if size is not None else None, _version(info))


_ETAGS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "CRC")
_TIMES = ("mtime", "modified", "last_modified", "LastModified", "modify", "date_time", "created")


def _version(info: dict[str, Any]) -> str:
    for name in _ETAGS:
        if info.get(name):
            return str(info[name]).strip('"')
    for name in _TIMES:
        moment = info.get(name)
        if moment is not None:
            text = moment.isoformat() if isinstance(moment, datetime) else str(moment)
            return f"{text}-{info.get('size')}"
    return ""


def exists(uri: str, *, options: StorageOptions | None = None) -> bool:
    """Whether there is an object, or a folder, of that name.

    Raises:
        RowError: If that cannot be known: ACCESS_DENIED, STORAGE_UNAVAILABLE …
    """
    if is_local(uri):
        return os.path.exists(_local_path(uri))
    try:
        retry(lambda: _info_exists(uri, options), "look at", uri, options)
    except RowError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return False
        raise
    return True


def _info_exists(uri: str, options: StorageOptions | None) -> None:
    with borrow(uri, options, fresh=True) as place:
        if place.protocol in ("http", "https"):
            _http(place, _http_stat)
        else:
            place.fs.info(place.path)


def glob(pattern: str, *, options: StorageOptions | None = None) -> list[str]:
    """The objects that a pattern matches, as full URIs, sorted.

    ``*`` and ``?`` stay within a folder, ``**`` goes through all, ``[abc]`` is one of these. A
    pattern without wildcards is the object itself, if it is there; one that ends in ``/`` means
    all objects below that folder.

    Raises:
        RowError: ACCESS_DENIED, INVALID_URI, STORAGE_UNAVAILABLE …
    """
    if pattern.split("::")[0].endswith("/"):
        return list_objects(pattern, options=options)
    return retry(lambda: _glob_once(pattern, options), "list", pattern, options)


def _glob_once(pattern: str, options: StorageOptions | None) -> list[str]:
    with borrow(pattern, options, fresh=True) as place:
        path = place.path
        if not has_magic(path):
            return [place.uri(path)] if _is_object(place) else []
        if place.protocol in ("http", "https"):
            return sorted(place.uri(name) for name in place.fs.glob(path))
        folder = posixpath.dirname(re.split(r"[*?\[]", path, maxsplit=1)[0])
        below = path[len(folder) :].strip("/")
        depth = None if "**" in below else below.count("/") + 1
        # by its own spelling, since file systems differ in the slash before a name
        matches = re.compile(glob_translate("/" + path.strip("/"))).match
        found = _names(place, folder, depth)
        return sorted(place.uri(name) for name in found if matches("/" + name.strip("/")))


def _is_object(place: Place) -> bool:
    try:
        return place.fs.info(place.path)["type"] != "directory"
    except Exception as error:
        if diagnose(error).code is ErrorCode.NOT_FOUND:
            return False
        raise


def list_objects(folder: str, *, options: StorageOptions | None = None) -> list[str]:
    """All objects below a folder, at any depth, as full URIs, sorted; none if it does not exist.

    Objects that are just being written are left out.

    Raises:
        RowError: NOT_FOUND for a missing bucket or container; ACCESS_DENIED, INVALID_URI …
    """
    return retry(lambda: _list_once(folder, options), "list", folder, options)


def _list_once(folder: str, options: StorageOptions | None) -> list[str]:
    with borrow(folder, options, fresh=True) as place:
        if place.protocol in ("http", "https"):
            return sorted(place.uri(name) for name in place.fs.find(place.path))
        return sorted(place.uri(name) for name in _names(place, place.path.rstrip("/"), None))


def _names(place: Place, folder: str, depth: int | None) -> Iterator[str]:
    """The objects below a folder, down to ``depth`` levels, as the file system spells them."""
    return (name for name, _ in _listing(place, folder, depth))


def _listing(
    place: Place, folder: str, depth: int | None, begin: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """As :func:`_names`, with what the store tells of each.

    ``begin`` is what all names in the folder that are wanted begin with; only stores that list
    flat make use of it.
    """
    fs = place.fs
    fs.invalidate_cache()
    if depth is None and place.protocol in _OBJECT_STORES:
        narrow = {"prefix": begin} if begin and place.protocol != "memory" else {}
        found = fs.find(folder, detail=True, **narrow)
        if not found:
            _check_bucket(place, folder)
        if not isinstance(found, dict):  # adlfs, when the folder is an object or is not there
            found = {name: fs.info(name) for name in found}
        for name, info in found.items():
            if not _PARTIAL.search(name) and info["type"] != "directory":
                yield name, info
        return
    level, folders = 0, [folder or place.prefix]
    while folders and (depth is None or level < depth):
        deeper: list[str] = []
        for current in folders:
            try:
                inside = fs.ls(current, detail=True)
            except Exception as error:
                if diagnose(error).code is not ErrorCode.NOT_FOUND:
                    raise
                if level == 0:
                    _check_bucket(place, folder)
                continue
            for info in inside:
                name = info["name"]
                if info["type"] == "directory":
                    if name.rstrip("/") != current.rstrip("/"):
                        deeper.append(name.rstrip("/"))
                elif not _PARTIAL.search(name) and name.strip("/") != current.strip("/"):
                    yield name, info
        level, folders = level + 1, deeper


def _check_bucket(place: Place, folder: str) -> None:
    """An empty folder and a missing bucket look alike in a listing."""
    if place.protocol in _OBJECT_STORES and place.protocol != "memory":
        bucket = place.prefix.strip("/")
        if _is_missing(place.fs, bucket):
            raise RowError(
                ErrorCode.NOT_FOUND,
                f"cannot list {redact(place.uri(folder))}: there is no bucket or container "
                f"{bucket!r}; check its name",
            )


def _is_missing(fs: Any, bucket: str) -> bool:
    """Whether a bucket is known not to exist; one that may not be looked at is given the doubt."""
    try:
        fs.info(bucket)
    except Exception as error:
        return diagnose(error).code is ErrorCode.NOT_FOUND
    return False


# ---- writing


def put(uri: str, data: bytes, *, options: StorageOptions | None = None) -> None:
    """Writes an object whole or not at all, over the one that may be there.

    Folders are made as needed. Object stores get one put from memory; local disks a temporary file
    in the same folder, fsync and a rename; SFTP, FTP and WebDAV a temporary name and a rename.

    Raises:
        RowError: READ_ONLY, also for stores that can do none of these; NO_SPACE, ACCESS_DENIED,
            NOT_FOUND (no such bucket), INVALID_URI, STORAGE_UNAVAILABLE …
    """
    retry(lambda: _put_once(uri, data, options), "write", uri, options)


def put_file(uri: str, path: str, *, options: StorageOptions | None = None) -> None:
    """As :func:`put`, from a local file, for what does not fit into memory."""
    retry(lambda: _put_once(uri, Path(path), options), "write", uri, options)


def _put_once(uri: str, data: bytes | Path, options: StorageOptions | None) -> None:
    if is_local(uri):
        _put_local(_local_path(uri), data)
        return
    links = chain(uri)
    if len(links) > 1 or links[0].protocol not in _OBJECT_STORES | _RENAMING:
        raise RowError(
            ErrorCode.READ_ONLY,
            f"cannot write {redact(uri)}: {links[0].protocol}:// cannot store an object whole or "
            "not at all; write to a local disk, s3, gs, abfs, sftp, ftp, webdav or memory",
        )
    if links[0].protocol == "webdav" and "?" in links[0].name:
        raise RowError(  # some cut the name there when they rename, and hit another object
            ErrorCode.INVALID_URI,
            f"cannot write {redact(uri)}: WebDAV servers misread '?' in a name; choose another",
        )
    with borrow(uri, options) as place:
        if place.protocol not in _OBJECT_STORES:
            _put_renaming(place, data)
        elif isinstance(data, Path):
            place.fs.put_file(str(data), place.path)
        else:
            place.fs.pipe_file(place.path, data)


def _opened(data: bytes | Path) -> BinaryIO:
    return data.open("rb") if isinstance(data, Path) else io.BytesIO(data)


def _put_local(path: str, data: bytes | Path) -> None:
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise IsADirectoryError(21, "a folder has that name", path)
    temporary = os.path.join(folder, _partial_name())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(temporary, flags, 0o666)
    try:
        with open(descriptor, "wb") as file, _opened(data) as source:
            shutil.copyfileobj(source, file, _CHUNK)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Makes the rename itself outlive a power failure, where folders can be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _partial_name() -> str:
    return f".alphabeam-{uuid.uuid4().hex}.partial"


def _put_renaming(place: Place, data: bytes | Path) -> None:
    folder = posixpath.dirname(place.path)
    temporary = posixpath.join(folder, _partial_name())
    send, rename, remove = _renaming_calls(place)

    def store() -> None:
        with _opened(data) as file:
            send(temporary, file)

    try:
        try:
            store()
        except Exception as error:
            missing = diagnose(error).code is ErrorCode.NOT_FOUND
            if not missing and getattr(error, "status_code", 0) != 409:  # WebDAV: no such folder
                raise
            make_folders(place.fs, folder)
            store()
        rename(temporary, place.path)
    except BaseException:
        # the first fault is the one to tell; what cannot be removed, listings leave out
        with contextlib.suppress(Exception):
            remove(temporary)
        raise


def _renaming_calls(place: Place) -> tuple[Any, Any, Any]:
    """How a store writes a file, renames it over another one, and removes it.

    fsspec's own calls would write in many small pieces (FTP), without asking the server how much
    has arrived (SFTP), or would refuse to rename onto an existing name (WebDAV).
    """
    fs = place.fs
    if place.protocol in ("sftp", "ssh"):
        return (
            lambda path, file: fs.ftp.putfo(file, path, confirm=True),
            fs.ftp.posix_rename,
            fs.ftp.remove,
        )
    if place.protocol == "ftp":
        return (
            lambda path, file: fs.ftp.storbinary(f"STOR {path}", file, 1 << 16),
            fs.ftp.rename,
            fs.ftp.delete,
        )
    client = fs.client
    return (
        lambda path, file: client.upload_fileobj(file, path, overwrite=True),
        lambda old, new: client.move(old, new, overwrite=True),
        client.remove,
    )


def make_folders(fs: Any, folder: str) -> None:
    """Makes a folder and those above it, where others may be doing the same."""
    try:
        fs.makedirs(folder, exist_ok=True)
    except Exception:
        if not fs.isdir(folder):  # another writer may just have made it
            fs.makedirs(folder, exist_ok=True)


def delete(uris: Iterable[str], *, options: StorageOptions | None = None) -> None:
    """Deletes objects; one that is not there is no fault.

    Raises:
        RowError: Of the first that cannot be deleted; the others are deleted all the same.
    """
    todo = [*uris]
    if not todo:
        return
    with ThreadPoolExecutor(min(16, len(todo)), thread_name_prefix="alphabeam-delete") as pool:
        outcomes = [pool.submit(_delete_one, uri, options) for uri in todo]
    for outcome in outcomes:
        outcome.result()


def _delete_one(uri: str, options: StorageOptions | None) -> None:
    def once() -> None:
        if is_local(uri):
            os.remove(_local_path(uri))
            return
        with borrow(uri, options) as place:
            place.fs.rm_file(place.path)

    try:
        retry(once, "delete", uri, options)
    except RowError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise


def _local_path(uri: str) -> str:
    return os.path.abspath(chain(uri)[0].rest)


def copy(source: str, target: str, *, options: StorageOptions | None = None) -> None:
    """Copies an object within a store, without sending it through this machine if it can.

    Raises:
        RowError: As for :func:`read` and :func:`put`.
    """

    def once() -> None:
        with borrow(source, options) as place, borrow(target, options) as aim:
            if place.fs is aim.fs and place.protocol in _OBJECT_STORES:
                place.fs.cp_file(place.path, aim.path)
                _await_copy(place, aim)
                return
        with open_input(source, options=options) as file, tempfile.NamedTemporaryFile() as spool:
            shutil.copyfileobj(file, spool, _CHUNK)
            spool.flush()
            put_file(target, spool.name, options=options)

    retry(once, "copy", source, options)


def _await_copy(place: Place, aim: Place) -> None:
    """Azure may answer before a copy is done; its size is 0 until then."""
    if place.protocol not in ("abfs", "abfss", "az"):
        return
    size = place.fs.info(place.path)["size"]
    for _ in range(600):
        if aim.fs.info(aim.path)["size"] == size:
            return
        time.sleep(0.1)
    raise TimeoutError("the copy is not done after a minute")


def move(source: str, target: str, *, options: StorageOptions | None = None) -> None:
    """Renames an object over the one that may be there; a copy and a delete on object stores.

    A second try after the object had been moved finds it done.

    Raises:
        RowError: As for :func:`read` and :func:`put`.
    """
    if is_local(source) and is_local(target):
        retry(lambda: os.replace(_local_path(source), _local_path(target)), "move", source, options)
        return
    try:
        if chain(source)[0].protocol not in _RENAMING:
            copy(source, target, options=options)
            delete([source], options=options)
            return

        def once() -> None:
            with borrow(source, options) as place, borrow(target, options) as aim:
                _renaming_calls(place)[1](place.path, aim.path)

        retry(once, "move", source, options)
    except RowError as error:
        gone = error.code is ErrorCode.NOT_FOUND and not exists(source, options=options)
        if not (gone and exists(target, options=options)):
            raise


class Entry(NamedTuple):
    """An object in a listing: its full URI, bytes, and time of change (Unix seconds; 0 unknown)."""

    uri: str
    size: int
    changed: float


def entry(uri: str, *, options: StorageOptions | None = None) -> Entry:
    """One object as a listing would show it.

    Raises:
        RowError: As for :func:`read`; NOT_FOUND for a folder.
    """

    def once() -> Entry:
        with borrow(uri, options, fresh=True) as place:
            if place.protocol in ("http", "https"):
                return Entry(uri, _http(place, _http_stat).size or 0, 0.0)
            info = place.fs.info(place.path)
            if info["type"] == "directory":
                raise FileNotFoundError(uri)
            return _entry(uri, info)

    return retry(once, "look at", uri, options)


def entries(prefix: str, *, options: StorageOptions | None = None) -> list[Entry]:
    """All objects whose URI begins with ``prefix``, which need not end at a folder, sorted."""
    folder, _, begin = prefix.rpartition("/")

    def once() -> list[Entry]:
        with borrow(folder + "/", options, fresh=True) as place:
            found = _listing(place, place.path.rstrip("/"), None, begin)
            listed = [_entry(place.uri(name), info) for name, info in found]
        return sorted(one for one in listed if one.uri.startswith(prefix))

    return retry(once, "list", prefix, options)


def _entry(uri: str, info: dict[str, Any]) -> Entry:
    changed = next((info[name] for name in _TIMES if info.get(name) is not None), 0.0)
    if isinstance(changed, str):
        try:
            changed = (
                datetime.strptime(changed[:14], "%Y%m%d%H%M%S")  # FTP
                if changed[:14].isdigit()
                else datetime.fromisoformat(changed.replace("Z", "+00:00"))
            )
        except ValueError:
            changed = 0.0
    if isinstance(changed, datetime):
        if changed.tzinfo is None:
            changed = changed.replace(tzinfo=timezone.utc)
        changed = changed.timestamp()
    if not isinstance(changed, (int, float)):
        changed = 0.0
    return Entry(uri, int(info.get("size") or 0), float(changed))


def make_folder(uri: str, *, options: StorageOptions | None = None) -> None:
    """Makes a folder where stores have them; object stores need none."""
    if is_local(uri):
        retry(lambda: os.makedirs(_local_path(uri), exist_ok=True), "make", uri, options)
        return

    def once() -> None:
        with borrow(uri, options) as place:
            if place.protocol not in _OBJECT_STORES:
                make_folders(place.fs, place.path)

    retry(once, "make", uri, options)


def remove_folders(uri: str, *, options: StorageOptions | None = None) -> None:
    """Removes the empty folders that remain of one whose objects are deleted."""
    if is_local(uri):
        shutil.rmtree(_local_path(uri), ignore_errors=True)
        return
    with borrow(uri, options) as place, contextlib.suppress(Exception):
        if place.protocol not in _OBJECT_STORES:
            place.fs.rm(place.path, recursive=True)


# ---- streaming


class _Input(io.RawIOBase):
    """Reads an object piece by piece; takes a dropped connection up again where it was lost."""

    mode = "rb"  # Beam's CompressedFile asks

    def __init__(self, uri: str, options: StorageOptions | None) -> None:
        super().__init__()
        self._uri, self._options = uri, options
        self._at = 0
        self._lent: Any = None
        self._file: Any = None
        retry(self._open, "read", uri, options)

    def _open(self) -> None:
        self._release()
        if is_local(self._uri):
            self._file = open(_local_path(self._uri), "rb")  # noqa: SIM115
        else:
            self._lent = borrow(self._uri, self._options)
            place = self._lent.__enter__()
            try:
                if place.protocol == "memory":  # its files share one position
                    self._file = io.BytesIO(place.fs.cat_file(place.path))
                else:
                    self._file = place.fs.open(place.path, "rb")
            except BaseException as error:
                self._release(error)
                raise
        if self._at:
            self._file.seek(self._at)

    def _release(self, error: BaseException | None = None) -> None:
        file, self._file = self._file, None
        lent, self._lent = self._lent, None
        try:
            if file is not None:
                file.close()
        except Exception as fault:
            error = error or fault
        if lent is None:
            return
        try:
            lent.__exit__(type(error) if error else None, error, None)
        except BaseException as same:
            if same is not error:
                raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)  # paramiko's returns nothing
        self._at = int(self._file.tell())
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = retry(lambda: self._piece(len(buffer)), "read", self._uri, self._options)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _piece(self, size: int) -> bytes:
        if self._file is None:
            self._open()
        try:
            return bytes(self._file.read(size))
        except Exception as error:
            self._release(error)
            raise

    def close(self) -> None:
        if not self.closed:
            self._release()
        super().close()


def open_input(uri: str, *, options: StorageOptions | None = None) -> BinaryIO:
    """Opens an object for reading piece by piece, for what may not fit into memory.

    Raises:
        RowError: As for :func:`read`; also from the file's own methods.
    """
    return io.BufferedReader(_Input(uri, options), _CHUNK)
