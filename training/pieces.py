"""What training pictures are made of: cut-outs, whole pictures, and the bank that holds them.

Colours are BGR uint8, alphas float32 in 0..1 unless it says otherwise.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import cv2
import numpy as np

__all__ = ["Bank", "Cutout", "Picture", "Rng", "bleed", "draw_from"]

Rng = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Cutout:
    """A subject without its background.

    Attributes:
        levels: The subject as H x W x 4 uint8 BGRA (straight alpha, colours bled outwards), then
            the same halved.
        shadow: The shadow that it throws onto what it stands on, h x w uint8, at the size of the
            second level; None where it is not known.
        origin: Where the first level's corner lies in the shadow's frame, x and y, in pixels of
            the first level.
    """

    levels: tuple[np.ndarray, ...]
    shadow: np.ndarray | None = None
    origin: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def make(
        cls,
        bgr: np.ndarray,
        alpha: np.ndarray,
        size: int = 448,
        shadow: np.ndarray | None = None,
    ) -> Cutout | None:
        """Cuts the subject out of `bgr`, at most `size` pixels long; None where there is none.

        Args:
            bgr: H x W x 3 uint8.
            alpha: H x W float32 in 0..1.
            size: Longer side of the result, pixels.
            shadow: H x W uint8, its shadow, if known.
        """
        x, y, w, h = cv2.boundingRect((alpha > 0.1).astype(np.uint8))
        if min(w, h) < 8:
            return None
        bgr, alpha = bgr[y : y + h, x : x + w], alpha[y : y + h, x : x + w]
        bgra = np.dstack([bleed(bgr, alpha), np.rint(alpha * 255).astype(np.uint8)])
        # A clear frame, so that sampling beyond the border finds alpha 0 - unless the subject
        # itself runs out of the picture, which looks the same as an object with a straight edge.
        bgra = cv2.copyMakeBorder(bgra, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
        bgra[:2, :, 3] = bgra[-2:, :, 3] = bgra[:, :2, 3] = bgra[:, -2:, 3] = 0
        k = size / max(w, h)
        if k < 1:
            bgra = cv2.resize(bgra, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
        half = cv2.resize(bgra, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        if shadow is None:
            return cls((bgra, half))
        k = min(k, 1)
        shadow = cv2.resize(shadow, None, fx=k / 2, fy=k / 2, interpolation=cv2.INTER_AREA)
        return cls((bgra, half), shadow, ((x - 2) * k, (y - 2) * k))


@dataclasses.dataclass(frozen=True)
class Picture:
    """A whole photo or render with its truth.

    Attributes:
        bgr: H x W x 3 uint8.
        alpha: H x W uint8.
        trust: H x W uint8, how far `alpha` is to be believed; None where it is exact.
    """

    bgr: np.ndarray
    alpha: np.ndarray
    trust: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Bank:
    """What samples are made of; each entry of a dict is a pool that is drawn from by weight."""

    cutouts: dict[str, list[Cutout]]
    pictures: dict[str, list[Picture]]
    textures: list[np.ndarray]
    scenes: list[np.ndarray]
    empties: list[np.ndarray]


_AMPLE = 60
_Piece = TypeVar("_Piece")


def draw_from(rng: Rng, pools: dict[str, list[_Piece]], weights: dict[str, float]) -> _Piece:
    """Draws a pool by weight, then one of its entries; of a small pool less is seen."""
    names = [name for name in weights if pools.get(name)]
    p = np.array([weights[name] * min(len(pools[name]) / _AMPLE, 1) for name in names])
    pool = pools[names[rng.choice(len(names), p=p / p.sum())]]
    return pool[rng.integers(len(pool))]


def bleed(bgr: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Spreads the subject's sure colours outwards, which takes the old background out of the edge.

    Args:
        bgr: H x W x 3 uint8.
        alpha: H x W float32 in 0..1.

    Returns:
        H x W x 3 uint8, equal to `bgr` where alpha is above 0.97.
    """
    sure = (alpha > 0.97).astype(np.float32)
    inner = cv2.erode(sure, np.ones((3, 3), np.uint8))
    known = inner if inner.sum() > 0.5 * sure.sum() else sure
    out = np.zeros(bgr.shape, np.float32)
    missing = np.ones(alpha.shape, np.float32)
    colours = bgr * known[..., None]
    h, w = alpha.shape
    for step in (1, 4, 16, 64):  # coarser and coarser, where nothing nearer is known
        small = (-(-w // step), -(-h // step))
        weight, fill = (
            cv2.resize(
                cv2.GaussianBlur(
                    cv2.resize(plane, small, interpolation=cv2.INTER_AREA), (0, 0), 1.5
                ),
                (w, h),
                interpolation=cv2.INTER_LINEAR,
            )
            for plane in (known, colours)
        )
        fill /= np.maximum(weight, 1e-6)[..., None]
        take = missing * np.minimum(weight * 20, 1)
        out += fill * take[..., None]
        missing -= take
    out += missing[..., None] * bgr
    out = np.where(known[..., None] > 0, bgr, out)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)
