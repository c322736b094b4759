"""Apache Flink, by Beam's job server for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from apache_beam import version
from apache_beam.options.pipeline_options import FlinkRunnerOptions
from pydantic import Field

from alphabeam.pipelines.engines.base import Mistake
from alphabeam.pipelines.engines.portable import JobApiEngine

if TYPE_CHECKING:
    from alphabeam.pipelines.job import Job

__all__ = ["FlinkEngine"]


class FlinkEngine(JobApiEngine):
    """An Apache Flink cluster."""

    kind: Literal["flink"]
    """`flink`: a Flink cluster, by Beam's job server for it."""

    master: str = Field("", pattern=r"^(https?://)?([^/:\s]+:\d{1,5})?$")
    """`HOST:PORT` of the JobManager's REST interface; a job server that runs already knows it."""

    version: str = Field("", pattern=r"^(\d+\.\d+)?$")
    """The cluster's version, such as `1.20`; Beam's newest if empty."""

    parallelism: int = Field(ge=1, le=32768)
    """Most task slots at work for the job."""

    job_server_jar: str = ""
    """The job server's jar, which the launcher then starts: a path, or a URL. Beam downloads its
    own if neither this nor `job_endpoint` is given."""

    def runner_options(self) -> dict[str, Any]:
        """See `JobApiEngine.runner_options`."""
        return {
            "runner": "FlinkRunner",
            "flink_master": self.master or None,
            "flink_version": self.version or None,
            "flink_job_server_jar": self.job_server_jar or None,
            "parallelism": self.parallelism,
        }

    def mistakes(self, job: Job) -> Iterator[Mistake]:
        """See `Engine.mistakes`."""
        yield from super().mistakes(job)
        if self.job_endpoint and self.job_server_jar:
            yield Mistake(
                ("engine", "job_server_jar"),
                "a job server runs at engine.job_endpoint already; leave one of them out",
            )
        if not (self.job_endpoint or self.master):
            yield Mistake(
                ("engine", "master"),
                "is missing: HOST:PORT of the JobManager's REST interface, or "
                "engine.job_endpoint for a job server that runs already",
            )
        published = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
        if self.version and not self.job_endpoint and self.version not in published:
            yield Mistake(
                ("engine", "version"),
                f"Beam {version.__version__} has job servers for Flink {', '.join(published)}, "
                f"and none for {self.version}",
            )
        jar = self.job_server_jar
        if jar and "://" not in jar and not Path(jar).expanduser().is_file():
            yield Mistake(("engine", "job_server_jar"), f"{jar}: no such file")

    def lines(self, job: Job) -> Iterator[str]:
        """See `Engine.lines`."""
        yield from super().lines(job)
        yield f"at most {self.parallelism} task slots of {self.master or 'the cluster'}"

    def images_at_once(self, job: Job) -> float:
        """See `Engine.images_at_once`."""
        return self.parallelism * (self.threads or 1)
