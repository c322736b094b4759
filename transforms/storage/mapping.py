"""Objects that are looked at here and there: mapped into memory, and not read into it."""

from __future__ import annotations

import mmap
import shutil
import tempfile
from typing import BinaryIO

from alphabeam.transforms.storage.faults import StorageOptions, retry
from alphabeam.transforms.storage.local import open_regular
from alphabeam.transforms.storage.reading import open_input
from alphabeam.transforms.storage.uris import is_local

__all__ = ["read_mapped"]

_PIECE = 1 << 20


def read_mapped(uri: str, *, options: StorageOptions | None = None) -> mmap.mmap | bytes:
    """An object's bytes, mapped into memory; those of an empty one are ``b""``.

    Of a file of this machine, what is looked at is shared by all processes that map it. Any other
    object is first copied to a temporary file without a name. What is mapped stays as it was when
    the object is deleted, or replaced by `put`.

    Args:
        uri: The object.
        options: Options per protocol.

    Raises:
        RowError: As for `read`.
    """
    if is_local(uri):
        with retry(lambda: open_regular(uri), "read", uri, options) as file:
            return _mapped(file)
    with open_input(uri, options=options) as stream, tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy, _PIECE)
        copy.flush()
        return _mapped(copy)


def _mapped(file: BinaryIO) -> mmap.mmap | bytes:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (ValueError, OSError):  # it is empty, or on a disk that maps nothing
        return file.read()
