"""A job's engine section, as Beam's options and as threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from alphabeam.pipelines.job import Job
from alphabeam.transforms.cores import cores

__all__ = ["Threads", "pipeline_options", "processes_of", "threads_of"]

_CORES_PER_PROCESS = 8  # beyond it, the interpreter lock costs more than another model in memory


class Threads(NamedTuple):
    """Threads per process.

    Attributes:
        matting: For the network and the matting.
        encoding: For encoding and writing.
    """

    matting: int
    encoding: int


def processes_of(job: Job) -> int:
    """How many worker processes the job's engine starts."""
    if job.backend.kind == "picpik":
        return 1  # one process fills the API's limits, and keeps the job's budget and pace
    return job.engine.processes or -(-cores() // _CORES_PER_PROCESS)


def threads_of(job: Job) -> Threads:
    """How many threads each of them uses: processes times threads make the cores."""
    matting = job.engine.threads or max(1, cores() // processes_of(job))
    return Threads(matting, max(2, matting))


def pipeline_options(job: Job, beam_arguments: Sequence[str] = ()) -> PipelineOptions:
    """Beam's options for a job's engine.

    Args:
        job: The job.
        beam_arguments: Further options as on a command line; they win.

    Returns:
        The options, with a runner named in every case: Beam's own default tries to download one.
    """
    options = PipelineOptions(list(beam_arguments))
    if options.view_as(StandardOptions).runner is None:
        processes = processes_of(job)
        mode = "multi_processing" if processes > 1 else "in_memory"
        options = PipelineOptions(
            [
                "--runner=FnApiRunner",
                f"--direct_num_workers={processes}",
                f"--direct_running_mode={mode}",
                *beam_arguments,
            ]
        )
    return options
