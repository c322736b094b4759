"""``PassFinished``: finished rows go from the ledger's columns to the metadata's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest

from alphabeam.pipelines.progress import FileReader, Progress
from alphabeam.transforms import storage
from alphabeam.transforms.ledger import Finished, FinishedRows, PassFinished, SkipFinished
from alphabeam.transforms.ledger import passing as module
from alphabeam.transforms.metadata import decode_table, encode_table, table_from_rows
from alphabeam.transforms.metadata.schema import metadata_row, rows_from_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, FAILED, PENDING, Row, now


class Backend:
    """As much of a backend as a look-up asks for."""

    second = None

    def fingerprinted(self, row: Row) -> Row:
        return row.fingerprinted("local", "model", "0" * 64)


BACKEND: Any = Backend()


class Night:
    """An output with finished rows, and the same rows as a manifest has them the next night."""

    def __init__(self, folder: Path, rows: int = 10) -> None:
        self.folder = folder
        self.output = Output(str(folder / "out"))
        self.rows = [self.source(number) for number in range(rows)]

    def source(self, number: int, **fields: Any) -> Row:
        path = self.folder / f"p{number}.png"
        path.write_bytes(b"source %d" % number)
        return Row(id=f"p{number}", image=str(path), line=number + 2, extra={"t": str(number)})

    def finish(self, *parts: list[Row], run_id: str = "earlier") -> None:
        for number, rows in enumerate(parts):
            done = [self.done(row, run_id) for row in rows]
            self.output.put(self.output.part(run_id, number), encode_table(table_from_rows(done)))
        self.output.put(self.output.marker(run_id), b"{}")

    def done(self, row: Row, run_id: str = "earlier") -> Row:
        cutout, mask = self.output.cutout(row.id), self.output.mask(row.id)
        for name in (cutout, mask):
            self.output.put(self.output.uri(name), name.encode())
        version = storage.stat(row.image).version
        row = BACKEND.fingerprinted(
            row._replace(source_version=version, source_sha256=f"{row.line:064x}")
        )
        return metadata_row(
            row._replace(
                status=DONE, cutout=cutout, mask=mask, cutout_bytes=len(cutout), flags=("x",),
                mask_bytes=len(mask), confidence=0.5, subject_box=(1, 2, 3, 4), finished_at=now(),
            ),
            run_id,
        )  # fmt: skip

    def passed(self, rows: list[Row], **options: Any) -> tuple[dict[str, Row], dict[str, Row]]:
        """The rows that come out, and those in groups, by their ids."""
        step = PassFinished(self.output, BACKEND, "now", **options)
        fn = step._fn
        fn.setup()
        fn.start_bundle()
        found = [one for row in rows for one in fn.process(row)]
        for one in fn.finish_bundle():
            tagged = isinstance(one, beam.pvalue.TaggedOutput)
            found.append(beam.pvalue.TaggedOutput("groups", one.value.value) if tagged
                         else one.value)  # fmt: skip
        left = [one for one in found if isinstance(one, Row)]
        groups = [one.value for one in found if isinstance(one, beam.pvalue.TaggedOutput)]
        tables = [decode_table(self.output.read(uri)) for uri in groups]
        inside = [row for table in tables for row in rows_from_table(table)]
        assert len(left) + len(inside) == len(rows)
        return {row.id: row for row in left}, {row.id: row for row in inside}


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def as_rows(night: Night, rows: list[Row]) -> dict[str, Row]:
    """What the steps would make of the rows one by one."""
    work = SkipFinished(night.output, BACKEND).stage.open()
    table = table_from_rows([metadata_row(work(row), "now") for row in rows])
    return {row.id: row for row in rows_from_table(table)}


def test_the_columns_are_those_that_rows_would_have(night: Night) -> None:
    night.finish(night.rows[4:], night.rows[:4])
    secret = "https://x/a?token=1234567890&X-Amz-Signature=abcdef"
    tonight = [
        row._replace(line=row.line + 5, extra={"other": "ü", "link": f"see {secret}"})
        for row in reversed(night.rows)
    ]
    expected = as_rows(night, tonight)
    assert {row.status for row in expected.values()} == {DONE}
    left, inside = night.passed(tonight)
    assert not left and inside == expected
    assert "1234567890" not in str(inside) and "abcdef" not in str(inside)


def test_what_is_not_as_it_was_comes_out(night: Night) -> None:
    night.finish(night.rows)
    tonight = [*night.rows]
    (night.folder / "p1.png").write_bytes(b"another source")
    (night.folder / "p2.png").unlink()
    (night.folder / "out/cutouts/p3.png").unlink()
    (night.folder / "out/masks/p4.png").write_bytes(b"cut off")
    tonight[5] = tonight[5]._replace(id="renamed")
    tonight[6] = tonight[6].failed("manifest", ValueError("bad"))
    tonight[7] = tonight[7]._replace(erode_size=3)
    expected = as_rows(night, tonight)
    left, inside = night.passed(tonight)
    assert {id: row.status for id, row in left.items()} == {
        "p1": PENDING, "p2": FAILED, "p3": PENDING, "p4": PENDING, "renamed": DONE, "p6": FAILED,
        "p7": PENDING,
    }  # fmt: skip
    assert left["p2"].error_code == "not_found"
    assert left["renamed"].cutout == "cutouts/renamed.png"
    assert inside == {id: expected[id] for id in ("p0", "p8", "p9")}


def test_rows_of_this_run_and_of_version_0_1_come_out_as_rows(night: Night) -> None:
    night.finish(night.rows[:5])
    old = [night.done(row)._replace(fingerprint=None) for row in night.rows[5:7]]
    old = [row._replace(fingerprint=row.quick_key, quick_key=None) for row in old]
    night.output.put(night.output.earlier("old", 0), encode_table(table_from_rows(old)))
    own = [night.done(row, "now") for row in night.rows[7:]]
    night.output.put(night.output.group("now", "g"), encode_table(table_from_rows(own)))
    left, inside = night.passed(night.rows)
    assert sorted(left) == ["p5", "p6", "p7", "p8", "p9"] and len(inside) == 5
    assert {row.status for row in left.values()} == {DONE}
    assert left["p5"].quick_key == old[0].fingerprint and left["p5"].fingerprint


def test_nulls_of_other_versions_become_what_rows_have(night: Night) -> None:
    done = table_from_rows([night.done(row) for row in night.rows])
    for name in ("erode_size", "keep_shadow", "flags", "renditions"):
        at = done.schema.get_field_index(name)
        done = done.set_column(at, done.schema.field(at), pa.nulls(len(done), done.schema[at].type))
    night.output.put(night.output.earlier("old", 0), encode_table(done))
    left, inside = night.passed(night.rows)
    assert not left and inside == as_rows(night, night.rows)
    assert inside["p0"].erode_size == 15 and inside["p0"].flags == ()


def test_groups_are_put_as_they_fill(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.finish(night.rows)
    monkeypatch.setattr(module, "_GROUP_ROWS", 4)
    monkeypatch.setattr(module, "_BATCH_ROWS", 2)
    left, inside = night.passed(night.rows)
    assert not left and len(inside) == 10
    assert 2 <= len([*(night.folder / "out/run/now").glob("*.parquet")]) <= 3


def test_a_row_that_fits_no_column_costs_no_other(night: Night) -> None:
    night.finish(night.rows)
    tonight = [night.rows[0]._replace(line=2**63), *night.rows[1:]]
    left, inside = night.passed(tonight)
    assert len(left) == 10 and {row.status for row in left.values()} == {DONE}
    assert left["p3"].run_id == "earlier" and not inside


def test_progress_is_told_of_every_row_once(night: Night) -> None:
    night.finish(night.rows)
    progress = Progress(str(night.folder / "progress"), "now")
    progress.total(10)
    night.passed(night.rows, on_passed=progress.passed)
    assert FileReader(progress)()._asdict() == {
        "total": 10, "done": 0, "before": 10, "failed": 0, "credits": 0,
    }  # fmt: skip


def test_where_a_disk_is_slow_no_row_waits_for_another(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.finish(night.rows)
    for row in night.rows[1:]:
        Path(row.image).write_bytes(b"changed")
    stat, goes_on = storage.stat, threading.Event()

    def slow(uri: str, **options: Any) -> storage.Stat:
        if uri.endswith("p0.png"):
            goes_on.wait(60)
        return stat(uri, **options)

    monkeypatch.setattr(storage, "stat", slow)
    monkeypatch.setattr(module, "_QUICK_S", 0)
    fn = PassFinished(night.output, BACKEND, "now")._fn
    fn.setup()
    fn.start_bundle()
    assert not [*fn.process(night.rows[0])]
    others = {row.id for row in night.rows[1:]}
    came: set[str] = set()
    deadline = time.monotonic() + 30
    while came < others and time.monotonic() < deadline:
        came |= {one.id for row in night.rows[1:] for one in fn.process(row)}
    assert came == others
    goes_on.set()
    assert sum(isinstance(one, beam.pvalue.TaggedOutput) for one in fn.finish_bundle()) == 1
    fn.teardown()


def test_rows_elsewhere_are_looked_up_one_by_one(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.finish(night.rows)
    asked: list[int] = []
    fn = PassFinished(night.output, BACKEND, "now")._fn
    fn.setup()
    monkeypatch.setattr(fn._in_flight, "push", lambda batch: asked.append(len(batch)) or ())
    for size, uri in ((64, "/photos/a.png"), (1, "https://cdn.example/a.png"), (1, "parquet://1")):
        fn.start_bundle()
        fn._size = 64
        asked.clear()
        for row in night.rows * 7:
            assert not [*fn.process(row._replace(image=uri))]
        assert asked and set(asked) == {size}


def test_rows_of_many_files_and_row_groups_come_in_the_order_asked_for(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alphabeam.transforms.metadata import schema

    monkeypatch.setattr(schema, "_GROUP_ROWS", 3)
    night.finish(night.rows[:4], night.rows[4:])
    rows = FinishedRows(night.output)
    places = {}
    for row in night.rows:
        found = rows.with_id(row.id)
        assert found is not None
        key = found.quick_key or ""
        there = rows.with_quick_key(key, row.id)
        assert there is not None and there.complete and rows.row(there.place) == found
        places[row.id] = there.place
    order = ["p7", "p0", "p9", "p3", "p2", "p8", "p0"]
    assert rows.table([places[id] for id in order])["id"].to_pylist() == order


def test_the_whole_step_in_a_pipeline(night: Night) -> None:
    night.finish(night.rows)
    (night.folder / "p1.png").write_bytes(b"another source")
    seen: Callable[[str], str] = str(night.folder / "seen").__add__

    def note(kind: str) -> Callable[[Any], Iterator[None]]:
        def work(one: Any) -> Iterator[None]:
            with open(seen(kind), "a", encoding="utf-8") as file:
                file.write(f"{one.id if isinstance(one, Row) else one}\n")
            yield from ()

        return work

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        rows = pipeline | beam.Create(night.rows).with_output_types(Row)
        out = rows | PassFinished(Finished(night.output), BACKEND, "now")
        assert out.rows.element_type == Row
        _ = out.rows | "Rows" >> beam.FlatMap(note("rows"))
        _ = out.groups | "Groups" >> beam.FlatMap(note("groups"))
    assert Path(seen("rows")).read_text(encoding="utf-8").split() == ["p1"]
    uris = Path(seen("groups")).read_text(encoding="utf-8").split()
    ids = [id for uri in uris for id in decode_table(night.output.read(uri))["id"].to_pylist()]
    assert sorted(ids) == sorted(f"p{n}" for n in range(10) if n != 1)
