"""Alpha of the unknown band: closed-form matting on a pyramid, with a learned refiner.

1. Image and trimap are halved until the band is small enough for a solve (`pyramid`).
2. On the coarsest level, closed-form matting (`laplacian`) is solved in the band, with the data
   term of `data_term`.
3. Going up, alpha is doubled by fast guided upsampling (`guided`), and solved again on levels whose
   band is still small.
4. The learned refiner corrects alpha on the finest level that is sharp and whose band is not too
   large.

The cost grows with the number of unknown pixels, and hardly with the size of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.coarse import CoarseAlpha, Grid
from alphabeam.transforms.matting.data_term import data_term
from alphabeam.transforms.matting.guided import TILE, upsample_guided, upsample_guided_u8
from alphabeam.transforms.matting.laplacian import solve_band
from alphabeam.transforms.matting.prior import ColourPrior, colour_prior
from alphabeam.transforms.matting.pyramid import Level, build_pyramid, sharpest_level
from alphabeam.transforms.matting.refiner import Refiner
from alphabeam.transforms.matting.trimap import FOREGROUND, UNKNOWN

__all__ = ["Bands", "refine_alpha"]

# Steps of conjugate gradients. Few on purpose, see `laplacian`. The second solve starts from the
# upsampled solution of the first.
_FIRST_STEPS = 64
_NEXT_STEPS = 34
_MARGIN = 32  # known pixels around the band that the colour prior draws on


@dataclass(frozen=True)
class Bands:
    """What is done on which level of the pyramid, by its number of unknown pixels.

    The values trade accuracy for time; docs/matting.md, "What was tried", has what was measured.

    Attributes:
        coarsest: The image is halved until at most this many are unknown; the first solve is there.
        solved: Finer levels with at most this many are solved again.
        refined: Finer levels with more than this many are not refined.
        wide: A level with more than this many is refined on the way up, too, since the refiner
            sees only 24 pixels around each.
        sharp: A level is refined only if its gradients are at least this fraction of those of the
            next coarser level. Enlarging an image to twice its size gives .5. Measured: .54 to
            .63 on enlarged images, .63 to .9 on sharp ones.
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
    """Estimates alpha in the unknown band of a trimap.

    Args:
        image: uint8 HxWx3. RGB; without a refiner the order of the channels does not matter.
        trimap: uint8 HxW of 0 (background), 128 (unknown) and 255 (foreground).
        coarse: The segmentation network's alpha of the same image, if there is one.
        refiner: The learned refiner; None to do without.
        solve: False takes ``coarse`` as the solution of the coarsest level and only upsamples it
            along the image's edges: faster, for subjects without hair.
        tile: Side of the upsampling's tiles in pixels; the result does not depend on it.
        limits: Which levels are solved, and which refined.

    Returns:
        uint8 HxW; equal to the trimap where that is 0 or 255.

    Raises:
        ValueError: An array has another shape or dtype.
    """
    _check(image, trimap)
    left, top, width, height = cv2.boundingRect((trimap == UNKNOWN).view(np.uint8))
    if width == 0:
        return trimap.copy()
    left, top = max(left - _MARGIN, 0), max(top - _MARGIN, 0)
    rows = slice(top, top + height + 2 * _MARGIN)
    columns = slice(left, left + width + 2 * _MARGIN)
    levels = build_pyramid(image[rows, columns], trimap[rows, columns], limits.coarsest)
    grids = [Grid(left, top, 2**index) for index in range(len(levels))]
    out = trimap.copy()
    out[rows, columns] = _coarse_to_fine(levels, grids, coarse, refiner, solve, tile, limits)
    return out


def _coarse_to_fine(
    levels: list[Level],
    grids: list[Grid],
    coarse: CoarseAlpha | None,
    refiner: Refiner | None,
    solve: bool,
    tile: int,
    limits: Bands,
) -> NDArray[np.uint8]:
    """Alpha of level 0, uint8 HxW."""
    last = len(levels) - 1
    prior: ColourPrior | None = None
    alpha: NDArray[np.float32]
    if solve:
        alpha, prior = _solve(levels[last], coarse, grids[last], None)
    else:
        alpha = _unsolved(levels[last], coarse, grids[last])
    to_refine = refiner is not None and solve
    sharpest = sharpest_level(levels, limits.solved, limits.sharp) if to_refine else 0
    for index in range(last, -1, -1):
        level = levels[index]
        again = solve and level.unknown <= limits.solved
        if index < last:
            if index == 0 and not to_refine and not again:
                return upsample_guided_u8(levels[1].image, alpha, level.image, level.trimap, tile)
            alpha = upsample_guided(levels[index + 1].image, alpha, level.image, level.trimap, tile)
            if again:
                alpha, _ = _solve(level, coarse, grids[index], alpha)
        if refiner is not None and prior is not None and to_refine:
            is_final = index <= sharpest or levels[index - 1].unknown > limits.refined
            if is_final or level.unknown > limits.wide:
                alpha = refiner.refine(
                    level.image, level.trimap, alpha, prior.foreground, prior.background
                )
            to_refine = not is_final
    eight: NDArray[np.uint8] = np.rint(alpha * np.float32(255)).astype(np.uint8)
    return eight


def _solve(
    level: Level, coarse: CoarseAlpha | None, grid: Grid, start: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], ColourPrior]:
    """Closed-form matting on one level.

    Args:
        level: The level.
        coarse: The network's alpha, if there is one.
        grid: Where the level's pixels lie in the whole image.
        start: float32 HxW, the upsampled alpha of the next coarser level; None on the coarsest.

    Returns:
        Alpha, float32 HxW, and the level's colour prior.
    """
    unknown = level.trimap == UNKNOWN
    colours = level.image.astype(np.float32) * np.float32(1 / 255)
    prior = colour_prior(colours, level.trimap, unknown)
    term = data_term(colours, level.trimap, unknown, prior, coarse, grid)
    steps = _NEXT_STEPS
    if start is None:
        steps = _FIRST_STEPS
        start = (level.trimap == FOREGROUND).astype(np.float32)
        start[unknown] = term.initial()
    return solve_band(colours, start, unknown, term.target, term.weight, steps), prior


def _unsolved(level: Level, coarse: CoarseAlpha | None, grid: Grid) -> NDArray[np.float32]:
    """The network's alpha (0.5 without a network) in the band, float32 HxW."""
    alpha: NDArray[np.float32] = (level.trimap == FOREGROUND).astype(np.float32)
    unknown = level.trimap == UNKNOWN
    if coarse is None:
        alpha[unknown] = 0.5
    else:
        alpha[unknown] = coarse.sample(coarse.alpha, *grid, unknown.shape)[unknown]
    return alpha


def _check(image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image: uint8 HxWx3 is needed, got {image.dtype} {image.shape}")
    if trimap.dtype != np.uint8 or trimap.shape != image.shape[:2]:
        raise ValueError(
            f"trimap: uint8 {image.shape[:2]} is needed, got {trimap.dtype} {trimap.shape}"
        )
