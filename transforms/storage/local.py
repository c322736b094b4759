"""Objects on this machine's own disks."""

from __future__ import annotations

import io
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import BinaryIO

from alphabeam.transforms.storage.faults import too_large
from alphabeam.transforms.storage.uris import chain

__all__ = ["is_partial", "local_path", "opened", "partial_name", "put_local", "read_local"]

CHUNK = 1 << 20

_PARTIAL = re.compile(r"\.alphabeam-[0-9a-f]{32}\.partial$")


def local_path(uri: str) -> str:
    """The absolute path of a local URI."""
    return os.path.abspath(chain(uri)[0].rest)


def read_local(uri: str, max_bytes: int | None) -> bytes:
    """The bytes of a file."""
    with open(local_path(uri), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise too_large(uri, max_bytes, size)
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    if max_bytes is not None and len(data) > max_bytes:
        raise too_large(uri, max_bytes)
    return data


def opened(data: bytes | Path) -> BinaryIO:
    """What is to be written, as a file."""
    return data.open("rb") if isinstance(data, Path) else io.BytesIO(data)


def put_local(path: str, data: bytes | Path) -> None:
    """Writes a file whole or not at all: a temporary file beside it, fsync, rename."""
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise IsADirectoryError(21, "a folder has that name", path)
    temporary = os.path.join(folder, partial_name())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(temporary, flags, 0o666)
    try:
        with open(descriptor, "wb") as file, opened(data) as source:
            shutil.copyfileobj(source, file, CHUNK)
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


def partial_name() -> str:
    """A temporary name that no other writer has."""
    return f".alphabeam-{uuid.uuid4().hex}.partial"


def is_partial(name: str) -> bool:
    """Whether that is the name of an object that is just being written, or whose writer died."""
    return _PARTIAL.search(name) is not None
