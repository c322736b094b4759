"""Kills, rivals and odd answers: what is bought, what is unknown, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.images import fetch
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.output import Output
from alphabeam.transforms.picpik.emulator import Emulator, encode_png, running_emulator
from alphabeam.transforms.processes import is_gone, this_process
from alphabeam.transforms.rows import Picture, Row
from tests.forked import PROCESSES
from tests.picpik_jobs import bought_by_a_process, kill_five_times, pictures

pytestmark = pytest.mark.slow


def backend_of(folder: Path, emulator: Emulator, **settings: Any) -> PicpikBackend:
    (folder / "private_key").write_text(emulator.private_key)
    return PicpikBackend(
        str(folder / "out"),
        public_key=emulator.public_key,
        private_key=f"${{file:{folder}/private_key}}",
        endpoint=emulator.endpoint,
        **settings,
    )


def done(backend: PicpikBackend, row: Row) -> Picture:
    return backend.open()(fetch(row, Limits()))


@pytest.fixture
def ledger(tmp_path: Path) -> Submissions:
    return Submissions(Output(str(tmp_path / "out")))


def test_after_kills_only_what_was_really_sent_is_unknown(tmp_path: Path) -> None:
    """Killed five times at 12 requests a second, while sixteen threads wait for their turns."""
    rows = pictures(tmp_path, 60)
    # answers come late, so that kills do find submissions on their way
    late = {"faults": {"RemoveBackground:answer_late": 0.4}, "late_seconds": 0.4, "seed": 3}
    settings = {"requests_per_second": 12.0, "tasks_in_flight": 32, "heartbeat": 0.2}
    with running_emulator(**late) as emulator:
        after = kill_five_times(
            lambda: backend_of(tmp_path, emulator, **settings),
            Output(str(tmp_path / "out")),
            rows,
            emulator,
        )
    assert len(after.bought) >= 20 and after.unknown
    assert max(emulator.tasks_by_request.values()) == 1


def test_of_two_processes_with_one_row_one_buys_and_both_collect(tmp_path: Path) -> None:
    rows = pictures(tmp_path, 12)
    late = {"faults": {"RemoveBackground:answer_late": 0.5}, "late_seconds": 0.3}
    with running_emulator(**late) as emulator:
        backend = backend_of(tmp_path, emulator)
        with PROCESSES.Pool(2) as pool:
            codes = pool.starmap(bought_by_a_process, [(backend, rows), (backend, rows)])
        assert codes == [[None] * 12] * 2
        assert emulator.billed == 12
        assert set(emulator.tasks_by_request.values()) == {1}


def test_of_two_processes_one_buys_again_what_has_expired(
    tmp_path: Path, ledger: Submissions
) -> None:
    rows = pictures(tmp_path, 6)
    with running_emulator() as emulator:
        backend = backend_of(tmp_path, emulator)
        for row in rows:
            note(backend, ledger, row, "gone" * 5, 25 * 3600.0)
        with PROCESSES.Pool(2) as pool:
            codes = pool.starmap(bought_by_a_process, [(backend, rows), (backend, rows)])
        assert codes == [[None] * 6] * 2
        assert emulator.billed == 6


def note(
    backend: PicpikBackend,
    ledger: Submissions,
    row: Row,
    task_uid: str = "",
    age: float = 0.0,
    **fields: Any,
) -> None:
    row = backend.fingerprinted(row)
    ledger.put(
        Submission(
            row.fingerprint or "",
            row.request_uuid,
            task_uid,
            time.time() - age,
            **{"sent": "original", "row_id": row.id, **fields},
        )
    )


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The name of a process of another machine."""
    yield "another-machine:1:2:abc"


@pytest.mark.parametrize("age", [0.0, 3600.0, -3600.0], ids=["now", "an hour ago", "ahead"])
def test_an_intent_of_a_living_process_is_waited_for_within_bounds(
    tmp_path: Path,
    ledger: Submissions,
    elsewhere: str,
    monkeypatch: pytest.MonkeyPatch,
    age: float,
) -> None:
    """The other machine's clock may be an hour ahead or behind."""
    monkeypatch.setattr("alphabeam.transforms.backends.picpik.backend._SLACK_S", 1.0)
    rows = pictures(tmp_path, 3)
    with running_emulator() as emulator:
        backend = backend_of(tmp_path, emulator, read_timeout=1.0, resubmit_unknown=False)
        for row in rows[:2]:
            note(backend, ledger, row, age=age, owner=elsewhere)
        note(backend, ledger, rows[2], age=3 * 24 * 3600.0, owner="a-third-machine:1:2:abc")
        seconds = []
        for row in rows:
            began = time.monotonic()
            assert done(backend, row).row.error_code == "submit_unknown"
            seconds.append(time.monotonic() - began)
        assert 2.0 < seconds[0] < 8.0
        assert max(seconds[1:]) < 2.0, "the same process, and one of days ago, are not waited for"
        assert emulator.billed == 0


def test_what_a_living_process_buys_is_collected_whatever_its_clock_says(
    tmp_path: Path, ledger: Submissions, elsewhere: str
) -> None:
    (row,) = pictures(tmp_path, 1)
    with running_emulator() as emulator:
        bought = done(backend_of(tmp_path, emulator), row).row
        backend = backend_of(tmp_path, emulator, resubmit_unknown=True)
        note(backend, ledger, row, age=3600.0, owner=elsewhere)
        answer = threading.Timer(
            1.0, lambda: note(backend, ledger, row, bought.task_uid or "", age=3600.0)
        )
        answer.start()
        found = done(backend, row).row
        assert (found.error_code, found.task_uid) == (None, bought.task_uid)
        assert emulator.billed == 1


def test_an_intent_of_a_process_that_is_gone_is_not_waited_for(
    tmp_path: Path, ledger: Submissions
) -> None:
    (row,) = pictures(tmp_path, 1)
    program = "from alphabeam.transforms.processes import this_process as name;print(name())"
    gone = subprocess.check_output([sys.executable, "-c", program], text=True).strip()
    assert is_gone(gone) and not is_gone(this_process())
    with running_emulator() as emulator:
        backend = backend_of(tmp_path, emulator)
        note(backend, ledger, row, owner=gone)
        began = time.monotonic()
        assert done(backend, row).row.error_code == "submit_unknown"
        assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    ("fields", "flags", "attempts"),
    [
        ({"task_uid": "gone" * 5, "age": 25 * 3600.0}, ("resubmitted", "result_expired"), 2),
        ({"task_uid": "gone" * 5, "ended": "task_failed"}, (), 2),
        ({"age": 3600.0}, ("resubmitted",), 2),
        ({"task_uid": "gone" * 5, "age": 25 * 3600.0, "attempts": 1, "unknown": 1},
         ("resubmitted", "result_expired"), 2),
    ],
)  # fmt: skip
def test_work_that_is_paid_for_again_is_marked(
    tmp_path: Path,
    ledger: Submissions,
    fields: dict[str, Any],
    flags: tuple[str, ...],
    attempts: int,
) -> None:
    (row,) = pictures(tmp_path, 1)
    with running_emulator() as emulator:
        backend = backend_of(tmp_path, emulator, resubmit_unknown=True)
        note(backend, ledger, row, **fields)
        found = done(backend, row).row
        assert (found.error_code, found.flags, found.attempts) == (None, flags, attempts)
        assert emulator.billed == 1
        # a later run collects what was bought, and still says so
        again = done(backend_of(tmp_path, emulator), row).row
        assert (again.error_code, again.flags, again.task_uid) == (None, flags, found.task_uid)
        assert emulator.billed == 1
    assert len(list((tmp_path / "out" / "ledger" / "tasks").iterdir())) == 2


def test_a_task_uid_that_another_image_has_is_unknown_and_not_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pictures(tmp_path, 2)
    with running_emulator() as emulator:
        backend = backend_of(tmp_path, emulator)
        client = type(backend.open().__self__.client)  # type: ignore[attr-defined]
        one = done(backend, first).row
        monkeypatch.setattr(client, "submit", lambda self, *args: one.task_uid)
        other = done(backend, second).row
    assert one.error_code is None
    assert other.error_code == "submit_unknown" and one.task_uid in (other.error_message or "")
    assert not other.task_uid and other.cutout is None


def shown(image: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def another_picture(image: bytes, params: Mapping[str, Any]) -> bytes:
    pixels = shown(image)
    alpha = np.where(pixels.max(axis=2) < 200, 255, 0).astype(np.uint8)
    return encode_png(np.ascontiguousarray(np.dstack([255 - pixels, alpha])))


def clear(image: bytes, params: Mapping[str, Any]) -> bytes:
    pixels = shown(image)
    return encode_png(np.ascontiguousarray(np.dstack([pixels, np.zeros_like(pixels[..., 0])])))


def test_a_result_that_is_another_picture_fails_its_row(tmp_path: Path) -> None:
    (row,) = pictures(tmp_path, 1)
    with running_emulator(answer=another_picture) as emulator:
        found = done(backend_of(tmp_path, emulator), row).row
    assert found.error_code == "api_answer" and "another picture" in (found.error_message or "")
    assert found.credits is None and found.task_uid


def test_a_result_that_is_wholly_clear_is_flagged(tmp_path: Path) -> None:
    (row,) = pictures(tmp_path, 1)
    with running_emulator(answer=clear) as emulator:
        found = done(backend_of(tmp_path, emulator), row).row
    assert found.error_code is None and found.flags == ("empty",)
    assert found.subject_box is None and found.coverage == 0.0
