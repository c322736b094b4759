"""How a run ends early: by SIGINT and SIGTERM, in order; or since it has lost its output.

The worker processes of a local run end likewise: it is they that buy.
"""

from __future__ import annotations

import glob
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from alphabeam.transforms.processes import is_gone, is_here, number_of, this_process

__all__ = [
    "end_on_signals",
    "end_without_output",
    "end_worker_on_signals",
    "workers_end_on_signals",
]

_GRACE_S = 3.0  # for requests that buy, whose answers tell what was bought
_WORKERS_S = _GRACE_S + 0.8  # for workers, which write their finished rows after that
_PATIENCE_S = _GRACE_S + 1.5  # for everything

_OPTIONS_FILE = "PIPELINE_OPTIONS_FILE"
_NOTE = "worker-process-"

# What tells a worker that the output is lost: it is not to write its finished rows any more.
_LOST = getattr(signal, "SIGUSR1", signal.SIGTERM)


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

    until = time.monotonic() + _WORKERS_S
    try:
        stopping.request()
        workers = _tell_workers(_LOST)
        stopping.wait_for_critical(_GRACE_S)
        _see_workers_end(workers, until)
        before()
    finally:
        sys.stderr.flush()
        os._exit(1)


@contextmanager
def workers_end_on_signals(folder: str) -> Iterator[None]:
    """Worker processes that are started while the ``with`` lasts end in order, too.

    Beam imports the plugins of its options on a worker's main thread, where alone signals can be
    handled. Its local runner gives workers no options; but they read a file that is named so.

    Args:
        folder: Where the file may stand until then.
    """
    path = os.path.join(folder, "worker-options.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"beam:option:beam_plugins:v1": ["alphabeam.pipelines.worker_signals"]}, file)
    before = os.environ.get(_OPTIONS_FILE)
    os.environ[_OPTIONS_FILE] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ[_OPTIONS_FILE]
        else:
            os.environ[_OPTIONS_FILE] = before


def end_worker_on_signals() -> None:
    """From now on, a signal ends this worker process of a local run in order.

    It begins no purchase, waits shortly for those that it has begun, and puts its finished rows to
    the ledger. To be called on the main thread.
    """
    if options := os.environ.get(_OPTIONS_FILE):
        # Beam has a shell between launcher and worker: if that ends first, no child is seen.
        note = os.path.join(os.path.dirname(options), f"{_NOTE}{os.getpid()}")
        with suppress(OSError), open(note, "w", encoding="utf-8") as file:
            file.write(this_process())
    ending = threading.Event()

    def end(number: int, _: Any) -> None:
        if not ending.is_set():  # the launcher passes on what a whole group of processes got
            ending.set()
            # Beam may end the main thread meanwhile: the interpreter waits for a thread like this.
            threading.Thread(target=_end_worker, args=(number,), daemon=False).start()

    for number in {signal.SIGINT, signal.SIGTERM, _LOST}:
        signal.signal(number, end)


def _end_worker(number: int) -> None:
    from alphabeam.transforms import stopping
    from alphabeam.transforms.ledger.journal import flush_all

    _exit_after(_WORKERS_S, number)
    threading.excepthook = _silent
    try:
        stopping.request()
        stopping.wait_for_critical(_GRACE_S)
        if number in (signal.SIGINT, signal.SIGTERM):
            flush_all()
    finally:
        os._exit(128 + number)


def _silent(_: object) -> None:
    """Beam's threads miss each other while processes end; nobody has to read of that."""


def _exit_after(seconds: float, number: int) -> None:
    patience = threading.Timer(seconds, os._exit, args=(128 + number,))
    patience.daemon = True
    patience.start()


def _tell_workers(number: int) -> list[int]:
    """Sends a signal to the worker processes of a local run; gives their process ids.

    Linux only; elsewhere they end when they notice that the launcher is gone.
    """
    told = [*_noted_workers()]
    children: dict[int, list[int]] = {}
    with suppress(OSError):
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (found := _state_of(int(entry))) is not None:
                children.setdefault(found[1], []).append(int(entry))
    waiting = [os.getpid()]
    while waiting:
        some = children.get(waiting.pop(), ())
        waiting += some
        told += (one for one in some if one not in told)
    for one in told:
        with suppress(OSError):
            os.kill(one, number)
    return told


def _noted_workers() -> Iterator[int]:
    """Workers that live, by what they have noted of themselves."""
    folder = os.path.dirname(os.environ.get(_OPTIONS_FILE, ""))
    for path in glob.glob(os.path.join(glob.escape(folder), f"{_NOTE}*")) if folder else ():
        with suppress(OSError, ValueError):
            with open(path, encoding="utf-8") as file:
                name = file.read()
            if is_here(name) and not is_gone(name):
                yield int(number_of(name))


def _see_workers_end(workers: list[int], until: float) -> None:
    """Waits until processes have ended; the others are killed, as nobody may write after this."""
    while left := [one for one in workers if (_state_of(one) or "Z")[0] not in "ZX"]:
        if time.monotonic() >= until:
            for one in left:
                with suppress(OSError):
                    os.kill(one, signal.SIGKILL)
            return
        time.sleep(0.02)


def _state_of(process: int) -> tuple[str, int] | None:
    """A process's state and its parent, as Linux tells them; None if there is none."""
    try:
        with open(f"/proc/{process}/stat", encoding="latin-1") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return state, int(parent)


def _end(name: str, number: int, before: Callable[[], Any]) -> None:
    from alphabeam.transforms import stopping
    from alphabeam.transforms.ledger.journal import flush_all

    print(
        f"{name}: stopping; start it again and it goes on where it was (once more: at once)",
        file=sys.stderr,
        flush=True,
    )
    until = time.monotonic() + _WORKERS_S
    _exit_after(_PATIENCE_S, number)
    threading.excepthook = _silent
    try:
        stopping.request()
        workers = _tell_workers(signal.SIGTERM)
        stopping.wait_for_critical(_GRACE_S)
        flush_all()
        _see_workers_end(workers, until)
        before()
    finally:
        sys.stdout.flush()
        os._exit(128 + number)
