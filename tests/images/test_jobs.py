"""Odd pictures in whole jobs: what a row says of them, and what lies in the output."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import decode, fetch, inspect
from alphabeam.transforms.images.source_tags import tags_of
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.rows import PENDING, Row
from tests.conftest import Shop, encoded, product
from tests.images.odd.base import exif
from tests.images.odd.jpegs import jpegs
from tests.images.odd.writers import chunk


def damaged_jpeg() -> bytes:
    """A picture with a tenth of its data missing in the middle."""
    noise = np.random.default_rng(0).integers(0, 9, (*product(0).shape[:2], 3)).astype(np.uint8)
    data = encoded(product(0) - noise, "JPEG", quality=95)
    middle, part = len(data) * 3 // 4, len(data) // 20
    return data[: middle - part] + data[middle + part :]


@pytest.mark.parametrize("damaged", ["fail", "flag"])
def test_damage_fails_its_row_or_is_flagged(
    shop: Shop, damaged: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (shop.folder / "damaged.jpg").write_bytes(damaged_jpeg())
    whole = encoded(product(1), "JPEG")
    (shop.folder / "endless.jpg").write_bytes(whole[:-2])
    (shop.folder / "whole.jpg").write_bytes(whole)
    shop.manifest("image\ndamaged.jpg\nendless.jpg\nwhole.jpg\n")
    shop.write_job(**({"input": {"manifest": "manifest.csv", "damaged": "flag"}}
                      if damaged == "flag" else {}))  # fmt: skip
    assert shop.run() == (3 if damaged == "fail" else 0)
    rows = shop.rows()
    if damaged == "fail":
        assert rows["damaged"]["error_code"] == "truncated_image"
        assert "input.damaged: flag" in rows["damaged"]["error_message"]
    else:
        assert "damaged_source" in rows["damaged"]["flags"]
    assert rows["endless"]["status"] == "done" and "damaged_source" in rows["endless"]["flags"]
    assert "damaged_source" not in rows["whole"]["flags"]
    pixels = [
        np.asarray(Image.open(shop.out / f"cutouts/{name}.png")) for name in ("endless", "whole")
    ]
    assert np.array_equal(*pixels)
    assert "JPEG" not in capfd.readouterr().err


def test_a_picture_with_its_own_alpha_comes_out_as_it_is(shop: Shop) -> None:
    rgba = np.full((60, 80, 4), 255, np.uint8)  # white: the network sees background
    rgba[:, :30, 3] = 0
    rgba[:, 30:34, 3] = 90
    for name in ("kept", "ignored"):
        (shop.folder / f"{name}.png").write_bytes(encoded(rgba))
    shop.manifest("image,own_alpha\nkept.png,\nignored.png,ignore\n")
    shop.write_job()
    assert shop.run() == 0
    rows = shop.rows()
    assert rows["kept"]["own_alpha"] == "keep" and list(rows["kept"]["flags"])[-1] == "own_alpha"
    cutout = np.asarray(Image.open(shop.out / "cutouts/kept.png"))
    assert np.array_equal(cutout[..., 3], rgba[..., 3])
    assert np.array_equal(cutout[cutout[..., 3] > 0], rgba[rgba[..., 3] > 0])
    assert "own_alpha" not in rows["ignored"]["flags"] and "empty" in rows["ignored"]["flags"]


def test_what_would_take_too_long_is_refused(shop: Shop) -> None:
    shop.picture("p.jpg")
    shop.manifest("image\np.jpg\n")
    shop.write_job(input={"manifest": "manifest.csv", "max_decode_seconds": 1e-9})
    assert shop.run() == 3
    row = shop.rows()["p"]
    assert row["error_code"] == "too_large" and "max_decode_seconds" in row["error_message"]


@pytest.mark.parametrize("where", ["alphabeam.transforms.images.png.Image.open",
                                   "alphabeam.transforms.backends.local.decode_fully"])  # fmt: skip
def test_too_little_memory_is_said_as_such(
    shop: Shop, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise MemoryError

    shop.picture("p.png")
    shop.manifest("image\np.png\n")
    shop.write_job()
    monkeypatch.setattr(where, none_left)
    assert shop.run() == 3
    row = shop.rows()["p"]
    assert row["error_code"] == "out_of_memory"
    assert "too little memory" in row["error_message"]


@pytest.mark.slow
def test_the_header_of_a_huge_png_costs_no_pixels(tmp_path) -> None:
    side = 9_900
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    packer, packed = zlib.compressobj(1), []
    for _ in range(side):
        packed.append(packer.compress(bytes(1 + 4 * side)))
    packed.append(packer.flush())
    block = exif(6).tobytes().removeprefix(b"Exif\0\0")
    data = b"".join([
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", b"".join(packed)),
        chunk(b"eXIf", block), chunk(b"IEND", b""),
    ])  # fmt: skip
    path = tmp_path / "huge.png"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert inspect(data) == ("png", side, side)
        tags = tags_of("png", data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(data) + 1_000_000
    assert tags.exif is None, "an orientation alone says nothing of the upright picture"
    assert fetch(Row("a", str(path)), Limits()).row.status == PENDING


@pytest.mark.parametrize("variant", ["100 MP in 510 scans", "a few kilobytes that claim 100 MP"])
def test_bombs_cost_next_to_nothing(variant: str) -> None:
    (odd,) = (odd for odd in jpegs() if odd.variant == variant)
    began = time.process_time()
    with pytest.raises(RowError) as caught:
        decode(odd.data)
    assert time.process_time() - began < 1
    assert caught.value.code in (ErrorCode.TOO_LARGE, ErrorCode.TRUNCATED_IMAGE)


def test_jpeg_xl_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    pylibjxl = pytest.importorskip("pylibjxl")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 4)).astype(np.uint8)
    data = pylibjxl.encode(pixels, lossless=True)
    assert inspect(data) == ("jpegxl", 40, 30)
    assert np.array_equal(decode(data), pixels)
    for start in (b"\xff\x0a" + bytes(9), data[:40]):
        with pytest.raises(RowError) as caught:
            decode(start)
        assert caught.value.code is ErrorCode.TRUNCATED_IMAGE
    monkeypatch.setitem(__import__("sys").modules, "pylibjxl", None)
    with pytest.raises(
        RowError, match=r"JPEG XL picture; pip install 'alphabeam\[jxl\]'"
    ) as caught:
        decode(data)
    assert caught.value.code is ErrorCode.UNSUPPORTED_IMAGE


def test_a_palette_of_a_gif_in_a_job(shop: Shop) -> None:
    image = Image.fromarray(product(0)).quantize(32)
    out = io.BytesIO()
    image.save(out, "GIF")
    (shop.folder / "p.gif").write_bytes(out.getvalue())
    shop.manifest("image\np.gif\n")
    shop.write_job()
    assert shop.run() == 0
    assert shop.rows()["p"]["source_format"] == "gif"
