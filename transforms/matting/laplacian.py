"""Closed-form matting in the unknown band only.

Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image Matting, PAMI 2008, with 3x3
windows. The known pixels are hard constraints, so the unknowns are those of the band. They are
solved for by conjugate gradients with a Jacobi preconditioner. The iteration is stopped early on
purpose: the first steps make the solution consistent with its neighbours, the last ones leak it
across weak edges.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["solve_band"]

_EPSILON = 1e-6  # regularises a window's covariance; colours in 0..1. Set by hand.


def solve_band(
    image: NDArray[np.float32],
    start: NDArray[np.float32],
    unknown: NDArray[np.bool_],
    target: NDArray[np.float32],
    weight: NDArray[np.float32],
    steps: int,
) -> NDArray[np.float32]:
    """Minimises ``a' L a + (a - target)' W (a - target)`` over alpha in the band.

    L is the matting Laplacian of the image and W the diagonal of ``weight``.

    Args:
        image: float32 HxWx3, 0..1.
        start: float32 HxW: 0 and 1 where alpha is known, the starting point elsewhere.
        unknown: bool HxW, where alpha is sought; n pixels.
        target: float32 n, 0..1.
        weight: float32 n, at least 0; the diagonal of L is of the order of 1.
        steps: Steps of conjugate gradients at most.

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
        np.copyto(neighbours, shifted)  # einsum on contiguous memory saves more than the copy costs
        product: NDArray[np.float32] = np.einsum("yxn,yxn->n", rows, neighbours)
        return product

    def spread(values: NDArray[np.float32]) -> NDArray[np.float32]:
        wide = np.zeros(places.shape, np.float32)
        wide[own] = values
        return wide

    weight, target = spread(weight), spread(target)
    x = np.where(own, field[places], np.float32(0))
    residual = weight * (target - x) - multiply(field)
    inverse = own / np.maximum(rows[2, 2] + weight, np.float32(1e-4))  # Jacobi preconditioner
    field[:] = 0
    spare = residual * inverse
    direction = spare.copy()
    energy = _dot(residual, spare, spare)
    for _ in range(steps):
        field[places] = direction
        image_of = multiply(field)
        image_of += np.multiply(weight, direction, out=spare)
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
    """The Laplacian's rows, laid out so that a row's neighbours are found by shifting.

    A sparse matrix would gather 25 neighbours per unknown by index. Instead, the layout is a list
    of m pixels: every run of unknown pixels in an image row, with the two pixels to its left and
    right. So pixels that are adjacent in a run are adjacent in the layout.

    Returns:
        The weights over each pixel's 5x5 neighbourhood, float32 5x5xm, 0 for pixels that are in
        the layout only as neighbours; for each of the 5 lines of the neighbourhoods, where the
        layout (with two more pixels at each end) lies in the flattened image padded by two,
        5x(m+4); and which pixels of the layout are unknown, bool m.
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
    """Solves ``L w = d``, L being the Cholesky factor of ``c``.

    Args:
        d: float32 9x3xn, the centred colours of the 9 pixels of each of n windows.
        c: float64 3x3xn, their regularised covariances (times 9).

    Returns:
        float32 9x3xn; the inner product of two of them is ``d_i' inverse(c) d_j``.
    """
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
