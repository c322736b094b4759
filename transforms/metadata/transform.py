"""The Beam step over `WriteGroupsFn`, `write_part` and `finish`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import apache_beam as beam

from alphabeam.transforms.metadata.commit import Committed, finish, tidy
from alphabeam.transforms.metadata.groups import WriteGroupsFn
from alphabeam.transforms.metadata.parts import part_of_group, write_part
from alphabeam.transforms.output import Output
from alphabeam.transforms.parameters import MattingParameters
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
        defaults: The parameters of rows that do not say their own, as the manifest has them; None
            for alphabeam's. A failed row is written with what differs from them.
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
        defaults: MattingParameters | None = None,
    ) -> None:
        super().__init__()
        self._passed = passed
        self._defaults = defaults
        self._output = Output.of(output)
        self._run_id = run_id
        self._groups = WriteGroupsFn(self._output, run_id, on_row, journal, finished, thumbnails)

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[Committed]:
        """Builds the step.

        Parts are written, and groups removed, on all workers; between them one commit reads the
        parts' sums and keys.
        """
        output, run_id = self._output, self._run_id
        groups = rows | "Groups" >> beam.ParDo(self._groups).with_output_types(str)
        put = (groups,) if self._passed is None else (groups, self._passed)
        by_part = (
            put
            | "AllGroups" >> beam.Flatten()
            | "OfAllTime" >> beam.WindowInto(beam.window.GlobalWindows())
            | "Numbered" >> beam.Map(_numbered).with_output_types(tuple[int, str])
            | "ByPart" >> beam.GroupByKey()
        )
        parts = by_part | "Parts" >> beam.Map(
            _write_part, output=output, run_id=run_id, defaults=self._defaults
        ).with_output_types(str)
        start = rows.pipeline | "EvenIfEmpty" >> beam.Create([None])
        committed = start | "Commit" >> beam.Map(
            _commit, beam.pvalue.AsIter(parts), output=output, run_id=run_id
        ).with_output_types(Committed)
        removed = by_part | "Remove" >> beam.Map(
            _remove, beam.pvalue.AsSingleton(committed), output=output
        ).with_output_types(int)
        return committed | "Tidy" >> beam.Map(
            _tidy, beam.pvalue.AsIter(removed), output=output
        ).with_output_types(Committed)


def _numbered(uri: str) -> tuple[int, str]:
    return part_of_group(uri), uri


def _write_part(
    groups: tuple[int, Iterable[str]],
    *,
    output: Output,
    run_id: str,
    defaults: MattingParameters | None,
) -> str:
    return write_part(*groups, output=output, run_id=run_id, defaults=defaults)


def _commit(_: None, parts: Iterable[str], *, output: Output, run_id: str) -> Committed:
    return finish(parts, output=output, run_id=run_id)


def _remove(groups: tuple[int, Iterable[str]], _: Committed, *, output: Output) -> int:
    """Removes the groups of a part, since the run is whole."""
    number, uris = groups
    output.delete(uris)
    return number


def _tidy(committed: Committed, _: Iterable[int], *, output: Output) -> Committed:
    tidy(output, committed.run_id)
    return committed
