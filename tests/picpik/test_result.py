"""Results in every form that the API might give, made into mask and cutout."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.picpik import AnswerInvalidError, matte_from_result

RNG = np.random.default_rng(7)
ORIGINAL = RNG.integers(0, 256, (24, 32, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (24, 32), np.uint8)
ALPHA[:6] = 0
ALPHA[18:] = 255
# What the API made of the colours: near the original's, not equal to them.
COLOURS = np.clip(ORIGINAL + RNG.integers(-9, 10, (24, 32, 3)), 0, 255).astype(np.uint8)
COLOURS[ALPHA == 0] = 0


def saved(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


CUTOUT = saved(np.dstack([COLOURS, ALPHA]))


def test_a_cutout_is_kept_to_the_bit() -> None:
    alpha, cutout = matte_from_result(ORIGINAL, CUTOUT, only_mask=False)
    assert alpha.dtype == np.uint8 and np.array_equal(alpha, ALPHA)
    assert cutout is not None and np.array_equal(cutout, np.dstack([COLOURS, ALPHA]))


def test_a_cutout_gives_the_mask_alone_too() -> None:
    alpha, cutout = matte_from_result(ORIGINAL, CUTOUT, only_mask=True)
    assert np.array_equal(alpha, ALPHA) and cutout is None


@pytest.mark.parametrize(
    "mask",
    [
        saved(ALPHA),
        saved(np.dstack([ALPHA] * 3)),
        saved(ALPHA, "WEBP", lossless=True),
        saved(ALPHA, mode="P"),
        saved(ALPHA.astype(np.uint16) * 257),
    ],
    ids=["grey", "rgb", "webp", "palette", "16-bit"],
)
def test_a_mask_in_any_dress_gives_mask_and_cutout(mask: bytes) -> None:
    alpha, cutout = matte_from_result(ORIGINAL, mask, only_mask=False)
    assert np.array_equal(alpha, ALPHA)
    assert cutout is not None
    assert np.array_equal(cutout[..., 3], ALPHA)
    assert np.array_equal(cutout[ALPHA > 0][:, :3], ORIGINAL[ALPHA > 0])
    assert (cutout[ALPHA == 0] == 0).all()
    only, none = matte_from_result(ORIGINAL, mask, only_mask=True)
    assert np.array_equal(only, ALPHA) and none is None


def test_a_jpeg_mask_is_told_in_spite_of_its_losses() -> None:
    smooth = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))
    mask = saved(np.dstack([smooth] * 3), "JPEG", quality=90)
    alpha, _ = matte_from_result(ORIGINAL, mask, only_mask=True)
    assert np.abs(alpha.astype(int) - smooth).max() < 12


def test_an_opaque_grey_picture_with_alpha_is_a_mask_when_a_mask_was_asked_for() -> None:
    dressed = saved(np.dstack([ALPHA, ALPHA, ALPHA, np.full_like(ALPHA, 255)]))
    alpha, _ = matte_from_result(ORIGINAL, dressed, only_mask=True)
    assert np.array_equal(alpha, ALPHA)
    with pytest.raises(AnswerInvalidError, match="shows another picture"):
        matte_from_result(ORIGINAL, dressed, only_mask=False)


def solid(picture: np.ndarray, soft: int = 255) -> bytes:
    """A cutout of which the middle is opaque."""
    alpha = np.zeros(picture.shape[:2], np.uint8)
    alpha[4:20, 6:26] = soft
    return saved(np.dstack([picture, alpha]))


def test_a_cutout_of_another_picture_is_refused() -> None:
    shirt = np.full((24, 32, 3), 250, np.uint8)
    shirt[2:22, 4:28] = (40, 60, 120)
    other = shirt.copy()
    other[2:22, 4:28] = (130, 40, 50)
    matte_from_result(shirt, solid(shirt), only_mask=False)
    for only_mask in (False, True):
        with pytest.raises(
            AnswerInvalidError, match=r"shows another picture.*90 or more"
        ) as caught:
            matte_from_result(shirt, solid(other), only_mask)
        assert caught.value.code is ErrorCode.API_ANSWER
    # where nothing is opaque, colours may be whatever the API took out of the background
    matte_from_result(shirt, solid(other, soft=128), only_mask=False)
    # what was not to be seen in the original cannot be compared
    hidden = np.dstack([shirt, np.zeros(shirt.shape[:2], np.uint8)])
    alpha, _ = matte_from_result(hidden, solid(other), only_mask=False)
    assert not alpha.any()


@pytest.mark.parametrize("quality", [75, 95])
def test_an_upload_as_jpeg_is_still_the_same_picture(quality: int) -> None:
    small = Image.fromarray(RNG.integers(0, 256, (24, 32, 3), np.uint8))
    picture = np.asarray(small.resize((320, 240)))
    sent = np.asarray(Image.open(io.BytesIO(saved(picture, "JPEG", quality=quality))))
    matte_from_result(picture, solid(sent), only_mask=False)


def test_a_palette_with_transparency_is_a_cutout() -> None:
    ramp = np.dstack([np.tile(np.arange(0, 256, 8, dtype=np.uint8), (24, 1))] * 3)
    image = Image.fromarray(ramp).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    out = io.BytesIO()
    image.save(out, "PNG", transparency=3)
    alpha, cutout = matte_from_result(ramp, out.getvalue(), only_mask=False)
    assert np.array_equal(alpha == 0, np.asarray(image) == 3) and cutout is not None


def test_what_was_transparent_stays_so() -> None:
    own = np.full(ALPHA.shape, 255, np.uint8)
    own[:, :10] = 40
    original = np.dstack([ORIGINAL, own])
    for result in (CUTOUT, saved(ALPHA)):
        alpha, cutout = matte_from_result(original, result, only_mask=False)
        assert np.array_equal(alpha, np.minimum(ALPHA, own))
        assert cutout is not None and np.array_equal(cutout[..., 3], alpha)


def claims_to_be_huge() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def damaged() -> bytes:
    broken = bytearray(CUTOUT)
    broken[len(broken) // 2] ^= 0xFF
    return bytes(broken)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (saved(np.dstack([COLOURS, ALPHA])[:, :-1]), "is 31 x 24, but the image .* is 32 x 24"),
        (saved(np.rot90(np.dstack([COLOURS, ALPHA])).copy()), "is 24 x 32"),
        (saved(COLOURS), "neither a cutout nor a mask"),
        (CUTOUT[: len(CUTOUT) // 2], "cannot be decoded"),
        (CUTOUT[:-60], "cannot be decoded"),
        (damaged(), "cannot be decoded"),
        (b"", "cannot be decoded"),
        (b"<html>", "cannot be decoded"),
        (saved(ALPHA, "GIF"), "cannot be decoded"),
        (saved(ALPHA, "JPEG")[:-200], "cannot be decoded"),
        (claims_to_be_huge(), "cannot be decoded|is 60000 x 60000"),
    ],
)
def test_what_cannot_be_a_result_is_refused(result: bytes, why: str) -> None:
    with pytest.raises(AnswerInvalidError, match=why) as caught:
        matte_from_result(ORIGINAL, result, only_mask=False)
    assert caught.value.code is ErrorCode.API_ANSWER
    assert "\n" not in str(caught.value)
