"""Warnings that would say the same again and again: one line for each cause, with a count."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

__all__ = ["Repeats"]


class Repeats:
    """Warns of a cause once, and then once in a while with the number of times.

    Each single message is in the log at the level INFO, which ``-v`` shows. An instance belongs to
    a process, so that all the threads of a job, and all its clients, share it.

    Args:
        log: Where to.
        interval: Seconds between two warnings of one cause.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        log: logging.Logger,
        interval: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}  # when it was warned of, and how often since

    def warn(self, cause: str, message: str) -> None:
        """Warns, unless the cause was warned of a short time ago.

        Args:
            cause: What makes two messages say the same; numbers in it do not count.
            message: What happened this time, in one line.
        """
        cause = re.sub(r"\d+", "0", cause)
        now = self._clock()
        with self._lock:
            warned, before = self._last.get(cause, (-self._interval, 0))
            again = now - warned < self._interval
            self._last[cause] = (warned, before + 1) if again else (now, 0)
        if again:
            self._log.info("%s", message)
            return
        more = f"{before} more times" if before > 1 else "once more" if before else ""
        since = f" ({more} in the {now - warned:.0f} s before)" if more else ""
        self._log.warning("%s%s; more of these are counted, and -v shows each", message, since)
