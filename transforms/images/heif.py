"""HEIF: libheif in pi-heif, kept from files that make it crash."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from alphabeam.transforms.images.containers import nclx_profile
from alphabeam.transforms.images.raster import Raster, broken, decoding

__all__ = ["decode_heif", "read_heif"]

_LARGEST_ITEM = 4096  # bytes of the longest description of an item


def read_heif(data: bytes) -> Any:
    """Opens a file, of which only the headers are read.

    Returns:
        pi-heif's ``HeifFile``; its ``size``, ``mode``, ``data`` and ``info`` are those of the
        primary picture, turned upright.

    Raises:
        RowError: ``truncated_image``.
    """
    import pi_heif

    _check_items(data)
    try:
        picture = pi_heif.open_heif(io.BytesIO(data))
        _ = picture.size
    except MemoryError:
        raise
    except Exception as error:  # broken files raise nearly anything
        raise broken("the image's header is broken or cut off", error) from None
    return picture


def decode_heif(data: bytes, picture: Any) -> Raster:
    """Decodes the primary picture of what `read_heif` gave.

    Raises:
        RowError: ``truncated_image``, or ``unsupported_image`` for an HDR picture.
    """
    profile = picture.info.get("icc_profile")
    named = None if profile else nclx_profile(data)
    with decoding():
        mode = picture.mode
        image = Image.frombuffer(mode, picture.size, picture.data, "raw", mode, picture.stride, 1)
    return Raster(image, profile or named)


def _check_items(data: bytes) -> None:
    """Refuses a file whose items have types or names that are no text: pi-heif crashes on them."""
    at = data.find(b"infe")
    while at >= 4:
        size, version = int.from_bytes(data[at - 4 : at], "big"), data[at + 4 : at + 5]
        # Behind version, flags, the item's number and its protection: type and names.
        start = at + 8 + (4 if version == b"\3" else 2) + 2
        if 16 <= size < _LARGEST_ITEM:  # else these letters are no item's
            try:
                data[start : at - 4 + size].decode()
            except UnicodeDecodeError:
                raise broken("the image's header is broken") from None
        at = data.find(b"infe", at + 4)
