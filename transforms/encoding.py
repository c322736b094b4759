"""Encodes results: cutouts as PNG or WebP, masks as PNG, cutouts on a background as JPEG.

The PNG settings were chosen by ``benchmarks/matting.py encoding``.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.pixels import composite_over

__all__ = ["encode_cutout", "encode_mask", "encode_on_background"]

# Cutouts are mostly runs of zeros. Run-length matching at level 1 is faster and smaller on them
# than deflate's default strategy at levels 1 to 3 (measured: benchmarks/matting.py encoding).
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]


def encode_cutout(rgba: NDArray[np.uint8], format: Literal["png", "webp"] = "png") -> bytes:
    """Encodes a cutout without loss.

    Args:
        rgba: uint8 HxWx4, straight alpha.
        format: ``png``, or ``webp`` (lossless too; smaller files, several times slower).

    Returns:
        The file's bytes.

    Raises:
        ValueError: The array has another shape or dtype, the format is unknown, or the image is
            larger than WebP allows.
    """
    _check(rgba, 4, "rgba")
    if format not in ("png", "webp"):
        raise ValueError(f"format: {format!r} is not one of png, webp")
    if format == "webp" and max(rgba.shape[:2]) > 16383:
        raise ValueError(
            f"format: WebP holds at most 16383 pixels a side, got {rgba.shape[1]}x"
            f"{rgba.shape[0]}; use png"
        )
    bgra = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)
    if format == "png":
        return _encode(".png", bgra, _PNG)
    return _encode(".webp", bgra, [cv2.IMWRITE_WEBP_QUALITY, 101])  # above 100 means lossless


def encode_mask(alpha: NDArray[np.uint8]) -> bytes:
    """Encodes an alpha channel as an 8-bit grey PNG.

    Args:
        alpha: uint8 HxW.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The array has another shape or dtype.
    """
    _check(alpha, 1, "alpha")
    return _encode(".png", alpha, _PNG)


def encode_on_background(
    rgba: NDArray[np.uint8], background: tuple[int, int, int], quality: int = 92
) -> bytes:
    """Composites a cutout over one colour and encodes the result as JPEG.

    Args:
        rgba: uint8 HxWx4, straight alpha.
        background: Red, green and blue, each 0..255.
        quality: JPEG quality, 1..100.

    Returns:
        The file's bytes.

    Raises:
        ValueError: The array has another shape or dtype, or a value is out of bounds.
    """
    _check(rgba, 4, "rgba")
    if len(background) != 3 or not all(0 <= int(v) <= 255 for v in background):
        raise ValueError(f"background: three numbers 0..255 are needed, got {background!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality: {quality!r} is outside 1..100")
    if max(rgba.shape[:2]) > 65535:
        raise ValueError(f"rgba: JPEG holds at most 65535 pixels a side, got {rgba.shape}")
    bgr = cv2.cvtColor(composite_over(rgba, background), cv2.COLOR_RGB2BGR)
    return _encode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _check(pixels: NDArray[np.uint8], channels: int, name: str) -> None:
    ndim = 2 if channels == 1 else 3
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.ndim != ndim
        or (ndim == 3 and pixels.shape[2] != channels)
        or pixels.size == 0
    ):
        got = (
            f"{pixels.dtype} {pixels.shape}"
            if isinstance(pixels, np.ndarray)
            else type(pixels).__name__
        )
        wanted = "HxW" if ndim == 2 else f"HxWx{channels}"
        raise ValueError(f"{name}: uint8 {wanted} with pixels is needed, got {got}")


def _encode(extension: str, pixels: NDArray[np.uint8], options: list[int]) -> bytes:
    done, buffer = cv2.imencode(extension, pixels, options)
    if not done:
        raise ValueError(f"{extension[1:]}: OpenCV cannot encode {pixels.shape}")
    return bytes(buffer)
