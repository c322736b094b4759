"""``MattingCore``: runs all stages on one image."""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.alpha import refine_alpha
from alphabeam.transforms.matting.box import BoxOutsideError, clip_box, keep_inside
from alphabeam.transforms.matting.calibration import Calibration, calibration_of
from alphabeam.transforms.matting.coarse import CoarseAlpha, coarse_alpha
from alphabeam.transforms.matting.components import drop_stray_components
from alphabeam.transforms.matting.evidence import Evidence, Looks, evidence_of, second_looks
from alphabeam.transforms.matting.foreground import straight_alpha
from alphabeam.transforms.matting.frame import seems_to_fill_the_frame
from alphabeam.transforms.matting.left_out import left_out_share
from alphabeam.transforms.matting.network import Predictor, load_model
from alphabeam.transforms.matting.own_alpha import (
    OWN_ALPHA,
    WHOLE,
    cut_out,
    kept_alpha,
    without_needless_alpha,
)
from alphabeam.transforms.matting.quality import (
    CONFIDENT,
    FLAGS,
    QUALITIES,
    Findings,
    Quality,
    confidence,
    flags,
    removed_share,
    solid_removed_share,
)
from alphabeam.transforms.matting.refiner import Refiner
from alphabeam.transforms.matting.shadow import add_shadow, find_shadow
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN, make_trimap
from alphabeam.transforms.parameters import Box, HairOptimization, MattingParameters
from alphabeam.transforms.pixels import composite_over, coverage_of, subject_box

__all__ = ["FLAGS", "BoxOutsideError", "Matte", "MattingCore"]

# Least width of the unknown band by hair_optimization, in the network's pixels: about the error of
# its outline. Wider bands were measured and gain nothing; see docs/matting.md.
_BAND = {"off": 2.0, "auto": 4.0, "on": 8.0}
_HAIRY = 0.5  # uncertain pixels per pixel of outline from which "auto" takes the band of "on"
# Alpha below or above these is set to 0 or 255: nobody sees the difference, and the files shrink.
# Measured against 5 and 250: benchmarks/matting.py composites, see docs/matting.md.
_CLEAR, _SOLID = 10, 245


@dataclass(frozen=True, slots=True)
class Matte:
    """The result for one image of H x W pixels.

    Attributes:
        alpha: uint8 HxW, 255 where the subject is opaque.
        rgba: uint8 HxWx4, straight alpha, with the foreground's own colours; colours are 0 where
            alpha is 0. None if only the mask was asked for.
        subject_box: Left, top, right, bottom in pixels of all that is visible, right and bottom
            exclusive; None if nothing is.
        coverage: Mean alpha, 0..1.
        confidence: How likely it is that the result is right, 0..1, if the network is calibrated;
            otherwise how decided it is.
        flags: What a person should check: some of :data:`FLAGS`, in that order.
        evidence: What the confidence is made of; None where the network is not calibrated, where
            nothing is visible, or where the picture came cut out.
        looks: More of it, of ``quality="thorough"``.
    """

    alpha: NDArray[np.uint8]
    rgba: NDArray[np.uint8] | None
    subject_box: Box | None
    coverage: float
    confidence: float
    flags: tuple[str, ...]
    evidence: Evidence | None = None
    looks: Looks | None = None


class MattingCore:
    """Removes backgrounds. Threads may share an instance; pickles hold no ONNX session.

    Args:
        model: ``catalogue`` (the embedded one), a path, or an object with ``predict``, such as
            :func:`load_model` returns. For public models' names and for URLs see
            `alphabeam.transforms.models.load_model`.
        sha256: Digest that the model's file must have.
        threads: Threads within one inference.
        device: Where a model runs that is given by name or path, one of `session.DEVICES`; that of
            an object is its own, if it has one. The refiner runs there too.
        quality: ``thorough`` looks at each picture twice more, mirrored and from farther away, for
            a surer confidence; the result is the same.
        calibration: What makes a confidence of the evidence; None for the one beside the model's
            file, if there is one.

    Attributes:
        network: The network.
        model_name: Its name.
        model_sha256: Hex digest of its file; empty if it has none.

    Raises:
        ModelError: The model cannot be loaded; see :func:`load_model`.
        ValueError: ``quality`` is neither ``fast`` nor ``thorough``.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Predictor = "catalogue",
        *,
        sha256: str | None = None,
        threads: int = 1,
        device: str = "cpu",
        quality: Quality = "fast",
        calibration: Calibration | None = None,
    ) -> None:
        if quality not in QUALITIES:
            raise ValueError(f"quality: {quality!r} is not one of {', '.join(QUALITIES)}")
        self.network: Predictor = (
            load_model(model, sha256=sha256, threads=threads, device=device)
            if isinstance(model, (str, os.PathLike))
            else model
        )
        self._refiner = Refiner(device=getattr(self.network, "device", device))
        self.model_name: str = getattr(self.network, "name", type(self.network).__name__)
        self.model_sha256: str = getattr(self.network, "sha256", "")
        self._quality = quality
        self._calibration = calibration or calibration_of(self.network)

    def remove(self, image: NDArray[np.uint8], params: MattingParameters | None = None) -> Matte:
        """Removes the background of one image.

        Args:
            image: uint8 HxWx3 RGB, or HxWx4 RGBA with straight alpha. What that alpha is for,
                ``params.own_alpha`` says; unless it is ignored, the result's is never above it.
            params: See :class:`MattingParameters`; None for the defaults.

        Returns:
            The result.

        Raises:
            TypeError: The image is not a uint8 array.
            ValueError: The image has another shape, or no pixels.
            BoxOutsideError: The box does not overlap the image.
            ModelError: The network failed.
        """
        params = params or MattingParameters()
        _check_image(image)
        image = without_needless_alpha(image, params)
        kept = kept_alpha(image, params)
        if kept is not None:
            return _as_it_comes(image, kept, params)
        rgb, own_alpha = _split_alpha(image)
        height, width = rgb.shape[:2]
        box = clip_box(params.box, (height, width))
        coarse = coarse_alpha(self.network, rgb, box)
        alpha, dropped = self._alpha(rgb, own_alpha, coarse, params)
        alpha = _limit(alpha, box, own_alpha)
        rgba = None if params.only_mask else straight_alpha(rgb, alpha)
        if rgba is not None and own_alpha is not None:
            # Where the input is translucent, its colours are the foreground's already.
            translucent = (own_alpha < 255) & (alpha > 0)
            rgba[translucent, :3] = image[translucent, :3]
        fills = seems_to_fill_the_frame(rgb, alpha)
        certainty, evidence, looks = self._confidence(rgb, alpha, coarse, fills=fills)
        answer, result = coarse.answer, coarse.reduced(alpha)
        removed, solid = removed_share(answer, result), solid_removed_share(answer, result)
        # What lies outside of a box, or is clear in the picture itself, was not left out; nor was
        # a mirror image, which has the product's colours.
        apart = params.box or own_alpha is not None or coarse.mirrored
        even = None if apart else coarse.background
        left, top, right, bottom = coarse.region
        left_out = coarse.doubted
        if even is not None:
            left_out = max(left_out, left_out_share(alpha[top:bottom, left:right], even))
        findings = Findings(
            dropped, removed, solid, left_out, coarse.mirrored, coarse.shadowed, fills
        )
        low = CONFIDENT if self._calibration is None else self._calibration.low
        found = flags(alpha, certainty, findings, low)
        if params.keep_shadow:
            shadow = _limit(find_shadow(rgb, alpha), box, own_alpha)
            alpha, rgba = add_shadow(alpha, rgba, shadow)
        coverage = coverage_of(alpha)
        return Matte(alpha, rgba, subject_box(alpha), coverage, certainty, found, evidence, looks)

    def _confidence(
        self, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], coarse: CoarseAlpha, *, fills: bool
    ) -> tuple[float, Evidence | None, Looks | None]:
        """The confidence, and what it is made of."""
        if self._calibration is None:
            decided = confidence(coarse.alpha)
            return (0.0 if fills and not alpha.any() else decided), None, None
        if not (alpha > 127).any():  # a picture of nothing has no right result
            return 0.0, None, None
        evidence = evidence_of(rgb, alpha, coarse)
        thorough = self._quality == "thorough"
        looks = second_looks(self.network, rgb, coarse) if thorough else None
        return self._calibration.confidence(evidence, looks), evidence, looks

    def _alpha(
        self,
        rgb: NDArray[np.uint8],
        own_alpha: NDArray[np.uint8] | None,
        coarse: CoarseAlpha,
        params: MattingParameters,
    ) -> tuple[NDArray[np.uint8], float]:
        """The subject's alpha, uint8 HxW, 0 everywhere if the network sees no subject.

        With it the area of dropped components, by the subject's.
        """
        if float(coarse.alpha.max()) <= 0.5:
            return np.zeros(rgb.shape[:2], np.uint8), 0.0
        full = coarse.full()
        hair: HairOptimization = params.hair_optimization
        if hair == "auto" and _hairiness(coarse.alpha) > _HAIRY:
            hair = "on"
        band = max(params.erode_size, round(_BAND[hair] * coarse.pixel))
        trimap = make_trimap(full, params.foreground_threshold, params.background_threshold, band)
        if own_alpha is not None:
            trimap[own_alpha == 0] = BACKGROUND
        if not (trimap == FOREGROUND).any():
            # The subject is thinner than the band: its most certain pixels become foreground.
            peak = int(full.max())
            trimap[(full >= max(peak - 5, 128)) & (trimap == UNKNOWN)] = FOREGROUND
        alpha = refine_alpha(rgb, trimap, coarse, refiner=self._refiner, solve=hair != "off")
        alpha, dropped = drop_stray_components(alpha, full, rgb)
        alpha[alpha < _CLEAR] = 0
        alpha[alpha > _SOLID] = 255
        return alpha, dropped


def _check_image(image: object) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"{image.dtype} array" if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"image: a uint8 array HxWx3 or HxWx4 is needed, got {kind}")
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
        raise ValueError(f"image: uint8 HxWx3 or HxWx4 is needed, got shape {image.shape}")


def _as_it_comes(
    image: NDArray[np.uint8], alpha: NDArray[np.uint8], params: MattingParameters
) -> Matte:
    """The result for a picture that is a cutout already, or all product."""
    rgba = None if params.only_mask else cut_out(image, alpha)
    certainty = 1.0 if alpha.any() else 0.0
    # Of a picture that is the product, no shape says anything.
    found = (*flags(alpha, certainty), OWN_ALPHA) if params.remove_background else (WHOLE,)
    return Matte(alpha, rgba, subject_box(alpha), coverage_of(alpha), certainty, found)


def _split_alpha(
    image: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """RGB, over white where the input is translucent, and the input's alpha if it has any."""
    if image.shape[2] == 3:
        return np.ascontiguousarray(image), None
    return composite_over(image), np.ascontiguousarray(image[..., 3])


def _limit(
    alpha: NDArray[np.uint8], box: Box | None, own_alpha: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """Alpha (uint8 HxW) set to 0 outside the box, and nowhere above the input's own."""
    if box is not None:
        alpha = keep_inside(alpha, box)
    return alpha if own_alpha is None else np.minimum(alpha, own_alpha)


def _hairiness(alpha: NDArray[np.float32]) -> float:
    """Uncertain pixels beyond an outline's usual blur, per pixel of outline.

    Args:
        alpha: float32 hxw, 0..1, at the network's resolution.
    """
    inside = (alpha > 0.5).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outline = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, cross)
    far = cv2.distanceTransform(1 - outline, cv2.DIST_L2, 3) > 2.5
    soft = (alpha > 0.1) & (alpha < 0.9) & far
    return float(np.count_nonzero(soft)) / max(cv2.countNonZero(outline) / 2, 1)
