"""A survey on many workers is the survey of one process, and its rows are the same rows."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that

from alphabeam.transforms.manifest import Manifest, ManifestError, ReadManifest, Survey, survey
from alphabeam.transforms.manifest.names import checksum
from alphabeam.transforms.manifest.parts import parts_of
from alphabeam.transforms.manifest.spread import (
    Block,
    PartSurvey,
    colliding,
    merged,
    survey_part,
)
from alphabeam.transforms.rows import FAILED, Row
from tests.manifest.reading import read


def spread(manifest: Manifest) -> Survey:
    """As the workers do it, the last file first."""
    parts = parts_of(manifest)
    uris = [""] if parts == [manifest] else [part.uri for part in parts]
    files: list[PartSurvey] = []
    blocks: defaultdict[int, list[Block]] = defaultdict(list)
    for number, uri in reversed([*enumerate(uris)]):
        for one in survey_part(manifest, number, uri):
            if isinstance(one, PartSurvey):
                files.append(one)
            else:
                blocks[one[0]].append(one[1])
    return merged(manifest, files, [colliding(some) for some in blocks.values()])


def csv(folder: Path) -> Manifest:
    for part in range(4):
        lines = [f'sku-{part}-{n},a{n}.jpg,"two\nlines"' for n in range(90)]
        lines += ["sku-0-7,again.jpg,x", "SKU-1-8,case.jpg,x", ",shared.jpg,x", "broken"]
        (folder / f"m-{part}.csv").write_text("id,image,note\n" + "\n".join(lines) + "\n\n")
    return Manifest(f"{folder}/m-*.csv")


def jsonl(folder: Path) -> Manifest:
    (folder / "parts").mkdir()
    for part in range(3):
        text = "".join(
            json.dumps({"image": f"{'b' if part == 2 else 'a'}/{n}.jpg"}) + "\n" for n in range(70)
        )
        (folder / f"parts/{part}.jsonl").write_text(text)
    return Manifest(f"{folder}/parts", "jsonl")


def parquet(folder: Path) -> Manifest:
    for part in range(3):
        table = pa.table(
            {"id": [f"s{n}" for n in range(part * 800, part * 800 + 900)], "image": ["x.jpg"] * 900}
        )
        pq.write_table(table, folder / f"m{part}.parquet", row_group_size=400)
    return Manifest(f"{folder}/*.parquet")


def one_file(folder: Path) -> Manifest:
    (folder / "m.txt").write_text("".join(f"{n % 300}.jpg\n" for n in range(900)))
    return Manifest(str(folder / "m.txt"))


def nothing(folder: Path) -> Manifest:
    (folder / "m.csv").write_text("id,image\n")
    return Manifest(str(folder / "m.csv"))


def facts(row: Row) -> tuple[object, ...]:
    """What a shuffle leaves as it is: lists become tuples on the way."""
    return (row.line, row.id, row.image, row.status, row.error_code, row.error_message)


MAKERS = [csv, jsonl, parquet, one_file, nothing]


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_the_survey_of_one_process(tmp_path: Path, make: object) -> None:
    manifest = make(tmp_path)  # type: ignore[operator]
    whole = survey(manifest)
    assert spread(manifest) == whole
    if make in (csv, parquet, one_file):
        assert whole.first_lines, "nothing collides in this test"


@pytest.mark.slow
@pytest.mark.parametrize("make", [csv, parquet, one_file])
def test_the_pipeline_gives_the_same_rows(tmp_path: Path, make: object) -> None:
    manifest = make(tmp_path)  # type: ignore[operator]
    expected = [*map(facts, read(manifest))]
    assert any(FAILED in row for row in expected)

    def check(rows: list[Row]) -> None:
        assert sorted(map(facts, rows)) == expected

    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        assert_that(pipeline | ReadManifest(manifest, redistribute=True), check)


def test_a_file_that_cannot_be_used_ends_the_job(tmp_path: Path) -> None:
    manifest = csv(tmp_path)
    (tmp_path / "m-2.csv").write_text("sku,title\n1,x\n")
    with pytest.raises(ManifestError, match=r"m-2\.csv"):
        spread(manifest)


def test_the_checksum_is_what_it_was() -> None:
    """In Python's numbers: survey and commit of one job may be of two versions."""
    lines = [1, 2, 3, 77, 2**40, 2**63 - 1]
    total = 0
    for line in lines:
        mixed = (line * 0x9E3779B97F4A7C15 + 0x7F4A7C15) & (2**64 - 1)
        mixed = ((mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        total = (total + (mixed ^ mixed >> 32)) & (2**64 - 1)
    assert checksum(lines) == total
    assert checksum(lines[3:], checksum(lines[:3])) == total
    assert checksum([]) == 0
