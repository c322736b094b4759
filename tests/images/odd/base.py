"""What the odd pictures have in common: the truth, other colour spaces, EXIF blocks."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageCms

from alphabeam.transforms.limits import Limits
from tests.images.odd.writers import chunk

HEIGHT, WIDTH = 44, 60
FLAG = Limits(damaged="flag")


@dataclass(frozen=True)
class Odd:
    """A picture file; ``truth`` is what it shows, uint8 H x W x 3 or 4, None if nothing is due."""

    format: str
    variant: str
    data: bytes = field(repr=False)
    truth: np.ndarray | None = field(default=None, repr=False)
    limits: Limits = Limits()


def rgb() -> np.ndarray:
    """The truth: without symmetry, smooth, of colours that every space holds."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    channels = (60 + 2 * x + y / 2, 200 - 2 * y + x / 4, 90 + y + x / 2)
    return np.rint(np.stack(channels, -1)).clip(0, 255).astype(np.uint8)


def grey() -> np.ndarray:
    return rgb()[..., 0]


def as_rgb(samples: np.ndarray) -> np.ndarray:
    return np.repeat(samples[..., None], 3, axis=2)


def alpha() -> np.ndarray:
    return np.rint(np.linspace(0, 255, WIDTH)).astype(np.uint8)[None].repeat(HEIGHT, 0)


def wide(samples: np.ndarray, bits: int = 16) -> np.ndarray:
    """8-bit samples as samples of more or fewer bits."""
    most = (1 << bits) - 1
    return np.rint(samples.astype(np.float64) * most / 255).astype(np.uint16)


def narrowed(samples: np.ndarray, bits: int) -> np.ndarray:
    """What fewer bits leave of 8-bit samples."""
    return np.rint(wide(samples, bits).astype(int) * 255 / ((1 << bits) - 1)).astype(np.uint8)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that are stored where the upright ones and the orientation are given."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1] if orientation in (2, 3) else pixels
    stored = {
        1: lambda a: a, 2: lambda a: a, 3: lambda a: a[::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    return np.ascontiguousarray(stored[orientation](pixels))


def exif(orientation: int = 1, space: int | None = None, interop: str = "") -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    if space is not None:
        block.get_ifd(0x8769)[0xA001] = space
    if interop:
        block.get_ifd(0x8769)[0xA005] = {1: interop}
    return block


# -------------------------------------------------------------------------------------- colour

XYZ = {  # of red, green and blue under D65
    "sRGB": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    "Adobe RGB": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06),
    "Display P3": (0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    "BT.2020": (0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
}


def matrix(space: str) -> np.ndarray:
    xy = XYZ[space]
    columns = np.array(
        [[x / y, 1, (1 - x - y) / y] for x, y in zip(xy[::2], xy[1::2], strict=True)]
    )
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns.T * np.linalg.solve(columns.T, white)


def linear(pixels: np.ndarray) -> np.ndarray:
    value = pixels / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb_curve(value: np.ndarray) -> np.ndarray:
    value = value.clip(0, 1)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


def in_space(pixels: np.ndarray, space: str, gamma: float | None = None) -> np.ndarray:
    """sRGB pixels in another space, with its curve or sRGB's."""
    light = linear(pixels) @ np.linalg.solve(matrix(space), matrix("sRGB")).T
    value = srgb_curve(light) if gamma is None else light.clip(0, 1) ** (1 / gamma)
    return np.rint(value * 255).astype(np.uint8)


def places(space: str) -> bytes:
    """A cHRM chunk."""
    return chunk(
        b"cHRM", struct.pack(">8I", *(round(v * 100_000) for v in (0.3127, 0.3290, *XYZ[space])))
    )


def gamma_chunk(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """sRGB's profile with red and blue changed for each other."""
    profile = bytearray(srgb_profile())
    table = {
        bytes(profile[at : at + 4]): at
        for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)
    }
    red, blue = table[b"rXYZ"], table[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def patched(data: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    at = data.index(mark) + offset
    return data[:at] + new + data[at + len(new) :]
