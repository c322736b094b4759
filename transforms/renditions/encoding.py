"""Encodes renditions: JPEG, PNG, WebP, AVIF and TIFF, with profile and resolution.

JPEG has its colours at full resolution (4:4:4): at half of it, an edge's colour bleeds sixteen
pixels into a white background. Where a whole block is white, every pixel of it is decoded as
exactly 255; only in the blocks of 8 x 8 that the subject reaches into may the codec ring.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from alphabeam.transforms.encoding import tagged_jpeg
from alphabeam.transforms.png import tagged_png
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.tags import Tags

__all__ = ["Encoded", "TooLargeError", "encode", "srgb_profile"]

_DEFAULT_QUALITY = 90
_AVIF_SPEED = 8  # of 10: the slower ones cost several times the time for a tenth of the size


class TooLargeError(ValueError):
    """The picture has more bytes than it may have, however low its quality."""


class Encoded(NamedTuple):
    """An encoded rendition.

    Attributes:
        data: The file.
        quality: 1..100; None where the format is without loss.
    """

    data: bytes
    quality: int | None


def encode(pixels: NDArray[np.uint8], rendition: Rendition) -> Encoded:
    """Encodes a rendition's pixels.

    Args:
        pixels: uint8 HxWx3 RGB; HxWx4 RGBA, straight alpha; or HxW.
        rendition: Its format, quality, size, resolution and profile.

    Returns:
        The file, of the best quality that its size allows.

    Raises:
        TooLargeError: It has more bytes than it may have at every quality.
    """
    # A grey mask holds no colours, so no profile says what they are.
    icc = srgb_profile() if rendition.icc == "srgb" and pixels.ndim == 3 else None
    dpi = (float(rendition.dpi), float(rendition.dpi)) if rendition.dpi else None
    tags = Tags(dpi, icc=icc)
    if rendition.format == "png":
        return Encoded(_png(pixels, tags), None)
    if rendition.format == "tiff":
        return Encoded(_by_pillow(pixels, tags, "TIFF", compression="tiff_adobe_deflate"), None)
    by_quality = {"jpeg": _jpeg, "webp": _webp, "avif": _avif}[rendition.format]
    if rendition.max_bytes is None:
        quality = rendition.quality or _DEFAULT_QUALITY
        return Encoded(by_quality(pixels, tags, quality), quality)
    return _within(
        lambda quality: by_quality(pixels, tags, quality),
        rendition.quality or 100,
        rendition.max_bytes,
        [q for q in range(1, 101) if rendition.format != "jpeg" or _keeps_white(q)],
    )


def _within(
    encode_at: Callable[[int], bytes], best: int, most: int, qualities: list[int]
) -> Encoded:
    """The best quality whose file has at most so many bytes, by bisection."""
    qualities = [q for q in qualities if q <= best] or qualities[:1]
    data = encode_at(qualities[-1])
    if len(data) <= most:
        return Encoded(data, qualities[-1])
    found: Encoded | None = None
    low, high = 0, len(qualities) - 1  # the last is too large
    while low < high:
        middle = (low + high) // 2
        data = encode_at(qualities[middle])
        if len(data) <= most:
            found, low = Encoded(data, qualities[middle]), middle + 1
        else:
            high = middle
    if found is None:
        raise TooLargeError(
            f"max_bytes: the picture has {len(data)} bytes at its lowest quality, over {most}; "
            "choose a smaller canvas"
        )
    return found


@functools.cache
def _keeps_white(quality: int) -> bool:
    """Whether JPEG's quantisation of a white block gives white again.

    A white block is 8 x 127 in the coefficient of its mean, whose divisor libjpeg makes of the
    quality; what is lost by rounding must not make a pixel darker by half a level.
    """
    factor = 5000 // quality if quality < 50 else 200 - 2 * quality
    divisor = min(max((16 * factor + 50) // 100, 1), 255)
    return round(8 * 127 / divisor + 1e-9) * divisor >= 8 * 127 - 4


def _jpeg(pixels: NDArray[np.uint8], tags: Tags, quality: int) -> bytes:
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, quality),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    return tagged_jpeg(_by_opencv(".jpg", pixels, options), tags)


def _png(pixels: NDArray[np.uint8], tags: Tags) -> bytes:
    options = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    return tagged_png(_by_opencv(".png", pixels, options), tags, colour=False)


def _by_opencv(extension: str, pixels: NDArray[np.uint8], options: list[int]) -> bytes:
    if pixels.ndim == 3:
        how = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        pixels = cv2.cvtColor(pixels, how)
    _, buffer = cv2.imencode(extension, pixels, options)
    return bytes(buffer)


def _webp(pixels: NDArray[np.uint8], tags: Tags, quality: int) -> bytes:
    lossless = quality == 100
    effort = 2 if lossless else 4
    level = 50 if lossless else quality
    return _by_pillow(pixels, tags, "WEBP", quality=level, lossless=lossless, method=effort)


def _avif(pixels: NDArray[np.uint8], tags: Tags, quality: int) -> bytes:
    return _by_pillow(
        pixels, tags, "AVIF", quality=quality, subsampling="4:4:4", speed=_AVIF_SPEED, max_threads=1
    )


def _by_pillow(pixels: NDArray[np.uint8], tags: Tags, name: str, **options: object) -> bytes:
    sink = io.BytesIO()
    given: dict[str, object] = {**options, **({"icc_profile": tags.icc} if tags.icc else {})}
    if tags.dpi and name == "TIFF":
        given["dpi"] = tags.dpi
    elif tags.dpi:
        exif = Image.Exif()
        exif[0x011A], exif[0x011B], exif[0x0128] = *tags.dpi, 2
        given["exif"] = exif.tobytes()
    Image.fromarray(pixels).save(sink, name, **given)
    return sink.getvalue()


@functools.cache
def srgb_profile() -> bytes:
    """The sRGB profile that files bear: always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # the time at which it was made
    profile[84:100] = bytes(16)  # and the digest, in which that is
    return bytes(profile)
