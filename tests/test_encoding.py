"""Encoders keep every pixel, or refuse the array in one line."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import ExifTags, Image

from alphabeam.transforms.encoding import encode_cutout, encode_mask, encode_on_background
from alphabeam.transforms.tags import Tags


def images(channels):
    shape = st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(channels))
    return hnp.arrays(np.uint8, shape)


def opened(data):
    return Image.open(io.BytesIO(data))


@settings(max_examples=30)
@given(rgba=images(4))
def test_png_keeps_every_pixel_and_the_channel_order(rgba):
    image = opened(encode_cutout(rgba))
    assert image.format == "PNG" and image.mode == "RGBA"
    assert np.array_equal(np.asarray(image), rgba)


@settings(max_examples=30)
@given(rgba=images(4))
def test_webp_keeps_every_visible_pixel(rgba):
    image = opened(encode_cutout(rgba, "webp"))
    assert image.format == "WEBP"
    back = np.asarray(image.convert("RGBA"))
    assert np.array_equal(back[..., 3], rgba[..., 3])
    seen = rgba[..., 3] > 0
    assert np.array_equal(back[seen], rgba[seen])


@settings(max_examples=30)
@given(alpha=hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_mask_is_8_bit_grey(alpha):
    image = opened(encode_mask(alpha))
    assert image.format == "PNG" and image.mode == "L"
    assert np.array_equal(np.asarray(image), alpha)


def test_on_background_is_a_jpeg_of_the_right_colours():
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, 32:] = (200, 30, 10, 255)
    rgba[:, 16:32] = (200, 30, 10, 128)
    image = opened(encode_on_background(rgba, (10, 20, 220), quality=95))
    assert image.format == "JPEG" and image.mode == "RGB"
    back = np.asarray(image).astype(int)
    for column, colour in ((6, (10, 20, 220)), (24, (105, 25, 115)), (50, (200, 30, 10))):
        assert np.abs(back[32, column] - colour).max() < 12


@pytest.mark.slow
def test_strips_do_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (3000, 700, 4), np.uint8)  # more than one strip
    back = np.asarray(opened(encode_on_background(rgba, (255, 255, 255), 100))).astype(float)
    weight = rgba[..., 3:] / 255
    wanted = rgba[..., :3] * weight + 255 * (1 - weight)
    assert np.abs(back - wanted).mean() < 30  # noise at full chroma resolution costs this much
    assert abs((back - wanted).mean()) < 1


def test_quality_changes_size():
    rgba = np.random.default_rng(0).integers(0, 256, (60, 60, 4), np.uint8)
    sizes = [len(encode_on_background(rgba, (0, 0, 0), q)) for q in (30, 92, 100)]
    assert sizes == sorted(sizes)


def test_same_bytes_again():
    rgba = np.random.default_rng(0).integers(0, 256, (60, 60, 4), np.uint8)
    assert encode_cutout(rgba) == encode_cutout(rgba.copy())


@pytest.mark.parametrize(
    "call",
    [
        lambda: encode_cutout(np.zeros((4, 4, 3), np.uint8)),
        lambda: encode_cutout(np.zeros((4, 4, 4), np.float32)),
        lambda: encode_cutout(np.zeros((0, 4, 4), np.uint8)),
        lambda: encode_cutout(None),
        lambda: encode_cutout(np.zeros((4, 4, 4), np.uint8), "gif"),
        lambda: encode_cutout(np.zeros((1, 16384, 4), np.uint8), "webp"),
        lambda: encode_mask(np.zeros((4, 4, 1), np.uint8)),
        lambda: encode_mask(np.zeros((4, 4), bool)),
        lambda: encode_on_background(np.zeros((4, 4, 4), np.uint8), (0, 0)),
        lambda: encode_on_background(np.zeros((4, 4, 4), np.uint8), (0, 0, 256)),
        lambda: encode_on_background(np.zeros((4, 4, 4), np.uint8), (0, 0, 0), 0),
        lambda: encode_on_background(np.zeros((1, 65536, 4), np.uint8), (0, 0, 0)),
    ],
)
def test_misfits_are_refused_in_one_line(call):
    with pytest.raises(ValueError, match=r"^(rgba|alpha|format|background|quality): ") as caught:
        call()
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ what goes out beside the pixels

RGBA = np.random.default_rng(0).integers(0, 256, (30, 40, 4), np.uint8)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">rights</x:xmpmeta>'


def exif_block(**fields):
    exif = Image.Exif()
    for name, value in fields.items():
        exif[getattr(ExifTags.Base, name)] = value
    return exif.tobytes().removeprefix(b"Exif\0\0")


TAGS = Tags((300.0, 150.0), exif_block(Copyright="Ann", Orientation=1), XMP)


def test_a_png_says_that_it_is_srgb_and_how_large_it_is():
    for tags in (Tags(), TAGS):
        image = opened(encode_cutout(RGBA, "png", tags))
        image.load()
        assert image.info["srgb"] == 0
        assert np.array_equal(np.asarray(image), RGBA)
    assert [round(v) for v in image.info["dpi"]] == [300, 150]
    assert image.getexif()[ExifTags.Base.Copyright] == "Ann"
    assert image.info["xmp"] == XMP
    mask = opened(encode_mask(RGBA[..., 3], (300.0, 150.0)))
    assert [round(v) for v in mask.info["dpi"]] == [300, 150]
    assert "srgb" not in mask.info, "opacity is no colour"


def test_png_chunks_are_whole_and_in_the_standards_order():
    data, at, names = encode_cutout(RGBA, "png", TAGS), 8, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert zlib.crc32(name + body) == int.from_bytes(
            data[at + 8 + size : at + 12 + size], "big"
        )
        names.append(name.decode())
        at += 12 + size
    assert names[0] == "IHDR" and names[-1] == "IEND"
    assert names[1:5] == ["sRGB", "pHYs", "iTXt", "eXIf"] and set(names[5:-1]) == {"IDAT"}


@pytest.mark.parametrize("tags", [Tags((300.0, 150.0)), TAGS, Tags(xmp=XMP)])
def test_webp_with_tags_keeps_every_visible_pixel(tags):
    for rgba in (RGBA, RGBA[:29, :39]):
        image = opened(encode_cutout(rgba, "webp", tags))
        back = np.asarray(image.convert("RGBA"))
        seen = rgba[..., 3] > 0
        assert np.array_equal(back[seen], rgba[seen])
        assert np.array_equal(back[..., 3], rgba[..., 3])
        assert image.info.get("xmp") == tags.xmp
        if tags is TAGS:
            assert image.getexif()[ExifTags.Base.Copyright] == "Ann"
        elif tags.dpi:
            assert image.getexif()[ExifTags.Base.XResolution] == 300


def test_jpeg_with_tags():
    image = opened(encode_on_background(RGBA, (255, 255, 255), 92, TAGS))
    image.load()
    assert image.info["dpi"] == (300, 150) and image.info["xmp"] == XMP
    assert image.getexif()[ExifTags.Base.Copyright] == "Ann"
    plain = opened(encode_on_background(RGBA, (255, 255, 255), 92))
    assert np.array_equal(np.asarray(plain), np.asarray(image))
