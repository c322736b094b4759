"""The loopback HTTP server from which the photos of ``benchmarks/nights.py`` come."""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

__all__ = ["PhotoServer", "photo_server"]

_LONGEST_GATE_S = 120.0


class PhotoServer:
    """What is served, and how.

    Attributes:
        address: ``http://127.0.0.1:PORT``.
        folder: Where the photos are.
        signature: The only one that opens a photo; empty before `sign`.
        fresh_etags: Every request gets an ETag of its own, as from the nodes of a CDN.
        delay: Seconds that each photo takes.
        fault_chance: How often a request is answered with 503, 0..1.
        gate: While it is clear, photos wait.
        manifest: Gives the manifest's text at each request of ``/manifest.csv``.
        gets: How often each photo was sent.
    """

    def __init__(self, seed: int) -> None:
        self.address = ""
        self.folder = Path()
        self.signature = ""
        self.fresh_etags = False
        self.delay = 0.0
        self.fault_chance = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.manifest: Callable[[], str] = str
        self.gets: Counter[str] = Counter()
        self._seed = seed
        self._occasions: Counter[str] = Counter()
        self._lock = threading.Lock()

    def sign(self) -> None:
        """Signs all URLs anew; those of before are refused from now on."""
        self.signature = secrets.token_hex(32)

    def url(self, id: str) -> str:
        """An id's photo, presigned as S3 does it."""
        return (
            f"{self.address}/photos/{id}.png?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            f"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600&X-Amz-Signature={self.signature}"
        )

    def answer(self, method: str, target: str) -> tuple[int, str, bytes]:
        """Status, ETag and body."""
        parts = urlsplit(target)
        if parts.path == "/manifest.csv":
            body = self.manifest().encode()
            return 200, hashlib.sha256(body).hexdigest(), body
        name = parts.path.rpartition("/")[2]
        if parse_qs(parts.query).get("X-Amz-Signature") != [self.signature]:
            return 403, "", b"the request has expired"
        with self._lock:
            occasion = self._occasions[name]
            self._occasions[name] += 1
        if random.Random(f"{self._seed}/{name}/{occasion}").random() < self.fault_chance:
            return 503, "", b""
        path = self.folder / name
        if not path.is_file():
            return 404, "", b""
        body = path.read_bytes()
        if method == "GET":
            self.gate.wait(_LONGEST_GATE_S)
            time.sleep(self.delay)
            with self._lock:
                self.gets[name] += 1
        etag = secrets.token_hex(8) if self.fresh_etags else hashlib.sha256(body).hexdigest()
        return 200, etag, body


@contextmanager
def photo_server(seed: int) -> Iterator[PhotoServer]:
    """Serves photos on a free port, from threads of its own.

    Args:
        seed: Of the faults.
    """
    photos = PhotoServer(seed)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_HEAD(self) -> None:
            self._answer("HEAD")

        def _answer(self, method: str) -> None:
            status, etag, body = photos.answer(method, self.path)
            try:
                self.send_response(status)
                if etag:
                    self.send_header("ETag", f'"{etag}"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if method == "GET":
                    self.wfile.write(body)
            except OSError:  # the job was killed
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Says nothing: a killed job resets its connections."""

    server = Server(("127.0.0.1", 0), Handler)
    photos.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="photos", daemon=True)
    thread.start()
    try:
        yield photos
    finally:
        photos.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
