"""Closed-form matting in the unknown band only.

Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image Matting, PAMI 2008, with 3x3
windows. The system is solved for the unknown pixels by Jacobi-preconditioned conjugate gradients
that are stopped early on purpose: the first steps bring the solution from the colour prior to
agree with its neighbours, the last ones leak it along weak edges.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["solve_band"]

_EPSILON = 1e-6  # regularises a window's covariance; colours in 0..1
_PRIOR_WEIGHT = np.float32(0.01)


def solve_band(
    image: NDArray[np.float32],
    start: NDArray[np.float32],
    unknown: NDArray[np.bool_],
    prior: NDArray[np.float32],
    certainty: NDArray[np.float32],
    steps: int,
) -> NDArray[np.float32]:
    """Solve for alpha in the band.

    Args:
        image: float32 HxWx3, 0..1.
        start: float32 HxW: 0 and 1 where alpha is known, a first guess elsewhere.
        unknown: Where alpha is sought.
        prior: float32, one value per unknown pixel, that the solution is weakly tied to.
        certainty: float32 0..1, how much it is tied.
        steps: Steps of conjugate gradients.

    Returns:
        float32 HxW, 0..1; ``start`` where alpha is known.
    """
    rows, neighbours, places = _stencil(image, unknown)
    field = cv2.copyMakeBorder(start, 2, 2, 2, 2, cv2.BORDER_REPLICATE).ravel()
    gathered = np.empty(neighbours.shape, np.float32)

    def multiply(values: NDArray[np.float32]) -> NDArray[np.float32]:
        np.take(values, neighbours, out=gathered, mode="clip")
        product: NDArray[np.float32] = np.einsum("ij,ij->i", rows, gathered)
        return product

    tie = _PRIOR_WEIGHT * certainty
    x = field[places].copy()
    residual = tie * (prior - x) - multiply(field)
    inverse = 1 / np.maximum(rows[:, 12] + tie, np.float32(1e-4))
    field[:] = 0
    z = residual * inverse
    direction = z.copy()
    energy = _dot(residual, z)
    for _ in range(steps):
        field[places] = direction
        image_of = multiply(field)
        image_of += tie * direction
        curvature = _dot(direction, image_of)
        if curvature <= 0 or energy <= 1e-12:
            break
        step = np.float32(energy / curvature)
        x += step * direction
        residual -= step * image_of
        z = residual * inverse
        previous, energy = energy, _dot(residual, z)
        direction *= np.float32(energy / previous)
        direction += z
    solved = start.copy()
    solved[unknown] = np.clip(x, 0, 1)
    return solved


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    # Not BLAS, whose order of summation, and so whose result, depends on its threads.
    return float(np.einsum("i,i->", a, b, dtype=np.float64))


def _stencil(
    image: NDArray[np.float32], unknown: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """The Laplacian's rows of the unknown pixels.

    Returns:
        Weights nx25 over each pixel's 5x5 neighbourhood, where each neighbour stands in the
        picture padded by two and flattened (nx25), and where the pixels themselves do (n).
    """
    height, width = unknown.shape
    padded = cv2.copyMakeBorder(image, 2, 2, 2, 2, cv2.BORDER_REPLICATE).reshape(-1, 3)
    stride = width + 4
    touched = cv2.dilate(unknown.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    touched[0] = touched[-1] = False  # windows must lie in the picture
    touched[:, 0] = touched[:, -1] = False
    wy, wx = np.nonzero(touched)
    windows = wy.size
    centres = (wy + 2) * stride + wx + 2
    nine = np.array([dy * stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    d = padded[centres[:, None] + nine]
    d -= d.mean(1, keepdims=True)  # centred, so that single precision is enough
    covariance = np.matmul(d.transpose(0, 2, 1), d).astype(np.float64)
    covariance += _EPSILON * np.eye(3)
    covariance /= 9
    inverse = _inverse3(covariance).astype(np.float32)
    window = np.zeros((windows + 1, 9, 9), np.float32)  # the last one stands for "no window"
    np.matmul(np.matmul(d, inverse), d.transpose(0, 2, 1), out=window[:windows])
    window[:windows] += 1
    window[:windows] *= np.float32(-1 / 9)
    window[:windows, range(9), range(9)] += 1
    which = np.full((height + 4) * stride, windows, np.int32)
    which[centres] = np.arange(windows, dtype=np.int32)
    uy, ux = np.nonzero(unknown)
    places = (uy + 2) * stride + ux + 2
    rows = np.zeros((places.size, 5, 5), np.float32)
    for i in range(9):
        dy, dx = i // 3 - 1, i % 3 - 1
        block = window[which[places - nine[i]], i].reshape(-1, 3, 3)
        rows[:, 1 - dy : 4 - dy, 1 - dx : 4 - dx] += block
    five = np.array([dy * stride + dx for dy in range(-2, 3) for dx in range(-2, 3)])
    return rows.reshape(-1, 25), (places[:, None] + five).astype(np.intp), places


def _inverse3(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverses of symmetric 3x3 matrices, nx3x3."""
    a, b, c, d, e, f = m[:, 0, 0], m[:, 0, 1], m[:, 0, 2], m[:, 1, 1], m[:, 1, 2], m[:, 2, 2]
    inverse = np.empty_like(m)
    inverse[:, 0, 0] = d * f - e * e
    inverse[:, 0, 1] = inverse[:, 1, 0] = e * c - b * f
    inverse[:, 0, 2] = inverse[:, 2, 0] = b * e - d * c
    inverse[:, 1, 1] = a * f - c * c
    inverse[:, 1, 2] = inverse[:, 2, 1] = b * c - a * e
    inverse[:, 2, 2] = a * d - b * b
    inverse /= (a * inverse[:, 0, 0] + b * inverse[:, 0, 1] + c * inverse[:, 0, 2])[:, None, None]
    return inverse
