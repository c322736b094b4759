"""Manifests: formats, compression, what is wrong with a row, ids, shards."""

from __future__ import annotations

import bz2
import csv
import dataclasses
import gzip
import io
import json
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    Shard,
    file_name,
    read_shard,
    row_from_record,
    shards,
    survey,
)
from alphabeam.transforms.manifest.records import Record
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.rows import FAILED, PENDING, Row

QUICK = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(manifest: Manifest | Path | str) -> list[Row]:
    """All rows, shard by shard, as the workers read them; times of failures left out."""
    if not isinstance(manifest, Manifest):
        manifest = Manifest(str(manifest))
    surveyed = survey(manifest)
    rows = [
        row._replace(finished_at=None)
        for shard in surveyed.shards
        for row in read_shard(manifest, shard, surveyed.collisions)
    ]
    assert len(rows) == surveyed.rows
    return rows


def wrong(rows: list[Row]) -> dict[int, tuple[str, str]]:
    """Failed rows by line: code and message."""
    for row in rows:
        assert row.status in (PENDING, FAILED)
        if row.status == FAILED:
            assert row.error_stage == "manifest"
            assert "\n" not in (row.error_message or "")
    return {
        row.line: (row.error_code or "", row.error_message or "")
        for row in rows
        if row.status == FAILED
    }


# ---------------------------------------------------------------------------------------- formats

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
    import fsspec

    fsspec.filesystem("memory").pipe_file("/test-manifest/in/m.csv", b"image\na.jpg\n../b.jpg\n")
    rows = read("memory://test-manifest/in/m.csv")
    assert [row.image for row in rows] == [
        "memory://test-manifest/in/a.jpg",
        "memory://test-manifest/b.jpg",
    ]


# ------------------------------------------------------------------------------------- bad content


def write(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_bad_quote_on_line_7_costs_line_7(tmp_path: Path) -> None:
    good = [f"i{n}.jpg,note {n}" for n in range(2, 120)]
    for bad in ('"i7.jpg"x,note 7', '"i7.jpg,note 7', 'i7.jpg,"note 7'):
        lines = ["image,note", *good]
        lines[6] = bad
        rows = read(write(tmp_path, "\n".join(lines) + "\n"))
        assert list(wrong(rows)) == [7], bad
        assert wrong(rows)[7][0] == "manifest_row"
        assert re.match(r"line 7: .*(quote|'\"')", wrong(rows)[7][1]), wrong(rows)[7][1]
        assert [row.line for row in rows] == list(range(2, 120))
        assert all(
            row.image.endswith(f"/i{row.line}.jpg") and row.extra == {"note": f"note {row.line}"}
            for row in rows
            if row.line != 7
        )


def test_an_unclosed_quote_on_the_last_line(tmp_path: Path) -> None:
    rows = read(write(tmp_path, 'image,note\na.jpg,x\nb.jpg,"y\n'))
    assert wrong(rows) == {3: ("manifest_row", "line 3: a quote is opened and never closed")}


def test_too_few_and_too_many_fields(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "id,image,note\na\nb,b.jpg,x\nc,c.jpg,x,y\nd,no image\n"))
    assert wrong(rows) == {
        2: ("manifest_row", "line 2: 1 fields where the header has 3"),
        4: ("manifest_row", "line 4: 4 fields where the header has 3"),
        5: ("manifest_row", "line 5: 2 fields where the header has 3"),
    }


def test_empty_cells_at_the_end_may_be_missing(tmp_path: Path) -> None:
    """Excel leaves out the delimiters behind the last cell that is filled, in blocks of 16 rows."""
    text = "image,id,box,title,\n" + "".join(f"{n}.jpg,n{n}\n" for n in range(40))
    text += 'https://h/i,x,"1,2,3,4"\nb.jpg\n\nc.jpg,,,C\n'
    rows = read(write(tmp_path, text))
    assert not wrong(rows)
    assert [row.id for row in rows] == [*(f"n{n}" for n in range(40)), "x", "b", "c"]
    assert [row.extra for row in rows] == [{"title": ""}] * 42 + [{"title": "C"}]
    assert len(survey(Manifest(str(tmp_path / "m.csv"))).shards) == 2
    assert rows[40].parameters.box == (1, 2, 3, 4) and rows[0].parameters.box is None


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    text = "image,id,title\na.jpg,1,A\nb.jpg,2,B\n"
    for left in ("b.jpg,2", "b.jpg", "b.jpg,"):
        rows = read(write(tmp_path, text[: text.index("b.jpg")] + left))
        assert wrong(rows)[3][1].startswith("line 3: the line is cut off: "), left
    rows = read(write(tmp_path, text[: text.index("b.jpg")] + 'b.jpg,"2'))
    assert wrong(rows)[3][1] == "line 3: a quote is opened and never closed"
    assert not wrong(read(write(tmp_path, text.rstrip()))), "the last line needs no end"


def test_a_line_break_without_quotes_makes_no_row(tmp_path: Path) -> None:
    text = "image,title,erode_size\na.jpg,A,1\nb.jpg,a big\nlamp,9\nc.jpg,C,3\nd.jpg,D\n"
    rows = read(write(tmp_path, text))
    assert wrong(rows) == {
        3: (
            "manifest_row",
            "line 3: cells are missing at its end, and the next line is no row; put cells with "
            "line breaks in quotes",
        ),
        4: ("manifest_row", "line 4: 2 fields where the header has 3"),
    }
    assert [row.id for row in rows if row.status == PENDING] == ["a", "c", "d"]


def test_a_stray_quote_makes_no_short_row(tmp_path: Path) -> None:
    """What it swallows up to the next quote would be lost."""
    text = 'image,title,size\na.jpg,"A\nb.jpg,B,1\nc.jpg,Lamp 9"\nd.jpg,D,1\n'
    rows = read(write(tmp_path, text))
    assert 2 in wrong(rows) and [row.id for row in rows if row.status == PENDING][-1] == "d"


def test_crlf_blank_lines_and_no_last_line_end(tmp_path: Path) -> None:
    text = 'image,note\r\na.jpg,x\r\n\r\nb.jpg,"two\r\nlines"\r\nc.jpg,z'
    rows = read(write(tmp_path, text))
    assert [(row.line, Path(row.image).name, row.extra["note"]) for row in rows] == [
        (2, "a.jpg", "x"),
        (4, "b.jpg", "two\nlines"),
        (6, "c.jpg", "z"),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.txt"])
def test_utf_16_is_read(tmp_path: Path, encoding: str, name: str) -> None:
    text = {"m.csv": "image\nä.jpg\n", "m.jsonl": '{"image": "ä.jpg"}\n', "m.txt": "ä.jpg\n"}
    rows = read(write(tmp_path, text[name].encode(encoding), name))
    assert [(row.id, row.status) for row in rows] == [("ä", PENDING)]


def test_a_nul_byte_and_latin_1_cost_their_lines(tmp_path: Path) -> None:
    rows = read(write(tmp_path, b"image\na.jpg\nb\0.jpg\nc\xe9.jpg\nd.jpg\n"))
    assert wrong(rows) == {
        3: ("manifest_row", "line 3: the line holds a NUL byte"),
        4: ("manifest_row", "line 4: the line is not UTF-8; save the manifest as UTF-8"),
    }
    assert [row.id for row in rows if row.status == PENDING] == ["a", "d"]


def test_a_very_long_line_costs_itself(tmp_path: Path) -> None:
    for end in (b"\nc.jpg\n", b""):
        rows = read(write(tmp_path, b"image\na.jpg\n" + b"b" * 5_000_000 + end))
        assert list(wrong(rows)) == [3]
        assert "longer than" in wrong(rows)[3][1]
        assert [row.id for row in rows if row.status == PENDING] == ["a", "c"][: 1 + bool(end)]


def test_empty_files(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"m\.csv: the file is empty; a header with 'image'"):
        survey(Manifest(str(write(tmp_path, ""))))
    with pytest.raises(ManifestError, match="the file is empty"):
        survey(Manifest(str(write(tmp_path, "\r\n\n"))))
    assert read(write(tmp_path, "image,note\n")) == []
    assert read(write(tmp_path, "", "m.jsonl")) == []
    assert read(write(tmp_path, "", "m.txt")) == []
    with pytest.raises(ManifestError, match=r"m\.parquet: not a Parquet file"):
        survey(Manifest(str(write(tmp_path, "", "m.parquet"))))
    pq.write_table(pa.table({"image": pa.array([], pa.string())}), tmp_path / "none.parquet")
    assert read(tmp_path / "none.parquet") == []


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"m\.csv:1: there is no column 'image'; the columns are 'uri', 'id'"
    ):
        survey(Manifest(str(write(tmp_path, "uri,id\na.jpg,a\n"))))
    pq.write_table(pa.table({"uri": ["a.jpg"]}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match="there is no column 'image'"):
        survey(Manifest(str(tmp_path / "m.parquet")))
    rows = read(write(tmp_path, '{"image": "a.jpg"}\n{"uri": "b.jpg"}\n', "m.jsonl"))
    assert wrong(rows)[2][1] == "line 2: there is no column 'image'; the columns are 'uri'"


@pytest.mark.parametrize("header", ["image,image", "image,note,note", "image,Image", "image,ID,id"])
def test_a_column_that_occurs_twice_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(ManifestError, match=r"m\.csv:1: .*(twice|two columns)"):
        survey(Manifest(str(write(tmp_path, f"{header}\n"))))


def test_a_header_over_two_lines_keeps_line_numbers_right(tmp_path: Path) -> None:
    rows = read(write(tmp_path, 'image,"a\nnote"\na.jpg,x\nb.jpg\n'))
    assert [row.line for row in rows] == [3, 4]
    assert rows[0].extra == {"a\nnote": "x"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("not json", "not JSON"),
        ('["image"]', "not a JSON object"),
        ('{"image": "a.jpg", "Image": "b.jpg"}', "two columns mean 'image'"),
        ('{"image": null}', "'image' is empty"),
        ('{"image": "  "}', "'image' is empty"),
        ("[" * 100_000, "not JSON"),
        ('{"image": "\\ud83d.jpg"}', "surrogate"),
        ('{"image": "a.jpg", "note": "\\udc00"}', "surrogate"),
        ('{"image": "a\\u0000.jpg"}', "no URI"),
        ('{"image": "zip://a.jpg"}', "names no store"),
        ('{"image": "a.jpg", "id": "' + "x" * 1001 + '"}', "over 1000 characters"),
    ],
)
def test_bad_json_lines_cost_themselves(tmp_path: Path, line: str, says: str) -> None:
    good = ['{"image": "a.jpg"}', '{"image": "smile \\ud83d\\ude00.jpg", "id": 7}']
    rows = read(write(tmp_path, "\n".join([good[0], line, good[1]]), "m.jsonl"))
    assert list(wrong(rows)) == [2]
    assert says in wrong(rows)[2][1]
    assert wrong(rows)[2][1].startswith("line 2: ")
    assert rows[2].id == "7" and rows[2].image.endswith("/smile \U0001f600.jpg")


def test_an_image_that_leads_out_of_its_store_costs_one_row() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/test-out/m.txt", b"../../../a.jpg\nb.jpg\n")
    rows = read("memory://test-out/m.txt")
    assert wrong(rows)[1][0] == "invalid_uri"
    assert rows[1].image == "memory://test-out/b.jpg"


def test_a_broken_parquet_file_is_one_clear_error(tmp_path: Path) -> None:
    data = bytearray(as_parquet(compression="none"))
    path = write(tmp_path, bytes(data[:-20]), "m.parquet")
    with pytest.raises(ManifestError, match=r"m\.parquet: not a Parquet file"):
        survey(Manifest(str(path)))
    data[4:60] = b"\xff" * 56
    path = write(tmp_path, bytes(data), "m.parquet")
    with pytest.raises(ManifestError, match=r"m\.parquet: the Parquet file is broken"):
        survey(Manifest(str(path)))


# -------------------------------------------------------------------------------------- parameters


def test_the_api_spellings_and_bounds(tmp_path: Path) -> None:
    header = "image,Box,ErodeSize,ForegroundThreshold,BackgroundThreshold,HairOptimization,OnlyMask"
    rows = read(
        write(
            tmp_path,
            f"{header},keep_shadow\n"
            'a.jpg,"[1, 2,3,4]",7,250,5,on,TRUE,1\n'
            'b.jpg,"1,2,3,4",7.0,,,Off,no,0\n'
            "c.jpg,,,,,,,\n",
        )
    )
    assert rows[0].parameters == MattingParameters((1, 2, 3, 4), 7, 250, 5, "on", True, True)
    assert rows[1].parameters == MattingParameters((1, 2, 3, 4), 7, hair_optimization="off")
    assert rows[2].parameters == MattingParameters()
    assert rows[0].extra == {}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"erode_size": 41}, "erode_size: 41 is outside 0..40"),
        ({"erode_size": -1}, "erode_size: -1 is outside"),
        ({"erode_size": "1.5"}, "erode_size: '1.5' is not a whole number"),
        ({"erode_size": 1.5}, "erode_size: 1.5 is not a whole number"),
        ({"erode_size": True}, "erode_size: True is not a whole number"),
        ({"erode_size": float("nan")}, "erode_size: nan is not"),
        ({"erode_size": float("inf")}, "erode_size: inf is not"),
        ({"erode_size": "9" * 5000}, "is not a whole number"),
        ({"foreground_threshold": 256}, "foreground_threshold: 256 is outside 0..255"),
        ({"background_threshold": -1}, "background_threshold: -1 is outside 0..255"),
        ({"background_threshold": 240}, "background_threshold: 240 must be under"),
        ({"hair_optimization": "maybe"}, "'maybe' is not one of auto, on, off"),
        ({"only_mask": "perhaps"}, "only_mask: 'perhaps' is not true or false"),
        ({"box": "1,2,3"}, "box: four whole numbers"),
        ({"box": [1, 2, 3, "x"]}, "box: 'x' is not a whole number"),
        ({"box": [5, 0, 5, 9]}, "is empty or negative"),
        ({"box": [-1, 0, 5, 9]}, "is empty or negative"),
        ({"box": {"left": 1}}, "box: four whole numbers"),
    ],
)
def test_a_parameter_out_of_bounds_costs_its_row(values: dict[str, Any], says: str) -> None:
    row = row_from_record({"image": "a.jpg", **values}, line=9)
    assert (row.status, row.error_code) == (FAILED, ErrorCode.INVALID_PARAMETER.value)
    assert (row.error_message or "").startswith("line 9: ")
    assert says in (row.error_message or "")
    (name,) = values
    assert name in row.extra, "the failures hold what was given, to be corrected there"
    again = row_from_record({"image": "a.jpg", **row.extra})
    assert again.error_code == row.error_code, "it does not pass when it is run again as it is"


def test_bounds_themselves_are_good() -> None:
    for name, values in {
        "erode_size": (0, 40),
        "foreground_threshold": (16, 255),
        "background_threshold": (0, 239),
    }.items():
        for value in values:
            row = row_from_record({"image": "a.jpg", name: str(value)})
            assert (row.status, getattr(row, name)) == (PENDING, value)


def test_defaults_come_from_the_manifest(tmp_path: Path) -> None:
    defaults = MattingParameters(erode_size=3, hair_optimization="off")
    path = write(tmp_path, "image,erode_size\na.jpg,\nb.jpg,9\n")
    rows = read(Manifest(str(path), defaults=defaults))
    assert [row.erode_size for row in rows] == [3, 9]
    assert [row.hair_optimization for row in rows] == ["off", "off"]


def test_values_that_pandas_and_parquet_give(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": pa.array(["a.jpg", b"b.jpg".decode()]).dictionary_encode(),
            "erode_size": pa.array([3.0, None]),
            "box": pa.array([[1, 2, 3, 4], None], pa.list_(pa.int64())),
            "price.eur": pa.array([1.5, None]),
            "tags": pa.array([["x", "y"], []]),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    rows = read(tmp_path / "m.parquet")
    assert rows[0].parameters == MattingParameters((1, 2, 3, 4), 3)
    assert rows[0].extra == {"price.eur": "1.5", "tags": '["x", "y"]'}
    assert rows[1].parameters == MattingParameters()
    assert rows[1].extra == {"tags": "[]"}


def test_a_record_needs_no_manifest() -> None:
    row = row_from_record({"image": "photos/a.jpg", "sku": 5})
    assert row == Row(id="photos/a", image="photos/a.jpg", extra={"sku": "5"})


# --------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("image", "id"),
    [
        ("a.jpg", "a"),
        ("sub/a.b.jpeg", "sub/a.b"),
        ("a.unknown", "a.unknown"),
        ("s3://bucket/x/a.PNG", "bucket/x/a"),
        ("/abs/a.png", "abs/a"),
        ("a b#%20é.webp", "a b#%20é"),
    ],
)
def test_default_ids(image: str, id: str) -> None:
    assert row_from_record({"image": image}, folder="/shop/in").id == id


def test_default_ids_do_not_depend_on_where_the_shop_is() -> None:
    first = row_from_record({"image": "sub/a.jpg"}, folder="/one/place")
    other = row_from_record({"image": "sub/a.jpg"}, folder="s3://bucket/other")
    assert first.id == other.id == "sub/a"


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60) | st.text(
    "aA/.-_ é\\:0", min_size=1, max_size=250
)


@settings(deadline=None, max_examples=400)
@given(IDS)
def test_file_names_are_safe(id: str) -> None:
    name = file_name(id)
    assert re.fullmatch(r"[A-Za-z0-9._/-]{1,200}", name)
    for part in name.split("/"):
        assert part and part not in (".", "..") and part[0] not in ".-" and part[-1] != "."
        assert len(part) <= 120
        assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", part)
    assert file_name(id) == name


@settings(deadline=None, max_examples=400)
@given(IDS, IDS)
def test_different_ids_have_different_names(one: str, other: str) -> None:
    if one != other:
        assert file_name(one) != file_name(other)


@pytest.mark.parametrize(
    "id", ["con", "aux/a", "a/NUL.x/b", "../../etc/passwd", "/", "...", "a//b", "é" * 300]
)
def test_awkward_ids(id: str) -> None:
    test_file_names_are_safe.hypothesis.inner_test(id)  # type: ignore[attr-defined]


def test_plain_ids_keep_their_names() -> None:
    for id in ("shoe", "S-1_2.b", "2024/01/shoe", "console", "x" * 80):
        assert file_name(id) == id


def test_many_ids_without_a_latin_letter_stay_apart() -> None:
    assert len({file_name("鞋" * (1 + n % 7) + chr(0x4E00 + n)) for n in range(20_000)}) == 20_000


def test_default_ids_that_collide_are_made_distinct(tmp_path: Path) -> None:
    path = write(tmp_path, "image\nshoe.jpg\nshoe.png\nhat.jpg\nHAT.jpg\nbag.jpg\n")
    rows = read(path)
    assert not wrong(rows)
    names = [file_name(row.id).casefold() for row in rows]
    assert len(set(names)) == 5
    assert rows[4].id == "bag"
    assert all(re.fullmatch(r"(shoe|hat|HAT)-[0-9a-f]{16}", row.id) for row in rows[:4])

    shuffled = read(write(tmp_path, "image\nbag.jpg\nHAT.jpg\nshoe.png\nhat.jpg\nshoe.jpg\n"))
    assert {row.image: row.id for row in rows} == {row.image: row.id for row in shuffled}


def test_the_same_image_twice_is_done_once(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "image\na.jpg\nb.jpg\na.jpg\n"))
    assert list(wrong(rows)) == [4]
    assert wrong(rows)[4] == (
        "duplicate_id",
        "line 4: line 2 names the same image, and neither row has an id; give each an id (a "
        "column 'id', or input.columns: {id: NAME}), or leave one out",
    )
    rows = read(write(tmp_path, "image,id\nb.jpg,a\na.jpg,\na.jpg,\na.jpg,7\n"))
    assert wrong(rows)[3][1].startswith("line 3: the id 'a' stands on line 2 already")
    assert wrong(rows)[4][1].startswith("line 4: line 3 names the same image")
    assert list(wrong(rows)) == [3, 4]


@pytest.mark.parametrize("second", ["x", "X"])
def test_the_rows_own_ids_that_collide_are_refused(tmp_path: Path, second: str) -> None:
    rows = read(write(tmp_path, f"image,id\na.jpg,x\nb.jpg,{second}\nc.jpg,y\nx.jpg,\n"))
    assert set(wrong(rows)) == {3, 5}
    assert {code for code, _ in wrong(rows).values()} == {"duplicate_id"}


def test_an_id_that_collides_behind_blank_lines_and_shards(tmp_path: Path) -> None:
    """An id's first row is recognised by its line, which blank lines must not shift."""
    blocks = [f"i{n}.jpg,id{n % 300}\n" + "\n" * (n % 3) for n in range(600)]
    rows = read(write(tmp_path, "image,id\n" + "".join(blocks)))
    assert len(survey(Manifest(str(tmp_path / "m.csv"))).shards) > 5
    assert [row.status for row in rows] == [PENDING] * 300 + [FAILED] * 300


# ------------------------------------------------------------------------------------------ shards


def one_pass(manifest: Manifest) -> list[Row]:
    """All rows by reading the manifest as one shard."""
    shard = Shard(0, None, 1)
    return [row._replace(finished_at=None) for row in read_shard(manifest, shard)]


FIELD = st.text(st.sampled_from('ab ,"\n\r\té'), max_size=8)
LINES = st.lists(
    st.tuples(FIELD, FIELD).map(
        lambda pair: ",".join('"' + part.replace('"', '""') + '"' for part in pair)
    )
    | st.text(st.sampled_from('ab,"\r'), max_size=8)
    | st.sampled_from(["a.jpg", "a.jpg,x", '"a.jpg"', "a"]),
    max_size=60,
)


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
        write(tmp_path, COMPRESSIONS[".zst"](text.encode()) if "zst" in name else text, name)
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


def test_a_survey_holds_few_bytes_a_row(tmp_path: Path) -> None:
    """What is kept of each row, without the buffers: three numbers, and the shards' places."""
    path = write(tmp_path, "".join(f"{n}\n" for n in range(4000)), "m.txt")
    names = shards._Names()
    tracemalloc.start()
    try:
        for n in range(4000):
            names.add(Record(n, {"image": str(n)}), ".")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4000 * 32
    assert len(survey(Manifest(str(path))).shards) <= 2 * shards._LEAST_SHARDS


# -------------------------------------------------------------------------------------- as a step


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


KEPT = st.text(min_size=1, max_size=80) | st.text("aA/.-_ éÉß鞋\\:%", min_size=1, max_size=250)


@settings(deadline=None, max_examples=400)
@given(KEPT.filter(lambda id: not re.search("[\ud800-\udfff]", id)), KEPT)
def test_names_that_are_kept_are_safe_too(id: str, other: str) -> None:
    name = file_name(id, keep=True)
    assert not re.search(r'[\x00-\x1f\x7f<>:"\\|?*%#]', name)
    for part in name.split("/"):
        assert part and part == part.strip(" .") and len(part.encode()) <= 220
        assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", part)
    assert id == other or file_name(other, keep=True) != name


@pytest.mark.parametrize("id", ["鞋/Größe 42", "Crème brûlée", "обувь", "a b", "shoe"])
def test_letters_of_every_script_are_kept(id: str) -> None:
    assert file_name(id, keep=True) == id
    assert file_name(id).isascii()
