"""The Beam step over `WriteGroupsFn` and `commit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING

import apache_beam as beam

from alphabeam.transforms.metadata.commit import Committed, commit
from alphabeam.transforms.metadata.groups import WriteGroupsFn
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Row

if TYPE_CHECKING:
    from alphabeam.transforms.ledger.finished import Finished
    from alphabeam.transforms.ledger.journal import Journal
    from alphabeam.transforms.thumbnails import Thumbnails

__all__ = ["WriteMetadata"]


@beam.typehints.with_input_types(Row)
@beam.typehints.with_output_types(Committed)
class WriteMetadata(beam.PTransform):
    """Writes rows as a Parquet dataset, and the failed ones as a manifest to run again.

    Takes `Row`; gives one `Committed`, after everything is in place.

    Args:
        output: The job's output, or its folder.
        run_id: This run's name, part of a folder's name.
        on_row: Called on the worker with every row, for progress.
        journal: The run's journal, the same as given to ``WriteCutouts``.
        finished: The output's finished rows: a failed row then says where its last good outputs
            are.
        thumbnails: The report's thumbnails, the same as given to ``WriteCutouts``.
        passed: Groups of rows that ``PassFinished`` has put, beside the rows.
    """

    def __init__(
        self,
        output: Output | str,
        run_id: str,
        *,
        on_row: Callable[[Row], None] | None = None,
        journal: Journal | None = None,
        finished: Finished | None = None,
        thumbnails: Thumbnails | None = None,
        passed: beam.PCollection[str] | None = None,
    ) -> None:
        super().__init__()
        self._passed = passed
        self._output = Output.of(output)
        self._run_id = run_id
        self._groups = WriteGroupsFn(self._output, run_id, on_row, journal, finished, thumbnails)

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[Committed]:
        """Builds the step."""
        groups = rows | "Groups" >> beam.ParDo(self._groups).with_output_types(str)
        put = [beam.pvalue.AsIter(one) for one in (groups, self._passed) if one is not None]
        start = rows.pipeline | "EvenIfEmpty" >> beam.Create([None])
        return start | "Commit" >> beam.Map(
            _commit, *put, output=self._output, run_id=self._run_id
        ).with_output_types(Committed)


def _commit(_: None, *groups: Iterable[str], output: Output, run_id: str) -> Committed:
    return commit(chain.from_iterable(groups), output=output, run_id=run_id)
