"""PSD: the flattened picture that Photoshop stores beside the layers, decoded by Pillow."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from alphabeam.transforms.images.raster import Raster, broken, decoding, unsupported

__all__ = ["Psd", "decode_psd", "read_psd"]

_MODES = {0: "bitmap", 1: "grey", 2: "palette", 3: "RGB", 4: "CMYK", 7: "multichannel",
          8: "duotone", 9: "Lab"}  # fmt: skip
_VERSION_INFO = 1057


class Psd(NamedTuple):
    """What the header says.

    Attributes:
        width: In pixels.
        height: Likewise.
        depth: Bits per sample.
        mode: The colours' name.
        channels: Of the flattened picture.
        transparent: The first channel behind the colours is the picture's transparency, and not a
            selection that somebody saved.
        flattened: Whether the flattened picture is there.
    """

    width: int
    height: int
    depth: int
    mode: str
    channels: int
    transparent: bool
    flattened: bool


def read_psd(data: bytes) -> Psd:
    """Reads the header.

    Raises:
        RowError: ``truncated_image``.
    """
    if len(data) < 34:
        raise broken("the image's header is cut off")
    channels, height, width, depth, mode = (
        int.from_bytes(data[at : at + size], "big")
        for at, size in ((12, 2), (14, 4), (18, 4), (22, 2), (24, 2))
    )
    at = 26 + 4 + int.from_bytes(data[26:30], "big")  # behind the palette
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    at += 4
    flattened = True
    while at + 12 <= min(end, len(data)) and data[at : at + 4] == b"8BIM":
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        at += 6 + (data[at + 6] + 2) // 2 * 2  # the name, padded
        size = int.from_bytes(data[at : at + 4], "big")
        if number == _VERSION_INFO and size >= 5:
            flattened = data[at + 8 : at + 9] != b"\0"
        at += 4 + (size + 1) // 2 * 2
    # Section of layers: its length, that of the layers, their number; negative for transparency.
    size = int.from_bytes(data[end : end + 4], "big")
    layers = int.from_bytes(data[end + 8 : end + 10], "big", signed=True) if size >= 6 else 0
    name = _MODES.get(mode, "unknown")
    return Psd(width, height, depth, name, channels, layers < 0, flattened)


def decode_psd(data: bytes, psd: Psd) -> Raster:
    """Decodes the flattened picture.

    Raises:
        RowError: ``unsupported_image`` or ``truncated_image``.
    """
    if not psd.flattened:
        raise unsupported(
            "a PSD without its flattened picture", "save it with maximum compatibility"
        )
    if psd.depth != 8 and (psd.mode, psd.depth) != ("bitmap", 1):
        raise unsupported(f"a {psd.depth}-bit {psd.mode} PSD", "save it with 8 bits a channel")
    try:
        image = Image.open(io.BytesIO(data), formats=("PSD",))
    except Exception as error:
        raise unsupported(
            f"a {psd.mode} PSD that cannot be read ({type(error).__name__})"
        ) from None
    with decoding():
        image.load()
    profile = image.info.get("icc_profile")
    if image.mode != "RGBA":
        return Raster(image, profile)
    colours = image.convert("RGB")
    if not psd.transparent:
        return Raster(colours, profile)
    # Photoshop lays what is translucent on white.
    alpha = np.asarray(image.getchannel("A"))
    weight = np.maximum(alpha, 1).astype(np.float32)[:, :, None] / 255
    own = (np.asarray(colours).astype(np.float32) - 255 * (1 - weight)) / weight
    own = np.where(alpha[:, :, None] > 0, np.rint(own).clip(0, 255), 255).astype(np.uint8)
    return Raster(Image.fromarray(own), profile, alpha=alpha)
