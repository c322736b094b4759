"""Whatever the server answers, the client gives a checked value or a failure with a code."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphabeam.transforms.errors import RowError
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import Backoff, SubmitUnknownError
from alphabeam.transforms.picpik.transport import Answer
from tests.picpik.conftest import PRIVATE, client_of

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "u", "Finished", "Error", "cktlm6lrh4xxx8ng9nf0", PRIVATE])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
details = st.fixed_dictionaries(
    {"TaskUID": st.sampled_from(["a", "b"]) | json_values},
    optional={
        name: json_values
        for name in ("Action", "Status", "ImgList", "ConsumeApiPoint", "ErrorCode", "ErrorMassage")
    },
)
answers = st.fixed_dictionaries(
    {"RetCode": st.just(0) | json_values},
    optional={
        "Action": json_values,
        "Message": json_values,
        "request_uuid": json_values,
        "TaskUID": json_values,
        "TaskUIDList": st.lists(json_values, max_size=3) | json_values,
        "TaskDetailList": st.lists(details | json_values, max_size=3) | json_values,
    },
)
bodies = answers.map(lambda answer: json.dumps(answer).encode()) | st.binary(max_size=30)
statuses = st.sampled_from([200, 200, 200, 201, 204, 302, 307, 400, 403, 429, 500, 503])
retry_after = st.none() | st.sampled_from(["0", "1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])


@pytest.mark.slow
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(bodies, statuses, retry_after)
def test_a_value_or_a_row_error(
    monkeypatch: pytest.MonkeyPatch, body: bytes, status: int, after: str | None
) -> None:
    calls = 0

    def exchange(*args: object, **named: object) -> Answer:
        nonlocal calls
        calls += 1
        return Answer(status, {} if after is None else {"retry-after": after}, body)

    monkeypatch.setattr("alphabeam.transforms.picpik.client.exchange", exchange)
    client = client_of(
        "https://api.picpik.ai", backoff=Backoff(3, 1e6, 0.0, 0.0), sleep=lambda seconds: None
    )
    errors: list[RowError] = []
    try:
        for uid in client.running_tasks():
            assert re.fullmatch(r"[\w-]{1,128}", uid, re.ASCII)
    except RowError as error:
        errors.append(error)
    try:
        for detail in client.tasks(["a", "b"]):
            assert detail.task_uid in ("a", "b")
            assert detail.credits is None or 0 <= detail.credits <= 10_000
            assert isinstance(detail.status, str) and isinstance(detail.error_code, int)
            try:
                assert detail.result_url()
            except RowError as error:
                errors.append(error)
    except RowError as error:
        errors.append(error)
    calls = 0
    try:
        uid = client.submit(b"x", "image/png", MattingParameters(), "u")
        assert re.fullmatch(r"[\w-]{1,128}", uid, re.ASCII)
        assert status < 300 and calls == 1
    except SubmitUnknownError as error:
        assert calls == 1 or status == 429  # never again after what may have bought
        errors.append(error)
    except RowError as error:
        errors.append(error)
    for error in errors:
        assert "\n" not in str(error) and PRIVATE not in str(error)
