"""Secrets of Google Cloud's Secret Manager, against a stand-in on loopback."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from alphabeam.transforms import gcp_secrets
from alphabeam.transforms.secret_refs import SecretError, references, resolve

NAME = "projects/shop/secrets/picpik/versions/latest"


class _Manager(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, body = 404, b"{}"
        if self.path == f"/v1/{NAME}:access":
            data = base64.b64encode(b"the secret\n").decode()
            status, body = 200, json.dumps({"payload": {"data": data}}).encode()
        elif "forbidden" in self.path:
            status = 403
        elif "bytes" in self.path:
            status, body = 200, json.dumps({"payload": {"data": "//8="}}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    gcp_secrets.read_secret.cache_clear()
    _Manager.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Manager) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SECRET_MANAGER_EMULATOR_HOST", f"127.0.0.1:{server.server_port}")
        yield _Manager.asked
        server.shutdown()
    gcp_secrets.read_secret.cache_clear()


def test_a_secret_is_read_once_a_process(manager: list[str]) -> None:
    text = f"${{gcp-secret:{NAME}}}"
    assert references({"key": text}) == [text]
    assert resolve({"key": text, "header": f"Bearer {text}"}) == {
        "key": "the secret",
        "header": "Bearer the secret",
    }
    assert resolve(text) == "the secret"
    assert manager == [f"/v1/{NAME}:access"]


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("missing", "answers 404; there is no such secret"),
        ("forbidden", "answers 403; the service account needs the role Secret Manager Secret Acc"),
        ("bytes", "the secret is not UTF-8 text"),
    ],
)
def test_one_that_cannot_be_read_is_one_line(manager: list[str], secret: str, says: str) -> None:
    text = f"${{gcp-secret:projects/shop/secrets/{secret}/versions/1}}"
    with pytest.raises(SecretError) as caught:
        resolve(text)
    assert str(caught.value).startswith(f"{text}: ") and says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_none_is_not_taken_for_the_secret() -> None:
    for wrong in ("${gcp-secret:picpik}", "${gcp-secret:projects/a/secrets/b}", "${gcp-secret:}"):
        with pytest.raises(SecretError, match="begins no reference"):
            resolve(wrong)


def test_without_an_answer_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_MANAGER_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.setattr(gcp_secrets, "_TIMEOUT_S", 0.2)
    with pytest.raises(SecretError, match="Secret Manager does not answer: MaxRetryError"):
        resolve("${gcp-secret:projects/shop/secrets/unreachable/versions/1}")
