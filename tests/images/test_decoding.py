"""Decoding: formats, colour, orientation, and files that are broken, cut off or bombs."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, features

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import decode, fetch, inspect
from alphabeam.transforms.images.kinds import kind_of
from alphabeam.transforms.images.source_tags import tags_of
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.rows import FAILED, PENDING, Row
from alphabeam.transforms.tags import Tags
from tests.conftest import encoded, product
from tests.images.odd import odd_pictures
from tests.images.odd.others import heifs
from tests.images.odd.writers import png
from tests.linear import grows_evenly


def smooth(height: int = 40, width: int = 60) -> np.ndarray:
    """A picture without symmetry that survives JPEG: uint8 height x width x 3."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([x * 4, y * 5, 255 - x * 2 - y], -1).clip(0, 255).astype(np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more)
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def png_rows(pixels: np.ndarray) -> bytes:
    """Filter type 0 before each row of big-endian samples."""
    rows = pixels.astype(">u2" if pixels.dtype == np.uint16 else np.uint8)
    return b"".join(b"\0" + row.tobytes() for row in rows)


def refused(data: bytes, limits: Limits | None = None) -> tuple[ErrorCode, str]:
    with pytest.raises(RowError) as caught:
        decode(data, limits)
    assert "\n" not in caught.value.message
    return caught.value.code, caught.value.message


# ------------------------------------------------------------------------------------- the formats

FORMATS = [
    ("JPEG", {"quality": 95, "subsampling": 0}, 4),
    ("JPEG", {"quality": 95, "progressive": True, "subsampling": 0}, 4),
    ("PNG", {}, 0),
    ("WEBP", {"lossless": True}, 0),
    ("TIFF", {}, 0),
    ("TIFF", {"compression": "tiff_lzw"}, 0),
    ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
    ("BMP", {}, 0),
    ("AVIF", {"quality": 95}, 12),
]


@pytest.mark.parametrize(("format", "options", "tolerance"), FORMATS)
def test_every_format(format: str, options: dict[str, object], tolerance: int) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = encoded(smooth(), format, **options)
    assert inspect(data) == (format.lower(), 60, 40)
    pixels = decode(data)
    assert pixels.dtype == np.uint8 and pixels.shape == (40, 60, 3)
    assert np.abs(pixels.astype(int) - smooth()).max() <= tolerance


@pytest.mark.slow
def test_a_fresh_process_reads_late_formats_and_prints_no_warnings() -> None:
    """Pillow loads most formats only when something else asks for them, and warns to stderr."""
    import subprocess
    import sys

    odd = encoded(smooth(), "JPEG", exif=exif(6))
    at = odd.index(b"Exif\0\0") + 6
    odd = odd[:at] + b"II*\0\xff\xff\xff\xff" + odd[at + 8 :]
    code = (
        "from alphabeam.transforms.images import decode, inspect\n"
        f"print(inspect({encoded(smooth(), 'WEBP')!r}).format)\n"
        f"print(decode({odd!r}).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == ["webp", "(40, 60, 3)"]
    assert "PIL" not in done.stderr and "Corrupt EXIF" not in done.stderr


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "shoe.jpg"
    path.write_bytes(encoded(smooth(), "PNG"))
    picture = fetch(Row(id="shoe", image=str(path)), Limits())
    assert picture.row.status == PENDING
    assert picture.row.source_format == "png"
    assert (decode(picture.data) == smooth()).all()


def test_1_by_1() -> None:
    for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        data = encoded(np.full((1, 1, 3), 255, np.uint8), format)
        assert decode(data).tolist() == [[[255, 255, 255]]], format


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3  # type: ignore[attr-defined]
    assert (decode(data) == [255, 0, 0]).all()


def test_a_file_of_several_pages_gives_the_first() -> None:
    pages = [Image.new("RGB", (8, 6), colour) for colour in ("lime", "blue")]
    assert (decode(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))[0, 0]
            == [0, 255, 0]).all()  # fmt: skip
    assert np.abs(decode(encoded(pages[0], "MPO", save_all=True, append_images=pages[1:]))[0, 0]
                  - np.array([0, 255, 0])).max() < 4  # fmt: skip


# -------------------------------------------------------------------------------------- orientation


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that are stored where the upright ones and the EXIF orientation are given."""
    inverse = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(inverse[orientation](pixels))


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_through_every_decoder(orientation: int) -> None:
    stored = turned(smooth(), orientation)
    for format, options in (
        ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}),
    ):  # fmt: skip
        data = encoded(stored, format, exif=exif(orientation), **options)
        assert inspect(data)[1:] == (60, 40)
        assert (decode(data) == smooth()).all(), format

    data = encoded(stored, "JPEG", quality=95, exif=exif(orientation))
    pixels = decode(data)
    assert inspect(data)[1:] == (60, 40)
    assert np.abs(pixels.astype(int) - smooth()).max() < 12
    by_pillow = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (pixels == np.asarray(by_pillow)).all(), "both decoders give the same picture"


def test_orientation_behind_a_pngs_pixels() -> None:
    data = encoded(turned(smooth(), 6), "PNG", exif=exif(6))
    at = data.index(b"eXIf") - 4
    size = 12 + struct.unpack(">I", data[at : at + 4])[0]
    moved = data[:at] + data[at + size : -12] + data[at : at + size] + data[-12:]
    assert inspect(moved)[1:] == (60, 40)
    assert (decode(moved) == smooth()).all()


def test_a_corrupt_exif_block_is_passed_over() -> None:
    whole = encoded(smooth(), "JPEG", quality=95, exif=exif(6))
    at = whole.index(b"Exif\0\0") + 6
    for broken in (b"\xff" * 8, b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08", b"\0" * 12):
        data = whole[:at] + broken + whole[at + len(broken) :]
        info = inspect(data)
        assert decode(data).shape[:2] == (info.height, info.width)
    for value in (0, 9, 65535):
        data = encoded(smooth(), "JPEG", exif=exif(value))
        assert inspect(data)[1:] == (60, 40)
        assert decode(data).shape == (40, 60, 3)


def test_a_header_is_read_without_decoding_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageFile

    def load(self: object) -> None:
        raise AssertionError("the header needs no pixels")

    data = {f: encoded(smooth(), f) for f in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")}
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    for format, encoded_data in data.items():
        assert inspect(encoded_data)[1:] == (60, 40), format


# --------------------------------------------------------------------------------------- bit depths


def test_16_bit_grey_is_its_8_bit_twin() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(8, 32)
    wide = grey.astype(np.uint16) * 257
    expected = np.repeat(grey[..., None], 3, 2)
    assert (decode(encoded(grey)) == expected).all()
    assert (decode(encoded(Image.fromarray(wide), "PNG")) == expected).all()
    for order in ("<", ">"):
        data = io.BytesIO()
        image = Image.frombytes("I;16" if order == "<" else "I;16B", (32, 8),
                                wide.astype(f"{order}u2").tobytes())  # fmt: skip
        image.save(data, "TIFF")
        assert (decode(data.getvalue()) == expected).all(), order
    assert (decode(raw_png(32, 8, 16, 0, png_rows(wide))) == expected).all()


def test_16_bit_grey_rounds_to_the_nearest() -> None:
    wide = np.array([[0, 128, 129, 257 * 7 + 128, 257 * 7 + 129, 65535]], np.uint16)
    pixels = decode(encoded(Image.fromarray(wide), "PNG"))
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 7, 8, 255]


@pytest.mark.parametrize(
    ("colour", "channels"), [(2, 3), (6, 4), (4, 2)], ids=["RGB", "RGBA", "LA"]
)
def test_16_bit_png_with_colours_or_alpha_is_its_8_bit_twin(colour: int, channels: int) -> None:
    narrow = np.random.default_rng(1).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    wide = narrow.astype(np.uint16) * 257
    assert (
        decode(raw_png(7, 5, 16, colour, png_rows(wide)))
        == decode(raw_png(7, 5, 8, colour, png_rows(narrow)))
    ).all()


@pytest.mark.parametrize("compression", [1, 5, 8], ids=["none", "lzw", "deflate"])
def test_16_bit_rgb_tiff(compression: int) -> None:
    wide = smooth().astype(np.uint16) * 257
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    done, data = cv2.imencode(".tiff", wide[..., ::-1], options)
    assert done
    assert (decode(bytes(data)) == smooth()).all()


def test_1_bit_and_palettes() -> None:
    bits = np.random.default_rng(2).integers(0, 2, (9, 11)).astype(bool)
    expected = np.repeat(bits[..., None] * np.uint8(255), 3, 2)
    for format in ("PNG", "TIFF", "BMP"):
        assert (decode(encoded(Image.fromarray(bits), format)) == expected).all(), format
    palette = Image.fromarray(smooth()).quantize(32)
    assert (decode(encoded(palette)) == np.asarray(palette.convert("RGB"))).all()


def test_what_8_bits_cannot_hold_is_named() -> None:
    deep = Image.fromarray(np.full((2, 2), 1 << 20, np.int32))
    code, message = refused(encoded(deep, "TIFF"))
    assert code is ErrorCode.UNSUPPORTED_IMAGE and "save it as 8-bit" in message
    real = Image.fromarray(np.full((2, 2), 0.5, np.float32))
    code, message = refused(encoded(real, "TIFF"))
    assert code is ErrorCode.UNSUPPORTED_IMAGE and "floating-point" in message


# ---------------------------------------------------------------------------------------- alpha


def test_alpha_of_every_kind() -> None:
    alpha = np.linspace(0, 255, 60).astype(np.uint8)[None].repeat(40, 0)
    rgba = np.dstack([smooth(), alpha])
    for format, options in (
        ("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {}),
    ):  # fmt: skip
        assert (decode(encoded(rgba, format, **options)) == rgba).all(), format
    grey = Image.fromarray(np.dstack([smooth()[..., 0], alpha]), "LA")
    assert (decode(encoded(grey)) == np.asarray(grey.convert("RGBA"))).all()


def test_an_alpha_that_is_opaque_is_none() -> None:
    rgba = np.dstack([smooth(), np.full((40, 60), 255, np.uint8)])
    pixels = decode(encoded(rgba))
    assert (pixels == smooth()).all() and pixels.flags.c_contiguous


def test_a_palette_with_transparency() -> None:
    palette = Image.fromarray((np.arange(12, dtype=np.uint8) % 3).reshape(3, 4), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for transparency in (1, bytes([255, 0, 128])):
        pixels = decode(encoded(palette, "PNG", transparency=transparency))
        assert pixels.shape == (3, 4, 4)
        assert pixels[0, 0].tolist() == [255, 0, 0, 255]
        assert pixels[0, 1, 3] == 0
        assert pixels[0, 2].tolist() == [0, 0, 255, 255 if transparency == 1 else 128]
    assert decode(encoded(palette, "GIF", transparency=1))[0, :3, 3].tolist() == [255, 0, 255]


def test_a_transparent_colour() -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    data = encoded(pixels, "PNG", transparency=(4, 5, 6))
    assert decode(data)[0, :, 3].tolist() == [255, 0]
    data = encoded(pixels[..., 0], "PNG", transparency=4)
    assert decode(data)[0, :, 3].tolist() == [255, 0]


# ---------------------------------------------------------------------------------------- colour


def rgb_profile(
    red: tuple[float, float], green: tuple[float, float], blue: tuple[float, float]
) -> bytes:
    """An ICC profile (v2, matrix and gamma 2.2) of three primaries on a D50 white."""
    xyz = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in (red, green, blue)]).T
    white = np.array([0.9642, 1.0, 0.8249])
    columns = (xyz * np.linalg.solve(xyz, white)).T

    def s15(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz_tag(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(s15(v) for v in values)

    gamma = b"curv\0\0\0\0\0\0\0\x01" + struct.pack(">H", round(2.2 * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(8 + 3 + 67)
    tags = [
        (b"desc", name + bytes(-len(name) % 4)),
        (b"wtpt", xyz_tag(white)),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
        *((k, xyz_tag(c)) for k, c in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)),
        (b"rTRC", gamma), (b"gTRC", gamma), (b"bTRC", gamma),
    ]  # fmt: skip
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for key, data in tags:
        table += key + struct.pack(">II", at + len(body), len(data))
        body += data
    size = at + len(body)
    header = (
        struct.pack(">I", size) + bytes(4) + b"\x02\x40\0\0" + b"mntrRGB XYZ " + bytes(12)
        + b"acsp" + bytes(28) + b"".join(s15(v) for v in white)
    )  # fmt: skip
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


# The primaries of sRGB and of ProPhoto RGB, seen under D50.
SRGB_D50 = ((0.6485, 0.3309), (0.3212, 0.5979), (0.1559, 0.0660))
PROPHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))


def square(*colour: int) -> np.ndarray:
    return np.full((16, 16, 3), colour, np.uint8)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_profile_with_swapped_channels_swaps_them_back(format: str) -> None:
    red, green, blue = SRGB_D50
    swapped = rgb_profile(blue, green, red)
    options = {"PNG": {}, "JPEG": {"quality": 98}, "WEBP": {"lossless": True}, "TIFF": {}}[format]
    data = encoded(square(40, 120, 200), format, icc_profile=swapped, **options)
    assert np.abs(decode(data).astype(int) - [200, 120, 40]).max() <= 8


def test_a_wide_gamut_is_brought_to_srgb() -> None:
    data = encoded(square(120, 160, 110), "PNG", icc_profile=rgb_profile(*PROPHOTO))
    pixels = decode(data).astype(int)[0, 0]
    # A muted green in ProPhoto is a stronger one in sRGB: red and blue fall, green rises.
    assert pixels[0] < 100 and pixels[1] > 165 and pixels[2] < 110
    neutral = encoded(square(128, 128, 128), "PNG", icc_profile=rgb_profile(*PROPHOTO))
    assert np.ptp(decode(neutral)[0, 0].astype(int)) <= 2, "grey stays grey"


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(smooth(), "PNG", icc_profile=profile)
    assert np.abs(decode(data).astype(int) - smooth()).max() <= 1


def test_a_profile_keeps_alpha_and_orientation() -> None:
    red, green, blue = SRGB_D50
    rgba = np.dstack([square(40, 120, 200), np.arange(256, dtype=np.uint8).reshape(16, 16)])
    data = encoded(turned(rgba, 6), "PNG", icc_profile=rgb_profile(blue, green, red), exif=exif(6))
    pixels = decode(data)
    assert (pixels[..., 3] == rgba[..., 3]).all()
    assert np.abs(pixels[..., :3].astype(int) - [200, 120, 40]).max() <= 8


@pytest.mark.parametrize("profile", [b"no profile", rgb_profile(*SRGB_D50)[:200], b"\0" * 4000])
def test_a_broken_profile_is_passed_over(profile: bytes) -> None:
    assert (decode(encoded(smooth(), "PNG", icc_profile=profile)) == smooth()).all()


def test_a_profile_of_another_kind_is_passed_over() -> None:
    grey = Image.fromarray(smooth()[..., 0])
    data = encoded(grey, "PNG", icc_profile=rgb_profile(*PROPHOTO))
    assert (decode(data)[..., 1] == smooth()[..., 0]).all()


def test_cmyk_jpeg() -> None:
    for colour, rgb in (
        ((0, 0, 0, 0), (255, 255, 255)), ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0)),
    ):  # fmt: skip
        data = encoded(Image.new("CMYK", (16, 16), colour), "JPEG", quality=98)
        pixels = decode(data)
        assert pixels.shape == (16, 16, 3)
        assert np.abs(pixels.astype(int) - rgb).max() <= 6, colour


def test_grey_jpeg() -> None:
    grey = smooth()[..., 0]
    pixels = decode(encoded(Image.fromarray(grey), "JPEG", quality=98))
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert np.abs(pixels[..., 0].astype(int) - grey).max() < 8


# ------------------------------------------------------------------------ broken, cut off, no image


def noisy() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (48, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("with_exif", [False, True])
def test_a_cut_off_jpeg_is_never_grey_below(progressive: bool, with_exif: bool) -> None:
    options: dict[str, object] = {"progressive": progressive}
    if with_exif:  # with a thumbnail, a whole JPEG in itself
        block = exif(1)
        block[0x9286] = encoded(smooth(), "JPEG")
        options["exif"] = block
    whole = encoded(noisy(), "JPEG", quality=90, **options)
    assert decode(whole).shape == (48, 64, 3)
    for kept in [*range(3, len(whole) - 2, max(1, len(whole) // 150)), len(whole) - 3]:
        code, _ = refused(whole[:kept])
        assert code is ErrorCode.TRUNCATED_IMAGE, kept


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_other_formats_cut_off(format: str) -> None:
    options = {"compression": "tiff_lzw"} if format == "TIFF" else {}
    whole = encoded(noisy(), format, **options)
    # The last bytes of a PNG and a GIF end the file and hold no pixels; 64 bytes are pixels.
    for kept in range(8, len(whole) - 64, max(1, len(whole) // 60)):
        code, _ = refused(whole[:kept])
        assert code in (ErrorCode.TRUNCATED_IMAGE, ErrorCode.NOT_AN_IMAGE), kept


@settings(max_examples=150)
@given(
    format=st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"]),
    at=st.floats(0, 1),
    damage=st.binary(min_size=1, max_size=12),
)
def test_damage_gives_a_picture_or_one_of_our_errors(format: str, at: float, damage: bytes) -> None:
    data = bytearray(encoded(smooth(), format))
    start = int(at * (len(data) - 1))
    data[start : start + len(damage)] = damage
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels = decode(bytes(data), Limits(max_pixels=1_000_000))
        except RowError as error:
            assert error.code is not ErrorCode.INTERNAL
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] in (3, 4)


def test_what_is_wider_than_decoders_can_count_is_refused_in_words() -> None:
    wide = raw_png(90_000_000, 1, 8, 2, b"")
    said = "90000000 x 1 pixels are too wide; 67000000 across can be decoded; divide the image, or "
    assert refused(wide) == (ErrorCode.UNSUPPORTED_IMAGE, said + "save it smaller")
    for width, height in ((1_000_001, 1), (1, 1_000_001)):
        code, said = refused(raw_png(width, height, 16, 0, b""))
        assert code is ErrorCode.UNSUPPORTED_IMAGE and "a 16-bit PNG of" in said


def test_a_page_of_many_comments_is_told_at_once() -> None:
    def read(data: bytes) -> None:
        with pytest.raises(RowError, match="not an image"):
            kind_of(data)

    assert grows_evenly(read, lambda n: b"<!---->" * n + b"x", 5)
    read(b"<!---->" * 1000)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", ErrorCode.EMPTY_FILE, "0 bytes"),
        (
            b"hello, this is text\n",
            ErrorCode.NOT_AN_IMAGE,
            "text, not an image; check what the URI serves",
        ),
        (
            b"<!DOCTYPE html><p>404",
            ErrorCode.NOT_AN_IMAGE,
            "the file is an HTML page, not an image",
        ),
        (b"\xef\xbb\xbf<svg xmlns", ErrorCode.UNSUPPORTED_IMAGE, "SVG drawing"),
        (b"<?xml v?> <!-- a -->\n<!--b--> <svg>", ErrorCode.UNSUPPORTED_IMAGE, "SVG drawing"),
        (b"<!-- a\n<svg> --><html>", ErrorCode.NOT_AN_IMAGE, "an HTML page"),
        (b"%PDF-1.7\n\xe2\xe3", ErrorCode.NOT_AN_IMAGE, "the file is a PDF"),
        (b"\0" * 4096, ErrorCode.NOT_AN_IMAGE, "no known image format"),
        (b"\xff\xd8\xff", ErrorCode.TRUNCATED_IMAGE, "cut off"),
        (b"\x89PNG\r\n\x1a\n", ErrorCode.TRUNCATED_IMAGE, "cut off"),
    ],
)
def test_no_image(data: bytes, code: ErrorCode, says: str) -> None:
    for read in (decode, inspect):
        with pytest.raises(RowError) as caught:
            read(data)
        assert caught.value.code is code
        assert says in caught.value.message
        assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"root:x:0:0:hunter22:/root:/bin/bash\n",
        b"PICPIK_PRIVATE_KEY=hunter22\n",
        b"<html>hunter22</html>",
        b"\0\x01hunter22",
        b"\x89PNG\r\n\x1a\nhunter22",
        b"\xff\xd8\xffhunter22",
        b"RIFF0000hunter22",
        b"GIF8hunter22",
        b"II*\0hunter22",
        b"BMhunter22" + b"hunter22" * 20,
    ],
)
def test_no_content_of_a_file_is_quoted(data: bytes) -> None:
    """A row may name any file that the job can read; its error goes into the output."""
    for read in (decode, inspect):
        with pytest.raises(RowError) as caught:
            read(data)
        assert "hunter" not in caught.value.message
        assert data[:6].hex(" ") not in caught.value.message


# ----------------------------------------------------------------------------------------- limits


def test_bombs_are_refused_before_they_are_decoded() -> None:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    )  # fmt: skip
    gif = b"GIF89a" + struct.pack("<HH", 50_000, 50_000) + b"\0\0\0,\0\0\0\0" + struct.pack(
        "<HH", 50_000, 50_000
    ) + b"\0\x02\x02D\x01\0;"  # fmt: skip
    bmp = bytearray(encoded(smooth(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 50_000, 50_000)
    small = raw_png(9_999, 9_999, 1, 0, bytes(9_999 * 1_251))
    for data, limits in (
        (bomb, Limits()), (gif, Limits()), (bytes(bmp), Limits()), (small, Limits(10_000_000)),
    ):  # fmt: skip
        for read in (inspect, decode):
            tracemalloc.start()
            try:
                with pytest.raises(RowError) as caught:
                    read(data, limits)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert caught.value.code is ErrorCode.TOO_LARGE
            assert "pixels" in caught.value.message
            assert peak < 2_000_000 + len(data)


def test_max_pixels_is_inclusive() -> None:
    data = encoded(smooth(), "JPEG")
    assert inspect(data, Limits(max_pixels=2400)).width == 60
    assert refused(data, Limits(max_pixels=2399)) == (
        ErrorCode.TOO_LARGE,
        "60 x 40 pixels are over max_pixels 2399; raise it, or save the image smaller",
    )


@pytest.mark.parametrize("values", [(0, 1), (178_000_001, 1), (1, 0), (-1, 1)])
def test_limits_have_bounds(values: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"max_(pixels|bytes): "):
        Limits(*values)


# --------------------------------------------------------------------------------------- fetching


def test_fetch_fills_the_row_in(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "a.png"
    data = encoded(product())
    path.write_bytes(data)
    picture = fetch(Row(id="a", image=str(path)), Limits())
    row = picture.row
    assert picture.data == data
    assert (row.width, row.height, row.source_format) == (80, 60, "png")
    assert (row.source_bytes, row.source_sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert str(len(data)) in (row.source_version or "")
    assert row.read_ms and row.read_ms > 0


def test_fetch_failures_are_the_rows(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "large.png").write_bytes(encoded(product()))
    for name, code in (
        ("missing.jpg", "not_found"), ("empty.jpg", "empty_file"), ("large.png", "too_large"),
        ("", "invalid_uri"),
    ):  # fmt: skip
        limits = Limits(max_bytes=100)
        picture = fetch(Row(id="a", image=str(tmp_path / name)), limits)
        assert (picture.row.status, picture.row.error_stage) == (FAILED, "read"), name
        assert picture.row.error_code == code, picture.row.error_message
        assert picture.data == b""


# ------------------------------------------------------------------- damage of any kind, everywhere


@pytest.mark.slow
def test_random_damage_gives_a_picture_or_one_of_our_errors(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of every odd picture; neither a crash nor a word of a library's own is let through."""
    rng = np.random.default_rng(7)
    odds = [odd for odd in odd_pictures() if 40 < len(odd.data) < 100_000]
    capfd.readouterr()
    for odd in odds:
        data = bytearray(odd.data)
        head = min(len(data), 400)
        for at in (int(rng.integers(head)), int(rng.integers(len(data)))):
            data[at : at + 2] = rng.integers(0, 256, 2).astype(np.uint8).tobytes()
        for damaged in ("fail", "flag"):
            limits = Limits(1_000_000, damaged=damaged)  # type: ignore[arg-type]
            try:
                pixels = decode(bytes(data), limits)
                tags_of(kind_of(bytes(data)), bytes(data))
            except RowError as error:
                assert error.message.isprintable() and "<_io" not in error.message, odd
            else:
                assert pixels.dtype == np.uint8 and pixels.shape[2] in (3, 4), odd
    out, err = capfd.readouterr()
    # dav1d, in Pillow's AVIF, has a voice that nothing outside of it can take away.
    said = [line for line in err.splitlines() if not line.startswith("Unknown OBU type")]
    assert (out, said) == ("", [])


def test_an_item_of_a_heif_that_is_no_text_is_refused() -> None:
    """pi-heif 1.4.0 crashes on it, and takes the process with it."""
    (odd,) = (odd for odd in heifs() if odd.variant == "HEIC, orientation 6")
    assert odd.data.count(b"\0\0Exif\0") == 1
    broken = odd.data.replace(b"\0\0Exif\0", b"\0\0\xffxif\0")
    assert refused(broken)[0] is ErrorCode.TRUNCATED_IMAGE
    assert tags_of("heif", broken) == Tags()


def test_a_16_bit_png_with_a_filter_that_does_not_exist() -> None:
    for interlaced in (False, True):
        data = png(np.full((9, 9, 3), 7, np.uint16), 16, 2, interlaced=interlaced, filter=0)
        at = data.index(b"IDAT") + 4
        rows = bytearray(zlib.decompress(data[at : data.index(b"IEND") - 8]))
        rows[-(1 + 9 * 6)] = 9
        broken = data[: at - 8] + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        assert refused(broken)[0] is ErrorCode.TRUNCATED_IMAGE
