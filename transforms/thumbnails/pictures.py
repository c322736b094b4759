"""A thumbnail: the source and the cutout, small, in two files that any browser can show.

JPEG for the colours and a PNG for the cutout's alpha take half a millisecond; one WebP with alpha
would take six.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.pixels import composite_over, halved

__all__ = ["SIDE", "Thumbnail", "preview_of", "thumbnail_of"]

SIDE = 192  # pixels of the longer side
_QUALITY = 80
_LEVELS = 16  # of the alpha
_AROUND = (49, 49)  # pixels from which transparent ones take their colour


class Thumbnail(NamedTuple):
    """Two pictures of one size, side by side.

    Attributes:
        colours: A JPEG: the source in its left half, the cutout's colours in its right half.
        alpha: A PNG of one half's size, black, whose alpha is the cutout's in 16 levels.
    """

    colours: bytes
    alpha: bytes


def preview_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture made small; what is transparent in it is shown on white.

    Args:
        pixels: uint8 HxWx3 RGB, or HxWx4 with straight alpha.

    Returns:
        uint8 hxwx3, contiguous; the longer side has `SIDE` pixels, or fewer if the picture has.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    small = _averaged(_sampled(pixels, width, height))
    return composite_over(small) if small.shape[2] == 4 else np.ascontiguousarray(small)


def thumbnail_of(
    preview: NDArray[np.uint8], alpha: NDArray[np.uint8], rgba: NDArray[np.uint8] | None
) -> Thumbnail:
    """Encodes a thumbnail.

    Args:
        preview: The source, from `preview_of`.
        alpha: The mask, uint8 HxW.
        rgba: The cutout, uint8 HxWx4, straight alpha, colours 0 where alpha is 0; None if only the
            mask was asked for: the source's colours are taken.

    Returns:
        The encoded files, about 10 KB.
    """
    height, width = preview.shape[:2]
    both = np.empty((height, 2 * width, 3), np.uint8)
    both[:, :width] = both[:, width:] = preview
    if rgba is None:
        opacity = _averaged(_sampled(alpha, width, height))
    else:
        samples = _sampled(rgba, width, height)
        small = _averaged(samples)
        opacity, both[:, width:] = small[..., 3], _colours(samples, small)
    done, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(both, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not done:
        raise ValueError(f"OpenCV cannot encode a thumbnail of {both.shape}")
    return Thumbnail(bytes(jpeg), _alpha_png(opacity))


def _sampled(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """16 samples for each pixel of a small picture."""
    size = (4 * width, 4 * height)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _averaged(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of each 16 samples."""
    return halved(halved(samples))


def _colours(samples: NDArray[np.uint8], small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A cutout's colours, small, carried on into what is transparent.

    A cutout's colours are 0 where its alpha is 0. Averaged as they are, its edge would be dark, and
    JPEG would spread that further.
    """
    visible = cv2.compare(samples[..., 3], 0, cv2.CMP_GT)
    seen = (_averaged(visible) * np.float32(1 / 255))[..., None]
    dark = small[..., :3].astype(np.float32)
    around, weight = cv2.blur(dark, _AROUND), cv2.blur(seen, _AROUND)[..., None]
    mean = dark.mean((0, 1)) / max(float(seen.mean()), 1e-6)
    filled = (around + 1e-4 * mean) / (weight + 1e-4)
    own = dark / np.maximum(seen, 0.01)
    colours = filled + (seen > 0.01) * (own - filled)
    return np.asarray(np.clip(np.rint(colours), 0, 255), np.uint8)


def _alpha_png(alpha: NDArray[np.uint8]) -> bytes:
    """A palette of 16 blacks of growing alpha: a fifth of the size of a PNG with four channels."""
    height, width = alpha.shape
    levels = (alpha.astype(np.uint16) * (_LEVELS - 1) + 127) // 255
    even = np.zeros((height, width + width % 2), np.uint8)
    even[:, :width] = levels
    rows = np.zeros((height, 1 + even.shape[1] // 2), np.uint8)  # a filter byte, then the pixels
    rows[:, 1:] = even[:, ::2] << 4 | even[:, 1::2]
    opacity = bytes(range(0, 256, 255 // (_LEVELS - 1)))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)),
        (b"PLTE", bytes(3 * _LEVELS)),
        (b"tRNS", opacity),
        (b"IDAT", zlib.compress(rows.tobytes(), 4)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
