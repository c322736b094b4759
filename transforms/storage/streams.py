"""Objects read piece by piece."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

from alphabeam.transforms.errors import RowError
from alphabeam.transforms.storage.deadlines import TOTAL_S
from alphabeam.transforms.storage.faults import StorageOptions, retry
from alphabeam.transforms.storage.local import CHUNK, open_regular
from alphabeam.transforms.storage.uris import is_local

__all__ = ["Lend", "open_stream"]

# Lends a file system and a path in it (a ``Place``) for as long as the stream is open.
Lend = Callable[[], AbstractContextManager[Any]]


class _Input(io.RawIOBase):
    """Reads an object piece by piece; takes a dropped connection up again where it was lost."""

    mode = "rb"  # Beam's CompressedFile asks

    def __init__(
        self, lend: Lend, uri: str, options: StorageOptions | None, timeout: float | None
    ) -> None:
        super().__init__()
        self._lend, self._uri, self._options, self._timeout = lend, uri, options, timeout
        self._at = 0
        self._lent: Any = None
        self._file: Any = None
        retry(self._open, "read", uri, options, timeout=timeout)

    def _open(self) -> None:
        self._release()
        if is_local(self._uri):
            self._file = open_regular(self._uri)
        else:
            self._lent = self._lend()
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
        _give_back(file, lent, error)

    def _abandon(self, error: BaseException) -> None:
        """Gives up a connection that a call left behind may still use; closing it may block."""
        file, self._file = self._file, None
        lent, self._lent = self._lent, None
        threading.Thread(target=_give_back, args=(file, lent, error), daemon=True).start()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file is not None and bool(self._file.seekable())

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)  # paramiko's returns nothing
        self._at = int(self._file.tell())
        return self._at

    def readinto(self, buffer: Any) -> int:
        try:
            data = retry(
                lambda: self._piece(len(buffer)),
                "read",
                self._uri,
                self._options,
                timeout=self._timeout,
            )
        except RowError as error:
            self._abandon(error)
            raise
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


def _give_back(file: Any, lent: Any, error: BaseException | None) -> None:
    """Closes a file and ends the loan of its connection; an error gives the connection up."""
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


def open_stream(
    lend: Lend, uri: str, options: StorageOptions | None, timeout: float | None = TOTAL_S
) -> BinaryIO:
    """An object as a file that is open for reading.

    Args:
        lend: Connects to the store of ``uri``; called again after a lost connection.
        uri: The object; a local one is opened without ``lend``.
        options: Whose secrets are kept out of messages.
        timeout: Seconds for opening it, and for each piece of up to a megabyte.

    Raises:
        RowError: The object cannot be opened; also from the file's own methods.
    """
    return io.BufferedReader(_Input(lend, uri, options, timeout), CHUNK)
