"""A job on other machines: submitted, watched, left alone, found again, cancelled."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, TestOptions

from alphabeam.pipelines.catalogue import Catalogue
from alphabeam.pipelines.engines import (
    EngineError,
    RemoteEngine,
    RemoteJob,
    pipeline_options,
    threads_of,
)
from alphabeam.pipelines.job import Job
from alphabeam.pipelines.progress import ProgressBar, Seen
from alphabeam.transforms import lease, storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.metadata import read_committed
from alphabeam.transforms.output import Output

__all__ = [
    "JobRecord",
    "cancel",
    "engine_of",
    "find",
    "read_record",
    "refuse_second",
    "status_lines",
    "submit",
    "wait",
]

# Beam's states in which a job will not go on.
_ENDED = ("DONE", "FAILED", "CANCELLED", "DRAINED", "UPDATED")
_POLL_S = 5.0
_SILENCE_S = 60.0  # after which a job server of which nothing is heard gets a word
_CANCEL_S = 300.0


@dataclass(frozen=True)
class JobRecord:
    """``ledger/job.json``: what a later process needs to find a submitted job.

    Attributes:
        engine: The engine's kind.
        id: The service's name for the job.
        run_id: The run.
        job: The job's name.
        submitted_at: UTC, ISO 8601.
        service: Where the service is, as the engine says it.
    """

    engine: str
    id: str
    run_id: str
    job: str
    submitted_at: str
    service: dict[str, Any] = field(default_factory=dict)


def engine_of(job: Job) -> RemoteEngine:
    """The job's engine.

    Raises:
        EngineError: It is this machine.
    """
    if not isinstance(job.engine, RemoteEngine):
        raise EngineError(
            "engine.kind is local: such a job ends with its launcher, so there is none to find"
        )
    return job.engine


def submit(
    job: Job,
    output: Output,
    run_id: str,
    started: datetime,
    beam_arguments: Sequence[str] = (),
    *,
    work: str = "",
    fresh: bool = False,
) -> tuple[JobRecord, RemoteJob] | None:
    """Submits a job, and writes down where it is.

    Args:
        job: The job.
        output: Its output.
        run_id: This run's name.
        started: When it was begun, UTC.
        beam_arguments: Further options for Beam; they win.
        work: The first of the runs that this one goes on for.
        fresh: Do everything again, whatever the ledger says.

    Returns:
        What was submitted; None where Beam's options ask for a template or a dry run, of which
        this says a line.
    """
    engine = engine_of(job)
    with tempfile.TemporaryDirectory(prefix="alphabeam-") as folder, _within(folder):
        seen, code = engine.brought(job, Path(folder))
        options = pipeline_options(seen, beam_arguments, code)
        pipeline = beam.Pipeline(options=options)
        pipeline | "Catalogue" >> Catalogue(
            seen,
            run_id,
            threads_of(seen),
            redistribute=True,
            work=work,
            fresh=fresh,
            started=started,
        )
        result = pipeline.run()
    if words := _not_submitted(options):
        print(f"{job.name}: {words}")
        return None
    submitted = engine.submitted(result)
    record = JobRecord(
        engine.kind,
        submitted.id,
        run_id,
        job.name,
        f"{started:%Y-%m-%dT%H:%M:%SZ}",
        engine.record(job),
    )
    output.put(output.job, json.dumps(asdict(record), indent=1).encode())
    return record, submitted


def _not_submitted(options: PipelineOptions) -> str:
    template = options.view_as(GoogleCloudOptions).template_location
    if template:
        return (
            f"the template {template} was written, and nothing runs; it is for one run: write it "
            "anew for the next one"
        )
    if options.view_as(TestOptions).dry_run:
        return "a dry run: the graph was built, and nothing was submitted"
    return ""


@contextlib.contextmanager
def _within(folder: str) -> Iterator[None]:
    """Works in a folder, so that options name its files without this machine's paths."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def read_record(output: Output) -> JobRecord | None:
    """The last job that was submitted to other machines; None if there was none."""
    try:
        return JobRecord(**json.loads(output.read(output.job)))
    except (TypeError, ValueError):
        raise EngineError(f"{output.job} is broken; remove it") from None
    except RowError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return None
        raise


def find(job: Job, output: Output) -> tuple[JobRecord, RemoteJob]:
    """Finds the last job that was submitted for an output.

    Raises:
        EngineError: There was none, or its service does not know it any more.
    """
    engine = engine_of(job)
    record = read_record(output)
    if record is None:
        raise EngineError(
            f"no job was submitted to other machines for {storage.redact(output.directory)}"
        )
    if record.engine != engine.kind:
        raise EngineError(
            f"the last job was submitted to {record.engine}, and engine.kind is {engine.kind}"
        )
    return record, engine.attach({**record.service, "id": record.id})


def refuse_second(job: Job, output: Output) -> None:
    """Makes sure that no submitted job still works on an output, whose launcher may be gone.

    The lease of one that is over is ended, so that the next run need not watch it.

    Raises:
        EngineError: One does.
    """
    record = read_record(output)
    if record is None or record.engine != engine_of(job).kind:
        return
    try:
        state = find(job, output)[1].state()
    except EngineError:  # its service is gone; the lease will tell
        return
    if state not in _ENDED:
        raise EngineError(
            f"job {record.id} of {record.submitted_at} is {state.lower()} and writes to "
            f"{storage.redact(output.directory)}; --wait waits for it, --cancel ends it"
        )
    lease.give_free(output, record.run_id, interrupted=state != "DONE")


def status_lines(job: Job, output: Output) -> Iterator[str]:
    """What ``--status`` says."""
    record, submitted = find(job, output)
    state = submitted.state()
    yield (
        f"{record.job}: {state.lower()} on {record.engine}, job {record.id}, run {record.run_id}, "
        f"submitted at {record.submitted_at}"
    )
    seen = _reader(output, record, submitted)()
    of = "" if seen.total is None else f" of {seen.total}"
    yield f"  {seen.rows}{of} rows: {seen.done} done, {seen.before} before, {seen.failed} failed"
    if state == "FAILED":
        yield f"  {_last_line(submitted.reason())}"


def cancel(job: Job, output: Output) -> str:
    """Cancels the last job; gives the state in which it ended."""
    record, submitted = find(job, output)
    state = submitted.state()
    if state in _ENDED:
        return state
    submitted.cancel()
    deadline = time.monotonic() + _CANCEL_S
    while (state := submitted.state()) not in _ENDED:
        if time.monotonic() > deadline:
            raise EngineError(f"job {record.id} is still {state.lower()}; look at it again later")
        time.sleep(1.0)
    lease.give_free(output, record.run_id, interrupted=True)
    return state


def wait(
    job: Job,
    output: Output,
    record: JobRecord,
    submitted: RemoteJob,
    *,
    quiet: bool = False,
    sleep: Callable[[float], Any] = time.sleep,
) -> None:
    """Waits for a job's end, and shows how far it is.

    Raises:
        EngineError: It did not come to its end; the message says why.
    """
    began = time.monotonic()
    look = _reader(output, record, submitted)
    with ProgressBar(look, quiet, every=_POLL_S):
        warned = False
        while (state := submitted.state()) not in _ENDED:
            sleep(min(_POLL_S, 0.2 + (time.monotonic() - began) / 10))
            silent = time.monotonic() - began > _SILENCE_S
            if silent and not warned and not engine_of(job).tells_of_workers():
                warned = True
                if not output.exists(output.survey(record.run_id)):
                    print(f"{job.name}: {_NOBODY}", file=sys.stderr, flush=True)
    if state == "FAILED":
        raise EngineError(_last_line(submitted.reason()))
    if state != "DONE":
        raise EngineError(
            f"job {record.id} was {state.lower()} before it was done; start it again and it goes "
            "on where it was"
        )


_NOBODY = (
    "nothing was heard of a worker for a minute; if the manifest is not very long, see whether the "
    "workers start: a worker pool starts the first python on its PATH, which needs Beam and "
    "alphabeam"
)


def _reader(output: Output, record: JobRecord, submitted: RemoteJob) -> Callable[[], Seen]:
    """How far a job is, by Beam's counters and the survey's count."""
    total: list[int] = []
    lock = threading.Lock()

    def look() -> Seen:
        with lock:
            if not total:
                total.extend(_rows_of(output, record.run_id))
            try:
                numbers = submitted.numbers()
            except Exception:  # a service that does not answer for once
                numbers = {}
        return Seen(
            total[0] if total else None,
            numbers.get("rows_done", 0),
            numbers.get("rows_finished_before", 0),
            numbers.get("rows_failed", 0),
            numbers.get("credits", 0),
        )

    return look


def _rows_of(output: Output, run_id: str) -> Iterator[int]:
    """The rows of a run's manifest, once they are counted."""
    with contextlib.suppress(RowError, ValueError, KeyError):
        yield json.loads(output.read(output.survey(run_id)))["rows"]
        return
    with contextlib.suppress(RowError):  # the commit removes the survey
        yield read_committed(output, run_id).rows


def _last_line(text: str) -> str:
    """The last line of a traceback that says something; Beam adds where it ran."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the service gives no reason"
