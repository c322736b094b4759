"""The one class that composes the steps: ``MattingCore(model).remove(image, params)``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.alpha import refine_alpha
from alphabeam.transforms.matting.coarse import CoarseAlpha, coarse_alpha
from alphabeam.transforms.matting.foreground import straight_alpha
from alphabeam.transforms.matting.islands import drop_islands
from alphabeam.transforms.matting.judgement import FLAGS, confidence, flags, subject_box
from alphabeam.transforms.matting.network import Predictor, load_model
from alphabeam.transforms.matting.refiner import Refiner
from alphabeam.transforms.matting.shadow import add_shadow, find_shadow
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN, make_trimap
from alphabeam.transforms.parameters import Box, MattingParameters

__all__ = ["FLAGS", "BoxOutsideError", "Matte", "MattingCore"]

# Width of the unknown band in the network's own pixels, which its outline is uncertain by; the
# parameter erode_size is the least.
_BAND = {"off": 2.0, "auto": 4.0, "on": 8.0}
_HAIRY = 0.5  # uncertain pixels per pixel of outline at which "auto" takes the wide band
# Alpha this near to clear or solid is noise that no eye sees, but that every file stores.
_CLEAR, _SOLID = 10, 245


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
        self._refiner = Refiner()
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
        coarse = coarse_alpha(self.network, rgb, box)
        sure = confidence(coarse.alpha)
        if float(coarse.alpha.max()) <= 0.5:
            alpha = np.zeros(shape, np.uint8)
        else:
            alpha = self._alpha(rgb, own, coarse, params)
            if box is not None:
                alpha = _only_inside(alpha, box)
            if own is not None:
                alpha = np.minimum(alpha, own)
        rgba = None if params.only_mask else straight_alpha(rgb, alpha)
        if rgba is not None and own is not None:
            given = (own < 255) & (alpha > 0)  # the input says these colours itself
            rgba[given, :3] = image[given, :3]
        found = flags(alpha, sure)
        if params.keep_shadow:
            shadow = find_shadow(rgb, alpha)
            if own is not None:
                shadow = np.minimum(shadow, own)
            if box is not None:
                shadow = _only_inside(shadow, box)
            alpha, rgba = add_shadow(alpha, rgba, shadow)
        coverage = float(cv2.mean(alpha)[0]) / 255
        return Matte(alpha, rgba, subject_box(alpha), coverage, sure, found)

    def _alpha(
        self,
        rgb: NDArray[np.uint8],
        own: NDArray[np.uint8] | None,
        coarse: CoarseAlpha,
        params: MattingParameters,
    ) -> NDArray[np.uint8]:
        """The subject's alpha, uint8 HxW."""
        full = coarse.full()
        hair = params.hair_optimization
        if hair == "auto" and _hairiness(coarse.alpha) > _HAIRY:
            hair = "on"
        band = max(params.erode_size, round(_BAND[hair] * coarse.pixel))
        trimap = make_trimap(full, params.foreground_threshold, params.background_threshold, band)
        if own is not None:
            trimap[own == 0] = BACKGROUND
        if not (trimap == FOREGROUND).any():
            # A subject thinner than the band: its brightest parts stand for it.
            peak = int(full.max())
            trimap[(full >= max(peak - 5, 128)) & (trimap == UNKNOWN)] = FOREGROUND
        alpha = refine_alpha(rgb, trimap, coarse, refiner=self._refiner, solve=hair != "off")
        alpha = drop_islands(alpha, full)
        alpha[alpha < _CLEAR] = 0
        alpha[alpha > _SOLID] = 255
        return alpha


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


def _hairiness(alpha: NDArray[np.float32]) -> float:
    """Uncertain pixels beyond the usual blur of an outline, per pixel of outline."""
    inside = (alpha > 0.5).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outline = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, cross)
    far = cv2.distanceTransform(1 - outline, cv2.DIST_L2, 3) > 2.5
    soft = (alpha > 0.1) & (alpha < 0.9) & far
    return float(np.count_nonzero(soft)) / max(cv2.countNonZero(outline) / 2, 1)
