"""PNG: its chunks are read here, so that only whole ones, and few, reach a decoder.

A decoder gets the chunks that make the pixels and nothing else. So a bad checksum in a comment or
a text of megabytes costs nothing, and an orientation behind the pixels is found without decoding
them.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alphabeam.transforms.images.colour import profile_of_codes, profile_of_gamma
from alphabeam.transforms.images.exif import orientation_in
from alphabeam.transforms.images.raster import Raster, broken, damaged, unsupported, words_of
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.pixels import to_8_bit

__all__ = ["Png", "decode_png", "read_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MOST_INFLATED = 16 << 20  # of a profile or a text
_MOST_RATIO = 1032  # what deflate can do
_PASSES = (  # Adam7: first column, first row, steps
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
_STEP = 64  # bytes of damaged data unpacked at once
_LONGEST_16_BIT = 1_000_000  # pixels across and down: libpng's own limit, which OpenCV leaves
_STRIP = 1 << 20  # pixels brought to 8 bits at once


@dataclass
class Png:
    """A PNG's header and the chunks that matter.

    Attributes:
        width: In pixels, as stored.
        height: Likewise.
        depth: Bits per sample.
        colour: PNG's colour type.
        interlaced: Whether by Adam7.
        pixels: Where the chunks are that make the pixels: PLTE, tRNS and all IDAT.
        other: The data of other chunks by name, the first of each; only those whose checksum is
            right, iCCP aside, whose data have a checksum of their own.
        texts: Keywords and data of tEXt, zTXt and iTXt chunks, with the chunk's name.
        data: The file.
    """

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    data: bytes = field(repr=False)
    pixels: list[tuple[bytes, int, int]] = field(default_factory=list)
    other: dict[bytes, bytes] = field(default_factory=dict)
    texts: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)

    @property
    def exif(self) -> bytes | None:
        """The EXIF block, without its marker: from eXIf, or from ImageMagick's raw profile."""
        if b"eXIf" in self.other:
            return self.other[b"eXIf"].removeprefix(b"Exif\0\0")
        for keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
            profile = self.text(keyword)
            if profile is not None:
                try:
                    block = bytes.fromhex("".join(profile.decode("latin-1").split("\n")[3:]))
                except ValueError:
                    continue
                if block.startswith((b"Exif\0\0", b"II", b"MM")):
                    return block.removeprefix(b"Exif\0\0")
        return None

    def text(self, keyword: bytes) -> bytes | None:
        """The first text of a keyword, at most 16 MiB."""
        for name, key, rest in self.texts:
            if key == keyword:
                if name == b"tEXt":
                    return rest
                if name == b"zTXt":
                    return _inflated(rest[1:])
                compressed, parts = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
                if len(parts) == 3:
                    return _inflated(parts[2]) if compressed else parts[2]
        return None

    @property
    def layout(self) -> list[tuple[int, int, int]]:
        """Where the inflated rows are: start, bytes of a row with its filter, rows; by pass."""
        bits = self.depth * _CHANNELS[self.colour]
        found, at = [], 0
        for left, top, across, down in _PASSES if self.interlaced else ((0, 0, 1, 1),):
            columns = -(-(self.width - left) // across)
            rows = -(-(self.height - top) // down)
            if columns > 0 and rows > 0:
                size = 1 + (columns * bits + 7) // 8
                found.append((at, size, rows))
                at += size * rows
        return found

    @property
    def expected(self) -> int:
        """Bytes of the inflated pixels, filter bytes included."""
        return sum(size * rows for _, size, rows in self.layout)


def read_png(data: bytes) -> Png:
    """Reads a PNG's header and chunks, and no pixels.

    Raises:
        RowError: ``truncated_image``: the header is broken or cut off. ``unsupported_image``:
            Apple's own kind of PNG.
    """
    if data[12:16] == b"CgBI":
        raise unsupported("Apple's optimised PNG (CgBI)", "save it as a plain PNG")
    if len(data) < 33 or data[8:16] != b"\0\0\0\x0dIHDR" or not _is_whole(data, 8, 13):
        raise broken("the image's header is broken or cut off")
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(
        ">IIBBBBB", data[16:29]
    )
    if depth not in _DEPTHS.get(colour, ()) or packing or filtering or interlace > 1:
        raise broken("the image's header is broken")
    png = Png(width, height, depth, colour, bool(interlace), data)
    at = 33
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if name == b"IEND":
            break
        if name in (b"IDAT", b"PLTE", b"tRNS"):
            png.pixels.append((name, at, size))
        elif name in (b"tEXt", b"zTXt", b"iTXt") and _is_whole(data, at, size):
            keyword, _, rest = data[at + 8 : at + 8 + size].partition(b"\0")
            png.texts.append((name, keyword, rest))
        elif name not in png.other and (name == b"iCCP" or _is_whole(data, at, size)):
            png.other[name] = data[at + 8 : at + 8 + size]
        at += 12 + size
    return png


def decode_png(png: Png, limits: Limits) -> Raster:
    """Decodes a PNG.

    Raises:
        RowError: ``truncated_image`` or ``unsupported_image``.
    """
    if png.depth == 16 and max(png.width, png.height) > _LONGEST_16_BIT:
        raise unsupported(
            f"a 16-bit PNG of {png.width} x {png.height} pixels; {_LONGEST_16_BIT} across and down "
            "can be decoded",
            "save it with 8 bits a sample",
        )
    available = sum(
        min(size, len(png.data) - at) for name, at, size in png.pixels if name == b"IDAT"
    )
    if available * _MOST_RATIO + 64 < png.expected and limits.damaged == "fail":
        raise broken(
            f"the file's {len(png.data)} bytes cannot hold {png.width} x {png.height} pixels; it "
            "is cut off"
        )
    profile, orientation = _profile(png), orientation_in(png.exif)
    problem, spoilt = _problem(png), False
    if not problem:
        try:
            image, alpha = _pixels(png)
        except ValueError as error:
            problem = str(error) or "its pixels cannot be decoded"
    if problem:
        if limits.damaged == "fail":
            raise damaged(problem)
        try:
            image, alpha = _pixels(_salvaged(png))
        except ValueError as error:
            raise broken("the image is broken", error) from None
        spoilt = True
    named = profile is not None and b"iCCP" not in png.other
    return Raster(image, profile, named, alpha, orientation, spoilt)


def _pixels(png: Png) -> tuple[Image.Image | NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A picture, and its alpha where it does not hold it itself.

    Raises:
        ValueError: The pixels cannot be decoded.
    """
    if png.depth == 16:
        return _decode_16_bit(png)
    try:
        opened = Image.open(io.BytesIO(_clean(png)), formats=("PNG",))
        opened.load()
    except MemoryError:
        raise
    except Exception as error:  # broken files raise nearly anything
        raise ValueError(words_of(error)) from None
    return opened, None


def _is_whole(data: bytes, at: int, size: int) -> bool:
    end = at + 8 + size
    return end + 4 <= len(data) and zlib.crc32(data[at + 4 : end]) == int.from_bytes(
        data[end : end + 4], "big"
    )


def _inflated(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, _MOST_INFLATED)
    except zlib.error:
        return None


def _problem(png: Png) -> str:
    """What is wrong with the chunks that make the pixels; empty if nothing is."""
    for name, at, size in png.pixels:
        if not _is_whole(png.data, at, size):
            # By its place and not by its name, which might be anything.
            return f"its {'pixel data' if name == b'IDAT' else 'palette'} fail their checksum"
    if png.colour == 3 and not any(name == b"PLTE" for name, _, _ in png.pixels):
        return "its palette is missing"
    if not any(name == b"IDAT" for name, _, _ in png.pixels):
        return "its pixel data are missing"
    return ""


def _clean(png: Png, transparency: bool = True) -> bytes:
    """The PNG with nothing but the chunks that make its pixels."""
    first = [name != b"IDAT" for name, _, _ in png.pixels]
    parts = [png.data[:33]]
    for ahead in (True, False):
        parts += [
            _as_decoded(png, name, at, size)
            for (name, at, size), early in zip(png.pixels, first, strict=True)
            if early == ahead and (transparency or name != b"tRNS")
        ]
    return b"".join([*parts, _END])


def _as_decoded(png: Png, name: bytes, at: int, size: int) -> bytes:
    """A chunk as a decoder gets it, without opacities of more colours than a palette can have."""
    if name == b"tRNS" and png.colour == 3 and size > 256:
        return _chunk(name, png.data[at + 8 : at + 8 + 256])
    return png.data[at : at + 12 + size]


def _salvaged(png: Png) -> Png:
    """A whole PNG of what is left: what is missing is black, or clear where there is alpha."""
    unpacker = zlib.decompressobj()
    rows = bytearray()
    for name, at, size in png.pixels:
        if name != b"IDAT" or unpacker.eof:
            continue
        last = min(at + 8 + size, len(png.data))
        try:  # in small steps: a step that fails is lost
            for start in range(at + 8, last, _STEP):
                piece = png.data[start : min(start + _STEP, last)]
                rows += unpacker.decompress(piece, png.expected - len(rows) + 1)
        except zlib.error:
            break
    if not rows:
        raise broken("nothing is left of the image's pixels")
    rows += bytes(max(0, png.expected - len(rows)))
    out = bytearray(png.data[:33])
    for name, at, size in png.pixels:
        if name != b"IDAT":
            out += _chunk(name, png.data[at + 8 : at + 8 + size])
    if png.colour == 3 and b"PLTE" not in [name for name, _, _ in png.pixels]:
        raise broken("its palette is missing")
    out += _chunk(b"IDAT", zlib.compress(bytes(rows[: png.expected]), 1)) + _END
    return read_png(bytes(out))


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(name))
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def _decode_16_bit(png: Png) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Colours (grey H x W, or RGB), and alpha if there is one.

    Raises:
        ValueError: The pixels cannot be decoded.
    """
    # libpng, in OpenCV, would print what it finds wrong, so it only gets what is right.
    unpacker, done, expected = zlib.decompressobj(), 0, png.expected
    try:
        for name, at, size in png.pixels:
            rest = png.data[at + 8 : at + 8 + size] if name == b"IDAT" else b""
            while rest and done <= expected:
                piece = unpacker.decompress(rest, 1 << 20)
                _check_filters(piece, done, png.layout)
                done += len(piece)
                rest = unpacker.unconsumed_tail
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if done < expected:
        raise ValueError("some of its pixels are missing")
    if done > expected or not unpacker.eof or unpacker.unused_data:
        png = _salvaged(png)  # more than its pixels: harmless
    clean = np.frombuffer(_clean(png, transparency=False), np.uint8)
    wide = cv2.imdecode(clean, cv2.IMREAD_UNCHANGED)
    if wide is None:
        raise ValueError("OpenCV cannot decode it")
    key = next(
        (png.data[at + 8 : at + 8 + size] for n, at, size in png.pixels if n == b"tRNS"), b""
    )
    alpha: NDArray[np.uint8] | None = None
    if wide.ndim == 3 and wide.shape[2] == 4:
        alpha = _narrow(wide[:, :, 3])
    elif png.colour == 0 and len(key) == 2:
        alpha = _opaque(wide != struct.unpack(">H", key)[0])
    elif png.colour == 2 and len(key) == 6:
        alpha = _opaque((wide != np.array(struct.unpack(">HHH", key)[::-1], np.uint16)).any(axis=2))
    if wide.ndim == 2 or png.colour == 4:
        return _narrow(wide if wide.ndim == 2 else wide[:, :, 0]), alpha
    return _narrow(wide[:, :, 2::-1]), alpha


def _check_filters(piece: bytes, at: int, layout: list[tuple[int, int, int]]) -> None:
    """Looks at the filters of the rows that begin in a piece of the inflated pixels."""
    for start, size, rows in layout:
        first = start + max(0, -((start - at) // size)) * size
        last = min(start + size * rows, at + len(piece))
        if first < last and max(piece[first - at : last - at : size]) > 4:
            raise ValueError("a row's filter is none of PNG's")


def _opaque(where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return where.astype(np.uint8) * np.uint8(255)


def _narrow(wide: NDArray[np.uint16]) -> NDArray[np.uint8]:
    out = np.empty(wide.shape, np.uint8)
    rows = max(1, _STRIP // max(1, wide.shape[1]))
    for top in range(0, wide.shape[0], rows):
        out[top : top + rows] = to_8_bit(wide[top : top + rows])
    return out


def _profile(png: Png) -> bytes | None:
    """The profile that the picture's colours have; by the standard, cICP comes first."""
    codes = png.other.get(b"cICP", b"")
    if len(codes) == 4 and codes[2] == 0:
        return profile_of_codes(codes[0], codes[1])
    packed = png.other.get(b"iCCP", b"").partition(b"\0")[2]
    if packed and (profile := _inflated(packed[1:])):
        return profile
    if b"sRGB" in png.other:
        return None
    gamma = _fractions(png.other.get(b"gAMA", b""), 1)
    places = _fractions(png.other.get(b"cHRM", b""), 8)
    if gamma is None and places is None:
        return None
    return profile_of_gamma(gamma[0] if gamma else None, places, png.colour in (0, 4))


def _fractions(data: bytes, count: int) -> tuple[float, ...] | None:
    if len(data) != 4 * count:
        return None
    values = tuple(value / 100_000 for value in struct.unpack(f">{count}I", data))
    return values if all(values[:1]) else None
