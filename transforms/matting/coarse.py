"""The network's alpha, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.islands import cut_by_frame
from alphabeam.transforms.matting.network import Predictor, outline_distance
from alphabeam.transforms.matting.prior import off_ground
from alphabeam.transforms.matting.pushpull import push_pull
from alphabeam.transforms.parameters import Box

__all__ = ["CoarseAlpha", "coarse_alpha"]

# A network is trained on whole pictures: it wants some ground around the object. A tenth of the
# box's side is what product photos have around their subject.
_BOX_MARGIN = 0.1
# The outline that a network draws is off by a pixel or two of its own: nearer than the first
# distance to it nothing is trusted, farther than the second all.
_TRUST_FROM, _TRUST_TO = 0.5, 2.5
_ASTRIDE = 0.3  # share of an object beyond the box's edge that makes it a neighbour
# An opening in the subject must show ground: some known colour of it, in light or in shadow, that
# misses the opening's by less than this (colours in 0..1).
_GROUND_MISS = 0.08
_GROUND_SAMPLES = 400
_OPENING = 12  # pixels of the network at least
_SURELY_OPEN = 0.05  # mean alpha under which the network is believed
# Of a small one that is doubted, which may be a highlight, more is asked: the very ground around
# it, at most so much darker or brighter.
_SMALL = (3, 64)  # pixels of the network
_DOUBTED = 0.2  # mean alpha at least
_BESIDE_MISS = 0.05
_THROUGH = (0.65, 1.1)


@dataclass(frozen=True)
class CoarseAlpha:
    """What the network saw.

    Attributes:
        alpha: float32 hxw, 0..1, at the network's resolution.
        region: The part of the image that it covers; all else is background.
        shape: Height and width of the image.
    """

    alpha: NDArray[np.float32]
    region: Box
    shape: tuple[int, int]

    @property
    def pixel(self) -> float:
        """Side of one of the network's pixels, in pixels of the image."""
        left, top, right, bottom = self.region
        return max((right - left) / self.alpha.shape[1], (bottom - top) / self.alpha.shape[0])

    def full(self) -> NDArray[np.uint8]:
        """Alpha at the size of the image, uint8 HxW."""
        small = np.rint(self.alpha * np.float32(255)).astype(np.uint8)
        left, top, right, bottom = self.region
        size = (right - left, bottom - top)
        shrinks = size[0] <= small.shape[1] and size[1] <= small.shape[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        full = cv2.resize(small, size, interpolation=how)
        if size == (self.shape[1], self.shape[0]):
            return full
        out = np.zeros(self.shape, np.uint8)
        out[top:bottom, left:right] = full
        return out

    def trust(self) -> NDArray[np.float32]:
        """How far the network's decision, subject or not, holds: float32 hxw, 0..1.

        Nothing at its outline, which it draws roughly; away from it, as much as its alpha is
        decided.
        """
        away = (outline_distance(self.alpha) - (0.5 + _TRUST_FROM)) / (_TRUST_TO - _TRUST_FROM)
        weight: NDArray[np.float32] = np.clip(away, 0, 1) * np.abs(2 * self.alpha - 1) ** 3
        return weight.astype(np.float32)

    def sample(
        self, plane: NDArray[np.float32], left: int, top: int, step: int, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Sample a plane of the network's resolution on a grid of the image.

        Args:
            plane: float32 hxw, such as :attr:`alpha`.
            left: First column of the image that the grid covers.
            top: First row.
            step: Pixels of the image per grid cell.
            size: Height and width of the grid.

        Returns:
            float32 of that size, 0 outside the region.
        """
        x0, y0, x1, y1 = self.region
        fx, fy = plane.shape[1] / (x1 - x0), plane.shape[0] / (y1 - y0)
        # Centre of grid cell i: image coordinate left + (i + 1/2) step, pixel edges at integers.
        grid = np.array(
            [
                [fx * step, 0, fx * (left + step / 2 - x0) - 0.5],
                [0, fy * step, fy * (top + step / 2 - y0) - 0.5],
            ],
            np.float64,
        )
        inner = cv2.warpAffine(
            plane,
            grid,
            (size[1], size[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        columns = left + (np.arange(size[1]) + 0.5) * step
        rows = top + (np.arange(size[0]) + 0.5) * step
        inner[(rows < y0) | (rows > y1)] = 0
        inner[:, (columns < x0) | (columns > x1)] = 0
        return inner


def coarse_alpha(network: Predictor, rgb: NDArray[np.uint8], box: Box | None = None) -> CoarseAlpha:
    """Run the network on the picture, or on the neighbourhood of the box.

    Args:
        network: Anything with ``predict``.
        rgb: uint8 HxWx3.
        box: Where the subject is, inside the picture; None for the whole picture.

    Returns:
        The coarse alpha.

    Raises:
        ValueError: The network gave something that is no alpha.
    """
    height, width = rgb.shape[:2]
    left, top, right, bottom = box or (0, 0, width, height)
    if box is not None:
        mx, my = round((right - left) * _BOX_MARGIN), round((bottom - top) * _BOX_MARGIN)
        left, top = max(left - mx, 0), max(top - my, 0)
        right, bottom = min(right + mx, width), min(bottom + my, height)
    seen = np.ascontiguousarray(rgb[top:bottom, left:right])
    alpha = np.asarray(network.predict(seen))
    if alpha.ndim != 2 or alpha.size == 0:
        raise ValueError(f"the network gave an alpha of shape {alpha.shape}; HxW is needed")
    if alpha.dtype == np.uint8:
        alpha = alpha.astype(np.float32) * np.float32(1 / 255)
    alpha = np.clip(np.nan_to_num(alpha.astype(np.float32, copy=False)), 0, 1)
    _close_false_openings(alpha, seen)
    coarse = CoarseAlpha(np.ascontiguousarray(alpha), (left, top, right, bottom), (height, width))
    if box is not None:
        _drop_neighbours(coarse, box)
    return coarse


def _close_false_openings(alpha: NDArray[np.float32], rgb: NDArray[np.uint8]) -> None:
    """Make subject of enclosed patches that the network wavers over and that show no ground.

    A pale paw on a bear, tea in a mug or a highlight looks to a small network like an opening.
    Through a true one the ground is seen, in light or in shadow.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (alpha < 0.6).view(np.uint8), connectivity=4
    )
    outside = cut_by_frame(stats, alpha.shape)
    area = stats[:, cv2.CC_STAT_AREA]
    total = np.bincount(labels.ravel(), weights=alpha.ravel(), minlength=count)
    mean = total / np.maximum(area, 1)
    large = (area >= _OPENING) & (mean >= _SURELY_OPEN)
    small = (area >= _SMALL[0]) & (area <= _SMALL[1]) & (mean >= _DOUBTED)
    doubted = (large | small) & ~outside
    doubted[0] = False  # what is no patch
    if not doubted.any():
        return
    height, width = alpha.shape
    colours = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    colours = colours.astype(np.float32) * np.float32(1 / 255)
    # Away from the subject: between its hairs there are all mixtures of it and the ground.
    near = cv2.dilate((alpha > 0.05).view(np.uint8), np.ones((9, 9), np.uint8))
    seen = (near == 0) & outside[labels]
    if not seen.any():
        return
    everywhere = colours[seen]
    everywhere = everywhere[:: max(len(everywhere) // _GROUND_SAMPLES, 1)].T
    around = push_pull(colours, seen.astype(np.float32))
    for k in np.flatnonzero(doubted):
        x, y, w, h, _ = stats[k]
        here = np.s_[y : y + h, x : x + w]
        patch = labels[here] == k
        said = alpha[here][patch]
        middle = patch.copy()
        middle[patch] = said <= np.median(said)
        colour = np.median(colours[here][middle], axis=0)[:, None]
        foreign = False
        if large[k]:
            foreign = off_ground(colour, everywhere).min() > _GROUND_MISS
        if small[k]:
            beside = around[here][middle].mean(axis=0)[:, None]
            foreign |= off_ground(colour, beside, _THROUGH)[0] > _BESIDE_MISS
        if foreign:
            alpha[here][patch] = 1


def _drop_neighbours(coarse: CoarseAlpha, box: Box) -> None:
    """Clear what reaches into the box from outside: the margin shows where it belongs.

    What lies most in the box always stays, however far it reaches out.
    """
    visible = (coarse.alpha > 0.5).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(visible, connectivity=8)
    if count <= 2:
        return
    height, width = coarse.alpha.shape
    x0, y0, x1, y1 = coarse.region
    fx, fy = width / (x1 - x0), height / (y1 - y0)
    rows = slice(round((box[1] - y0) * fy), round((box[3] - y0) * fy))
    columns = slice(round((box[0] - x0) * fx), round((box[2] - x0) * fx))
    inside = np.bincount(labels[rows, columns].ravel(), minlength=count)
    neighbour = inside < (1 - _ASTRIDE) * stats[:, cv2.CC_STAT_AREA]
    neighbour[[0, 1 + int(inside[1:].argmax())]] = False
    if not neighbour.any():
        return
    gone = neighbour[labels].view(np.uint8)
    kept = visible & (1 - gone)
    # Its blurred rim goes with it, but none of what stays.
    rim = cv2.dilate(gone, np.ones((9, 9), np.uint8)) & (
        1 - cv2.dilate(kept, np.ones((5, 5), np.uint8))
    )
    coarse.alpha[(gone | rim) > 0] = 0
