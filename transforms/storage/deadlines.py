"""The total time of a call, whatever the store's library does with it.

A read time-out alone lets a server hold a call for ever by sending a byte now and then.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar, copy_context
from typing import TypeVar

from alphabeam.transforms.retry import Deadline, DeadlineExceededError

__all__ = ["TOTAL_S", "bounded", "current", "within"]

TOTAL_S = 600.0  # of a call that is given no time-out, its retries included

_T = TypeVar("_T")
_current: ContextVar[Deadline | None] = ContextVar("alphabeam_storage_deadline", default=None)


def current() -> Deadline:
    """The deadline of the call that this code runs in; without bound outside of one."""
    return _current.get() or Deadline()


@contextlib.contextmanager
def bounded(seconds: float | None) -> Iterator[Deadline]:
    """Bounds what runs inside; a call within a call ends with the outer one at the latest."""
    outer = current()
    own = Deadline(seconds)
    token = _current.set(own if own.remaining() < outer.remaining() else outer)
    try:
        yield current()
    finally:
        _current.reset(token)


def within(deadline: Deadline, action: Callable[[], _T]) -> _T:
    """Runs ``action`` until the deadline and no longer.

    It runs in a thread of its own, which is left behind if it does not end in time: what it
    blocks in cannot be interrupted. Its connection stays its own.

    Raises:
        DeadlineExceededError: It was not done in time.
    """
    timeout = deadline.timeout()
    if timeout is None:
        return action()
    outcome: Future[_T] = Future()
    context = copy_context()

    def work() -> None:
        try:
            outcome.set_result(context.run(action))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="alphabeam-store", daemon=True).start()
    try:
        return outcome.result(timeout)
    except (TimeoutError, FutureTimeoutError):
        if outcome.done():
            raise
        raise DeadlineExceededError(f"not done within {deadline.seconds:g} s") from None
