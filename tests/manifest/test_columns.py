"""Which column holds the images, in the exports of shops and in other languages."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    survey,
)
from alphabeam.transforms.metadata import failure_record
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.rows import PENDING, Row
from tests.manifest.reading import read, write, wrong


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


def test_a_column_that_nearly_has_a_parameters_name_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "image,erod_size,Erode Size,keepshadows,colour,size\na.jpg,5,5,1,red,XL\n"
    rows = read(write(tmp_path, text))
    assert dict(rows[0].extra)["erod_size"] == "5"
    told = [record.getMessage() for record in caplog.records if "carried through" in record.msg]
    assert told == [
        "column 'erod_size' is carried through; if it is to set erode_size, rename it",
        "column 'keepshadows' is carried through; if it is to set keep_shadow, rename it",
    ]


@pytest.mark.parametrize("word", ["reject", "Rejected "])
def test_of_decisions_what_was_rejected_is_done_again(tmp_path: Path, word: str) -> None:
    text = f"id,image,decision,note\na,a.jpg,{word},thin\nb,b.jpg,accept,\n"
    assert [row.id for row in read(write(tmp_path, text))] == ["a"]


OWN_SETTINGS: dict[str, Any] = {
    "columns": {"id": "Artikelnummer", "image": "Foto 2"},
    "format": "tsv",
    "delimiter": ";",
    "encoding": "cp1252",
}


def test_what_a_job_has_written_needs_none_of_its_manifest_s_settings(tmp_path: Path) -> None:
    failed = Row(id="größe", image=str(tmp_path / "a.jpg"), extra={"t": "ä"}).failed(
        "read", ValueError("x")
    )
    (tmp_path / "failures.jsonl").write_text(failure_record(failed) + "\n", encoding="utf-8")
    (row,) = read(Manifest(str(tmp_path / "failures.jsonl"), **OWN_SETTINGS))
    assert (row.id, row.image, row.extra, row.status) == (
        "größe",
        failed.image,
        {"t": "ä"},
        PENDING,
    )


@pytest.mark.parametrize("name", ["decisions.csv", "decisions (1).csv", "decisions-2.csv"])
def test_what_a_report_has_saved_needs_none_either(name: str, tmp_path: Path) -> None:
    text = "id,image,decision,note\r\nä,b.jpg,reject,dünn\r\n"
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    (row,) = read(Manifest(str(tmp_path / name), **OWN_SETTINGS))
    assert row.id == "ä" and row.extra["note"] == "dünn"


def test_another_file_of_such_a_name_is_read_as_the_job_says(tmp_path: Path) -> None:
    (tmp_path / "decisions.csv").write_text("Artikelnummer;Foto 2\n17;b.jpg\n")
    (row,) = read(Manifest(str(tmp_path / "decisions.csv"), columns=OWN_SETTINGS["columns"]))
    assert row.id == "17" and row.image.endswith("b.jpg")


def test_failed_rows_keep_the_parameters_of_their_own_alone() -> None:
    job = MattingParameters(erode_size=20)
    row = Row(id="a", image="a.jpg", erode_size=20, foreground_threshold=200)
    record = json.loads(failure_record(row, job))
    assert "erode_size" not in record and record["foreground_threshold"] == 200
