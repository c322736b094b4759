"""JPEG: decoded by libjpeg-turbo, in simplejpeg, which tells what the library warned of.

Pillow and OpenCV give the same pixels, but pass over damage: they fill what is missing with grey.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from alphabeam.transforms.images.raster import (
    Raster,
    broken,
    check_time,
    damaged,
    decoding,
    unsupported,
)
from alphabeam.transforms.limits import Limits

__all__ = ["check_frame", "decode_jpeg"]

_END = b"\xff\xd9"
_SCAN = b"\xff\xda"

# Measured on one core of a 2-core machine, and rounded up.
_SECONDS_PER_PIXEL = 10e-9
_SECONDS_PER_PIXEL_AND_SCAN = 3e-9

_KINDS = {
    3: "lossless JPEG", 7: "lossless JPEG", 11: "lossless JPEG", 15: "lossless JPEG",
    5: "hierarchical JPEG", 6: "hierarchical JPEG", 13: "hierarchical JPEG",
    14: "hierarchical JPEG", 0x37: "JPEG-LS picture",
}  # fmt: skip
_ARITHMETIC = (9, 10)
_PROGRESSIVE = (2, 10)

# What libjpeg warns of and what spoils no pixel: odd headers, which some cameras write.
_HARMLESS = re.compile("unknown JFIF revision|Unknown Adobe color transform|Invalid SOS parameters")
_DAMAGE = re.compile("Corrupt JPEG data|Premature end|Inconsistent progression|scans are missing")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")


class _Frame(NamedTuple):
    """What the start of the frame says."""

    kind: int
    precision: int
    height: int
    width: int
    components: tuple[tuple[int, int, int], ...]  # number, and sampling across and down
    end: int  # where it ends in the file

    @property
    def is_progressive(self) -> bool:
        return self.kind in _PROGRESSIVE


def _frame(data: bytes) -> _Frame | None:
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker in (0xFF, 0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD9, 0xDA):
            return None
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            body = data[at + 4 : at + 2 + size]
            if len(body) < 6 or len(body) < 6 + 3 * body[5]:
                return None
            return _Frame(
                marker - 0xC0,
                body[0],
                int.from_bytes(body[1:3], "big"),
                int.from_bytes(body[3:5], "big"),
                tuple(
                    (body[i], body[i + 1] >> 4, body[i + 1] & 15)
                    for i in range(6, 6 + 3 * body[5], 3)
                ),
                at + 2 + size,
            )
        at += 2 + size
    return None


def check_frame(data: bytes, limits: Limits) -> None:
    """Refuses what is not decoded, and what cannot be whole, before any pixel is.

    Raises:
        RowError: ``unsupported_image`` for a kind of JPEG that is not decoded; ``too_large`` for
            one with very many scans; ``truncated_image`` if the file is too small for its pixels.
    """
    frame = _frame(data)
    if frame is None:
        return
    if frame.kind in _KINDS:
        raise unsupported(_KINDS[frame.kind])
    if frame.precision != 8:
        raise unsupported(f"{frame.precision}-bit JPEG")
    # Entropy-coded data cannot hold a marker.
    scans = data.count(_SCAN, frame.end) if frame.is_progressive else 1
    pixels = frame.width * frame.height
    seconds = pixels * (_SECONDS_PER_PIXEL + _SECONDS_PER_PIXEL_AND_SCAN * scans)
    check_time(seconds, limits, f"a JPEG of {scans} scans")
    if frame.kind not in _ARITHMETIC and limits.damaged == "fail":
        width = 8 * max((across for _, across, _ in frame.components), default=0)
        height = 8 * max((down for _, _, down in frame.components), default=0)
        if width and height:
            units = -(-frame.width // width) * -(-frame.height // height)
            blocks = units * sum(across * down for _, across, down in frame.components)
            # At least a bit for a block's mean; in one scan, a second one ends the block.
            if 8 * len(data) < blocks * (1 if frame.is_progressive else 2):
                raise broken(
                    f"the file's {len(data)} bytes cannot hold {frame.width} x {frame.height} "
                    "pixels; it is cut off"
                )


def _misses_scans(data: bytes) -> bool:
    """Whether some bits of some coefficients come in no scan: libjpeg takes them for 0."""
    frame = _frame(data)
    if frame is None:
        return False
    unfinished = {number: [1] * 64 for number, _, _ in frame.components}
    end = data.find(_END, frame.end)
    at = data.find(_SCAN, frame.end)
    while at >= 0 and (end < 0 or at < end):
        body = data[at + 4 : at + 4 + 2 * 4 + 4]
        count = body[0] if body else 0
        if len(body) >= 2 * count + 4:
            first, last, bits = body[2 * count + 1 : 2 * count + 4]
            if not frame.is_progressive:
                first, last, bits = 0, 63, 0
            for number in body[1 : 2 * count + 1 : 2]:
                if number in unfinished and first <= last < 64:
                    unfinished[number][first : last + 1] = [bits & 15] * (last + 1 - first)
        at = data.find(_SCAN, at + 2)
    return any(any(rest) for rest in unfinished.values())


def decode_jpeg(data: bytes, image: Image.Image, limits: Limits) -> Raster:
    """Decodes a JPEG; `check_frame` was asked before.

    Args:
        data: The file.
        image: The same, opened by Pillow, nothing decoded.
        limits: What is done with damage.

    Raises:
        RowError: ``truncated_image``: it is broken, or it is damaged and ``limits.damaged`` is
            ``fail``.
    """
    space = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}.get(image.mode)
    if space is None:
        raise unsupported(f"a JPEG of mode {image.mode}")
    pixels, spoilt = _checked(data, space, limits)
    if pixels is None:  # a sampling that simplejpeg does not know
        if data.find(_END, data.rfind(_SCAN)) < 0:
            raise broken("the image is cut off")
        with decoding():
            image.load()
        return Raster(image)
    if space == "GRAY":
        pixels = pixels[:, :, 0]
    if space == "CMYK":  # stored as its complement, as Adobe does
        return Raster(Image.fromarray(255 - pixels, "CMYK"), damaged=spoilt)
    return Raster(pixels, damaged=spoilt)


def _checked(data: bytes, space: str, limits: Limits) -> tuple[NDArray[np.uint8] | None, bool]:
    """Pixels, and whether some are damaged; no pixels if simplejpeg cannot decode such a file."""
    problem = "some of its scans are missing" if _misses_scans(data) else ""
    for _ in range(3 if not problem else 0):
        try:
            return simplejpeg.decode_jpeg(data, space, strict=True), False
        except ValueError as error:
            problem = str(error)
        if not _HARMLESS.search(problem):
            break
        data = _with_usual_headers(data)
    if problem.startswith("Premature end") and data.find(_END, data.rfind(_SCAN)) < 0:
        try:  # with an end marker it may be whole
            whole = data.rstrip(b"\xff") + _END
            return simplejpeg.decode_jpeg(whole, space, strict=True), True
        except ValueError as error:
            problem = str(error)
    if not _DAMAGE.search(problem):
        return None, False
    padding = _is_padding(problem, data)
    if limits.damaged == "fail" and not padding:
        raise damaged(problem.removeprefix("Corrupt JPEG data: "))
    try:
        return simplejpeg.decode_jpeg(data, space, strict=False), not padding
    except ValueError as error:
        raise broken("the image is broken", error) from None


def _with_usual_headers(data: bytes) -> bytes:
    """The file with what libjpeg assumes in place of odd header values, which some cameras write.

    simplejpeg cannot be told that a warning of such a value does no harm.
    """
    frame = _frame(data)
    out = bytearray(data)
    at = data.find(b"JFIF\0", 0, 64)
    if at > 0:
        out[at + 5] = 1
    at = data.find(b"\xff\xee\0\x0eAdobe", 0, frame.end if frame else 0)
    if at > 0 and out[at + 15] > 2:
        out[at + 15] = 1
    if frame is not None and not frame.is_progressive:
        at, end = data.find(_SCAN, frame.end), data.find(_END, frame.end)
        while at >= 0 and (end < 0 or at < end):
            last = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            out[last - 3 : last] = b"\0\x3f\0"
            at = data.find(_SCAN, at + 2)
    return bytes(out)


def _is_padding(problem: str, data: bytes) -> bool:
    """Whether the bytes that were left over before a marker are all alike: no data are."""
    found = _EXTRANEOUS.search(problem)
    if found is None:
        return False
    at = data.find(bytes([0xFF, int(found[2], 16)]), data.rfind(_SCAN))
    return at > 0 and len(set(data[max(0, at - int(found[1])) : at])) == 1
