"""Servers that keep the connection alive and never finish: every request ends within its time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from alphabeam.transforms.picpik import ApiUnavailableError, Backoff, SubmitUnknownError
from tests.picpik.conftest import client_of, read_request, server, submit

pytestmark = pytest.mark.slow

TOTAL = 0.6  # seconds, of a request; the read time-out is 30 s and never strikes
BOUND = 8.0  # a busy machine is slow, but a server that is not cut off drips for 60 s

Handler = Callable[[socket.socket, int], None]


def dripping(begin: bytes, drop: bytes) -> Handler:
    def handle(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(begin)
        for _ in range(600):
            connection.sendall(drop)
            time.sleep(0.1)

    return handle


HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "status line": dripping(b"HTTP/1.1 200 ", b"O"),
    "header line": dripping(HEAD + b"X: ", b"x"),
    "headers": dripping(HEAD, b"X: y\r\n"),
    "continues": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": dripping(HEAD + b"Content-Length: 99999\r\n\r\n", b" "),
    "chunks": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "chunk's length": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "until close": dripping(HEAD + b"\r\n", b" "),
    "nothing": dripping(b"", b""),
}


@pytest.mark.parametrize("name", DRIPS)
def test_an_answer_that_never_ends_is_given_up_in_time(name: str) -> None:
    with server(DRIPS[name]) as (endpoint, connections):
        client = client_of(endpoint, request_timeout=TOTAL, backoff=Backoff(1))
        began = time.monotonic()
        with pytest.raises(SubmitUnknownError, match=r"timed out: not done within 0\.6 s"):
            submit(client, b"x")
        with pytest.raises(ApiUnavailableError, match=r"timed out: not done within 0\.6 s"):
            client.running_tasks()
        assert 2 * TOTAL * 0.9 < time.monotonic() - began < BOUND
        assert len(connections) == 2


def test_an_upload_that_nobody_reads_is_given_up_in_time_and_was_not_bought() -> None:
    release = threading.Event()

    def handle(connection: socket.socket, number: int) -> None:
        connection.recv(1000)
        release.wait(30)

    with server(handle) as (endpoint, _):
        client = client_of(endpoint, request_timeout=TOTAL, backoff=Backoff(1))
        began = time.monotonic()
        with pytest.raises(ApiUnavailableError, match="timed out"):
            submit(client, bytes(20_000_000))
        assert time.monotonic() - began < BOUND
        release.set()


def test_an_upload_that_is_read_in_sips_is_given_up_in_time() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        for _ in range(600):
            connection.recv(20_000)
            time.sleep(0.1)

    with server(handle) as (endpoint, _):
        client = client_of(endpoint, request_timeout=TOTAL, backoff=Backoff(1))
        began = time.monotonic()
        with pytest.raises(ApiUnavailableError, match="timed out"):
            submit(client, bytes(20_000_000))
        assert time.monotonic() - began < BOUND


def test_the_time_of_a_result_includes_its_redirects() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        connection.recv(4096)
        time.sleep(0.25)
        reply = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n"
        connection.sendall(reply + b"Connection: close\r\n\r\n")

    with server(handle) as (endpoint, connections):
        client = client_of(endpoint, download_timeout=TOTAL, backoff=Backoff(1))
        with pytest.raises(ApiUnavailableError, match="timed out"):
            client.download(f"{endpoint}/a")
        assert len(connections) <= 3  # four of them would take a second


def test_an_answer_within_its_time_is_taken_however_it_comes() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        request_uuid = read_request(connection)["request_uuid"].encode()
        body = b'{"RetCode": 0, "TaskUIDList": [], "request_uuid": "%s"}' % request_uuid
        for byte in HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body:
            connection.sendall(bytes([byte]))

    with server(handle) as (endpoint, _):
        assert client_of(endpoint).running_tasks() == []
