"""Whole jobs whose rows reach for what they may not read."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.conftest import Shop, encoded, product
from tests.storage.test_deadlines import _Drip, _Server

pytest.importorskip("aiohttp")
pytestmark = [pytest.mark.slow, pytest.mark.servers]


class _Photos(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def send_head(self) -> Any:
        if not self.path.startswith("/to-metadata"):
            return super().send_head()
        self.send_response(302)
        self.send_header("Location", "http://169.254.169.254/latest/meta-data/iam")
        self.end_headers()
        return None


@pytest.fixture
def photos(shop: Shop) -> Iterator[str]:
    """A server on loopback with one picture and the shop's own folder."""
    (shop.folder / "web").mkdir()
    (shop.folder / "web" / "a.png").write_bytes(encoded(product()))
    handler = partial(_Photos, directory=str(shop.folder / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_each_row_that_may_not_be_read_fails_alone(shop: Shop, photos: str) -> None:
    port = photos.rpartition(":")[2]
    shop.manifest(
        "image\n"
        + "\n".join(
            [
                shop.picture("good.png"),
                f"{photos}/a.png",
                f"http://localhost:{port}/a.png",
                "http://169.254.169.254/latest/meta-data/",
                "http://2852039166/latest/meta-data/",
                "http://metadata.google.internal/computeMetadata/v1/",
            ]
        )
    )
    shop.write_job()
    assert shop.run() == 3
    rows = {row["line"]: row for row in shop.records()}
    assert [rows[line]["error_code"] for line in range(2, 8)] == [None] + ["not_allowed"] * 5
    assert f"input.allow: [default, http://127.0.0.1:{port}]" in rows[3]["error_message"]
    shop.write_job(input={"allow": ["default", photos]})
    assert shop.run("--check") == 0
    assert shop.run() == 3
    rows = {row["line"]: row for row in shop.records()}
    assert [rows[line]["error_code"] for line in range(2, 8)] == [None] * 2 + ["not_allowed"] * 4


def test_a_remote_manifest_reads_no_local_file(
    shop: Shop, photos: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is on the same machine; what counts is that somebody else may have written it."""
    secret = shop.picture("secret.png", 5)
    lines = [
        "a.png",
        f"{photos}/a.png?same",
        f"{shop.folder}/{secret}",  # a server takes it for a name of its own
        f"{photos}/to-metadata",
        f"file://{shop.folder}/{secret}",
        "/etc/passwd",
        "https://127.0.0.1:1/a.png",
    ]
    (shop.folder / "web" / "list.csv").write_text("image\n" + "\n".join(lines) + "\n")
    shop.write_job(f"{photos}/list.csv")
    assert shop.run() == 3
    rows = {row["line"]: row for row in shop.records()}
    codes = [rows[line]["error_code"] for line in range(2, 9)]
    assert codes == [
        None, None, "not_found", "not_allowed", "not_allowed", "not_found", "not_allowed",
    ]  # fmt: skip
    assert not [name for name in shop.files("cutouts", "masks") if "secret" in name]
    assert "  not_allowed          3 failed" in capsys.readouterr().out


def test_a_row_whose_source_never_comes_ends_within_its_time(shop: Shop) -> None:
    """Servers that drip, in the headers and in the body, and a FIFO; the others are done."""
    rows = [shop.picture(f"p{number}.png", number) for number in range(4)]
    os.mkfifo(shop.folder / "fifo.png")
    with _Server(("127.0.0.1", 0), _Drip) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        slow = [f"{url}/{kind}/{number}.png" for kind in ("body", "header", "silent")
                for number in range(2)]  # fmt: skip
        shop.manifest("image\n" + "\n".join([*slow, "fifo.png", *rows]) + "\n")
        shop.write_job(input={"allow": ["default", url], "read_timeout": 2})
        began = time.monotonic()
        assert shop.run() == 3
        assert time.monotonic() - began < 2 + 30, "rows do not wait for each other"
        server.shutdown()
    found = {row["line"]: row for row in shop.records()}
    for line in range(2, 8):
        assert found[line]["error_code"] == "storage_unavailable"
        assert "not done within 2 s" in found[line]["error_message"]
    assert found[8]["error_code"] == "invalid_uri" and "FIFO" in found[8]["error_message"]
    assert [found[line]["status"] for line in range(9, 13)] == ["done"] * 4
