"""`decode`: upright sRGB pixels of an encoded picture, whatever its format.

The format goes by content, never by extension. Headers are read before any pixel is, so that a
decompression bomb costs nothing. Each format that needs more than Pillow has a module beside this.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images.colour import adobe_rgb, finished
from alphabeam.transforms.images.containers import jpeg2000_profile, nclx_profile
from alphabeam.transforms.images.exif import is_adobe_rgb, orientation_in, orientation_of
from alphabeam.transforms.images.heif import decode_heif, read_heif
from alphabeam.transforms.images.jpeg import check_frame, decode_jpeg
from alphabeam.transforms.images.kinds import kind_of
from alphabeam.transforms.images.png import decode_png, read_png
from alphabeam.transforms.images.psd import decode_psd, read_psd
from alphabeam.transforms.images.raster import (
    ImageInfo,
    Raster,
    broken,
    check_size,
    check_time,
    decoding,
    unsupported,
)
from alphabeam.transforms.images.silence import silence
from alphabeam.transforms.images.tiff import decode_tiff, read_tiff
from alphabeam.transforms.limits import MAX_PIXELS, Limits
from alphabeam.transforms.pixels import to_8_bit

__all__ = ["DAMAGED", "Decoded", "decode", "decode_fully", "inspect"]

DAMAGED = "damaged_source"
"""The flag of a picture some of whose data were damaged or missing."""

# Pillow registers most formats only here, and fails on the name of one that is not registered.
Image.init()
# It warns of odd images too; what matters of that is a row's error.
warnings.filterwarnings("ignore", module=r"PIL\.")
silence()

_PILLOW = {
    "jpeg": ("JPEG", "MPO"), "webp": ("WEBP",), "bmp": ("BMP",), "gif": ("GIF",),
    "avif": ("AVIF",), "jpeg2000": ("JPEG2000",),
}  # fmt: skip
# Decoding of noise on one core of a 2-core machine, rounded up. JPEG estimates its own.
_SECONDS_PER_PIXEL = {
    "png": 100e-9, "webp": 100e-9, "tiff": 100e-9, "bmp": 10e-9, "gif": 30e-9, "avif": 60e-9,
    "heif": 60e-9, "jpeg2000": 450e-9, "psd": 50e-9, "jpegxl": 150e-9,
}  # fmt: skip


class Decoded(NamedTuple):
    """A decoded picture.

    Attributes:
        pixels: As `decode` gives them.
        flags: What a person should know of the file: `DAMAGED`, or none.
        plain: Any program sees these pixels in the file, if it heeds orientation and ICC profile.
    """

    pixels: NDArray[np.uint8]
    flags: tuple[str, ...]
    plain: bool


class _Opened(NamedTuple):
    """A picture whose header is read.

    Attributes:
        width: Of the picture as stored, in pixels.
        height: Likewise.
        orientation: As EXIF numbers it.
        decode: Decodes it.
    """

    width: int
    height: int
    orientation: int
    decode: Callable[[], Raster]


def inspect(data: bytes, limits: Limits | None = None) -> ImageInfo:
    """Reads an image's header.

    Args:
        data: The encoded image.
        limits: What to refuse; the defaults of `Limits` when None.

    Returns:
        Format and upright size.

    Raises:
        RowError: ``empty_file``, ``not_an_image``, ``truncated_image``, ``unsupported_image`` or
            ``too_large``.
    """
    kind = kind_of(data)
    opened = _open(kind, data, limits or Limits())
    width, height = opened.width, opened.height
    if opened.orientation in (5, 6, 7, 8):
        width, height = height, width
    return ImageInfo(kind, width, height)


def decode(data: bytes, limits: Limits | None = None) -> NDArray[np.uint8]:
    """Decodes an image to upright sRGB pixels.

    EXIF orientation is applied. Colours are converted to sRGB (relative colorimetric with black
    point compensation) by the embedded ICC profile, or by the colour space that the file names
    otherwise; CMYK without a profile is converted by Pillow's formula. 16-bit samples are divided
    by 257, which gives the pixels of the 8-bit twin. Animations give their first frame, files of
    several pages their first page that is no preview.

    Args:
        data: The encoded image.
        limits: What to refuse before decoding; the defaults of `Limits` when None.

    Returns:
        uint8, H x W x 3 RGB, or H x W x 4 RGBA (straight alpha) where some pixel is not opaque.

    Raises:
        RowError: ``empty_file``, ``not_an_image``, ``truncated_image``, ``unsupported_image`` or
            ``too_large``.
    """
    return decode_fully(data, limits).pixels


def decode_fully(data: bytes, limits: Limits | None = None) -> Decoded:
    """Decodes an image as `decode` does, and says what is to be known of its file.

    Raises:
        RowError: As of `decode`.
    """
    limits = limits or Limits()
    kind = kind_of(data)
    opened = _open(kind, data, limits)
    if kind == "jpeg":
        check_frame(data, limits)
    else:
        seconds = opened.width * opened.height * _SECONDS_PER_PIXEL[kind]
        check_time(seconds, limits, f"{opened.width} x {opened.height} pixels of {kind}")
    raster = opened.decode()
    flags = (DAMAGED,) if raster.damaged else ()
    return Decoded(finished(raster), flags, not (raster.damaged or raster.named))


def _open(kind: str, data: bytes, limits: Limits) -> _Opened:
    opened = _OPENERS.get(kind, _open_by_pillow)(kind, data, limits)
    check_size(opened.width, opened.height, limits)
    return opened


def _open_png(_: str, data: bytes, limits: Limits) -> _Opened:
    png = read_png(data)
    return _Opened(png.width, png.height, orientation_in(png.exif), lambda: decode_png(png, limits))


def _open_tiff(_: str, data: bytes, limits: Limits) -> _Opened:
    page = read_tiff(data)
    return _Opened(
        page.width, page.height, page.orientation, lambda: decode_tiff(data, page, limits)
    )


def _open_psd(_: str, data: bytes, __: Limits) -> _Opened:
    psd = read_psd(data)
    return _Opened(psd.width, psd.height, 1, lambda: decode_psd(data, psd))


def _open_heif(_: str, data: bytes, __: Limits) -> _Opened:
    picture = read_heif(data)
    width, height = picture.size
    return _Opened(width, height, 1, lambda: decode_heif(data, picture))


def _open_jpegxl(_: str, data: bytes, __: Limits) -> _Opened:
    try:
        pylibjxl: Any = importlib.import_module("pylibjxl")
    except ImportError:
        raise unsupported(
            "JPEG XL picture", "pip install 'alphabeam[jxl]', or save it as PNG or JPEG"
        ) from None
    try:
        said = pylibjxl.probe(data)
        width, height = int(said["width"]), int(said["height"])
    except Exception as error:
        raise broken("the image's header is broken or cut off", error) from None

    def load() -> Raster:
        with decoding():
            pixels, metadata = pylibjxl.decode(data, metadata=True)
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return Raster(image, metadata.get("icc_profile"))

    return _Opened(width, height, 1, load)


def _open_by_pillow(kind: str, data: bytes, limits: Limits) -> _Opened:
    formats = [name for name in _PILLOW[kind] if name in Image.OPEN]
    if not formats:
        raise unsupported(f"{kind.upper()} picture, which this Pillow cannot decode")
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError:
        raise RowError(
            ErrorCode.TOO_LARGE,
            f"the header says over {MAX_PIXELS} pixels; save the image smaller",
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # broken files raise nearly anything
        if kind == "jpeg":
            check_frame(data, limits)  # which may know better
        raise broken("the image's header is broken or cut off", error) from None
    orientation = orientation_of(_exif_of(image))

    def load() -> Raster:
        profile, named = image.info.get("icc_profile"), False
        if kind == "jpeg":
            if profile is None and is_adobe_rgb(_exif_of(image)):
                profile, named = adobe_rgb(), True
            raster = decode_jpeg(data, image, limits)
            return replace(raster, profile=profile, named=named, orientation=orientation)
        if profile is None and kind == "avif":
            profile = nclx_profile(data)
        if kind == "jpeg2000":
            profile = jpeg2000_profile(data)
        with decoding():
            image.load()
        if image.mode.startswith("I"):  # 16-bit grey of JPEG 2000
            return Raster(to_8_bit(np.asarray(image)), profile, orientation=orientation)
        return Raster(image, profile, orientation=orientation)

    return _Opened(*image.size, orientation, load)


def _exif_of(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except Exception:  # broken blocks raise nearly anything
        return Image.Exif()


_OPENERS: dict[str, Callable[[str, bytes, Limits], _Opened]] = {
    "png": _open_png,
    "tiff": _open_tiff,
    "psd": _open_psd,
    "heif": _open_heif,
    "jpegxl": _open_jpegxl,
}
