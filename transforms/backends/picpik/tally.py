"""A value in a store that several processes change together, without losing a change.

Each change is a new object, ``000000``, ``000001`` …, which is created only if it is not there yet
(`alphabeam.transforms.storage.create`). Whoever comes second reads the winner's and tries again on
top of it. So every change sees all those before it, on any store and from any number of machines;
no clock and no lock is relied on.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError

__all__ = ["Tally"]

_S = TypeVar("_S")
_R = TypeVar("_R")


class _Change(Generic[_S]):
    def __init__(self, change: Callable[[_S], tuple[_S, Any]]) -> None:
        self.change = change
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None


class Tally(Generic[_S]):
    """The value, as one process sees it. Safe to share among threads.

    Changes that threads ask for while another is being written are written together, as one
    object: a slow store makes the steps larger, not the waiting longer.

    Args:
        folder: URI of a folder of its own.
        first: The value before any change.
        read: Makes a value of parsed JSON.
        shown: Makes JSON of a value.
        storage_options: Options for fsspec, by protocol.
    """

    def __init__(
        self,
        folder: str,
        first: _S,
        *,
        read: Callable[[Mapping[str, Any]], _S],
        shown: Callable[[_S], Mapping[str, Any]],
        storage_options: storage.StorageOptions | None = None,
    ) -> None:
        self._folder = folder
        self._value = first
        self._number = -1  # of the object that holds the value
        self._read = read
        self._shown = shown
        self._options = storage_options
        self._lock = threading.Lock()
        self._queue: list[_Change[_S]] = []
        self._writing = False

    def change(self, change: Callable[[_S], tuple[_S, _R]]) -> _R:
        """Changes the value.

        Args:
            change: Gives the new value and a result; it may be asked several times, each time
                with the latest value, and must do nothing else. An unchanged value is not
                written.

        Returns:
            The result of the time that counted.

        Raises:
            RowError: The store cannot be read or written; the value is as it was, or, if the
                store's answer was lost, as changed.
        """
        mine = _Change(change)
        with self._lock:
            self._queue.append(mine)
            leads = not self._writing
            self._writing = True
        if leads:
            self._write_all()
        mine.done.wait()
        if mine.error is not None:
            raise mine.error
        result: _R = mine.result
        return result

    def _write_all(self) -> None:
        while True:
            with self._lock:
                batch, self._queue = self._queue, []
                if not batch:
                    self._writing = False
                    return
            try:
                self._write(batch)
            except BaseException as error:
                for one in batch:
                    one.error = error
            for one in batch:
                one.done.set()

    def _write(self, batch: list[_Change[_S]]) -> None:
        while True:
            value = self._value
            for one in batch:
                value, one.result = one.change(value)
            if value == self._value:
                # Nothing is written, so nothing has proven yet that this is the latest value.
                if not self._catch_up():
                    return
                continue
            data = {"by": uuid.uuid4().hex, **self._shown(value)}
            uri = self._uri(self._number + 1)
            if storage.create(uri, json.dumps(data).encode(), options=self._options):
                self._value, self._number = value, self._number + 1
                return
            self._catch_up()

    def _catch_up(self) -> bool:
        """Reads the latest value; returns whether there was a later one."""
        # Doubling steps find an object that is not there, halving ones the last that is.
        low, step = self._number, 1
        while self._exists(low + step):
            low, step = low + step, step * 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._exists(middle) else (low, middle)
        if low == self._number:
            return False
        fields = json.loads(storage.read(self._uri(low), options=self._options))
        del fields["by"]
        try:
            self._value = self._read(fields)
        except (TypeError, ValueError, KeyError):
            raise RowError(
                ErrorCode.STORAGE_UNAVAILABLE,
                f"{storage.redact(self._uri(low))}: this file of the ledger is broken; "
                "run the job again",
            ) from None
        self._number = low
        return True

    def _exists(self, number: int) -> bool:
        return storage.exists(self._uri(number), options=self._options)

    def _uri(self, number: int) -> str:
        return storage.join(self._folder, f"{number:09d}.json")
