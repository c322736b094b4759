"""Whole jobs with ``backend: cascade``, against the emulator."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alphabeam.transforms.backends.cascade import CascadeBackend
from alphabeam.transforms.backends.picpik.session import Session as PicpikSession
from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.picpik import Backoff
from alphabeam.transforms.picpik.emulator import Emulator, running_emulator
from tests.picpik_jobs import PicpikShop, doubtful
from tests.report.test_site import details, summary

pytestmark = pytest.mark.slow


class CascadeShop(PicpikShop):
    """A shop whose job is matted by the tiny network and, where that is not sure, by an emulator.

    Args:
        folder: Where its pictures, its manifest and its job lie.
        emulator: The API.
        model: The tiny network.
    """

    def __init__(self, folder: Path, emulator: Emulator, model: str, **cascade: Any) -> None:
        self.tiny_model = model
        super().__init__(folder, emulator, **cascade)

    def set(self, **cascade: Any) -> None:
        """Writes the job file; ``picpik`` has settings of the API."""
        super().set(**cascade.pop("picpik", {}))
        job = yaml.safe_load(self.job.read_text())
        api = {k: v for k, v in job["backend"].items() if k != "kind"}
        local = {"model": self.tiny_model}
        job["output"]["report"] = False
        job["engine"] = {"processes": 1, "threads": 2}
        job["backend"] = {"kind": "cascade", "local": local, "picpik": api, **cascade}
        self.job.write_text(yaml.safe_dump(job))

    def fill_with(self, sure: int, unsure: int) -> None:
        """A manifest of different pictures: ``s0`` … and, among them, ``d0`` …"""
        lines = [self.picture(f"images/s{n}.png", n) for n in range(sure)]
        for n in range(unsure):
            name = self.picture(f"images/d{n}.png", data=doubtful(n))
            lines.insert((n * len(lines)) // max(unsure, 1), name)
        self.manifest("image\n" + "\n".join(lines) + "\n")

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return found


@pytest.fixture
def cascade(tmp_path: Path, tiny_model: str) -> Iterator[Callable[..., CascadeShop]]:
    with contextlib.ExitStack() as stack:

        def make(
            sure: int = 4, unsure: int = 3, settings: dict[str, Any] | None = None, **options: Any
        ) -> CascadeShop:
            emulator = stack.enter_context(running_emulator(**options))
            shop = CascadeShop(tmp_path / "shop", emulator, tiny_model, **(settings or {}))
            shop.fill_with(sure, unsure)
            return shop

        yield make


@pytest.fixture
def matted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that the local core is asked for, while the test lasts."""
    from alphabeam.transforms.backends import local

    asked: list[str] = []
    remove = local.remove_locally

    def counting(picture: Any, core: Any) -> Any:
        asked.append(picture.row.id)
        return remove(picture, core)

    monkeypatch.setattr(local, "remove_locally", counting)
    return asked


def test_the_doubtful_tenth_is_bought_and_the_rest_is_not(
    cascade: Callable[..., CascadeShop], capsys: pytest.CaptureFixture[str], matted: list[str]
) -> None:
    shop = cascade(27, 3, cost=2)
    assert shop.run("--yes") == 0
    rows = shop.rows()
    bought = {id: row for id, row in rows.items() if row["backend"] == "picpik"}
    assert sorted(bought) == ["images/d0", "images/d1", "images/d2"]
    assert shop.emulator.billed == 6 and len(matted) == 30
    for id, row in rows.items():
        assert row["status"] == "done" and (shop.out / row["cutout"]).stat().st_size
        if id in bought:
            assert shop.emulator.tasks[row["task_uid"]].sha256 == row["source_sha256"]
            assert row["local_confidence"] < 0.85 and row["doubts"] == ["confidence"]
            assert row["credits"] == 2 and row["confidence"] is None and not row["model"]
        else:
            assert row["backend"] == "local" and row["confidence"] > 0.85
            assert row["local_confidence"] is None and not row["doubts"] and row["model"]
    summary = shop.summary()
    assert (summary["doubtful"], summary["bought"], summary["kept"]) == (3, 3, {})
    assert "cascade    3 doubtful: 3 bought\n  credits    6\n" in capsys.readouterr().out
    assert not list(shop.entries())  # the ledger keeps no task that is collected

    # The next night: all is finished, nothing is matted or bought.
    files = shop.files("cutouts", "masks")
    matted.clear()
    assert shop.run() == 0
    assert shop.summary()["finished_before"] == 30 and shop.summary()["doubtful"] == 3
    assert (matted, shop.emulator.billed, shop.files("cutouts", "masks")) == ([], 6, files)


def test_a_spent_budget_keeps_local_results_which_a_later_night_buys_without_matting(
    cascade: Callable[..., CascadeShop], capsys: pytest.CaptureFixture[str], matted: list[str]
) -> None:
    shop = cascade(3, 5, {"picpik": {"max_tasks": 2}})
    assert shop.run("--yes") == 0
    assert shop.emulator.billed == 2
    kept = [row for row in shop.rows().values() if "kept_local" in row["flags"]]
    assert len(kept) == 3
    for row in kept:
        assert row["backend"] == "local" and row["status"] == "done" and row["model"]
        assert row["flags"][-2:] == ["kept_local", "budget_spent"]
        assert row["local_confidence"] == row["confidence"] < 0.85
        assert (shop.out / row["cutout"]).stat().st_size
    assert shop.summary()["kept"] == {"budget_spent": 3}
    said = "cascade    5 doubtful: 2 bought, 3 kept local (budget_spent 3)"
    assert said in capsys.readouterr().out

    matted.clear()
    shop.run("--check")
    assert "to submit  at most 2 images" in (out := capsys.readouterr().out)
    assert "  3 have a doubtful local result of an earlier run; 0 are yet to be matted" in out
    matted.clear()  # --check tries one image
    job = yaml.safe_load(shop.job.read_text())
    job["output"]["renditions"] = [{"name": "front", "format": "jpeg", "canvas": 40}]
    shop.job.write_text(yaml.safe_dump(job))
    assert shop.run("--yes") == 0
    assert (shop.emulator.billed, matted) == (4, [])
    for row in shop.rows().values():  # bought before, bought now, kept again and never doubtful
        (made,) = row["renditions"]
        assert not made["error"] and (shop.out / made["uri"]).stat().st_size
    (left,) = [row for row in shop.rows().values() if "kept_local" in row["flags"]]
    assert left["flags"].count("kept_local") == 1 and left["doubts"] == ["confidence"]
    # a share of which nothing is left: the result stays, and so does its file
    files = shop.files("cutouts", "masks")
    shop.set(at_most="10%")
    assert shop.run("--yes") == 0
    assert (shop.emulator.billed, matted) == (4, [])
    assert shop.rows()[left["id"]]["flags"] == left["flags"]
    assert shop.files("cutouts", "masks") == files


def test_what_the_settings_call_doubtful_now_decides_and_finished_rows_of_others_count(
    cascade: Callable[..., CascadeShop], matted: list[str]
) -> None:
    shop = cascade(3, 3, {"below": 0})
    assert shop.run("--yes") == 0
    assert shop.emulator.billed == 0 and len(matted) == 6
    matted.clear()
    shop.set(below=0.85)
    assert shop.run("--yes") == 0
    assert shop.emulator.billed == 3 and matted == []
    # What was bought is found by a job with the API alone, too.
    PicpikShop.set(shop, max_tasks=1)
    assert shop.run("--yes") == 3
    assert shop.emulator.billed == 4 and shop.summary()["finished_before"] == 3


def test_the_report_tells_what_was_doubtful(cascade: Callable[..., CascadeShop]) -> None:
    shop = cascade(1, 2, {"picpik": {"max_tasks": 1}})
    job = yaml.safe_load(shop.job.read_text())
    job["output"]["report"] = True
    shop.job.write_text(yaml.safe_dump(job))
    assert shop.run("--yes") == 0
    known = summary(shop.out)
    assert (known["doubtful"], known["bought"], known["credits"]) == (2, 1, 1)
    assert known["flags"]["kept_local"] == known["flags"]["budget_spent"] == 1
    told = details(shop.out)
    assert "doubts" not in told["images/s0"]
    for id in ("images/d0", "images/d1"):
        assert told[id]["doubts"] == "confidence" and told[id]["local_confidence"] < 0.85


def test_the_api_is_down_and_the_job_says_so_in_one_line(
    cascade: Callable[..., CascadeShop],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    matted: list[str],
) -> None:
    quick = Backoff(attempts=2, total_seconds=5.0, base=0.01, cap=0.02)
    monkeypatch.setattr("alphabeam.transforms.picpik.client.Backoff", lambda: quick)
    shop = cascade(3, 20)
    endpoint = shop.emulator.endpoint
    shop.set(picpik={"endpoint": "http://127.0.0.1:9"})
    assert shop.run("--yes") == 0
    out, err = capsys.readouterr()
    assert "cascade    20 doubtful: 0 bought, 20 kept local (api_unavailable 20)" in out
    assert "local results are kept while the API is down: " in err
    assert err.count("its local result is kept") == 1
    assert {row["status"] for row in shop.rows().values()} == {"done"}
    # and the night after, when it is there again
    matted.clear()
    shop.set(picpik={"endpoint": endpoint})
    assert shop.run("--yes") == 0
    assert (shop.emulator.billed, matted, shop.summary()["bought"]) == (20, [], 20)


def test_killed_in_the_middle_nothing_is_bought_twice(cascade: Callable[..., CascadeShop]) -> None:
    shop = cascade(6, 6, {"picpik": {"max_tasks": 4}}, task_seconds=1.5)
    process = shop.start()
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if sum(bool(entry.task_uid) for entry in shop.entries()) == 4:
            break
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert shop.emulator.billed == 4 and not (shop.out / "summary.json").exists()
    assert shop.run("--yes") == 0
    rows = shop.rows()
    assert shop.emulator.billed == 4  # the same budget, and each task was collected
    assert max(shop.emulator.submissions.values()) == 1
    assert shop.summary()["bought"] == 4 and shop.summary()["kept"] == {"budget_spent": 2}
    assert {row["status"] for row in rows.values()} == {"done"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are seen in /proc only")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_worker_processes_learn_what_they_have_bought(
    cascade: Callable[..., CascadeShop], number: int
) -> None:
    late = {"faults": {"RemoveBackground:answer_late": 1.0}, "late_seconds": 1.0}
    shop = cascade(0, 8, {"picpik": {"max_concurrency": 2}}, **late)
    process = shop.start("--set", "engine.processes=2")
    deadline = time.monotonic() + 60
    while not shop.emulator.billed and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    bought = shop.emulator.billed
    assert bought and sum(bool(entry.task_uid) for entry in shop.entries()) == bought
    assert not any(entry.is_unknown for entry in shop.entries())
    assert shop.run("--yes") == 0
    assert shop.emulator.billed == 8 and set(shop.emulator.submissions.values()) == {1}
    assert shop.summary()["bought"] == 8


def test_the_job_asks_before_it_may_buy(
    cascade: Callable[..., CascadeShop], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = cascade(2, 2, {"picpik": {"confirm_over": 3}})
    assert shop.run() == 1
    assert "up to 4 images would be submitted" in (err := capsys.readouterr().err)
    assert "raise backend.picpik.confirm_over" in err
    shop.set(at_most="75%", picpik={"confirm_over": 3})
    assert shop.run() == 0
    assert shop.emulator.billed == 2


def test_local_matting_goes_on_while_the_api_works(
    cascade: Callable[..., CascadeShop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API has no result before the last picture is matted; so nothing may wait for it."""
    shop = cascade(12, 4, {"picpik": {"tasks_in_flight": 2}})
    # The local stage has room for one picture: a doubtful one has to leave it while it waits.
    monkeypatch.setattr(CascadeBackend, "pixels_in_flight", 80 * 60)
    matted: list[object] = []
    all_matted = threading.Event()
    matte, buy = MattingCore.remove, PicpikSession.remove

    def noted(*arguments: Any) -> Any:
        result = matte(*arguments)
        matted.append(result)
        if len(matted) == 16:
            all_matted.set()
        return result

    def late(*arguments: Any) -> Any:
        assert all_matted.wait(20)
        return buy(*arguments)

    monkeypatch.setattr(MattingCore, "remove", noted)
    monkeypatch.setattr(PicpikSession, "remove", late)
    assert shop.run("--yes") == 0
    assert shop.summary()["bought"] == 4
