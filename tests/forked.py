"""A job's command in a process of its own, without the seconds that a fresh one takes to import.

The process is forked from one that has imported alphabeam and Beam, and that has no threads. What
`run.py` itself does is tried in `test_command.py`.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

__all__ = ["PROCESSES", "JobProcess"]

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "alphabeam.pipelines.catalogue",
        "apache_beam.runners.direct.direct_runner",
        "apache_beam.runners.portability.fn_api_runner",
        "tests.picpik_jobs",
    ]
)


class JobProcess:
    """``run.py`` with some arguments; to be used like `subprocess.Popen`.

    Args:
        *arguments: Of ``run.py``.
        cwd: Its working directory.
        unread: Its streams that nobody reads, and whose reader has left: ``stdout``, ``stderr``.
    """

    def __init__(
        self, *arguments: str, cwd: Path | None = None, unread: Collection[str] = ()
    ) -> None:
        self._said = tempfile.TemporaryDirectory(prefix="alphabeam-said-")
        files = {name: f"{self._said.name}/{name}" for name in ("stdout", "stderr")}
        for name in unread:
            files[name] = ""
        self._process = PROCESSES.Process(
            target=_run, args=(arguments, str(cwd or Path.cwd()), dict(os.environ), files)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end, and gives its exit status.

        Raises:
            subprocess.TimeoutExpired: It has not ended.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("run.py", timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end, and gives what it wrote to its two streams."""
        self.wait(timeout)
        paths = [Path(self._said.name, name) for name in ("stdout", "stderr")]
        out, err = (path.read_text() if path.exists() else "" for path in paths)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(
    arguments: tuple[str, ...], cwd: str, environment: Mapping[str, str], files: Mapping[str, str]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    os.chdir(cwd)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if files[name]:
            stream = os.open(files[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        else:
            left, stream = os.pipe()
            os.close(left)
        os.dup2(stream, descriptor)
        os.close(stream)
    sys.argv = ["run.py", *arguments]
    from alphabeam.pipelines.command import main

    try:
        status = main()
    finally:
        atexit._run_exitfuncs()  # which a process of multiprocessing leaves out
    sys.exit(status)
