"""The client against the emulator and against servers that say what the API never should."""

from __future__ import annotations

import hashlib
import pickle
import socket
import threading
import time
import uuid
from typing import Any

import numpy as np
import pytest

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import (
    CHINA,
    INTERNATIONAL,
    AnswerInvalidError,
    ApiRefusedError,
    ApiUnavailableError,
    Backoff,
    KeysRefusedError,
    PicpikClient,
    SubmitUnknownError,
    collect,
    find_lost,
    matte_from_result,
)
from alphabeam.transforms.picpik.emulator import running_emulator
from tests.picpik.conftest import (
    answering,
    client_of,
    http,
    ok,
    read_request,
    reset,
    server,
    submit,
)

UID = "cktlm6lrh4xxx8ng9nf0"


def test_a_picture_goes_there_and_its_matte_comes_back(rgb: np.ndarray, png: bytes) -> None:
    now = 0.0
    with running_emulator(task_seconds=2.0, clock=lambda: now) as emulator:
        client = client_of(emulator)
        assert client.check_keys() == []
        uid = submit(client, png)
        assert client.running_tasks() == [uid]
        assert find_lost(client, known=[]) == [uid]
        assert find_lost(client, known=[uid]) == []
        assert list(collect(client, [uid], timeout=0.1, first_pause=0.02)) == []
        now = 2.0
        (task,) = collect(client, [uid], timeout=10, first_pause=0.02)
        assert (task.task_uid, task.state, task.credits) == (uid, "finished", 1)
        alpha, cutout = matte_from_result(rgb, client.download(task.result_url()), only_mask=False)
        assert alpha[20, 30] == 255 and alpha[2, 2] == 0
        assert cutout is not None and cutout[20, 30].tolist() == [200, 30, 30, 255]
        assert emulator.submissions == {hashlib.sha256(png).hexdigest(): 1}
        assert emulator.billed == 1
        assert client.throttled_seconds == 0


def test_every_parameter_arrives_under_its_own_name(png: bytes) -> None:
    with running_emulator() as emulator:
        client = client_of(emulator)
        uid = submit(
            client,
            png,
            box=(1, 2, 30, 40),
            erode_size=7,
            foreground_threshold=200,
            background_threshold=9,
            hair_optimization="on",
            only_mask=True,
            keep_shadow=True,
        )
        assert emulator.tasks[uid].params == {
            "Box": [1, 2, 30, 40],
            "ErodeSize": 7,
            "ForegroundThreshold": 200,
            "BackgroundThreshold": 9,
            "HairOptimization": "on",
            "OnlyMask": True,
        }
        assert "Box" not in emulator.tasks[submit(client, png)].params


def test_many_uids_go_in_batches_and_come_back_in_order(png: bytes) -> None:
    with running_emulator(uid_length=64) as emulator:
        client = client_of(emulator, batch_length=3)
        uids = [submit(client, png) for _ in range(7)]
        details = client.tasks([*uids, uids[0], "neverheardof"])
        assert [d.task_uid for d in details] == uids
        assert all(len(uid) == 64 for uid in uids)
        assert emulator.requests["ListTasksDetails"] == 3  # 8 different UIDs, 3 a call
        assert client.tasks([]) == []


@pytest.mark.slow
def test_a_20_mb_image_goes_through() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2600, 2600, 3), np.uint8)
    from alphabeam.transforms.picpik.emulator import encode_png

    image = encode_png(noise)
    assert len(image) > 20_000_000
    with running_emulator(answer=lambda image, params: encode_png(noise[:, :, 0])) as emulator:
        client = client_of(emulator, read_timeout=30.0)
        uid = submit(client, image)
        assert emulator.submissions[hashlib.sha256(image).hexdigest()] == 1
        (task,) = client.tasks([uid])
        alpha, _ = matte_from_result(noise, client.download(task.result_url()), only_mask=True)
        assert np.array_equal(alpha, noise[:, :, 0])


def test_wrong_keys_are_told_from_the_free_call() -> None:
    with running_emulator() as emulator:
        for public, private in (
            (emulator.public_key, "not-the-key"),
            ("nobody", emulator.private_key),
        ):
            client = PicpikClient(emulator.endpoint, public, private)
            with pytest.raises(
                KeysRefusedError, match=r"refused the keys.*RetCode 17[12]"
            ) as caught:
                client.check_keys()
            assert caught.value.code is ErrorCode.API_REFUSED
            assert caught.value.ret_code in (171, 172)
            assert "\n" not in str(caught.value)
        assert emulator.billed == 0


def test_credits_run_out_with_the_vendors_words(png: bytes) -> None:
    with running_emulator(credits=2) as emulator:
        client = client_of(emulator)
        submit(client, png)
        submit(client, png)
        with pytest.raises(ApiRefusedError, match="RetCode 520: insufficient credits") as caught:
            submit(client, png)
        assert caught.value.ret_code == 520
        assert emulator.billed == 2 and emulator.requests["RemoveBackground"] == 3


def test_connections_are_used_again(png: bytes) -> None:
    def handle(connection: socket.socket, number: int) -> None:
        while True:
            connection.sendall(ok(read_request(connection), TaskUIDList=[]))

    with server(handle) as (endpoint, connections):
        client = client_of(endpoint)
        for _ in range(20):
            client.running_tasks()
        assert len(connections) == 1


def test_threads_share_it_and_max_concurrency_holds(png: bytes) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def make(request: dict[str, Any], number: int) -> bytes:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return ok(request, TaskUID=hashlib.sha1(request["request_uuid"].encode()).hexdigest())

    with server(answering(make)) as (endpoint, _):
        client = client_of(endpoint, max_concurrency=3)
        found: dict[str, str] = {}

        def work(name: str) -> None:
            found[name] = client.submit(png, "image/png", MattingParameters(), name)

        names = [str(uuid.uuid4()) for _ in range(24)]
        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {name: hashlib.sha1(name.encode()).hexdigest() for name in names}
        assert 2 <= most <= 3


# ----------------------------------------------------------- what proves that nothing was bought


@pytest.mark.slow
def test_a_reset_while_sending_is_tried_again() -> None:
    """The request never arrived whole, so it bore no valid signature: nothing can be billed."""

    def handle(connection: socket.socket, number: int) -> None:
        if number < 2:
            connection.recv(1000)
            reset(connection)
        else:
            connection.sendall(ok(read_request(connection), TaskUID=UID))

    with server(handle) as (endpoint, connections):
        assert submit(client_of(endpoint), bytes(12_000_000)) == UID
        assert len(connections) == 3


def test_a_reset_after_sending_is_unknown() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        read_request(connection)
        reset(connection)

    with server(handle) as (endpoint, connections):
        with pytest.raises(SubmitUnknownError, match="may have been queued and billed") as caught:
            submit(client_of(endpoint), bytes(3_000_000))
        assert caught.value.code is ErrorCode.SUBMIT_UNKNOWN
        assert len(connections) == 1


def test_a_hang_up_after_sending_is_unknown() -> None:
    with server(lambda connection, n: read_request(connection)) as (endpoint, connections):  # type: ignore[arg-type,return-value]
        with pytest.raises(SubmitUnknownError):
            submit(client_of(endpoint), b"x")
        assert len(connections) == 1


def test_an_early_refusal_of_a_large_body_is_read() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        connection.recv(1000)
        connection.sendall(http(b"", "413 Payload Too Large", "Connection: close\r\n"))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with server(handle) as (endpoint, _), pytest.raises(ApiRefusedError, match="HTTP 413"):
        submit(client_of(endpoint), bytes(3_000_000))


def test_a_refused_connection_is_tried_again_and_then_unavailable(png: bytes) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ApiUnavailableError, match=r"after 4 attempts.*refused") as caught:
            submit(client_of(endpoint), png)
    assert caught.value.code is ErrorCode.API_UNAVAILABLE
    assert "0x" not in str(caught.value)  # no object's address


@pytest.mark.parametrize(
    ("status", "retried", "error"),
    [
        ("429 Too Many Requests", True, ApiUnavailableError),
        ("408 Request Timeout", True, ApiUnavailableError),
        ("400 Bad Request", False, ApiRefusedError),
        ("403 Forbidden", False, ApiRefusedError),
        ("413 Payload Too Large", False, ApiRefusedError),
        ("500 Oops", False, SubmitUnknownError),
        ("502 Bad Gateway", False, SubmitUnknownError),
        ("503 Unavailable", False, SubmitUnknownError),
        ("504 Gateway Timeout", False, SubmitUnknownError),
        ("302 Found", False, SubmitUnknownError),
        ("307 Temporary Redirect", False, AnswerInvalidError),
        ("200 OK", False, SubmitUnknownError),
    ],
)
def test_what_each_bare_status_means_for_a_submission(
    status: str, retried: bool, error: type[Exception]
) -> None:
    location = "Location: http://127.0.0.1:9/\r\n"
    with server(answering(lambda r, n: http(b"<html>", status, location))) as (endpoint, seen):
        with pytest.raises(error) as caught:
            submit(client_of(endpoint), b"x")
        assert type(caught.value) is error
        assert len(seen) == (4 if retried else 1)


def test_ret_codes_are_permanent_unless_the_job_lists_them() -> None:
    def make(request: dict[str, Any], number: int) -> bytes:
        if number < 2:
            return ok(request, RetCode=150, Message="busy")
        return ok(request, TaskUID=UID)

    with (
        server(answering(make)) as (endpoint, _),
        pytest.raises(ApiRefusedError, match="RetCode 150: busy"),
    ):
        submit(client_of(endpoint), b"x")
    with server(answering(make)) as (endpoint, seen):
        assert submit(client_of(endpoint, retry_codes=[150]), b"x") == UID
        assert len(seen) == 3


def test_a_ret_code_with_a_5xx_is_asked_again_only_where_it_is_free() -> None:
    def make(request: dict[str, Any], number: int) -> bytes:
        return ok(request, RetCode=9, Message="oops").replace(b"200 OK", b"500 Oops")

    with server(answering(make)) as (endpoint, seen):
        with pytest.raises(ApiRefusedError, match="RetCode 9: oops"):
            submit(client_of(endpoint), b"x")
        assert len(seen) == 1
        with pytest.raises(ApiUnavailableError, match="RetCode 9: oops") as caught:
            client_of(endpoint).running_tasks()
        assert len(seen) == 5 and caught.value.ret_code == 9


# ------------------------------------------------------------------------------- time and limits


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    release = threading.Event()

    def handle(connection: socket.socket, number: int) -> None:
        read_request(connection)
        release.wait(5)

    with server(handle) as (endpoint, _):
        client = client_of(endpoint, read_timeout=0.15, backoff=Backoff(2, base=0.01))
        began = time.monotonic()
        with pytest.raises(SubmitUnknownError, match="timed out"):
            submit(client, b"x")
        assert time.monotonic() - began < 4
        with pytest.raises(ApiUnavailableError, match="timed out"):
            client.running_tasks()
        release.set()


def test_retry_after_is_kept_to_and_reported() -> None:
    def make(request: dict[str, Any], number: int) -> bytes:
        if number == 0:
            return http(b"", "429 Too Many Requests", "Retry-After: 7\r\n")
        return ok(request, TaskUID=UID)

    slept: list[float] = []
    throttled: list[float] = []
    with server(answering(make)) as (endpoint, _):
        client = client_of(endpoint, sleep=slept.append, on_throttled=throttled.append)
        assert submit(client, b"x") == UID
    assert any(7.0 <= seconds <= 7.1 for seconds in slept)
    assert throttled == slept
    assert client.throttled_seconds == pytest.approx(sum(slept))


def test_a_retry_after_beyond_the_time_allowed_is_not_waited_for() -> None:
    slept: list[float] = []
    make = answering(lambda r, n: http(b"", "429 Slow Down", "Retry-After: 86400\r\n"))
    with server(make) as (endpoint, seen):
        with pytest.raises(
            ApiUnavailableError, match=r"a wait of 86400 s more would pass the 20 s"
        ):
            submit(client_of(endpoint, sleep=slept.append), b"x")
        assert len(seen) == 1 and slept == []


def test_requests_per_second_holds() -> None:
    with running_emulator() as emulator:
        client = client_of(emulator, requests_per_second=50)
        began = time.monotonic()
        for _ in range(11):
            client.running_tasks()
        assert time.monotonic() - began >= 10 / 50
        assert client.throttled_seconds > 0


# ------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://api.picpik.ai",
        "ftp://api.picpik.ai",
        "api.picpik.ai",
        "https://",
        "https://user:pw@api.picpik.ai",
        "https://api.picpik.ai/?a=b",
        "https://api.picpik.ai:99999",
        "http://192.168.0.1",
    ],
)
def test_bad_endpoints_are_refused_without_quoting_a_password(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"^endpoint: ") as caught:
        PicpikClient(endpoint, "a", "b")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"read_timeout": 0},
        {"connect_timeout": float("inf")},
        {"max_concurrency": 0},
        {"batch_length": 0},
        {"max_response_bytes": -1},
        {"requests_per_second": 0},
        {"allowed_hosts": ["https://cdn.example.com"]},
        {"allowed_hosts": ["*"]},
    ],
)
def test_bad_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        PicpikClient(INTERNATIONAL, "a", "b", **options)


@pytest.mark.parametrize("key", ["", " x", "x\n"])
def test_blank_keys_are_refused_without_quoting_them(key: str) -> None:
    with pytest.raises(ValueError, match=r"^private_key: it is empty or has blanks"):
        PicpikClient(CHINA, "a", key)


def test_it_does_not_pickle() -> None:
    with pytest.raises(TypeError, match="holds a key"):
        pickle.dumps(PicpikClient(CHINA, "a", "b"))


def test_errors_survive_pickling() -> None:
    lost = SubmitUnknownError("lost", ret_code=3, request_uuid="u", task_uid="t")
    again = pickle.loads(pickle.dumps(lost))
    assert (type(again), again.code, again.message) == (SubmitUnknownError, lost.code, "lost")
    assert (again.ret_code, again.request_uuid, again.task_uid) == (3, "u", "t")
    assert str(again) == str(lost) == "submit_unknown: lost"
    refused = KeysRefusedError("no", code=ErrorCode.ACCESS_DENIED)
    assert str(pickle.loads(pickle.dumps(refused))) == "access_denied: no"


def test_ipv6_loopback_is_an_endpoint_too() -> None:
    try:
        with server(answering(lambda r, n: ok(r, TaskUIDList=[UID])), "::1") as (endpoint, _):
            assert client_of(endpoint).running_tasks() == [UID]
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
