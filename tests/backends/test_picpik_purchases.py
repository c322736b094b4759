"""The PICPIK backend without Beam's engine: what it buys, and what it finds again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from alphabeam.transforms.backends.picpik import backend
from alphabeam.transforms.backends.picpik.budget import Brake
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.picpik import ApiUnavailableError, SubmitUnknownError
from alphabeam.transforms.rows import Picture
from tests.backends.conftest import Desk, code_of

pytestmark = pytest.mark.slow


def test_a_picture_is_bought_once_and_says_what_it_cost(desk: Callable[..., Desk]) -> None:
    d = desk(cost=3)
    picture = d.session()(d.row())
    row = picture.row
    assert code_of(picture) is None
    assert (row.backend, row.credits, row.attempts, row.flags) == ("picpik", 3, 1, ())
    assert row.task_uid in d.emulator.tasks
    assert d.emulator.tasks[row.task_uid].request_uuid == row.request_uuid
    assert picture.data == b"" and picture.alpha is not None and picture.rgba is not None
    entry = d.entry(d.row())
    assert entry is not None and entry.task_uid == row.task_uid


def test_rows_with_the_same_work_share_one_task(desk: Callable[..., Desk]) -> None:
    d = desk(task_seconds=0.2)
    remove = d.session()
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(remove, [d.row(id=f"copy-{n}") for n in range(8)]))
    assert [code_of(p) for p in pictures] == [None] * 8
    assert len({p.row.task_uid for p in pictures}) == 1
    assert d.emulator.billed == 1 == sum(p.row.credits or 0 for p in pictures)
    # other parameters are other work
    assert code_of(remove(d.row(erode_size=3))) is None
    assert d.emulator.billed == 2


def test_a_late_task_is_collected_by_a_later_run(desk: Callable[..., Desk]) -> None:
    d = desk(task_seconds=1.0)
    late = d.session(task_timeout=0.05)(d.row())
    assert code_of(late) == "task_timeout"
    assert "run the job again" in (late.row.error_message or "")
    collected = d.session(resubmit_unknown=True)(d.row())
    assert code_of(collected) is None
    assert collected.row.task_uid == late.row.task_uid
    assert (collected.row.attempts, collected.row.credits) == (1, 1)
    assert d.emulator.billed == 1


@pytest.mark.parametrize(("age_h", "billed"), [(23.9, 0), (24.1, 1)])
def test_tasks_over_24_hours_old_are_bought_anew(
    desk: Callable[..., Desk], age_h: float, billed: int
) -> None:
    d = desk()
    row = d.row()
    d.note(row, "gonegonegonegonegone", age_h * 3600)
    assert d.backend().would_submit(row) == bool(billed)
    picture = d.session(task_timeout=20.0 if billed else 0.3)(row)
    assert code_of(picture) == (None if billed else "task_timeout")
    assert d.emulator.billed == billed
    assert picture.row.attempts == 1 + billed


def test_an_intent_alone_is_reported_and_not_bought(desk: Callable[..., Desk]) -> None:
    d = desk()
    row = d.row()
    d.note(row, age_s=60)
    picture = d.session()(row)
    assert code_of(picture) == "submit_unknown"
    assert d.backend().fingerprinted(row).request_uuid in (picture.row.error_message or "")
    assert "resubmit_unknown" in (picture.row.error_message or "")
    assert not d.backend().would_submit(row)
    assert d.emulator.requests["RemoveBackground"] == 0

    assert d.backend(resubmit_unknown=True).would_submit(row)
    picture = d.session(resubmit_unknown=True)(row)
    assert code_of(picture) is None
    assert picture.row.flags == ("resubmitted",) and picture.row.attempts == 2
    assert d.emulator.billed == 1


def test_a_lost_answer_is_unknown_for_this_run_and_the_next(desk: Callable[..., Desk]) -> None:
    d = desk(faults={"RemoveBackground:answer_lost": [0]}, task_seconds=0.5)
    remove = d.session(resubmit_unknown=True)
    lost = remove(d.row())
    assert code_of(lost) == "submit_unknown"
    (uid,) = d.emulator.tasks
    assert uid in (lost.row.error_message or "")  # ListRunningTasks tells
    # a second row with the same work is not bought in the same run, whatever the policy
    assert code_of(remove(d.row(id="copy"))) == "submit_unknown"
    assert code_of(d.session()(d.row())) == "submit_unknown"
    assert d.emulator.billed == 1
    again = d.session(resubmit_unknown=True)(d.row())
    assert code_of(again) is None and "resubmitted" in again.row.flags
    assert d.emulator.billed == 2


def test_a_refused_resubmission_does_not_forget_the_first(desk: Callable[..., Desk]) -> None:
    d = desk(credits=0)
    row = d.row()
    d.note(row)
    refused = d.session(resubmit_unknown=True)(row)
    assert code_of(refused) == "api_refused"
    assert "RetCode 520" in (refused.row.error_message or "")
    entry = d.entry(row)
    assert entry is not None and entry.is_unknown
    assert code_of(d.session()(row)) == "submit_unknown"


def test_a_refusal_leaves_nothing_in_the_ledger(desk: Callable[..., Desk]) -> None:
    d = desk(credits=0)
    assert code_of(d.session()(d.row())) == "api_refused"
    assert d.entry(d.row()) is None


def test_a_task_that_ended_in_error_is_bought_anew_by_a_later_run_only(
    desk: Callable[..., Desk],
) -> None:
    d = desk(faults={"task_error": [0]})
    remove = d.session()
    failed = remove(d.row())
    assert code_of(failed) == "task_failed"
    assert "ErrorCode 5001" in (failed.row.error_message or "")
    assert failed.row.credits == 1  # the emulator bills it
    assert code_of(remove(d.row())) == "task_failed"
    assert d.emulator.billed == 1
    again = d.session()(d.row())
    assert code_of(again) is None and again.row.attempts == 2 and again.row.flags == ()
    assert d.emulator.billed == 2


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("result_expired", "task_expired"),
        ("result_redirect", "result_refused"),
        ("result_html", "api_answer"),
        ("result_truncated", "api_answer"),
        ("result_wrong_size", "api_answer"),
    ],
)
def test_a_result_that_cannot_be_had_is_not_bought_again_while_it_lives(
    desk: Callable[..., Desk], fault: str, code: str
) -> None:
    d = desk(faults={fault: list(range(6))})
    assert code_of(d.session()(d.row())) == code
    assert code_of(d.session(resubmit_unknown=True)(d.row())) in (code, None)
    assert d.emulator.billed == 1


def test_what_a_task_costs_is_told_once_by_the_run_that_collects_it(
    desk: Callable[..., Desk],
) -> None:
    d = desk(faults={"result_wrong_size": [0, 1]}, cost=2)
    for code, credits in (("api_answer", None), ("api_answer", None), (None, 2)):
        after = d.session()(d.row())
        assert (code_of(after), after.row.credits) == (code, credits)
    assert d.emulator.billed == 2


class Failing(Submissions):
    """A ledger whose writes fail on demand."""

    fail: frozenset[int] = frozenset()
    writes = 0
    lock = threading.Lock()

    def put(self, submission: Submission) -> None:
        self._count()
        super().put(submission)

    def create(self, intent: Submission) -> bool:
        self._count()
        return super().create(intent)

    def _count(self) -> None:
        with Failing.lock:
            Failing.writes += 1
            number = Failing.writes
        if number in Failing.fail:
            raise RowError(ErrorCode.STORAGE_UNAVAILABLE, "the ledger is out of reach")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    monkeypatch.setattr(backend, "Submissions", Failing)
    monkeypatch.setattr(Failing, "writes", 0)
    return Failing


def test_without_an_intent_nothing_is_bought(
    desk: Callable[..., Desk], failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    d = desk()
    monkeypatch.setattr(failing, "fail", frozenset({1}))
    remove = d.session(max_tasks=1)
    assert code_of(remove(d.row())) == "storage_unavailable"
    assert d.emulator.requests["RemoveBackground"] == 0
    assert code_of(remove(d.row())) is None  # and the budget was given back
    assert d.emulator.billed == 1


def test_a_task_whose_uid_cannot_be_written_is_still_collected(
    desk: Callable[..., Desk], failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    d = desk()
    monkeypatch.setattr(failing, "fail", frozenset({2}))
    remove = d.session(resubmit_unknown=True)
    assert code_of(remove(d.row())) is None
    assert code_of(remove(d.row(id="copy"))) is None  # found in this process's memory
    assert d.emulator.billed == 1
    # killed, and started again: the intent's owner is gone, so nothing is waited for
    monkeypatch.setattr("alphabeam.transforms.backends.picpik.purchases.is_gone", lambda _: True)
    assert code_of(d.session()(d.row())) == "submit_unknown"


def test_a_late_task_is_written_once_the_ledger_is_back(
    desk: Callable[..., Desk], failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    d = desk(task_seconds=0.6)
    monkeypatch.setattr(failing, "fail", frozenset({2}))
    assert code_of(d.session(task_timeout=0.05)(d.row())) == "task_timeout"
    assert code_of(d.session()(d.row())) is None
    assert d.emulator.billed == 1


def test_an_entry_that_a_crash_has_filled_up_with_zeros_is_read(
    desk: Callable[..., Desk],
) -> None:
    d = desk(faults={"result_wrong_size": [0]})
    assert code_of(d.session()(d.row())) == "api_answer"
    (path,) = (d.folder / "out" / "ledger" / "tasks").iterdir()
    path.write_bytes(path.read_bytes() + bytes(100))
    assert code_of(d.session()(d.row())) is None
    assert d.emulator.billed == 1


def test_a_broken_entry_buys_nothing(desk: Callable[..., Desk]) -> None:
    d = desk()
    row = d.row()
    d.note(row, "u" * 20)
    (path,) = (d.folder / "out" / "ledger" / "tasks").iterdir()
    for text in ("", "{", "[]", '{"fingerprint": 1}', json.dumps({"task_uid": None})):
        path.write_text(text)
        picture = d.session(resubmit_unknown=True)(row)
        assert code_of(picture) == "submit_unknown"
        assert path.name in (picture.row.error_message or "")
    assert d.emulator.requests["RemoveBackground"] == 0


def test_max_tasks_stops_submitting_and_not_collecting(desk: Callable[..., Desk]) -> None:
    d = desk(task_seconds=0.05)
    rows = [d.row(f"p{n}", n) for n in range(8)]
    for row in rows[6:]:
        assert code_of(d.session()(row)) is None  # bought by an earlier run
    with ThreadPoolExecutor(8) as pool:
        codes = [code_of(p) for p in pool.map(d.session(max_tasks=3), rows)]
    assert codes.count("budget_spent") == 3 and codes.count(None) == 5
    assert codes[6:] == [None, None]
    assert d.emulator.billed == 5
    assert code_of(d.session(max_tasks=0)(d.row("q", 9))) == "budget_spent"


@pytest.mark.parametrize(("limit", "bought"), [(0, 0), (1, 1), (25, 3), (30, 3), (31, 4)])
def test_max_credits_holds_whatever_a_task_costs(
    desk: Callable[..., Desk], limit: int, bought: int
) -> None:
    d = desk(cost=10, task_seconds=0.05)
    rows = [d.row(f"p{n}", n) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        codes = [code_of(p) for p in pool.map(d.session(max_credits=limit), rows)]
    assert d.emulator.billed == 10 * bought
    assert codes.count(None) == bought and codes.count("budget_spent") == 8 - bought


def test_max_credits_goes_on_when_the_first_price_is_never_told(desk: Callable[..., Desk]) -> None:
    d = desk(faults={"RemoveBackground:gateway": [0, 1]})
    rows = [d.row(f"p{n}", n) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        codes = [code_of(p) for p in pool.map(d.session(max_credits=5), rows)]
    # what may have been billed counts as billed
    assert codes.count("submit_unknown") == 2
    assert codes.count(None) == 3 and codes.count("budget_spent") == 1
    assert d.emulator.billed == 5


def test_what_the_api_never_sees_is_no_part_of_a_fingerprint_but_of_the_quick_key(
    desk: Callable[..., Desk],
) -> None:
    d = desk()
    backend, row = d.backend(), d.row()
    for format, changes, same in [
        ("png", {"keep_shadow": True}, True),
        ("jpeg", {"own_alpha": "ignore", "keep_shadow": True}, True),
        ("png", {"own_alpha": "ignore"}, False),  # it may have an alpha
        ("jpeg", {"erode_size": 3}, False),
    ]:
        plain = row._replace(source_format=format)
        changed = plain._replace(**changes)
        one, other = backend.fingerprinted(plain), backend.fingerprinted(changed)
        assert (one.fingerprint == other.fingerprint) == same
        assert (one.request_uuid == other.request_uuid) == same
        assert one.quick_key != other.quick_key
        # by these an output is found that is there already
        assert one == plain.fingerprinted("picpik", None, None)
        assert other.quick_key == changed.fingerprinted("picpik", None, None).quick_key


def test_a_task_is_collected_that_was_bought_while_keep_shadow_counted(
    desk: Callable[..., Desk],
) -> None:
    d = desk()
    shadow = d.row()._replace(keep_shadow=True)
    assert code_of(d.session()(d.row())) is None
    now = d.entry(d.row())
    assert now is not None
    before = shadow.fingerprinted("picpik", None, None)
    d.ledger.delete(now)
    d.ledger.put(dataclasses.replace(now, fingerprint=before.fingerprint or ""))
    after = d.session()(shadow)
    assert code_of(after) is None and d.emulator.billed == 1
    assert after.row.fingerprint == before.fingerprint, "by which the commit removes the task"


def bought(d: Desk, count: int, **settings: Any) -> list[Picture]:
    rows = [d.row(f"p{n}", n) for n in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return [*pool.map(d.session(**settings), rows)]


def test_nothing_more_is_bought_once_ten_answers_in_a_row_were_lost(
    desk: Callable[..., Desk], caplog: pytest.LogCaptureFixture
) -> None:
    d = desk(faults={"RemoveBackground:gateway": 1.0})
    after = bought(d, 30)
    codes = [code_of(picture) for picture in after]
    assert d.emulator.billed == 10
    assert codes.count("submit_unknown") == 10 and codes.count("api_unavailable") == 20
    said = next(p.row.error_message or "" for p in after if code_of(p) == "api_unavailable")
    assert "the answers to 10 submissions in a row were lost" in said and "read_timeout" in said
    assert caplog.text.count("nothing more is bought") == 1
    assert len(d.ledger.by_quick_key()) == 10, "the others are left for the next run"


def test_an_answer_that_arrives_lets_more_be_bought(desk: Callable[..., Desk]) -> None:
    d = desk(faults={"RemoveBackground:gateway": [*range(9), *range(10, 19)]})
    codes = [code_of(picture) for picture in bought(d, 30, max_concurrency=1)]
    assert codes.count("submit_unknown") == 18 and codes.count(None) == 12


def test_only_what_is_under_way_is_bought_when_answers_begin_to_be_lost() -> None:
    brake = Brake(3)
    with brake.watching():
        pass
    under_way = [brake.watching() for _ in range(5)]
    for one in under_way:
        one.__enter__()
    for one in under_way[:3]:
        with contextlib.suppress(SubmitUnknownError):
            one.__exit__(SubmitUnknownError, SubmitUnknownError("lost"), None)
    with pytest.raises(ApiUnavailableError), brake.watching():
        pass
    with pytest.raises(ApiUnavailableError):
        brake.check()
