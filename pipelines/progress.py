"""Live progress: a bar, and how far a local run is.

A local run's workers append one record of nine bytes for each finished row to a file that the
launcher reads: such appends are atomic, cost next to nothing, and need neither a port nor a lock.
The local runner reports Beam's metrics only at the end, so it gets each row here, where the metrics
count it too. For other engines the metrics are asked for.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from tqdm import tqdm

from alphabeam.transforms.rows import FAILED, Row

__all__ = ["FileReader", "Progress", "ProgressBar", "Seen"]

_DONE, _SKIPPED, _FAILED = b".", b"s", b"x"
_RECORD = struct.Struct("<cq")  # how the row ended, and its credits


@dataclass(frozen=True)
class Progress:
    """The workers' end: small, picklable.

    Attributes:
        path: The file on the launcher's machine.
        run_id: Rows of other runs count as finished before.
    """

    path: str
    run_id: str

    def total(self, rows: int) -> None:
        """Says how many rows the manifest has."""
        with open(self.path + ".total", "w", encoding="ascii") as file:
            file.write(str(rows))

    def row(self, row: Row) -> None:
        """Says that a row is finished."""
        mark = _DONE
        if row.status == FAILED:
            mark = _FAILED
        elif row.run_id not in (None, self.run_id):
            mark = _SKIPPED
        credits = 0 if mark == _SKIPPED else row.credits or 0
        _append(self.path, _RECORD.pack(mark, credits))

    def passed(self, rows: int) -> None:
        """Says that so many rows more were finished by an earlier run."""
        _append(self.path, _RECORD.pack(_SKIPPED, 0) * rows)


def _append(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


class Seen(NamedTuple):
    """How far a run is.

    Attributes:
        total: Rows of the manifest; None while they are not counted.
        done: Rows that this run finished.
        before: Rows that an earlier run had finished.
        failed: Rows that failed.
        credits: API credits that this run's rows cost.
    """

    total: int | None = None
    done: int = 0
    before: int = 0
    failed: int = 0
    credits: int = 0

    @property
    def rows(self) -> int:
        """Rows that came through."""
        return self.done + self.before + self.failed


class FileReader:
    """The launcher's end of a `Progress`: each call gives how far the run is.

    Args:
        progress: The workers' end.
    """

    def __init__(self, progress: Progress) -> None:
        self._path = progress.path
        self._seen = Seen()

    def __call__(self) -> Seen:
        """Reads what has come since the last call."""
        if self._seen.total is None and os.path.exists(self._path + ".total"):
            with open(self._path + ".total", encoding="ascii") as file:
                text = file.read()
            self._seen = self._seen._replace(total=int(text) if text else None)
        if os.path.exists(self._path):
            with open(self._path, "rb") as file:
                file.seek(_RECORD.size * self._seen.rows)
                data = file.read()
            whole = len(data) - len(data) % _RECORD.size
            marks = {_DONE: 0, _SKIPPED: 0, _FAILED: 0}
            spent = self._seen.credits
            for mark, credits in _RECORD.iter_unpack(data[:whole]):
                marks[mark] += 1
                spent += credits
            self._seen = Seen(
                self._seen.total,
                self._seen.done + marks[_DONE],
                self._seen.before + marks[_SKIPPED],
                self._seen.failed + marks[_FAILED],
                spent,
            )
        return self._seen


class ProgressBar:
    """A bar on the terminal while the ``with`` lasts.

    Where the output is no terminal, a line every ten seconds stands in for the bar.

    Args:
        look: Gives how far the run is; called on a thread of its own.
        quiet: Show nothing.
        every: Seconds between two looks on a terminal.
    """

    def __init__(self, look: Callable[[], Seen], quiet: bool = False, every: float = 0.2) -> None:
        self._look = look
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._pause = every if self._terminal else 10.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = time.monotonic()
        self._bar = tqdm(
            disable=quiet or not self._terminal,
            dynamic_ncols=True,
            leave=False,
            bar_format="{desc} |{bar}| {postfix}",
        )

    def __enter__(self) -> ProgressBar:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._bar.close()

    def _watch(self) -> None:
        while not self._stop.wait(self._pause):
            seen = self._look()
            if self._quiet or seen.total is None:
                continue
            if self._terminal:
                self._bar.total = seen.total
                self._bar.n = seen.rows
                self._bar.set_description_str(f"{seen.rows}/{seen.total}", refresh=False)
                self._bar.set_postfix_str(self.pace(seen), refresh=True)
            else:
                print(f"{seen.rows}/{seen.total}, {self.pace(seen)}", file=sys.stderr, flush=True)

    def pace(self, seen: Seen) -> str:
        """Images a second of this run's own work, failures, time left, credits spent."""
        worked = seen.done + seen.failed
        seconds = time.monotonic() - self._began
        left = (seen.total or 0) - seen.rows
        time_left = tqdm.format_interval(seconds / worked * left) if worked else "?"
        pace = f"{worked / seconds:.1f} images/s, {seen.failed} failed, {time_left} left"
        return pace + (f", {seen.credits} credits" if seen.credits else "")
