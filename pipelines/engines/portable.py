"""Any runner behind Beam's Job API, and what Flink has in common with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from alphabeam.pipelines.engines.base import (
    EngineError,
    Mistake,
    RemoteEngine,
    RemoteJob,
    slug,
)
from alphabeam.pipelines.engines.workers import (
    PATTERN,
    below,
    environment_options,
    wrong_environment,
)
from alphabeam.transforms.metrics import read_metrics

if TYPE_CHECKING:
    from alphabeam.pipelines.engines.code import Code
    from alphabeam.pipelines.job import Job

__all__ = ["JobApiEngine", "PortableEngine"]

_ENDPOINT = r"^([^/:\s]+:\d{1,5})?$"
_PATIENCE_S = 10.0


class JobApiEngine(RemoteEngine):
    """An engine behind a job server. Its workers have alphabeam in their environment."""

    environment: str = Field(pattern=PATTERN)
    """What the workers are: `docker://IMAGE`, `external://HOST:PORT` for a worker pool,
    `process:///path/of/boot`, or `loopback` for this process. Each has alphabeam installed: nothing
    is staged."""

    job_endpoint: str = Field("", pattern=_ENDPOINT)
    """`HOST:PORT` of a running job server."""

    mounts: list[str] = []
    """Folders that all workers see under the same path, such as a network mount. Local paths
    elsewhere are refused."""

    processes: int = Field(1, ge=1, le=256)
    """Worker processes on each of the runner's machines."""

    def beam_options(self, job: Job, code: Code | None) -> dict[str, Any]:
        """See `Engine.beam_options`."""
        ours = {
            "job_name": slug(f"alphabeam-{job.name}"),
            "job_endpoint": self.job_endpoint or None,
            "sdk_worker_parallelism": self.processes,
            **environment_options(self.environment),
        }
        return self.merged(ours | self.runner_options())

    def runner_options(self) -> dict[str, Any]:
        """The options of the runner alone."""
        return {"runner": "PortableRunner"}

    def takes_unknown_options(self) -> bool:
        """True: a job server written in Java has options that Python does not know."""
        return True

    def sees(self, path: str) -> bool:
        """See `RemoteEngine.sees`."""
        return self.environment == "loopback" or below(path, self.mounts)

    def gives_environment(self) -> bool:
        """True: whoever starts the workers gives them their variables and files."""
        return True

    def keeps_running(self) -> bool:
        """See `RemoteEngine.keeps_running`."""
        return bool(self.job_endpoint) and self.environment != "loopback"

    def tells_of_workers(self) -> bool:
        """False: a job server waits for its workers in silence."""
        return False

    def unseen(self, place: str) -> str:
        """See `RemoteEngine.unseen`."""
        return (
            f"{place} is on this machine, and the workers may be on others; give a store's URL, or "
            "name under engine.mounts the folder that all of them see"
        )

    def mistakes(self, job: Job) -> Iterator[Mistake]:
        """See `Engine.mistakes`."""
        yield from super().mistakes(job)
        if wrong := wrong_environment(self.environment):
            yield Mistake(("engine", "environment"), wrong)
        if not self.wait and not self.keeps_running():
            yield Mistake(
                ("engine", "wait"),
                "this job would end with its launcher; give engine.job_endpoint, and an "
                "environment other than loopback, or wait: true",
            )

    def probe(self, job: Job) -> None:
        """See `Engine.probe`."""
        if self.job_endpoint:
            _job_service(self.job_endpoint)

    def lines(self, job: Job) -> Iterator[str]:
        """See `Engine.lines`."""
        server = f"job server {self.job_endpoint} answers" if self.job_endpoint else "its own"
        yield f"{self.kind}: {server}; workers are {self.environment}"

    def images_at_once(self, job: Job) -> float:
        """See `Engine.images_at_once`."""
        return self.processes * (self.threads or 1)

    def record(self, job: Job) -> dict[str, Any]:
        """See `RemoteEngine.record`."""
        return {"job_endpoint": self.job_endpoint} if self.keeps_running() else {}

    def submitted(self, result: Any) -> RemoteJob:
        """See `RemoteEngine.submitted`."""
        return _PortableJob(result)

    def attach(self, record: Mapping[str, Any]) -> RemoteJob:
        """See `RemoteEngine.attach`."""
        import grpc
        from apache_beam.portability.api import beam_job_api_pb2
        from apache_beam.runners.portability.portable_runner import PipelineResult

        if not record.get("job_endpoint"):
            raise EngineError("the job server ended with the job's launcher; nothing is left of it")
        service = _job_service(record["job_endpoint"])
        request = beam_job_api_pb2.GetJobStateRequest(job_id=record["id"])
        try:
            service.GetState(request, timeout=_PATIENCE_S)
            states = service.GetStateStream(request)
            messages = service.GetMessageStream(
                beam_job_api_pb2.JobMessagesRequest(job_id=record["id"])
            )
        except grpc.RpcError as error:
            raise EngineError(
                f"the job server {record['job_endpoint']} does not know job {record['id']}: "
                f"{error.code().name}"
            ) from None
        return _PortableJob(PipelineResult(service, record["id"], messages, states))


class _PortableJob(RemoteJob):
    """A job behind the Job API; Beam's result says neither its id nor metrics that go on."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self.id = result._job_id

    def state(self) -> str:
        return str(self._result.state)

    def numbers(self) -> dict[str, Any]:
        self._result._metrics = None  # it would give the first answer for ever
        return read_metrics(self._result)

    def cancel(self) -> None:
        self._result.cancel()

    def reason(self) -> str:
        try:
            self._result.wait_until_finish()
        except Exception as error:
            return str(error)
        return "the job server gives no reason; see its log"


class PortableEngine(JobApiEngine):
    """Any runner that has a job server of Beam's Job API."""

    kind: Literal["portable"]
    """`portable`: a job server, which runs the job on workers of its own."""

    job_endpoint: str = Field(pattern=r"^[^/:\s]+:\d{1,5}$")
    """`HOST:PORT` of the job server."""


def _job_service(endpoint: str) -> Any:
    """The client of a job server.

    Raises:
        EngineError: Nobody listens there.
    """
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2_grpc

    channel = grpc.insecure_channel(endpoint)
    try:
        grpc.channel_ready_future(channel).result(timeout=_PATIENCE_S)
    except grpc.FutureTimeoutError:
        raise EngineError(
            f"engine.job_endpoint: no job server answers at {endpoint}; start one, or correct it"
        ) from None
    return beam_job_api_pb2_grpc.JobServiceStub(channel)
