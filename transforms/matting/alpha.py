"""Trimap to alpha: solve where it is small, then go up with the picture as guide.

The picture and the trimap are halved until the unknown band is small enough to be solved; there
closed-form matting runs in the band, tied to what colours and network say. Going up, alpha is
doubled with the picture as its guide, solved once more while the band is small, and mended by the
learned refiner on the finest level that is sharp and whose band is not too large for it. So the
cost grows with the band, and hardly with the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.coarse import CoarseAlpha
from alphabeam.transforms.matting.guided import TILE, upsample_guided, upsample_guided_u8
from alphabeam.transforms.matting.laplacian import solve_band
from alphabeam.transforms.matting.prior import (
    ColourPrior,
    colour_prior,
    foreign_to_ground,
    ramp,
    same_as_ground,
)
from alphabeam.transforms.matting.refiner import Refiner
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN

__all__ = ["Bands", "refine_alpha"]

_FIRST_STEPS = 64
_NEXT_STEPS = 34  # from a good start
_COLOUR_TIE = np.float32(0.01)
_FOREIGN_TIE = np.float32(0.02)
_SUSPECTED = (0.1, 0.3)  # the network's alpha between which it begins to suspect the subject
_NETWORK_TIE = np.float32(0.05)
# The network's alpha between which it grows so sure of the subject that not even the ground's own
# colour speaks against it: it may be glass. What is wider than a gap, in the network's pixels, it
# cannot have blurred away, so that it is believed earlier there.
_CONVINCED = (0.95, 0.99)
_CONVINCED_WIDELY = (0.6, 0.8)
_GAP = 8
_STEEPEST = 99.5  # percentile of the differences between neighbours
_MARGIN = 32  # known pixels around the band that the colours are taken from


@dataclass(frozen=True)
class Bands:
    """Which levels what is done to: accuracy against time.

    Attributes:
        coarsest: Unknown pixels at most where the band is solved first,
        solved: where it is solved again,
        refined: and where it is refined,
        wide: and from how many on it is refined before it goes up, too.
        sharp: How steep a level's edges must be beside those of half its size, to be refined: .5
            if it is that half enlarged; .54 to .63 measured on enlarged pictures, .63 to .9 on
            sharp ones.
    """

    coarsest: int = 8_000
    solved: int = 28_000
    refined: int = 400_000
    wide: int = 60_000
    sharp: float = 0.63


def refine_alpha(
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    coarse: CoarseAlpha | None = None,
    *,
    refiner: Refiner | None = None,
    solve: bool = True,
    tile: int = TILE,
    limits: Bands = Bands(),
) -> NDArray[np.uint8]:
    """Alpha of the unknown band.

    Args:
        image: uint8 HxWx3; RGB, if there is a refiner.
        trimap: uint8 HxW of 0, 128 and 255.
        coarse: The network's alpha, where there is one.
        refiner: The learned refiner; None to do without.
        solve: False to trust the coarse alpha and only sharpen it along the picture's edges.
        tile: Side of the tiles of the upsampling; the result does not depend on it.
        limits: Which levels are solved, which refined.

    Returns:
        uint8 HxW; 0 and 255 where the trimap knows.

    Raises:
        ValueError: The shapes, dtypes or values do not fit.
    """
    _check(image, trimap)
    left, top, width, height = cv2.boundingRect((trimap == UNKNOWN).view(np.uint8))
    if width == 0:
        return trimap.copy()
    left, top = max(left - _MARGIN, 0), max(top - _MARGIN, 0)
    rows = slice(top, top + height + 2 * _MARGIN)
    columns = slice(left, left + width + 2 * _MARGIN)
    levels = [(image[rows, columns], trimap[rows, columns])]
    bands = [_band(levels[0][1])]
    while bands[-1] > limits.coarsest and min(levels[-1][1].shape) > 16:
        levels.append(_half(*levels[-1]))
        bands.append(_band(levels[-1][1]))
    prior: ColourPrior | None = None
    inner: NDArray[np.uint8] | None = None
    refined = refiner is None or not solve
    coarsest = len(levels) - 1
    sharpest = 0 if refined else _sharpest(levels, bands, limits)
    for level in range(coarsest, -1, -1):
        picture, known = levels[level]
        grid = (left, top, 2**level)
        again = solve and bands[level] <= limits.solved
        if level == coarsest:
            if solve:
                alpha, prior = _solve(picture, known, coarse, grid, None)
            else:
                alpha = _unsolved(known, coarse, grid)
        elif level == 0 and refined and not again:
            inner = upsample_guided_u8(levels[1][0], alpha, picture, known, tile)
        else:
            alpha = upsample_guided(levels[level + 1][0], alpha, picture, known, tile)
            if again:
                alpha, _ = _solve(picture, known, coarse, grid, alpha)
        if refiner is not None and prior is not None and not refined:
            refined = level <= sharpest or bands[level - 1] > limits.refined
            # A wide band goes through the refiner twice, as that sees only 24 pixels around.
            if refined or bands[level] > limits.wide:
                alpha = refiner.refine(picture, known, alpha, prior.fore, prior.back)
    if inner is None:
        inner = np.rint(alpha * np.float32(255)).astype(np.uint8)
    out = trimap.copy()
    out[rows, columns] = inner
    return out


def _solve(
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    coarse: CoarseAlpha | None,
    grid: tuple[int, int, int],
    alpha: NDArray[np.float32] | None,
) -> tuple[NDArray[np.float32], ColourPrior]:
    """Solve one level, from the coarser level's alpha or, on the first, from all that is known.

    ``grid`` is where the level lies in the whole image: left, top, and pixels per pixel.
    """
    unknown = trimap == UNKNOWN
    colours = image.astype(np.float32) * np.float32(1 / 255)
    prior = colour_prior(colours, trimap, unknown)
    target, tie = prior.alpha, _COLOUR_TIE * prior.certainty
    guess = np.full(target.shape, 0.5, np.float32)
    if coarse is not None:
        height, width = trimap.shape
        guess = coarse.sample(coarse.alpha, *grid, (height, width))[unknown]
        trust = coarse.sample(coarse.trust(), *grid, (height, width))[unknown] * _NETWORK_TIE
        subject = guess > 0.5
        same = same_as_ground(colours, unknown, prior)
        wide = _wide(same > 0.5, unknown, round(_GAP * coarse.pixel / grid[2]) + 1)
        convinced = np.where(wide, ramp(guess, *_CONVINCED_WIDELY), ramp(guess, *_CONVINCED))
        trust *= 1 - (1 - convinced) * subject * same
        foreign = foreign_to_ground(colours, trimap, unknown, prior)
        foreign *= ramp(guess, *_SUSPECTED) * _FOREIGN_TIE
        all_ties = tie + trust + foreign
        target = tie * target + trust * subject + foreign
        target /= np.maximum(all_ties, np.float32(1e-9))
        tie = all_ties
    if alpha is not None:
        return solve_band(colours, alpha, unknown, target, tie, _NEXT_STEPS), prior
    alpha = (trimap == FOREGROUND).astype(np.float32)
    alpha[unknown] = guess + np.minimum(tie / _COLOUR_TIE, 1) * (target - guess)
    return solve_band(colours, alpha, unknown, target, tie, _FIRST_STEPS), prior


def _wide(where: NDArray[np.bool_], unknown: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Which of the unknown pixels chosen by ``where`` lie in squares of ``side`` of such pixels."""
    plane = np.zeros(unknown.shape, np.uint8)
    plane[unknown] = where
    square = np.ones((side, side), np.uint8)
    wide: NDArray[np.bool_] = cv2.morphologyEx(plane, cv2.MORPH_OPEN, square)[unknown] > 0
    return wide


def _unsolved(
    trimap: NDArray[np.uint8], coarse: CoarseAlpha | None, grid: tuple[int, int, int]
) -> NDArray[np.float32]:
    """The coarse alpha as it is, where the trimap does not know."""
    alpha = (trimap == FOREGROUND).astype(np.float32)
    unknown = trimap == UNKNOWN
    if coarse is None:
        alpha[unknown] = 0.5
    else:
        height, width = trimap.shape
        alpha[unknown] = coarse.sample(coarse.alpha, *grid, (height, width))[unknown]
    return alpha


def _check(image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image: uint8 HxWx3 is needed, got {image.dtype} {image.shape}")
    if trimap.dtype != np.uint8 or trimap.shape != image.shape[:2]:
        raise ValueError(
            f"trimap: uint8 {image.shape[:2]} is needed, got {trimap.dtype} {trimap.shape}"
        )


def _sharpest(
    levels: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]], bands: list[int], limits: Bands
) -> int:
    """The finest level that shows more than the next one does, of those not solved.

    An enlarged picture, or one out of focus, shows no more at full size than at half of it, and
    there the refiner sees twice as far.
    """
    for level in range(len(levels) - 1):
        solved = bands[level] <= limits.solved
        if solved or _slopes(*levels[level]) >= limits.sharp * _slopes(*levels[level + 1]):
            return level
    return len(levels) - 1


def _slopes(image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> float:
    """How steep the picture's edges in the band are, 0..255 a pixel."""
    green = cv2.extractChannel(image, 1)
    across = cv2.absdiff(green[:-1, 1:], green[:-1, :-1])
    down = cv2.absdiff(green[1:, :-1], green[:-1, :-1])
    steps = cv2.max(across, down)[trimap[:-1, :-1] == UNKNOWN]
    return float(np.percentile(steps, _STEEPEST)) if steps.size else 0.0


def _band(trimap: NDArray[np.uint8]) -> int:
    return int(cv2.countNonZero((trimap == UNKNOWN).view(np.uint8)))


def _half(
    image: NDArray[np.uint8], trimap: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Half the size, rounded up; known only where all four pixels agree."""
    height, width = trimap.shape
    if height % 2 or width % 2:
        pad = (0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        image, trimap = cv2.copyMakeBorder(image, *pad), cv2.copyMakeBorder(trimap, *pad)
    half = ((width + 1) // 2, (height + 1) // 2)
    small = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
    corners = [trimap[dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)]
    low = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    high = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    known = np.full(low.shape, UNKNOWN, np.uint8)
    known[low == FOREGROUND] = FOREGROUND
    known[high == BACKGROUND] = BACKGROUND
    return small, known
