"""``ReadImages``: fetches the encoded images; `decode` makes upright sRGB pixels of them.

Decoding goes by content, never by extension. OpenCV decodes the common case, the plain RGB JPEG,
in half of Pillow's time and to the same pixels; Pillow decodes everything else, and LittleCMS (in
Pillow) converts colour. Headers are read before any pixel is, so that a decompression bomb costs
nothing.

Fetching is the part that waits, so it is what ``ReadImages`` overlaps; pixels are made by the
backend, when it gets to the image, so that few decoded images are in memory at once.
"""

from __future__ import annotations

import hashlib
import io
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.limits import MAX_PIXELS, Limits
from alphabeam.transforms.pixels import to_8_bit
from alphabeam.transforms.pool import Overlap, Stage
from alphabeam.transforms.rows import PENDING, Picture, Row

__all__ = ["ImageInfo", "ReadImages", "decode", "fetch", "inspect"]

# Pillow registers most formats only here, and fails on the name of one that is not registered.
Image.init()
_FORMATS = tuple(
    name for name in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF") if name in Image.OPEN
)
# It warns of odd images too; what matters of that is a row's error.
warnings.filterwarnings("ignore", module=r"PIL\.")

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageInfo(NamedTuple):
    """What the header says.

    Attributes:
        format: ``jpeg``, ``png``, ``webp``, ``tiff``, ``bmp``, ``gif`` or ``avif``.
        width: Of the upright picture, in pixels.
        height: Likewise.
    """

    format: str
    width: int
    height: int


def _open(data: bytes) -> Image.Image:
    if not data:
        raise RowError(ErrorCode.EMPTY_FILE, "the file is empty (0 bytes); upload it again")
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise RowError(
            ErrorCode.TOO_LARGE,
            f"the header says over {MAX_PIXELS} pixels; save the image smaller",
        ) from None
    except UnidentifiedImageError:
        raise _not_an_image(data) from None
    except Exception as error:  # broken files raise nearly anything
        raise RowError(
            ErrorCode.TRUNCATED_IMAGE,
            f"the image's header is broken or cut off ({_told(error)}); upload it again",
        ) from None


def _told(error: BaseException) -> str:
    return str(error).strip(" .") or type(error).__name__


def _not_an_image(data: bytes) -> RowError:
    start = data[:32]
    if start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"RIFF", b"II*\0", b"MM\0*", b"GIF8")):
        return RowError(
            ErrorCode.TRUNCATED_IMAGE,
            "the image's header is broken, cut off, or of a kind that cannot be read; "
            "upload it again, or save it as PNG or JPEG",
        )
    # Never a byte of it: the URI may have led to a file of passwords.
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start):
        page = start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html"))
        kind = "an HTML page" if page else "text"
        return RowError(
            ErrorCode.NOT_AN_IMAGE, f"the file is {kind}, not an image; check what the URI serves"
        )
    return RowError(
        ErrorCode.NOT_AN_IMAGE, f"no known image format; save it as one of {', '.join(_FORMATS)}"
    )


def _orientation(image: Image.Image, data: bytes) -> int:
    # Pillow turns a TIFF upright by itself; and it decodes a whole PNG to look for an EXIF chunk
    # behind the pixels.
    if image.format == "TIFF" or (image.format == "PNG" and b"eXIf" not in data):
        return 1
    # Broken EXIF blocks raise nearly anything; a picture without a readable one is upright.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _info(image: Image.Image, data: bytes, limits: Limits) -> ImageInfo:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise RowError(
            ErrorCode.TOO_LARGE,
            f"{width} x {height} pixels are over max_pixels {limits.max_pixels}; "
            "raise it, or save the image smaller",
        )
    if width < 1 or height < 1:
        raise RowError(ErrorCode.NOT_AN_IMAGE, f"the image is {width} x {height} pixels")
    if _orientation(image, data) in (5, 6, 7, 8):
        width, height = height, width
    name = {"MPO": "jpeg"}.get(image.format or "", (image.format or "").lower())
    return ImageInfo(name, width, height)


def inspect(data: bytes, limits: Limits | None = None) -> ImageInfo:
    """Reads an image's header.

    Args:
        data: The encoded image.
        limits: What to refuse; the defaults of `Limits` when None.

    Returns:
        Format and upright size.

    Raises:
        RowError: ``empty_file``, ``not_an_image``, ``truncated_image`` or ``too_large``.
    """
    with _open(data) as image:
        return _info(image, data, limits or Limits())


def decode(data: bytes, limits: Limits | None = None) -> np.ndarray:
    """Decodes an image to upright sRGB pixels.

    EXIF orientation is applied. An embedded ICC profile is converted to sRGB (relative
    colorimetric with black point compensation); CMYK without a profile is converted by Pillow's
    formula. 16-bit samples are divided by 257, which gives the pixels of the 8-bit twin.
    Animations and multi-page files give their first frame.

    Args:
        data: The encoded image.
        limits: What to refuse before decoding; the defaults of `Limits` when None.

    Returns:
        uint8, H x W x 3 RGB, or H x W x 4 RGBA (straight alpha) where some pixel is not opaque.

    Raises:
        RowError: ``empty_file``, ``not_an_image``, ``truncated_image``, ``unsupported_image`` or
            ``too_large``.
    """
    with _open(data) as image:
        _info(image, data, limits or Limits())
        orientation = _orientation(image, data)
        if (
            image.format in ("JPEG", "MPO")
            and image.mode == "RGB"
            and "icc_profile" not in image.info
            and (pixels := _decode_plain_jpeg(data, orientation)) is not None
        ):
            return pixels
        try:
            image.load()
        except Exception as error:  # broken files raise nearly anything
            raise RowError(
                ErrorCode.TRUNCATED_IMAGE,
                f"the image is broken or cut off ({_told(error)}); upload it again",
            ) from None
        icc = image.info.get("icc_profile")
        upright = _to_8_bit(image)
        if icc:
            upright = _to_srgb(upright, icc)
        upright = _to_rgb(upright)
        if orientation in _UPRIGHT:
            upright = upright.transpose(_UPRIGHT[orientation])
        pixels = np.array(upright)
    if pixels.shape[2] == 4 and pixels[..., 3].min() == 255:
        pixels = np.ascontiguousarray(pixels[..., :3])
    return pixels


def _decode_plain_jpeg(data: bytes, orientation: int) -> np.ndarray | None:
    # libjpeg fills what is missing of a cut-off file with grey; an end marker behind the last
    # scan's start tells a whole file (entropy-coded data cannot hold one).
    if data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) < 0:
        return None
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None or orientation not in _UPRIGHT:
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else cv2.flip(pixels, flip)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit and 32-bit integer grey to 8 bits; other modes as they are."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise RowError(
                ErrorCode.UNSUPPORTED_IMAGE, "32-bit integer samples; save the image as 8 or 16 bit"
            )
        return Image.fromarray(to_8_bit(values))
    if image.mode == "F":
        raise RowError(
            ErrorCode.UNSUPPORTED_IMAGE, "floating-point samples; save the image as 8 or 16 bit"
        )
    return image


def _to_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """Converts by the embedded profile; alpha is kept. A broken profile is passed over."""
    mode = {"P": "RGB", "PA": "RGB", "RGBA": "RGB", "RGBX": "RGB", "LA": "L", "1": "L"}.get(
        image.mode, image.mode
    )
    alpha = _alpha(image)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(
            image if image.mode == mode else image.convert(mode),
            profile,
            _SRGB,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    assert converted is not None
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _alpha(image: Image.Image) -> Image.Image | None:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA").getchannel("A")
    return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGB", "RGBA"):
        if image.mode == "RGB" and "transparency" in image.info:
            return image.convert("RGBA")
        return image
    try:
        return image.convert("RGB" if _alpha(image) is None else "RGBA")
    except ValueError:
        raise RowError(
            ErrorCode.UNSUPPORTED_IMAGE,
            f"colour mode {image.mode} cannot be converted; save the image as RGB",
        ) from None


# ------------------------------------------------------------------------------------ the transform


def fetch(
    row: Row,
    limits: Limits,
    storage_options: Mapping[str, Mapping[str, Any]] | None = None,
    allow: storage.AllowList = storage.ANYWHERE,
) -> Picture:
    """Fetches one image's bytes and reads its header.

    Args:
        row: One that is not pending passes through.
        limits: What to refuse.
        storage_options: Options for fsspec, by protocol.
        allow: Where a row may read from.

    Returns:
        The picture, its row filled in with the source's size, format, digest and version. A
        failure is the row's: ``picture.row.status`` is ``failed``.
    """
    if row.status != PENDING:
        return Picture(row)
    began = time.perf_counter()
    data = b""
    try:
        if not row.source_version:
            stat = storage.stat(row.image, options=storage_options, allow=allow)
            row = row._replace(source_version=stat.version)
        data = storage.read(
            row.image, max_bytes=limits.max_bytes, options=storage_options, allow=allow
        )
        row = row._replace(source_bytes=len(data), source_sha256=hashlib.sha256(data).hexdigest())
        info = inspect(data, limits)
        row = row._replace(source_format=info.format, width=info.width, height=info.height)
    except Exception as error:
        row, data = row.failed("read", error), b""
    return Picture(row._replace(read_ms=1000 * (time.perf_counter() - began)), data, limits)


@beam.typehints.with_input_types(Row)
@beam.typehints.with_output_types(Picture)
class ReadImages(beam.PTransform):
    """Fetches the images of pending rows: `Row` in, `Picture` out.

    Rows that have failed or are done pass through. Many images are fetched at once, and each is
    handed on as soon as it is there: one slow source holds up no other. At most ``depth`` of them,
    encoded, are in memory.

    Args:
        limits: What to refuse before decoding; later steps decode within the same limits.
        threads: How many images are fetched at once, per process.
        depth: How many images are fetched ahead, per process.
        storage_options: Options for fsspec, by protocol.
        allow: Where rows may read from: ``storage.AllowList.of(manifest)``. By default from every
            store, but not from this machine's own servers or a cloud's metadata service.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        threads: int = 16,
        depth: int = 32,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
        allow: storage.AllowList = storage.ANYWHERE,
    ) -> None:
        super().__init__()
        self.stage = Stage(_Open(limits or Limits(), storage_options, allow), threads, depth)

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[Picture]:
        """Builds the step."""
        return rows | "Fetch" >> Overlap(self.stage, output_type=Picture)


@dataclass(frozen=True)
class _Open:
    limits: Limits
    storage_options: Mapping[str, Mapping[str, Any]] | None = field(repr=False)
    allow: storage.AllowList

    def __call__(self) -> Callable[[Row], Picture]:
        return lambda row: fetch(row, self.limits, self.storage_options, self.allow)
