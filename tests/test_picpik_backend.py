"""The PICPIK backend without Beam's engine: what it buys, what it finds again, what it says."""

from __future__ import annotations

import gc
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.backends.picpik import PicpikBackend, backend
from alphabeam.transforms.backends.picpik.session import Session
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import fetch
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.output import Output
from alphabeam.transforms.picpik.emulator import Emulator, encode_png, running_emulator
from alphabeam.transforms.rows import PENDING, Picture, Row
from tests.conftest import encoded, product

LIMITS = Limits()


class Desk:
    """A folder with pictures and a ledger; each `session` is a process of its own to the ledger."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.folder = folder
        self.emulator = emulator
        self.ledger = Submissions(Output(str(folder / "out")))
        (folder / "private_key").write_text(emulator.private_key)

    def backend(self, **settings: Any) -> PicpikBackend:
        return PicpikBackend(
            str(self.folder / "out"),
            public_key=self.emulator.public_key,
            private_key=f"${{file:{self.folder}/private_key}}",
            endpoint=self.emulator.endpoint,
            **{"task_timeout": 20.0, "read_timeout": 10.0, **settings},
        )

    def session(self, **settings: Any) -> Callable[[Row], Picture]:
        remove = self.backend(**settings).open()
        return lambda row: remove(fetch(row, LIMITS))

    def row(self, name: str = "a", seed: int = 0, data: bytes | None = None, **fields: Any) -> Row:
        path = self.folder / f"{name}.png"
        if not path.exists():
            path.write_bytes(encoded(product(seed)) if data is None else data)
        return Row(
            fields.pop("id", name),
            str(path),
            source_version=storage.stat(str(path)).version,
            source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            **fields,
        )

    def entry(self, row: Row) -> Submission | None:
        return self.ledger.find(self.backend().fingerprinted(row).fingerprint or "")

    def note(self, row: Row, task_uid: str = "", age_s: float = 0.0, **fields: Any) -> None:
        """Writes an entry as an earlier run would have."""
        row = self.backend().fingerprinted(row)
        self.ledger.put(
            Submission(
                row.fingerprint or "",
                row.request_uuid,
                task_uid,
                time.time() - age_s,
                **{"sent": "original", "row_id": row.id, **fields},
            )
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    stack = []

    def make(**options: Any) -> Desk:
        running = running_emulator(**options)
        stack.append(running)
        return Desk(tmp_path, running.__enter__())

    yield make
    for running in stack:
        running.__exit__(None, None, None)


def code_of(picture: Picture) -> str | None:
    assert picture.row.status in (PENDING, "failed")
    return picture.row.error_code


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


def mask_of(image: bytes) -> np.ndarray:
    grey = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.where(grey < 200, 255, 0).astype(np.uint8)


def grey_mask(image: bytes, params: Mapping[str, Any]) -> bytes:
    return encode_png(mask_of(image))


def rgb_mask(image: bytes, params: Mapping[str, Any]) -> bytes:
    return encode_png(np.dstack([mask_of(image)] * 3))


def cutout(image: bytes, params: Mapping[str, Any]) -> bytes:
    rgb = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return encode_png(np.ascontiguousarray(np.dstack([rgb, mask_of(image)])))


@pytest.mark.parametrize("only_mask", [False, True])
@pytest.mark.parametrize("answer", [grey_mask, rgb_mask, cutout])
def test_mask_and_cutout_come_of_whatever_form_the_api_gives(
    desk: Callable[..., Desk], answer: Any, only_mask: bool
) -> None:
    d = desk(answer=answer)
    pixels = product(4)
    picture = d.session()(d.row(seed=4, only_mask=only_mask))
    assert code_of(picture) is None
    inside = pixels.max(axis=2) < 200
    assert np.array_equal(picture.alpha, np.where(inside, 255, 0))
    (task,) = d.emulator.tasks.values()
    assert task.params["OnlyMask"] is only_mask
    if only_mask:
        assert picture.rgba is None
    else:
        assert picture.rgba is not None
        assert np.array_equal(picture.rgba[inside][:, :3], pixels[inside])
        assert not picture.rgba[~inside].any()
    ys, xs = np.nonzero(inside)
    box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert picture.row.subject_box == box
    assert picture.row.coverage == pytest.approx(inside.mean())


def test_a_box_outside_and_a_cut_off_picture_cost_nothing(desk: Callable[..., Desk]) -> None:
    d = desk()
    remove = d.session(max_tasks=1)
    outside = remove(d.row(box=(500, 0, 600, 10)))
    assert (code_of(outside), outside.row.error_stage) == ("box_outside", "remove")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    half = remove(d.row("half", data=encoded(noise, "JPEG")[:3000]))
    assert (code_of(half), half.row.error_stage) == ("truncated_image", "read")
    assert code_of(remove(d.row())) is None  # the budget of one task was not used up
    assert d.emulator.billed == 1


def test_what_was_sent_is_recorded(desk: Callable[..., Desk]) -> None:
    d = desk()
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    data = encoded(noise, "JPEG", quality=100, subsampling=0)
    assert len(data) > 150_000
    picture = d.session(max_upload_bytes=150_000)(d.row("big", data=data))
    assert code_of(picture) is None
    (flag,) = picture.row.flags
    assert flag.startswith("sent_jpeg_")


@pytest.mark.slow
def test_long_task_uids_and_20_mb_pictures(desk: Callable[..., Desk]) -> None:
    d = desk(uid_length=64, answer=grey_mask)
    noise = np.random.default_rng(0).integers(0, 255, (2600, 2600, 3), np.uint8)
    data = encoded(noise, "PNG", compress_level=0)
    assert len(data) > 20_000_000
    picture = d.session(max_upload_bytes=30_000_000)(d.row("大图", data=data))
    assert code_of(picture) is None
    assert len(picture.row.task_uid) == 64
    assert next(iter(d.emulator.submissions)) == picture.row.source_sha256


def test_requests_keep_the_pace_and_the_waiting_is_counted(desk: Callable[..., Desk]) -> None:
    d = desk()
    backend = d.backend(requests_per_second=10.0)
    remove = backend.open()
    rows = [d.row(f"p{n}", n) for n in range(10)]
    began = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        pictures = list(pool.map(lambda row: remove(fetch(row, LIMITS)), rows))
    seconds = time.monotonic() - began
    assert all(code_of(p) is None for p in pictures)
    submissions = d.emulator.requests["RemoveBackground"]
    questions = sum(d.emulator.requests.values()) - submissions
    assert submissions == 10 and questions >= 1
    # Each kind keeps the pace; questions go ahead of the line, so both may start in one moment.
    assert seconds >= (submissions - 1) / 10
    assert seconds >= (questions - 1) / 10
    assert backend.throttled_seconds > 1.0  # ten threads waited for their turns


def test_the_key_is_in_no_exception_entry_or_repr(desk: Callable[..., Desk]) -> None:
    secret = "PRIVATE-4711-do-not-tell"
    d = desk(private_key=secret, faults={"RemoveBackground:wrong_uuid": [1], "task_error": [2]})
    backend = d.backend()
    remove = backend.open()
    pictures = [remove(fetch(d.row(f"p{n}", n), LIMITS)) for n in range(4)]
    told = [str(p.row) for p in pictures]
    assert {p.row.error_code for p in pictures} == {None, "submit_unknown", "task_failed"}
    told += [path.read_text() for path in (d.folder / "out").rglob("*.json")]
    sessions = [o for o in gc.get_objects() if isinstance(o, Session)]
    assert sessions
    told += [repr(vars(o)) + repr(vars(o.client)) for o in sessions]
    assert not any(secret in text for text in told)
    with pytest.raises(ValueError, match="never the key itself") as refused:
        PicpikBackend("out", private_key=secret)
    assert secret not in str(refused.value)


# ------------------------------------------------------------- pictures with an alpha of their own


def cut_out_already() -> np.ndarray:
    """A white product on nothing, in front of colours that nobody is to see."""
    rgba = np.full((40, 60, 4), 255, np.uint8)
    rgba[:, :20] = (9, 8, 7, 0)
    rgba[:, 20:24, 3] = 128
    return rgba


def test_a_picture_that_is_a_cutout_already_is_not_bought(desk: Callable[..., Desk]) -> None:
    d = desk()
    picture = d.session()(d.row(data=encoded(cut_out_already())))
    row = picture.row
    assert (row.status, row.credits, row.task_uid) == (PENDING, 0, "")
    assert row.flags == ("own_alpha",) and row.subject_box == (20, 0, 60, 40)
    assert picture.alpha is not None and picture.rgba is not None
    assert np.array_equal(picture.alpha, cut_out_already()[..., 3])
    assert not picture.rgba[:, :20].any() and (picture.rgba[:, 20:, :3] == 255).all()
    assert not d.emulator.tasks


def test_an_own_alpha_that_is_refined_or_ignored_is_bought(desk: Callable[..., Desk]) -> None:
    d = desk()
    data = encoded(cut_out_already())
    seen = {}
    for own_alpha in ("refine", "ignore"):
        picture = d.session()(d.row(own_alpha, data=data, own_alpha=own_alpha))
        assert code_of(picture) is None and "own_alpha" not in picture.row.flags
        assert picture.row.credits
        seen[own_alpha] = picture.alpha
    assert not seen["refine"][:, :20].any(), "what was transparent stays so"
    assert seen["ignore"][:, :20].all(), "a dark product is seen where the alpha had hidden it"
    assert len(d.emulator.tasks) == 2


def test_damage_of_the_source_is_flagged_beside_what_was_bought(desk: Callable[..., Desk]) -> None:
    d = desk()
    data = encoded(product(), "JPEG")
    assert data.endswith(b"\xff\xd9")
    picture = d.session()(d.row(data=data[:-2]))
    assert code_of(picture) is None
    assert picture.row.flags == ("damaged_source", "sent_jpeg_95") and picture.row.credits
