"""The Beam graph of a job, on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import apache_beam as beam

from alphabeam.pipelines.engines import LocalEngine, Threads
from alphabeam.pipelines.job import Api, Job
from alphabeam.pipelines.job import LocalBackend as LocalSection
from alphabeam.pipelines.notify import notify
from alphabeam.pipelines.progress import Progress
from alphabeam.pipelines.report import write_ending
from alphabeam.transforms import storage
from alphabeam.transforms.backends.cascade import CascadeBackend
from alphabeam.transforms.backends.local import LocalBackend
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.crashes import Marks
from alphabeam.transforms.cutouts import WriteCutouts
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.images import ReadImages
from alphabeam.transforms.ledger import Finished, Journal, PassFinished, SkipSameContent
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    ReadManifest,
    Survey,
    read_shard,
    survey,
)
from alphabeam.transforms.metadata import Committed, WriteMetadata
from alphabeam.transforms.output import FOLDERS, Output
from alphabeam.transforms.pool import Overlap
from alphabeam.transforms.remove_background import RemoveBackground
from alphabeam.transforms.renditions.plan import Renditions, collisions
from alphabeam.transforms.rows import PENDING, Row
from alphabeam.transforms.thumbnails import Thumbnails

__all__ = [
    "Catalogue",
    "allow_of",
    "backend_of",
    "limits_of",
    "manifest_of",
    "output_of",
    "renditions_of",
    "taken_names",
]


def manifest_of(job: Job) -> Manifest:
    """The job's manifest as the transforms take it."""
    output = output_of(job)
    return Manifest(
        job.input.manifest,
        job.input.format,
        job.matting.parameters(),
        job.storage or None,
        exclude=(
            *(f"{output.uri(folder)}/" for folder in FOLDERS),
            output.summary,
            output.failures,
        ),
        allow_empty=job.input.allow_empty,
        delimiter=job.input.delimiter,
        encoding=job.input.encoding,
        columns={str(ours): theirs for ours, theirs in job.input.columns.items()},
    )


def output_of(job: Job) -> Output:
    """The job's output as the transforms take it."""
    given = job.output
    return Output(
        given.directory,
        job.storage or None,
        given.cutout_format,
        given.metadata,
        given.names,
    )


def renditions_of(job: Job, taken: frozenset[int] = frozenset()) -> Renditions:
    """The job's renditions as the transforms take them.

    Args:
        job: The job.
        taken: Digests of file names that several rows would give; they fail.
    """
    return Renditions(
        job.output.all_renditions(),
        job.storage or None,
        keep_names=job.output.names == "keep",
        taken=taken,
    )


def taken_names(job: Job) -> frozenset[int]:
    """Digests of the names that several rows would give their renditions' files."""
    renditions = renditions_of(job)
    if not renditions:
        return frozenset()
    manifest = manifest_of(job)

    def rows() -> Iterator[Row]:
        surveyed = survey(manifest)
        for shard in surveyed.shards:
            yield from read_shard(manifest, shard, surveyed.collisions)

    return collisions(rows(), renditions)


def limits_of(job: Job) -> Limits:
    """The job's limits as the transforms take them."""
    given = job.input
    return Limits(
        given.max_pixels,
        given.max_bytes,
        given.max_decode_seconds,
        given.damaged,
        given.read_timeout,
    )


def allow_of(job: Job) -> storage.AllowList:
    """Where the job's rows may read from."""
    return storage.AllowList.of(job.input.manifest, job.input.allow)


def backend_of(
    job: Job, threads: int = 0, work: str = "", run_id: str = ""
) -> LocalBackend | PicpikBackend | CascadeBackend:
    """The job's backend as the transforms take it.

    Args:
        job: The job.
        threads: Images matted at once per process; 0 for as many as cores.
        work: The run whose budget it has; a new one's if empty.
        run_id: The run that has the output's lease, and whose survey counts the rows; needed where
            the backend is to be opened.
    """
    given = job.backend
    if given.kind == "local":
        return _local_of(job, given, threads)
    if given.kind == "picpik":
        return _api_of(job, given, work, run_id)
    return CascadeBackend(
        below=given.below,
        flags=tuple(given.flags),
        at_most=given.at_most,
        local=_local_of(job, given.local, threads),
        picpik=_api_of(job, given.picpik, work, run_id),
        survey=output_of(job).survey(run_id),
    )


def _local_of(job: Job, given: LocalSection, threads: int) -> LocalBackend:
    settings = given.model_dump(exclude={"kind"})
    settings["model"] = given.model  # a dump would make a plain text of a reference
    return LocalBackend(
        **settings,
        threads=threads,
        pixels_in_flight=job.engine.pixels_in_flight,
        storage_options=job.storage or None,
    )


def _api_of(job: Job, given: Api, work: str, run_id: str) -> PicpikBackend:
    settings = given.model_dump(exclude={"kind", "confirm_over"})
    settings["retry_codes"] = tuple(settings["retry_codes"])
    settings["allowed_hosts"] = tuple(settings["allowed_hosts"])
    if work:
        settings["run"] = work
    return PicpikBackend(output_of(job), run_id=run_id, **settings)


@dataclass
class Catalogue(beam.PTransform):
    """A whole job: manifest in, cutouts, masks and metadata out; gives one `Committed`.

    Attributes:
        job: What to do.
        run_id: This run's name.
        threads: How many threads each process may use.
        redistribute: Spread the rows over workers; not for the local runner.
        work: The first of the runs that were killed and that this one goes on for; empty for this
            one. They have one budget.
        fresh: Do everything again, whatever the ledger says.
        progress: Gets the manifest's size and every finished row.
        started: When the run was begun, UTC, if its last step is to write the summary: the launcher
            may be gone by then.
    """

    job: Job
    run_id: str
    threads: Threads
    redistribute: bool = False
    work: str = ""
    fresh: bool = False
    progress: Progress | None = None
    started: datetime | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[Committed]:
        """Builds the graph."""
        job, output = self.job, output_of(self.job)
        backend = backend_of(job, self.threads.matting, self.work, self.run_id)
        journal = Journal(output, self.run_id)
        finished = Finished(output, journal)
        renditions = renditions_of(job, taken_names(job))
        thumbnails = Thumbnails(output) if job.output.report else None
        marks = Marks(output, self.run_id, heed=not self.fresh)

        rows = pbegin | "ReadManifest" >> ReadManifest(
            manifest_of(job),
            redistribute=self.redistribute,
            on_survey=_Surveyed(output, self.run_id, job.input.allow_empty, self.progress),
        )
        allow = allow_of(job)
        read = ReadImages(
            limits_of(job),
            threads=job.input.threads,
            storage_options=output.storage,
            allow=allow,
            marks=marks,
        )
        write = WriteCutouts(
            output,
            threads=self.threads.encoding,
            pixels_in_flight=job.engine.pixels_in_flight,
            journal=journal,
            renditions=renditions,
            run_id=self.run_id,
            thumbnails=thumbnails,
            finished=finished,
        )
        first, *second = RemoveBackground(backend).stages
        begin, end = marks.watch(first, write.stage)
        stages = [read.stage, begin, *second, end]
        if renditions:
            # Before anything is bought: a row whose renditions cannot be named fails.
            rows |= "Plan" >> beam.Map(_Plan(renditions)).with_output_types(Row)
        passed = None
        if not self.fresh:
            looked_up = rows | "PassFinished" >> PassFinished(
                finished,
                backend,
                self.run_id,
                allow=allow,
                read_timeout=job.input.read_timeout,
                renditions=renditions,
                on_passed=self.progress.passed if self.progress else None,
            )
            rows, passed = looked_up.rows, looked_up.groups
            stages.insert(1, SkipSameContent(finished, backend).stage)
        committed = (
            rows
            # As one step and not as four: no image waits in one for another image in the next.
            | "Images" >> Overlap(*stages, output_type=Row)
            | "WriteMetadata"
            >> WriteMetadata(
                output,
                self.run_id,
                on_row=self.progress.row if self.progress else None,
                journal=journal,
                finished=finished,
                thumbnails=thumbnails,
                passed=passed,
                defaults=self.job.matting.parameters(),
            )
        )
        if self.started is None:
            return committed
        # Of the engine, which may know this machine's paths, the step needs nothing; nor of the
        # notification, which may be a secret of the launcher's, where that sends it.
        unneeded = {"notify": ""} if job.engine.launcher_waits() else {}
        alone = job.model_copy(update={"engine": LocalEngine(), **unneeded})
        return committed | "Summary" >> beam.Map(
            _Summarize(alone, self.started, not job.engine.launcher_waits())
        ).with_output_types(Committed)


@dataclass(frozen=True)
class _Summarize:
    """Writes the summary of a run that is whole, on the worker that has committed it.

    Where no launcher waits, it does what that would do at the end: the report, the notification.
    """

    job: Job
    started: datetime
    nobody_waits: bool

    def __call__(self, committed: Committed) -> Committed:
        output = output_of(self.job)
        summary = write_ending(
            self.job, output, committed, {}, self.started, report=self.nobody_waits
        )
        if self.nobody_waits:
            notify(self.job.notify, summary.as_record())
        return committed


@dataclass(frozen=True)
class _Plan:
    """Fails rows that ask for renditions which they cannot get."""

    renditions: Renditions

    def __call__(self, row: Row) -> Row:
        row = Row.of(row)
        if row.status != PENDING:
            return row
        try:
            self.renditions.plan(row)
        except RowError as error:
            return row.failed("manifest", error)
        return row


@dataclass(frozen=True)
class _Surveyed:
    """Keeps what the survey found, so that the commit can prove its rows."""

    output: Output
    run_id: str
    allow_empty: bool
    progress: Progress | None

    def __call__(self, found: Survey) -> None:
        if not found.rows and not self.allow_empty and self._had_rows():
            raise ManifestError(
                "the manifest has no rows, and the last run's had some; if that is right, set "
                "input.allow_empty: true"
            )
        survey = json.dumps({"rows": found.rows, "lines": found.lines})
        self.output.put(self.output.survey(self.run_id), survey.encode())
        if self.progress is not None:
            self.progress.total(found.rows)

    def _had_rows(self) -> bool:
        return any(uri.endswith(".parquet") for uri in self.output.committed_files())
