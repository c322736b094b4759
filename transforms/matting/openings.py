"""Openings that a network sees in the subject by mistake.

A pale patch of the subject, tea in a mug, or a highlight can look like an opening to a small
network. Through a true opening the background is visible, in light or in shadow, so the patch's
colour is compared with the known background's.

Measured: benchmarks/matting.py composites, and held-out renders; see docs/matting.md, "What was
tried". Areas are in pixels of the network, colours in RGB of 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.background_colour import distance_to_background
from alphabeam.transforms.matting.components import components_of, touches_frame
from alphabeam.transforms.matting.pushpull import push_pull

__all__ = ["close_false_openings"]

_OPEN = 0.6  # alpha below it belongs to a patch that may be an opening
_VISIBLE = 0.05  # alpha above it belongs to the subject or its soft edge

# A large patch is closed if its colour is farther than this from all known background colours.
_LARGE_AREA = 12  # at least
_LARGE_DISTANCE = 0.08
_SURELY_OPEN = 0.05  # with a mean alpha below it, the network is believed

# A small patch may be a highlight, and a highlight may have the colour of some background. It is
# compared with the background nearest to it, which may be that much darker or brighter.
_SMALL_AREA = (3, 64)  # at least, at most
_SMALL_DISTANCE = 0.05
_SMALL_SHADE = (0.65, 1.1)
_DOUBTED = 0.2  # mean alpha at least: below, the network is believed

_SAMPLES = 400  # background colours compared with at most


@dataclass(frozen=True)
class _Patches:
    """Connected patches of low alpha, as OpenCV labels them, and which of them are in doubt."""

    labels: NDArray[np.int32]
    stats: NDArray[np.int32]
    outside: NDArray[np.bool_]  # touches the frame: the background, and never closed
    large: NDArray[np.bool_]
    small: NDArray[np.bool_]

    @property
    def doubted(self) -> NDArray[np.bool_]:
        doubted: NDArray[np.bool_] = (self.large | self.small) & ~self.outside
        doubted[0] = False  # label 0 is the subject
        return doubted


def close_false_openings(alpha: NDArray[np.float32], picture: NDArray[np.uint8]) -> None:
    """Sets alpha to 1, in place, in enclosed patches that do not show the background.

    Args:
        alpha: float32 hxw, 0..1, the network's alpha; changed in place.
        picture: uint8 hxwx3, what it saw, at its resolution.
    """
    patches = _find_patches(alpha)
    doubted = patches.doubted
    if not doubted.any():
        return
    colours = picture.astype(np.float32) * np.float32(1 / 255)
    # Only away from the subject: between its hairs all mixtures with the background occur.
    near = cv2.dilate((alpha > _VISIBLE).view(np.uint8), np.ones((9, 9), np.uint8))
    background = (near == 0) & patches.outside[patches.labels]
    if not background.any():
        return
    samples = colours[background]
    samples = samples[:: max(len(samples) // _SAMPLES, 1)].T
    fill = push_pull(colours, background.astype(np.float32))
    for k in np.flatnonzero(doubted):
        x, y, w, h, _ = patches.stats[k]
        here = np.s_[y : y + h, x : x + w]
        patch = patches.labels[here] == k
        # The half of the patch with the lower alpha: its edge is mixed with the subject.
        middle = patch.copy()
        values = alpha[here][patch]
        middle[patch] = values <= np.median(values)
        colour = np.median(colours[here][middle], axis=0)[:, None]
        is_subject = False
        if patches.large[k]:
            is_subject = bool(distance_to_background(colour, samples).min() > _LARGE_DISTANCE)
        if patches.small[k]:
            beside = fill[here][middle].mean(axis=0)[:, None]
            distance = distance_to_background(colour, beside, _SMALL_SHADE)[0]
            is_subject |= bool(distance > _SMALL_DISTANCE)
        if is_subject:
            alpha[here][patch] = 1


def _find_patches(alpha: NDArray[np.float32]) -> _Patches:
    count, labels, stats = components_of((alpha < _OPEN).view(np.uint8), connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    total = np.bincount(labels.ravel(), weights=alpha.ravel(), minlength=count)
    mean = total / np.maximum(area, 1)
    return _Patches(
        labels,
        stats,
        outside=touches_frame(stats, alpha.shape),
        large=(area >= _LARGE_AREA) & (mean >= _SURELY_OPEN),
        small=(area >= _SMALL_AREA[0]) & (area <= _SMALL_AREA[1]) & (mean >= _DOUBTED),
    )
