"""What is read of EXIF blocks."""

from __future__ import annotations

from PIL import ExifTags, Image

__all__ = ["is_adobe_rgb", "orientation_in", "orientation_of", "parsed"]

_UNCALIBRATED, _ADOBE = 65535, 2


def orientation_of(exif: Image.Exif) -> int:
    """The orientation, 1..8; 1 if there is none that can be read."""
    try:
        value = int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken blocks raise nearly anything
        return 1
    return value if 1 <= value <= 8 else 1


def orientation_in(block: bytes | None) -> int:
    """The same of a block, with or without its marker ``Exif``."""
    return 1 if not block else orientation_of(parsed(block))


def parsed(block: bytes) -> Image.Exif:
    """A block's fields; none of one that is broken."""
    exif = Image.Exif()
    try:
        exif.load(block if block.startswith(b"Exif\0\0") else b"Exif\0\0" + block)
    except Exception:
        return Image.Exif()
    return exif


def is_adobe_rgb(exif: Image.Exif) -> bool:
    """Whether a camera says that its colours are Adobe RGB, without a profile.

    By the DCF rule: an uncalibrated colour space, and the interoperability index R03.
    """
    try:
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        if space != _UNCALIBRATED:
            return bool(space == _ADOBE)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(1)
    except Exception:  # broken blocks raise nearly anything
        return False
    if isinstance(index, bytes):
        index = index.decode("latin-1")
    return str(index).strip("\0 ") == "R03"
