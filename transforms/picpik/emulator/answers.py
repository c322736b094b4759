"""What the emulator makes of an image: functions of the picture and the request's parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from alphabeam.transforms.parameters import MattingParameters

__all__ = ["Answerer", "core_answer", "cut_by_colour", "decode_rgb", "encode_png"]

# The uploaded bytes and the request's parameters -> the result's bytes.
Answerer = Callable[[bytes, Mapping[str, Any]], bytes]


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG of grey (H x W), RGB or RGBA pixels, uint8."""
    if pixels.ndim == 3:
        to_bgr = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
        pixels = cv2.cvtColor(pixels, to_bgr)
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return data.tobytes()


def decode_rgb(image: bytes) -> np.ndarray:
    """The upright picture, uint8, H x W x 3."""
    bgr = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("not an image")
    rgb: np.ndarray = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def cut_by_colour(image: bytes, params: Mapping[str, Any]) -> bytes:
    """The default: alpha is the distance from the border's mean colour. Crude, but an answer."""
    rgb = decode_rgb(image)
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]).mean(axis=0)
    distance = np.linalg.norm(rgb.astype(np.float32) - border, axis=2)
    alpha = np.clip((distance - 20) * 6, 0, 255).astype(np.uint8)
    if "Box" in params:
        left, top, right, bottom = params["Box"]
        outside = np.ones(alpha.shape, bool)
        outside[top:bottom, left:right] = False
        alpha[outside] = 0
    if params.get("OnlyMask", False):
        return encode_png(alpha)
    return encode_png(np.dstack([rgb, alpha]))


def core_answer(
    remove: Callable[[np.ndarray, MattingParameters], Any],
    decode: Callable[[bytes], np.ndarray] = decode_rgb,
) -> Answerer:
    """Answers with a matting core.

    Args:
        remove: Its ``remove``: upright pixels, uint8, H x W x 3, and parameters to a value with
            ``alpha`` and ``rgba``.
        decode: Decodes the upload.
    """

    def answer(image: bytes, params: Mapping[str, Any]) -> bytes:
        box = params.get("Box")
        wanted = MattingParameters(
            box=None if box is None else tuple(box),
            erode_size=params.get("ErodeSize", 15),
            foreground_threshold=params.get("ForegroundThreshold", 240),
            background_threshold=params.get("BackgroundThreshold", 15),
            hair_optimization=params.get("HairOptimization", "auto"),
            only_mask=params.get("OnlyMask", False),
        )
        matte = remove(decode(image), wanted)
        return encode_png(matte.alpha if matte.rgba is None else matte.rgba)

    return answer
