"""Waiting for the tasks of many threads, which asks for all of them with one request."""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from alphabeam.transforms.picpik.errors import (
    AnswerInvalidError,
    ApiRefusedError,
    ApiUnavailableError,
    TaskTimeoutError,
)
from alphabeam.transforms.picpik.tasks import TaskDetail, Tasks
from alphabeam.transforms.repeats import Repeats

__all__ = ["TaskWatch"]

_log = logging.getLogger(__name__)
_waits = Repeats(_log)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_BROKEN_ROUNDS = 5  # answers in a row that break the API's description before the wait is given up


class TaskWatch:
    """Asks for all tasks that are waited for, many in a call, on one thread.

    Args:
        client: Whom to ask.
    """

    def __init__(self, client: Tasks) -> None:
        self._client = client
        self._changed = threading.Condition()
        self._waiting: dict[str, tuple[Future[TaskDetail], int]] = {}
        self._refusals: dict[str, str] = {}  # the API's last refusal to tell of a task
        self._rng = random.Random()  # workers must not ask in step
        self._thread: threading.Thread | None = None

    def wait(self, task_uid: str, timeout: float) -> TaskDetail:
        """Waits until a task has ended, well or badly.

        Raises:
            TaskTimeoutError: It had not ended in time, or the API refused to tell.
            AnswerInvalidError: The API's answers break its description.
        """
        with self._changed:
            future, waiters = self._waiting.get(task_uid, (Future(), 0))
            self._waiting[task_uid] = (future, waiters + 1)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="picpik-watch", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            return future.result(timeout)
        except FutureTimeout:
            refusal = self._refusals.get(task_uid)
            raise TaskTimeoutError(
                f"task {task_uid} had not ended after {timeout:.0f} s; "
                + (f"asked for it, {refusal}; " if refusal else "")
                + "run the job again to collect it, or raise backend.task_timeout"
            ) from None
        finally:
            with self._changed:
                future, waiters = self._waiting[task_uid]
                if waiters == 1:
                    del self._waiting[task_uid]
                    self._refusals.pop(task_uid, None)
                else:
                    self._waiting[task_uid] = (future, waiters - 1)

    def waited_for(self) -> list[str]:
        """The tasks that are waited for."""
        with self._changed:
            return list(self._waiting)

    def _run(self) -> None:
        pause, broken = _FIRST_PAUSE_S, 0
        while True:
            with self._changed:
                while not self._unresolved():
                    if not self._changed.wait(timeout=60.0) and not self._waiting:
                        self._thread = None
                        return
                uids = self._unresolved()
            ended = 0
            try:
                ended, broken = self._ask(uids), 0
            except ApiUnavailableError as error:
                # The tasks are paid for: their own time-outs end the wait, not an outage.
                _waits.warn(error.message, f"{len(uids)} tasks are waited for: {error.message}")
            except AnswerInvalidError as error:
                broken += 1
                _waits.warn(error.message, f"{len(uids)} tasks are waited for: {error.message}")
                if broken >= _BROKEN_ROUNDS:
                    self._settle(uids, error)
            except Exception as error:
                self._settle(uids, error)
            pause = _FIRST_PAUSE_S if ended else min(_LONGEST_PAUSE_S, pause * 1.3)
            time.sleep(pause * self._rng.uniform(0.75, 1.25))

    def _ask(self, uids: list[str]) -> int:
        """Settles those tasks that have ended; returns how many.

        A refusal settles nothing: the tasks are paid for, and a refusal may pass.
        """
        ended = 0
        # One task that the API does not know may spoil the list for all the others, so a refused
        # list is halved. To find one such task takes as many refusals as it can be halved; many
        # more without an answer between, and the API seems to refuse everything. The next round
        # has another order, so that the same few tasks do not always come first.
        if self._refusals:
            self._rng.shuffle(uids)
        patience = most_refusals = len(uids).bit_length() + 2
        lists = [uids]
        while lists and patience:
            asked = lists.pop()
            try:
                details = self._client.tasks(asked)
            except ApiRefusedError as error:
                self._refused(asked, error)
                half = len(asked) // 2
                lists += [asked[half:], asked[:half]] if half else []
                patience -= 1
                continue
            patience = most_refusals
            for detail in details:
                if detail.state != "running":
                    self._settle([detail.task_uid], detail)
                    ended += 1
        return ended

    def _refused(self, uids: list[str], error: ApiRefusedError) -> None:
        if len(uids) > 1:
            _log.info("%d tasks are waited for: %s", len(uids), error.message)
            return
        with self._changed:
            before = self._refusals.get(uids[0])
            if uids[0] in self._waiting:
                self._refusals[uids[0]] = error.message
        if before != error.message:  # it will be asked for often
            _log.warning("task %s is waited for: %s", uids[0], error.message)

    def _unresolved(self) -> list[str]:
        return [uid for uid, (future, _) in self._waiting.items() if not future.done()]

    def _settle(self, uids: list[str], outcome: TaskDetail | Exception) -> None:
        with self._changed:
            for uid in uids:
                future, _ = self._waiting.get(uid, (None, 0))
                if future is None or future.done():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
