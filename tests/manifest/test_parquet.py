"""Values of Parquet columns."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    row_from_record,
    survey,
)
from alphabeam.transforms.rows import PENDING
from tests.manifest.reading import read, wrong


def test_values_that_python_cannot_hold_are_carried_as_text(tmp_path: Path) -> None:
    columns = {
        "image": pa.array(["a.jpg"]),
        "far": pa.array([2_932_897]).cast(pa.int32()).view(pa.date32()),
        "beyond": pa.array([2**60], pa.timestamp("us")),
        "nano": pa.array([1_000_000_001], pa.timestamp("ns")),
        "clock": pa.array([1001], pa.time64("ns")),
        "took": pa.array([1], pa.duration("ns")),
        "zone": pa.array([1_500_000], pa.timestamp("us", tz="Mars/Phobos")),
        "nested": pa.array(
            [{"at": [2**60], "n": 1}],
            pa.struct([("at", pa.list_(pa.timestamp("us"))), ("n", pa.int64())]),
        ),
        "pairs": pa.array([[("k", 2**60)]], pa.map_(pa.string(), pa.timestamp("us"))),
        "digest": pa.array([b"\xff\xd8"]),
        "word": pa.array([b"word"]),
        "file": pa.array([b"\xff" * 5000]),
        "deep": pa.array([{"b": b"\xff"}]),
        "price": pa.array([Decimal("1.50")]),
        "none": pa.nulls(1),
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    (row,) = read(tmp_path / "m.parquet")
    assert row.status == PENDING
    assert row.extra == {
        "far": "10000-01-01",
        "beyond": "1152921504606846976 timestamp[us]",
        "nano": "1970-01-01 00:00:01.000000001",
        "clock": "00:00:00.000001001",
        "took": "1 ns",
        "zone": "1970-01-01 00:00:01.500000Z",
        "nested": '{"at": ["1152921504606846976 timestamp[us]"], "n": 1}',
        "pairs": '[["k", "1152921504606846976 timestamp[us]"]]',
        "digest": "ffd8",
        "word": "word",
        "file": "5000 bytes",
        "deep": '{"b": "ff"}',
        "price": "1.50",
    }


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (pa.array([["a.jpg"]]), "column 'image' is of type list"),
        (pa.array([{"url": "a.jpg"}]), "column 'image' is of type struct<url: string>"),
        (pa.array([1.5]), "column 'image' is of type double"),
        (pa.array([7]), "column 'image' is of type int64"),
        (pa.array([7, 7]).dictionary_encode(), "column 'image' is of type int64"),
        (pa.array([True]), "column 'image' is of type bool"),
        (pa.array([7], pa.decimal128(9)), "column 'image' is of type decimal"),
        (pa.array([1], pa.timestamp("us")), "column 'image' is of type timestamp"),
    ],
)
def test_images_of_another_type_are_refused_by_name(
    tmp_path: Path, images: pa.Array, says: str
) -> None:
    pq.write_table(pa.table({"image": images}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=says):
        survey(Manifest(str(tmp_path / "m.parquet")))


def test_bytes_as_images(tmp_path: Path) -> None:
    images = pa.array([b"a.jpg", b"\xff\xd8\xff\xe0"])
    pq.write_table(pa.table({"image": images}), tmp_path / "m.parquet")
    rows = read(tmp_path / "m.parquet")
    assert rows[0].id == "a"
    assert wrong(rows)[2][1].startswith("line 2: 'image' holds 4 bytes that are no text")
    row = row_from_record({"image": ["a.jpg", "b.jpg"]}, line=4)
    assert (row.error_message or "").startswith("line 4: 'image' is ['a.jpg', 'b.jpg']; give one")
