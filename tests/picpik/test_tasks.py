"""Waiting for tasks, on a clock of its own."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from alphabeam.transforms.picpik import (
    ApiRefusedError,
    ApiUnavailableError,
    TaskDetail,
    TaskTimeoutError,
    collect,
)
from tests.test_pace import Clock


class Vendor:
    """Tasks that end at given times; notes when it was asked for what."""

    def __init__(self, clock: Clock, ends: dict[str, float]) -> None:
        self.clock = clock
        self.ends = ends
        self.asked: list[tuple[float, list[str]]] = []
        self.down_until = 0.0

    def tasks(self, uids: Sequence[str], /) -> list[TaskDetail]:
        now = self.clock() - 1000.0
        self.asked.append((now, list(uids)))
        if now < self.down_until:
            raise ApiUnavailableError("down")
        return [
            TaskDetail(u, status="Finished" if now >= self.ends[u] else "Running", images=("u",))
            for u in uids
            if u in self.ends
        ]


def gathered(vendor: Vendor, uids: Sequence[str], **options: float) -> list[tuple[str, float]]:
    options = {"timeout": 100.0, "first_pause": 1.0, "max_pause": 8.0, **options}
    clock = vendor.clock
    tasks = collect(
        vendor,
        uids,
        clock=clock,
        sleep=clock.sleep,
        rng=random.Random(0),
        **options,  # type: ignore[arg-type]
    )
    return [(task.task_uid, clock() - 1000.0) for task in tasks]


def test_each_is_yielded_once_and_soon_after_it_ended() -> None:
    ends = {"a": 0.0, "b": 3.0, "c": 3.2, "d": 20.0}
    vendor = Vendor(Clock(), ends)
    seen = gathered(vendor, ["a", "b", "c", "d", "a"])
    assert [uid for uid, _ in seen] == ["a", "b", "c", "d"]
    for uid, when in seen:
        assert ends[uid] <= when <= ends[uid] + 0.4 * ends[uid] + 1.3
    assert vendor.asked[0] == (0.0, ["a", "b", "c", "d"])
    assert vendor.asked[-1][1] == ["d"]


def test_pauses_grow_are_bounded_and_jittered() -> None:
    vendor = Vendor(Clock(), {"a": 90.0})
    gathered(vendor, ["a"])
    times = [when for when, _ in vendor.asked]
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert 0.75 * 1.5 <= pauses[0] <= 1.25 * 1.5
    assert all(6.0 <= pause <= 10.0 for pause in pauses[6:-1])
    assert len({round(pause, 3) for pause in pauses[6:-1]}) > 3
    assert len(vendor.asked) < 25


def test_the_timeout_ends_it_with_a_last_question() -> None:
    vendor = Vendor(Clock(), {"a": 1000.0, "b": 29.99})
    assert gathered(vendor, ["a", "b", "unheard"], timeout=30.0) == [("b", 30.0)]
    assert vendor.asked[-1][0] == 30.0


def test_an_outage_does_not_end_the_wait() -> None:
    vendor = Vendor(Clock(), {"a": 5.0})
    vendor.down_until = 50.0
    ((uid, when),) = gathered(vendor, ["a"])
    assert uid == "a" and 50.0 <= when <= 61.0


def test_an_outage_to_the_end_is_raised() -> None:
    vendor = Vendor(Clock(), {"a": 5.0})
    vendor.down_until = 1e9
    with pytest.raises(ApiUnavailableError):
        gathered(vendor, ["a"])
    assert vendor.clock() == 1100.0


def test_a_refusal_is_raised_at_once() -> None:
    class Refusing(Vendor):
        def tasks(self, uids: Sequence[str], /) -> list[TaskDetail]:
            raise ApiRefusedError("no")

    vendor = Refusing(Clock(), {})
    with pytest.raises(ApiRefusedError):
        gathered(vendor, ["a"])
    assert vendor.clock() == 1000.0


def test_nothing_to_wait_for_asks_nothing() -> None:
    vendor = Vendor(Clock(), {})
    assert gathered(vendor, []) == [] and vendor.asked == []


@pytest.mark.parametrize(
    ("detail", "state"),
    [
        (TaskDetail("t", status="Queuing"), "running"),
        (TaskDetail("t", status="Running"), "running"),
        (TaskDetail("t", status="Running", images=("u",)), "running"),
        (TaskDetail("t", status="Finished"), "finished"),
        (TaskDetail("t", status="finished", images=("u",)), "finished"),
        (TaskDetail("t", status="Error"), "failed"),
        (TaskDetail("t", status="Finished", error_code=4), "failed"),
        (TaskDetail("t", status="Paused"), "running"),
        (TaskDetail("t", status="Succeeded", images=("u",)), "finished"),
        (TaskDetail("t", status=""), "running"),
        (TaskDetail("t", status="Finished", defect="x"), "failed"),
    ],
)
def test_states(detail: TaskDetail, state: str) -> None:
    assert detail.state == state


def test_an_unknown_word_is_quoted_when_time_is_up() -> None:
    with pytest.raises(TaskTimeoutError, match="'Paused'"):
        TaskDetail("t", status="Paused").result_url()
