"""Workers that have nothing of the launcher's: an environment, and a pool that starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from alphabeam.pipelines.engines.code import make_wheel
from tests.storage.servers import free_port, launch


def environment(folder: Path, wheel: Path | None = None, *, alphabeam: bool = True) -> Path:
    """A new environment with this one's dependencies, and with alphabeam from a wheel alone.

    A path in a .pth file is only a path, so that this environment's own alphabeam, which may be
    a checkout, does not come along.

    Returns:
        Its folder of programs.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    purelib = next(folder.glob("lib*/**/site-packages"))
    theirs = Path(np.__file__).parent.parent
    (purelib / "dependencies.pth").write_text(f"{theirs}\n", encoding="utf-8")
    if alphabeam:
        install(folder / "bin", wheel or Path(make_wheel(folder)))
    return folder / "bin"


def install(programs: Path, *what: str | Path) -> None:
    """Installs into an environment, without network: dependencies must be there already."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--python", str(programs / "python"), "install", "--no-index", *map(str, what)],
        env=bare(programs),
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def bare(programs: Path, **more: str) -> dict[str, str]:
    """A process's environment with nothing of the launcher's."""
    kept = ("HOME", "LANG", "STORAGE_EMULATOR_HOST", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT")
    path = f"{programs}:/usr/bin:/bin"
    return {**{name: os.environ[name] for name in kept if name in os.environ}, "PATH": path, **more}


class Pool:
    """A worker pool on a port, as an operator starts one."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.address = f"localhost:{port}"
        self._process = process

    def workers(self) -> list[int]:
        """The process ids of the workers that it has started."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == self._process.pid and fields[0] != "Z":
                    found.append(int(entry.name))
        return sorted(found)

    def kill(self) -> None:
        """Kills all its workers."""
        for worker in self.workers():
            os.kill(worker, signal.SIGKILL)

    def stop(self) -> None:
        """Ends the pool and all its workers."""
        self.kill()
        self._process.kill()
        self._process.wait(10)


@contextmanager
def pool(programs: Path, **more: str) -> Iterator[Pool]:
    """Starts a worker pool in another working directory."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, open(Path(folder, "log"), "wb") as log:
        process = subprocess.Popen(
            [
                str(programs / "python"),
                *("-m", "apache_beam.runners.worker.worker_pool_main"),
                *("--service_port", str(port)),
            ],
            env=bare(programs, **more),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            running = Pool(port, process)
            _listens(port, process)
            yield running
        finally:
            running.stop()


def _listens(port: int, process: subprocess.Popen[bytes], seconds: float = 180) -> None:
    import socket
    import time

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("localhost", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the worker pool does not listen")


@contextmanager
def job_server(workers: int) -> Iterator[str]:
    """Starts a job server; gives its address."""
    port = free_port()
    stop = launch(
        [sys.executable, "-m", "tests.engines.job_server", str(port), str(workers)],
        port,
        seconds=180,
    )
    try:
        yield f"localhost:{port}"
    finally:
        stop()
