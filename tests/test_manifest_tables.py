"""Tables as Excel, shops and databases write them: delimiters, encodings, quotes, columns."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    read_shard,
    row_from_record,
    shards,
    survey,
)
from alphabeam.transforms.rows import PENDING
from tests.test_manifest import QUICK, one_pass, read, write, wrong

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


# ------------------------------------------------------------------------------------------ quotes


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


# ------------------------------------------------------------------------------------------ shards

FIELD = st.text(st.sampled_from('ab ,;"\n\r\té\\'), max_size=8)


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


# ----------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("header", "row", "encoding", "end"),
    [
        ("Artikelnummer;Bild;Größe", "4711;fotos/tasse.jpg;XL", "cp1252", "\r\n"),
        ("Artikelnummer;Bild-URL;Größe", "4711;fotos/tasse.jpg;XL", "utf-8-sig", "\r\n"),
        ("Référence;URL de l'image;Taille", "4711;fotos/tasse.jpg;XL", "cp1252", "\r\n"),
        ("Référence;Image principale;Coût", "4711;fotos/tasse.jpg;5 €", "cp1252", "\r"),
        ("商品番号,画像,サイズ", "4711,fotos/tasse.jpg,XL", "utf-8-sig", "\r\n"),
        ("商品番号,商品画像URL,サイズ", "4711,fotos/tasse.jpg,大きい", "cp932", "\r\n"),
        ("商品番号\t画像 URL\tサイズ", "4711\tfotos/tasse.jpg\tXL", "utf-16", "\r\n"),
        ("Artikelnummer\tFoto\tGröße", "4711\tfotos/tasse.jpg\tXL", "utf-16", "\r\n"),
    ],
)
def test_excel_in_three_languages(
    tmp_path: Path, header: str, row: str, encoding: str, end: str
) -> None:
    text = header + end + row + end + ";" * 2 + end if ";" in header else header + end + row + end
    rows = read(write(tmp_path, text.encode(encoding)))
    assert [(one.id, one.image, one.status) for one in rows] == [
        ("fotos/tasse", str(tmp_path / "fotos/tasse.jpg"), PENDING)
    ]
    names = re.split("[;,\t]", header)
    values = re.split("[;,\t]", row)
    assert rows[0].extra == {names[0]: values[0], names[2]: values[2]}


SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,"
    "Option1 Value,Variant SKU,Variant Grams,Variant Price,Image Src,Image Position,"
    "Image Alt Text,Gift Card,SEO Title,Variant Image,Variant Weight Unit,Status"
)
MAGENTO = (
    "sku,store_view_code,attribute_set_code,product_type,categories,name,description,price,"
    "url_key,base_image,base_image_label,small_image,thumbnail_image,swatch_image,"
    "additional_images,additional_image_labels,configurable_variations"
)
AKENEO = "sku;categories;enabled;family;groups;name-de_DE;picture;picture-unit;price-EUR"


def shop(header: str, delimiter: str, *records: dict[str, str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, header.split(delimiter), delimiter=delimiter, restval="")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def test_shopify(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = "\n".join(f'<li class="s">Point {n}, and more</li>' for n in range(90))
    cdn = "https://cdn.shopify.com/s/files/1/0001/"
    text = shop(
        SHOPIFY, ",",
        {"Handle": "mug", "Title": "Mug", "Body (HTML)": body, "Image Src": cdn + "mug.jpg?v=1"},
        {"Handle": "mug", "Option1 Value": "Blue", "Variant Image": cdn + "blue.jpg"},
        {"Handle": "mug", "Image Src": cdn + "back.jpg?v=1", "Image Position": "2"},
        {"Handle": "card", "Title": "Gift card"},
    )  # fmt: skip
    rows = read(write(tmp_path, text))
    assert not wrong(rows)
    assert [row.image for row in rows] == [cdn + "mug.jpg?v=1", cdn + "back.jpg?v=1"]
    assert rows[0].extra["Body (HTML)"] == body
    assert "2 products without an image are left out" in caplog.text
    rows = read(write(tmp_path, text.replace("Image Src", "Product image URL")))
    assert [row.image for row in rows] == [cdn + "mug.jpg?v=1", cdn + "back.jpg?v=1"]


def test_magento(tmp_path: Path) -> None:
    text = shop(
        MAGENTO, ",",
        {"sku": "24-MB01", "name": "Bag", "base_image": "/m/b/mb01.jpg",
         "small_image": "/m/b/mb01.jpg", "additional_images": "/m/b/mb01.jpg,/m/b/mb01-2.jpg"},
        {"sku": "24-MB01", "store_view_code": "de", "name": "Tasche"},
        {"sku": "24-MB04", "base_image": "https://shop.example/media/mb04.jpg"},
    )  # fmt: skip
    rows = read(write(tmp_path, text))
    assert not wrong(rows)
    assert [row.image for row in rows] == [
        str(tmp_path / "m/b/mb01.jpg"), "https://shop.example/media/mb04.jpg",
    ]  # fmt: skip
    assert rows[0].extra["sku"] == "24-MB01"


@pytest.mark.parametrize(
    "name", ["picture", "image", "main_image", "packshot-ecommerce_x", "picture-de_DE-ecommerce"]
)
def test_akeneo(tmp_path: Path, name: str) -> None:
    header = AKENEO.replace(";picture;", f";{name};")
    text = shop(
        header, ";",
        {"sku": "mug", "name-de_DE": "Tasse; groß", name: "files/mug/picture/mug.jpg"},
    )  # fmt: skip
    if name == "packshot-ecommerce_x":  # a channel cannot be told from a name's own words
        with pytest.raises(ManifestError, match="there is no column 'image'"):
            read(write(tmp_path, text))
        return
    rows = read(write(tmp_path, text))
    assert [(row.id, row.status) for row in rows] == [("files/mug/picture/mug", PENDING)]
    assert rows[0].extra["name-de_DE"] == "Tasse; groß"


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("Bild;Foto", ["'Bild'", "'Foto'"]),
        ("sku;picture-de_DE;picture-en_US", ["'picture-de_DE'", "'picture-en_US'"]),
        ("base_image,Image Src,x", ["'base_image'", "'Image Src'"]),
    ],
)
def test_what_may_be_either_is_refused_by_name(
    tmp_path: Path, header: str, named: list[str]
) -> None:
    path = write(tmp_path, f"{header}\n")
    with pytest.raises(ManifestError, match="may be in any of the columns") as caught:
        survey(Manifest(str(path)))
    assert all(name in str(caught.value) for name in named)
    assert "input.columns: {image: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_job_says_which_column_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "Nummer;Bild;Foto\n7;a.jpg;b.jpg\n")
    (row,) = read(Manifest(str(path), columns={"image": "foto", "id": "Nummer"}))
    assert (row.id, row.extra) == ("7", {"Bild": "a.jpg"})
    assert row.image.endswith("/b.jpg")
    with pytest.raises(ManifestError, match=r"no column 'Fto', which input\.columns\.image names"):
        read(Manifest(str(path), columns={"image": "Fto"}))


def test_image_itself_comes_before_all_other_names(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path, "image,Image Src,base_image\n/a.jpg,b.jpg,c.jpg\n"))
    assert row.image == "/a.jpg"
    rows = read(write(tmp_path, "image,sku\n,5\n"))
    assert "'image' is empty" in wrong(rows)[2][1], "a list of images has one on every line"


# --------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("value", "id"),
    [
        (1001.0, "1001"), (1001, "1001"), (0, "0"), (0.0, "0"), (-5.0, "-5"), (10.5, "10.5"),
        (1e16, "10000000000000000"), (4.00638e12, "4006380000000"), (1e-7, "0.0000001"),
        (float("nan"), "a"), (None, "a"), ("", "a"), (" ", "a"), (float("inf"), "inf"),
        (Decimal("1001.00"), "1001"), (Decimal("1E+3"), "1000"), (Decimal("10.50"), "10.50"),
        (Decimal("NaN"), "a"), (np.float64(7.0), "7"), (np.float32(0.5), "0.5"),
        ("1001.0", "1001.0"), ("007", "007"), ("4.00638E+12", "4.00638E+12"), (True, "true"),
    ],
)  # fmt: skip
def test_an_id_is_what_its_author_sees(value: Any, id: str) -> None:
    assert row_from_record({"image": "a.jpg", "id": value}).id == id


def test_ids_of_a_column_of_doubles(tmp_path: Path) -> None:
    ids = pa.array([1001.0, None, float("nan"), 0.0, 0.0, 1002.5])
    images = [f"{n}.jpg" for n in range(6)]
    pq.write_table(pa.table({"image": images, "id": ids}), tmp_path / "m.parquet")
    rows = read(tmp_path / "m.parquet")
    assert [row.id for row in rows] == ["1001", "1", "2", "0", "0", "1002.5"]
    assert list(wrong(rows)) == [5]
    assert wrong(rows)[5][0] == "duplicate_id"


@pytest.mark.parametrize("text", ['{"image": "a.jpg", "id": 0}\n{"image": "b.jpg", "id": 0}\n'])
def test_0_twice_is_a_duplicate(tmp_path: Path, text: str) -> None:
    rows = read(write(tmp_path, text, "m.jsonl"))
    assert wrong(rows)[2] == (
        "duplicate_id",
        "line 2: the id '0' stands on line 1 already; ids must be unique "
        "(letter case does not count)",
    )


def test_a_number_that_a_spreadsheet_shortened_is_named(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "image;id\na.jpg;4,00638E+12\nb.jpg;4,00638E+12\n"))
    assert "a spreadsheet has shortened it: format the column as text" in wrong(rows)[3][1]


# ----------------------------------------------------------------------------------------- Parquet


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


# ------------------------------------------------------------------------------------------- parts


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
