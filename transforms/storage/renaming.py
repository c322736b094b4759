"""SFTP, FTP and WebDAV: servers on which an object is written beside its place and renamed.

fsspec's own calls would write in many small pieces (FTP), without asking the server how much has
arrived (SFTP), or would refuse to rename onto an existing name (WebDAV).
"""

from __future__ import annotations

import contextlib
import io
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.storage.connections import Place
from alphabeam.transforms.storage.faults import diagnose, too_large
from alphabeam.transforms.storage.local import opened, partial_name

__all__ = ["Calls", "calls", "make_folders", "put_renaming", "read_ftp", "read_sftp"]


class Calls(NamedTuple):
    """How a server writes a file, renames and removes it.

    Attributes:
        send: Writes a file.
        rename: Renames a file, over the one that may be there.
        rename_new: Renames a file; fails if the name is taken. FTP servers may not fail.
        remove: Removes a file.
    """

    send: Callable[[str, BinaryIO], Any]
    rename: Callable[[str, str], Any]
    rename_new: Callable[[str, str], Any]
    remove: Callable[[str], Any]


def put_renaming(place: Place, data: bytes | Path, *, new: bool = False) -> None:
    """Writes an object under a temporary name and renames it.

    Args:
        place: Where to.
        data: What.
        new: Fail if the name is taken.
    """
    folder = posixpath.dirname(place.path)
    temporary = posixpath.join(folder, partial_name())
    call = calls(place)

    def store() -> None:
        with opened(data) as file:
            call.send(temporary, file)

    try:
        try:
            store()
        except Exception as error:
            missing = diagnose(error).code is ErrorCode.NOT_FOUND
            if not missing and getattr(error, "status_code", 0) != 409:  # WebDAV: no such folder
                raise
            make_folders(place.fs, folder)
            store()
        (call.rename_new if new else call.rename)(temporary, place.path)
    except BaseException:
        # the first fault is the one to tell; what cannot be removed, listings leave out
        with contextlib.suppress(Exception):
            call.remove(temporary)
        raise


def calls(place: Place) -> Calls:
    """The calls of the server that a place is on."""
    fs = place.fs
    if place.protocol in ("sftp", "ssh"):
        return Calls(
            lambda path, file: fs.ftp.putfo(file, path, confirm=True),
            fs.ftp.posix_rename,
            fs.ftp.rename,
            fs.ftp.remove,
        )
    if place.protocol == "ftp":
        return Calls(
            lambda path, file: fs.ftp.storbinary(f"STOR {path}", file, 1 << 16),
            fs.ftp.rename,
            fs.ftp.rename,
            fs.ftp.delete,
        )
    client = fs.client
    return Calls(
        lambda path, file: client.upload_fileobj(file, path, overwrite=True),
        lambda old, new: client.move(old, new, overwrite=True),
        lambda old, new: client.move(old, new, overwrite=False),
        client.remove,
    )


def make_folders(fs: Any, folder: str) -> None:
    """Makes a folder and those above it, where others may be doing the same."""
    try:
        fs.makedirs(folder, exist_ok=True)
    except Exception:
        if not fs.isdir(folder):  # another writer may just have made it
            fs.makedirs(folder, exist_ok=True)


def read_sftp(fs: Any, path: str, uri: str, max_bytes: int | None) -> bytes:
    """Reads an object with many requests on their way at once."""
    with fs.ftp.open(path, "rb") as file:
        size = file.stat().st_size
        if max_bytes is not None and size > max_bytes:
            raise too_large(uri, max_bytes, size)
        if size > 32768:  # one answer's worth; more are asked for at once
            file.prefetch(size)
        return bytes(file.read(size)) if size else b""


def read_ftp(fs: Any, path: str, uri: str, max_bytes: int | None) -> bytes:
    """Reads an object in one transfer."""
    buffer = io.BytesIO()

    def take(block: bytes) -> None:
        buffer.write(block)
        if max_bytes is not None and buffer.tell() > max_bytes:
            raise too_large(uri, max_bytes)

    fs.ftp.retrbinary(f"RETR {path}", take, blocksize=1 << 16)
    return buffer.getvalue()
