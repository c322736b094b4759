"""Live progress of a local run, across threads and processes.

Workers append one record of nine bytes for each finished row to a file that the launcher reads:
such appends are atomic, cost next to nothing, and need neither a port nor a lock. The local runner
reports Beam's metrics only at the end, so it gets each row here, where the metrics count it
too.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm

from alphabeam.transforms.rows import FAILED, Row

__all__ = ["Progress", "ProgressBar"]

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


def _append(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


class ProgressBar:
    """The launcher's end: a bar on the terminal while the ``with`` lasts.

    Where the output is no terminal, a line every ten seconds stands in for the bar.
    """

    def __init__(self, progress: Progress, quiet: bool = False) -> None:
        self._progress = progress
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = time.monotonic()
        self._total: int | None = None
        self._marks = {_DONE: 0, _SKIPPED: 0, _FAILED: 0}
        self._credits = 0
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
        while not self._stop.wait(0.2 if self._terminal else 10.0):
            self._look()
            if self._quiet or self._total is None:
                continue
            if self._terminal:
                self._bar.total = self._total
                self._bar.n = sum(self._marks.values())
                self._bar.set_description_str(self._count(), refresh=False)
                self._bar.set_postfix_str(self._pace(), refresh=True)
            else:
                print(f"{self._count()}, {self._pace()}", file=sys.stderr, flush=True)

    def _count(self) -> str:
        return f"{sum(self._marks.values())}/{self._total}"

    def _pace(self) -> str:
        """Images a second of this run's own work, failures, time left, credits spent."""
        worked = self._marks[_DONE] + self._marks[_FAILED]
        seconds = time.monotonic() - self._began
        left = (self._total or 0) - sum(self._marks.values())
        time_left = tqdm.format_interval(seconds / worked * left) if worked else "?"
        pace = f"{worked / seconds:.1f} images/s, {self._marks[_FAILED]} failed, {time_left} left"
        return pace + (f", {self._credits} credits" if self._credits else "")

    def _look(self) -> None:
        if self._total is None and os.path.exists(self._progress.path + ".total"):
            with open(self._progress.path + ".total", encoding="ascii") as file:
                text = file.read()
            self._total = int(text) if text else None
        if os.path.exists(self._progress.path):
            with open(self._progress.path, "rb") as file:
                file.seek(_RECORD.size * sum(self._marks.values()))
                data = file.read()
            whole = len(data) - len(data) % _RECORD.size
            for mark, credits in _RECORD.iter_unpack(data[:whole]):
                self._marks[mark] += 1
                self._credits += credits
