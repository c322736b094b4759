"""What Beam writes, kept until it is closed, then stored whole."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from typing import Any

from alphabeam.transforms import storage
from alphabeam.transforms.storage import StorageOptions
from alphabeam.transforms.storage.writing import put_file

__all__ = ["Output"]

_IN_MEMORY = 32 << 20  # bytes of an object being written that are kept before a file takes them


class Output(io.BufferedIOBase):
    """Keeps what is written until it is closed, then stores it whole.

    An exception inside ``with``, or an output that is dropped without having been closed, leaves
    nothing behind.
    """

    mode = "wb"  # Beam's CompressedFile asks

    def __init__(self, uri: str, options: StorageOptions) -> None:
        super().__init__()
        self._uri, self._options = uri, options
        self._spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self._abandoned = False

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Keeps the data; gives its length."""
        return self._spool.write(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._spool.tell()

    def close(self) -> None:
        """Stores the object, unless an exception has ended the writing."""
        if self.closed:
            return
        try:
            if not self._abandoned:
                self._store()
        finally:
            self._spool.close()
            super().close()

    def _store(self) -> None:
        size = self._spool.tell()
        self._spool.seek(0)
        if size <= _IN_MEMORY:
            storage.put(self._uri, self._spool.read(), options=self._options)
            return
        descriptor, path = tempfile.mkstemp(prefix="alphabeam-")
        try:
            with open(descriptor, "wb") as file:
                while block := self._spool.read(1 << 20):
                    file.write(block)
            put_file(self._uri, path, options=self._options)
        finally:
            os.unlink(path)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._abandoned = self._abandoned or kind is not None
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._abandoned = True
            self.close()
