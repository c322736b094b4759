"""The metadata: its schema, its commit, the failures."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest import Manifest, read_shard, survey
from alphabeam.transforms.metadata import (
    COLUMNS,
    SCHEMA,
    Committed,
    WriteMetadata,
    failure_record,
    groups,
    parts,
    read_committed,
    rows_from_table,
    table_from_rows,
)
from alphabeam.transforms.metadata import commit as committing
from alphabeam.transforms.metadata.schema import metadata_row
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, FAILED, Row, now
from tests.linear import grows_evenly
from tests.test_rows import FULL


def done(number: int, **values: Any) -> Row:
    row = Row(id=f"i{number}", image=f"s3://b/{number}.jpg", line=number + 2, status=DONE, **values)
    return row.fingerprinted("local", "m", "s")._replace(finished_at=now())


def failed(number: int) -> Row:
    row = Row(id=f"bad{number}", image=f"s3://b/bad {number}.jpg", line=number + 2)
    return row.failed("read", RowError(ErrorCode.NOT_FOUND, "gone"))


def commit(
    out: Path, rows: Iterable[Row], run_id: str, options: tuple[str, ...] = (), **settings: Any
) -> Committed:
    given: list[Committed] = []

    def check(committed: list[Committed]) -> None:
        assert len(committed) == 1
        given.extend(committed)

    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *options])) as pipeline:
        written = (
            pipeline
            | beam.Create(list(rows), reshuffle=False)
            | WriteMetadata(str(out), run_id, **settings)
        )
        assert_that(written, check)
    return read_committed(Output(str(out)), run_id)


def table(out: Path) -> pa.Table:
    return ds.dataset(out / "metadata", format="parquet", exclude_invalid_files=True).to_table()


# ---------------------------------------------------------------------------------------- schema


def test_every_field_of_a_row_is_a_column_with_a_meaning() -> None:
    assert list(Row._fields) == SCHEMA.names
    assert set(COLUMNS) == set(SCHEMA.names)
    for name, column in COLUMNS.items():
        assert column.meaning.endswith("."), name
        assert SCHEMA.field(name).metadata == {b"meaning": column.meaning.encode()}


def test_a_column_is_null_only_where_the_row_says_so() -> None:
    bare = table_from_rows([Row(id="a", image="b", run_id="r", finished_at=now())])
    for name, hint in typing.get_type_hints(Row).items():
        if bare[name].null_count:
            assert type(None) in typing.get_args(hint), name


def test_rows_come_back_as_they_were() -> None:
    bare = Row(id="a", image="b")
    full = FULL._replace(
        flags=("empty",), doubts=tuple(FULL.doubts), renditions=tuple(FULL.renditions)
    )
    for row, again in zip(
        (full, bare), rows_from_table(table_from_rows([full, bare])), strict=True
    ):
        assert again == row


# ---------------------------------------------------------------------------------------- commit


@pytest.mark.slow
def test_a_long_column_takes_no_longer_than_its_length() -> None:
    def row(size: int) -> Row:
        return Row(id="a", image="a.jpg", line=1, extra={"note": "a" * size + " https://h/p"})

    assert grows_evenly(lambda given: metadata_row(given, "run"), row, 20_000)


def test_a_run_is_whole_with_its_marker(tmp_path: Path) -> None:
    rows = [*(done(n, credits=2, run_id="r0") for n in range(3)), done(3, credits=5), failed(9)]
    committed = commit(tmp_path, rows, "r1")
    assert committed.rows == 5
    assert committed.statuses == {DONE: 4, FAILED: 1}
    assert committed.errors == {"not_found": 1}
    assert committed.credits == 5, "what an earlier run paid is not this one's"
    assert committed.finished_before == 3
    assert (tmp_path / "metadata" / "r1" / "_SUCCESS").is_file()
    assert table(tmp_path)["id"].to_pylist() == ["i0", "i1", "i2", "i3", "bad9"]
    assert set(table(tmp_path)["run_id"].to_pylist()) == {"r0", "r1"}
    assert table(tmp_path).schema.equals(SCHEMA)


@pytest.mark.slow
def test_a_later_run_replaces_earlier_ones_and_the_ledger(tmp_path: Path) -> None:
    commit(tmp_path, [done(0), failed(1)], "r1")
    assert (tmp_path / "failures.jsonl").exists()
    stale = tmp_path / "ledger" / "rows" / "killed" / "x.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of a run that was killed")
    commit(tmp_path, [done(0), done(2)], "r2")
    assert table(tmp_path)["id"].to_pylist() == ["i0", "i2"]
    assert not list((tmp_path / "metadata" / "r1").rglob("*.*"))
    left = [path for path in (tmp_path / "ledger").rglob("*") if path.is_file()]
    assert {"/".join(path.parts[-3:-1]) for path in left} == {"ledger/lease", "keys/r2"}
    assert not (tmp_path / "failures.jsonl").exists(), "no failures are left"


@pytest.mark.slow
def test_an_empty_run_is_whole_too(tmp_path: Path) -> None:
    committed = commit(tmp_path, [], "r1")
    assert (committed.rows, committed.statuses) == (0, {})
    assert table(tmp_path).num_rows == 0
    assert table(tmp_path).schema.equals(SCHEMA)


@pytest.mark.slow
def test_a_replayed_commit_changes_nothing(tmp_path: Path) -> None:
    commit(tmp_path, [done(0), failed(1)], "r1")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    again = committing.commit(["nowhere.parquet"], output=Output(str(tmp_path)), run_id="r1")
    assert again == read_committed(Output(str(tmp_path)), "r1")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_replayed_bundles_add_no_row(tmp_path: Path) -> None:
    rows = [done(n) for n in range(20)]
    committed = commit(tmp_path, rows, "r1", ("--direct_runner_bundle_repeat=2",))
    assert committed.rows == 20
    assert table(tmp_path)["id"].to_pylist() == [row.id for row in rows]


def test_groups_reach_the_ledger_while_the_run_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_GROUP_ROWS", 4)
    fn = groups.WriteGroupsFn(Output(str(tmp_path)), "r1")
    fn.start_bundle()
    names = [name for n in range(11) for name in fn.process(done(n))]
    written = sorted((tmp_path / "ledger" / "rows" / "r1").iterdir())
    assert len(names) == len(written) == 2
    assert sum(pa.parquet.read_table(path).num_rows for path in written) == 8
    names += [value.value for value in fn.finish_bundle()]
    assert len(set(names)) == 3


def test_a_slow_group_is_written_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_GROUP_SECONDS", -1.0)
    fn = groups.WriteGroupsFn(Output(str(tmp_path)), "r1")
    fn.start_bundle()
    assert len(list(fn.process(done(0)))) == 1


def test_groups_and_parts_with_long_texts_hold_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow's texts end at 2 GiB a column, and a part of 25,000 rows may have 25 GB."""
    monkeypatch.setattr(groups, "_GROUP_CHARACTERS", 300)
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    output = Output(str(tmp_path))
    fn = groups.WriteGroupsFn(output, "r1")
    fn.start_bundle()
    long = [done(n)._replace(extra={"note": "x" * 100}) for n in range(6)]
    names = [name for row in long for name in fn.process(row)]
    assert len(names) == 2
    assert [*fn.process(done(6))] == [], "the count begins anew with each group"
    told = parts.write_part(0, names, output=output, run_id="r1")
    part = parts.Part.decode(output.read(told))
    assert [file.rows for file in part.files] == [3, 3]
    assert len(part.keys) == len(parts.keys_of_table(table_from_rows(long), 0))


@pytest.mark.slow
def test_large_runs_have_several_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_GROUP_ROWS", 4)
    monkeypatch.setattr(parts, "PART_ROWS", 8)
    rows = [done(n) for n in range(30)]
    assert commit(tmp_path, rows, "r1").rows == 30
    assert len(list((tmp_path / "metadata" / "r1").glob("part-*.parquet"))) == 4
    assert sorted(table(tmp_path)["line"].to_pylist()) == [row.line for row in rows]


def test_an_unfinished_run_is_not_committed(tmp_path: Path) -> None:
    with pytest.raises(RowError) as caught:
        read_committed(Output(str(tmp_path)), "r1")
    assert caught.value.code is ErrorCode.NOT_FOUND


# -------------------------------------------------------------------------------------- failures


@pytest.mark.slow
def test_failures_are_a_manifest(tmp_path: Path) -> None:
    bad = failed(1)._replace(
        box=(1, 2, 3, 4), erode_size=7, only_mask=True, hair_optimization="off",
        extra={"sku": "ä", "colour": "red\n"},
    )  # fmt: skip
    commit(tmp_path, [done(0), bad, failed(2)], "r1")
    manifest = Manifest(str(tmp_path / "failures.jsonl"))
    surveyed = survey(manifest)
    rows = sorted(
        (row for shard in surveyed.shards for row in read_shard(manifest, shard)),
        key=lambda row: row.id,
    )
    assert [row.id for row in rows] == ["bad1", "bad2"]
    assert rows[0].image == bad.image and rows[0].extra == bad.extra
    assert rows[0].parameters == bad.parameters
    assert {row.status for row in rows} == {"pending"}


def test_failures_can_be_run_from_their_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = Row(id="a", image="photos/a.jpg").failed("read", RowError(ErrorCode.NOT_FOUND, "gone"))
    assert json.loads(failure_record(row))["image"] == str(tmp_path / "photos/a.jpg")
    for image in ("s3://b/a.jpg", "memory://a b#.jpg", "", "/abs/a.jpg"):
        assert json.loads(failure_record(row._replace(image=image)))["image"] == image


@pytest.mark.parametrize("spelled", ["out", "./out/", "{}//out", "{}/a/../out", "file://{}//out"])
def test_a_folder_may_be_spelled_in_any_way(
    spelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = Output(spelled.format(tmp_path))
    fn = groups.WriteGroupsFn(output, "r1")
    fn.start_bundle()
    assert not [name for row in (done(0), failed(1)) for name in fn.process(row)]
    names = [value.value for value in fn.finish_bundle()]
    assert committing.commit(names, output=output, run_id="r1").statuses == {DONE: 1, FAILED: 1}
    assert [output.name_of(uri) for uri in output.committed_files()] == [
        "metadata/r1/_SUCCESS",
        "metadata/r1/part-00000.parquet",
    ]
    assert (tmp_path / "out/failures.jsonl").exists()


def test_a_folder_in_memory_may_begin_with_a_slash() -> None:
    assert Output("memory:///shop/out").directory == Output("memory://shop/out").directory
