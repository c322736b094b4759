"""Encodes results: cutouts as PNG or WebP, masks as PNG, cutouts on a background as JPEG.

What says how to show the pixels (sRGB, resolution) and what the source's tags say is put into the
file behind its header.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from alphabeam.transforms.pixels import composite_over
from alphabeam.transforms.png import encode_png
from alphabeam.transforms.tags import Tags

__all__ = [
    "encode_cutout",
    "encode_mask",
    "encode_on_background",
    "tagged_jpeg",
]

_NO_TAGS = Tags()


def encode_cutout(
    rgba: NDArray[np.uint8], format: Literal["png", "webp"] = "png", tags: Tags = _NO_TAGS
) -> bytes:
    """Encodes a cutout without loss.

    Args:
        rgba: uint8 HxWx4, straight alpha, sRGB.
        format: ``png``, or ``webp`` (lossless too; smaller files, several times slower).
        tags: What the file says beside its pixels. WebP has resolution in EXIF only.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The array has another shape or dtype, the format is unknown, or the image is
            larger than WebP allows.
    """
    _check(rgba, 4, "rgba")
    if format not in ("png", "webp"):
        raise ValueError(f"format: {format!r} is not one of png, webp")
    if format == "webp" and max(rgba.shape[:2]) > 16383:
        raise ValueError(
            f"format: WebP holds at most 16383 pixels a side, got {rgba.shape[1]}x"
            f"{rgba.shape[0]}; use png"
        )
    if format == "png":
        return encode_png(rgba, tags, colour=True)
    bgra = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)
    data = _encode(".webp", bgra, [cv2.IMWRITE_WEBP_QUALITY, 101])  # above 100 means lossless
    return _tagged_webp(data, tags, rgba.shape[1], rgba.shape[0])


def encode_mask(alpha: NDArray[np.uint8], dpi: tuple[float, float] | None = None) -> bytes:
    """Encodes an alpha channel as an 8-bit grey PNG; its values are no colours, so it names none.

    Args:
        alpha: uint8 HxW.
        dpi: Resolution across and down, in pixels per inch.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The array has another shape or dtype.
    """
    _check(alpha, 1, "alpha")
    return encode_png(alpha, Tags(dpi), colour=False)


def encode_on_background(
    rgba: NDArray[np.uint8],
    background: tuple[int, int, int],
    quality: int = 92,
    tags: Tags = _NO_TAGS,
) -> bytes:
    """Composites a cutout over one colour and encodes the result as JPEG.

    Args:
        rgba: uint8 HxWx4, straight alpha.
        background: Red, green and blue, each 0..255.
        quality: JPEG quality, 1..100.
        tags: What the file says beside its pixels.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The array has another shape or dtype, or a value is out of bounds.
    """
    _check(rgba, 4, "rgba")
    if len(background) != 3 or not all(0 <= int(v) <= 255 for v in background):
        raise ValueError(f"background: three numbers 0..255 are needed, got {background!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality: {quality!r} is outside 1..100")
    if max(rgba.shape[:2]) > 65535:
        raise ValueError(f"rgba: JPEG holds at most 65535 pixels a side, got {rgba.shape}")
    bgr = cv2.cvtColor(composite_over(rgba, background), cv2.COLOR_RGB2BGR)
    return tagged_jpeg(_encode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality]), tags)


def _check(pixels: NDArray[np.uint8], channels: int, name: str) -> None:
    ndim = 2 if channels == 1 else 3
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.ndim != ndim
        or (ndim == 3 and pixels.shape[2] != channels)
        or pixels.size == 0
    ):
        got = (
            f"{pixels.dtype} {pixels.shape}"
            if isinstance(pixels, np.ndarray)
            else type(pixels).__name__
        )
        wanted = "HxW" if ndim == 2 else f"HxWx{channels}"
        raise ValueError(f"{name}: uint8 {wanted} with pixels is needed, got {got}")


def _encode(extension: str, pixels: NDArray[np.uint8], options: list[int]) -> bytes:
    done, buffer = cv2.imencode(extension, pixels, options)
    if not done:
        raise ValueError(f"{extension[1:]}: OpenCV cannot encode {pixels.shape}")
    return bytes(buffer)


def _tagged_webp(data: bytes, tags: Tags, width: int, height: int) -> bytes:
    if tags.dpi and not tags.exif:
        tags = replace(tags, exif=_resolution_alone(tags.dpi))
    if not tags.exif and not tags.xmp:
        return data
    pixels = data[12:]
    if pixels.startswith(b"VP8X"):  # a header of the same kind is made anew
        pixels = pixels[18:]
    alpha, exif, xmp = 0x10, 0x08 if tags.exif else 0, 0x04 if tags.xmp else 0
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + _riff(b"VP8X", bytes([alpha | exif | xmp, 0, 0, 0]) + size) + pixels
    body += _riff(b"EXIF", tags.exif) + _riff(b"XMP ", tags.xmp)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _resolution_alone(dpi: tuple[float, float]) -> bytes:
    """An EXIF block that says nothing else."""
    exif = Image.Exif()
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = dpi
    exif[ExifTags.Base.ResolutionUnit] = 2
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _riff(name: bytes, data: bytes | None) -> bytes:
    if not data:
        return b""
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def tagged_jpeg(data: bytes, tags: Tags) -> bytes:
    """A JPEG with tags put in behind its JFIF segment; one that is too long is left out.

    Args:
        data: The JPEG, as OpenCV writes it.
        tags: What it is to say.

    Returns:
        The JPEG with them.
    """
    end = 4 + int.from_bytes(data[4:6], "big")  # of the JFIF segment, which OpenCV writes first
    first = bytearray(data[:end])
    if tags.dpi:
        first[13:18] = struct.pack(">BHH", 1, *(min(round(v), 65_535) for v in tags.dpi))
    segments = [
        marker + struct.pack(">H", 2 + len(body)) + body
        for marker, body in (
            (b"\xff\xe1", b"Exif\0\0" + tags.exif if tags.exif else b""),
            (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0" + tags.xmp if tags.xmp else b""),
            (b"\xff\xe2", b"ICC_PROFILE\0\1\1" + tags.icc if tags.icc else b""),
        )
        if 0 < len(body) < 65_530
    ]
    return b"".join([bytes(first), *segments, data[end:]])
