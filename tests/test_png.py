"""What is written is PNG: every decoder gives the pixels back, whatever their shape."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from alphabeam.transforms.png import encode_png
from alphabeam.transforms.tags import Tags


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def product(height, width):
    """A disc with the noise of a photo on nothing, as a cutout is."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    inside = np.hypot(y - height / 2, x - width / 2) < min(height, width) / 3
    colours = np.stack([x * 200 / width, y * 200 / height, 0 * x + 90], axis=-1)
    colours = colours.astype(np.uint8) + noise(height, width, 3) % 8
    return np.dstack([colours, np.full((height, width), 255, np.uint8)]) * inside[..., None]


@pytest.mark.parametrize(
    "pixels",
    [
        noise(1, 1),
        noise(1, 1, 4),
        noise(3, 1, 3),
        noise(1, 300_000),  # one row is more than a block
        noise(2, 90_000, 4),
        noise(700, 701, 4),  # blocks, and more than a chunk
        np.zeros((900, 900, 4), np.uint8),
        np.full((900, 900), 255, np.uint8),
        product(400, 300),
        product(400, 300)[::-1, ::-1],  # not contiguous
    ],
    ids=lambda pixels: "x".join(map(str, pixels.shape)),
)
def test_two_decoders_give_the_pixels_back(pixels):
    data = encode_png(pixels, Tags(), colour=pixels.ndim == 3)
    image = Image.open(io.BytesIO(data))
    assert image.mode == {1: "L", 3: "RGB", 4: "RGBA"}[1 if pixels.ndim == 2 else pixels.shape[2]]
    assert np.array_equal(np.asarray(image), pixels)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 3:
        back = cv2.cvtColor(
            back, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        )
    assert np.array_equal(back, pixels)


def test_chunks_are_whole_and_in_order():
    data = encode_png(noise(700, 701, 4), Tags(dpi=(300.0, 300.0)), colour=True)
    names, at = [], 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(body)
        names.append(body[:4].decode())
        at += 12 + size
    pixels = names.count("IDAT")
    assert pixels > 1
    assert names == ["IHDR", "sRGB", "pHYs", *["IDAT"] * pixels, "IEND"]


def test_a_cutout_is_about_as_small_as_opencv_makes_it():
    cutout = product(900, 900)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    theirs = cv2.imencode(".png", cv2.cvtColor(cutout, cv2.COLOR_RGBA2BGRA), options)[1]
    assert len(encode_png(cutout, Tags(), colour=True)) < 1.2 * len(theirs)
