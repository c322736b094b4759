"""The Beam step over `survey` and `read_shard`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam

from alphabeam.transforms.manifest.parts import parts_of
from alphabeam.transforms.manifest.shards import Collisions, Survey, read_shard, survey
from alphabeam.transforms.manifest.source import Manifest, Shard
from alphabeam.transforms.manifest.spread import (
    Block,
    PartSurvey,
    colliding,
    merged,
    survey_part,
)
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
        start = pbegin | "Manifest" >> beam.Create([None])
        if self._redistribute and self._manifest.kind != "glob":
            surveyed = self._survey_on_all_workers(start)
        else:
            surveyed = start | "Survey" >> beam.ParDo(
                _SurveyFn(self._manifest, self._on_survey)
            ).with_outputs("collisions", main="shards")
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

    def _survey_on_all_workers(self, start: beam.PCollection[None]) -> Any:
        """Each file by itself; names that are the same are found by a shuffle."""
        found = (
            start
            | "Files" >> beam.FlatMap(_files, self._manifest)
            | "SpreadFiles" >> beam.Reshuffle()
            | "SurveyFiles"
            >> beam.ParDo(_SurveyPartFn(self._manifest)).with_outputs("names", main="files")
        )
        same = (
            found.names
            | "ByName" >> beam.GroupByKey()
            | "SameNames" >> beam.Map(_same).with_output_types(bytes)
        )
        return start | "Survey" >> beam.ParDo(
            _MergeFn(self._manifest, self._on_survey),
            beam.pvalue.AsIter(found.files),
            beam.pvalue.AsIter(same),
        ).with_outputs("collisions", main="shards")


def _is_inside(row: Row, _: int) -> int:
    """0 for a row whose picture is inside a Parquet file, 1 for any other."""
    return 0 if row.image.startswith("parquet://") else 1


class _SurveyFn(beam.DoFn):
    def __init__(self, manifest: Manifest, on_survey: Callable[[Survey], None] | None) -> None:
        self._manifest = manifest
        self._on_survey = on_survey

    def process(self, _: Any) -> Iterator[Any]:
        yield from _told(survey(self._manifest), self._on_survey)


class _MergeFn(beam.DoFn):
    """The same, of files that were surveyed by themselves."""

    def __init__(self, manifest: Manifest, on_survey: Callable[[Survey], None] | None) -> None:
        self._manifest = manifest
        self._on_survey = on_survey

    def process(self, _: Any, files: Iterable[PartSurvey], same: Iterable[bytes]) -> Iterator[Any]:
        yield from _told(merged(self._manifest, files, same), self._on_survey)


def _told(result: Survey, on_survey: Callable[[Survey], None] | None) -> Iterator[Any]:
    if on_survey is not None:
        on_survey(result)
    yield beam.pvalue.TaggedOutput("collisions", result.collisions)
    yield from result.shards


def _files(_: Any, manifest: Manifest) -> Iterator[tuple[int, str]]:
    """The files of a manifest, by number; an empty name for one that is a file itself."""
    parts = parts_of(manifest)
    yield from [(0, "")] if parts == [manifest] else enumerate(part.uri for part in parts)


class _SurveyPartFn(beam.DoFn):
    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def process(self, file: tuple[int, str]) -> Iterator[Any]:
        for one in survey_part(self._manifest, *file):
            yield one if isinstance(one, PartSurvey) else beam.pvalue.TaggedOutput("names", one)


def _same(bucket: tuple[int, Iterable[Block]]) -> bytes:
    return colliding(bucket[1])


class _ReadShardFn(beam.DoFn):
    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def process(self, shard: Shard, collisions: Collisions) -> Iterator[Row]:
        yield from read_shard(self._manifest, shard, collisions)

    def infer_output_type(self, input_type: Any) -> Any:
        return Row
