"""The client against answers that break the API's description."""

from __future__ import annotations

import json
import uuid
import zlib
from typing import Any

import pytest

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import (
    AnswerInvalidError,
    SubmitUnknownError,
)
from tests.picpik.conftest import (
    answering,
    client_of,
    http,
    ok,
    server,
    submit,
)

UID = "cktlm6lrh4xxx8ng9nf0"


@pytest.mark.parametrize(
    "fields",
    [
        {"TaskUIDList": "abc"},
        {"TaskUIDList": [1]},
        {"TaskUIDList": ["../../etc/passwd"]},
        {"TaskUIDList": ["x" * 129]},
        {"TaskUIDList": {}},
    ],
)
def test_malformed_running_lists_are_refused(fields: dict[str, object]) -> None:
    with (
        server(answering(lambda request, n: ok(request, **fields))) as (endpoint, _),
        pytest.raises(AnswerInvalidError, match="TaskUIDList") as caught,
    ):
        client_of(endpoint).running_tasks()
    assert caught.value.code is ErrorCode.API_ANSWER


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"RetCode": 0',
        b'{"RetCode": "0", "TaskUIDList": []}',
        b'{"RetCode": true, "TaskUIDList": []}',
        b'{"RetCode": 0.5}',
        b'{"RetCode": NaN}',
        b"[" * 100_000,
        b"\xff\xfe{}",
        b'{"RetCode": 0, "Action": "ListModelsResponse"}',
        b'{"RetCode": 0, "Action": 7}',
        b'{"RetCode": 0, "request_uuid": "another"}',
        b'{"RetCode": 0, "request_uuid": ["x"]}',
    ],
)
def test_what_is_not_the_described_json_is_asked_for_again_then_refused(body: bytes) -> None:
    with server(answering(lambda request, n: http(body))) as (endpoint, connections):
        with pytest.raises(AnswerInvalidError, match="after 4 attempts") as caught:
            client_of(endpoint).running_tasks()
        assert len(connections) == 4
        assert "\n" not in str(caught.value)
        # the same answers to a submission cost nothing twice
        with pytest.raises(SubmitUnknownError):
            submit(client_of(endpoint), b"x")
        assert len(connections) == 5


@pytest.mark.parametrize("uid", ["", None, 5, "a b", "x" * 129, "naïve", "a/b", ["x"]])
def test_a_submission_without_a_usable_task_uid_is_unknown(uid: object) -> None:
    with server(answering(lambda request, n: ok(request, TaskUID=uid))) as (endpoint, connections):
        name = str(uuid.uuid4())
        with pytest.raises(SubmitUnknownError, match="TaskUID") as caught:
            client_of(endpoint).submit(b"x", "image/png", MattingParameters(), name)
        assert caught.value.request_uuid == name and name in caught.value.message
        assert len(connections) == 1


def test_absent_echoes_and_bare_actions_are_taken() -> None:
    fields = {"Action": "ListRunningTasks", "request_uuid": None, "TaskUIDList": None}
    with server(answering(lambda request, n: ok(request, **fields))) as (endpoint, _):
        assert client_of(endpoint).running_tasks() == []


def test_one_bad_detail_does_not_cost_its_neighbours() -> None:
    details = [
        {"TaskUID": "good1", "Status": "Finished", "ImgList": ["https://x/1.png"]},
        {"TaskUID": "bad1", "Status": "Finished", "ImgList": "https://x/1.png"},
        {"TaskUID": "bad2", "Status": 7},
        {"TaskUID": "bad3", "Status": "Error", "ErrorCode": 10**30},
        "not an object",
        {"TaskUID": 5},
        {"TaskUID": "unasked", "Status": "Finished"},
        {"TaskUID": "good2", "Status": "Error", "ErrorCode": 9, "ErrorMessage": "sp\nelt"},
        {"TaskUID": "good3", "Status": "Error", "ErrorCode": 8, "ErrorMassage": "misspelt"},
    ]
    with server(answering(lambda r, n: ok(r, TaskDetailList=details))) as (endpoint, _):
        asked = [d["TaskUID"] for d in details if isinstance(d, dict) and d["TaskUID"] != "unasked"]
        found = {d.task_uid: d for d in client_of(endpoint).tasks([str(a) for a in asked])}
    assert set(found) == {"good1", "good2", "good3", "bad1", "bad2", "bad3"}
    assert found["good1"].result_url() == "https://x/1.png"
    assert found["good2"].error_message == "sp elt"
    assert found["good3"].error_message == "misspelt"
    for name in ("bad1", "bad2", "bad3"):
        assert found[name].state == "failed"
        with pytest.raises(AnswerInvalidError, match=name):
            found[name].result_url()


@pytest.mark.parametrize(
    ("points", "credits"),
    [
        (3, 3),
        (3.0, 3),
        (None, 0),
        (10_000, 10_000),
        (10_001, None),
        (2_000_000_000, None),
        (10**30, None),
        (-(10**4000), None),
        (-3, None),
        (2.5, None),
        (1e300, None),
        (True, None),
        ("many", None),
        ([5], None),
    ],
)
def test_a_price_that_is_not_credible_is_unknown_and_costs_no_row(
    points: object, credits: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    task = {"TaskUID": "t", "Status": "Finished", "ImgList": ["https://x/1.png"]}
    details = [{**task, "ConsumeApiPoint": points}]
    with server(answering(lambda r, n: ok(r, TaskDetailList=details))) as (endpoint, _):
        (found,) = client_of(endpoint).tasks(["t"])
    assert (found.credits, found.state) == (credits, "finished")
    assert found.result_url() == "https://x/1.png"
    told = [r.getMessage() for r in caplog.records if "ConsumeApiPoint" in r.getMessage()]
    assert len(told) == (credits is None)
    assert all("task t:" in line and len(line) < 300 for line in told)


def test_a_response_over_the_limit_is_cut_off() -> None:
    body = json.dumps({"RetCode": 0, "Message": "x" * 5000}).encode()
    for make in (
        lambda request, n: http(body),
        lambda request, n: http(_gzip(body), headers="Content-Encoding: gzip\r\n"),
        lambda request, n: b"HTTP/1.0 200 OK\r\n\r\n" + body,
    ):
        with server(answering(make)) as (endpoint, connections):
            with pytest.raises(AnswerInvalidError, match="too large"):
                client_of(endpoint, max_response_bytes=4000).running_tasks()
            assert len(connections) == 1  # it would be as large again


def test_gzip_is_read_although_not_asked_for() -> None:
    def make(request: dict[str, Any], number: int) -> bytes:
        body = ok(request, TaskUIDList=[UID]).partition(b"\r\n\r\n")[2]
        return http(_gzip(body), headers="Content-Encoding: gzip\r\n")

    with server(answering(make)) as (endpoint, _):
        assert client_of(endpoint).running_tasks() == [UID]


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()
