"""Whole jobs on workers that have nothing of the launcher's: one or three, behind a job server.

The workers' environment has alphabeam from a wheel, another working directory and none of the
launcher's variables. Each job starts its workers, which costs seconds of CPU for each: so jobs
of which nothing is asked that takes several workers have one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alphabeam.pipelines import remote
from alphabeam.pipelines.catalogue import output_of
from alphabeam.pipelines.engines import EngineError
from alphabeam.pipelines.job_file import load_job
from alphabeam.transforms.picpik.emulator import running_emulator
from tests.conftest import Shop
from tests.engines.workers import Pool, environment, job_server, pool
from tests.picpik_jobs import PicpikShop

pytest.importorskip("pip", reason="the workers' environment is made with pip")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc"),
]

ROOT = Path(__file__).parents[2]
ROWS = 500  # some are in the ledger after 1.5 s, and others are not done when a kill comes then
FillShop = Callable[..., Shop]
# What depends on the clock, on the run, or on who did the work.
CLOCK = ("read_ms", "remove_ms", "write_ms", "finished_at", "run_id", "source_version")


class Cluster:
    """A job server, and a pool that starts the workers of its jobs."""

    def __init__(self, programs: Path, workers: Pool, job_endpoint: str) -> None:
        self.programs = programs
        self.pool = workers
        self.job_endpoint = job_endpoint

    def engine(self, *mounts: Path, **more: Any) -> dict[str, Any]:
        """An engine section."""
        return {
            "kind": "portable",
            "job_endpoint": self.job_endpoint,
            "environment": f"external://{self.pool.address}",
            "mounts": [str(folder) for folder in mounts],
            "threads": 2,
            **more,
        }


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("workers") / "environment")


@pytest.fixture(scope="module")
def workers(programs: Path) -> Iterator[Pool]:
    with pool(programs) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(programs: Path, workers: Pool) -> Iterator[Cluster]:
    """Each job has three workers."""
    with job_server(3) as job_endpoint:
        yield Cluster(programs, workers, job_endpoint)


@pytest.fixture(scope="module")
def one_worker(programs: Path, workers: Pool) -> Iterator[Cluster]:
    """Each job has one worker."""
    with job_server(1) as job_endpoint:
        yield Cluster(programs, workers, job_endpoint)


def on_cluster(shop: Shop, cluster: Cluster, **more: Any) -> None:
    """Gives the shop's job to the cluster, and a new output."""
    engine = cluster.engine(shop.folder, Path(shop.model).parent, **more)
    shop.write_job(output={"directory": "there"}, engine=engine)
    shop.out = shop.folder / "there"


def start(shop: Shop) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), str(shop.job), "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        # Whoever is started in the background by a shell does not hear Ctrl-C, nor do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def noted(shop: Shop) -> bool:
    """Whether the ledger has some of what is finished."""
    return any((shop.out / "ledger" / "rows").rglob("*.parquet"))


def facts(shop: Shop) -> dict[str, dict[str, Any]]:
    return {
        id: {name: value for name, value in row.items() if name not in CLOCK}
        for id, row in shop.rows().items()
    }


def test_the_samples_are_the_same_to_the_bit(shop: Shop, cluster: Cluster) -> None:
    manifest = str(ROOT / "samples" / "manifest.csv")
    shop.write_job(manifest, backend={"model": "catalogue"})
    assert shop.run() == 0
    here, rows = shop.files("cutouts", "masks"), facts(shop)
    engine = cluster.engine(shop.folder, ROOT / "samples")
    shop.write_job(manifest, backend={"model": "catalogue"}, engine=engine)
    assert shop.run("--set", "output.directory=there") == 0
    shop.out = shop.folder / "there"
    assert len(here) == 2 * len(rows) and shop.files("cutouts", "masks") == here
    assert facts(shop) == rows


def test_many_rows_with_a_worker_killed_in_the_middle(
    filled_shop: FillShop,
    cluster: Cluster,
    one_worker: Cluster,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = filled_shop(ROWS)
    assert shop.run() == 0
    here, rows = shop.files("cutouts", "masks"), facts(shop)
    on_cluster(shop, cluster)
    launcher = start(shop)
    deadline = time.monotonic() + 300
    while len(list((shop.out / "masks").rglob("*.png"))) < 50 or not noted(shop):
        assert launcher.poll() is None and time.monotonic() < deadline, launcher.communicate()
        time.sleep(0.05)
    workers = cluster.pool.workers()
    assert len(workers) == 3
    os.kill(workers[1], signal.SIGKILL)
    out, err = launcher.communicate(timeout=300)
    (line,) = err.strip().splitlines()
    assert (launcher.returncode, out) == (1, "") and "a worker process ended" in line, err
    assert not (shop.out / "summary.json").exists()

    assert shop.run() == 0
    summary = json.loads((shop.out / "summary.json").read_text())
    assert (summary["rows"], summary["done"], summary["failed"]) == (ROWS, ROWS, 0)
    assert summary["finished_before"] > 0, "what was finished is not done again"
    assert summary["metrics"]["rows_done"] + summary["finished_before"] == ROWS
    assert shop.files("cutouts", "masks") == here
    assert facts(shop) == rows

    elsewhere = ("--set", f"engine.job_endpoint={one_worker.job_endpoint}")
    assert shop.run(*elsewhere) == 0
    assert json.loads((shop.out / "summary.json").read_text())["finished_before"] == ROWS
    capsys.readouterr()
    assert shop.run("--status", *elsewhere) == 0
    assert f"{ROWS} of {ROWS} rows: 0 done, {ROWS} before, 0 failed" in capsys.readouterr().out


def test_a_budget_holds_for_all_workers_together(tmp_path: Path, cluster: Cluster) -> None:
    with running_emulator() as emulator:
        shop = PicpikShop(tmp_path, emulator, max_tasks=7)
        shop.fill(30)
        engine = json.dumps(cluster.engine(tmp_path))
        shop.job.write_text(f"{shop.job.read_text()}engine: {engine}\n")
        assert shop.run("--yes") == 3
        assert emulator.billed == 7
        codes = [row["error_code"] for row in shop.rows().values() if row["status"] == "failed"]
        assert codes == ["budget_spent"] * 23


def test_a_job_is_left_alone_and_found_again(
    filled_shop: FillShop, one_worker: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(30)
    on_cluster(shop, one_worker, wait=False)
    assert shop.run("--status") == 1
    assert "no job was submitted to other machines for" in capsys.readouterr().err
    assert shop.run() == 0
    record = json.loads((shop.out / "ledger" / "job.json").read_text())
    assert capsys.readouterr().out == (
        f"job: submitted as {record['id']}; --status tells how far it is, --wait waits for it, "
        "--cancel ends it\n"
    )
    assert shop.run() == 1, "one run at a time writes to an output"
    assert f"job {record['id']} of {record['submitted_at']} is " in capsys.readouterr().err
    assert shop.run("--status") == 0
    assert capsys.readouterr().out.startswith("job: running on portable, job ")
    assert shop.run("--wait") == 0
    assert capsys.readouterr().out.startswith("job: 30 rows: 30 done, 0 failed; ")
    assert shop.run("--status") == 0
    assert "job: done on portable" in capsys.readouterr().out
    assert shop.run("--cancel") == 0, "there is nothing to cancel, and nothing is"
    assert capsys.readouterr().out == f"job: job {record['id']} is done\n"
    assert shop.run("--set", "engine.wait=true") == 0
    assert "(30 of them by an earlier run)" in capsys.readouterr().out


def test_ctrl_c_leaves_a_job_running_and_says_so(
    filled_shop: FillShop, one_worker: Cluster
) -> None:
    shop = filled_shop(150)
    on_cluster(shop, one_worker)
    launcher = start(shop)
    deadline = time.monotonic() + 300
    while not list((shop.out / "masks").rglob("*.png")):
        assert launcher.poll() is None and time.monotonic() < deadline, launcher.communicate()
        time.sleep(0.05)
    launcher.send_signal(signal.SIGINT)
    _, err = launcher.communicate(timeout=120)
    assert launcher.returncode == 130
    assert err.startswith("job: left running as ") and "--wait waits for it" in err
    assert shop.run("--wait") == 0
    assert len(shop.rows()) == 150


def test_cancelling_ends_it_and_the_next_run_goes_on(
    filled_shop: FillShop, one_worker: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(5)
    on_cluster(shop, one_worker, wait=False)
    assert shop.run() == 0
    assert shop.run("--cancel") == 0
    assert capsys.readouterr().out.splitlines()[-1].split(" is ")[1] in ("cancelled", "done")
    lease = max((shop.out / "ledger" / "lease").iterdir()).read_text()
    assert json.loads(lease)["ended"]


def test_a_pool_that_gets_no_worker_says_so(
    filled_shop: FillShop,
    programs: Path,
    one_worker: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The pool's own Python has Beam, and the first one on its PATH has not."""
    bare_python = tmp_path / "without-beam"
    bare_python.mkdir()
    (bare_python / "python").write_text("#!/bin/sh\nexit 1\n")
    (bare_python / "python").chmod(0o755)
    shop = filled_shop(2)
    monkeypatch.setattr(remote, "_SILENCE_S", 1.0)
    with pool(programs, PATH=f"{bare_python}:/usr/bin:/bin") as workers:
        on_cluster(shop, Cluster(programs, workers, one_worker.job_endpoint), wait=False)
        assert shop.run() == 0
        job = load_job(str(shop.job))
        record, submitted = remote.find(job, output_of(job))
        pauses = 0

        def sleep(seconds: float) -> None:
            nonlocal pauses
            pauses += 1
            time.sleep(0.3)
            if pauses == 8:
                submitted.cancel()

        with pytest.raises(EngineError, match="was cancelled before it was done"):
            remote.wait(job, output_of(job), record, submitted, quiet=True, sleep=sleep)
    said = capsys.readouterr().err
    assert said.count("nothing was heard of a worker for a minute") == 1
    assert "the first python on its PATH, which needs Beam" in said
