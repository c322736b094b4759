"""PNGs: every kind of sample, colours, chunks, damage."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.conftest import encoded
from tests.images.odd.base import (
    FLAG,
    HEIGHT,
    WIDTH,
    Odd,
    alpha,
    as_rgb,
    exif,
    gamma_chunk,
    grey,
    in_space,
    linear,
    narrowed,
    patched,
    places,
    rgb,
    srgb_curve,
    srgb_profile,
    swapped_profile,
    turned,
    wide,
)
from tests.images.odd.writers import chunk, png


def pngs() -> Iterator[Odd]:
    truth, see = rgb(), alpha()
    kinds = {
        0: ("grey", grey()[..., None]), 2: ("RGB", truth), 4: ("grey and alpha", None),
        6: ("RGBA", None),
    }  # fmt: skip
    for colour, (name, samples) in kinds.items():
        if samples is None:
            samples = np.dstack([grey() if colour == 4 else truth, see])
        for depth in (1, 2, 4, 8, 16) if colour == 0 else (8, 16):
            shown = narrowed(samples, depth) if depth < 8 else samples
            if colour in (0, 4):
                shown = np.dstack([shown[..., :1]] * 3 + ([see] if colour == 4 else []))
            for interlaced in (False, True):
                data = png(wide(samples, depth), depth, colour, interlaced=interlaced)
                lines = ", interlaced" if interlaced else ""
                yield Odd("PNG", f"{depth}-bit {name}{lines}", data, shown)
    for depth in (1, 2, 4, 8):
        indices = (np.indices((HEIGHT, WIDTH)).sum(0) % (1 << depth)).astype(np.uint8)
        table = np.random.default_rng(depth).integers(0, 256, (1 << depth, 3)).astype(np.uint8)
        palette = chunk(b"PLTE", table.tobytes())
        for interlaced in (False, True):
            data = png(indices[..., None], depth, 3, palette, interlaced=interlaced)
            lines = ", interlaced" if interlaced else ""
            yield Odd("PNG", f"{depth}-bit palette{lines}", data, table[indices])
        clear = chunk(b"tRNS", bytes([0, 128]))
        opacity = np.array([0, 128, *[255] * 254], np.uint8)[indices]
        data = png(indices[..., None], depth, 3, palette, clear)
        yield Odd("PNG", f"{depth}-bit palette, tRNS", data, np.dstack([table[indices], opacity]))
    one, long = chunk(b"PLTE", bytes([9, 99, 199])), chunk(b"tRNS", bytes([128] * 300))
    data = png(np.zeros((HEIGHT, WIDTH, 1), np.uint8), 8, 3, one, long)
    truth_of_one = np.full((HEIGHT, WIDTH, 4), (9, 99, 199, 128), np.uint8)
    yield Odd("PNG", "more tRNS than palette", data, truth_of_one)
    for depth in (8, 16):
        key = wide(truth, depth)[20, 30]
        cleared = np.where((truth == truth[20, 30]).all(2), 0, 255).astype(np.uint8)
        data = png(wide(truth, depth), depth, 2, chunk(b"tRNS", struct.pack(">3H", *key)))
        yield Odd("PNG", f"{depth}-bit RGB, tRNS", data, np.dstack([truth, cleared]))
        key = wide(grey(), depth)[20, 30]
        cleared = np.where(grey() == grey()[20, 30], 0, 255).astype(np.uint8)
        data = png(wide(grey(), depth)[..., None], depth, 0, chunk(b"tRNS", struct.pack(">H", key)))
        yield Odd("PNG", f"{depth}-bit grey, tRNS", data, np.dstack([as_rgb(grey()), cleared]))
    for filter in range(1, 5):
        for depth in (8, 16):
            data = png(wide(truth, depth), depth, 2, filter=filter)
            yield Odd("PNG", f"{depth}-bit RGB, filter {filter}", data, truth)
    exact = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH, 1) * 24
    shown = np.rint(exact / 257).astype(np.uint8)
    yield Odd("PNG", "16-bit grey of all values", png(exact, 16, 0), np.dstack([shown] * 3))
    yield from png_colours()
    yield from png_chunks()
    yield from png_damage()


def png_colours() -> Iterator[Odd]:
    truth, plain = rgb(), chunk(b"sRGB", b"\0")
    light = np.rint(linear(truth) * 65535).astype(np.uint16)
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(swapped_profile()))
    p3 = in_space(truth, "Display P3")
    backwards = np.ascontiguousarray(truth[..., ::-1])
    adobe = in_space(truth, "Adobe RGB", 2.2)
    for name, samples, chunks in (
        ("gAMA 0.45455", truth, [gamma_chunk(0.45455)]),
        ("gAMA and cHRM of sRGB", truth, [gamma_chunk(0.45455), places("sRGB")]),
        ("gAMA 0.55556", in_space(truth, "sRGB", 1.8), [gamma_chunk(0.55556)]),
        ("gAMA and cHRM of Adobe RGB", adobe, [gamma_chunk(0.45455), places("Adobe RGB")]),
        ("sRGB beside another gAMA and cHRM", truth, [plain, gamma_chunk(1), places("BT.2020")]),
        ("cICP Display P3", p3, [chunk(b"cICP", bytes([12, 13, 0, 1]))]),
        ("cICP BT.2020, sRGB curve", in_space(truth, "BT.2020"),
         [chunk(b"cICP", bytes([9, 13, 0, 1]))]),
        ("cICP of sRGB before another ICC", truth, [chunk(b"cICP", bytes([1, 13, 0, 1])), profile]),
        ("ICC sRGB", truth, [chunk(b"iCCP", b"x\0\0" + zlib.compress(srgb_profile()))]),
        ("ICC with red and blue changed", backwards, [profile]),
        ("ICC before gAMA", backwards, [profile, gamma_chunk(1)]),
        ("broken ICC", truth, [chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))]),
        ("ICC of 3 MB", truth,
         [chunk(b"iCCP", b"x\0\0" + zlib.compress(srgb_profile() + bytes(3_000_000)))]),
        ("senseless gAMA", truth, [gamma_chunk(0)]),
        ("senseless cHRM", truth, [chunk(b"cHRM", b"\xff" * 32)]),
        ("cHRM on one line", truth, [chunk(b"cHRM", struct.pack(">8I", *[31270, 32900] * 4))]),
        ("cHRM far from white", truth,
         [chunk(b"cHRM", struct.pack(">8I", 90000, 1, 64000, 1, 30000, 60000, 15000, 6000))]),
    ):  # fmt: skip
        yield Odd("PNG", name, png(samples, 8, 2, *chunks), truth)
    yield Odd("PNG", "16-bit linear (gAMA 1)", png(light, 16, 2, gamma_chunk(1)), truth)
    dark = np.rint(linear(grey()) * 255).astype(np.uint8)
    data = png(dark[..., None], 8, 0, gamma_chunk(1))
    yield Odd("PNG", "8-bit linear grey (gAMA 1)", data,
              as_rgb(np.rint(srgb_curve(dark / 255) * 255).astype(np.uint8)))  # fmt: skip
    for name, code in (("PQ", 16), ("HLG", 18)):
        data = png(truth, 8, 2, chunk(b"cICP", bytes([9, code, 0, 1])))
        yield Odd("PNG", f"cICP HDR ({name})", data)


def png_chunks() -> Iterator[Odd]:
    truth = rgb()
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000)))
    long = chunk(b"iTXt", b"Comment\0\0\0\0\0" + b"x" * 1_500_000)
    for name, chunks in (
        ("zTXt of 3 MB", [text]),
        ("iTXt of 1.5 MB", [long]),
        ("bad checksum in tEXt", [chunk(b"tEXt", b"Comment\0x", spoilt=True)]),
        ("bad checksum in tIME", [chunk(b"tIME", bytes(7), spoilt=True)]),
        ("bad checksum in gAMA", [chunk(b"gAMA", struct.pack(">I", 100_000), spoilt=True)]),
        ("unknown chunk", [chunk(b"abCd", b"x" * 99)]),
        ("hundred texts", [chunk(b"tEXt", b"Comment\0x")] * 100),
    ):
        yield Odd("PNG", name, png(truth, 8, 2, *chunks), truth)
    yield Odd("PNG", "pixels in 50 chunks", png(truth, 8, 2, pieces=50), truth)
    yield Odd("PNG", "16-bit, pixels in 50 chunks", png(wide(truth), 16, 2, pieces=50), truth)
    late = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000)))
    yield Odd("PNG", "zTXt of 2 MB behind the pixels", png(truth, 8, 2, after=[late]), truth)
    yield Odd("PNG", "without its end", png(truth, 8, 2, end=False), truth)
    yield Odd("PNG", "bytes behind the end", png(truth, 8, 2) + b"trailer" * 99, truth)
    frames = [Image.fromarray(truth), Image.fromarray(255 - truth)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield Odd("PNG", "animated", data, truth)
    block = exif(6).tobytes().removeprefix(b"Exif\0\0")
    stored = turned(truth, 6)
    hex_text = b"\nexif\n%8d\n%s\n" % (len(block) + 6, (b"Exif\0\0" + block).hex().encode())
    raw = chunk(b"tEXt", b"Raw profile type exif\0" + hex_text)
    packed = chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(hex_text))
    for name, before, after in (
        ("orientation 6 in eXIf", [chunk(b"eXIf", block)], []),
        ("orientation 6 in eXIf behind the pixels", [], [chunk(b"eXIf", block)]),
        ("orientation 6 in a raw profile (tEXt)", [raw], []),
        ("orientation 6 in a raw profile (zTXt)", [packed], []),
    ):
        yield Odd("PNG", name, png(stored, 8, 2, *before, after=after), truth)
    data = png(wide(stored), 16, 2, chunk(b"eXIf", block))
    yield Odd("PNG", "16-bit, orientation 6 in eXIf", data, truth)


def png_damage() -> Iterator[Odd]:
    noise = np.random.default_rng(6).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    whole, deep = png(noise, 8, 2), png(wide(noise), 16, 2)
    for data, bits in ((whole, ""), (deep, "16-bit, ")):
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        for name, spoilt in (("cut off at a half", data[:middle]), ("a flipped bit", flipped)):
            yield Odd("PNG", f"{bits}{name}", spoilt)
            yield Odd("PNG", f"{bits}{name}; damaged: flag", spoilt, None, FLAG)
    at = whole.index(b"IDAT") - 4
    few = whole[:at] + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    yield Odd("PNG", "too few pixels", few)
    yield Odd("PNG", "no pixels", whole[:at] + chunk(b"IEND", b""))
    yield Odd("PNG", "no palette", png(np.zeros((8, 8, 1), np.uint8), 8, 3))
    yield Odd("PNG", "bad checksum in its header", whole[:29] + bytes(4) + whole[33:])
    yield Odd(
        "PNG", "senseless header", whole[:16] + b"\0" + patched(whole, b"IHDR", 12, b"\x03")[17:]
    )
    yield Odd("PNG", "its header alone", whole[:33])
    yield Odd("PNG", "transferred as text", whole.replace(b"\r\n", b"\n"))
    yield Odd("PNG", "Apple's own kind (CgBI)", whole[:8] + chunk(b"CgBI", bytes(4)) + whole[8:])
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    claims = whole[:8] + chunk(b"IHDR", header) + whole[33:]
    yield Odd("PNG", "a few kilobytes that claim 100 MP", claims)
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    yield Odd("PNG", "2500 MP by its header", whole[:8] + chunk(b"IHDR", header) + whole[33:])
