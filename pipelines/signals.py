"""How a run ends early: by SIGINT and SIGTERM, in order; or since it has lost its output."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["end_on_signals", "end_without_output"]

_GRACE_S = 3.0  # for requests that buy, whose answers tell what was bought


@contextmanager
def end_on_signals(name: str, before: Callable[[], Any]) -> Iterator[None]:
    """While the ``with`` lasts, a signal ends the process in order.

    The first one stops what would begin, waits shortly for requests that buy, puts the finished
    rows to the ledger and ends the process with 130 (SIGINT) or 143 (SIGTERM). The second one ends
    it at once. Whatever is lost by that is done again by the next run, and nothing is bought again.

    Args:
        name: The job's name, for the message.
        before: What to do last, such as giving the lease back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    ending = threading.Event()

    def end(number: int, _: Any) -> None:
        if ending.is_set():
            os._exit(128 + number)
        ending.set()
        # Not on the main thread: it may hold a lock that this needs.
        threading.Thread(target=_end, args=(name, number, before), daemon=True).start()

    handled = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, end) for number in handled}
    try:
        yield
        if ending.is_set():
            threading.Event().wait()  # the thread above ends the process
    except BaseException:
        if ending.is_set():
            threading.Event().wait()
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def end_without_output(before: Callable[[], Any]) -> None:
    """Ends the process of a run from which another one took the output; nothing more is written.

    Only requests that buy get their answers, which the other run can make use of.

    Args:
        before: What to do last.
    """
    from alphabeam.transforms import stopping

    try:
        stopping.request()
        _end_workers()
        stopping.wait_for_critical(_GRACE_S)
        before()
    finally:
        sys.stderr.flush()
        os._exit(1)


def _end_workers() -> None:
    """Ends the worker processes of a local run; they would go on for a while by themselves.

    Linux only; elsewhere they end when they notice that the launcher is gone.
    """
    children: dict[int, list[int]] = {}
    with suppress(OSError):
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with suppress(OSError), open(f"/proc/{entry}/stat", encoding="latin-1") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry))
    waiting = [os.getpid()]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            waiting.append(child)
            with suppress(OSError):
                os.kill(child, signal.SIGTERM)


def _end(name: str, number: int, before: Callable[[], Any]) -> None:
    from alphabeam.transforms import stopping
    from alphabeam.transforms.ledger.journal import flush_all

    print(
        f"{name}: stopping; start it again and it goes on where it was (once more: at once)",
        file=sys.stderr,
        flush=True,
    )
    patience = threading.Timer(_GRACE_S + 1.5, os._exit, args=(128 + number,))
    patience.daemon = True
    patience.start()
    try:
        stopping.request()
        _end_workers()
        stopping.wait_for_critical(_GRACE_S)
        flush_all()
        before()
    finally:
        sys.stdout.flush()
        os._exit(128 + number)
