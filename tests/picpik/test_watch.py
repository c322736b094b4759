"""Waiting for many tasks at once, against clients that answer by script."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from alphabeam.transforms.picpik import (
    AnswerInvalidError,
    ApiRefusedError,
    TaskDetail,
    TaskTimeoutError,
    TaskWatch,
)
from alphabeam.transforms.picpik import watch as watching

pytestmark = pytest.mark.slow


class Asked:
    """A client that answers the watch by script, and remembers how it was asked."""

    def __init__(self, answer: Callable[[list[str]], list[TaskDetail]]) -> None:
        self._answer = answer
        self.waited_for: Callable[[], list[str]] = list
        self.calls: list[list[str]] = []

    def tasks(self, uids: Sequence[str], /) -> list[TaskDetail]:
        self.calls.append(list(uids))
        return self._answer(list(uids))


def finished(uid: str) -> TaskDetail:
    return TaskDetail(uid, status="Finished", images=("https://x/y.png",))


def watched(client: Asked, uids: list[str], timeout: float = 10.0) -> dict[str, Any]:
    watch = TaskWatch(client)
    client.waited_for = watch.waited_for

    def wait(uid: str) -> Any:
        try:
            return watch.wait(uid, timeout)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(uids)) as pool:
        return dict(zip(uids, pool.map(wait, uids), strict=True))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(watching, "_LONGEST_PAUSE_S", 0.02)


def test_one_refused_uid_does_not_spoil_the_others(quick: None) -> None:
    def answer(uids: list[str]) -> list[TaskDetail]:
        if "bad" in uids:
            raise ApiRefusedError("no such task")
        return [finished(uid) for uid in uids]

    outcome = watched(Asked(answer), ["a", "b", "bad", "c", "d"], timeout=3.0)
    # it is paid for, so it is asked for until its time is over, and a later run goes on
    refused = outcome.pop("bad")
    assert isinstance(refused, TaskTimeoutError) and "no such task" in refused.message
    assert [detail.state for detail in outcome.values()] == ["finished"] * 4


def test_several_refused_uids_do_not_spoil_the_others(quick: None) -> None:
    bad = {"t3", "t4", "t31", "t60"}

    def answer(uids: list[str]) -> list[TaskDetail]:
        if bad & set(uids):
            raise ApiRefusedError("no such task")
        return [finished(uid) for uid in uids]

    outcome = watched(Asked(answer), [f"t{n}" for n in range(64)], timeout=6.0)
    assert {uid for uid, seen in outcome.items() if isinstance(seen, TaskTimeoutError)} == bad
    assert all(isinstance(seen, TaskDetail) for uid, seen in outcome.items() if uid not in bad)


def test_a_refusal_that_passes_fails_no_task_and_costs_few_requests(quick: None) -> None:
    refused = 12

    def answer(uids: list[str]) -> list[TaskDetail]:
        if len(client.calls) <= refused:
            raise ApiRefusedError("RetCode 150: busy", ret_code=150)
        return [finished(uid) for uid in uids]

    client = Asked(answer)
    outcome = watched(client, [f"t{n}" for n in range(32)])
    assert all(isinstance(detail, TaskDetail) for detail in outcome.values())
    # a list of 32 can be halved five times: no round asks more often in vain
    assert len(client.calls) <= refused + 8


@pytest.mark.parametrize("broken", [4, 5])
def test_a_few_broken_answers_are_waited_out_and_many_are_not(quick: None, broken: int) -> None:
    rounds = iter(range(100))

    def answer(uids: list[str]) -> list[TaskDetail]:
        if next(rounds) < broken:
            raise AnswerInvalidError("not JSON")
        return [finished(uid) for uid in uids]

    (outcome,) = watched(Asked(answer), ["a"]).values()
    assert isinstance(outcome, TaskDetail if broken < 5 else AnswerInvalidError)


def test_tasks_are_asked_for_together_and_ever_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "_FIRST_PAUSE_S", 0.02)

    def answer(uids: list[str]) -> list[TaskDetail]:
        while len(client.calls) == 1 and len(client.waited_for()) < 20:
            time.sleep(0.01)  # until all the threads have started
        return []

    client = Asked(answer)
    began = time.monotonic()
    outcome = watched(client, [f"t{n}" for n in range(20)], timeout=3.0)
    assert all(isinstance(error, TaskTimeoutError) for error in outcome.values())
    assert time.monotonic() - began >= 3.0
    assert max(map(len, client.calls)) == 20
    # evenly paced it would be 150 rounds
    assert 3 <= len(client.calls) <= 30
