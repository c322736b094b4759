"""Google Cloud Dataflow."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import Field

from alphabeam.pipelines.engines.base import (
    EngineError,
    Mistake,
    RemoteEngine,
    RemoteJob,
    Threads,
    slug,
)
from alphabeam.pipelines.engines.beam_options import arguments_of
from alphabeam.pipelines.engines.images import wrong_versions
from alphabeam.pipelines.engines.machines import machine
from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.metrics import NAMESPACE

if TYPE_CHECKING:
    from alphabeam.pipelines.engines.code import Code
    from alphabeam.pipelines.job import Job

__all__ = ["DataflowEngine"]

# Memory of one process: Python with its libraries, the model and its arena, the look-up of
# finished rows; and for each pixel in flight what docs/job.md says: 64 million take about 2 GB.
_PROCESS_GB = 1.5
_BYTES_PER_PIXEL = 32
_USABLE = 0.85  # of a VM's memory; the rest is the system's and Dataflow's own

# List prices of us-central1 for batch, in US dollars an hour (November 2026).
_VCPU_HOUR, _GB_HOUR = 0.056, 0.003557


class DataflowEngine(RemoteEngine):
    """Google Cloud Dataflow; needs the extra `dataflow`."""

    kind: Literal["dataflow"]
    """`dataflow`: VMs of Google Cloud, started and stopped for the job."""

    project: str = Field(pattern=r"^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$")
    """The Google Cloud project that pays."""

    region: str = Field(pattern=r"^[a-z]+-[a-z]+\d+$")
    """Where the VMs run, such as `europe-west1`; best where the pictures are."""

    staging: str = Field(pattern=r"^gs://[a-z0-9][a-z0-9._-]+(/\S*)?$")
    """A folder of Google Cloud Storage for code, models and temporary files of jobs."""

    workers: int = Field(ge=1, le=4000)
    """Most VMs at one time. Dataflow starts as many as are worth it; each costs money, so this has
    no default."""

    machine_type: str = Field("n2-standard-4", pattern=r"^[a-z0-9-]+$")
    """The VMs' type. Up to 8 cores are used well."""

    image: str = Field("", pattern=r"^\S*$")
    """A container image with alphabeam in it. Without one, this launcher's alphabeam and the
    versions of its libraries are installed on every VM, which takes some minutes."""

    packages: list[str] = []
    """Further packages for the VMs: requirements such as `adlfs==2026.5`, or wheels."""

    service_account: str = Field("", pattern=r"^(\S+@\S+)?$")
    """The service account of the VMs; Compute Engine's own if empty."""

    subnetwork: str = Field("", pattern=r"^(regions/|https://)?\S*$")
    """`regions/REGION/subnetworks/NAME`, if it is not the default one."""

    public_ips: bool = True
    """Whether VMs have public addresses. Without them they install nothing: give an image."""

    labels: dict[str, str] = {}
    """Labels of the job and its VMs, beside alphabeam's own, for the bill."""

    processes: int = Field(1, ge=0, le=1)
    """1: one process per VM, with one model and one pixel window, and a thread for each core. 0:
    Dataflow's own way, one process of one thread for each core."""

    def threads_of(self, job: Job) -> Threads:
        """See `Engine.threads_of`."""
        threads = self.threads or (0 if self.processes else 1)
        return Threads(threads, threads)

    def beam_options(self, job: Job, code: Code | None) -> dict[str, Any]:
        """See `Engine.beam_options`."""
        from alphabeam.pipelines.engines.code import version_of

        staging = self.staging.rstrip("/")
        labels = {
            "alphabeam": slug(version_of("alphabeam")),
            "alphabeam-job": slug(job.name),
            "alphabeam-backend": job.backend.kind,
            **self.labels,
        }
        experiments = ["disable_logging_submission_environment"]  # it holds this machine's paths
        if self.processes == 1:
            experiments.append("no_use_multiple_sdk_containers")
        ours: dict[str, Any] = {
            "runner": "DataflowRunner",
            "project": self.project,
            "region": self.region,
            "job_name": slug(f"alphabeam-{job.name}"),
            "staging_location": f"{staging}/staging",
            "temp_location": f"{staging}/temp",
            "max_num_workers": self.workers,
            "machine_type": self.machine_type,
            "labels": [f"{key}={value}" for key, value in sorted(labels.items())],
            "experiments": experiments,
            "sdk_container_image": self.image or None,
            "service_account_email": self.service_account or None,
            "subnetwork": self.subnetwork or None,
            "no_use_public_ips": not self.public_ips,
        }
        if code is not None:
            ours |= {
                "requirements_file": code.requirements,
                "requirements_cache": "skip",  # the VMs download them; we need not bring them
                "extra_packages": code.packages,
            }
        return self.merged(ours)

    def gives_environment(self) -> bool:
        """See `RemoteEngine.gives_environment`."""
        return bool(self.image)

    def model_must_be_reachable(self) -> bool:
        """False: it is brought to the staging folder."""
        return False

    def unseen(self, place: str) -> str:
        """See `RemoteEngine.unseen`."""
        return f"{place} is on this machine; Dataflow's VMs see stores only: give gs://BUCKET/…"

    def mistakes(self, job: Job) -> Iterator[Mistake]:
        """See `Engine.mistakes`."""
        yield from super().mistakes(job)
        if self.image:
            if wrong := wrong_versions(self.image):
                yield Mistake(
                    ("engine", "image"),
                    f"{wrong}; build the image anew, or launch from an environment like it",
                )
            if self.packages:
                yield Mistake(
                    ("engine", "packages"),
                    "an image is used as it is: install them into the image, or leave one out",
                )
        elif not self.public_ips:
            yield Mistake(
                ("engine", "public_ips"),
                "VMs without public addresses cannot install packages; give engine.image, an "
                "image with alphabeam in it",
            )
        for number, package in enumerate(self.packages):
            if wrong := _wrong_package(package):
                yield Mistake(("engine", "packages", str(number)), wrong)
        for key, value in self.labels.items():
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(
                r"[a-z0-9_-]{0,63}", value
            ):
                yield Mistake(
                    ("engine", "labels", key),
                    "labels have lower-case letters, digits, '_' and '-', 63 at most, and a key "
                    "begins with a letter",
                )
        yield from self._too_little_memory()

    def _too_little_memory(self) -> Iterator[Mistake]:
        found = machine(self.machine_type)
        if found is None:
            return
        processes = self.processes or found.cores
        each = _PROCESS_GB + self.pixels_in_flight * _BYTES_PER_PIXEL / 1e9
        if processes * each > _USABLE * found.gigabytes:
            most = (_USABLE * found.gigabytes / processes - _PROCESS_GB) * 1e9 / _BYTES_PER_PIXEL
            window = f"engine.pixels_in_flight: {int(most // 1_000_000)}000000 or fewer, or "
            yield Mistake(
                ("engine", "machine_type"),
                f"{self.machine_type} has {found.gigabytes:g} GB, and {processes} process(es) "
                f"with {self.pixels_in_flight} pixels in flight need {processes * each:.1f} GB; "
                f"set {window if most >= 1_000_000 else ''}another machine type",
            )

    def probe(self, job: Job) -> None:
        """See `Engine.probe`."""
        if importlib.util.find_spec("google.cloud.dataflow") is None:
            raise EngineError(
                "engine.kind: Beam's libraries for Google Cloud are not installed; "
                "pip install 'alphabeam[dataflow]'"
            )
        uri = storage.join(self.staging, ".alphabeam-probe")
        try:
            storage.put(uri, b"alphabeam tries whether it may write here\n", options=job.storage)
            storage.delete([uri], options=job.storage)
        except RowError as error:
            raise EngineError(f"engine.staging: cannot be written: {error.message}") from None

    def lines(self, job: Job) -> Iterator[str]:
        """See `Engine.lines`."""
        found = machine(self.machine_type)
        per_vm = "one process per VM" if self.processes else "one process per core"
        size = f" ({found.cores} cores, {found.gigabytes:g} GB)" if found else ""
        yield f"dataflow: at most {self.workers} x {self.machine_type}{size}, {per_vm}"
        yield f"{self.project}, {self.region}; staging {self.staging} may be written"
        yield f"workers run {self.image}" if self.image else "workers install this alphabeam"

    def images_at_once(self, job: Job) -> float:
        """See `Engine.images_at_once`."""
        found = machine(self.machine_type)
        return self.workers * (self.threads or (found.cores if found else 1))

    def dollars_per_hour(self) -> float | None:
        """What all VMs cost an hour by list prices, without disks and shuffle."""
        found = machine(self.machine_type)
        if found is None:
            return None
        return self.workers * (found.cores * _VCPU_HOUR + found.gigabytes * _GB_HOUR)

    def record(self, job: Job) -> dict[str, Any]:
        """See `RemoteEngine.record`."""
        return {
            "project": self.options.get("project", self.project),
            "region": self.options.get("region", self.region),
        }

    def brought(self, job: Job, folder: Path) -> tuple[Job, Code | None]:
        """See `RemoteEngine.brought`."""
        from alphabeam.pipelines.engines.code import stage
        from alphabeam.pipelines.engines.models import with_uploaded_model

        job = with_uploaded_model(job, storage.join(self.staging, "models"))
        return job, None if self.image else stage(job, folder, self.packages)

    def submitted(self, result: Any) -> RemoteJob:
        """See `RemoteEngine.submitted`."""
        return _DataflowJob(result._runner.dataflow_client, result.job_id())

    def attach(self, record: Mapping[str, Any]) -> RemoteJob:
        """See `RemoteEngine.attach`."""
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient

        given = {name: record[name] for name in ("project", "region")}
        for name in ("dataflow_endpoint", "no_auth"):
            given[name] = self.options.get(name)
        given["staging_location"] = self.staging
        client = DataflowApplicationClient(PipelineOptions(arguments_of(given)))
        job = _DataflowJob(client, record["id"])
        try:
            job.state()
        except Exception as error:
            raise EngineError(
                f"Dataflow does not tell of job {record['id']} in {record['project']}, "
                f"{record['region']}: {' '.join(str(error).split())}"
            ) from None
        return job


class _DataflowJob(RemoteJob):
    """A job of Dataflow, by Beam's client of its service."""

    def __init__(self, client: Any, id: str) -> None:
        self._client = client
        self.id = id

    def state(self) -> str:
        state = self._client.get_job(self.id).current_state
        return str(getattr(state, "name", state)).removeprefix("JOB_STATE_")

    def numbers(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for metric in self._client.get_job_metrics(self.id).metrics:
            context = dict(metric.name.context)
            if context.get("namespace") != NAMESPACE or context.get("tentative"):
                continue
            name = metric.name.name
            if metric.distribution:
                values = dict(metric.distribution)
                count = int(values["count"])
                found[name] = {
                    "count": count,
                    "min": values["min"],
                    "max": values["max"],
                    "mean": round(values["sum"] / count, 1) if count else 0.0,
                }
            else:
                found[name] = found.get(name, 0) + int(metric.scalar)
        return found

    def cancel(self) -> None:
        if not self._client.modify_job_state(self.id, "JOB_STATE_CANCELLED"):
            raise EngineError(f"Dataflow did not take the request to cancel job {self.id}")

    def reason(self) -> str:
        """The job's last error; it may come some time after its end."""
        for pause in (0.0, 2.0, 5.0, 10.0, 15.0):
            time.sleep(pause)
            messages, _ = self._client.list_messages(self.id)
            texts = [
                str(message.message_text)
                for message in messages
                if getattr(message.message_importance, "name", "") == "JOB_MESSAGE_ERROR"
            ]
            if texts:
                return next((text for text in reversed(texts) if "Traceback" in text), texts[-1])
        return "Dataflow gives no reason; see the job's log"


def _wrong_package(package: str) -> str | None:
    """What is wrong with one of ``packages``; None if nothing is."""
    if "/" in package or package.endswith((".whl", ".tar.gz")):
        if not Path(package).expanduser().is_file():
            return f"{package}: no such file; give a wheel's path, or NAME==VERSION"
        return None
    try:
        Requirement(package)
    except InvalidRequirement:
        return f"{package!r} is no requirement; write NAME==VERSION, or a wheel's path"
    return None
