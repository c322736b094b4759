"""The end of a job: its summary, for people and for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

from alphabeam.pipelines.job import Job
from alphabeam.transforms.cores import cores
from alphabeam.transforms.metadata import Committed
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, FAILED

__all__ = ["Summary", "summarize"]


@dataclass(frozen=True)
class Summary:
    """What a run did; ``summary.json`` holds it.

    Attributes:
        job: The job's name.
        run_id: This run's name.
        status: ``succeeded``, or ``too_many_failures``.
        rows: Rows of the manifest.
        done: Of these, with outputs in place.
        finished_before: Of the done ones, those that an earlier run had finished.
        failed: Rows that failed.
        renditions_failed: Done rows one of whose renditions could not be made.
        errors: Failed rows by error code.
        credits: API credits that the rows cost.
        resubmitted: Rows submitted again though a first task may have been billed as well.
        doubtful: Done rows of a cascade whose local result was doubtful.
        bought: Of these, those whose result is the API's.
        kept: Of these, those whose local result was kept, by the error code of the reason.
        uncollected: API tasks in the ledger that were bought, and whose result no row has.
        unknown: API tasks in the ledger that may have been bought.
        orphaned: Finished rows of earlier runs that the manifest does not have any more.
        pruned: Whether these, and their outputs, were removed.
        seconds: Wall time of the run.
        images_per_second: Rows that this run worked on, by wall time.
        started_at: UTC, ISO 8601.
        outputs: Where what was written is.
        parameters: The job's matting parameters, which rows may override.
        product: The manifest's column that names a product; empty if none does.
        metrics: Beam's metrics of the run; `alphabeam.transforms.metrics` says what each counts.
        environment: Versions and the machine.
    """

    job: str
    run_id: str
    status: str
    rows: int
    done: int
    finished_before: int
    failed: int
    renditions_failed: int
    errors: Mapping[str, int]
    credits: int
    resubmitted: int
    doubtful: int
    bought: int
    kept: Mapping[str, int]
    uncollected: int
    unknown: int
    orphaned: int
    pruned: bool
    seconds: float
    images_per_second: float
    started_at: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, Any]
    product: str
    metrics: Mapping[str, Any]
    environment: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The summary for a terminal."""
        before = f" ({self.finished_before} of them by an earlier run)" * bool(self.finished_before)
        text = [
            f"{self.job}: {self.rows} rows: {self.done} done{before}, {self.failed} failed; "
            f"{self.seconds:.1f} s, {self.images_per_second:.2f} images/s"
        ]
        if self.renditions_failed:
            text.append(
                f"  {self.renditions_failed} done rows lack a rendition: see the column "
                "'renditions' of the metadata; the next run tries again"
            )
        if self.doubtful:
            reasons = ", ".join(f"{code} {count}" for code, count in sorted(self.kept.items()))
            kept = f", {sum(self.kept.values())} kept local ({reasons})" * bool(self.kept)
            text.append(f"  cascade    {self.doubtful} doubtful: {self.bought} bought{kept}")
        if self.credits:
            text.append(f"  credits    {self.credits}")
        if failed_calls := self.metrics.get("api_retries"):
            text.append(
                f"  {failed_calls} calls of the API failed and were made again; -v shows each"
            )
        if self.resubmitted:
            text.append(
                f"  {self.resubmitted} submitted again, perhaps billed twice: see the flags"
            )
        if self.uncollected or self.unknown:
            text.append(
                f"  {self.uncollected} tasks bought and not collected, {self.unknown} perhaps "
                "bought: their credits are not in the rows; see ledger/tasks"
            )
        if self.orphaned:
            text.append(
                f"  {self.orphaned} rows of earlier runs are not in the manifest any more"
                + (", and were removed" if self.pruned else "; --prune removes their outputs")
            )
        text += [f"  {code:<20} {count} failed" for code, count in sorted(self.errors.items())]
        text += [f"  {name:<10} {uri}" for name, uri in self.outputs.items()]
        return text

    def as_record(self) -> dict[str, Any]:
        """What ``summary.json`` holds."""
        return asdict(self)

    def with_report(self, page: str) -> Summary:
        """The summary of a run whose report is written."""
        return replace(self, outputs={**self.outputs, "report": page})

    def write(self, output: Output) -> None:
        """Puts ``summary.json`` into the output."""
        text = json.dumps(self.as_record(), indent=2, ensure_ascii=False) + "\n"
        output.put(output.summary, text.encode())


def summarize(
    job: Job,
    output: Output,
    committed: Committed,
    metrics: Mapping[str, Any],
    started_at: str,
    seconds: float,
    *,
    pruned: bool = False,
) -> Summary:
    """Sums a run up.

    Args:
        job: The job.
        output: Its output.
        committed: What ``WriteMetadata`` said.
        metrics: The run's metrics, from `alphabeam.transforms.metrics.read_metrics`.
        started_at: UTC, ISO 8601.
        seconds: Wall time.
        pruned: Whether the orphaned rows were removed.

    Returns:
        The summary.
    """
    failed = committed.statuses.get(FAILED, 0)
    outputs = {
        "cutouts": output.uri("cutouts"),
        "masks": output.uri("masks"),
        "metadata": committed.folder,
        "summary": output.summary,
    }
    if job.output.renditions:
        outputs["renditions"] = output.uri("renditions")
    if job.output.index != "none":
        outputs["index"] = output.uri("index")
    if failed:
        outputs["failures"] = output.failures
    if committed.orphaned and not pruned:
        outputs["orphaned"] = output.orphaned
    worked_on = committed.rows - committed.finished_before
    packages = ("apache-beam", "onnxruntime", "opencv-python-headless", "numpy", "pyarrow")
    return Summary(
        job=job.name,
        run_id=committed.run_id,
        status="succeeded"
        if failed + committed.renditions_failed <= job.max_failures
        else "too_many_failures",
        rows=committed.rows,
        done=committed.statuses.get(DONE, 0),
        finished_before=committed.finished_before,
        failed=failed,
        renditions_failed=committed.renditions_failed,
        errors=dict(committed.errors),
        credits=committed.credits,
        resubmitted=committed.resubmitted,
        doubtful=committed.bought + sum(committed.kept.values()),
        bought=committed.bought,
        kept=dict(committed.kept),
        uncollected=committed.uncollected,
        unknown=committed.unknown,
        orphaned=committed.orphaned,
        pruned=pruned,
        seconds=round(seconds, 3),
        images_per_second=round(worked_on / seconds, 3) if seconds else 0.0,
        started_at=started_at,
        outputs=outputs,
        parameters=job.matting.model_dump(),
        product=job.output.product,
        metrics=metrics,
        environment={
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cores": cores(),
            "host": os.uname().nodename if hasattr(os, "uname") else platform.node(),
            **{name: _version(name) for name in ("alphabeam", *packages)},
        },
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
