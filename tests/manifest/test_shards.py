"""Shards read what one pass reads, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphabeam.transforms import spill
from alphabeam.transforms.manifest import (
    Manifest,
    read_shard,
    shards,
    survey,
)
from alphabeam.transforms.manifest.records import Record
from alphabeam.transforms.rows import PENDING
from alphabeam.transforms.spill import Spill
from tests.manifest.reading import QUICK, one_pass, read, write, wrong

FIELD = st.text(st.sampled_from('ab ,"\n\r\té'), max_size=8)


LINES = st.lists(
    st.tuples(FIELD, FIELD).map(
        lambda pair: ",".join('"' + part.replace('"', '""') + '"' for part in pair)
    )
    | st.text(st.sampled_from('ab,"\r'), max_size=8)
    | st.sampled_from(["a.jpg", "a.jpg,x", '"a.jpg"', "a"]),
    max_size=60,
)


@pytest.mark.slow
@QUICK
@given(lines=LINES, rows_in_shard=st.integers(1, 5))
def test_shards_read_what_one_pass_reads(
    tmp_path: Path, lines: list[str], rows_in_shard: int
) -> None:
    manifest = Manifest(str(write(tmp_path, "image,note\n" + "\n".join(lines))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_SHARD_ROWS", rows_in_shard * shards._LEAST_SHARDS)
        surveyed = survey(manifest)
    rows = [
        row._replace(finished_at=None)
        for shard in surveyed.shards
        for row in read_shard(manifest, shard)
    ]
    assert rows == one_pass(manifest)
    assert len(rows) == surveyed.rows


@pytest.mark.slow
@QUICK
@given(
    records=st.lists(st.tuples(FIELD, FIELD), max_size=40),
    end=st.sampled_from(["\n", "\r\n"]),
    rows_in_shard=st.integers(1, 5),
)
def test_what_the_csv_module_writes_is_read(
    tmp_path: Path, records: list[tuple[str, str]], end: str, rows_in_shard: int
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["image", "note"])
    writer.writerows((f"{n}{name}.jpg", note) for n, (name, note) in enumerate(records))
    manifest = Manifest(str(write(tmp_path, out.getvalue())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_SHARD_ROWS", rows_in_shard * shards._LEAST_SHARDS)
        rows = read(manifest)
    plain = [(f"{n}{name}.jpg", note) for n, (name, note) in enumerate(records)]
    # A carriage return before a line feed counts as part of the line end, also inside quotes.
    assert [row.extra["note"] for row in rows] == [re.sub(r"\r+\n", "\n", n) for _, n in plain]
    assert {row.status for row in rows} <= {PENDING}


@pytest.mark.slow
def test_shards_of_every_format(tmp_path: Path) -> None:
    records = [{"image": f"i{n}.jpg", "note": f"n\n{n}"} for n in range(500)]
    write(tmp_path, "".join(json.dumps(r) + "\n" * (1 + n % 2) for n, r in enumerate(records)),
          "m.jsonl")  # fmt: skip
    write(tmp_path, "".join(f"{r['image']}\n" for r in records), "m.txt")
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "m.parquet", row_group_size=70)
    write(tmp_path, "image\tnote\n" + "".join(f'{r["image"]}\t"n\n{n}"\n'
                                              for n, r in enumerate(records)), "m.tsv")  # fmt: skip
    (tmp_path / "images").mkdir()
    for record in records:
        (tmp_path / "images" / record["image"]).touch()
    for name, count in (
        ("m.jsonl", 16), ("m.txt", 16), ("m.parquet", 8), ("m.tsv", 16), ("images/", 72),
    ):  # fmt: skip
        manifest = Manifest(str(tmp_path) + "/" + name)
        assert len(survey(manifest).shards) == count, name
        rows = read(manifest)
        assert not wrong(rows)
        if name == "images/":
            assert [row.line for row in rows] == list(range(1, 501))
        else:
            assert [Path(row.image).name for row in rows] == [r["image"] for r in records]
        if name not in ("m.parquet", "images/"):
            assert rows == one_pass(manifest)
        if name in ("m.jsonl", "m.parquet", "m.tsv"):
            assert [row.extra["note"] for row in rows] == [r["note"] for r in records]


def test_shards_may_be_read_in_any_order(tmp_path: Path) -> None:
    manifest = Manifest(str(write(tmp_path, "image\n" + "".join(f"{n}.jpg\n" for n in range(400)))))
    surveyed = survey(manifest)
    backwards = [list(read_shard(manifest, shard)) for shard in reversed(surveyed.shards)]
    assert [row for rows in reversed(backwards) for row in rows] == one_pass(manifest)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m.csv", "m.csv.zst", "m.parquet"])
def test_a_large_manifest_is_not_held_in_memory(tmp_path: Path, name: str) -> None:
    rows, note = 2500, "note " * 600
    path = tmp_path / name
    if name == "m.parquet":
        table = pa.table({"image": [f"{n}.jpg" for n in range(rows)], "note": [note] * rows})
        pq.write_table(table, path, row_group_size=500, use_dictionary=False, compression="none")
    else:
        text = "image,note\n" + "".join(f"{n}.jpg,{note}\n" for n in range(rows))
        write(
            tmp_path,
            pa.compress(text.encode(), "zstd", asbytes=True) if "zst" in name else text,
            name,
        )
    del note
    manifest = Manifest(str(path))
    tracemalloc.start()
    try:
        surveyed = survey(manifest)
        read = sum(
            row.status == PENDING
            for shard in surveyed.shards
            for row in read_shard(manifest, shard, surveyed.collisions)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert surveyed.rows == read == rows
    # 7.5 MB of text; what is held are a megabyte of buffer, and of Parquet a row group.
    assert peak < 5_500_000


@pytest.mark.slow
def test_what_a_survey_compares_does_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_CHUNK", 1 << 9)
    monkeypatch.setattr(shards, "_AT_ONCE", 512)
    held = []
    with Spill(shards.NAME) as kept:
        names = shards.Names(kept)
        tracemalloc.start()
        try:
            for n in range(30_000):
                names.add(Record(n + 1, {"image": f"{n % 29_998}.jpg"}), ".")
                if n + 1 in (10_000, 30_000):
                    held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        found = names.survey(30_000, [])
    assert held[1] - held[0] < 20_000 * 8, "24 bytes a row, and where they are on disk"
    assert sorted(found.first_lines.values()) == [1, 2] and not found.ambiguous


def test_a_large_manifest_has_large_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_MOST_SHARDS", 32)
    path = write(tmp_path, "".join(f"{n}\n" for n in range(4000)), "m.txt")
    manifest = Manifest(str(path))
    assert 16 <= len(survey(manifest).shards) <= 32
    assert len(read(manifest)) == 4000
    monkeypatch.undo()
    assert 32 < len(survey(manifest).shards) <= 2 * shards._LEAST_SHARDS
