"""Beam metrics of a run, in the namespace ``alphabeam``.

Counters: ``rows_done``, ``rows_failed``, ``rows_finished_before``, ``credits``, ``bytes_read``,
``bytes_written``, ``storage_retries``, ``api_retries`` and ``cumulativeThrottlingSeconds`` (so
called because Dataflow looks for that name before it adds workers). Distributions: ``read_ms``,
``remove_ms`` and ``write_ms`` of the rows that this run worked on.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricsFilter

from alphabeam.transforms import counts
from alphabeam.transforms.rows import DONE, FAILED, Row

__all__ = ["NAMESPACE", "RowMetrics", "count_finished_before", "read_metrics", "report_counts"]

NAMESPACE = "alphabeam"
_STEPS = ("read_ms", "remove_ms", "write_ms")


class RowMetrics:
    """Counts finished rows; to be called on Beam's thread.

    Args:
        run_id: This run's name. Rows of other runs were finished before.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def add(self, row: Row) -> None:
        """Counts one row."""
        if row.run_id not in (None, self._run_id):
            count_finished_before(1)
            return
        if row.status in (DONE, FAILED):
            _counter(f"rows_{row.status}").inc()
        _counter("credits").inc(row.credits or 0)
        _counter("bytes_read").inc(row.source_bytes or 0)
        for step in _STEPS:
            milliseconds = getattr(row, step)
            if milliseconds is not None:
                Metrics.distribution(NAMESPACE, step).update(round(milliseconds))


def count_finished_before(rows: int) -> None:
    """Counts rows that an earlier run finished; to be called on Beam's thread."""
    _counter("rows_finished_before").inc(rows)


def report_counts() -> None:
    """Reports what this process has counted; to be called on Beam's thread."""
    for name, amount in counts.take().items():
        _counter(name).inc(amount)


def read_metrics(result: Any) -> dict[str, int | Mapping[str, float]]:
    """The metrics of a pipeline's result, running or finished.

    Args:
        result: A ``PipelineResult``.

    Returns:
        Counters by name; distributions as ``count``, ``min``, ``max`` and ``mean``.
    """
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    numbers: dict[str, int | Mapping[str, float]] = {}
    for counter in found["counters"]:
        name = counter.key.metric.name
        before = numbers.get(name, 0)
        numbers[name] = (before if isinstance(before, int) else 0) + int(counter.result or 0)
    for one in found["distributions"]:
        values = one.result
        numbers[one.key.metric.name] = {
            "count": values.count,
            "min": values.min,
            "max": values.max,
            "mean": round(values.sum / values.count, 1) if values.count else 0.0,
        }
    return dict(sorted(numbers.items()))


@functools.lru_cache(maxsize=64)  # each row counts several
def _counter(name: str) -> Any:
    return Metrics.counter(NAMESPACE, name)
