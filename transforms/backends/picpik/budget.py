"""How much may be bought, and when to stop."""

from __future__ import annotations

import threading

from alphabeam.transforms.errors import ErrorCode, RowError

__all__ = ["Budget"]


class Budget:
    """Counts what this process buys, and says when to stop."""

    def __init__(self, max_tasks: int | None, max_credits: int | None) -> None:
        self._max_tasks = max_tasks
        self._max_credits = max_credits
        self._changed = threading.Condition()
        self._tasks = 0
        self._credits = 0
        self._price: int | None = None  # the most that a task has cost so far, at least 1
        self._open = 0  # tasks whose cost is yet to be seen
        self._never_told = 0  # tasks whose cost will not be seen

    def take(self) -> None:
        """Takes one task out of the budget; `give_back` or `cost` must follow.

        Raises:
            RowError: ``budget_spent``.
        """
        with self._changed:
            if self._max_credits:
                # Until one task has shown the price, a second could be one too many.
                self._changed.wait_for(lambda: self._price is not None or not self._open)
            if self._max_tasks is not None and self._tasks >= self._max_tasks:
                raise _spent(f"backend.max_tasks {self._max_tasks}")
            reserved = (self._open + self._never_told) * (self._price or 1)
            if self._max_credits is not None and self._credits + reserved >= self._max_credits:
                raise _spent(f"backend.max_credits {self._max_credits}")
            self._tasks += 1
            self._open += 1

    def give_back(self) -> None:
        """A task was not bought after all."""
        with self._changed:
            self._tasks -= 1
            self._open -= 1
            self._changed.notify_all()

    def cost(self, credits: int | None) -> None:
        """A task has cost so much; None where that will not be known."""
        with self._changed:
            self._open -= 1
            if credits is None:
                self._never_told += 1
            else:
                self._credits += credits
                self._price = max(self._price or 1, credits)
            self._changed.notify_all()


def _spent(limit: str) -> RowError:
    return RowError(
        ErrorCode.BUDGET_SPENT, f"{limit} is reached; raise it, or run the job again later"
    )
