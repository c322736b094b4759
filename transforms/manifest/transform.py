"""The Beam step over `survey` and `read_shard`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from alphabeam.transforms.manifest.shards import Collisions, Survey, read_shard, survey
from alphabeam.transforms.manifest.source import Manifest, Shard
from alphabeam.transforms.rows import Row

__all__ = ["ReadManifest"]


@beam.typehints.with_output_types(Row)
class ReadManifest(beam.PTransform):
    """Reads a manifest into rows: pending ones, and failed ones that say what is wrong.

    Args:
        manifest: A `Manifest`, or the URI of one.
        redistribute: Reshuffle the rows, so that all workers get some. Turn it off for the local
            runner, which would hold reshuffled rows in memory. Rows whose pictures are inside a
            Parquet file stay together, one row group on one worker.
        on_survey: Called on the worker with the survey, before any row is read.
    """

    def __init__(
        self,
        manifest: Manifest | str,
        *,
        redistribute: bool = True,
        on_survey: Callable[[Survey], None] | None = None,
    ) -> None:
        super().__init__()
        self._manifest = Manifest(manifest) if isinstance(manifest, str) else manifest
        self._redistribute = redistribute
        self._on_survey = on_survey

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[Row]:
        """Builds the step."""
        surveyed = (
            pbegin
            | "Manifest" >> beam.Create([None])
            | "Survey"
            >> beam.ParDo(_SurveyFn(self._manifest, self._on_survey)).with_outputs(
                "collisions", main="shards"
            )
        )
        rows = (
            surveyed.shards
            | "SpreadShards" >> beam.Reshuffle()
            | "ReadShards"
            >> beam.ParDo(
                _ReadShardFn(self._manifest), beam.pvalue.AsSingleton(surveyed.collisions)
            )
        )
        if not self._redistribute:
            return rows
        # Each worker would read each row group of a Parquet manifest that holds its pictures.
        inside, others = rows | "Apart" >> beam.Partition(_is_inside, 2)
        spread = others | "SpreadRows" >> beam.Reshuffle()
        return (inside, spread) | "Together" >> beam.Flatten()


def _is_inside(row: Row, _: int) -> int:
    """0 for a row whose picture is inside a Parquet file, 1 for any other."""
    return 0 if row.image.startswith("parquet://") else 1


class _SurveyFn(beam.DoFn):
    def __init__(self, manifest: Manifest, on_survey: Callable[[Survey], None] | None) -> None:
        self._manifest = manifest
        self._on_survey = on_survey

    def process(self, _: Any) -> Iterator[Any]:
        result = survey(self._manifest)
        if self._on_survey is not None:
            self._on_survey(result)
        yield beam.pvalue.TaggedOutput("collisions", result.collisions)
        yield from result.shards


class _ReadShardFn(beam.DoFn):
    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def process(self, shard: Shard, collisions: Collisions) -> Iterator[Row]:
        yield from read_shard(self._manifest, shard, collisions)

    def infer_output_type(self, input_type: Any) -> Any:
        return Row
