"""The index: every finished row, in the columns that shop systems document."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from alphabeam.pipelines import products
from alphabeam.pipelines.products import products_of
from alphabeam.transforms.metadata import encode_table, table_from_rows
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, FAILED, Row
from tests.conftest import Shop

FRONT = {"name": "front-1", "canvas": 64, "upscale": 4}
BACK = {"name": "back", "canvas": 48, "format": "png"}


@pytest.fixture
def shop_with_titles(shop: Shop) -> Callable[..., Shop]:
    def make(**output: Any) -> Shop:
        shop.manifest(
            "id,image,sku,Title,price\n"
            f'a/1,{shop.picture("a.png", 1)},SKU 1,"Mug, blue",9.50\n'
            f"b ö,{shop.picture('b.png', 2)},,Vase,\n"
            "c,missing.png,S3,Gone,1\n"
        )
        shop.write_job(output={"renditions": [FRONT, BACK], **output})
        return shop

    return make


def read(shop: Shop, kind: str, delimiter: str = ",") -> list[dict[str, str]]:
    files = list((shop.out / "index").iterdir())
    assert [one.name for one in files] == [f"{kind}-00000.csv"]
    text = files[0].read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def test_csv_has_every_file_of_finished_rows_and_the_manifests_columns(
    shop_with_titles: Callable[..., Shop],
) -> None:
    shop = shop_with_titles(index="csv")
    assert shop.run() == 3
    lines = read(shop, "csv")
    assert [(one["id"], one["rendition"]) for one in lines] == [
        ("a/1", "front-1"), ("a/1", "back"), ("b ö", "front-1"), ("b ö", "back"),
    ]  # fmt: skip
    assert lines[0]["Title"] == "Mug, blue" and lines[0]["price"] == "9.50"
    for one in lines:
        data = (shop.out / one["file"]).read_bytes()
        assert len(data) == int(one["bytes"])
    assert (lines[1]["width"], lines[1]["height"]) == ("48", "48")


def test_shopify_has_a_line_for_each_picture_of_a_product(
    shop_with_titles: Callable[..., Shop],
) -> None:
    shop = shop_with_titles(
        index="shopify", index_url="https://cdn.example.com/x/", index_columns=["price"]
    )
    assert shop.run() == 3
    lines = read(shop, "shopify")
    assert lines[0] == {
        "URL handle": "sku-1",
        "Title": "Mug, blue",
        "Product image URL": "https://cdn.example.com/x/renditions/front-1/a/1.jpg",
        "Image position": "1",
        "Image alt text": "Mug, blue",
        "price": "9.50",
    }
    assert [one["Image position"] for one in lines] == ["1", "2", "1", "2"]
    assert all(one["Product image URL"].isascii() for one in lines)


def test_magento_has_a_line_for_each_product(shop_with_titles: Callable[..., Shop]) -> None:
    shop = shop_with_titles(index="magento", index_url="night")
    assert shop.run() == 3
    first, second = read(shop, "magento")
    assert first["sku"] == "SKU 1" and second["sku"] == "b ö"
    for role in ("base_image", "small_image", "thumbnail_image"):
        assert first[role] == "night/renditions/front-1/a/1.jpg"
        assert first[f"{role}_label"] == "Mug  blue"
    assert first["additional_images"] == "night/renditions/back/a/1.png"


def test_akeneo_has_a_column_for_each_rendition(shop_with_titles: Callable[..., Shop]) -> None:
    shop = shop_with_titles(index="akeneo")
    assert shop.run() == 3
    first, second = read(shop, "akeneo", ";")
    assert list(first) == ["sku", "front_1", "back"]
    assert first["front_1"] == "renditions/front-1/a/1.jpg"
    assert (shop.out / second["back"]).exists()


def test_another_kind_replaces_it_and_cutouts_stand_in_for_renditions(
    shop_with_titles: Callable[..., Shop],
) -> None:
    shop = shop_with_titles(index="csv")
    assert shop.run() == 3
    shop = shop_with_titles(index="akeneo", renditions=[])
    assert shop.run() == 3
    lines = read(shop, "akeneo", ";")
    # The rows keep what was made for them; the index has what the job asks for.
    assert [list(one) for one in lines] == [["sku", "cutout"]] * 2
    assert (shop.out / lines[0]["cutout"]).exists()


def test_shopify_without_an_address_is_refused(
    shop_with_titles: Callable[..., Shop], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = shop_with_titles(index="shopify")
    assert shop.run() == 2
    assert "output.index_url: Shopify fetches pictures" in capsys.readouterr().err


# ------------------------------------------------------------------ several photos of a product


@pytest.fixture
def shop_with_views(shop: Shop) -> Callable[..., Shop]:
    def make(**output: Any) -> Shop:
        pictures = [shop.picture(f"{name}.png", n) for n, name in enumerate("abcd")]
        shop.manifest(
            "id,image,sku,title,renditions\n"
            f"a1,{pictures[0]},S1,,\na2,{pictures[1]},S1,Mug,\n"
            f"b1,{pictures[2]},S2,,none\na3,{pictures[3]},S1,,\n"
        )
        shop.write_job(output={"renditions": [FRONT, BACK], **output})
        return shop

    return make


def test_shopify_counts_a_product_s_pictures_over_its_photos(
    shop_with_views: Callable[..., Shop],
) -> None:
    shop = shop_with_views(index="shopify", index_url="https://cdn.example.com")
    assert shop.run() == 0
    lines = read(shop, "shopify")
    assert [one["Image position"] for one in lines] == ["1", "2", "3", "4", "5", "6"]
    assert {(one["URL handle"], one["Title"]) for one in lines} == {("s1", "Mug")}


def test_magento_has_the_other_photos_as_additional_images(
    shop_with_views: Callable[..., Shop],
) -> None:
    shop = shop_with_views(index="magento", index_renditions=["front-1"])
    assert shop.run() == 0
    (line,) = read(shop, "magento")
    assert (line["sku"], line["base_image"]) == ("S1", "renditions/front-1/a1.jpg")
    assert line["additional_images"].split(",") == [
        "renditions/front-1/a2.jpg",
        "renditions/front-1/a3.jpg",
    ]


def test_akeneo_has_an_attribute_for_each_photo(shop_with_views: Callable[..., Shop]) -> None:
    shop = shop_with_views(index="akeneo")
    assert shop.run() == 0
    (line,) = read(shop, "akeneo", ";")
    assert list(line) == ["sku", "front_1", "back", "front_1_2", "back_2", "front_1_3", "back_3"]
    assert line["back_3"] == "renditions/back/a3.png"


def test_a_mask_is_in_no_shop_unless_it_is_asked_for(shop_with_views: Callable[..., Shop]) -> None:
    mask = {"name": "mask", "canvas": 48, "content": "mask", "format": "png"}
    shop = shop_with_views(index="akeneo", renditions=[mask, BACK])
    assert shop.run() == 0
    (line,) = read(shop, "akeneo", ";")
    assert list(line) == ["sku", "back", "back_2", "back_3"]
    shop = shop_with_views(
        index="akeneo", renditions=[mask, BACK], index_renditions=["back", "mask"]
    )
    assert shop.run() == 0
    assert list(read(shop, "akeneo", ";")[0])[:3] == ["sku", "back", "mask"]


def test_a_misspelt_rendition_is_refused(
    shop_with_views: Callable[..., Shop], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = shop_with_views(index="magento", index_renditions=["frnt"])
    assert shop.run() == 2
    assert "there is no rendition 'frnt'; there are front-1, back" in capsys.readouterr().err


def _parts(tmp_path: Path, skus: Sequence[str], of_part: int) -> tuple[Output, list[str]]:
    """Metadata of rows with these products, so many rows in a part."""
    output, parts = Output(str(tmp_path)), []
    rows = [
        Row(f"i{n}", "a.jpg", line=n + 2, status=DONE if sku else FAILED, extra={"sku": sku})
        for n, sku in enumerate(skus)
    ]
    for number in range(0, len(rows), of_part):
        parts.append(output.part("r", len(parts)))
        output.put(parts[-1], encode_table(table_from_rows(rows[number : number + of_part])))
    return output, parts


def test_a_product_is_whole_though_its_photos_are_in_different_parts(tmp_path: Path) -> None:
    views = [f"S{n}" for n in range(50)]
    skus = [*views, *views[::-1], *[""] * 3, "S7", "T1", "S7"]
    output, parts = _parts(tmp_path, skus, 10)
    found = list(products_of(output, parts, lambda row: row.extra["sku"]))
    assert len(found) == len(parts)
    products = [product for of_part in found for product in of_part]
    assert [product[0].extra["sku"] for product in products] == [*views, "T1"]
    for product in products:
        sku = product[0].extra["sku"]
        assert [row.id for row in product] == [f"i{n}" for n, s in enumerate(skus) if s == sku]


def test_a_name_that_all_rows_share_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_MOST_ROWS", 25)
    output, parts = _parts(tmp_path, ["brand"] * 30, 10)
    found = list(products_of(output, parts, lambda row: row.extra["sku"]))
    assert [[len(product) for product in of_part] for of_part in found] == [[10]] * 3
