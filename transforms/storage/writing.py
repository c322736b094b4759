"""Objects, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.capabilities import Writing, capabilities
from alphabeam.transforms.storage.connections import borrow
from alphabeam.transforms.storage.faults import StorageOptions, retry
from alphabeam.transforms.storage.local import local_path, make_local_folder, put_local
from alphabeam.transforms.storage.renaming import make_folders, put_renaming
from alphabeam.transforms.storage.uris import chain, is_local, redact

__all__ = ["check_writable", "make_folder", "put", "put_file"]


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
    retry(lambda: _put_once(uri, Path(path), options), "write", uri, options, timeout=None)


def _put_once(uri: str, data: bytes | Path, options: StorageOptions | None) -> None:
    if is_local(uri):
        put_local(local_path(uri), data)
        return
    check_writable(uri)
    with borrow(uri, options) as place:
        if place.store.writing is Writing.RENAME:
            put_renaming(place, data)
        elif isinstance(data, Path):
            place.fs.put_file(str(data), place.path)
        else:
            place.fs.pipe_file(place.path, data)


def check_writable(uri: str) -> None:
    """Refuses what cannot be written whole.

    Raises:
        RowError: READ_ONLY for the store, INVALID_URI for the name.
    """
    links = chain(uri)
    if len(links) > 1 or capabilities(links[0].protocol).writing is Writing.NONE:
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


def make_folder(uri: str, *, options: StorageOptions | None = None) -> None:
    """Makes a folder where stores have them; object stores need none."""
    if is_local(uri):
        retry(lambda: make_local_folder(local_path(uri)), "make", uri, options)
        return

    def once() -> None:
        with borrow(uri, options) as place:
            if not place.store.flat:
                make_folders(place.fs, place.path)

    retry(once, "make", uri, options)
