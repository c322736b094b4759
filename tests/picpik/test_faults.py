"""Every fault of the emulator, through the real client over loopback."""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from alphabeam.transforms import counts
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import (
    AnswerInvalidError,
    ApiUnavailableError,
    Backoff,
    ResultRefusedError,
    SubmitUnknownError,
    TaskExpiredError,
    TaskFailedError,
    TaskTimeoutError,
    collect,
    find_lost,
    matte_from_result,
)
from alphabeam.transforms.picpik.emulator import FAULTS, encode_png, running_emulator
from tests.picpik.conftest import client_of, submit

ONCE: Sequence[int] = (0,)
ALWAYS = 1.0


def test_every_fault_is_tested_here() -> None:
    tested = {*NOTHING_DONE, *DONE, *RESULT_FOR_GOOD, *RESULT_PASSING}
    tested |= {"delay", "answer_late", "huge_answer", "task_stuck", "task_error"}
    tested |= {"result_delay", "result_truncated", "result_wrong_size"}
    assert tested == set(FAULTS)


# ------------------------------------------------------------------------- submitting

# The emulator resets after it read the request: the client cannot know that nothing was done.
NOTHING_DONE = {
    "reset": SubmitUnknownError,
    "http_429": None,
    "http_429_after": None,
    "http_429_date": None,
    "http_500": SubmitUnknownError,
    "http_503": SubmitUnknownError,
    "ret_code": None,
}
DONE = ("answer_lost", "gateway", "reset_midbody", "truncated_json", "wrong_uuid")


@pytest.mark.parametrize(("fault", "error"), NOTHING_DONE.items())
def test_a_submission_not_carried_out(fault: str, error: type[RowError] | None, png: bytes) -> None:
    sleeps: list[float] = []
    with running_emulator(
        faults={f"RemoveBackground:{fault}": ONCE}, retry_after=3, busy_code=77
    ) as emulator:
        client = client_of(emulator, sleep=sleeps.append, retry_codes={77})
        if error is None:
            counts.take()
            submit(client, png)
            assert emulator.requests["RemoveBackground"] == 2
            assert counts.take()["api_retries"] == 1
            assert emulator.billed == 1
            if fault.startswith("http_429_"):
                assert max(sleeps) > 1.5  # a date has whole seconds, so up to one is lost
        else:
            with pytest.raises(error):
                submit(client, png)
            assert emulator.requests["RemoveBackground"] == 1  # never sent again
            assert emulator.billed == 0
        assert emulator.faults.struck == {fault: 1}


@pytest.mark.parametrize("fault", DONE)
def test_a_submission_whose_answer_was_lost_is_never_sent_again(fault: str, png: bytes) -> None:
    with running_emulator(
        faults={f"RemoveBackground:{fault}": ONCE}, task_seconds=30.0
    ) as emulator:
        client = client_of(emulator)
        name = str(uuid.uuid4())
        with pytest.raises(SubmitUnknownError) as caught:
            client.submit(png, "image/png", MattingParameters(), name)
        assert caught.value.request_uuid == name
        assert emulator.requests["RemoveBackground"] == 1
        assert emulator.billed == 1 and emulator.tasks_by_request == {name: 1}
        (uid,) = emulator.tasks
        assert caught.value.task_uid == (uid if fault == "wrong_uuid" else "")
        assert find_lost(client, known=[]) == [uid]


def test_a_submission_answered_too_late_is_unknown(png: bytes) -> None:
    with running_emulator(faults={"answer_late": ALWAYS}, late_seconds=3.0) as emulator:
        client = client_of(emulator, read_timeout=0.2)
        with pytest.raises(SubmitUnknownError, match="timed out"):
            submit(client, png)
        assert emulator.billed == 1


def test_a_submission_answered_with_2_gb_is_unknown_and_cut_off(png: bytes) -> None:
    with running_emulator(faults={"huge_answer": ONCE}) as emulator:
        with pytest.raises(SubmitUnknownError, match="too large"):
            submit(client_of(emulator, max_response_bytes=100_000), png)
        assert emulator.billed == 1
        assert emulator.huge_bytes_sent < 64 << 20  # what the buffers on the way may hold


def test_a_delay_within_the_timeout_is_waited_for(png: bytes) -> None:
    with running_emulator(faults={"delay": ALWAYS}, delay_seconds=0.1) as emulator:
        submit(client_of(emulator), png)
        assert emulator.billed == 1 and emulator.faults.struck["delay"] == 1


# ------------------------------------------------------------------------- asking is free


@pytest.mark.parametrize("fault", [*NOTHING_DONE, *DONE])
def test_a_free_call_is_asked_again(fault: str, png: bytes) -> None:
    with running_emulator(
        faults={f"ListTasksDetails:{fault}": (0, 1)}, busy_code=77, retry_after=0
    ) as emulator:
        client = client_of(emulator, retry_codes={77}, sleep=lambda seconds: None)
        uid = submit(client, png)
        assert [d.task_uid for d in client.tasks([uid])] == [uid]
        assert emulator.requests["ListTasksDetails"] == 3


@pytest.mark.parametrize("fault", ["http_500", "http_429", "reset", "truncated_json"])
def test_a_free_call_gives_up_after_its_attempts(fault: str) -> None:
    with running_emulator(faults={fault: ALWAYS}) as emulator:
        client = client_of(emulator, sleep=lambda seconds: None)
        with pytest.raises(RowError, match="after 4 attempts") as caught:
            client.running_tasks()
        assert emulator.requests["ListRunningTasks"] == 4
        expected = ErrorCode.API_ANSWER if fault == "truncated_json" else ErrorCode.API_UNAVAILABLE
        assert caught.value.code is expected


# ------------------------------------------------------------------------- tasks


def test_a_task_that_ends_in_error_says_why(png: bytes) -> None:
    with running_emulator(faults={"task_error": ALWAYS}) as emulator:
        client = client_of(emulator)
        (task,) = collect(client, [submit(client, png)], timeout=5, first_pause=0.01)
        assert (task.state, task.credits) == ("failed", 1)
        with pytest.raises(
            TaskFailedError, match=r"ErrorCode 5001: no subject was found"
        ) as caught:
            task.result_url()
        assert caught.value.ret_code == 5001 and caught.value.code is ErrorCode.TASK_FAILED


def test_errors_may_be_refunded(png: bytes) -> None:
    with running_emulator(faults={"task_error": ALWAYS}, refund_errors=True) as emulator:
        client = client_of(emulator)
        (task,) = client.tasks([submit(client, png)])
        assert (task.state, task.credits, emulator.billed) == ("failed", 0, 0)


def test_a_stuck_task_is_given_up_and_its_neighbour_is_not(png: bytes) -> None:
    other = encode_png(np.zeros((8, 8, 3), np.uint8))
    with running_emulator(faults={"task_stuck": ONCE}) as emulator:
        client = client_of(emulator)
        stuck, well = submit(client, png), submit(client, other)
        ended = list(collect(client, [stuck, well], timeout=0.3, first_pause=0.02, max_pause=0.1))
        assert [d.task_uid for d in ended] == [well]
        (detail,) = client.tasks([stuck])
        with pytest.raises(TaskTimeoutError, match="Running"):
            detail.result_url()


# ------------------------------------------------------------------------- results

RESULT_FOR_GOOD = {
    "result_expired": (TaskExpiredError, "HTTP 403"),
    "result_redirect": (ResultRefusedError, r"redirects to http://127.0.0.1:9/elsewhere.png"),
    "result_huge": (ResultRefusedError, "too large"),
    "result_huge_announced": (ResultRefusedError, "too large: 2147483648 bytes"),
    "result_html": (AnswerInvalidError, "no PNG, JPEG or WebP"),
}
RESULT_PASSING = ("result_500", "result_reset")


def finished(client: Any, png: bytes) -> str:
    (task,) = collect(client, [submit(client, png)], timeout=5, first_pause=0.01)
    return task.result_url()


@pytest.mark.parametrize(("fault", "expected"), RESULT_FOR_GOOD.items())
def test_a_result_that_must_not_or_cannot_be_had(
    fault: str, expected: tuple[type[RowError], str], png: bytes
) -> None:
    error, text = expected
    with running_emulator(faults={fault: ALWAYS}) as emulator:
        client = client_of(emulator, max_result_bytes=1 << 20)
        with pytest.raises(error, match=text) as caught:
            client.download(finished(client, png))
        assert "\n" not in str(caught.value)
        assert emulator.faults.struck[fault] == 1  # no second try
        assert emulator.huge_bytes_sent < 64 << 20


@pytest.mark.parametrize("fault", RESULT_PASSING)
def test_a_result_is_fetched_again_after_a_passing_fault(
    fault: str, rgb: np.ndarray, png: bytes
) -> None:
    with running_emulator(faults={fault: (0, 1)}) as emulator:
        client = client_of(emulator)
        alpha, _ = matte_from_result(rgb, client.download(finished(client, png)), only_mask=True)
        assert alpha[20, 30] == 255
    with running_emulator(faults={fault: ALWAYS}) as emulator:
        client = client_of(emulator)
        with pytest.raises(ApiUnavailableError, match="after 4 attempts"):
            client.download(finished(client, png))


@pytest.mark.parametrize("fault", ["result_truncated", "result_wrong_size"])
def test_a_damaged_or_foreign_result_is_refused(fault: str, rgb: np.ndarray, png: bytes) -> None:
    with running_emulator(faults={fault: ALWAYS}) as emulator:
        client = client_of(emulator)
        with pytest.raises(AnswerInvalidError) as caught:
            matte_from_result(rgb, client.download(finished(client, png)), only_mask=False)
        assert caught.value.code is ErrorCode.API_ANSWER


def test_a_late_result_is_waited_for(png: bytes) -> None:
    with running_emulator(faults={"result_delay": ALWAYS}, delay_seconds=0.1) as emulator:
        client = client_of(emulator)
        assert client.download(finished(client, png)).startswith(b"\x89PNG")


def test_results_die_after_their_time(png: bytes) -> None:
    with running_emulator(result_seconds=0.0) as emulator:
        client = client_of(emulator)
        with pytest.raises(TaskExpiredError, match="HTTP 404"):
            client.download(finished(client, png))


# ------------------------------------------------------------------------- all together


@pytest.mark.slow
def test_200_images_with_every_fault_lose_nothing_and_pay_nothing_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every image ends done or failed with a right code; none is billed twice."""
    caplog.set_level(logging.CRITICAL)
    each = 0.2 / 7
    faults = dict.fromkeys(FAULTS, each)
    pictures = [np.full((6, 6, 3), 255, np.uint8) for _ in range(200)]
    for number, picture in enumerate(pictures):
        picture[2:4, 2:4] = (number, 0, 100)
    images = [encode_png(p) for p in pictures]
    outcome: dict[int, str] = {}
    with running_emulator(
        faults=faults, seed=3, delay_seconds=0.02, late_seconds=2.0, retry_after=0, busy_code=77
    ) as emulator:
        client = client_of(
            emulator,
            read_timeout=1.0,
            retry_codes={77},
            backoff=Backoff(8, 20.0, 0.01, 0.05),
            max_response_bytes=100_000,
            max_result_bytes=100_000,
            max_concurrency=8,
            sleep=lambda seconds: threading.Event().wait(min(seconds, 0.01)),
        )

        def work(numbers: range) -> None:
            for n in numbers:
                try:
                    uid = submit(client, images[n])
                    found = list(collect(client, [uid], timeout=1.0, first_pause=0.05))
                    if not found:
                        raise TaskTimeoutError(f"task {uid} timed out")
                    result = client.download(found[0].result_url())
                    matte_from_result(pictures[n], result, only_mask=False)
                    outcome[n] = "done"
                except RowError as error:
                    outcome[n] = error.code.value

        threads = [threading.Thread(target=work, args=(range(k, 200, 8),)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        digests = [hashlib.sha256(image).hexdigest() for image in images]
        assert max(emulator.submissions.values()) == 1
        for n, digest in enumerate(digests):
            if outcome[n] not in ("submit_unknown", "api_unavailable", "api_refused"):
                assert emulator.submissions[digest] == 1, (n, outcome[n])
        assert sorted(outcome) == list(range(200))
        assert set(outcome.values()) <= {
            "done",
            "submit_unknown",
            "task_failed",
            "task_timeout",
            "task_expired",
            "result_refused",
            "api_answer",
            "api_unavailable",
        }
        assert sum(o == "done" for o in outcome.values()) > 80
        assert sum(o == "submit_unknown" for o in outcome.values()) > 10
        assert len(emulator.faults.struck) >= len(FAULTS) - 3
