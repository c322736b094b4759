"""Servers that never end, and files that never answer: every call ends within its time."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.deadlines import bounded, current, within

pytestmark = pytest.mark.slow

BOUND = 1.0  # seconds that a call is given
GRACE = 6.0  # what a loaded machine may add


class _Drip(socketserver.BaseRequestHandler):
    """Sends a byte now and then, without end: of the body, or of the headers."""

    request: socket.socket

    def handle(self) -> None:
        asked = self.request.recv(65536).split()
        head = b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nETag: "1"\r\n'
        try:
            if asked[1].startswith(b"/silent"):
                time.sleep(60)
            self.request.sendall(head)
            if asked[1].startswith(b"/body"):
                self.request.sendall(b"\r\n")
                if asked[0] == b"HEAD":  # whose answer has no body
                    return
            while True:
                self.request.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture(scope="module")
def drip() -> Iterator[str]:
    with _Server(("127.0.0.1", 0), _Drip) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def unavailable_within(bound: float, began: float, error: RowError) -> None:
    assert error.code is ErrorCode.STORAGE_UNAVAILABLE
    assert f"not done within {bound:g} s" in error.message and "\n" not in error.message
    assert time.monotonic() - began < bound + GRACE


@pytest.mark.parametrize("path", ["body", "header", "silent"])
def test_read_and_stat_end(drip: str, path: str) -> None:
    pytest.importorskip("aiohttp")
    began = time.monotonic()
    with pytest.raises(RowError) as caught:
        storage.read(f"{drip}/{path}", timeout=BOUND)
    unavailable_within(BOUND, began, caught.value)
    if path == "body":  # whose headers come
        return
    began = time.monotonic()
    with pytest.raises(RowError) as caught:
        storage.stat(f"{drip}/{path}", timeout=BOUND)
    unavailable_within(BOUND, began, caught.value)


@pytest.mark.parametrize("path", ["body", "header"])
def test_streams_and_archives_end(drip: str, path: str) -> None:
    pytest.importorskip("aiohttp")
    began = time.monotonic()
    with pytest.raises(RowError) as caught:
        storage.open_input(f"{drip}/{path}", timeout=BOUND).read()
    unavailable_within(BOUND, began, caught.value)
    if path == "body":  # which cannot be read from the middle
        return
    began = time.monotonic()
    with pytest.raises(RowError) as caught:
        storage.read(f"zip://a.jpg::{drip}/{path}", timeout=BOUND)
    unavailable_within(BOUND, began, caught.value)


def test_the_others_are_read_meanwhile(drip: str, tmp_path: Path) -> None:
    """A dripping object keeps no other one waiting longer than its own time."""
    pytest.importorskip("aiohttp")
    (tmp_path / "a").write_bytes(b"a")
    uris = [f"{drip}/body/{i}" if i % 4 == 0 else f"{tmp_path}/a" for i in range(16)]
    began = time.monotonic()
    outcomes = list(storage.read_many(uris, concurrency=16, timeout=BOUND))
    assert time.monotonic() - began < BOUND + GRACE
    for index, (_, outcome) in enumerate(outcomes):
        if index % 4 == 0:
            assert isinstance(outcome, RowError)
            assert outcome.code is ErrorCode.STORAGE_UNAVAILABLE
        else:
            assert outcome == b"a"


def test_a_call_within_a_call_ends_with_it() -> None:
    with bounded(5.0) as outer:
        with bounded(60.0):
            assert current() is outer
        with bounded(1.0) as inner:
            assert current() is inner is not outer
            assert within(inner, lambda: current() is inner)
    assert current().timeout() is None


# ---- what is no regular file


def refused(uri: str, kind: str) -> None:
    for action in (storage.read, storage.open_input):
        began = time.monotonic()
        with pytest.raises(RowError) as caught:
            action(uri)
        assert caught.value.code is ErrorCode.INVALID_URI
        assert kind in caught.value.message and uri in caught.value.message
        assert time.monotonic() - began < GRACE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    refused(str(fifo), "it is a FIFO")
    (tmp_path / "link").symlink_to(fifo)
    refused(str(tmp_path / "link"), "it is a FIFO")
    refused("/dev/zero", "it is a device")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        refused(str(tmp_path / "socket"), "it is a socket")
    refused(str(tmp_path), "directory")
    (tmp_path / "good").symlink_to(__file__)
    assert storage.read(str(tmp_path / "good")) == Path(__file__).read_bytes()
