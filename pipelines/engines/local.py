"""This machine, by Beam's FnApiRunner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from alphabeam.pipelines.engines.base import Engine, Threads
from alphabeam.transforms.cores import cores

if TYPE_CHECKING:
    from alphabeam.pipelines.engines.code import Code
    from alphabeam.pipelines.job import Job

__all__ = ["LocalEngine"]

_CORES_PER_PROCESS = 8  # beyond it, the interpreter lock costs more than another model in memory


class LocalEngine(Engine):
    """One machine."""

    remote = False

    kind: Literal["local"] = "local"
    """`local`: this machine, by Beam's FnApiRunner."""

    processes: int = Field(0, ge=0, le=256)
    """Worker processes; 0 for one for every 8 cores. Each holds the model once."""

    threads: int = Field(0, ge=0, le=256)
    """Images matted at once per process; 0 for cores divided by processes."""

    def processes_of(self, job: Job) -> int:
        """How many worker processes there are."""
        if job.backend.kind == "picpik":
            return 1  # one process fills the API's limits, and keeps the job's budget and pace
        return self.processes or -(-cores() // _CORES_PER_PROCESS)

    def threads_of(self, job: Job) -> Threads:
        """How many threads each of them uses: processes times threads make the cores."""
        matting = self.threads or max(1, cores() // self.processes_of(job))
        return Threads(matting, max(2, matting))

    def beam_options(self, job: Job, code: Code | None) -> dict[str, Any]:
        """See `Engine.beam_options`; a runner is named since Beam's default downloads one."""
        processes = self.processes_of(job)
        return {
            "runner": "FnApiRunner",
            "direct_num_workers": processes,
            "direct_running_mode": "multi_processing" if processes > 1 else "in_memory",
        }

    def lines(self, job: Job) -> Iterator[str]:
        """See `Engine.lines`."""
        threads = self.threads_of(job).matting
        yield f"local: {self.processes_of(job)} process(es) of {threads} matting thread(s)"

    def images_at_once(self, job: Job) -> float:
        """See `Engine.images_at_once`."""
        return self.processes_of(job) * self.threads_of(job).matting
