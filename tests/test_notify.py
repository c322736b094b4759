"""A URL is told how a job has ended."""

from __future__ import annotations

import http.server
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alphabeam.pipelines.catalogue import _Summarize
from alphabeam.pipelines.job_file import JobFileError, load_job
from alphabeam.pipelines.notify import notify
from tests.conftest import Shop
from tests.forked import JobProcess

ROOT = Path(__file__).parent.parent
FillShop = Callable[..., Shop]


class Receiver:
    """A server that keeps what is posted, and answers in turn with some statuses."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.url = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            kept.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(kept.statuses.pop(0) if kept.statuses else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kept.url = f"http://127.0.0.1:{server.server_port}/hook/T0/secret-path"
        yield kept
        server.shutdown()


@pytest.mark.slow
def test_a_receiver_that_is_busy_is_asked_again(receiver: Receiver) -> None:
    receiver.statuses = [503, 429]
    assert notify(receiver.url, {"status": "succeeded", "job": "Schuhe ü"})
    assert receiver.posted == [{"status": "succeeded", "job": "Schuhe ü"}] * 3
    assert not notify("", {"status": "succeeded"})


def test_one_that_refuses_changes_nothing(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [404]
    assert not notify(receiver.url, {})
    assert not notify("http://127.0.0.1:9/secret-path", {}, retries=0)
    assert [record.message for record in caplog.records if "alphabeam" in record.name] == [
        "the notification was refused with status 404",
        "the notification could not be sent: MaxRetryError",
    ]


def test_a_url_by_reference_stays_one(
    filled_shop: FillShop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle
    from datetime import datetime, timezone

    monkeypatch.setenv("HOOK", receiver.url)
    shop = filled_shop(1, notify="${env:HOOK}")
    job = load_job(str(shop.job))
    assert job.notify == receiver.url
    step = pickle.dumps(_Summarize(job, datetime.now(timezone.utc), True))
    assert b"secret-path" not in step and b"${env:HOOK}" in step
    assert pickle.loads(step).job.notify == receiver.url
    shop.write_job(notify="https://user:password@example.com/")
    with pytest.raises(JobFileError, match=r"notify: a URL with a password.*by reference"):
        load_job(str(shop.job))


@pytest.mark.slow
def test_however_a_job_ends(filled_shop: FillShop, receiver: Receiver) -> None:
    shop = filled_shop(2, notify=receiver.url)
    assert shop.run() == 0
    assert receiver.posted == [json.loads((shop.out / "summary.json").read_text())]
    (shop.folder / "images/p1.png").unlink()
    assert shop.run() == 3
    assert receiver.posted[-1]["status"] == "too_many_failures"
    assert shop.run("--check") == 0
    assert shop.run("--set", "input.manifest=none.csv") == 1
    assert len(receiver.posted) == 3, "--check ends no job"
    failed = receiver.posted[-1]
    assert (failed["job"], failed["status"], failed["output"]) == ("job", "failed", str(shop.out))
    assert "none.csv" in failed["reason"]


@pytest.mark.slow
def test_a_job_that_is_stopped(filled_shop: FillShop, receiver: Receiver) -> None:
    shop = filled_shop(2, notify=receiver.url)
    server = threading.Event()
    manifest = shop.folder / "manifest.csv"
    with http.server.HTTPServer(("127.0.0.1", 0), _silent(server)) as silent:
        threading.Thread(target=silent.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{silent.server_port}/a.png"
        manifest.write_text(f"{manifest.read_text()}{url},S\n")
        shop.write_job(notify=receiver.url, input={"allow": ["default", url.rsplit("/", 1)[0]]})
        launcher = JobProcess(str(shop.job), "--quiet")
        deadline = time.monotonic() + 60
        while not list((shop.out / "masks").rglob("*.png")):
            assert launcher.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(20) == 143
        server.set()
        silent.shutdown()
    assert [one["status"] for one in receiver.posted] == ["interrupted"]


def _silent(until: threading.Event) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            until.wait(60)

        do_HEAD = do_GET

    return Handler
