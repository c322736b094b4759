"""Parquet manifests that hold the pictures themselves, as Hugging Face's data sets do."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    ReadManifest,
    file_name,
    read_shard,
    survey,
)
from alphabeam.transforms.metadata.failures import failure_record
from alphabeam.transforms.rows import FAILED, PENDING, Row
from alphabeam.transforms.storage import info, parquet, streams
from tests.manifest.reading import read, wrong

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_kept", parquet._Kept())
    monkeypatch.setattr(info, "_asked", {})


def of(data: bytes | None, path: str | None) -> dict[str, Any]:
    return {"bytes": data, "path": path}


def write(path: Path, pictures: list[Any], column: str = "image", **more: Any) -> str:
    """A file of pictures; what is no list of values is an option of the writer."""
    options = {name: more.pop(name) for name in list(more) if not isinstance(more[name], list)}
    kind = options.pop("kind", PICTURE)
    pq.write_table(pa.table({column: pa.array(pictures, kind), **more}), path, **options)
    return str(path)


def pictures_of(rows: list[Row]) -> list[bytes]:
    return [storage.read(row.image) for row in rows]


def test_a_row_is_a_link_to_its_picture(tmp_path: Path) -> None:
    pictures = [of(b"%d" % n, f"{'abcde'[n]}.jpg") for n in range(5)]
    file = write(tmp_path / "m.parquet", pictures, title=list("vwxyz"), row_group_size=2)
    found = survey(Manifest(file))
    assert found.rows == 5 and len(found.shards) == 3
    rows = read(file)
    assert [row.id for row in rows] == ["a", "b", "c", "d", "e"]
    assert [row.line for row in rows] == [1, 2, 3, 4, 5]
    assert [row.extra for row in rows] == [{"title": title} for title in "vwxyz"]
    assert pictures_of(rows) == [b"0", b"1", b"2", b"3", b"4"]
    link = storage.Embedded(file, "image", 4, "d.jpg").pinned(found.version)
    assert rows[3].image == link.uri


def test_ids(tmp_path: Path) -> None:
    paths = ["shoes/a b.jpg", None, "", "/data/x.png", "../up.jpg", "https://h/s.jpg?sig=abc&w=2"]
    file = write(tmp_path / "train-0.parquet", [of(b"x", path) for path in paths])
    rows = read(file)
    assert [row.id for row in rows] == [
        *("shoes/a b", "train-0-2", "train-0-3", "data/x"),
        *(f"{str(tmp_path.parent).lstrip('/')}/up", "h/s.jpg?w=2"),
    ]
    assert len({file_name(row.id) for row in rows}) == 6
    assert not any("abc" in row.image for row in rows)
    assert pictures_of(rows) == [b"x"] * 6
    own = read(write(tmp_path / "m.parquet", [of(b"x", "a.jpg")] * 2, id=["7", "8"]))
    assert [row.id for row in own] == ["7", "8"]


def test_one_name_for_many_pictures(tmp_path: Path) -> None:
    pictures = [of(b"%d" % n, "image.png") for n in range(4)]
    rows = read(write(tmp_path / "m.parquet", pictures, row_group_size=2))
    assert not wrong(rows)
    assert len({row.id for row in rows}) == 4
    assert all(row.id.startswith("image-") for row in rows)
    again = read(write(tmp_path / "m.parquet", pictures, row_group_size=4))
    assert [row.id for row in again] == [row.id for row in rows], "whatever the file's version"


@pytest.mark.parametrize("statistics", [True, False])
def test_rows_without_bytes_or_without_a_path(tmp_path: Path, statistics: bool) -> None:
    pictures = [
        *(of(b"0", "a.jpg"), of(None, "photos/b.jpg"), of(b"2", None), of(None, None), None),
        *(of(None, "s3://shop/c.jpg"), of(None, " "), of(b"7", "h.jpg")),
    ]
    file = write(tmp_path / "m.parquet", pictures, row_group_size=6, write_statistics=statistics)
    rows = read(file)
    assert [row.id for row in rows if row.status == PENDING] == [
        *("a", "photos/b", "m-3", "shop/c", "h")
    ]
    assert rows[1].image == f"{tmp_path}/photos/b.jpg"
    assert rows[5].image == "s3://shop/c.jpg"
    assert wrong(rows) == {
        line: ("manifest_row", f"line {line}: 'image' is empty; give its URI") for line in (4, 5, 7)
    }
    assert pictures_of([rows[0], rows[2], rows[7]]) == [b"0", b"2", b"7"]


def test_nothing_but_paths(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "m.parquet", [of(None, "a.jpg"), of(None, "a.jpg")]))
    assert rows[0].image == f"{tmp_path}/a.jpg"
    assert list(wrong(rows)) == [2] and wrong(rows)[2][0] == "duplicate_id"


@pytest.mark.parametrize(
    "kind",
    [
        pa.struct([("path", pa.string()), ("bytes", pa.binary())]),
        pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())]),
        pa.struct([("bytes", pa.binary()), ("path", pa.null())]),
        pa.struct([("bytes", pa.binary())]),
        pa.binary(),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_types_of_columns(tmp_path: Path, kind: pa.DataType, own: bool) -> None:
    has_path = pa.types.is_struct(kind) and "path" in {field.name for field in kind}
    path = "a.jpg" if has_path and not pa.types.is_null(kind.field("path").type) else None
    data = b"\xff\xd8\xff\xe0"
    picture: Any = data if kind == pa.binary() else of(data, path) if has_path else {"bytes": data}
    more: dict[str, Any] = {"id": ["7"], "title": ["t"]} if own else {}
    (row,) = read(write(tmp_path / "m.parquet", [picture], kind=kind, **more))
    assert row.id == ("7" if own else "a" if path else "m-1")
    assert row.extra == ({"title": "t"} if own else {})
    assert pictures_of([row]) == [data]


def test_a_binary_column_of_pictures(tmp_path: Path) -> None:
    pictures = [None, b"", b"\x89PNG\r\n\x1a\n" + bytes(60), b"GIF89a;", None]
    rows = read(write(tmp_path / "m.parquet", pictures, kind=pa.binary(), row_group_size=2))
    assert [row.status for row in rows] == [FAILED, PENDING, PENDING, PENDING, FAILED]
    assert pictures_of(rows[1:4]) == pictures[1:4]
    large = [b"plain text " * 1000] * 3
    assert pictures_of(read(write(tmp_path / "n.parquet", large, kind=pa.binary()))) == large
    texts = read(write(tmp_path / "t.parquet", [None, b"a.jpg", b"b.jpg"], kind=pa.binary()))
    assert [row.id for row in texts[1:]] == ["a", "b"]
    assert texts[1].image == f"{tmp_path}/a.jpg"


@pytest.mark.parametrize(("column", "given"), [("Photo", {}), ("img_1", {"image": "img_1"})])
def test_columns_of_other_names(tmp_path: Path, column: str, given: dict[str, str]) -> None:
    file = write(tmp_path / "m.parquet", [of(b"x", "a.jpg")], column)
    (row,) = read(Manifest(file, columns=given))
    assert row.id == "a" and pictures_of([row]) == [b"x"]


def test_a_shops_product_without_a_picture_is_left_out(tmp_path: Path) -> None:
    pictures = [of(b"x", "a.jpg"), of(None, None), None]
    assert [row.id for row in read(write(tmp_path / "m.parquet", pictures, "picture"))] == ["a"]


@pytest.mark.parametrize(
    ("pictures", "kind"),
    [
        ([{"data": b"x"}], "struct<data: binary>"),
        ([{"bytes": "x", "path": "a"}], "struct<bytes: string, path: string>"),
        ([{"path": "a.jpg"}], "struct<path: string>"),
        ([{"bytes": b"x", "path": "a", "width": 1}], "struct<bytes: binary, path: string, width"),
        ([[of(b"x", "a.jpg")]], "list<"),
    ],
)
def test_other_structs_are_refused_by_name(tmp_path: Path, pictures: list[Any], kind: str) -> None:
    file = write(tmp_path / "m.parquet", pictures, kind=None)
    with pytest.raises(ManifestError, match=f"column 'image' is of type {kind}"):
        survey(Manifest(file))


def test_part_files(tmp_path: Path) -> None:
    for part in range(3):
        pictures = [of(b"%d-%d" % (part, n), f"{n}.jpg" if n else None) for n in range(5)]
        write(tmp_path / f"part-{part}.parquet", pictures, row_group_size=2)
    for uri in (f"{tmp_path}/part-*.parquet", f"{tmp_path}/part-{{0,1,2}}.parquet"):
        rows = read(uri)
        assert not wrong(rows)
        assert [row.line for row in rows] == list(range(1, 16))
        assert pictures_of(rows) == [b"%d-%d" % (n // 5, n % 5) for n in range(15)]
        assert [row.id for row in rows[::5]] == ["part-0-1", "part-1-1", "part-2-1"]
        assert len({row.id for row in rows}) == 15, "0.jpg of two parts are two pictures"


def test_the_pictures_are_not_read_for_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random.Random(0).randbytes(100_000)
    pictures = [of(data + b"%d" % n, f"{n}.jpg") for n in range(100)]
    file = write(tmp_path / "m.parquet", pictures, row_group_size=50, use_dictionary=False)
    sizes: list[int] = []
    original = streams._Input.readinto

    def readinto(self: Any, buffer: Any) -> int:
        sizes.append(original(self, buffer))
        return sizes[-1]

    monkeypatch.setattr(streams._Input, "readinto", readinto)
    rows = read(file)
    assert len(rows) == 100 and sum(sizes) < 0.8 * os.path.getsize(file)
    sizes.clear()
    assert pictures_of(rows) == [picture["bytes"] for picture in pictures]
    assert sum(sizes) < 1.3 * os.path.getsize(file)


def test_a_file_that_is_replaced_mixes_no_pictures(tmp_path: Path) -> None:
    manifest = Manifest(write(tmp_path / "m.parquet", [of(b"0", "a.jpg"), of(b"1", "b.jpg")]))
    found = survey(manifest)
    (shard,) = found.shards
    rows = read_shard(manifest, shard, found.collisions)
    first = next(rows)
    write(tmp_path / "m.parquet", [of(b"new", "new.jpg")] * 3)
    with pytest.raises(RowError, match="an earlier version of the file"):
        storage.read(first.image)
    with pytest.raises(ManifestError, match="the manifest changed while the job ran"):
        list(read_shard(manifest, shard, found.collisions))


def test_failures_can_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("m.parquet"), [of(b"0", "a.jpg"), of(b"1", None)])
    rows = read("m.parquet")
    assert rows[1].image.endswith("::m.parquet") and rows[1].id == "m-2"
    (tmp_path / "out").mkdir()
    lines = [failure_record(row.failed("read", ValueError("x"))) for row in rows]
    Path("out/failures.jsonl").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path / "out")
    again = read("failures.jsonl")
    assert [row.id for row in again] == ["a", "m-2"] and pictures_of(again) == [b"0", b"1"]


def test_text_may_be_a_link_too(tmp_path: Path) -> None:
    file = write(tmp_path / "m.parquet", [of(b"0", "a.jpg")])
    text = f"image,id\nparquet://image/1::{file},\nparquet://image/1::{file},x\nparquet://a::b,y\n"
    (tmp_path / "m.csv").write_text(text)
    rows = read(str(tmp_path / "m.csv"))
    assert [row.id for row in rows] == ["m-1", "x", "y"]
    assert pictures_of(rows[:2]) == [b"0", b"0"]
    assert wrong(rows)[4][0] == ErrorCode.INVALID_URI.value


@pytest.mark.slow
def test_row_groups_stay_together_when_rows_are_spread(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [of(b"0", "a.jpg"), of(None, "b.jpg")])
    with beam.Pipeline("FnApiRunner", options=PipelineOptions([])) as pipeline:
        rows = pipeline | ReadManifest(str(tmp_path / "a.parquet"))
        assert rows.element_type is Row
        assert_that(rows | beam.Map(lambda row: row.id), equal_to(["a", "b"]))


@pytest.mark.slow
def test_a_large_group_is_worked_on_by_several_workers(tmp_path: Path) -> None:
    pictures = [of(b"%d" % n, f"{n}.jpg") if n % 7 else None for n in range(2000)]
    for part in range(2):
        write(tmp_path / f"p-{part}.parquet", pictures, row_group_size=1500)
    manifest = Manifest(f"{tmp_path}/p-*.parquet")
    found = survey(manifest)
    assert found.rows == 4000 and len(found.shards) == 2 * (6 + 2)
    rows = [row for shard in found.shards for row in read_shard(manifest, shard, found.collisions)]
    assert [row.line for row in rows] == list(range(1, 4001))
    good = [row for row in rows if row.status == PENDING]
    assert len(good) == 2 * (2000 - 286)
    for row in good[::11]:
        assert storage.read(row.image) == b"%d" % ((row.line - 1) % 2000)
