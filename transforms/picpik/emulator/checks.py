"""What the emulated API refuses: its RetCodes, and the checks of a request's parameters."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

__all__ = ["COMMON", "KNOWN", "RefusedError", "checked_image"]

# Invented: the vendor publishes no list.
NO_ACTION, BAD_SIGNATURE, UNKNOWN_KEY, BAD_PARAMETER, NO_CREDITS, BUSY = (
    160,
    171,
    172,
    230,
    520,
    150,
)

_RANGES = {
    "ErodeSize": (0, 40),
    "ForegroundThreshold": (0, 255),
    "BackgroundThreshold": (0, 255),
}
COMMON = {"Action", "PublicKey", "Signature", "request_uuid"}
KNOWN = {
    "RemoveBackground": COMMON | set(_RANGES) | {"RawImage", "Box", "HairOptimization", "OnlyMask"},
    "ListTasksDetails": COMMON | {"TaskUIDList"},
    "ListRunningTasks": COMMON,
}


class RefusedError(Exception):
    """A refusal.

    Attributes:
        code: The RetCode; the exception's text is the message.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def checked_image(fields: Mapping[str, Any], max_bytes: int) -> bytes:
    """The upload's bytes, once every parameter was found good.

    Args:
        fields: The parameters of a RemoveBackground request.
        max_bytes: Largest image taken, decoded from base64.

    Raises:
        RefusedError: A parameter breaks the API's description.
    """
    text = fields.get("RawImage")
    if not isinstance(text, str):
        raise RefusedError(BAD_PARAMETER, "RawImage is required")
    head, comma, data = text.partition(",")
    if not comma or head not in (f"data:image/{k};base64" for k in ("jpeg", "png", "webp")):
        raise RefusedError(
            BAD_PARAMETER, "RawImage must be a data URI of a JPEG, PNG or WebP image"
        )
    try:
        image = base64.b64decode(data, validate=True)
        with Image.open(io.BytesIO(image)) as picture:
            width, height = picture.size
            media_type = Image.MIME.get(str(picture.format), "")
    except (binascii.Error, OSError, SyntaxError):
        raise RefusedError(BAD_PARAMETER, "RawImage is not an image") from None
    if len(image) > max_bytes:
        raise RefusedError(BAD_PARAMETER, "RawImage is too large")
    if media_type not in (head[5:-7], "image/mpo"):
        raise RefusedError(BAD_PARAMETER, f"RawImage says {head[5:-7]} and is {media_type}")
    for name, (low, high) in _RANGES.items():
        value = fields.get(name, low)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise RefusedError(BAD_PARAMETER, f"{name} must be an integer of {low}..{high}")
    if fields.get("HairOptimization", "auto") not in ("auto", "on", "off"):
        raise RefusedError(BAD_PARAMETER, "HairOptimization must be auto, on or off")
    if not isinstance(fields.get("OnlyMask", False), bool):
        raise RefusedError(BAD_PARAMETER, "OnlyMask must be a boolean")
    box = fields.get("Box")
    if box is not None:
        if not isinstance(box, list) or len(box) != 4 or not all(type(v) is int for v in box):
            raise RefusedError(BAD_PARAMETER, "Box must be four integers")
        left, top, right, bottom = box
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise RefusedError(BAD_PARAMETER, "Box lies outside the image")
    return image
