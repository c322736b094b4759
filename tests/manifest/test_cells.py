"""Cells of a Parquet manifest that are too long to be held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms.manifest import cells
from alphabeam.transforms.manifest.text import MAX_LINE_BYTES
from alphabeam.transforms.rows import PENDING
from tests.manifest.reading import read, wrong

LONG = "x" * (MAX_LINE_BYTES + 1)


def written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path / "m.parquet")
    return path / "m.parquet"


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize(
    "note",
    [
        pa.array(["a", None, LONG, "b"]),
        pa.array(["a", None, LONG, "b"]).dictionary_encode(),
        pa.array([{"de": text} for text in ("a", None, LONG, "b")]),
        pa.array([["a"], [], ["", LONG], None]),
        pa.array([[("de", text)] for text in ("a", "", LONG, "b")], pa.map_("string", "string")),
        pa.array([[], None, [1] * (MAX_LINE_BYTES // 8 + 1), [2]]),
        pa.array([["a", "b"], ["", ""], ["", LONG], ["c", "d"]], pa.list_(pa.string(), 2)),
    ],
    ids=lambda column: str(column.type),
)
def test_a_row_with_more_than_a_line_may_have_fails_alone(
    tmp_path: Path, note: pa.Array, dictionary: bool
) -> None:
    table = pa.table({"image": [f"{n}.jpg" for n in range(4)], "note": note})
    pq.write_table(table, tmp_path / "m.parquet", use_dictionary=dictionary)
    rows = read(tmp_path / "m.parquet")
    ((line, (code, message)),) = wrong(rows).items()
    assert (line, code) == (3, "manifest_row")
    assert message.startswith("line 3: column 'note' holds 10485")
    assert message.endswith(" bytes; all columns of a row together may hold 1048576")
    assert [row.id for row in rows if row.status == PENDING] == ["0", "1", "3"]


def test_a_texts_bytes_count_and_not_its_characters(tmp_path: Path) -> None:
    half = MAX_LINE_BYTES // 2
    rows = read(
        written(tmp_path, image=["a.jpg"] * 2, id=["1", "2"], note=["\u00e9" * half, "e" * half])
    )
    assert [*wrong(rows)] == [1]


def test_long_pictures_in_other_columns_are_carried_as_their_size(tmp_path: Path) -> None:
    picture = b"\xff\xd8" * MAX_LINE_BYTES
    (row,) = read(
        written(
            tmp_path,
            image=["a.jpg"],
            thumb=[picture],
            plain=[b"x" * (MAX_LINE_BYTES + 1)],
            mask=[{"bytes": picture, "path": "m.png"}],
        )
    )
    assert row.extra == {
        "thumb": "2097152 bytes",
        "plain": "1048577 bytes",
        "mask": '{"bytes": "2097152 bytes", "path": "m.png"}',
    }


@pytest.mark.parametrize(
    "column",
    [
        pa.array([*[None] * 20, *["x" * 1_500_000] * 20]),
        pa.array([*[[]] * 20, *[["x" * 100_000] * 12] * 20]),
        pa.array([*[None] * 20, *[[("k", "x" * 1_500_000)]] * 20], pa.map_("string", "string")),
    ],
    ids=lambda column: str(column.type),
)
def test_a_long_text_that_rows_share_is_in_memory_once(
    tmp_path: Path, column: pa.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, image=[f"{n}.jpg" for n in range(40)], note=column)
    monkeypatch.setattr(cells, "_MOST_BYTES", 10_000_000)
    file, most = pq.ParquetFile(path), 0
    with path.open("rb") as stream:
        for batch in cells.batches(file, stream, 0, ["image", "note"]):
            most = max(most, batch.get_total_buffer_size())
    assert most < 5_000_000 < column.get_total_buffer_size()
    assert len(wrong(read(path))) == 20


def test_columns_without_long_shared_texts_are_read_many_rows_at_a_time(tmp_path: Path) -> None:
    """As dictionaries, or a few rows at a time, reading takes ten times as long."""
    path = written(tmp_path, image=[f"{n}.jpg" for n in range(3000)], brand=["a", "b", "c"] * 1000)
    with path.open("rb") as stream:
        found = [*cells.batches(pq.ParquetFile(path), stream, 0, ["image", "brand"])]
    assert [batch.num_rows for batch in found] == [1024, 1024, 952]
    assert found[0].schema.field("brand").type == pa.string()
