"""A process that was asked to stop: begins nothing that costs money, and finishes what it began."""

from __future__ import annotations

import threading
import time

from alphabeam.transforms.errors import ErrorCode, RowError

__all__ = ["StoppingError", "begin_critical", "end_critical", "request", "wait_for_critical"]

_requested = threading.Event()
_lock = threading.Lock()
_critical = 0


class StoppingError(RowError):
    """The process is stopping; what is asked for is not begun."""

    def __init__(self, *_: object) -> None:  # a pickle gives the code and the message
        super().__init__(
            ErrorCode.API_UNAVAILABLE, "the run is stopping, and buys nothing more; run it again"
        )


def request() -> None:
    """Asks the process to stop."""
    _requested.set()


def begin_critical() -> None:
    """Begins work that should not be cut off, such as a request that buys.

    Raises:
        StoppingError: The process is stopping; nothing may be begun.
    """
    global _critical
    with _lock:
        if _requested.is_set():
            raise StoppingError
        _critical += 1


def end_critical() -> None:
    """Ends what `begin_critical` began."""
    global _critical
    with _lock:
        _critical -= 1


def wait_for_critical(seconds: float) -> bool:
    """Waits until no critical work is left; whether that was so within the time."""
    end = time.monotonic() + seconds
    while True:
        with _lock:
            if not _critical:
                return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
