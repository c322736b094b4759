"""How a worker process of a local run ends by a signal; `test_nights.py` has whole jobs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from alphabeam.pipelines.signals import (
    end_on_signals,
    end_worker_on_signals,
    workers_end_on_signals,
)
from tests.forked import PROCESSES


def buys(folder: Path) -> None:
    """A worker that is told to end while a request that buys is under way."""
    os.environ["PIPELINE_OPTIONS_FILE"] = str(folder / "worker-options.json")
    from alphabeam.transforms import stopping
    from alphabeam.transforms.ledger import journal

    journal.flush_all = (folder / "flushed").touch
    end_worker_on_signals()
    stopping.begin_critical()
    (folder / "begun").touch()
    while not stopping._requested.is_set():
        time.sleep(0.01)
    time.sleep(0.3)  # until the API answers
    with pytest.raises(stopping.StoppingError):
        stopping.begin_critical()
    (folder / "task_uid").touch()
    stopping.end_critical()
    time.sleep(60)


@pytest.mark.parametrize(
    ("number", "flushed"),
    [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGUSR1, False)],
)
def test_a_worker_waits_for_what_it_is_buying_and_writes_rows_unless_the_output_is_lost(
    tmp_path: Path, number: int, flushed: bool
) -> None:
    worker = PROCESSES.Process(target=buys, args=(tmp_path,))
    worker.start()
    while not (tmp_path / "begun").exists() and worker.is_alive():
        time.sleep(0.01)
    assert worker.pid
    for _ in range(2):  # Ctrl-C reaches it, and then the launcher tells it once more
        os.kill(worker.pid, number)
    worker.join(20)
    assert worker.exitcode == 128 + number
    assert (tmp_path / "task_uid").exists()
    assert (tmp_path / "flushed").exists() == flushed


def launcher(folder: Path) -> None:
    """Starts a worker, whose parent ends before the signal comes."""
    with workers_end_on_signals(str(folder)), end_on_signals("job", (folder / "last").touch):
        between = os.fork()
        if not between:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            if not os.fork():
                buys(folder)
            os._exit(0)
        os.waitpid(between, 0)
        time.sleep(60)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are seen in /proc only")
def test_a_launcher_waits_for_workers_that_are_no_children_of_its_own_any_more(
    tmp_path: Path,
) -> None:
    process = PROCESSES.Process(target=launcher, args=(tmp_path,))
    process.start()
    while not (tmp_path / "begun").exists() and process.is_alive():
        time.sleep(0.01)
    process.terminate()
    process.join(20)
    assert process.exitcode == 143
    assert (tmp_path / "task_uid").exists() and (tmp_path / "flushed").exists()
    assert (tmp_path / "last").stat().st_mtime_ns >= (tmp_path / "flushed").stat().st_mtime_ns
