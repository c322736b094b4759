"""When to try again, and when to stop: backoff with jitter, Retry-After, deadlines.

For stores and for the API alike. Nothing here sleeps, so the caller decides how to wait (and what
may cut the wait short):

>>> retries = Retries(Backoff(attempts=3, base=0.1))
>>> wait = retries.after_failure()  # None: give up
>>> wait is not None and 0 <= wait <= 0.1
True
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

__all__ = ["Backoff", "Deadline", "DeadlineExceededError", "Retries", "retry_after_seconds"]


@dataclass(frozen=True)
class Backoff:
    """How a transient fault is tried again: exponential backoff with full jitter.

    Before retry n the wait is uniform in 0 .. min(cap, base * 2**(n-1)), which spreads clients
    that failed together (Brooker, "Exponential Backoff And Jitter", 2015). A server's
    Retry-After is a lower bound for it.

    Attributes:
        attempts: Most attempts of one call, the first included; at least 1.
        total_seconds: No retry starts later than this after the call began.
        base: Seconds, the bound of the first wait.
        cap: Seconds, the bound of every wait that the server did not ask for.
        longest_retry_after: Seconds, the most that a server's Retry-After is obeyed.
    """

    attempts: int = 6
    total_seconds: float = 300.0
    base: float = 0.5
    cap: float = 30.0
    longest_retry_after: float = math.inf

    def __post_init__(self) -> None:
        times = (self.total_seconds, self.base, self.cap, self.longest_retry_after)
        if self.attempts < 1 or not all(seconds >= 0 for seconds in times):
            raise ValueError(f"{self}: at least one attempt and no negative time are needed")

    def wait(self, failures: int, retry_after: float | None, rng: random.Random) -> float:
        """Seconds to wait after the given number of failures (1 or more)."""
        jitter = rng.uniform(0.0, min(self.cap, self.base * 2.0 ** min(failures - 1, 60)))
        # The jitter is added, so that clients given the same time do not return as one.
        return min(retry_after or 0.0, self.longest_retry_after) + jitter


class DeadlineExceededError(TimeoutError):
    """The time for a piece of work is over; the message says how much it had."""


class Deadline:
    """The moment by which a piece of work must have ended, however many requests it makes.

    Args:
        seconds: From now; None for no bound.
        clock: Monotonic seconds.

    Attributes:
        seconds: As given; infinite for no bound.
    """

    def __init__(
        self, seconds: float | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = math.inf if seconds is None else seconds
        self._clock = clock
        self._end = clock() + self.seconds

    def remaining(self) -> float:
        """Seconds that are left: 0 once they are over, infinite if there is no bound."""
        return max(0.0, self._end - self._clock())

    def timeout(self, most: float | None = None) -> float | None:
        """Time-out for the next step of the work, seconds.

        Args:
            most: What the step may take in any case; None for no bound of its own.

        Returns:
            The smaller of ``most`` and what is left; None if neither bounds the step.

        Raises:
            DeadlineExceededError: No time is left.
        """
        self.check()
        least = min(self.remaining(), math.inf if most is None else most)
        return None if math.isinf(least) else least

    def check(self) -> None:
        """Raises if the time is over.

        Raises:
            DeadlineExceededError: No time is left.
        """
        if self.remaining() <= 0:
            raise DeadlineExceededError(f"not done within {self.seconds:g} s")


class Retries:
    """Counts the attempts of one call. One object for each call.

    Args:
        backoff: How often, how soon and how long.
        deadline: A retry that could start only after it is not made.
        clock: Monotonic seconds.
        rng: Source of the jitter.

    Attributes:
        failures: Attempts that failed so far.
        refused_wait: Seconds of the wait that the time limit forbade; None while it forbade none.
    """

    def __init__(
        self,
        backoff: Backoff,
        *,
        deadline: Deadline | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.failures = 0
        self.refused_wait: float | None = None
        self._backoff = backoff
        self._deadline = deadline
        self._total = Deadline(backoff.total_seconds, clock=clock)
        self._rng = rng

    def after_failure(self, retry_after: float | None = None) -> float | None:
        """Notes that an attempt failed.

        Args:
            retry_after: Seconds that the server asked to wait, if it did.

        Returns:
            Seconds to wait before the next attempt; None if there must be none.
        """
        self.failures += 1
        if self.failures >= self._backoff.attempts:
            return None
        # Seeding a generator costs more than most calls, which do not fail.
        self._rng = self._rng or random.Random()
        wait = self._backoff.wait(self.failures, retry_after, self._rng)
        left = self._total.remaining()
        if self._deadline is not None:
            left = min(left, self._deadline.remaining())
        if wait > left:
            self.refused_wait = wait
            return None
        return wait


def retry_after_seconds(header: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Reads a Retry-After header: whole seconds or an HTTP date (RFC 9110, 10.2.3).

    Args:
        header: The header's text, or None.
        now: Seconds since the epoch.

    Returns:
        Seconds from now, at least 0; None where the header is absent or cannot be read.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        left = when - datetime.fromtimestamp(now(), timezone.utc)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max(0.0, left.total_seconds())
