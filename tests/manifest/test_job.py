"""Nightly exports as whole jobs, without a setting."""

from __future__ import annotations

import pytest

from tests.conftest import Shop

EXPORTS = {
    "german.csv": "Artikelnummer;Bild;Größe\r\n1;a.png;XL\r\n2;b.png;S\r\n;;\r\n".encode("cp1252"),
    "french.csv": "Réf;Image principale\r\n1;a.png\r\n2;b.png\r\n".encode("utf-8-sig"),
    "japanese.csv": "商品番号,画像\r\n1,a.png\r\n2,b.png\r\n".encode("cp932"),
    "unicode.txt": "番号\t画像URL\r\n1\ta.png\r\n2\tb.png\r\n".encode("utf-16"),
    "shopify.csv": (
        b'Handle,Body,Image Src,Variant Image\n1,"<p>\n\n</p>",a.png,\n1,,,b.png\n2,,b.png,\n'
    ),
    "magento.csv": b"sku,name,base_image,small_image\n1,x,/a.png,/a.png\n1,y,,\n2,,/b.png,\n",
    "akeneo.csv": b"sku;family;picture\n1;cups;a.png\n2;cups;b.png\n3;cups;\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTS)
def test_a_nightly_export_runs_without_a_setting(shop: Shop, name: str) -> None:
    for letter in "ab":
        shop.picture(f"{letter}.png", ord(letter))
    shop.manifest(EXPORTS[name], name)
    shop.write_job(name)
    assert shop.run() == 0
    assert sorted(shop.rows()) == ["a", "b"]
    assert (shop.out / "cutouts/a.png").is_file() and (shop.out / "cutouts/b.png").is_file()
