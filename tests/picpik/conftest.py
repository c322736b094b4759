"""What the tests of the API share: a picture, quick clients, and a server that says anything."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import Backoff, PicpikClient
from alphabeam.transforms.picpik.emulator import Emulator, encode_png

QUICK = Backoff(attempts=4, total_seconds=20.0, base=0.01, cap=0.02)
PUBLIC, PRIVATE = "public-key-of-the-tests", "PRIVATE-key-of-the-tests-4711"


@pytest.fixture
def rgb() -> np.ndarray:
    """A red box on a light background, 40 x 60."""
    pixels = np.full((40, 60, 3), 245, np.uint8)
    pixels[10:30, 20:40] = (200, 30, 30)
    return pixels


@pytest.fixture
def png(rgb: np.ndarray) -> bytes:
    return encode_png(rgb)


def client_of(endpoint: str | Emulator, **options: Any) -> PicpikClient:
    public, private = PUBLIC, PRIVATE
    if isinstance(endpoint, Emulator):
        endpoint, public, private = endpoint.endpoint, endpoint.public_key, endpoint.private_key
    options = {
        "backoff": QUICK,
        "read_timeout": 30.0,
        "connect_timeout": 30.0,
        "rng": random.Random(1),
        **options,
    }
    return PicpikClient(endpoint, public, private, **options)


def submit(client: PicpikClient, image: bytes, **params: Any) -> str:
    return client.submit(image, "image/png", MattingParameters(**params), str(uuid.uuid4()))


def reset(connection: socket.socket) -> None:
    """Ends a connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_request(connection: socket.socket) -> dict[str, Any]:
    """Reads one whole HTTP request; gives its JSON, or {} for a GET."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536) or exit_read()
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65_536) or exit_read()
    return json.loads(body) if body else {}


def exit_read() -> bytes:
    raise ConnectionError("the client hung up")


def http(
    body: bytes, status: str = "200 OK", headers: str = "", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + body


@contextmanager
def server(
    handle: Callable[[socket.socket, int], None], host: str = "127.0.0.1"
) -> Iterator[tuple[str, list[int]]]:
    """Runs ``handle(connection, number)`` for each connection; gives endpoint and their numbers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.bind((host, 0))
    listener.listen(16)
    seen: list[int] = []

    def serve(connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError):
            handle(connection, number)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            seen.append(len(seen))
            threading.Thread(target=serve, args=(connection, seen[-1]), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    name = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{name}:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def answering(make: Callable[[dict[str, Any], int], bytes]) -> Callable[[socket.socket, int], None]:
    """A handler that answers each connection's one request with raw bytes, then closes."""

    def handle(connection: socket.socket, number: int) -> None:
        connection.sendall(closing(make(read_request(connection), number)))

    return handle


def closing(reply: bytes) -> bytes:
    """The reply, with word that the connection ends: else the client may be using it again."""
    return reply.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def ok(request: dict[str, Any], **fields: Any) -> bytes:
    """A good answer to a request, with these fields changed or added (None removes one)."""
    answer = {
        "RetCode": 0,
        "Action": request.get("Action", "") + "Response",
        "Message": "",
        "request_uuid": request.get("request_uuid", ""),
        **fields,
    }
    return http(json.dumps({k: v for k, v in answer.items() if v is not None}).encode())
