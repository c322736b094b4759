"""JPEGs: samplings, colours, odd headers, damage, bombs."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image

from tests.conftest import encoded
from tests.images.odd.base import (
    FLAG,
    HEIGHT,
    WIDTH,
    Odd,
    as_rgb,
    exif,
    grey,
    in_space,
    patched,
    rgb,
    srgb_profile,
    swapped_profile,
    turned,
)


def jpeg(pixels: np.ndarray | None = None, **options: Any) -> bytes:
    options = {"quality": 97, "subsampling": 0, **options}
    return encoded(rgb() if pixels is None else pixels, "JPEG", **options)


def scans_of(data: bytes) -> list[int]:
    return [found.start() for found in re.finditer(b"\xff\xda", data)]


def jpegs() -> Iterator[Odd]:
    truth = rgb()
    factors = {
        "4:4:4": 0x111111, "4:2:2": 0x211111, "4:2:0": 0x221111, "4:4:0": 0x121111,
        "4:1:1": 0x411111,
    }  # fmt: skip
    for name, factor in factors.items():
        for kind in ("baseline", "progressive"):
            options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_QUALITY, 97]
            options += [cv2.IMWRITE_JPEG_PROGRESSIVE, int(kind == "progressive")]
            data = cv2.imencode(".jpg", truth[..., ::-1], options)[1].tobytes()
            yield Odd("JPEG", f"{kind} {name}", data, truth)
    for name, options in (
        ("quality 60", {"quality": 60}), ("optimised tables", {"optimize": True}),
        ("restart markers", {"restart_marker_rows": 1}), ("stored as RGB", {"keep_rgb": True}),
    ):  # fmt: skip
        yield Odd("JPEG", name, jpeg(**options), truth)
    for kind in (False, True):
        data = jpeg(grey(), progressive=kind)
        yield Odd("JPEG", f"grey{', progressive' if kind else ''}", data, as_rgb(grey()))
    ink = np.dstack([255 - truth, np.zeros((HEIGHT, WIDTH), np.uint8)])
    cmyk = Image.fromarray(ink, "CMYK")
    yield Odd("JPEG", "CMYK", encoded(cmyk, "JPEG", quality=97), truth)
    for orientation in range(1, 9):
        data = jpeg(turned(truth, orientation), exif=exif(orientation))
        yield Odd("JPEG", f"EXIF orientation {orientation}", data, truth)
    yield Odd("JPEG", "ICC sRGB", jpeg(icc_profile=srgb_profile()), truth)
    data = jpeg(truth[..., ::-1].copy(), icc_profile=swapped_profile())
    yield Odd("JPEG", "ICC with red and blue changed", data, truth)
    yield Odd("JPEG", "broken ICC", jpeg(icc_profile=b"no profile"), truth)
    yield Odd(
        "JPEG", "ICC of another kind", jpeg(grey(), icc_profile=srgb_profile()), as_rgb(grey())
    )
    adobe = in_space(truth, "Adobe RGB", 563 / 256)
    yield Odd("JPEG", "Adobe RGB by EXIF (R03)", jpeg(adobe, exif=exif(1, 65535, "R03")), truth)
    yield Odd("JPEG", "Adobe RGB by EXIF (2)", jpeg(adobe, exif=exif(1, 2)), truth)
    yield Odd("JPEG", "uncalibrated by EXIF (R98)", jpeg(exif=exif(1, 65535, "R98")), truth)
    other = Image.fromarray(255 - truth)
    for name, more in (("MPO", {}), ("with a gain map", {"xmp": b'<x hdrgm:Version="1.0"/>'})):
        data = encoded(
            Image.fromarray(truth), "MPO", save_all=True, append_images=[other], quality=97,
            subsampling=0, **more,
        )  # fmt: skip
        yield Odd("JPEG", name, data, truth)
    whole, scans = jpeg(), jpeg(progressive=True)
    yield Odd("JPEG", "bytes behind the end", whole + b"trailer" * 99, truth)
    yield Odd("JPEG", "fill bytes before a marker", whole[:2] + b"\xff" * 3 + whole[2:], truth)
    yield Odd("JPEG", "padding before the end", whole[:-2] + bytes(7) + whole[-2:], truth)
    yield Odd("JPEG", "unknown JFIF version", patched(whole, b"JFIF\0", 5, b"\x09"), truth)
    stored = jpeg(keep_rgb=False, quality=97)
    adobe_mark = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07"
    yield Odd("JPEG", "unknown Adobe transform", stored[:2] + adobe_mark + stored[20:], truth)
    start = scans_of(whole)[0]
    size = int.from_bytes(whole[start + 2 : start + 4], "big")
    spectral = whole[: start + size - 1] + b"\0\0\0" + whole[start + size + 2 :]
    yield Odd("JPEG", "odd numbers in the scan's header", spectral, truth)
    block = exif(1)
    block[0x9286] = jpeg(255 - truth)
    yield Odd("JPEG", "a JPEG in its EXIF", jpeg(exif=block), truth)
    yield Odd("JPEG", "broken EXIF", jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(9)), truth)
    for name, shape in (("1 x 1", (1, 1)), ("1 x 64", (64, 1)), ("64 x 1", (1, 64))):
        tiny = np.full((*shape, 3), (90, 140, 200), np.uint8)
        yield Odd("JPEG", name, jpeg(tiny), tiny)
    yield Odd("JPEG", "12 bits", patched(whole, b"\xff\xc0", 4, b"\x0c"))
    yield Odd("JPEG", "lossless", patched(whole, b"\xff\xc0", 1, b"\xc3"))
    yield Odd("JPEG", "hierarchical", patched(whole, b"\xff\xc0", 1, b"\xc5"))
    yield Odd("JPEG", "JPEG-LS", patched(whole, b"\xff\xc0", 1, b"\xf7"))
    noise = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    busy = jpeg(noise, quality=90)
    middle = len(busy) // 2
    spoilt = {
        "end marker missing": whole[:-2],
        "half of the end marker missing": whole[:-1],
        "a byte of data missing at the end": busy[:-3],
        "cut off at a half": busy[:middle],
        "cut off at a half, with an end marker": busy[:middle] + b"\xff\xd9",
        "200 bytes missing in the middle": busy[: middle - 100] + busy[middle + 100 :],
        "200 bytes of zeros in the middle": busy[: middle - 100]
        + bytes(200)
        + busy[middle + 100 :],
        "its last scans missing": scans[: scans_of(scans)[5]] + b"\xff\xd9",
        "a scan missing in the middle": scans[: scans_of(scans)[3]] + scans[scans_of(scans)[4] :],
        "its header alone": whole[: start + size + 2],
    }
    for name, data in spoilt.items():
        yield Odd("JPEG", name, data, truth if "marker missing" in name else None)
        if "marker missing" not in name:
            yield Odd("JPEG", f"{name}; damaged: flag", data, None, FLAG)
    claims = patched(whole, b"\xff\xc0", 5, struct.pack(">HH", 10_000, 10_000))
    yield Odd("JPEG", "a few kilobytes that claim 100 MP", claims)
    last = scans[scans_of(scans)[-1] : -2]
    many = patched(scans[:-2] + last * 500, b"\xff\xc2", 5, struct.pack(">HH", 10_000, 10_000))
    yield Odd("JPEG", "100 MP in 510 scans", many + bytes(2_000_000) + b"\xff\xd9")
