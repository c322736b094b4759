"""The one class that composes the steps: ``MattingCore(model).remove(image, params)``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from transforms.matting.alpha import refine_alpha
from transforms.matting.coarse import coarse_alpha, upsample
from transforms.matting.foreground import straight_alpha
from transforms.matting.network import Predictor, load_model
from transforms.matting.trimap import make_trimap
from transforms.parameters import Box, MattingParameters

__all__ = ["FLAGS", "BoxOutsideError", "MattingCore", "Matte"]

FLAGS = (
    "empty",
    "nearly_empty",
    "touches_border",
    "several_subjects",
    "low_confidence",
    "very_soft",
    "tiny_subject",
)


class BoxOutsideError(ValueError):
    """The box does not overlap the picture."""


@dataclass(frozen=True, slots=True)
class Matte:
    """What the core found in one image.

    Attributes:
        alpha: uint8 HxW, 255 where the subject is solid.
        rgba: uint8 HxWx4, straight alpha, colours freed from the ground's spill and 0 under
            alpha 0; None if only the mask was asked for.
        subject_box: Left, top, right, bottom of all that is visible, right and bottom
            exclusive; None if nothing is.
        coverage: Mean alpha, 0..1.
        confidence: How sure the network is of what it took for the subject, 0..1.
        flags: What a person should look at, of :data:`FLAGS`, in that order.
    """

    alpha: NDArray[np.uint8]
    rgba: NDArray[np.uint8] | None
    subject_box: Box | None
    coverage: float
    confidence: float
    flags: tuple[str, ...]


class MattingCore:
    """Removes backgrounds. May be shared by threads; pickles without its session.

    Args:
        model: A registry name, a path, a URL, or anything with ``predict`` such as
            :func:`load_model` gives.
        sha256: Digest that the model's file must have.
        threads: Threads within one inference.
        cache: Folder for downloaded models.
        accept_license: Needed for models whose licence forbids commercial use.

    Attributes:
        network: The network.
        model_name: Its name.
        model_sha256: Hex digest of its file; empty if it has none.

    Raises:
        ModelError: The model cannot be had; see :func:`load_model`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Predictor = "catalogue",
        *,
        sha256: str | None = None,
        threads: int = 1,
        cache: str | os.PathLike[str] | None = None,
        accept_license: bool = False,
    ) -> None:
        self.network: Predictor = (
            load_model(
                model, sha256=sha256, threads=threads, cache=cache, accept_license=accept_license
            )
            if isinstance(model, (str, os.PathLike))
            else model
        )
        self.model_name: str = getattr(self.network, "name", type(self.network).__name__)
        self.model_sha256: str = getattr(self.network, "sha256", "")

    def remove(self, image: NDArray[np.uint8], params: MattingParameters | None = None) -> Matte:
        """Remove the background of one image.

        Args:
            image: uint8 HxWx3 RGB, or HxWx4 RGBA with straight alpha. An input's own alpha is
                honoured: what is transparent stays so.
            params: See :class:`MattingParameters`; None for the defaults.

        Returns:
            The matte.

        Raises:
            TypeError: The image is no uint8 array.
            ValueError: The image has another shape, or no pixels.
            BoxOutsideError: The box does not overlap the picture.
            ModelError: The network failed.
        """
        params = params or MattingParameters()
        rgb, own = _split(image)
        shape = rgb.shape[:2]
        box = _clip_box(params.box, shape)
        coarse, region = coarse_alpha(self.network, rgb, box)
        full = upsample(coarse, region, shape)
        scale = max(region[2] - region[0], region[3] - region[1]) / max(coarse.shape)
        band = max(params.erode_size, round(4 * scale)) if scale > 1 else params.erode_size
        trimap = make_trimap(full, params.foreground_threshold, params.background_threshold, band)
        alpha = refine_alpha(rgb, trimap, full, solve=params.hair_optimization != "off")
        if box is not None:
            alpha = _only_inside(alpha, box)
        if own is not None:
            alpha = np.minimum(alpha, own)
        rgba = None if params.only_mask else straight_alpha(rgb, alpha)
        return _judge(alpha, rgba, coarse)


def _split(image: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"{image.dtype} array" if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"image: a uint8 array HxWx3 or HxWx4 is needed, got {kind}")
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
        raise ValueError(f"image: uint8 HxWx3 or HxWx4 is needed, got shape {image.shape}")
    if image.shape[2] == 3:
        return np.ascontiguousarray(image), None
    own = np.ascontiguousarray(image[..., 3])
    rgb = np.ascontiguousarray(image[..., :3])
    if int(own.min()) == 255:
        return rgb, None
    weight = own[..., None].astype(np.uint16)
    over_white = (rgb * weight + 255 * (255 - weight) + 127) // 255
    return over_white.astype(np.uint8), own


def _clip_box(box: Box | None, shape: tuple[int, ...]) -> Box | None:
    if box is None:
        return None
    height, width = shape
    left, top, right, bottom = box[0], box[1], min(box[2], width), min(box[3], height)
    if left >= right or top >= bottom:
        raise BoxOutsideError(f"box: {box!r} lies outside the picture of {width}x{height} pixels")
    return left, top, right, bottom


def _only_inside(alpha: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    out = np.zeros_like(alpha)
    out[top:bottom, left:right] = alpha[top:bottom, left:right]
    return out


def _judge(
    alpha: NDArray[np.uint8], rgba: NDArray[np.uint8] | None, coarse: NDArray[np.float32]
) -> Matte:
    left, top, width, height = cv2.boundingRect(alpha)
    box = (left, top, left + width, top + height) if width else None
    coverage = float(cv2.mean(alpha)[0]) / 255
    weight = float(coarse.sum(dtype=np.float64))
    confidence = (
        float((coarse * np.abs(2 * coarse - 1)).sum(dtype=np.float64)) / weight
        if weight > 0
        else 1.0
    )
    flags = ["empty"] if box is None else []
    return Matte(alpha, rgba, box, coverage, confidence, tuple(flags))
