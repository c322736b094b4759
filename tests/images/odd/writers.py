"""Writers of odd PNG, TIFF and PSD files, independent of the decoders that are tested."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip


# --------------------------------------------------------------------------------------------- PNG


def chunk(kind: bytes, data: bytes, spoilt: bool = False) -> bytes:
    """A chunk, with a wrong checksum if it is to be spoilt."""
    checksum = zlib.crc32(kind + data) ^ (1 if spoilt else 0)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def packed_row(row: np.ndarray, depth: int) -> bytes:
    """Samples of one row, columns x channels, most significant bit first."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()


def filtered(rows: list[bytes], step: int, kind: int) -> bytes:
    """PNG's filters; ``step`` is the bytes of a pixel."""
    out, above = bytearray(), bytes(len(rows[0]) if rows else 0)
    for row in rows:
        out.append(kind)
        for at, value in enumerate(row):
            left = row[at - step] if at >= step else 0
            up = above[at]
            corner = above[at - step] if at >= step else 0
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda v: abs(guess - v))
            out.append((value - (0, left, up, (left + up) // 2, paeth)[kind]) & 255)
        above = row
    return bytes(out)


def png(
    samples: np.ndarray,
    depth: int,
    colour: int,
    *before: bytes,
    interlaced: bool = False,
    filter: int = 0,
    after: Sequence[bytes] = (),
    pieces: int = 1,
    end: bool = True,
) -> bytes:
    """A PNG of samples H x W x channels; ``before`` and ``after`` are chunks around the pixels."""
    height, width, channels = samples.shape
    step = max(1, channels * depth // 8)
    raw = b""
    for left, top, across, down in PASSES if interlaced else ((0, 0, 1, 1),):
        part = samples[top::down, left::across]
        if part.size:
            raw += filtered([packed_row(row, depth) for row in part], step, filter)
    data = zlib.compress(raw)
    size = -(-len(data) // pieces)
    idat = [chunk(b"IDAT", data[at : at + size]) for at in range(0, len(data), size)]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *before, *idat, *after]
    return b"".join([*parts, chunk(b"IEND", b"") if end else b""])


# -------------------------------------------------------------------------------------------- TIFF


def lzw(data: bytes) -> bytes:
    """LZW without a dictionary: literals, and a clear before codes would grow to 10 bits."""
    codes: list[int] = []
    for at in range(0, len(data), 250):
        codes += [256, *data[at : at + 250]]
    codes.append(257)
    bits = (np.array(codes)[:, None] >> np.arange(8, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()


def packbits(data: bytes) -> bytes:
    """PackBits, all literal."""
    out = b""
    for at in range(0, len(data), 128):
        piece = data[at : at + 128]
        out += bytes([len(piece) - 1]) + piece
    return out


PACKERS = {1: bytes, 5: lzw, 8: zlib.compress, 32773: packbits}


class Page:
    """A page of a TIFF: its fields, its blocks, and pages below it."""

    def __init__(
        self,
        samples: np.ndarray,
        bits: int,
        photometric: int,
        *,
        planar: bool = False,
        packing: int = 1,
        predictor: int = 1,
        rows: int = 0,
        tile: int = 0,
        below: Sequence[Page] = (),
        **fields: Any,
    ) -> None:
        self.samples, self.bits, self.photometric = samples, bits, photometric
        self.planar, self.packing, self.predictor = planar, packing, predictor
        self.rows, self.tile, self.below, self.fields = rows, tile, below, fields

    def blocks(self, order: str) -> list[bytes]:
        """Packed strips or tiles."""
        samples = self.samples
        planes = [samples[..., i : i + 1] for i in range(samples.shape[2])] if self.planar else [
            samples
        ]  # fmt: skip
        out = []
        for plane in planes:
            tall = self.tile or self.rows or plane.shape[0]
            for top in range(0, plane.shape[0], tall):
                strip = plane[top : top + tall]
                if not self.tile:
                    out.append(self._packed(strip, order))
                    continue
                for left in range(0, plane.shape[1], self.tile):
                    part = strip[:, left : left + self.tile]
                    full = np.zeros((self.tile, self.tile, plane.shape[2]), plane.dtype)
                    full[: part.shape[0], : part.shape[1]] = part
                    out.append(self._packed(full, order))
        return out

    def _packed(self, block: np.ndarray, order: str) -> bytes:
        if self.predictor == 2:
            first = np.zeros_like(block[:, :1])
            block = np.diff(block, axis=1, prepend=first)
        if self.bits in (8, 16, 32, 64) or block.dtype.kind == "f":
            plain = block.astype(block.dtype.newbyteorder(order)).tobytes()
        else:
            plain = b"".join(packed_row(row, self.bits) for row in block)
        return bytes(PACKERS[self.packing](plain))


TYPES = {3: "H", 4: "I", 1: "B", 7: "B", 16: "Q", 2: "B"}
TAGS = {
    "subfile": (254, 4), "make": (271, 2), "orientation": (274, 3), "extra": (338, 3),
    "format": (339, 3), "icc": (34675, 7), "dng": (50706, 1), "palette": (320, 3),
    "old_subfile": (255, 3), "fill_order": (266, 3),
}  # fmt: skip


def tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A TIFF of pages, each with the pages below it."""
    mark = b"II" if order == "<" else b"MM"
    word, entry, start = ("Q", 20, 16) if big else ("I", 12, 8)
    out = bytearray(start)

    def put(data: bytes) -> int:
        out.extend(bytes(len(out) % 2))
        place = len(out)
        out.extend(data)
        return place

    def directory(page: Page) -> int:
        below = [directory(one) for one in page.below]
        blocks = page.blocks(order)
        places = [put(block) for block in blocks]
        height, width, samples = page.samples.shape
        fields: dict[int, tuple[int, Sequence[int]]] = {
            256: (4, [width]), 257: (4, [height]), 258: (3, [page.bits] * samples),
            259: (3, [page.packing]), 262: (3, [page.photometric]), 277: (3, [samples]),
            284: (3, [2 if page.planar else 1]), 317: (3, [page.predictor]),
        }  # fmt: skip
        if page.tile:
            fields |= {322: (4, [page.tile]), 323: (4, [page.tile]), 324: (4, places),
                       325: (4, [len(block) for block in blocks])}  # fmt: skip
        else:
            fields |= {273: (4, places), 278: (4, [page.rows or height]),
                       279: (4, [len(block) for block in blocks])}  # fmt: skip
        if below:
            fields[330] = (16 if big else 4, below)
        for name, value in page.fields.items():
            tag, kind = TAGS[name]
            fields[tag] = (kind, value if isinstance(value, (list, tuple, bytes)) else [value])
        rows = []
        for tag, (kind, values) in sorted(fields.items()):
            packed = struct.pack(f"{order}{len(values)}{TYPES[kind]}", *values)
            if len(packed) > struct.calcsize(word):
                packed = struct.pack(order + word, put(packed))
            rows.append(
                struct.pack(f"{order}HH{word}", tag, kind, len(values))
                + packed.ljust(struct.calcsize(word), b"\0")
            )
        count = struct.pack(order + ("Q" if big else "H"), len(rows))
        assert all(len(row) == entry for row in rows)
        return put(count + b"".join(rows) + bytes(struct.calcsize(word)))

    def link(place: int, to: int) -> None:
        struct.pack_into(order + word, out, place, to)

    before = 8 if big else 4
    for page in pages:
        at = directory(page)
        link(before, at)
        count = struct.unpack_from(order + ("Q" if big else "H"), out, at)[0]
        before = at + struct.calcsize("Q" if big else "H") + entry * count
    head = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    out[: 2 + len(head)] = mark + head
    return bytes(out)


# --------------------------------------------------------------------------------------------- BMP


def bmp(rgba: np.ndarray, packing: int) -> bytes:
    """A 32-bit BMP (version 4); ``packing`` 3 says which bits are alpha, 0 that none are."""
    height, width = rgba.shape[:2]
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000) if packing == 3 else (0, 0, 0, 0)
    size = height * width * 4
    info = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, packing, size, 0, 0, 0, 0)
    info += struct.pack("<4I", *masks) + b"BGRs" + bytes(48)
    pixels = rgba[::-1, :, [2, 1, 0, 3]].astype(np.uint8).tobytes()
    return struct.pack("<2sIII", b"BM", 122 + size, 0, 122) + info + pixels


# --------------------------------------------------------------------------------------------- PSD


def psd(
    channels: np.ndarray,
    mode: int,
    *,
    depth: int = 8,
    version: int = 1,
    transparent: bool = False,
    flattened: bool = True,
) -> bytes:
    """A PSD's header and flattened picture, of channels C x H x W, without layers' contents."""
    count, height, width = channels.shape
    head = struct.pack(">4sH6xHIIHH", b"8BPS", version, count, height, width, depth, mode)
    info = struct.pack(">IBI", 1, int(flattened), 0)
    resource = b"8BIM" + struct.pack(">HHI", 1057, 0, len(info)) + info + bytes(len(info) % 2)
    layers = struct.pack(">h", -1 if transparent else 1)
    section = struct.pack(">I", len(layers)) + layers
    kind = ">u2" if depth == 16 else "u1"
    return b"".join([
        head, struct.pack(">I", 0),
        struct.pack(">I", len(resource)), resource,
        struct.pack(">I", len(section)), section,
        struct.pack(">H", 0), channels.astype(kind).tobytes(),
    ])  # fmt: skip
