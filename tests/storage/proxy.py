"""A proxy before an object store, which spoils requests that create an object conditionally."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.storage.servers import Store

_HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive", "expect")


class Proxy:
    """What happens to conditional creations.

    Attributes:
        address: ``http://127.0.0.1:PORT``.
        plan: One word for each of the next ones whose object has ``named`` in its name. ``lose``:
            the store carries it out, and 503 is answered. ``drop``: it is carried out, and the
            connection is closed. A number: it is refused with this status.
        always: A word for those for which nothing is planned; empty to let them pass.
        seen: How many there were.
    """

    def __init__(self, target: str, named: str) -> None:
        self.address = ""
        self.plan: list[str] = []
        self.always = ""
        self.seen = 0
        self.target = urlsplit(target).netloc
        self._named = named
        self._lock = threading.Lock()

    def verdict(self, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """What is to happen to a request."""
        conditional = headers.get("If-None-Match") == "*" or "ifGenerationMatch=0" in path
        if not conditional or self._named not in path + body[:2000].decode("latin-1"):
            return ""
        with self._lock:
            self.seen += 1
            return self.plan.pop(0) if self.plan else self.always


@contextmanager
def proxy(store: Store, named: str) -> Iterator[tuple[Proxy, Any]]:
    """Runs a proxy before a store; gives it, and the options with which it is reached."""
    options = json.dumps(store.options)
    target = next(word for word in options.replace(";", '"').split('"') if "http://" in word)
    target = target[target.index("http://") :]
    through = Proxy(target, named)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            verdict = through.verdict(self.path, self.headers, body)
            if verdict.isdigit():
                self._reply(int(verdict), {}, b"<Error><Code>Spoilt</Code></Error>")
                return
            server = http.client.HTTPConnection(through.target, timeout=60)
            try:
                server.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    if name.lower() not in ("connection", "expect"):
                        server.putheader(name, value)
                server.endheaders(body)
                answer = server.getresponse()
                data = answer.read()
            finally:
                server.close()
            if verdict == "drop":
                self.close_connection = True
            elif verdict == "lose":
                self._reply(503, {}, b"")
            else:
                kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP}
                length = answer.getheader("Content-Length")
                self._reply(answer.status, kept, data, length)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = _answer

        def _reply(
            self, status: int, headers: Mapping[str, str], data: bytes, length: str | None = None
        ) -> None:
            with contextlib.suppress(OSError):
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", length or str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    through.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield through, json.loads(options.replace(f"http://{through.target}", through.address))
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
