"""TIFFs: samples, layouts, pages, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

from tests.conftest import encoded
from tests.images.odd.base import (
    HEIGHT,
    WIDTH,
    Odd,
    alpha,
    as_rgb,
    grey,
    narrowed,
    rgb,
    swapped_profile,
    turned,
    wide,
)
from tests.images.odd.writers import Page, tiff


def tiffs() -> Iterator[Odd]:
    truth, see = rgb(), alpha()
    for bits in (1, 2, 4, 8, 10, 12, 14, 16):
        samples = wide(grey(), bits)[..., None]
        samples = samples.astype(np.uint8) if bits <= 8 else samples
        shown = as_rgb(narrowed(grey(), bits))
        for zero, value in (("black", samples), ("white", ((1 << bits) - 1 - samples))):
            page = Page(value.astype(samples.dtype), bits, 1 if zero == "black" else 0)
            yield Odd("TIFF", f"{bits}-bit grey, {zero} is 0", tiff(page), shown)
    names = {1: "", 5: ", LZW", 8: ", deflate", 32773: ", PackBits"}
    for bits in (8, 16):
        samples = truth if bits == 8 else wide(truth)
        for planar in (False, True):
            for packing, name in names.items():
                for order in "<>":
                    page = Page(samples, bits, 2, planar=planar, packing=packing, rows=16)
                    where = ("in planes" if planar else "RGB") + name
                    ends = "little" if order == "<" else "big"
                    yield Odd("TIFF", f"{bits}-bit {where}, {ends}-endian", tiff(page, order=order),
                              truth)  # fmt: skip
            page = Page(samples, bits, 2, planar=planar, packing=8, predictor=2)
            where = " in planes" if planar else ""
            yield Odd("TIFF", f"{bits}-bit{where}, predictor", tiff(page), truth)
            page = Page(samples, bits, 2, planar=planar, tile=16)
            yield Odd("TIFF", f"{bits}-bit{where}, tiles", tiff(page), truth)
        for order in "<>":
            ends = "little" if order == "<" else "big"
            data = tiff(Page(samples, bits, 2), order=order, big=True)
            yield Odd("TIFF", f"BigTIFF, {bits}-bit, {ends}-endian", data, truth)
        most = 255 if bits == 8 else 65535
        opacity = see if bits == 8 else wide(see)
        page = Page(np.dstack([samples, opacity]), bits, 2, extra=2)
        yield Odd("TIFF", f"{bits}-bit RGBA", tiff(page), np.dstack([truth, see]))
        multiplied = np.rint(samples * (opacity[..., None] / most)).astype(samples.dtype)
        page = Page(np.dstack([multiplied, opacity]), bits, 2, extra=1)
        yield Odd("TIFF", f"{bits}-bit RGBA, multiplied", tiff(page), np.dstack([truth, see]))
        page = Page(np.dstack([samples, opacity]), bits, 2, extra=0)
        yield Odd("TIFF", f"{bits}-bit RGB and a sample of no meaning", tiff(page), truth)
        page = Page(np.dstack([samples[..., :1], opacity]), bits, 1, extra=2)
        yield Odd("TIFF", f"{bits}-bit grey and alpha", tiff(page),
                  np.dstack([as_rgb(grey()), see]))  # fmt: skip
        ink = np.dstack([most - samples, np.zeros_like(samples[..., 0])])
        for planar in (False, True):
            page = Page(ink, bits, 5, planar=planar)
            where = " in planes" if planar else ""
            yield Odd("TIFF", f"{bits}-bit CMYK{where}", tiff(page), truth)
        page = Page(np.dstack([ink, opacity]), bits, 5, extra=2)
        yield Odd("TIFF", f"{bits}-bit CMYK and alpha", tiff(page), np.dstack([truth, see]))
        page = Page(turned(samples, 6), bits, 2, orientation=6)
        yield Odd("TIFF", f"{bits}-bit, orientation 6", tiff(page), truth)
        backwards = np.ascontiguousarray(samples[..., ::-1])
        page = Page(backwards, bits, 2, icc=swapped_profile())
        yield Odd("TIFF", f"{bits}-bit, ICC with red and blue changed", tiff(page), truth)
    nibbles = np.rint(truth / 17).astype(np.uint8)
    yield Odd("TIFF", "4-bit RGB", tiff(Page(nibbles, 4, 2)), nibbles * np.uint8(17))
    page = Page(np.dstack([truth, see, see, see]), 8, 2, extra=[0, 0, 2])
    yield Odd("TIFF", "8-bit RGB and three more samples", tiff(page), np.dstack([truth, see]))
    yield Odd("TIFF", "1-bit, CCITT G4",
              encoded(Image.fromarray(grey() > 100), "TIFF", compression="group4"),
              as_rgb((grey() > 100) * np.uint8(255)))  # fmt: skip
    data = encoded(truth, "TIFF", compression="jpeg", quality=97)
    yield Odd("TIFF", "8-bit RGB, JPEG", data, truth)
    table = np.random.default_rng(8).integers(0, 256, (256, 3)).astype(np.uint8)
    indices = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    page = Page(indices[..., None], 8, 3, palette=(table.T.reshape(-1).astype(int) * 257).tolist())
    yield Odd("TIFF", "8-bit palette", tiff(page), table[indices])
    yield from tiff_pages()
    yield from tiff_refused()


def tiff_pages() -> Iterator[Odd]:
    truth = rgb()
    small = np.full((8, 10, 3), 255, np.uint8)
    for bits, samples in ((8, truth), (16, wide(truth))):
        preview, page = Page(small, 8, 2, subfile=1), Page(samples, bits, 2)
        yield Odd("TIFF", f"preview first, then {bits}-bit", tiff(preview, page), truth)
        preview = Page(small, 8, 2, subfile=1, below=[Page(samples, bits, 2)])
        yield Odd("TIFF", f"preview, {bits}-bit picture in a SubIFD", tiff(preview), truth)
        half = Page(samples[::2, ::2].copy(), bits, 2)
        preview = Page(small, 8, 2, subfile=1, below=[half, Page(samples, bits, 2)])
        yield Odd(
            "TIFF", f"preview, two {bits}-bit sizes in SubIFDs", tiff(preview, order=">"), truth
        )
    old = Page(small, 8, 2, old_subfile=2)
    yield Odd("TIFF", "preview first, in the older way", tiff(old, Page(truth, 8, 2)), truth)
    mask = Page(np.zeros((HEIGHT, WIDTH, 1), np.uint8), 8, 4, subfile=4)
    yield Odd("TIFF", "mask first", tiff(mask, Page(truth, 8, 2)), truth)
    pages = tiff(Page(truth, 8, 2), Page(255 - truth, 8, 2))
    yield Odd("TIFF", "two pages", pages, truth)
    pages = tiff(Page(truth, 8, 2, subfile=1))
    yield Odd("TIFF", "nothing but a preview", pages, truth)
    sizes = tiff(Page(truth, 8, 2), Page(truth[::2, ::2].copy(), 8, 2, subfile=1))
    yield Odd("TIFF", "smaller sizes behind", sizes, truth)


def tiff_refused() -> Iterator[Odd]:
    truth = rgb()
    small = np.full((8, 10, 3), 255, np.uint8)
    sensor = Page(wide(grey(), 14)[..., None], 16, 32803)
    for maker in ("NIKON CORPORATION", "SONY", "PENTAX", "Hasselblad", "Unknown"):
        make = maker.encode() + b"\0"
        preview = Page(small, 8, 2, subfile=1, make=make, below=[sensor])
        yield Odd("TIFF", f"raw photo of {maker}", tiff(preview))
    yield Odd(
        "TIFF",
        "preview whose picture is cut off",
        tiff(Page(small, 8, 2, subfile=1, make=b"NIKON\0", below=[sensor]))[:-200],
    )
    preview = Page(small, 8, 2, subfile=1, dng=[1, 4, 0, 0], below=[sensor])
    yield Odd("TIFF", "DNG", tiff(preview))
    linear_raw = Page(wide(truth), 16, 34892, dng=[1, 4, 0, 0])
    yield Odd("TIFF", "linear DNG", tiff(linear_raw))
    data = tiff(Page(small, 8, 2))
    yield Odd("TIFF", "Canon CR2", data[:8] + b"CR\2\0" + data[12:])
    for name, page in (
        ("signed 16-bit", Page(wide(truth).astype(np.int16), 16, 2, format=[2] * 3)),
        ("32-bit", Page(truth.astype(np.uint32), 32, 2)),
        ("floating point, 32-bit", Page(truth.astype(np.float32) / 255, 32, 2, format=[3] * 3)),
        ("floating point, 16-bit", Page(truth.astype(np.float16) / 255, 16, 2, format=[3] * 3)),
        ("16-bit CIELab", Page(wide(truth), 16, 8)),
        ("8-bit ICCLab", Page(truth, 8, 9)),
        ("LogLuv", Page(truth, 8, 32845)),
        ("16-bit YCbCr", Page(wide(truth), 16, 6)),
    ):
        yield Odd("TIFF", name, tiff(page))
    lab = Image.fromarray(truth)
    profiles = [ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")]
    lab = ImageCms.profileToProfile(lab, *profiles, outputMode="LAB", renderingIntent=1)
    assert lab is not None
    yield Odd("TIFF", "8-bit CIELab", encoded(lab, "TIFF"), truth)
    old = bytearray(tiff(Page(truth, 8, 2)))
    at = old.index(struct.pack("<HHIH", 259, 3, 1, 1))
    for name, packing in (("old-style JPEG", 6), ("JPEG 2000", 34712), ("unknown packing", 60_000)):
        struct.pack_into("<H", old, at + 8, packing)
        yield Odd("TIFF", name, bytes(old))
    for bits, samples in ((8, truth), (16, wide(truth))):
        data = tiff(Page(samples, bits, 2, planar=True))
        yield Odd("TIFF", f"{bits}-bit, cut off", data[: len(data) // 2])
        whole = bytearray(tiff(Page(samples, bits, 2, rows=4)))
        at = whole.index(struct.pack("<HHI", 279, 4, HEIGHT // 4))
        place = struct.unpack_from("<I", whole, at + 8)[0]
        struct.pack_into("<I", whole, place, 1)
        yield Odd("TIFF", f"{bits}-bit, a strip said too short", bytes(whole), truth)
