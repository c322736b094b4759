"""Where a job runs: one file for each engine, with its settings and what it does with them.

An engine is a section of the job file that knows how to say itself in Beam's options, which of a
job's settings cannot work with it, and how to find a submitted job again. A new one is a file here,
and a line in `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from alphabeam.pipelines.engines.base import (
    Engine,
    EngineError,
    Mistake,
    RemoteEngine,
    RemoteJob,
    Threads,
)
from alphabeam.pipelines.engines.dataflow import DataflowEngine
from alphabeam.pipelines.engines.flink import FlinkEngine
from alphabeam.pipelines.engines.local import LocalEngine
from alphabeam.pipelines.engines.portable import PortableEngine

if TYPE_CHECKING:
    from alphabeam.pipelines.engines.code import Code
    from alphabeam.pipelines.job import Job

__all__ = [
    "ENGINES",
    "DataflowEngine",
    "Engine",
    "EngineError",
    "FlinkEngine",
    "LocalEngine",
    "Mistake",
    "PortableEngine",
    "RemoteEngine",
    "RemoteJob",
    "Threads",
    "pipeline_options",
    "threads_of",
]

# By the name that a job file calls them.
ENGINES: dict[str, type[Engine]] = {
    "local": LocalEngine,
    "dataflow": DataflowEngine,
    "flink": FlinkEngine,
    "portable": PortableEngine,
}


def threads_of(job: Job) -> Threads:
    """How many threads each of the job's processes uses."""
    return job.engine.threads_of(job)


def pipeline_options(
    job: Job, beam_arguments: Sequence[str] = (), code: Code | None = None
) -> PipelineOptions:
    """Beam's options for a job's engine.

    Args:
        job: The job.
        beam_arguments: Further options as on a command line; they win. With a runner among them,
            they are all that a local job has.
        code: What is staged for the workers.

    Returns:
        The options, with a runner named in every case.
    """
    own = PipelineOptions(list(beam_arguments))
    if not job.engine.remote and own.view_as(StandardOptions).runner is not None:
        return own
    return PipelineOptions([*job.engine.arguments(job, code), *beam_arguments])
