"""Budgets and the pace hold for all the processes of a run together."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.backends.picpik.budget import Budget, Spending, spending_in
from alphabeam.transforms.backends.picpik.presence import Presence, share
from alphabeam.transforms.backends.picpik.tally import Tally
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.output import Output
from alphabeam.transforms.picpik.emulator import running_emulator
from tests.forked import PROCESSES
from tests.picpik_jobs import bought_by_a_process, kill_five_times, pictures

pytestmark = pytest.mark.slow


def tally(folder: Path) -> Tally[dict[str, int]]:
    return Tally(str(folder), {}, read=lambda fields: dict(fields), shown=lambda value: value)


def counted(value: dict[str, int], name: str) -> tuple[dict[str, int], int]:
    number = value.get(name, 0) + 1
    return {**value, name: number}, number


def test_no_change_is_lost_among_threads_and_processes(tmp_path: Path) -> None:
    views = [tally(tmp_path) for _ in range(4)]  # as four processes have them

    def count(number: int) -> int:
        return views[number % 4].change(lambda value: counted(value, "all"))

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(count, range(200)))
    assert sorted(results) == list(range(1, 201))
    late = tally(tmp_path)  # a process that starts now sees them all
    assert late.change(lambda value: (value, value.get("all"))) == 200
    assert len(storage.list(str(tmp_path))) <= 200


def test_a_store_out_of_reach_is_an_error_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tally(tmp_path)
    one.change(lambda value: counted(value, "a"))

    def fail(*args: Any, **named: Any) -> bool:
        raise RowError(ErrorCode.STORAGE_UNAVAILABLE, "no")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "create", fail)
        with pytest.raises(RowError):
            one.change(lambda value: counted(value, "a"))
    assert one.change(lambda value: counted(value, "a")) == 2


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    tally(tmp_path).change(lambda value: counted(value, "a"))
    broken = spending_in(str(tmp_path))
    with pytest.raises(RowError, match=r"000000000\.json.*is broken"):
        broken.change(lambda spending: (spending.taken(), None))


def code_of(action: Callable[[], object]) -> str | None:
    try:
        action()
    except RowError as error:
        return error.code.value
    return None


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_given_back_can_be_taken_by_another(tmp_path: Path, shared: bool) -> None:
    one = Budget(2, spending=spending_in(str(tmp_path)) if shared else None)
    other = Budget(2, spending=spending_in(str(tmp_path))) if shared else one
    assert [code_of(b.take) for b in (one, other, one)] == [None, None, "budget_spent"]
    other.give_back()
    assert [code_of(b.take) for b in (one, other)] == [None, "budget_spent"]


def test_the_first_price_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] == 2.0:
            dead.cost(30)

    def budget() -> Budget:
        return Budget(
            None,
            100,
            spending=spending_in(str(tmp_path)),
            longest_wait=60.0,
            clock=lambda: now[0],
            sleep=sleep,
        )

    dead, living = budget(), budget()
    dead.take()
    assert code_of(living.take) is None and now[0] == 2.0  # it costs 30: 60 are spoken for
    assert [code_of(living.take) for _ in range(3)] == [None, None, "budget_spent"]


def test_a_process_that_was_killed_holds_nobody_up_for_ever(tmp_path: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    spending = spending_in(str(tmp_path))
    Budget(None, 3, spending=spending).take()  # and is killed
    living = Budget(
        None, 3, spending=spending, longest_wait=60.0, clock=lambda: now[0], sleep=sleep
    )
    assert code_of(living.take) is None and now[0] >= 60.0
    living.cost(1)
    assert code_of(living.take) is None  # what is not known counts as one task
    assert code_of(living.take) == "budget_spent"


@pytest.mark.parametrize(
    ("limit", "cost", "processes"),
    [
        ({"max_tasks": 9}, 1, 1),
        ({"max_tasks": 9}, 1, 3),
        ({"max_tasks": 9}, 1, 8),
        ({"max_credits": 90}, 10, 3),
        ({"max_credits": 95}, 10, 8),
    ],
)
def test_a_budget_is_kept_to_whatever_the_number_of_processes(
    tmp_path: Path, limit: dict[str, int], cost: int, processes: int
) -> None:
    rows = pictures(tmp_path, 24)
    with running_emulator(cost=cost, task_seconds=0.05) as emulator:
        (tmp_path / "private_key").write_text(emulator.private_key)
        backend = PicpikBackend(
            str(tmp_path / "out"),
            public_key=emulator.public_key,
            private_key=f"${{file:{tmp_path}/private_key}}",
            endpoint=emulator.endpoint,
            tasks_in_flight=4,
            **limit,  # type: ignore[arg-type]
        )
        with PROCESSES.Pool(processes) as pool:
            work = [(backend, rows[n::processes]) for n in range(processes)]
            codes = list(itertools.chain(*pool.starmap(bought_by_a_process, work)))
        # the last task is bought while credits are left
        bought = limit.get("max_tasks") or -(-limit["max_credits"] // cost)
        assert emulator.billed == bought * cost
    assert codes.count(None) == bought
    assert codes.count("budget_spent") == 24 - bought


def test_a_new_run_has_a_budget_of_its_own(tmp_path: Path) -> None:
    first, second = (PicpikBackend(str(tmp_path), max_tasks=1) for _ in range(2))
    assert first.run != second.run


def test_a_budget_goes_on_after_kills_and_counts_what_was_sent(tmp_path: Path) -> None:
    rows = pictures(tmp_path, 40)
    output = Output(str(tmp_path / "out"))
    late = {"faults": {"RemoveBackground:answer_late": 0.4}, "late_seconds": 0.3, "seed": 3}
    with running_emulator(**late) as emulator:
        (tmp_path / "private_key").write_text(emulator.private_key)

        def backend() -> PicpikBackend:
            one = PicpikBackend(
                output,
                public_key=emulator.public_key,
                private_key=f"${{file:{tmp_path}/private_key}}",
                endpoint=emulator.endpoint,
                requests_per_second=30.0,
                heartbeat=0.2,
                max_tasks=26,
                run="20260101T000000Z-killed",
            )
            one.inherit()
            return one

        after = kill_five_times(backend, output, rows, emulator)
        never_sent = len(after.never_sent)
        assert min(20, 26 - never_sent) <= len(after.bought) <= 26 - never_sent
        with PROCESSES.Pool(1) as pool:
            (codes,) = pool.starmap(bought_by_a_process, [(backend(), rows, 16)])
        assert emulator.billed == 26 - never_sent
        assert set(emulator.tasks_by_request.values()) == {1}
        assert codes.count("budget_spent") == 40 - 26
        assert codes.count("submit_unknown") == len(after.unknown)


def test_credits_of_killed_runs_count_at_the_price_that_was_seen() -> None:
    spending = Spending()
    for _ in range(5):
        spending = spending.taken()
    spending = spending.costing(10).costing(None)  # one is priced, one never will be; then killed
    inherited = spending.inherited(sent=3)  # of the three that were open, one was sent
    assert (inherited.tasks, inherited.open, inherited.unpriced) == (3, 0, 2)
    assert inherited.credits + inherited.reserved == 30
    assert Spending().inherited(sent=0) == Spending()


def presence(folder: Path, clock: Callable[[], float]) -> Presence:
    return Presence(str(folder), interval=1.0, clock=clock)


def test_processes_see_each_other_come_and_go(tmp_path: Path) -> None:
    now = [0.0]
    one, other = (presence(tmp_path, lambda: now[0]) for _ in range(2))
    assert (one.beat(), other.beat(), one.beat()) == (1, 2, 2)
    counts = []
    for _ in range(5):  # the other one was killed
        now[0] += 1.0
        counts.append(one.beat())
    assert counts == [2, 2, 1, 1, 1]
    # what a dead process left behind counts for a newcomer until it has been still for as long
    assert presence(tmp_path, lambda: now[0]).beat() == 3


class Paced:
    def __init__(self) -> None:
        self.rates: list[float] = []

    def set_requests_per_second(self, requests_per_second: float) -> None:
        self.rates.append(requests_per_second)


def test_a_newcomer_waits_until_the_others_have_made_room(tmp_path: Path) -> None:
    one = presence(tmp_path, lambda: 0.0)
    one.beat()
    newcomer, alone = Paced(), Paced()
    slept: list[float] = []
    share(presence(tmp_path, lambda: 0.0), 12.0, newcomer, sleep=slept.append)
    assert newcomer.rates == [6.0, 6.0] and slept == [2.0]
    share(presence(tmp_path / "b", lambda: 0.0), 12.0, alone, sleep=slept.append)
    assert alone.rates == [12.0] and len(slept) == 1


def test_the_pace_is_shared_by_the_processes_of_a_run(tmp_path: Path) -> None:
    rows = pictures(tmp_path, 36)
    with running_emulator() as emulator:
        (tmp_path / "private_key").write_text(emulator.private_key)
        backend = PicpikBackend(
            str(tmp_path / "out"),
            public_key=emulator.public_key,
            private_key=f"${{file:{tmp_path}/private_key}}",
            endpoint=emulator.endpoint,
            requests_per_second=12.0,
            heartbeat=0.5,
        )
        with PROCESSES.Pool(3) as pool:
            work = [(backend, rows[n::3]) for n in range(3)]
            codes = list(itertools.chain(*pool.starmap(bought_by_a_process, work)))
        arrivals = sorted(emulator.arrivals)
    assert codes == [None] * 36
    # submissions and questions each keep the pace; a second more than one lets in is a slip
    most = max(sum(t <= a < t + 1.0 for a in arrivals) for t in arrivals)
    assert most <= 2 * 12 + 6
    assert len(arrivals) >= 36
