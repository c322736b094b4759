"""What is sent for an image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.picpik import PicpikError, Upload, prepare_upload
from alphabeam.transforms.picpik.emulator import encode_png

MB = 1 << 20


def photo(height: int = 60, width: int = 90) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 2, y * 3, (x + y)]).clip(0, 255).astype(np.uint8)


def saved(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def decoded(upload: Upload) -> np.ndarray:
    with Image.open(io.BytesIO(upload.data)) as image:
        assert Image.MIME[str(image.format)] == upload.media_type
        return np.array(image.convert("RGB"))


@pytest.mark.parametrize(
    ("original", "media_type"),
    [
        (saved(photo(), "JPEG"), "image/jpeg"),
        (saved(photo()[:, :, 0], "JPEG"), "image/jpeg"),
        (saved(photo(), "JPEG", progressive=True), "image/jpeg"),
        (saved(photo(), "PNG"), "image/png"),
        (saved(photo()[:, :, 0], "PNG"), "image/png"),
        (saved(photo(), "WEBP"), "image/webp"),
        (
            saved(photo(), "PNG", icc_profile=ImageCms.ImageCmsProfile(
                ImageCms.createProfile("sRGB")).tobytes()),
            "image/png",
        ),
    ],
)  # fmt: skip
def test_original_bytes_go_out_when_the_api_can_take_them(original: bytes, media_type: str) -> None:
    upload = prepare_upload(original, photo(), max_upload_bytes=MB)
    assert upload == Upload(original, media_type, "original")


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(np.rot90(photo()).copy(), "JPEG", exif=exif)


def lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize(
    ("original", "encoding", "reason"),
    [
        (saved(photo(), "TIFF"), "png", "TIFF is not taken"),
        (saved(photo(), "BMP"), "png", "BMP is not taken"),
        (saved(photo(), "GIF"), "png", "GIF is not taken"),
        (turned(), "jpeg-95", "EXIF orientation"),
        (saved(photo()[:30], "PNG"), "png", "size"),
        (saved((photo()[:, :, 0].astype(np.uint16) * 257), "PNG"), "png", "16-bit"),
        (saved(np.dstack([photo(), photo()[:, :, 0]]), "PNG"), "png", "RGBA"),
        (saved(photo(), "PNG", transparency=(0, 0, 0)), "png", "opaque"),
        (saved(photo(), "PNG", icc_profile=lab_profile()), "png", "profile"),
        (
            saved(photo(), "PNG", save_all=True, append_images=[Image.fromarray(photo()[::-1])]),
            "png",
            "several frames",
        ),
        (b"\x89PNG nonsense", "png", "cannot be read"),
    ],
)
def test_anything_else_is_re_encoded_from_the_decoded_picture(
    original: bytes, encoding: str, reason: str
) -> None:
    upload = prepare_upload(original, photo(), max_upload_bytes=MB)
    assert upload.encoding == encoding and reason in upload.reason
    difference = np.abs(decoded(upload).astype(int) - photo()).max()
    assert difference == 0 if encoding == "png" else difference <= 6


def test_cmyk_is_re_encoded() -> None:
    out = io.BytesIO()
    Image.fromarray(photo()).convert("CMYK").save(out, "JPEG")
    upload = prepare_upload(out.getvalue(), photo(), max_upload_bytes=MB)
    assert upload.encoding == "jpeg-95" and "CMYK" in upload.reason


def test_transparent_pixels_are_laid_on_white() -> None:
    rgba = np.dstack([photo(), np.full((60, 90), 255, np.uint8)])
    rgba[:30, :, 3] = 0
    rgba[30:32, :, 3] = 128
    upload = prepare_upload(saved(rgba, "PNG"), rgba, max_upload_bytes=MB)
    seen = decoded(upload)
    assert (seen[:30] == 255).all()
    assert np.array_equal(seen[32:], photo()[32:])
    expected = photo()[30] * (128 / 255) + 255 * (127 / 255)
    assert np.abs(seen[30] - expected).max() <= 1


def test_what_is_too_large_is_sent_smaller_but_never_scaled() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    original = encode_png(noise)
    seen = []
    for limit in (len(original), len(original) - 1, 95_000, 80_000, 65_000):
        upload = prepare_upload(original, noise, max_upload_bytes=limit)
        assert len(upload.data) <= limit
        assert decoded(upload).shape == noise.shape
        seen.append(upload.encoding)
    assert seen[0] == "original"
    assert seen[-1] in ("jpeg-75", "jpeg-85") and len(set(seen)) >= 3
    with pytest.raises(PicpikError, match="max_upload_bytes") as caught:
        prepare_upload(original, noise, max_upload_bytes=1000)
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_an_uploads_bytes_do_not_stand_in_its_repr() -> None:
    assert "data" not in repr(Upload(b"secret picture", "image/png", "png"))
