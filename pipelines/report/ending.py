"""What is written once a run is whole: its summary, and the report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from alphabeam.pipelines.index import index_of, write_index
from alphabeam.pipelines.job import Job
from alphabeam.pipelines.report.site import write_report
from alphabeam.pipelines.report.summary import Summary, summarize
from alphabeam.transforms import lease
from alphabeam.transforms.metadata import Committed
from alphabeam.transforms.output import Output
from alphabeam.transforms.redaction import redact

__all__ = ["write_ending"]

_logger = logging.getLogger(__name__)


def write_ending(
    job: Job,
    output: Output,
    committed: Committed,
    metrics: Mapping[str, Any],
    started: datetime,
    *,
    report: bool = True,
    pruned: bool = False,
) -> Summary:
    """Writes a run's summary, and its index and its report if the job wants them.

    Args:
        job: The job.
        output: Its output.
        committed: What ``WriteMetadata`` said.
        metrics: The run's metrics.
        started: When it was begun, UTC.
        report: Leave the report out if false.
        pruned: Whether the orphaned rows were removed.

    Returns:
        The summary as it was written.
    """
    if job.output.index != "none":
        write_index(index_of(job), output, committed.run_id)
    seconds = (datetime.now(timezone.utc) - started).total_seconds()
    started_at = started.isoformat(timespec="seconds")
    summary = summarize(job, output, committed, metrics, started_at, seconds, pruned=pruned)
    summary.write(output)
    if not (report and job.output.report):
        return summary
    try:
        with lease.held(output, committed.run_id):
            page = write_report(output, summary.as_record())
    except Exception as error:  # a run that is whole does not fail for it
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = redact(lines[-1] if lines else type(error).__name__)
        _logger.warning("the report could not be written; 'run.py report' tries again: %s", reason)
        return summary
    summary = summary.with_report(page)
    summary.write(output)
    return summary
