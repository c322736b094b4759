"""The Beam graph of a job, on one page."""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from alphabeam.pipelines.engines import Threads
from alphabeam.pipelines.job import Job
from alphabeam.pipelines.progress import Progress
from alphabeam.transforms.backends.local import LocalBackend
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.cutouts import WriteCutouts
from alphabeam.transforms.images import ReadImages
from alphabeam.transforms.ledger import SkipFinished
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.manifest import Manifest, ReadManifest
from alphabeam.transforms.metadata import Committed, WriteMetadata
from alphabeam.transforms.output import Output
from alphabeam.transforms.remove_background import RemoveBackground

__all__ = ["Catalogue", "backend_of", "limits_of", "manifest_of", "output_of"]


def manifest_of(job: Job) -> Manifest:
    """The job's manifest as the transforms take it."""
    return Manifest(
        job.input.manifest, job.input.format, job.matting.parameters(), job.storage or None
    )


def output_of(job: Job) -> Output:
    """The job's output as the transforms take it."""
    return Output(job.output.directory, job.storage or None, job.output.cutout_format)


def limits_of(job: Job) -> Limits:
    """The job's limits as the transforms take them."""
    return Limits(job.input.max_pixels, job.input.max_bytes)


def backend_of(job: Job, threads: int = 0) -> LocalBackend | PicpikBackend:
    """The job's backend as the transforms take it.

    Args:
        job: The job.
        threads: Images matted at once per process; 0 for as many as cores.
    """
    settings = job.backend.model_dump(exclude={"kind", "confirm_over"})
    if job.backend.kind == "local":
        return LocalBackend(
            **settings,
            threads=threads,
            pixels_in_flight=job.engine.pixels_in_flight,
            storage_options=job.storage or None,
        )
    settings["retry_codes"] = tuple(settings["retry_codes"])
    settings["allowed_hosts"] = tuple(settings["allowed_hosts"])
    return PicpikBackend(output_of(job), **settings)


@dataclass
class Catalogue(beam.PTransform):
    """A whole job: manifest in, cutouts, masks and metadata out; gives one `Committed`.

    Attributes:
        job: What to do.
        run_id: This run's name.
        threads: How many threads each process may use.
        redistribute: Spread the rows over workers; not for the local runner.
        fresh: Do everything again, whatever the ledger says.
        progress: Gets the manifest's size and every finished row.
    """

    job: Job
    run_id: str
    threads: Threads
    redistribute: bool = False
    fresh: bool = False
    progress: Progress | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[Committed]:
        """Builds the graph."""
        job, output = self.job, output_of(self.job)
        backend = backend_of(job, self.threads.matting)

        rows = pbegin | "ReadManifest" >> ReadManifest(
            manifest_of(job),
            redistribute=self.redistribute,
            on_survey=self.progress.total if self.progress else None,
        )
        if not self.fresh:
            rows |= "SkipFinished" >> SkipFinished(output, backend)
        return (
            rows
            | "ReadImages"
            >> ReadImages(limits_of(job), threads=job.input.threads, storage_options=output.storage)
            | "RemoveBackground" >> RemoveBackground(backend)
            | "WriteCutouts"
            >> WriteCutouts(
                output,
                threads=self.threads.encoding,
                pixels_in_flight=job.engine.pixels_in_flight,
            )
            | "WriteMetadata"
            >> WriteMetadata(
                output, self.run_id, on_row=self.progress.row if self.progress else None
            )
        )
