"""How often a client may ask: an adaptive pace."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """Spaces the requests of many threads, and slows down when the server pushes back.

    Additive increase, multiplicative decrease (Chiu and Jain, 1989) on the request rate: a
    push-back cuts the rate to 70 %, at most once a second, so that one burst of refusals counts
    once; after that the rate climbs evenly and is free again after 15 undisturbed seconds at
    the most.

    Args:
        requests_per_second: Ceiling of the rate; None for no ceiling until the server pushes
            back.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
    """

    _CUT = 0.7
    _RECOVERY = 15.0  # seconds to climb from nothing to the ceiling
    _WINDOW = 5.0  # seconds over which the actual rate is observed
    _SLOWEST = 0.5  # requests per second, so that a recovery is noticed
    _LEAST_OBSERVED = 5.0  # requests per second

    def __init__(
        self,
        requests_per_second: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if requests_per_second is not None and not requests_per_second > 0:
            raise ValueError(f"requests_per_second: {requests_per_second} must be over 0, or null")
        self._limit = requests_per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._rate = requests_per_second  # None: unpaced
        self._peak = 0.0  # the rate at which the climb ends
        self._next = 0.0  # when the next request may start
        self._next_ahead = 0.0  # when the next one that goes ahead may
        self._changed = float("-inf")  # when the rate was last set
        self._cut_at = float("-inf")
        self._recent: deque[float] = deque()

    @property
    def rate(self) -> float | None:
        """Requests per second now allowed; None while unpaced."""
        with self._lock:
            return self._rate

    def set_limit(self, requests_per_second: float) -> None:
        """Sets another ceiling, from the next request on.

        Args:
            requests_per_second: The ceiling; over 0.
        """
        with self._lock:
            self._climb(self._clock())
            unhindered = self._rate is None or self._rate == self._limit
            self._limit = self._peak = requests_per_second
            if unhindered or self._rate is None or self._rate > requests_per_second:
                self._rate = requests_per_second

    def wait(self, *, ahead: bool = False) -> float:
        """Waits for this request's turn; returns the seconds waited.

        Args:
            ahead: Go ahead of the requests that wait in line, whose successors wait the longer
                for it. For the few requests that ask after what many others have bought: at the
                end of a long line they would come too late.
        """
        with self._lock:
            now = self._clock()
            self._climb(now)
            turn = now
            if self._rate is not None:
                space = 1.0 / self._rate
                if ahead:
                    turn = max(now, self._next_ahead)
                    self._next_ahead = turn + space
                    self._next = max(now, self._next) + space
                else:
                    turn = max(now, self._next)
                    self._next = turn + space
            self._recent.append(turn)
            while self._recent[0] < now - self._WINDOW:
                self._recent.popleft()
        if turn > now:
            self._sleep(turn - now)
        return turn - now

    def push_back(self) -> bool:
        """Notes that the server asked for less; returns whether the rate was cut for it."""
        with self._lock:
            now = self._clock()
            self._climb(now)
            if now - self._cut_at < 1.0:
                return False
            observed = len(self._recent) / self._WINDOW
            if self._recent and now - self._recent[0] < self._WINDOW:
                observed = len(self._recent) / max(now - self._recent[0], 1.0)
            if self._rate is None:
                # A client that asked little so far tells nothing of the limit.
                self._rate = max(observed, self._LEAST_OBSERVED)
                self._peak = 2 * self._rate
            floor = self._SLOWEST if self._limit is None else min(self._SLOWEST, self._limit)
            self._rate = max(floor, self._CUT * self._rate)
            self._peak = max(self._peak, 2 * floor) if self._limit is None else self._limit
            self._cut_at = self._changed = now
            return True

    def _climb(self, now: float) -> None:
        if self._rate is None or self._rate == self._limit:
            return
        self._rate += self._peak / self._RECOVERY * max(0.0, now - self._changed)
        self._changed = now
        if self._rate >= self._peak:
            self._rate = self._limit
            self._next = min(self._next, now)
