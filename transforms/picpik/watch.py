"""Waiting for the tasks of many threads, which asks for all of them with one request."""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from alphabeam.transforms.picpik.errors import (
    AnswerInvalid,
    ApiRefused,
    ApiUnavailable,
    TaskTimeout,
)
from alphabeam.transforms.picpik.tasks import TaskDetail, Tasks

__all__ = ["TaskWatch"]

_log = logging.getLogger(__name__)

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
        self._thread: threading.Thread | None = None

    def wait(self, task_uid: str, timeout: float) -> TaskDetail:
        """Waits until a task has ended, well or badly.

        Raises:
            TaskTimeout: It had not ended in time.
            PicpikError: The API refuses to be asked.
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
            raise TaskTimeout(
                f"task {task_uid} had not ended after {timeout:.0f} s; "
                "run the job again to collect it, or raise backend.task_timeout"
            ) from None
        finally:
            with self._changed:
                future, waiters = self._waiting[task_uid]
                if waiters == 1:
                    del self._waiting[task_uid]
                else:
                    self._waiting[task_uid] = (future, waiters - 1)

    def waited_for(self) -> list[str]:
        """The tasks that are waited for."""
        with self._changed:
            return list(self._waiting)

    def _run(self) -> None:
        pause, broken = _FIRST_PAUSE_S, 0
        jitter = random.Random()  # workers must not ask in step
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
            except ApiUnavailable as error:
                # The tasks are paid for: their own time-outs end the wait, not an outage.
                _log.warning("%d tasks are waited for: %s", len(uids), error.message)
            except AnswerInvalid as error:
                broken += 1
                _log.warning("%d tasks are waited for: %s", len(uids), error.message)
                if broken >= _BROKEN_ROUNDS:
                    self._settle(uids, error)
            except Exception as error:
                self._settle(uids, error)
            pause = _FIRST_PAUSE_S if ended else min(_LONGEST_PAUSE_S, pause * 1.3)
            time.sleep(pause * jitter.uniform(0.75, 1.25))

    def _ask(self, uids: list[str]) -> int:
        """Settles those tasks that have ended; returns how many."""
        try:
            ended = [d for d in self._client.tasks(uids) if d.state != "running"]
        except ApiRefused as error:
            if len(uids) == 1:
                self._settle(uids, error)
                return 1
            # One task that the API does not know may spoil the list for all the others.
            half = len(uids) // 2
            return self._ask(uids[:half]) + self._ask(uids[half:])
        for detail in ended:
            self._settle([detail.task_uid], detail)
        return len(ended)

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
