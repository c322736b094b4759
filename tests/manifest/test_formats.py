"""Formats of manifests, compression, globs; `ReadManifest` as a step."""

from __future__ import annotations

import bz2
import csv
import dataclasses
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    survey,
)
from alphabeam.transforms.rows import PENDING, Row
from tests.manifest.reading import read, write, wrong

RECORDS = [
    {"image": "a/shoe.jpg", "id": "shoe", "erode_size": 5, "colour": "rot, grün"},
    {"image": "b/väse.png", "id": "vase", "erode_size": 40, "colour": 'so "called"'},
    {"image": "c.webp", "id": "c", "erode_size": 0, "colour": "ends\nhere"},
]


def as_csv(delimiter: str, **options: Any) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(RECORDS[0]), delimiter=delimiter, **options)
    writer.writeheader()
    writer.writerows(RECORDS)
    return out.getvalue().encode()


def as_parquet(**options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(RECORDS), sink, **options)
    return sink.getvalue()


TEXTS = {
    "csv": as_csv(",", lineterminator="\n"),
    "tsv": as_csv("\t", lineterminator="\n"),
    "jsonl": "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in RECORDS).encode(),
}


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


def assert_records(rows: list[Row], folder: Path) -> None:
    assert [row.image for row in rows] == [str(folder / r["image"]) for r in RECORDS]
    assert [row.id for row in rows] == ["shoe", "vase", "c"]
    assert [row.erode_size for row in rows] == [5, 40, 0]
    assert [row.extra for row in rows] == [{"colour": r["colour"]} for r in RECORDS]
    assert {row.status for row in rows} == {PENDING}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("kind", TEXTS)
def test_every_text_format_in_every_compression(
    tmp_path: Path, kind: str, compression: str, bom: bytes
) -> None:
    path = tmp_path / f"manifest.{kind}{compression}"
    path.write_bytes(COMPRESSIONS[compression](bom + TEXTS[kind]))
    assert_records(read(path), tmp_path)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd"])
def test_parquet_in_every_compression(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "manifest.parquet"
    path.write_bytes(as_parquet(compression=codec, row_group_size=2))
    rows = read(path)
    assert_records(rows, tmp_path)
    assert [row.line for row in rows] == [1, 2, 3]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_list_in_every_compression(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"images.txt{compression}"
    path.write_bytes(COMPRESSIONS[compression](b"a.jpg\n\n  b c#%20.png \r\ns3://shop/c.webp"))
    rows = read(path)
    assert [row.image for row in rows] == [
        f"{tmp_path}/a.jpg",
        f"{tmp_path}/b c#%20.png",
        "s3://shop/c.webp",
    ]
    assert [row.line for row in rows] == [1, 3, 4]


def test_a_frame_after_another_is_one_manifest(tmp_path: Path) -> None:
    half = len(TEXTS["csv"]) // 2
    for name, pack in COMPRESSIONS.items():
        if name:
            path = tmp_path / f"m.csv{name}"
            path.write_bytes(pack(TEXTS["csv"][:half]) + pack(TEXTS["csv"][half:]))
            assert_records(read(path), tmp_path)


def test_compression_goes_by_content(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(gzip.compress(TEXTS["csv"]))
    assert_records(read(path), tmp_path)


@pytest.mark.parametrize("compression", [".gz", ".zst"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_cut_off_compressed_data_is_no_shorter_manifest(
    tmp_path: Path, compression: str, kept: float
) -> None:
    lines = "image\n" + "".join(f"{n * 7919 % 5003}.jpg\n" for n in range(5000))
    data = COMPRESSIONS[compression](lines.encode())
    path = tmp_path / f"m.csv{compression}"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ManifestError, match=r"m\.csv.*: the compressed data is broken or cut off"):
        survey(Manifest(str(path)))


@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_corrupt_compressed_data_is_one_clear_error(tmp_path: Path, compression: str) -> None:
    lines = "image\n" + "".join(f"{n * 7919 % 5003}.jpg\n" for n in range(5000))
    data = bytearray(COMPRESSIONS[compression](lines.encode()))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path = tmp_path / f"m.csv{compression}"
    path.write_bytes(data)
    with pytest.raises(ManifestError, match="the compressed data is broken"):
        survey(Manifest(str(path)))


def test_a_broken_parquet_file_is_one_clear_error(tmp_path: Path) -> None:
    data = bytearray(as_parquet(compression="none"))
    path = write(tmp_path, bytes(data[:-20]), "m.parquet")
    with pytest.raises(ManifestError, match=r"m\.parquet: not a Parquet file"):
        survey(Manifest(str(path)))
    data[4:60] = b"\xff" * 56
    path = write(tmp_path, bytes(data), "m.parquet")
    with pytest.raises(ManifestError, match=r"m\.parquet: the Parquet file is broken"):
        survey(Manifest(str(path)))


def test_glob_takes_what_matches_in_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "read-me.txt", "deep/c.JPG", "deep/er/d.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def ids(pattern: str) -> list[str]:
        return [row.id for row in read(pattern)]

    assert ids(f"{tmp_path}/*.jpg") == ["b"]
    assert ids(f"{tmp_path}/*") == ["a", "b", "read-me.txt"]
    everything = ["a", "b", "deep/c", "deep/er/d"]
    assert ids(f"{tmp_path}/") == everything
    assert ids(f"{tmp_path}") == everything, "a folder needs no slash behind it"
    assert ids(f"{tmp_path}/**/*.webp") == ["deep/er/d"]
    with pytest.raises(ManifestError, match="no image matches"):
        survey(Manifest(f"{tmp_path}/*.gif"))


def test_a_glob_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    (row,) = read("*.jpg")
    assert row.status == PENDING
    assert os.path.samefile(row.image, tmp_path / "a.jpg")


def test_a_listed_name_that_is_no_text_costs_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    rows = read(f"{tmp_path}/*.jpg")
    assert [row.id for row in rows if row.status == PENDING] == ["a"]
    ((code, message),) = wrong(rows).values()
    assert code == "invalid_uri"
    assert "rename the image" in message
    for row in rows:
        repr(row).encode()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m.csv", "csv"), ("M.CSV.GZ", "csv"), ("m.tab", "tsv"), ("m.ndjson.zst", "jsonl"),
        ("m.pq", "parquet"), ("m.lst", "list"), ("a/*.jpg", "glob"), ("a/", "glob"),
        ("s3://b/2024-*/m.csv", "csv"), ("https://h/m.jsonl", "jsonl"),
        ("https://h/m.csv?X-Amz-Credential=a/b&x=*", "csv"), ("https://h/?*.jpg", "glob"),
    ],
)  # fmt: skip
def test_the_format_goes_by_the_name(name: str, kind: str) -> None:
    assert Manifest(name).kind == kind


def test_a_name_that_tells_nothing_asks_for_the_format(tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    path.write_bytes(TEXTS["csv"])
    with pytest.raises(ManifestError, match=r"say input\.format: csv, tsv"):
        survey(Manifest(str(path)))
    assert_records(read(Manifest(str(path), "csv")), tmp_path)
    with pytest.raises(ValueError, match="'xml' is not one of auto, csv"):
        Manifest("m", "xml")  # type: ignore[arg-type]


def test_any_fsspec_url() -> None:

    fsspec.filesystem("memory").pipe_file("/test-manifest/in/m.csv", b"image\na.jpg\n../b.jpg\n")
    rows = read("memory://test-manifest/in/m.csv")
    assert [row.image for row in rows] == [
        "memory://test-manifest/in/a.jpg",
        "memory://test-manifest/b.jpg",
    ]


@pytest.mark.slow
def test_read_manifest_gives_each_row_once(tmp_path: Path) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.testing.util import assert_that, equal_to

    from alphabeam.transforms.manifest import ReadManifest

    path = write(tmp_path, "image,id\n" + "".join(f"{n}.jpg,{n % 90}\n" for n in range(100)))
    expected = [(row.line, row.id, row.status) for row in read(path)]
    options = PipelineOptions(["--runner=FnApiRunner", "--direct_runner_bundle_repeat=1"])
    for redistribute in (True, False):
        with beam.Pipeline(options=options) as pipeline:
            rows = (
                pipeline
                | ReadManifest(str(path), redistribute=redistribute)
                | beam.Map(lambda row: (row.line, row.id, row.status))
            )
            assert_that(rows, equal_to(expected))


def test_options_of_stores_stay_out_of_the_repr() -> None:
    manifest = Manifest("s3://a/m.csv", storage_options={"s3": {"secret": "hush"}})
    assert "hush" not in repr(manifest)
    assert dataclasses.replace(manifest, format="csv").storage_options == {"s3": {"secret": "hush"}}


def test_other_compressions_are_not_taken_for_text(tmp_path: Path) -> None:
    path = write(tmp_path, bz2.compress(TEXTS["csv"]), "m.csv")
    with pytest.raises(ManifestError, match=r"m\.csv:1: header: the line"):
        survey(Manifest(str(path)))
