"""Objects on this machine's own disks."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import stat
import uuid
from pathlib import Path
from typing import BinaryIO

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.faults import too_large
from alphabeam.transforms.storage.uris import chain, redact

__all__ = [
    "create_local",
    "is_partial",
    "local_path",
    "make_local_folder",
    "open_regular",
    "opened",
    "partial_name",
    "put_local",
    "read_local",
]

CHUNK = 1 << 20

_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

_PARTIAL = re.compile(r"\.alphabeam-[0-9a-f]{32}\.partial$")


def local_path(uri: str) -> str:
    """The absolute path of a local URI."""
    return os.path.abspath(chain(uri)[0].rest)


def open_regular(uri: str) -> BinaryIO:
    """Opens a file for reading; nothing else, for a FIFO or a device may never answer.

    Raises:
        RowError: INVALID_URI for what is no regular file.
        OSError: It cannot be opened.
    """
    path = local_path(uri)
    _refuse_special(uri, os.stat(path).st_mode)  # opening a device may already do something
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        _refuse_special(uri, os.fstat(descriptor).st_mode)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_special(uri: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no file")
        raise RowError(
            ErrorCode.INVALID_URI,
            f"cannot read {redact(uri)}: it is {kind}; only regular files are read",
        )


def read_local(uri: str, max_bytes: int | None) -> bytes:
    """The bytes of a file."""
    with open_regular(uri) as file:
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
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "a folder has that name", path)
    temporary = _write_beside(path, data)
    try:
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise
    _sync_folder(os.path.dirname(path))


def create_local(path: str, data: bytes) -> bool:
    """Writes a file whole, unless the name is taken; says whether it did."""
    if os.path.lexists(path):
        return False
    temporary = _write_beside(path, data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        # over NFS, a link whose answer was lost and that was sent again fails though it was made
        return os.stat(temporary).st_nlink > 1
    except FileNotFoundError:  # a run that has the output now has swept the temporary file
        if not os.path.lexists(path):
            raise
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_exclusively(path, data)
    finally:
        _remove(temporary)
    _sync_folder(os.path.dirname(path))
    return True


def _create_exclusively(path: str, data: bytes) -> bool:
    """For disks without hard links (FAT): a writer that is killed leaves a part of the file."""
    try:
        descriptor = os.open(path, _NEW, 0o666)
    except FileExistsError:
        return False
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(path)
        raise
    return True


def _write_beside(path: str, data: bytes | Path) -> str:
    """Writes the data to a temporary file in the folder of ``path``; gives its path."""
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, partial_name())
    try:
        descriptor = os.open(temporary, _NEW, 0o666)
    except (FileNotFoundError, NotADirectoryError):
        make_local_folder(folder, path)
        descriptor = os.open(temporary, _NEW, 0o666)
    try:
        with open(descriptor, "wb") as file, opened(data) as source:
            shutil.copyfileobj(source, file, CHUNK)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def make_local_folder(folder: str, path: str = "") -> None:
    """Makes a folder, and those above it.

    Args:
        folder: Its absolute path.
        path: What is to be written into it, for the message; the folder itself if empty.

    Raises:
        RowError: INVALID_URI, where a file has the name of one of the folders.
        OSError: It cannot be made.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = folder
        while not os.path.lexists(file) and file != os.path.dirname(file):
            file = os.path.dirname(file)
        raise RowError(
            ErrorCode.INVALID_URI,
            f"cannot write {redact(path or folder)}: {redact(file)} is a file, not a folder; name "
            "another folder, or move the file away",
        ) from None


def _remove(temporary: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)


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
