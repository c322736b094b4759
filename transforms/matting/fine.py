"""A look at fine parts, one tile of the picture after another.

At some 400 pixels a network does not see a spoke or a wire of three pixels of the picture: it is
undecided about them, and about the gaps between them. In tiles of half the picture's sides it sees
them at twice the size. That costs four runs, so it is done for openwork only: where much of
the subject is thin.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.network import (
    Network,
    Predictor,
    intersection_over_union,
    outline_distance,
    pixel_side,
)

__all__ = ["look_at_fine_parts"]

_THIN = 2.5  # network's pixels from the outline, at most: what is thin
_OPENWORK = 0.25  # of the subject, at least, is thin
_GAIN = 1.95  # pixels of the picture for one of the network, at least: a tile is not enlarged
_TILE = 0.51  # of the picture's sides, two along each: they overlap a little
_FINER = 2  # times the resolution of the first look, at which a tile of half the sides is seen
_UNDECIDED = (0.05, 0.95)
_AROUND = np.ones((5, 5), np.uint8)  # the first look puts an outline up to two pixels beside itself
_SEAM = 0.1  # of a tile's shorter side: there its neighbour counts for more
_FIRST_SHARE = 0.1  # of the first look, where the tiles take away: it has seen the whole subject
_KEPT = 0.5  # of a component of the first look, at least: under it, the first look stays there
_REACH = np.ones((9, 9), np.uint8)  # as far as a component's soft outline goes
_AGREE = 0.8  # intersection over union of the two answers: under it, the first stays


def look_at_fine_parts(
    network: Predictor, rgb: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Looks again at what is undecided in openwork, at twice the resolution.

    Args:
        network: Looks again only if it is a `Network` that takes inputs of any size.
        rgb: uint8 HxWx3, RGB.
        alpha: float32 hxw, 0..1, the network's answer for it.

    Returns:
        float32 2h x 2w, 0..1: the tiles' answer where `alpha` is undecided, `alpha` elsewhere.
        `alpha` itself where the subject is no openwork, where the picture has no finer detail, or
        where the answers contradict each other.

    Raises:
        ModelError: An inference failed.
    """
    height, width = rgb.shape[:2]
    if not isinstance(network, Network) or not network.takes_any_size:
        return alpha
    if pixel_side(rgb.shape, alpha.shape) < _GAIN or not _is_openwork(alpha):
        return alpha
    h, w = (_FINER * side for side in alpha.shape)
    twice = cv2.resize(alpha, (w, h), interpolation=cv2.INTER_LINEAR)
    undecided = (twice > _UNDECIDED[0]) & (twice < _UNDECIDED[1])
    near = cv2.dilate(undecided.view(np.uint8), _AROUND).view(bool)
    total, weights = np.zeros_like(twice), np.zeros_like(twice)
    for top, bottom in _tiles(height):
        for left, right in _tiles(width):
            rows = slice(round(top * h / height), round(bottom * h / height))
            columns = slice(round(left * w / width), round(right * w / width))
            if not near[rows, columns].any():
                continue
            answer = network.infer(rgb[top:bottom, left:right], network.input_size)
            across, down = columns.stop - columns.start, rows.stop - rows.start
            answer = cv2.resize(answer, (across, down))
            weight = _window(down, across)
            total[rows, columns] += weight * answer
            weights[rows, columns] += weight
    seen: NDArray[np.float32] = twice.copy()
    first, tiles = twice[near], total[near] / weights[near]
    seen[near] = tiles + _FIRST_SHARE * np.maximum(first - tiles, 0)
    if intersection_over_union(twice, seen) < _AGREE:
        return alpha
    _keep_components(twice, seen)
    return seen


def _keep_components(first: NDArray[np.float32], again: NDArray[np.float32]) -> None:
    """Puts the first look back, in place, where the tiles lost most of a component.

    A tile shows a part of the picture: beside something larger it can take a whole product for
    background.
    """
    inside = (first > 0.5).astype(np.uint8)
    count, labels = cv2.connectedComponents(inside)
    size = np.bincount(labels.ravel(), minlength=count)
    kept = np.bincount(labels[again > 0.5], minlength=count)
    lost = kept < _KEPT * size
    lost[0] = False
    if lost.any():
        there = cv2.dilate(lost[labels].astype(np.uint8), _REACH).view(bool)
        again[there] = np.maximum(first[there], again[there])


def _is_openwork(alpha: NDArray[np.float32]) -> bool:
    inside = alpha > 0.5
    thin = inside & (outline_distance(alpha) <= _THIN)
    return bool(np.count_nonzero(thin) > _OPENWORK * np.count_nonzero(inside))


def _tiles(side: int) -> list[tuple[int, int]]:
    """First and last pixel (excluded) of the tiles along a side."""
    long = max(round(_TILE * side), 1)
    return [(at, at + long) for at in (0, side - long)]


def _window(height: int, width: int) -> NDArray[np.float32]:
    """Weights of a tile, float32, over 0 and at most 1: less at its sides."""
    rows, columns = (np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in (height, width))
    inward = np.minimum.outer(rows, columns) / np.float32(max(_SEAM * min(height, width), 1))
    window: NDArray[np.float32] = np.minimum(inward, 1).astype(np.float32)
    return window
