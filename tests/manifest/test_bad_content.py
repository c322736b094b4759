"""What is wrong with a manifest: each fault costs its row, or ends the job in one line."""

from __future__ import annotations

import re
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    survey,
)
from alphabeam.transforms.rows import PENDING
from tests.manifest.reading import read, write, wrong


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
        ('{"image": NaN}', "'image' is empty"),
        ('{"image": "' + "a" * 8001 + '"}', "'image' has over 8000 characters; give a path"),
        ('{"image": "data:image/png;base64,' + "A" * 8000 + '"}', "'image' has over 8000"),
        ('{"image": 7}', "'image' is 7; give one path or URI as text"),
        ('{"image": 1.5}', "'image' is 1.5; give"),
        ('{"image": true}', "'image' is True; give"),
        ('{"image": ["a.jpg"]}', "'image' is ['a.jpg']; give"),
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

    fsspec.filesystem("memory").pipe_file("/test-out/m.txt", b"../../../a.jpg\nb.jpg\n")
    rows = read("memory://test-out/m.txt")
    assert wrong(rows)[1][0] == "invalid_uri"
    assert rows[1].image == "memory://test-out/b.jpg"
