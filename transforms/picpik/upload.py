"""What is sent to the API for an image: its own bytes where they will do, else re-encoded."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image, ImageCms

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.picpik.errors import PicpikError
from alphabeam.transforms.pixels import composite_over

__all__ = ["Upload", "prepare_upload"]

_MEDIA_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_QUALITIES = (95, 90, 85, 75)
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Upload:
    """What is sent for one image. It always has the size of the upright original.

    Attributes:
        data: The encoded picture.
        media_type: ``image/jpeg``, ``image/png`` or ``image/webp``.
        encoding: ``original``, ``png``, or ``jpeg-Q`` with the quality.
        reason: Why the original bytes were not sent; empty when they were.
    """

    data: bytes = field(repr=False)
    media_type: str
    encoding: str
    reason: str = ""


def prepare_upload(
    original: bytes, pixels: np.ndarray, *, max_upload_bytes: int, plain: bool = True
) -> Upload:
    """Chooses the bytes to send.

    The original bytes go out when the API will see in them what this program sees: an upright,
    opaque, 8-bit, single-frame, sRGB (or untagged) JPEG, PNG or WebP within the size limit.
    Anything else is re-encoded from the decoded picture: as JPEG (4:4:4, quality 95), or as PNG
    where the original was not a JPEG and the PNG fits. The quality goes down to 75 to fit. What
    is transparent is laid on white, so that no hidden colours come to light. The picture is
    never scaled, so a box and the result keep its pixels.

    Args:
        original: The image file's bytes.
        pixels: The upright decoded picture, sRGB, uint8, H x W x 3, or H x W x 4 with straight
            alpha.
        max_upload_bytes: Most bytes to send, before base64 (which adds a third).
        plain: Any program sees these pixels in the original, if it heeds orientation and profile.
            Not so of a damaged file, or one that names its colours in a way few programs know.

    Raises:
        PicpikError: ``too_large``: no encoding fits.
    """
    height, width = pixels.shape[:2]
    kind, reason = _inspect(original, width, height)
    if not reason and not plain:
        reason = "other programs may see other pixels in it"
    if not reason and len(original) > max_upload_bytes:
        reason = f"{len(original)} bytes are over max_upload_bytes"
    if not reason:
        return Upload(original, _MEDIA_TYPES[kind], "original")
    bgr = cv2.cvtColor(_opaque(pixels), cv2.COLOR_RGB2BGR)
    if kind not in ("JPEG", "MPO"):
        data = _encode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if len(data) <= max_upload_bytes:
            return Upload(data, "image/png", "png", reason)
    for quality in _QUALITIES:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        data = _encode(".jpg", bgr, options) if max(width, height) < 65_500 else b""
        if 0 < len(data) <= max_upload_bytes:
            return Upload(data, "image/jpeg", f"jpeg-{quality}", reason)
    raise PicpikError(
        f"a picture of {width} x {height} does not fit into max_upload_bytes "
        f"({max_upload_bytes}) at JPEG quality {_QUALITIES[-1]}; raise the limit or scale it down",
        code=ErrorCode.TOO_LARGE,
    )


def _inspect(original: bytes, width: int, height: int) -> tuple[str, str]:
    """The file's format, and why its bytes will not do ("" if they will)."""
    try:
        with Image.open(io.BytesIO(original)) as image:
            kind = str(image.format)
            if kind not in _MEDIA_TYPES:
                return kind, f"{kind} is not taken by the API"
            if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
                return kind, "turned by its EXIF orientation"
            if image.size != (width, height):
                return kind, "its size is not that of the decoded picture"
            if kind != "MPO" and getattr(image, "n_frames", 1) > 1:
                return kind, "it has several frames"
            deep = kind == "PNG" and original[24:25] == b"\x10"  # IHDR's bit depth
            if image.mode not in ("RGB", "L", "P") or "transparency" in image.info or deep:
                depth = "16-bit " if deep else ""
                return kind, f"its pixels are {depth}{image.mode}, not opaque 8-bit RGB or grey"
            if not _is_srgb(image.info.get("icc_profile")):
                return kind, "its colour profile is not sRGB"
            return kind, ""
    except Exception as error:  # the picture was decoded, by another decoder: send that
        return "", f"its header cannot be read ({type(error).__name__})"


def _is_srgb(profile: bytes | None) -> bool:
    if not profile:
        return True
    opened = ImageCms.getOpenProfile(io.BytesIO(profile))
    return "srgb" in ImageCms.getProfileDescription(opened).lower()


def _opaque(pixels: np.ndarray) -> np.ndarray:
    return composite_over(pixels) if pixels.shape[2] == 4 else np.ascontiguousarray(pixels)


def _encode(extension: str, bgr: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(extension, bgr, options)
    if not done:
        raise PicpikError(f"OpenCV cannot encode a {extension} picture", code=ErrorCode.INTERNAL)
    return bytes(data.tobytes())
