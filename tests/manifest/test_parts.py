"""One manifest in several files."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    read_shard,
    survey,
)
from tests.manifest.reading import read, write, wrong


def test_part_files_are_one_manifest(tmp_path: Path) -> None:
    parts = tmp_path / "manifest.csv"
    parts.mkdir()
    (parts / "_SUCCESS").touch()
    (parts / ".part-0.csv.crc").write_bytes(b"x")
    write(parts, "image,id\na.jpg,a\nb.jpg,\n", "part-0.csv")
    write(parts, "id;image\nc;c.jpg\na;d.jpg\n;;\nbad\n", "part-1.csv")
    for uri in (f"{parts}/", str(parts), f"{parts}/part-*.csv", f"{parts}/part-{{0,1}}.csv"):
        rows = read(uri)
        assert [row.line for row in rows] == [2, 3, 5, 6, 8], "lines are counted through"
        assert [row.id for row in rows] == ["a", "b", "c", "a", "line-8"]
        assert wrong(rows)[6] == (
            "duplicate_id",
            "line 6: the id 'a' stands on line 2 already; ids must be unique "
            "(letter case does not count) (part-1.csv, line 3)",
        )
        assert wrong(rows)[8][1].endswith("the header has 2 (part-1.csv, line 5)")
        folder = tmp_path if "part" not in uri.removeprefix(str(parts)) else parts
        assert rows[0].image == f"{folder}/a.jpg", "relative to the manifest, as it was given"


def test_part_files_of_parquet(tmp_path: Path) -> None:
    for part in range(3):
        names = [f"{part}-{n}.jpg" for n in range(10)]
        pq.write_table(
            pa.table({"image": names}), tmp_path / f"part-{part}.parquet", row_group_size=4
        )
    rows = read(f"{tmp_path}/part-*.parquet")
    assert [row.line for row in rows] == list(range(1, 31))
    assert [Path(row.image).name for row in rows][::10] == ["0-0.jpg", "1-0.jpg", "2-0.jpg"]
    assert len(survey(Manifest(f"{tmp_path}/*.parquet")).shards) == 9
    assert len(read(Manifest(f"{tmp_path}/", "parquet"))) == 30
    with pytest.raises(ManifestError, match="no part of a manifest is there"):
        survey(Manifest(f"{tmp_path}/of-*.parquet"))


def test_a_part_that_changes_ends_the_job(tmp_path: Path) -> None:
    for part in range(2):
        write(tmp_path, f"image\n{part}.jpg\n", f"p-{part}.csv")
    manifest = Manifest(f"{tmp_path}/p-*.csv")
    found = survey(manifest)
    write(tmp_path, "image\n1.jpg\nnew.jpg\n", "p-1.csv")
    list(read_shard(manifest, found.shards[0], found.collisions))
    with pytest.raises(ManifestError, match=r"p-1\.csv: the manifest changed while the job ran"):
        list(read_shard(manifest, found.shards[1], found.collisions))


def test_parts_of_a_bucket() -> None:
    fs = fsspec.filesystem("memory")
    for part in range(2):
        fs.pipe_file(f"/test-parts/m.jsonl/part-{part}", b'{"image": "%d.jpg"}\n' % part)
    fs.pipe_file("/test-parts/m.jsonl/_SUCCESS", b"")
    rows = read("memory://test-parts/m.jsonl/")
    assert [row.image for row in rows] == [f"memory://test-parts/{n}.jpg" for n in range(2)]


def test_brackets_in_a_name_are_a_name(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path, "image\na.jpg\n", "m [1].csv"))
    assert row.image == f"{tmp_path}/a.jpg"


def test_braces_in_a_glob(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "c.webp", "x/d.jpg", "y/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [row.id for row in read(f"{tmp_path}/*.{{jpg,png}}")] == ["a", "b"]
    assert [row.id for row in read(f"{tmp_path}/{{x,y}}/*.jpg")] == ["x/d", "y/e"]
    assert [row.id for row in read(f"{tmp_path}/{{a,b}}.{{jpg,png}}")] == ["a", "b"]
