"""When an intent is written: after the pace, and before the server can act on the request."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import (
    ApiRefusedError,
    ApiUnavailableError,
    Backoff,
    PicpikClient,
    SubmitUnknownError,
)
from tests.picpik.conftest import (
    answering,
    client_of,
    closing,
    http,
    ok,
    read_request,
    reset,
    server,
)

UID = "cktlm6lrh4xxx8ng9nf0"


class Noted:
    """An intent that notes what is done with it."""

    def __init__(self, fail: bool = False) -> None:
        self.calls: list[str] = []
        self.fail = fail

    def write(self) -> None:
        self.calls.append("write")
        if self.fail:
            raise RowError(ErrorCode.STORAGE_UNAVAILABLE, "the ledger is out of reach")

    def withdraw(self) -> None:
        self.calls.append("withdraw")


def buy(client: PicpikClient, intent: Noted, size: int = 100_000) -> str:
    return client.submit(bytes(size), "image/png", MattingParameters(), "u", intent)


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
def test_it_is_written_while_the_server_still_waits_for_the_end(size: int) -> None:
    missing: list[int] = []
    counted = threading.Event()

    class Waiting(Noted):
        def write(self) -> None:
            super().write()
            counted.wait(20)

    def handle(connection: socket.socket, number: int) -> None:
        data = b""
        while not intent.calls:
            connection.settimeout(0.1)
            try:
                data += connection.recv(1 << 20)
            except TimeoutError:
                continue
        connection.settimeout(1.0)
        try:
            while True:
                data += connection.recv(1 << 20)
        except TimeoutError:
            pass
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        missing.append(length - len(body))
        counted.set()
        connection.settimeout(10)
        while len(body) < length:
            body += connection.recv(65_536)
        connection.sendall(closing(ok(json.loads(body), TaskUID=UID)))

    intent = Waiting()
    with server(handle) as (endpoint, _):
        assert buy(client_of(endpoint), intent, size) == UID
    assert 0 < missing[0] <= 1024
    assert intent.calls == ["write"]


def test_an_intent_that_cannot_be_written_leaves_the_request_without_its_end() -> None:
    whole: list[Any] = []

    def handle(connection: socket.socket, number: int) -> None:
        whole.append(read_request(connection))

    intent = Noted(fail=True)
    with server(handle) as (endpoint, connections):
        with pytest.raises(RowError, match="out of reach"):
            buy(client_of(endpoint), intent)
        assert len(connections) <= 1  # it is not sent again
    assert not whole and intent.calls == ["write"]


def test_it_is_withdrawn_while_a_refusal_is_waited_out() -> None:
    during: list[list[str]] = []
    intent = Noted()

    def make(request: dict[str, Any], number: int) -> bytes:
        return http(b"", "429 Too Many") if number < 2 else ok(request, TaskUID=UID)

    with server(answering(make)) as (endpoint, _):
        client = client_of(endpoint, sleep=lambda seconds: during.append(intent.calls[-1:]))
        assert buy(client, intent) == UID
    assert intent.calls == ["write", "withdraw", "write", "withdraw", "write"]
    assert during and all(calls == ["withdraw"] for calls in during)


def test_it_stays_where_something_may_have_been_bought() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        read_request(connection)
        reset(connection)

    intent = Noted()
    with server(handle) as (endpoint, _), pytest.raises(SubmitUnknownError):
        buy(client_of(endpoint), intent)
    assert intent.calls == ["write"]


def test_a_request_that_breaks_off_before_its_end_writes_none() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        connection.recv(1000)
        reset(connection)

    intent = Noted()
    with server(handle) as (endpoint, _), pytest.raises(ApiUnavailableError):
        buy(client_of(endpoint), intent, 12_000_000)
    assert "write" not in intent.calls


def test_a_refusal_for_good_is_left_to_the_caller() -> None:
    intent = Noted()
    reply = answering(lambda request, number: ok(request, RetCode=230, Message="no"))
    with server(reply) as (endpoint, _), pytest.raises(ApiRefusedError):
        buy(client_of(endpoint), intent)
    assert intent.calls == ["write"]


def test_nobody_at_home_writes_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    intent = Noted()
    with pytest.raises(ApiUnavailableError):
        buy(client_of(f"http://127.0.0.1:{port}", backoff=Backoff(2, base=0.01)), intent)
    assert intent.calls == ["withdraw", "withdraw"]
