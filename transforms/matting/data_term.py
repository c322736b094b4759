"""The data term of closed-form matting: which alpha each unknown pixel is drawn to, and how much.

Closed-form matting (Levin et al. 2008) minimises ``a' L a + lambda (a - b)' D (a - b)``, where D
selects the scribbles. Here the known pixels are hard constraints, and D holds soft ones for the
unknown pixels, from three sources:

1. the colour prior, as far as it is certain;
2. the network's decision, away from its outline, as far as it is decided;
3. alpha 1 where a colour is foreign to an even background and the network suspects the subject.

The second is reduced where a pixel has the background's own colour, since a network cannot resolve
narrow gaps, unless the network is almost certain (then it may be glass).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.background_colour import (
    foreign_to_background,
    matches_background,
)
from alphabeam.transforms.matting.coarse import CoarseAlpha, Grid
from alphabeam.transforms.matting.prior import ColourPrior
from alphabeam.transforms.matting.ramp import ramp

__all__ = ["DataTerm", "data_term"]

# Weights of the three sources. A pixel's row of the matting Laplacian has a diagonal of the order
# of 1. Tuned together; the gain of each source is in docs/matting.md, "What was tried".
_COLOUR_WEIGHT = np.float32(0.01)
_NETWORK_WEIGHT = np.float32(0.05)
_FOREIGN_WEIGHT = np.float32(0.02)

# All of the following are ramps over the network's alpha.
_SUSPECTED = (0.1, 0.3)  # it begins to suspect the subject
# It is so certain of the subject that even the background's own colour is overruled,
_CERTAIN = (0.95, 0.99)
# also in areas wider than a gap that it might have blurred away.
_CERTAIN_IN_WIDE_AREAS = (0.6, 0.8)
_GAP = 8  # width of such a gap, in the network's pixels


@dataclass(frozen=True)
class DataTerm:
    """Soft constraints for the unknown pixels, of which there are n, in row order.

    Attributes:
        target: float32 n, 0..1, the alpha that each pixel is drawn to.
        weight: float32 n, at least 0: the diagonal of ``lambda D``.
        network: float32 n, 0..1, the network's alpha, or 0.5 without a network.
    """

    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    network: NDArray[np.float32]

    def initial(self) -> NDArray[np.float32]:
        """A starting point for the solver, float32 n: between network and target, by weight."""
        certainty = np.minimum(self.weight / _COLOUR_WEIGHT, 1)
        start: NDArray[np.float32] = self.network + certainty * (self.target - self.network)
        return start


def data_term(
    image: NDArray[np.float32],
    trimap: NDArray[np.uint8],
    unknown: NDArray[np.bool_],
    prior: ColourPrior,
    coarse: CoarseAlpha | None,
    grid: Grid,
) -> DataTerm:
    """Combines the three sources.

    Args:
        image: float32 HxWx3, 0..1.
        trimap: uint8 HxW.
        unknown: bool HxW, where the trimap is unknown; n pixels.
        prior: The colour prior of the same.
        coarse: The network's alpha; None to use the colour prior alone.
        grid: Where this level's pixels lie in the whole image.

    Returns:
        The data term.
    """
    colour_weight = _COLOUR_WEIGHT * prior.certainty
    if coarse is None:
        half = np.full(prior.alpha.shape, 0.5, np.float32)
        return DataTerm(prior.alpha, colour_weight, half)
    network = coarse.sample(coarse.alpha, *grid, unknown.shape)[unknown]
    is_subject = network > 0.5
    network_weight = coarse.sample(coarse.trust, *grid, unknown.shape)[unknown] * _NETWORK_WEIGHT
    same = matches_background(image, unknown, prior)
    gap = round(_GAP * coarse.pixel / grid.step) + 1
    wide = _in_squares(same > 0.5, unknown, gap)
    certain = np.where(wide, ramp(network, *_CERTAIN_IN_WIDE_AREAS), ramp(network, *_CERTAIN))
    network_weight *= 1 - (1 - certain) * is_subject * same
    foreign_weight = foreign_to_background(image, trimap, unknown, prior)
    foreign_weight *= ramp(network, *_SUSPECTED) * _FOREIGN_WEIGHT
    weight = colour_weight + network_weight + foreign_weight
    # The weighted mean of the three targets: prior.alpha, is_subject and 1.
    target = colour_weight * prior.alpha + network_weight * is_subject + foreign_weight
    target /= np.maximum(weight, np.float32(1e-9))
    return DataTerm(target, weight, network)


def _in_squares(
    chosen: NDArray[np.bool_], unknown: NDArray[np.bool_], side: int
) -> NDArray[np.bool_]:
    """Which of the chosen unknown pixels lie in a square of ``side`` such pixels, bool n."""
    plane = np.zeros(unknown.shape, np.uint8)
    plane[unknown] = chosen
    square = np.ones((side, side), np.uint8)
    inside: NDArray[np.bool_] = cv2.morphologyEx(plane, cv2.MORPH_OPEN, square)[unknown] > 0
    return inside
