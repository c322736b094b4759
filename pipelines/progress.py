"""Live progress of a local run, across threads and processes.

Workers append one byte a finished row to a file that the launcher reads: appends of one byte are
atomic, cost next to nothing, and need neither a port nor a lock.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm

from transforms.records import FAILED, Row

__all__ = ["Progress", "ProgressBar"]

_DONE, _SKIPPED, _FAILED = b".", b"s", b"x"


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
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, mark)
        finally:
            os.close(descriptor)


class ProgressBar:
    """The launcher's end: a bar on the terminal while the ``with`` lasts.

    Where the output is no terminal, a line every ten seconds stands in for the bar.
    """

    def __init__(self, progress: Progress, quiet: bool = False) -> None:
        self._progress = progress
        self._stop = threading.Event()
        terminal = os.isatty(2)
        self._bar = tqdm(
            unit=" images",
            unit_scale=False,
            dynamic_ncols=True,
            disable=quiet,
            smoothing=0.1,
            mininterval=0.2 if terminal else 10,
            bar_format="{desc}{n_fmt}/{total_fmt} |{bar}| {rate_fmt}, {remaining} left{postfix}",
        )
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._read = 0
        self._failed = 0

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
        self._look()
        self._bar.refresh()
        self._bar.close()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self._look()

    def _look(self) -> None:
        if self._bar.total is None and os.path.exists(self._progress.path + ".total"):
            with open(self._progress.path + ".total", encoding="ascii") as file:
                text = file.read()
            if text:
                self._bar.total = int(text)
        if not os.path.exists(self._progress.path):
            return
        with open(self._progress.path, "rb") as file:
            file.seek(self._read)
            marks = file.read()
        self._read += len(marks)
        self._failed += marks.count(_FAILED)
        skipped = marks.count(_SKIPPED)
        if skipped:  # not this run's work, so not in its rate
            self._bar.initial += skipped
            self._bar.n += skipped
        if self._failed:
            self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
        self._bar.update(len(marks) - skipped)
