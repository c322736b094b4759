"""Which objects there are: folders and patterns."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from fsspec.utils import glob_translate

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.connections import Place, borrow
from alphabeam.transforms.storage.faults import StorageOptions, diagnose, retry
from alphabeam.transforms.storage.info import Entry, entry_of
from alphabeam.transforms.storage.local import is_partial, local_path
from alphabeam.transforms.storage.uris import chain, has_magic, is_local, redact

__all__ = ["entries", "glob", "list_objects", "partial_objects"]


def glob(pattern: str, *, options: StorageOptions | None = None) -> list[str]:
    """The objects that a pattern matches, as full URIs, sorted.

    ``*`` and ``?`` stay within a folder, ``**`` goes through all, ``[abc]`` is one of these. A
    pattern without wildcards is the object itself, if it is there; one that ends in ``/`` means
    all objects below that folder. Hidden names (``.x``, and what NAS systems and Finder leave
    behind, such as ``@eaDir``) are left out, unless the pattern names them: ``.*``, ``@eaDir/*``.
    Links to folders are followed; loops end.

    Raises:
        RowError: ACCESS_DENIED, INVALID_URI, STORAGE_UNAVAILABLE …
    """
    if pattern.split("::")[0].endswith("/"):
        links = chain(pattern)
        folder = next(link for link in links if link.rest).rest.strip("/")
        below = list_objects(pattern, options=options)
        return [uri for uri in below if not _is_hidden(_below(uri, folder), "")]
    return retry(lambda: _glob_once(pattern, options), "list", pattern, options, timeout=None)


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
        fixed = len(folder.strip("/"))
        return sorted(
            place.uri(name)
            for name in _names(place, folder, depth)
            if matches("/" + name.strip("/")) and not _is_hidden(name.strip("/")[fixed:], below)
        )


# What NAS systems, Finder and Explorer leave behind; names that begin with a dot are hidden too.
_LITTER = frozenset({"@eaDir", "@Recycle", "#recycle", "__MACOSX", "Thumbs.db", "desktop.ini"})


def _is_hidden(name: str, pattern: str) -> bool:
    """Whether a part of a name is hidden and no part of the pattern names such parts."""
    asked = [part for part in pattern.split("/") if part.startswith(".") or part in _LITTER]
    return any(
        (part.startswith(".") or part in _LITTER)
        and not any(fnmatchcase(part, one) for one in asked)
        for part in name.split("/")
    )


def _is_object(place: Place) -> bool:
    try:
        return bool(place.fs.info(place.path)["type"] != "directory")
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
    return retry(lambda: _list_once(folder, options), "list", folder, options, timeout=None)


def _list_once(folder: str, options: StorageOptions | None) -> list[str]:
    with borrow(folder, options, fresh=True) as place:
        if place.protocol in ("http", "https"):
            return sorted(place.uri(name) for name in place.fs.find(place.path))
        return sorted(place.uri(name) for name in _names(place, place.path.rstrip("/"), None))


def _names(place: Place, folder: str, depth: int | None) -> Iterator[str]:
    """The objects below a folder, down to ``depth`` levels, as the file system spells them."""
    return (name for name, _ in _listing(place, folder, depth) if not is_partial(name))


def _listing(
    place: Place, folder: str, depth: int | None, begin: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """As :func:`_names`, with what the store tells of each, and with partial objects.

    ``begin`` is what all names in the folder that are wanted begin with; only stores that list
    flat make use of it.
    """
    fs = place.fs
    fs.invalidate_cache()
    if depth is not None or not place.store.flat:
        yield from _walk(place, folder, depth)
        return
    narrow = {"prefix": begin} if begin and place.protocol != "memory" else {}
    found = fs.find(folder, detail=True, **narrow)
    if not found:
        _check_bucket(place, folder)
    if not isinstance(found, dict):  # adlfs, when the folder is an object or is not there
        found = {name: fs.info(name) for name in found}
    for name, info in found.items():
        if info["type"] != "directory":
            yield name, info


def _walk(place: Place, folder: str, depth: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Goes through folders level by level, and through links to folders, but in no circle."""
    top = folder or place.prefix
    level = 0
    # each folder with the real paths of those that lead to it: a link to one of them is a loop
    folders: list[tuple[str, frozenset[str]]] = [(top, frozenset({_real(place, top)}))]
    while folders and (depth is None or level < depth):
        deeper: list[tuple[str, frozenset[str]]] = []
        for current, above in folders:
            try:
                inside = place.fs.ls(current, detail=True)
            except Exception as error:
                if diagnose(error).code is not ErrorCode.NOT_FOUND:
                    raise
                if level == 0:
                    _check_bucket(place, folder)
                continue
            for info in inside:
                name = info["name"]
                if name.strip("/") == current.strip("/"):
                    continue
                if info["type"] == "directory" or _links_to_folder(place, info):
                    real = _real(place, name.rstrip("/"))
                    if real not in above:
                        deeper.append((name.rstrip("/"), above | {real}))
                else:
                    yield name, info
        level, folders = level + 1, deeper


def _links_to_folder(place: Place, info: dict[str, Any]) -> bool:
    if not (info.get("islink") or info["type"] == "link"):
        return False
    if place.protocol in ("file", "local"):
        return os.path.isdir(info["name"])
    try:
        mode = place.fs.ftp.stat(info["name"]).st_mode
    except (AttributeError, OSError):  # the link leads nowhere, or the store is no SFTP
        return False
    return stat.S_ISDIR(mode or 0)


def _real(place: Place, path: str) -> str:
    """A folder's path without links, where the store has links."""
    if place.protocol in ("file", "local"):
        return os.path.realpath(path)
    if place.protocol in ("sftp", "ssh"):
        try:
            return str(place.fs.ftp.normalize(path))
        except OSError:
            return path
    return path


def _check_bucket(place: Place, folder: str) -> None:
    """An empty folder and a missing bucket look alike in a listing."""
    if place.store.buckets:
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


def entries(prefix: str, *, options: StorageOptions | None = None) -> list[Entry]:
    """All objects whose URI begins with ``prefix``, which need not end at a folder, sorted."""
    folder, _, begin = prefix.rpartition("/")

    def once() -> list[Entry]:
        with borrow(folder + "/", options, fresh=True) as place:
            found = _listing(place, place.path.rstrip("/"), None, begin)
            listed = [
                entry_of(place.uri(name), info) for name, info in found if not is_partial(name)
            ]
        return sorted(one for one in listed if one.uri.startswith(prefix))

    return retry(once, "list", prefix, options, timeout=None)


def partial_objects(folder: str, *, options: StorageOptions | None = None) -> list[Entry]:
    """The objects below a folder that are just being written, or whose writers died.

    Raises:
        RowError: As for :func:`list_objects`.
    """

    def once() -> list[Entry]:
        if is_local(folder):
            return [*_partial_files(local_path(folder))]
        with borrow(folder, options, fresh=True) as place:
            found = _listing(place, place.path.rstrip("/"), None)
            return [entry_of(place.uri(name), info) for name, info in found if is_partial(name)]

    return retry(once, "list", folder, options, timeout=None)


def _partial_files(top: str) -> Iterator[Entry]:
    """The same on a disk, where a name costs microseconds, and a file's time ten times as much."""
    seen: set[str] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen or not os.path.isdir(folder):
            continue
        seen.add(real)
        with os.scandir(folder) as inside:
            for one in inside:
                if is_partial(one.name):
                    with contextlib.suppress(FileNotFoundError):  # it was renamed meanwhile
                        status = one.stat()
                        yield Entry(one.path, status.st_size, status.st_mtime)
                elif one.is_dir():
                    waiting.append(one.path)


def _below(uri: str, folder: str) -> str:
    """The part of an object's name below a folder of that name."""
    name = next(link for link in chain(uri) if link.rest).rest.strip("/")
    return name.removeprefix(folder)
