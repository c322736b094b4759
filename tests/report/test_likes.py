"""Pictures that are alike, and pictures of one product that do not fit together."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alphabeam.pipelines.report.likes import differing, look_alikes
from alphabeam.transforms.likeness import backdrop_of, perceptual_hash
from alphabeam.transforms.metadata import table_from_rows
from alphabeam.transforms.rows import Row
from alphabeam.transforms.thumbnails import preview_of
from tests.conftest import Shop, encoded, product
from tests.report.test_site import details, rows, summary

SAMPLES = sorted((Path(__file__).parent.parent.parent / "samples/images").glob("*.jpg"))
FillShop = Callable[..., Shop]


def hash_of(image: Image.Image) -> int:
    return int(perceptual_hash(preview_of(np.asarray(image.convert("RGB")))), 16)


def bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.slow
def test_a_sample_keeps_its_hash_in_another_size_and_file() -> None:
    for path in SAMPLES[::3]:
        image = Image.open(path).convert("RGB")
        own = hash_of(image)
        for scale in (0.3, 1.4):
            size = (int(image.width * scale), int(image.height * scale))
            assert bits(own, hash_of(image.resize(size))) <= 3, path.name
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=45)
        assert bits(own, hash_of(Image.open(jpeg))) <= 3, path.name


def test_other_pictures_have_other_hashes() -> None:
    hashes = [hash_of(Image.open(path)) for path in SAMPLES]
    assert min(bits(a, b) for at, a in enumerate(hashes) for b in hashes[:at]) > 8


def test_a_product_in_another_colour_has_another_hash() -> None:
    pixels = np.full((200, 200, 3), 250, np.uint8)
    pixels[40:160, 60:140] = (200, 40, 40)
    blue = pixels.copy()
    blue[40:160, 60:140] = (40, 60, 215)
    assert bits(hash_of(Image.fromarray(pixels)), hash_of(Image.fromarray(blue))) > 3


def test_the_backgrounds_colour() -> None:
    pixels = np.full((100, 100, 3), (10, 130, 250), np.uint8)
    pixels[20:80, 20:80] = 0
    alpha = np.zeros((100, 100), np.uint8)
    alpha[20:80, 20:80] = 255
    assert backdrop_of(preview_of(pixels), alpha) == "#0a82fa"
    assert backdrop_of(preview_of(pixels), np.full((100, 100), 255, np.uint8)) is None


def row(number: int, **values: Any) -> Row:
    return Row(id=f"i{number}", image="x", line=number, width=100, height=100, **values)


def test_look_alikes_are_found_up_to_three_bits_apart() -> None:
    dice = np.random.default_rng(0)
    hashes = [int(h) for h in dice.integers(0, 2**63, 3000)]
    hashes[7] = hashes[2000] ^ (1 << 3 | 1 << 40 | 1 << 63)
    hashes[9] = hashes[2000] ^ 0b1111 << 20
    table = table_from_rows([row(n, phash=f"{h:016x}") for n, h in enumerate(hashes)])
    pairs = [(a, b) for a in (7, 9, 2000) for b in range(3000) if a != b]
    exact = {(a, b) for a, b in pairs if bits(hashes[a], hashes[b]) <= 3}
    assert exact == {(7, 2000), (2000, 7)}
    assert look_alikes(table) == {7: [2000], 2000: [7]}


def test_rows_without_a_hash_look_like_none() -> None:
    assert look_alikes(table_from_rows([row(1), row(2)])) == {}
    assert look_alikes(table_from_rows([])) == {}


@pytest.mark.slow
def test_very_many_of_one_picture_take_no_time_and_name_few() -> None:
    table = table_from_rows([row(n, phash="00000000000000ff") for n in range(5000)])
    found = look_alikes(table)
    assert len(found) == 5000
    assert all(1 <= len(others) <= 12 for others in found.values())


@pytest.mark.parametrize(
    ("boxes", "found"),
    [
        ([(0, 0, 80, 50), (0, 0, 50, 82), (0, 0, 40, 40)], {2: ["scale_differs"]}),
        ([(0, 0, 80, 50), (0, 0, 50, 78)], {}),
        ([(0, 0, 80, 50), (0, 0, 50, 40)], {0: ["scale_differs"], 1: ["scale_differs"]}),
        ([(0, 0, 80, 50), None], {}),
    ],
)
def test_scales_of_one_product(boxes: list[Any], found: dict[int, list[str]]) -> None:
    given = [row(n, subject_box=box, extra={"sku": "S"}) for n, box in enumerate(boxes)]
    given.append(row(99, subject_box=(0, 0, 10, 10), extra={"sku": "another"}))
    given.append(row(100, subject_box=(0, 0, 10, 10)))
    assert differing(table_from_rows(given), "sku") == found


def test_backgrounds_of_one_product() -> None:
    colours = ["#f0f0f0", "#f4f3f2", "#d05040", None]
    given = [row(n, backdrop=c, extra={"sku": "S"}) for n, c in enumerate(colours)]
    assert differing(table_from_rows(given), "sku") == {2: ["background_differs"]}
    assert differing(table_from_rows(given), "gtin") == {}


def test_a_job_flags_them_in_its_report(shop: Shop) -> None:
    grey = np.where(product(1) > 200, 190, product(1)).astype(np.uint8)
    shop.picture("a.png", data=encoded(product(1, 160, 120)))
    shop.picture("b.jpg", data=encoded(product(1, 320, 240), "JPEG", quality=80))
    shop.picture("c.png", data=encoded(np.pad(product(2), ((60, 60), (80, 80), (0, 0)), "edge")))
    shop.picture("d.png", data=encoded(grey))
    shop.manifest("image,sku\na.png,S\nb.jpg,S\nc.png,S\nd.png,T\n")
    shop.write_job(output={"product": "sku"})
    assert shop.run() == 0
    table = rows(shop.out)
    flags = dict(zip(table["id"], table["flags"], strict=True))
    for id in "ab":
        assert "looks_like_another" in flags[id] and "scale_differs" not in flags[id]
    assert "scale_differs" in flags["c"] and "looks_like_another" not in flags["c"]
    number = {id: at for at, id in enumerate(table["id"])}
    assert number["b"] in details(shop.out)["a"]["alike"]
    assert summary(shop.out)["flags"]["scale_differs"] == 1
    stored = shop.rows()
    assert not any("differs" in flag for one in stored.values() for flag in one["flags"])
    assert stored["a"]["backdrop"] == "#fafafa" and len(stored["a"]["phash"]) == 16
