"""All other formats, and what is no picture."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests.conftest import encoded
from tests.images.odd.base import (
    HEIGHT,
    WIDTH,
    Odd,
    alpha,
    as_rgb,
    exif,
    grey,
    in_space,
    patched,
    rgb,
    swapped_profile,
    turned,
    wide,
)
from tests.images.odd.writers import bmp, psd


def others() -> Iterator[Odd]:
    truth, see = rgb(), alpha()
    rgba = np.dstack([truth, see])
    frames = [Image.fromarray(255 - truth)]
    for format, variant, data, shown in (
        ("WebP", "lossless", encoded(truth, "WEBP", lossless=True), truth),
        ("WebP", "lossless, alpha", encoded(rgba, "WEBP", lossless=True, exact=True), rgba),
        ("WebP", "lossy", encoded(truth, "WEBP", quality=95), truth),
        ("WebP", "lossy, alpha", encoded(rgba, "WEBP", quality=95), rgba),
        ("WebP", "animated",
         encoded(truth, "WEBP", lossless=True, save_all=True, append_images=frames), truth),
        ("WebP", "orientation 6",
         encoded(turned(truth, 6), "WEBP", lossless=True, exif=exif(6)), truth),
        ("WebP", "ICC with red and blue changed",
         encoded(truth[..., ::-1].copy(), "WEBP", lossless=True, icc_profile=swapped_profile()),
         truth),
        ("BMP", "24-bit", encoded(truth, "BMP"), truth),
        ("BMP", "8-bit grey", encoded(grey(), "BMP"), as_rgb(grey())),
        ("BMP", "1-bit", encoded(Image.fromarray(grey() > 100), "BMP"),
         as_rgb((grey() > 100) * np.uint8(255))),
        ("BMP", "32-bit, alpha", bmp(rgba, 3), rgba),
        ("BMP", "32-bit, its fourth byte unused", bmp(rgba * [1, 1, 1, 0], 0), truth),
        ("AVIF", "8-bit", encoded(truth, "AVIF", quality=95, subsampling="4:4:4"), truth),
        ("AVIF", "alpha", encoded(rgba, "AVIF", quality=95, subsampling="4:4:4"), rgba),
        ("JPEG 2000", "RGB", encoded(truth, "JPEG2000"), truth),
        ("JPEG 2000", "grey", encoded(grey(), "JPEG2000"), as_rgb(grey())),
        ("JPEG 2000", "alpha", encoded(rgba, "JPEG2000"), rgba),
        ("JPEG 2000", "16-bit grey",
         encoded(Image.fromarray(wide(grey())), "JPEG2000"), as_rgb(grey())),
        ("JPEG 2000", "code stream alone", encoded(truth, "JPEG2000", no_jp2=True), truth),
    ):  # fmt: skip
        yield Odd(format, variant, data, shown)
    for name, code in (("Display P3", 12),):
        data = encoded(in_space(truth, name), "AVIF", quality=95, subsampling="4:4:4")
        yield Odd("AVIF", f"{name} by code points",
                  patched(data, b"colrnclx", 8, struct.pack(">HH", code, 13)), truth)  # fmt: skip
    data = encoded(truth, "AVIF", quality=95)
    yield Odd("AVIF", "HDR (PQ)", patched(data, b"colrnclx", 8, struct.pack(">HH", 9, 16)))
    image = Image.fromarray(truth).quantize(64)
    shown = np.asarray(image.convert("RGB"))
    yield Odd("GIF", "palette", encoded(image, "GIF"), shown)
    clear = np.where(np.asarray(image) == 5, 0, 255).astype(np.uint8)
    yield Odd("GIF", "a clear colour", encoded(image, "GIF", transparency=5),
              np.dstack([shown, clear]))  # fmt: skip
    frames = [Image.fromarray(255 - truth).quantize(64)]
    yield Odd("GIF", "animated", encoded(image, "GIF", save_all=True, append_images=frames), shown)
    for format, data in (
        ("WebP", encoded(truth, "WEBP", lossless=True)), ("GIF", encoded(image, "GIF")),
        ("BMP", encoded(truth, "BMP")), ("AVIF", encoded(truth, "AVIF")),
        ("JPEG 2000", encoded(truth, "JPEG2000")),
    ):  # fmt: skip
        yield Odd(format, "cut off at a half", data[: len(data) // 2])
    yield from heifs()
    yield from psds()


def heifs() -> Iterator[Odd]:
    import pillow_heif

    def heic(pixels: np.ndarray, **options: Any) -> bytes:
        mode = "RGBA" if pixels.shape[2] == 4 else "RGB"
        made = pillow_heif.from_bytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
        out = io.BytesIO()
        made.save(out, quality=95, chroma=444, **options)
        return out.getvalue()

    truth = rgb()
    rgba = np.dstack([truth, alpha()])
    yield Odd("HEIF", "HEIC", heic(truth), truth)
    yield Odd("HEIF", "HEIC, alpha", heic(rgba), rgba)
    block = exif(6).tobytes()
    yield Odd("HEIF", "HEIC, orientation 6", heic(turned(truth, 6), exif=block), truth)
    backwards = np.ascontiguousarray(truth[..., ::-1])
    made = pillow_heif.from_bytes("RGB", (WIDTH, HEIGHT), backwards.tobytes())
    made.info["icc_profile"], made.info["icc_profile_type"] = swapped_profile(), "prof"
    out = io.BytesIO()
    made.save(out, quality=95, chroma=444)
    yield Odd("HEIF", "HEIC, ICC with red and blue changed", out.getvalue(), truth)
    data = heic(truth)
    yield Odd("HEIF", "cut off at a half", data[: len(data) // 2])


def psds() -> Iterator[Odd]:
    truth, see = rgb(), alpha()
    planes = truth.transpose(2, 0, 1)
    on_white = np.rint(planes * (see / 255) + 255 - see).astype(np.uint8)
    key = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    yield Odd("PSD", "RGB", psd(planes, 3), truth)
    yield Odd("PSD", "grey", psd(grey()[None], 1), as_rgb(grey()))
    yield Odd("PSD", "CMYK", psd(np.concatenate([planes, 255 - key]), 4), truth)
    data = psd(np.concatenate([on_white, see[None]]), 3, transparent=True)
    yield Odd("PSD", "transparency", data, np.dstack([truth, see]))
    yield Odd("PSD", "a saved selection", psd(np.concatenate([planes, see[None]]), 3), truth)
    yield Odd("PSD", "16-bit", psd(planes.astype(np.uint16) * 257, 3, depth=16))
    yield Odd("PSD", "without its flattened picture", psd(planes, 3, flattened=False))
    yield Odd("PSD", "large document (PSB)", psd(planes, 3, version=2))
    yield Odd("PSD", "cut off at a half", psd(planes, 3)[: 3 * HEIGHT * WIDTH // 2])


def no_pictures() -> Iterator[Odd]:
    """Files of other kinds: their first bytes are enough."""
    box = b"\0\0\0\x18ftyp%s\0\0\0\0mif9crx9"
    for name, data in {
        "Canon CR3": box % b"crx ",
        "MP4": box % b"isom",
        "QuickTime": box % b"qt  ",
        "M4A": box % b"M4A ",
        "Olympus ORF": b"IIRO\x08\0\0\0",
        "Panasonic RW2": b"IIU\0\x18\0\0\0",
        "Fujifilm RAF": b"FUJIFILMCCD-RAW 0201",
        "Sigma X3F": b"FOVb\0\0\0\0",
        "Minolta MRW": b"\0MRM\0\0\0\0",
        "Canon CRW": b"II\x1a\0\0\0HEAPCCDR",
        "GIMP XCF": b"gimp xcf v011",
        "JPEG XR": b"II\xbc\x01\x08\0\0\0",
        "OpenEXR": b"\x76\x2f\x31\x01",
        "Radiance": b"#?RADIANCE\n",
        "DDS": b"DDS |\0\0\0",
        "QOI": b"qoif\0\0\0\x08",
        "ICO": b"\0\0\1\0\1\0",
        "SVG": b"<?xml version='1.0'?>\n<svg xmlns='x'>",
        "SVG alone": b"<svg>",
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0",
        "WMF": b"\xd7\xcd\xc6\x9a\0\0",
        "DjVu": b"AT&TFORM",
        "FITS": b"SIMPLE  =                    T",
        "PDF": b"%PDF-1.7\n\xe2\xe3",
        "gzip": b"\x1f\x8b\x08\0",
        "bzip2": b"BZh91AY&SY",
        "xz": b"\xfd7zXZ\0",
        "Zstandard": b"\x28\xb5\x2f\xfd",
        "ZIP": b"PK\3\4\x14\0",
        "7-Zip": b"7z\xbc\xaf\x27\x1c",
        "RAR": b"Rar!\x1a\x07\1\0",
        "old Office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "WebM": b"\x1a\x45\xdf\xa3",
        "AVI": b"RIFF\0\0\0\0AVI LIST",
        "WAV": b"RIFF\0\0\0\0WAVEfmt ",
        "Parquet": b"PAR1\x15\x04",
        "SQLite": b"SQLite format 3\0",
        "ELF": b"\x7fELF\2\1",
        "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
        "data URI": b"data:image/png;base64,iVBORw0KGgo=",
        "HTML": b"<!DOCTYPE html><html>404",
        "XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "JSON": b'{"error": "not found"}',
        "text": "Größe 42, nicht gefunden\n".encode(),
        "zeros": bytes(4096),
        "nothing": b"",
    }.items():
        yield Odd("no picture", name, data)
