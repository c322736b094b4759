"""Numbers that any thread of a process adds up, until Beam's thread reports them as metrics.

Beam's metrics count on Beam's own thread only. What a pool's thread, the storage or the API's
client has to count goes through here. This module imports no Beam.
"""

from __future__ import annotations

import threading

__all__ = ["add", "take"]

_lock = threading.Lock()
_counts: dict[str, float] = {}


def add(name: str, amount: float = 1) -> None:
    """Adds to a number."""
    with _lock:
        _counts[name] = _counts.get(name, 0) + amount


def take() -> dict[str, int]:
    """The whole part of every number since the last call; fractions stay for the next one."""
    with _lock:
        taken = {name: int(amount) for name, amount in _counts.items() if amount >= 1}
        for name, amount in taken.items():
            _counts[name] -= amount
    return taken
