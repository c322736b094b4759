"""One writer: leases, take-over, and commits at the same moment."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import lease
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.lease import (
    Lease,
    LeaseError,
    acquire,
    check,
    check_not_lost,
    held,
)
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.metadata import encode_table, read_committed, table_from_rows
from alphabeam.transforms.metadata.commit import CommitError, commit
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row, now


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(str(tmp_path))


def no_sleep(_: float) -> None:
    raise AssertionError("nothing should be waited for")


def test_a_second_runs_error_names_who_has_the_output(output: Output) -> None:
    with acquire(output, "first"), pytest.raises(LeaseError) as caught:
        acquire(output, "second", sleep=no_sleep)
    message = str(caught.value)
    assert message.startswith("run first (process ") and "--take-over" in message
    assert "\n" not in message
    acquire(output, "second", sleep=no_sleep).end()


def test_of_many_at_once_one_gets_the_output(output: Output) -> None:
    got, refused = [], []
    barrier = threading.Barrier(8)

    def take(number: int) -> None:
        barrier.wait()
        try:
            got.append(acquire(output, f"run{number}"))
        except LeaseError as error:
            refused.append(error)

    threads = [threading.Thread(target=take, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and len(refused) == 7
    got[0].end()


def die_with_the_lease(folder: Path) -> None:
    """A process takes the lease of a folder, and is gone."""
    script = (
        "import os; from alphabeam.transforms.lease import acquire;"
        "from alphabeam.transforms.output import Output;"
        f"acquire(Output({str(folder)!r}), 'killed'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9


@pytest.mark.slow
def test_a_dead_process_is_succeeded_at_once(output: Output, tmp_path: Path) -> None:
    die_with_the_lease(tmp_path)
    acquire(output, "next", sleep=no_sleep).end()


@pytest.mark.slow
def test_what_a_dead_process_was_writing_is_swept(output: Output, tmp_path: Path) -> None:
    die_with_the_lease(tmp_path)
    left = tmp_path / "cutouts/a" / f".alphabeam-{'0' * 32}.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    kept = left.with_name("whole.png")
    kept.write_bytes(b"whole")
    acquire(output, "next", sleep=no_sleep).end()
    assert not left.exists() and kept.exists()
    left.write_bytes(b"half")
    acquire(output, "another", sleep=no_sleep).end()
    assert left.exists(), "after a run that ended nothing is looked for"
    acquire(output, "stopped", sleep=no_sleep).end(interrupted=True)
    assert left.exists()
    with pytest.raises(KeyError), acquire(output, "failed", sleep=no_sleep):
        assert not left.exists(), "after a run that was stopped it is"
        left.write_bytes(b"half")
        raise KeyError
    acquire(output, "last", sleep=no_sleep).end()
    assert not left.exists(), "and after one that failed"


def test_what_killed_workers_were_writing_is_swept_at_a_runs_end(
    output: Output, tmp_path: Path
) -> None:
    name = f".alphabeam-{'0' * 32}.partial"
    left = [tmp_path / folder / name for folder in ("cutouts/a/b", "ledger/tasks", "run/r")]
    others = [tmp_path / "another output/cutouts" / name, tmp_path / "cutouts/whole.png"]
    for path in (*left, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    with acquire(output, "mine") as holder:
        holder.sweep()
    assert not any(path.exists() for path in left) and all(path.exists() for path in others)


def test_a_run_goes_on_for_those_that_did_not_come_to_their_end(output: Output) -> None:
    acquire(output, "first", sleep=no_sleep).end(interrupted=True)
    with pytest.raises(KeyError), acquire(output, "second", sleep=no_sleep) as second:
        assert second.lease.work == "first"
        raise KeyError
    with acquire(output, "third", sleep=no_sleep) as third:
        assert third.lease.work == "first"
    with acquire(output, "fourth", sleep=no_sleep) as fourth:
        assert fourth.lease.work == "fourth", "the third one came to its end"


def elsewhere(output: Output, **values: Any) -> Lease:
    """A lease of another machine."""
    with acquire(output, "theirs") as holder:
        fields = {"host": "another-machine", "process": "another-machine:1:2:3", **values}
        theirs = replace(holder.lease, **fields)
    output.put(output.lease(theirs.number), theirs.to_bytes())
    return theirs


def test_another_machines_heartbeat_is_watched(output: Output) -> None:
    theirs = elsewhere(output)
    with pytest.raises(LeaseError, match="on another-machine"):
        acquire(output, "mine", sleep=lambda _: beat_once(output, theirs))
    waited: list[float] = []
    acquire(output, "mine", sleep=waited.append).end()
    assert waited == [lease._WATCH_S], "it stood still while it was watched"


def test_take_over_takes_a_living_ones_and_the_other_notices(output: Output) -> None:
    with acquire(output, "first"), acquire(output, "second", take_over=True, sleep=no_sleep):
        with pytest.raises(LeaseError, match="took over"):
            check(output, "first")
        check(output, "second")


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_wrong_clock_neither_steals_a_lease_nor_waits_for_one(
    output: Output, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    real = time.time
    theirs = elsewhere(output)
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    with pytest.raises(LeaseError, match="on another-machine"):
        acquire(output, "mine", sleep=lambda _: beat_once(output, theirs))
    waited: list[float] = []
    with acquire(output, "mine", sleep=waited.append):
        assert waited == [lease._WATCH_S]
        with pytest.raises(LeaseError, match="run mine"):
            acquire(output, "other", sleep=no_sleep)


def beat_once(output: Output, theirs: Lease) -> None:
    output.put(output.lease(theirs.number), replace(theirs, beats=theirs.beats + 1).to_bytes())


def test_a_machine_of_the_same_name_is_another_machine(output: Output) -> None:
    """Clones and containers may share a name; their processes cannot be seen from here."""
    theirs = elsewhere(output, host=platform.node())
    with pytest.raises(LeaseError, match="run theirs"):
        acquire(output, "mine", sleep=lambda _: beat_once(output, theirs))


BROKEN = [b"", b"{", b'{"number": 3, "run_id": "x"}', b"[]", b"null", b"\xff\xfe", b"[" * 100_000]
WRONG_TYPES = {"number": "a", "run_id": 1, "nonce": [], "host": {}, "process": 0, "started_at": 0}


@pytest.mark.parametrize("data", [*BROKEN, json.dumps(WRONG_TYPES).encode()])
def test_a_broken_lease_is_watched_and_then_taken_over(output: Output, data: bytes) -> None:
    """A writer that dies may leave one on disks that cannot do better."""
    output.put(output.lease(3), data)
    waited: list[float] = []
    with acquire(output, "mine", sleep=waited.append) as holder:
        assert holder.lease.number == 4 and waited == [lease._WATCH_S]
    output.put(output.lease(7), data)
    with acquire(output, "mine", take_over=True, sleep=no_sleep) as holder:
        assert holder.lease.number == 8


def test_the_owner_of_a_broken_lease_may_live(output: Output) -> None:
    theirs = elsewhere(output)
    output.put(output.lease(theirs.number), b"{")
    with pytest.raises(
        LeaseError, match=r"^a run whose lease, number 1, cannot be read is writing"
    ):
        acquire(output, "mine", sleep=lambda _: beat_once(output, theirs))


def test_one_that_was_taken_over_leaves_the_leases_alone(
    output: Output, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "_HEARTBEAT_S", 0.01)
    first = acquire(output, "first")
    with acquire(output, "second", take_over=True, sleep=no_sleep) as second:
        first._thread.join(10)
        assert not first._thread.is_alive() and "commits nothing" in caplog.text
        first.end()
        assert output.lease_files() == [output.lease(second.lease.number)]


def test_heartbeats_reach_the_store(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_HEARTBEAT_S", 0.01)
    with acquire(output, "mine") as holder:
        for _ in range(500):
            beats = json.loads(output.read(output.lease(holder.lease.number)))["beats"]
            if beats >= 3:
                break
            threading.Event().wait(0.01)
        assert beats >= 3
    assert json.loads(output.read(output.lease(holder.lease.number)))["ended"] is True


# ---------------------------------------------------------------------------------------- commits


def group(output: Output, run_id: str, count: int = 20) -> list[str]:
    rows = [
        Row(
            id=f"r{n}", image=f"/x/{n}.png", status=DONE, fingerprint=f"{n:032x}", line=n,
            finished_at=now(), cutout=f"cutouts/r{n}.png", run_id=run_id,
        )
        for n in range(count)
    ]  # fmt: skip
    uri = output.group(run_id, "g")
    output.put(uri, encode_table(table_from_rows(rows)))
    return [uri]


def test_two_commits_at_the_same_moment_leave_one_whole_run(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B's commit falls between A's parts and A's marker."""
    monkeypatch.setattr("alphabeam.transforms.metadata.commit._LEASE_WAIT_S", 0.0)
    groups_a, groups_b = group(output, "A"), group(output, "B")
    put = Output.put
    refused: list[LeaseError] = []

    def hooked(self: Output, uri: str, data: bytes) -> None:
        if uri.endswith("/metadata/A/_SUCCESS") and not refused:
            with pytest.raises(LeaseError) as caught:
                commit(groups_b, output=output, run_id="B")
            refused.append(caught.value)
        put(self, uri, data)

    monkeypatch.setattr(Output, "put", hooked)
    assert commit(groups_a, output=output, run_id="A").rows == 20
    assert refused and "run A" in str(refused[0])
    assert read_committed(output, "A").rows == 20
    with pytest.raises(RowError):
        read_committed(output, "B")


def test_a_run_that_lost_its_lease_commits_nothing(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alphabeam.transforms.metadata.commit._LEASE_WAIT_S", 0.0)
    groups = group(output, "A")
    with held(output, "A"):
        elsewhere_lease = acquire(output, "B", take_over=True)
        try:
            with pytest.raises(LeaseError, match="run B"):
                commit(groups, output=output, run_id="A")
        finally:
            elsewhere_lease.end()
    assert not (Path(output.directory) / "metadata/A/_SUCCESS").exists()


@pytest.mark.parametrize(
    ("surveyed", "message"),
    [({"rows": 21, "lines": 0}, "20 rows came through"), ({"rows": 20, "lines": 1}, "came twice")],
)
def test_rows_that_are_not_the_surveys_are_not_committed(
    output: Output, surveyed: dict[str, int], message: str
) -> None:
    groups = group(output, "A")
    output.put(output.survey("A"), json.dumps(surveyed).encode())
    with pytest.raises(CommitError, match=message):
        commit(groups, output=output, run_id="A")
    assert not (Path(output.directory) / "metadata/A/_SUCCESS").exists()


# ------------------------------------------------------------------------------ runs that wake up


def test_a_run_that_lost_the_output_does_not_get_it_back(output: Output) -> None:
    sleeper = acquire(output, "sleeper")
    acquire(output, "second", take_over=True, sleep=no_sleep).end()
    acquire(output, "third", sleep=no_sleep).end()
    for look in (
        lambda: held(output, "sleeper").__enter__(),
        lambda: acquire(output, "sleeper", take_over=True, sleep=no_sleep),
        lambda: check(output, "sleeper"),
        lambda: check_not_lost(output, "sleeper"),
    ):
        with pytest.raises(LeaseError, match="this run stops and changes nothing more"):
            look()
    check_not_lost(output, "a run without a lease")
    sleeper.leave()


def test_a_run_that_ended_by_itself_has_lost_nothing(output: Output) -> None:
    acquire(output, "first").end()
    acquire(output, "second", sleep=no_sleep).end()
    check_not_lost(output, "first")
    with held(output, "first"):
        pass


def test_a_run_that_lost_the_output_is_told(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_HEARTBEAT_S", 0.01)
    told = threading.Event()
    sleeper = acquire(output, "sleeper")
    sleeper.when_lost = told.set
    with acquire(output, "second", take_over=True, sleep=no_sleep):
        assert told.wait(10)


def test_a_run_that_lost_the_output_buys_nothing(output: Output) -> None:
    intent = Submission("f", "u", "", time.time())
    acquire(output, "sleeper").leave()
    acquire(output, "second", take_over=True, sleep=no_sleep).end()
    with pytest.raises(RowError, match="took over"):
        Submissions(output, "sleeper").create(intent)
    assert not output.task_files()
    assert Submissions(output, "second").create(intent)
