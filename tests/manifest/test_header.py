"""What the columns of a manifest are taken for, before any row is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms.manifest import Manifest
from alphabeam.transforms.manifest.header import columns_in


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "Bild;ID;note\na.jpg;1;x\n"),
        ("m.tsv", "Bild\tID\tnote\n"),
        ("m.txt", "Bild\tID\tnote\na.jpg\t1\tx\n"),
        ("m.jsonl", '\n{"Bild": "a.jpg", "ID": 1, "note": "x"}\n'),
    ],
)
def test_columns_of_texts(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert columns_in(Manifest(str(tmp_path / name))) == {
        "Bild": "image", "ID": "id", "note": "note",
    }  # fmt: skip


def test_columns_of_parquet_files(tmp_path: Path) -> None:
    for part in ("part-0.parquet", "part-1.parquet"):
        pq.write_table(pa.table({"Bild": ["a.jpg"]}), tmp_path / part)
    assert columns_in(Manifest(str(tmp_path / "part-*.parquet"))) == {"Bild": "image"}


@pytest.mark.parametrize(
    ("name", "text"),
    [("m.txt", "a.jpg\n"), ("m.jsonl", "not JSON\n"), ("m.jsonl", ""), ("*.jpg", "")],
)
def test_what_has_no_columns(tmp_path: Path, name: str, text: str) -> None:
    if name != "*.jpg":
        (tmp_path / name).write_text(text)
    assert columns_in(Manifest(str(tmp_path / name))) is None
