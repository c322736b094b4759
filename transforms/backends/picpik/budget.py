"""How much a run may buy, however many processes it has, and when to stop buying."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from alphabeam.transforms.backends.picpik.tally import Tally
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.picpik import ApiUnavailableError, SubmitUnknownError
from alphabeam.transforms.storage import StorageOptions

__all__ = ["Brake", "Budget", "Spending", "spending_in"]

_log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.5  # while another task is to show the price

# Lost answers one after another, and nothing more is bought. Where every third answer is lost by
# chance, that comes once in 60 000 purchases; it cannot be told from all being lost much sooner.
_MOST_LOST = 10


@dataclass(frozen=True)
class Spending:
    """What a run's processes have bought together.

    Attributes:
        tasks: Tasks bought, or about to be.
        open: Those of them whose cost is yet to be seen.
        unpriced: Those whose cost will not be seen.
        credits: What the others have cost.
        price: The most that one has cost so far, at least 1; None before the first.
    """

    tasks: int = 0
    open: int = 0
    unpriced: int = 0
    credits: int = 0
    price: int | None = None

    @property
    def reserved(self) -> int:
        """Credits that tasks of unknown cost are taken for."""
        return (self.open + self.unpriced) * (self.price or 1)

    def taken(self) -> Spending:
        """One task more is about to be bought."""
        return dataclasses.replace(self, tasks=self.tasks + 1, open=self.open + 1)

    def given_back(self) -> Spending:
        """One was not bought after all."""
        return dataclasses.replace(self, tasks=self.tasks - 1, open=self.open - 1)

    def costing(self, credits: int | None) -> Spending:
        """One has cost so much; None where that will not be known."""
        if credits is None:
            return dataclasses.replace(self, open=self.open - 1, unpriced=self.unpriced + 1)
        return dataclasses.replace(
            self,
            open=self.open - 1,
            credits=self.credits + credits,
            price=max(self.price or 1, credits),
        )

    def inherited(self, sent: int) -> Spending:
        """What a run finds that goes on where this spending's processes were killed.

        Args:
            sent: Tasks that they may have bought; others were taken, and not sent any more.
        """
        unseen = self.open + self.unpriced - (self.tasks - sent)
        return dataclasses.replace(self, tasks=sent, open=0, unpriced=max(0, unseen))


class Changing(Protocol):
    """Where the spending is kept; `Tally` is one."""

    def change(self, change: Callable[[Spending], tuple[Spending, Any]], /) -> Any:
        """Changes it, and gives the second value that ``change`` gave."""
        ...


class _Alone:
    """The spending of a process that shares it with nobody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spending = Spending()

    def change(self, change: Callable[[Spending], tuple[Spending, Any]], /) -> Any:
        with self._lock:
            self._spending, result = change(self._spending)
            return result


def spending_in(folder: str, storage_options: StorageOptions | None = None) -> Tally[Spending]:
    """The spending of a run, in a folder that all its processes reach."""
    return Tally(
        folder,
        Spending(),
        read=lambda fields: Spending(**fields),
        shown=dataclasses.asdict,
        storage_options=storage_options,
    )


class Budget:
    """Counts what a run buys, and says when to stop.

    ``max_tasks`` is never exceeded. Nor is ``max_credits``, unless a task costs more than any
    before it: then by at most the difference for each task whose cost was not known yet.

    Args:
        max_tasks: Most tasks to buy; None for no bound.
        max_credits: Most credits to spend; None for no bound.
        limit: What ``max_tasks`` comes from, for messages; the setting of that name if empty.
        spending: Where the spending is kept; None for this process alone.
        longest_wait: Seconds to wait for the first task to show the price. One whose process
            was killed never does.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        max_tasks: int | None = None,
        max_credits: int | None = None,
        *,
        limit: str = "",
        spending: Changing | None = None,
        longest_wait: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._max_tasks = max_tasks
        self._max_credits = max_credits
        self._limit = limit or f"max_tasks {max_tasks}"
        self._spending: Changing = spending or _Alone()
        self._longest_wait = longest_wait
        self._clock = clock
        self._sleep = sleep

    @property
    def is_bounded(self) -> bool:
        """Whether there is anything to count."""
        return self._max_tasks is not None or self._max_credits is not None

    def take(self) -> None:
        """Takes one task out of the budget; `give_back` or `cost` must follow.

        Raises:
            RowError: ``budget_spent``, or the store of the spending cannot be reached.
        """
        if not self.is_bounded:
            return
        until = self._clock() + self._longest_wait
        while True:
            patient = self._clock() < until

            def take(spending: Spending, patient: bool = patient) -> tuple[Spending, str]:
                verdict = self._verdict(spending, patient)
                return (spending, verdict) if verdict else (spending.taken(), "")

            verdict = self._spending.change(take)
            if not verdict:
                return
            if verdict != "wait":
                raise RowError(
                    ErrorCode.BUDGET_SPENT,
                    f"{verdict} is reached; raise it, or run the job again later",
                )
            self._sleep(_LOOK_AGAIN_S)

    def _verdict(self, spending: Spending, patient: bool) -> str:
        """Why no task may be bought: a limit that is reached, or ``wait``; empty if one may."""
        if self._max_tasks is not None and spending.tasks >= self._max_tasks:
            return self._limit
        if self._max_credits is None:
            return ""
        if spending.credits + spending.reserved >= self._max_credits:
            if spending.price is None and spending.open and self._max_credits and patient:
                return "wait"
            return f"max_credits {self._max_credits}"
        # Until one task has shown the price, a second could be one too many.
        return "wait" if spending.price is None and spending.open and patient else ""

    def give_back(self) -> None:
        """A task was not bought after all."""
        self._note(Spending.given_back)

    def cost(self, credits: int | None) -> None:
        """A task has cost so much; None where that will not be known."""
        self._note(lambda spending: spending.costing(credits))

    def _note(self, changed: Callable[[Spending], Spending]) -> None:
        if not self.is_bounded:
            return
        try:
            self._spending.change(lambda spending: (changed(spending), None))
        except RowError as error:
            # It counts on as a task of the highest price, so the bounds hold.
            _log.warning("what a task has cost is not counted: %s", error.message)


class Brake:
    """Stops a process that buys and learns nothing of it: each answer may be one that was billed.

    As long as nothing shows that answers arrive, only as many requests are under way as may be
    lost.

    Args:
        most: Lost answers one after another, after which nothing more is bought.
    """

    def __init__(self, most: int = _MOST_LOST) -> None:
        self._most = most
        self._why = (
            f"nothing more is bought: the answers to {most} submissions in a row were lost, and "
            "each may have been billed; look at the account's tasks, see to the network or raise "
            "read_timeout, then run the job again"
        )
        self._changed = threading.Condition()
        self._under_way = 0
        self._lost = 0  # since the last answer that arrived
        self._arrived = False

    def check(self) -> None:
        """Makes sure that more may be bought.

        Raises:
            ApiUnavailableError: The last answers were all lost.
        """
        if self._lost >= self._most:
            raise ApiUnavailableError(self._why)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the ``with`` lasts, a request that buys is made; how it ends is noted.

        Raises:
            ApiUnavailableError: As `check`.
        """
        with self._changed:
            self._changed.wait_for(self._has_room)
            self.check()
            self._under_way += 1
        lost = arrived = False
        try:
            yield
            arrived = True
        except SubmitUnknownError:
            lost = True
            raise
        finally:
            with self._changed:
                self._under_way -= 1
                if arrived:
                    self._arrived, self._lost = True, 0
                elif lost:
                    self._lost += 1
                    if self._lost == self._most:
                        _log.warning("%s", self._why)
                self._changed.notify_all()

    def _has_room(self) -> bool:
        if self._lost >= self._most or (self._arrived and not self._lost):
            return True
        return self._under_way + self._lost < self._most
