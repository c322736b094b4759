"""Tables as Excel and databases write them: delimiters, encodings, quotes."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    shards,
    survey,
)
from alphabeam.transforms.rows import PENDING
from tests.linear import grows_evenly
from tests.manifest.reading import QUICK, one_pass, read, write, wrong

TITLES = ["Größe 42; rot, blau", 'so "genannt"', "zwei\nZeilen", "Tasse|Krug\tweiß"]


def table(delimiter: str, lineterminator: str = "\r\n", **options: Any) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=lineterminator, **options)
    writer.writerow(["image", "id", "title"])
    writer.writerows([f"fotos/{n}.jpg", f"a{n}", title] for n, title in enumerate(TITLES))
    return out.getvalue()


def assert_table(manifest: Manifest | Path) -> None:
    rows = read(manifest)
    assert not wrong(rows)
    assert [row.id for row in rows] == ["a0", "a1", "a2", "a3"]
    assert [row.extra["title"] for row in rows] == TITLES
    assert [Path(row.image).name for row in rows] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_and_encoding_are_found(tmp_path: Path, delimiter: str, encoding: str) -> None:
    for end in ("\r\n", "\n", "\r"):
        # where a lone CR ends lines, the line break inside quotes is one too
        text = table(delimiter, end) if end == "\r\n" else table(delimiter, "\n")
        text = text.replace("\n", "\r") if end == "\r" else text
        assert_table(write(tmp_path, text.encode(encoding)))


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "sep=;\r"])
def test_the_line_that_excel_heeds(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"{line}\n" + table(";"))
    assert_table(path)
    assert [row.line for row in read(path)] == [3, 4, 5, 7]
    assert_table(write(tmp_path, (f"{line}\n" + table(";")).encode("utf-16")))


def test_an_unusual_delimiter_and_encoding_are_set(tmp_path: Path) -> None:
    path = write(tmp_path, table("~").encode("mac_roman"))
    assert_table(Manifest(str(path), delimiter="~", encoding="mac_roman"))
    assert_table(Manifest(str(write(tmp_path, table("\t"))), delimiter="tab"))
    with pytest.raises(ValueError, match="'klingon' is not known"):
        Manifest("m.csv", encoding="klingon")
    with pytest.raises(ValueError, match="is not one character"):
        Manifest("m.csv", delimiter=";;")


def test_japanese_windows_text_is_found(tmp_path: Path) -> None:
    text = "画像,商品名\r\na.jpg,マグカップ\r\nb.jpg,青い皿\r\n"
    rows = read(write(tmp_path, text.encode("cp932")))
    assert [row.extra["商品名"] for row in rows] == ["マグカップ", "青い皿"]


def test_western_text_is_not_taken_for_japanese(tmp_path: Path) -> None:
    titles = ["\u201cCrème brûlée\u201d", "Straße \u2013 5 €", "Señor\u2019s Åre"]
    text = "image,title\n" + "".join(f"{n}.jpg,{title}\n" for n, title in enumerate(titles))
    rows = read(write(tmp_path, text.encode("cp1252")))
    assert [row.extra["title"] for row in rows] == titles


def test_one_broken_line_makes_no_other_encoding(tmp_path: Path) -> None:
    lines = ["image,title", *(f"{n}.jpg,Größe" for n in range(5))]
    data = "\n".join(lines).encode().replace(b"2.jpg,Gr\xc3\xb6", b"2.jpg,Gr\xf6")
    rows = read(write(tmp_path, data))
    assert list(wrong(rows)) == [4]
    assert "is not UTF-8" in wrong(rows)[4][1]
    assert rows[4].extra["title"] == "Größe"


def test_half_a_character_of_utf_16_costs_its_line(tmp_path: Path) -> None:
    data = "image\na.jpg\n\ud83d.jpg\nc.jpg\n".encode("utf-16", "surrogatepass")
    assert list(wrong(read(write(tmp_path, data)))) == [3]
    rows = read(write(tmp_path, "image\na.jpg\nb.jpg".encode("utf-16") + b"x"))
    assert list(wrong(rows)) == [3], "cut off in the middle of a character"


def test_an_excel_workbook_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"m\.csv: an Excel workbook or ZIP file; export it"):
        survey(Manifest(str(write(tmp_path, b"PK\x03\x04" + bytes(100)))))


def test_excels_unicode_text_is_a_table(tmp_path: Path) -> None:
    assert_table(write(tmp_path, table("\t").encode("utf-16"), "m.txt"))
    rows = read(write(tmp_path, "a\tb.jpg\nc.jpg\n", "m.txt"))
    assert [Path(row.image).name for row in rows] == ["a\tb.jpg", "c.jpg"], "a list stays one"


@pytest.mark.parametrize("lines", [49, 60, 800, 5000])
def test_a_description_of_many_lines_is_one_field(tmp_path: Path, lines: int) -> None:
    body = "\n".join(f'<p class="x">Line {n}, with "quotes", and so on</p>' for n in range(lines))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["Handle", "Body (HTML)", "image"])
    writer.writerows([f"h{n}", body, f"{n}.jpg"] for n in range(3))
    rows = read(write(tmp_path, out.getvalue()))
    assert not wrong(rows)
    assert [row.extra["Body (HTML)"] for row in rows] == [body] * 3
    assert [row.line for row in rows] == [2, 2 + lines, 2 + 2 * lines]


@pytest.mark.parametrize("cell", ["a.jpg", "A B.JPEG", "a.jpg?v=1&u=b.jpg?2", "https://h/i"])
def test_a_line_that_ends_after_its_image_is_a_record(tmp_path: Path, cell: str) -> None:
    rows = read(write(tmp_path, f"image,title,\nx.jpg,X,\n{cell}\ny.jpg,Y,\n"))
    assert not wrong(rows) and len(rows) == 3


@pytest.mark.parametrize("cell", ["no image", ".jpg", "a.jpg b", "a <b>.jpg", "a.jpg?v=1 b"])
def test_one_that_ends_after_something_else_is_none(tmp_path: Path, cell: str) -> None:
    assert 3 in wrong(read(write(tmp_path, f"image,title,\nx.jpg,X,\n{cell}\ny.jpg,Y,\n")))


def test_a_long_cell_takes_no_longer_than_its_length(tmp_path: Path) -> None:
    def manifest(size: int) -> Manifest:
        cell = "a.jpg?" * (size // 6) + " b"
        return Manifest(str(write(tmp_path, f"image,title,\nx.jpg,X,\n{cell}\n", f"{size}.csv")))

    assert grows_evenly(read, manifest, 15_000)


def test_a_stray_quote_swallows_no_records(tmp_path: Path) -> None:
    """Two stray quotes far apart would be a field of many lines; what lies between is records."""
    lines = ["image,note", *(f"{n}.jpg,note {n}" for n in range(2, 1000))]
    lines[6], lines[900] = 'x.jpg,"note', 'y.jpg,note"'
    rows = read(write(tmp_path, "\n".join(lines)))
    assert list(wrong(rows)) == [7]
    assert wrong(rows)[7][1] == "line 7: a quote is opened and never closed"
    assert len(rows) == 998


def test_a_bad_line_inside_a_field_costs_its_record(tmp_path: Path) -> None:
    data = b'image,note\na.jpg,"x\n\x00y\nz"\nb.jpg,\xc3\xa9\n'
    rows = read(write(tmp_path, data))
    assert list(wrong(rows)) == [2]
    assert "NUL byte" in wrong(rows)[2][1]
    assert [row.id for row in rows if row.status == PENDING] == ["b"]


@pytest.mark.parametrize(
    ("line", "note"),
    [
        (r'a.jpg,"a \"quoted\" word"', 'a "quoted" word'),
        (r'a.jpg,"5\", 6\" ruler"', '5", 6" ruler'),
        (r'a.jpg,"C:\shop\"', "C:\\shop\\"),
        (r'a.jpg,"back\\slash \"x\""', 'back\\slash "x"'),
        (r'a.jpg,C:\new', r"C:\new"),
        ('a.jpg,"two \\"lines\\"\nhere"', 'two "lines"\nhere'),
    ],
)  # fmt: skip
def test_backslash_quotes(tmp_path: Path, line: str, note: str) -> None:
    rows = read(write(tmp_path, f"image,note\n{line}\nb.jpg,next\n"))
    assert not wrong(rows)
    assert [row.extra["note"] for row in rows] == [note, "next"]


def test_empty_columns_and_lines(tmp_path: Path) -> None:
    text = "image,note,,\na.jpg,x,,\n,,,\nb.jpg,y\n,,\nc.jpg,z,,,,,\n \nd.jpg,,lost,\n"
    rows = read(write(tmp_path, text))
    assert not wrong(rows)
    assert [row.id for row in rows] == ["a", "b", "c", "d"]
    assert [row.line for row in rows] == [2, 4, 6, 8]
    assert rows[0].extra == {"note": "x"}
    assert rows[3].extra == {"note": "", "column 3": "lost"}
    rows = read(write(tmp_path, "image,note\na.jpg,x,y\n"))
    assert wrong(rows)[2][1] == "line 2: 3 fields where the header has 2"


def test_comments_in_lists(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "# photos\na.jpg\n  #b.jpg\n./#c.jpg\nd#e.jpg\n", "m.txt"))
    assert [Path(row.image).name for row in rows] == ["a.jpg", "#c.jpg", "d#e.jpg"]


FIELD = st.text(st.sampled_from('ab ,;"\n\r\té\\'), max_size=8)


@pytest.mark.slow
@QUICK
@given(
    records=st.lists(st.tuples(FIELD, FIELD), max_size=40),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "cp932"]),
    rows_in_shard=st.integers(1, 5),
)
def test_shards_of_every_encoding_and_delimiter(
    tmp_path: Path,
    records: list[tuple[str, str]],
    delimiter: str,
    encoding: str,
    rows_in_shard: int,
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["image", "note"])
    writer.writerows((f"{n}.jpg", note + other) for n, (note, other) in enumerate(records))
    data = out.getvalue().encode(encoding, "replace")
    manifest = Manifest(str(write(tmp_path, data)), encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_SHARD_ROWS", rows_in_shard * shards._LEAST_SHARDS)
        rows = read(manifest)
        if encoding != "utf-16" and len(records) > 5:
            assert len(survey(manifest).shards) > 1
    assert rows == one_pass(manifest)
    known = [(a + b).encode(encoding, "replace").decode(encoding) for a, b in records]
    assert [row.extra["note"] for row in rows] == [re.sub(r"\r+\n", "\n", n) for n in known]
