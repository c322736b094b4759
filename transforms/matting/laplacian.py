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
_PAD = 2  # pixels around the image: a pixel's windows reach two pixels far
_LEAST_DIAGONAL = np.float32(1e-4)  # for the preconditioner's division
_CONVERGED = 1e-12  # energy of the residual below which the iteration stops


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
    laplacian = _BandLaplacian(image, unknown)
    own, places = laplacian.own, laplacian.places
    weight, target = laplacian.spread(weight), laplacian.spread(target)
    field = _padded(start).ravel()
    x = np.where(own, field[places], np.float32(0))
    residual = weight * (target - x) - laplacian.multiply(field)
    inverse = own / np.maximum(laplacian.diagonal + weight, _LEAST_DIAGONAL)
    field[:] = 0  # from here on it holds the direction: known pixels do not move
    spare = residual * inverse
    direction = spare.copy()
    energy = _dot(residual, spare, spare)
    for _ in range(steps):
        field[places] = direction
        product = laplacian.multiply(field)
        product += np.multiply(weight, direction, out=spare)
        curvature = _dot(direction, product, spare)
        if curvature <= 0 or energy <= _CONVERGED:
            break
        step = np.float32(energy / curvature)
        x += np.multiply(direction, step, out=spare)
        residual -= np.multiply(product, step, out=product)
        preconditioned = np.multiply(residual, inverse, out=product)
        previous, energy = energy, _dot(residual, preconditioned, spare)
        direction *= np.float32(energy / previous)
        direction += preconditioned
    solved = start.copy()
    solved[unknown] = np.clip(x[own], 0, 1)
    return solved


class _BandLaplacian:
    """The rows of the matting Laplacian that belong to the unknown pixels.

    A sparse matrix would gather 25 neighbours of each unknown pixel by index. Instead, the pixels
    are kept in a *layout* of m pixels, in which neighbours are found by shifting: every run of
    unknown pixels in an image row, with the two pixels to its left and right. Pixels that are
    adjacent in a run are adjacent in the layout. Positions refer to the flattened padded image.

    Attributes:
        places: intp m, the position of each pixel of the layout.
        own: bool m, which of them are unknown; the others are there as neighbours.
        diagonal: float32 m, the Laplacian's diagonal; 0 where not own.
    """

    def __init__(self, image: NDArray[np.float32], unknown: NDArray[np.bool_]) -> None:
        stride = unknown.shape[1] + 2 * _PAD
        wide = cv2.copyMakeBorder(
            unknown.view(np.uint8), _PAD, _PAD, _PAD, _PAD, cv2.BORDER_CONSTANT, value=0
        )
        self.places: NDArray[np.intp] = np.flatnonzero(cv2.dilate(wide, np.ones((1, 5), np.uint8)))
        self.own: NDArray[np.bool_] = wide.ravel()[self.places] > 0
        centres = _window_centres(unknown)
        colours = _window_colours(_padded(image), centres, stride)
        # 5x5xm: weights over each pixel's neighbourhood, 0 where not own.
        self._rows = _assemble(colours, centres, self.places, stride, wide.size)
        self._rows *= self.own
        self.diagonal: NDArray[np.float32] = self._rows[2, 2]
        # 5x(m+4): positions of the layout, moved by -2 to 2 image rows, with two more at each end.
        ends = np.pad(self.places, 2, mode="edge")
        self._lines = ends + np.arange(-2, 3)[:, None] * stride
        self._gathered = np.empty(self._lines.shape, np.float32)
        self._shifted = sliding_window_view(self._gathered, self.places.size, axis=1)
        self._neighbours = np.empty_like(self._rows)

    def multiply(self, field: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows times a field (the flattened padded alpha): float32 m."""
        np.take(field, self._lines, out=self._gathered, mode="clip")
        # einsum on contiguous memory saves more than this copy costs.
        np.copyto(self._neighbours, self._shifted)
        product: NDArray[np.float32] = np.einsum("yxn,yxn->n", self._rows, self._neighbours)
        return product

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of the unknown pixels (float32 n) in the layout (float32 m), 0 elsewhere."""
        out = np.zeros(self.places.shape, np.float32)
        out[self.own] = values
        return out


def _padded(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    padded: NDArray[np.float32] = cv2.copyMakeBorder(
        plane, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE
    )
    return padded


def _dot(a: NDArray[np.float32], b: NDArray[np.float32], spare: NDArray[np.float32]) -> float:
    # Not BLAS: its order of summation, and so its result, depends on its threads.
    return float(np.multiply(a, b, out=spare).sum())


def _window_centres(unknown: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Positions of the centres of all 3x3 windows that hold an unknown pixel, intp w."""
    touched = cv2.dilate(unknown.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    touched[0] = touched[-1] = False  # windows must lie in the image
    touched[:, 0] = touched[:, -1] = False
    y, x = np.nonzero(touched)
    centres: NDArray[np.intp] = (y + _PAD) * (unknown.shape[1] + 2 * _PAD) + x + _PAD
    return centres


def _window_offsets(stride: int) -> list[int]:
    """Positions of a window's nine pixels, row by row, from its centre's."""
    return [dy * stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def _window_colours(
    padded: NDArray[np.float32], centres: NDArray[np.intp], stride: int
) -> NDArray[np.float32]:
    """Centred and whitened colours of each window's nine pixels, float32 9x3xw.

    The inner product of those of pixels i and j is ``d_i' inverse(covariance) d_j``, d being the
    colours less the window's mean; the covariance is regularised, and not divided by 9.
    """
    flat = np.ascontiguousarray(padded.reshape(-1, 3).T)
    d = np.empty((9, 3, centres.size), np.float32)
    for i, offset in enumerate(_window_offsets(stride)):
        np.take(flat, centres + offset, axis=1, out=d[i], mode="clip")
    d -= d.mean(0)  # centred, so that single precision is enough
    covariance = np.einsum("ikn,iln->kln", d, d).astype(np.float64)
    return _whiten(d, covariance + _EPSILON * np.eye(3)[:, :, None])


def _assemble(
    colours: NDArray[np.float32],
    centres: NDArray[np.intp],
    places: NDArray[np.intp],
    stride: int,
    size: int,
) -> NDArray[np.float32]:
    """Sums the windows' contributions to the Laplacian's rows of all pixels of the layout.

    Args:
        colours: float32 9x3xw, see :func:`_window_colours`.
        centres: intp w, the windows' positions.
        places: intp m, the layout's positions.
        stride: Width of the padded image.
        size: Number of its pixels.

    Returns:
        float32 5x5xm.
    """
    count = centres.size
    window_at = np.full(size, count, np.intp)  # count: there is no window
    window_at[centres] = np.arange(count)
    windows = [window_at[places - offset] for offset in _window_offsets(stride)]
    rows = np.zeros((25, places.size), np.float32)
    affinity = np.zeros(count + 1, np.float32)  # the last one, 0, stands for no window
    for i in range(9):
        for j in range(i, 9):
            # A window contributes [i = j] - (1/9 + d_i' inverse(c) d_j) to L_ij, where c is 9 times
            # its regularised covariance (Levin et al., for windows of 9 pixels).
            np.einsum("kn,kn->n", colours[i], colours[j], out=affinity[:count])
            affinity[:count] += np.float32(1 / 9)
            if i == j:
                np.subtract(1, affinity[:count], out=affinity[:count])
                rows[12] += affinity[windows[i]]
            else:
                step = (j // 3 - i // 3) * 5 + j % 3 - i % 3
                rows[12 + step] -= affinity[windows[i]]
                rows[12 - step] -= affinity[windows[j]]
    return rows.reshape(5, 5, -1)


def _whiten(d: NDArray[np.float32], c: NDArray[np.float64]) -> NDArray[np.float32]:
    """Solves ``L w = d``, L being the Cholesky factor of ``c``.

    Args:
        d: float32 9x3xn.
        c: float64 3x3xn, symmetric and positive definite.

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
