"""`Raster`: what a format's decoder gives, before its colours are sRGB and it is upright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.limits import Limits

__all__ = [
    "ImageInfo",
    "Raster",
    "broken",
    "check_size",
    "check_time",
    "damaged",
    "decoding",
    "unsupported",
    "upright",
    "words_of",
]


class ImageInfo(NamedTuple):
    """What the header says.

    Attributes:
        format: ``jpeg``, ``png``, ``webp``, ``tiff``, ``bmp``, ``gif``, ``avif``, ``heif``,
            ``jpeg2000``, ``psd`` or ``jpegxl``.
        width: Of the upright picture, in pixels.
        height: Likewise.
    """

    format: str
    width: int
    height: int


# Of a row. Pillow counts the bits of one, of up to four channels, in 31 bits.
_MOST_ACROSS = 67_000_000


@dataclass(frozen=True)
class Raster:
    """A decoded picture, 8 bits a sample.

    Attributes:
        image: In any mode of Pillow's that has 8 bits, or uint8 H x W (grey) or H x W x 3 (RGB).
        profile: The ICC profile of its colours; None for sRGB.
        named: The file only names its colours' space; the profile was made for it.
        alpha: uint8 H x W, straight, where the image itself does not hold it.
        orientation: As EXIF numbers it, 1..8; 1 is upright.
        damaged: Part of the picture's data was damaged or missing.
    """

    image: Image.Image | NDArray[np.uint8]
    profile: bytes | None = None
    named: bool = False
    alpha: NDArray[np.uint8] | None = None
    orientation: int = 1
    damaged: bool = False


def broken(what: str, error: BaseException | None = None) -> RowError:
    """The error for a picture that is broken or cut off.

    Args:
        what: What is wrong with it.
        error: What a decoder said, if that helps. It is left out where it quotes the file.
    """
    said = "" if error is None else words_of(error)
    return RowError(
        ErrorCode.TRUNCATED_IMAGE, f"{what}{f' ({said})' if said else ''}; upload it again"
    )


@contextmanager
def decoding(*through: type[Exception]) -> Iterator[None]:
    """While the ``with`` lasts, what a decoder raises is `broken`: broken files raise anything.

    Args:
        through: Errors that are raised as they are, beside a lack of memory.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (MemoryError, *through)):
            raise
        raise broken("the image is broken or cut off", error) from None


def words_of(error: BaseException) -> str:
    """What a decoder said; empty where it quotes the file, or speaks to programmers."""
    said = str(error).strip(" .") or type(error).__name__
    odd = "<" in said or "b'" in said or 'b"' in said or not said.isprintable()
    return "" if odd or len(said) > 120 else said


def damaged(said: str) -> RowError:
    """The error for damage of which ``input.damaged: flag`` would take what is left."""
    return RowError(
        ErrorCode.TRUNCATED_IMAGE,
        f"the image is damaged or cut off{f' ({said})' if said else ''}; upload it again, or set "
        "input.damaged: flag to take what is left of it",
    )


def unsupported(what: str, remedy: str = "save it as 8-bit sRGB, in PNG or JPEG") -> RowError:
    """The error for a picture that is whole, but of a kind that is not decoded."""
    return RowError(ErrorCode.UNSUPPORTED_IMAGE, f"{what}; {remedy}")


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuses a picture by its size.

    Raises:
        RowError: ``too_large``; ``unsupported_image`` for one that is too wide, and
            ``truncated_image`` for one without pixels.
    """
    if width < 1 or height < 1:
        raise broken(f"the header says {width} x {height} pixels")
    if width * height > limits.max_pixels:
        raise RowError(
            ErrorCode.TOO_LARGE,
            f"{width} x {height} pixels are over max_pixels {limits.max_pixels}; "
            "raise it, or save the image smaller",
        )
    if width > _MOST_ACROSS:
        raise unsupported(
            f"{width} x {height} pixels are too wide; {_MOST_ACROSS} across can be decoded",
            "divide the image, or save it smaller",
        )


def check_time(seconds: float, limits: Limits, why: str) -> None:
    """Refuses a picture whose decoding would take too long; a decoder in C cannot be stopped.

    Args:
        seconds: An estimate.
        limits: With the most.
        why: What takes so long.

    Raises:
        RowError: ``too_large``.
    """
    if seconds > limits.max_decode_seconds:
        raise RowError(
            ErrorCode.TOO_LARGE,
            f"{why} would take about {seconds:.0f} s to decode, over max_decode_seconds "
            f"{limits.max_decode_seconds:g}; raise it, or save the image anew",
        )


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (H x W or H x W x C) turned as an EXIF orientation says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
