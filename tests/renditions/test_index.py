"""The index: every finished row, in the columns that shop systems document."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

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
