"""Which objects there are: folders and patterns."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from fsspec.utils import glob_translate

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.connections import Place, borrow
from alphabeam.transforms.storage.faults import StorageOptions, diagnose, retry
from alphabeam.transforms.storage.info import Entry, entry_of
from alphabeam.transforms.storage.local import is_partial
from alphabeam.transforms.storage.uris import has_magic, redact

__all__ = ["entries", "glob", "list_objects"]


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
        found = _names(place, folder, depth)
        return sorted(place.uri(name) for name in found if matches("/" + name.strip("/")))


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
    if depth is None and place.store.flat:
        narrow = {"prefix": begin} if begin and place.protocol != "memory" else {}
        found = fs.find(folder, detail=True, **narrow)
        if not found:
            _check_bucket(place, folder)
        if not isinstance(found, dict):  # adlfs, when the folder is an object or is not there
            found = {name: fs.info(name) for name in found}
        for name, info in found.items():
            if not is_partial(name) and info["type"] != "directory":
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
                elif not is_partial(name) and name.strip("/") != current.strip("/"):
                    yield name, info
        level, folders = level + 1, deeper


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
            listed = [entry_of(place.uri(name), info) for name, info in found]
        return sorted(one for one in listed if one.uri.startswith(prefix))

    return retry(once, "list", prefix, options, timeout=None)
