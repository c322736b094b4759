"""Whether work grows with its input and no faster, on a machine of any speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_NOISE = 0.002  # seconds; what is over sooner says nothing


def grows_evenly(work: Callable[[Any], object], given: Callable[[int], Any], size: int) -> bool:
    """Whether four times the input takes less than eight times as long; squares take sixteen."""
    small, large = (_seconds(work, given(n)) for n in (size, 4 * size))
    return large < 8 * max(small, _NOISE)


def _seconds(work: Callable[[Any], object], given: Any) -> float:
    least = float("inf")
    for _ in range(3):
        began = time.thread_time()
        work(given)
        least = min(least, time.thread_time() - began)
    return least
