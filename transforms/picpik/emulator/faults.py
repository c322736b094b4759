"""How the emulator misbehaves, and when."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["AFTER", "BEFORE", "FAULTS", "ON_RESULT", "Faults"]

# Name -> what happens. The order is that in which an answer's faults are tried; one at a time.
FAULTS: Mapping[str, str] = {
    # before the request is looked at: nothing is queued
    "delay": "the answer comes, but late by delay_seconds",
    "reset": "the connection is reset once the request was read",
    "http_429": "429 without Retry-After",
    "http_429_after": "429 with Retry-After in seconds (retry_after)",
    "http_429_date": "429 with Retry-After as a date",
    "http_500": "500 without a body of the API",
    "http_503": "503, a load balancer's page",
    "ret_code": "a RetCode (busy_code) that the job may list as transient",
    # after the request was carried out: a task is queued and billed
    "answer_lost": "the request is carried out, then the connection is reset",
    "answer_late": "the request is carried out, the answer comes after late_seconds",
    "gateway": "the request is carried out, then 502",
    "reset_midbody": "half of the answer, then a reset",
    "truncated_json": "half of the JSON, as a whole HTTP answer",
    "wrong_uuid": "the answer has another request_uuid",
    "huge_answer": "an answer of 2 GB",
    # a task's fate
    "task_stuck": "the task stays Running",
    "task_error": "the task ends in Error",
    # result images
    "result_delay": "the image comes late by delay_seconds",
    "result_500": "500",
    "result_reset": "half of the image, then a reset",
    "result_expired": "the URL is dead from the start",
    "result_redirect": "a redirect to another port of loopback",
    "result_huge": "an image of 2 GB, its length not announced",
    "result_huge_announced": "an image of 2 GB, its length announced",
    "result_html": "a web page in the place of the image",
    "result_truncated": "half of the image, as a whole HTTP answer",
    "result_wrong_size": "an image of another size",
}


# Which may strike when; of each group, the first that strikes.
BEFORE = (
    "reset",
    "http_429",
    "http_429_after",
    "http_429_date",
    "http_500",
    "http_503",
    "ret_code",
)
AFTER = (
    "answer_lost",
    "answer_late",
    "gateway",
    "reset_midbody",
    "truncated_json",
    "wrong_uuid",
    "huge_answer",
)
ON_RESULT = (
    "result_500",
    "result_reset",
    "result_expired",
    "result_redirect",
    "result_huge",
    "result_huge_announced",
    "result_html",
    "result_truncated",
)


class Faults:
    """Decides which fault strikes, the same way on every run.

    Args:
        plan: Fault -> when: a probability (a float of 0..1), or the occasions, counted from 0,
            on which it strikes (a sequence of ints). ``Action:fault`` limits a fault to one
            action, such as ``RemoveBackground:http_500``.
        seed: Of the probabilities. They depend on it, on the fault, on what it is about (the
            image, the task) and on how often that was asked for, never on the order in which
            parallel requests arrive.
    """

    def __init__(
        self, plan: Mapping[str, float | Sequence[int]] | None = None, seed: int = 0
    ) -> None:
        self._plan = dict(plan or {})
        for name in self._plan:
            if name.rpartition(":")[2] not in FAULTS:
                raise ValueError(f"fault {name!r} is not one of {', '.join(FAULTS)}")
        self._seed = seed
        self._lock = threading.Lock()
        self._occasions: Counter[tuple[str, str]] = Counter()
        self.struck: Counter[str] = Counter()

    def strikes(self, fault: str, key: str, action: str = "") -> bool:
        """Whether a fault strikes now.

        Args:
            fault: Its name.
            key: What it would strike: a stable name of the image or task.
            action: The API's action.
        """
        for name in (fault, f"{action}:{fault}"):
            when = self._plan.get(name)
            if when is None:
                continue
            with self._lock:
                counted = (name, key if isinstance(when, (int, float)) else "")
                occasion = self._occasions[counted]
                self._occasions[counted] += 1
                if isinstance(when, (int, float)):
                    chance = random.Random(f"{self._seed}/{name}/{key}/{occasion}").random()
                    hit = chance < when
                else:
                    hit = occasion in when
                if hit:
                    self.struck[fault] += 1
                    return True
        return False

    def first(self, faults: Sequence[str], key: str, action: str = "") -> str:
        """The first of the faults that strikes; empty when none does."""
        return next((f for f in faults if self.strikes(f, key, action)), "")
