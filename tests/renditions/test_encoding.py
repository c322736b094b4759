"""Encoding: white that is white after decoding, the best quality under a size, profiles."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from alphabeam.transforms.renditions.compose import compose
from alphabeam.transforms.renditions.encoding import (
    TooLargeError,
    _keeps_white,
    encode,
    srgb_profile,
)
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.renditions.subject import Subject
from tests.renditions.subjects import product


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_qualities_that_keep_white_are_those_that_do() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    for quality in range(1, 101):
        _, data = cv2.imencode(".jpg", white, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert _keeps_white(quality) == bool((cv2.imdecode(data, 1) == 255).all()), quality


@pytest.mark.parametrize("quality", [40, 75, 90, 100])
@pytest.mark.parametrize("seed", range(6))
def test_a_jpegs_background_is_255_in_every_block_without_subject(seed: int, quality: int) -> None:
    rendition = Rendition(name="a", canvas=403, quality=quality)
    pixels = compose(rendition, Subject(product(seed, light=seed > 3))).pixels
    seen = decoded(encode(pixels, rendition).data)
    subject = (pixels < 255).any(2)
    padded = np.zeros((408, 408), bool)
    padded[:403, :403] = subject
    blocks = padded.reshape(51, 8, 51, 8).any((1, 3))
    near = np.repeat(np.repeat(blocks, 8, 0), 8, 1)[:403, :403]
    assert (seen[~near] == 255).all()
    assert not near.all()
    # In the blocks with subject, the codec may ring; the better the quality, the less.
    darkest = seen[near & ~subject].min(initial=255)
    assert darkest >= {40: 160, 75: 200, 90: 225, 100: 250}[quality]


@pytest.mark.parametrize("format", ["png", "tiff"])
@pytest.mark.parametrize("background", ["white", "transparent"])
def test_what_is_without_loss_comes_back_as_it_was(format: str, background: str) -> None:
    rendition = Rendition(name="a", canvas=120, format=format, background=background)
    pixels = compose(rendition, Subject(product(3))).pixels
    assert (decoded(encode(pixels, rendition).data) == pixels).all()


def test_webp_of_quality_100_is_without_loss() -> None:
    rendition = Rendition(name="a", canvas=120, format="webp", quality=100)
    pixels = compose(rendition, Subject(product(3))).pixels
    assert (decoded(encode(pixels, rendition).data) == pixels).all()


@pytest.mark.parametrize("format", ["webp", "avif"])
def test_lossy_alpha_survives(format: str) -> None:
    rendition = Rendition(name="a", canvas=160, format=format, background="transparent")
    pixels = compose(rendition, Subject(product(3))).pixels
    seen = decoded(encode(pixels, rendition).data)
    assert seen.shape == pixels.shape
    assert np.abs(seen[..., 3].astype(int) - pixels[..., 3]).mean() < 2


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "tiff"])
def test_files_state_their_profile_and_resolution(format: str) -> None:
    rendition = Rendition(name="a", canvas=64, format=format, dpi=300)
    pixels = compose(rendition, Subject(product(3))).pixels
    with Image.open(io.BytesIO(encode(pixels, rendition).data)) as image:
        assert image.format == format.upper()
        assert image.info["icc_profile"] == srgb_profile()
        if format in ("jpeg", "png", "tiff"):
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        else:
            assert image.getexif()[0x011A] == 300
    bare = encode(pixels, Rendition(name="a", canvas=64, format=format, icc="none")).data
    with Image.open(io.BytesIO(bare)) as image:
        assert not image.info.get("icc_profile")
        assert not image.getexif().get(0x011A) or format == "tiff"


def test_the_profile_is_srgb_and_always_the_same() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    first = srgb_profile()
    srgb_profile.cache_clear()
    assert srgb_profile() == first


@pytest.mark.parametrize("format", ["jpeg", "webp"])
@pytest.mark.parametrize("most", [6_000, 15_000, 40_000])
def test_max_bytes_gives_the_best_quality_under_it(format: str, most: int) -> None:
    pixels = compose(Rendition(name="a", canvas=400), Subject(product(3))).pixels
    made = encode(pixels, Rendition(name="a", canvas=400, format=format, max_bytes=most))
    assert len(made.data) <= most
    assert made.quality is not None
    if made.quality < 100:
        better = next(
            q for q in range(made.quality + 1, 101) if format != "jpeg" or _keeps_white(q)
        )
        above = encode(pixels, Rendition(name="a", canvas=400, format=format, quality=better))
        assert len(above.data) > most


def test_max_bytes_and_quality_are_a_ceiling_each() -> None:
    pixels = compose(Rendition(name="a", canvas=200), Subject(product(3))).pixels
    made = encode(pixels, Rendition(name="a", canvas=200, quality=80, max_bytes=10_000_000))
    assert made.quality == 80
    assert made.data == encode(pixels, Rendition(name="a", canvas=200, quality=80)).data


def test_a_size_that_no_quality_reaches_is_refused() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8)
    with pytest.raises(TooLargeError, match="at its lowest quality, over 1000"):
        encode(pixels, Rendition(name="a", canvas=600, max_bytes=1_000))
