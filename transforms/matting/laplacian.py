"""Closed-form matting in the unknown band only.

Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image Matting, PAMI 2008, with 3x3
windows. The system is solved for the unknown pixels by Jacobi-preconditioned conjugate gradients
that are stopped early on purpose: the first steps bring the solution from the colour prior to
agree with its neighbours, the last ones leak it along weak edges.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["solve_band"]

_EPSILON = 1e-6  # regularises a window's covariance; colours in 0..1


def solve_band(
    image: NDArray[np.float32],
    start: NDArray[np.float32],
    unknown: NDArray[np.bool_],
    target: NDArray[np.float32],
    tie: NDArray[np.float32],
    steps: int,
) -> NDArray[np.float32]:
    """Solve for alpha in the band.

    Args:
        image: float32 HxWx3, 0..1.
        start: float32 HxW: 0 and 1 where alpha is known, a first guess elsewhere.
        unknown: Where alpha is sought.
        target: float32, one value per unknown pixel, that the solution is tied to.
        tie: float32, how much; a pixel's bond to its neighbours is of the order of 1.
        steps: Steps of conjugate gradients.

    Returns:
        float32 HxW, 0..1; ``start`` where alpha is known.
    """
    rows, lines, own = _stencil(image, unknown)
    field = cv2.copyMakeBorder(start, 2, 2, 2, 2, cv2.BORDER_REPLICATE).ravel()
    places = lines[2, 2:-2]
    gathered = np.empty(lines.shape, np.float32)
    shifted = sliding_window_view(gathered, places.size, axis=1)
    neighbours = np.empty_like(rows)

    def multiply(values: NDArray[np.float32]) -> NDArray[np.float32]:
        np.take(values, lines, out=gathered, mode="clip")
        np.copyto(neighbours, shifted)  # in one piece, einsum is quicker by more than this costs
        product: NDArray[np.float32] = np.einsum("yxn,yxn->n", rows, neighbours)
        return product

    def spread(values: NDArray[np.float32]) -> NDArray[np.float32]:
        wide = np.zeros(places.shape, np.float32)
        wide[own] = values
        return wide

    tie, target = spread(tie), spread(target)
    x = np.where(own, field[places], np.float32(0))
    residual = tie * (target - x) - multiply(field)
    inverse = own / np.maximum(rows[2, 2] + tie, np.float32(1e-4))
    field[:] = 0
    spare = residual * inverse
    direction = spare.copy()
    energy = _dot(residual, spare, spare)
    for _ in range(steps):
        field[places] = direction
        image_of = multiply(field)
        image_of += np.multiply(tie, direction, out=spare)
        curvature = _dot(direction, image_of, spare)
        if curvature <= 0 or energy <= 1e-12:
            break
        step = np.float32(energy / curvature)
        x += np.multiply(direction, step, out=spare)
        residual -= np.multiply(image_of, step, out=image_of)
        preconditioned = np.multiply(residual, inverse, out=image_of)
        previous, energy = energy, _dot(residual, preconditioned, spare)
        direction *= np.float32(energy / previous)
        direction += preconditioned
    solved = start.copy()
    solved[unknown] = np.clip(x[own], 0, 1)
    return solved


def _dot(a: NDArray[np.float32], b: NDArray[np.float32], spare: NDArray[np.float32]) -> float:
    # Not BLAS, whose order of summation, and so whose result, depends on its threads.
    return float(np.multiply(a, b, out=spare).sum())


def _stencil(
    image: NDArray[np.float32], unknown: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.bool_]]:
    """The Laplacian's rows, laid out so that neighbours are found by shifting, not by looking up.

    The layout is every run of unknown pixels with the two pixels to its left and right, row by
    row: what lies beside a pixel of a run in the picture lies beside it in the layout.

    Returns:
        Weights 5x5xn over each pixel's neighbourhood, 0 for pixels that are only there for
        their neighbours' sake; for each of the five lines of the neighbourhoods, where the
        layout, begun and ended by two more pixels, lies in the picture padded by two and
        flattened (5x(n+4)); and which pixels of the layout are unknown (n).
    """
    height, width = unknown.shape
    stride = width + 4
    touched = cv2.dilate(unknown.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    touched[0] = touched[-1] = False  # windows must lie in the picture
    touched[:, 0] = touched[:, -1] = False
    wy, wx = np.nonzero(touched)
    centres = (wy + 2) * stride + wx + 2
    count = centres.size
    offsets = [dy * stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    padded = cv2.copyMakeBorder(image, 2, 2, 2, 2, cv2.BORDER_REPLICATE).reshape(-1, 3)
    flat = np.ascontiguousarray(padded.T)
    d = np.empty((9, 3, count), np.float32)  # colours of each window's nine pixels
    for i, offset in enumerate(offsets):
        np.take(flat, centres + offset, axis=1, out=d[i], mode="clip")
    d -= d.mean(0)  # centred, so that single precision is enough
    c = np.einsum("ikn,iln->kln", d, d).astype(np.float64)
    # d, turned so that its inner products are those that the inverse covariance makes
    white = _whiten(d, c + _EPSILON * np.eye(3)[:, :, None])
    wide = cv2.copyMakeBorder(unknown.view(np.uint8), 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
    places = np.flatnonzero(cv2.dilate(wide, np.ones((1, 5), np.uint8)))
    own = wide.ravel()[places] > 0
    which = np.full((height + 4) * stride, count, np.intp)  # the last one: no window there
    which[centres] = np.arange(count)
    rows = np.zeros((25, places.size), np.float32)
    near = [which[places - offset] for offset in offsets]
    affinity = np.zeros(count + 1, np.float32)
    for i in range(9):
        for j in range(i, 9):
            # (1 + d_i inverse(covariance) d_j) / 9, of which the Laplacian takes 1[i = j] away
            np.einsum("kn,kn->n", white[i], white[j], out=affinity[:count])
            affinity[:count] += np.float32(1 / 9)
            if i == j:
                np.subtract(1, affinity[:count], out=affinity[:count])
                rows[12] += affinity[near[i]]
            else:
                step = (j // 3 - i // 3) * 5 + j % 3 - i % 3
                rows[12 + step] -= affinity[near[i]]
                rows[12 - step] -= affinity[near[j]]
    rows *= own
    lines = np.pad(places, 2, mode="edge") + np.arange(-2, 3)[:, None] * stride
    return rows.reshape(5, 5, -1), lines, own


def _whiten(d: NDArray[np.float32], c: NDArray[np.float64]) -> NDArray[np.float32]:
    """Solve L w = d with L the Cholesky factor of the 3x3 matrices c, all planes 9x3xn."""
    l00 = np.sqrt(c[0, 0])
    l10, l20 = c[1, 0] / l00, c[2, 0] / l00
    l11 = np.sqrt(c[1, 1] - l10 * l10)
    l21 = (c[2, 1] - l20 * l10) / l11
    l22 = np.sqrt(c[2, 2] - l20 * l20 - l21 * l21)
    w = np.empty_like(d)
    np.multiply(d[:, 0], (1 / l00).astype(np.float32), out=w[:, 0])
    w[:, 1] = (d[:, 1] - w[:, 0] * l10.astype(np.float32)) * (1 / l11).astype(np.float32)
    w[:, 2] = d[:, 2] - w[:, 0] * l20.astype(np.float32) - w[:, 1] * l21.astype(np.float32)
    w[:, 2] *= (1 / l22).astype(np.float32)
    return w
