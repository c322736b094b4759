"""A product's mirror image in a glossy table, which a network takes for a part of it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.even import EvenBackground, largest_channel

__all__ = ["drop_reflection"]

_SUBJECT = 0.5  # the network's alpha above it
_DIFFERS = 0.06  # and what differs so much from the background, RGB of 0..1
_SIDE = 128  # the picture's longer side, pixels, at which the mirror's line is looked for
# Set on drawn reflections, on the samples, on photos and on products that are symmetric; of those
# without a reflection none correlates by more than 0.90, or begins at less than 0.8 of its
# product's strength. See benchmarks/damage.py.
_DEPTH = 0.1  # of the subject's height, at least, is mirrored,
_BODY = 0.6  # and what is mirrored is at least so high, by the height of its image
_ALIKE = 0.93  # correlation between the image and what it should be
_STRENGTH = (0.06, 0.75)  # of the image at the line, by what it mirrors
_FADED = 0.8  # at its end, at most, by that at the line
_LEAST = 60  # pixels compared


def drop_reflection(alpha: NDArray[np.float32], background: EvenBackground) -> bool:
    """Sets alpha to 0, in place, in the mirror image below a product.

    What stands ``d`` below the mirror's line is the background plus a part of how what stands ``d``
    above it differs from the background. That part is well under one, and becomes smaller with
    ``d``; a product that is symmetric is as strong below as above.

    Args:
        alpha: float32 hxw, 0..1, the network's; changed in place.
        background: The same picture's.

    Returns:
        Whether there was one.
    """
    height, width = alpha.shape
    shrink = min(1.0, _SIDE / max(height, width))
    size = (max(2, round(width * shrink)), max(2, round(height * shrink)))
    subject = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA) > _SUBJECT
    differs = cv2.resize(background.colours - background.plane, size, interpolation=cv2.INTER_AREA)
    line = _line(subject, differs)
    if line is None:
        return False
    alpha[round(line * height / size[1]) :] = 0
    return True


def _line(subject: NDArray[np.bool_], differs: NDArray[np.float32]) -> int | None:
    """The row at which the image begins, None if there is none."""
    rows = np.flatnonzero(subject.any(axis=1))
    if not len(rows):
        return None
    first, end = int(rows[0]), int(rows[-1]) + 1
    relevant = subject | (largest_channel(np.abs(differs)) > _DIFFERS)
    # The network may see the image's beginning only, and what is no subject may differ too.
    columns = np.flatnonzero(subject.any(axis=0))
    seen = np.flatnonzero(relevant[:, columns[0] : columns[-1] + 1].any(axis=1))
    best, found = _ALIKE, None
    for last in sorted({end, int(seen[-1]) + 1}):
        best, found = _best_line(relevant, differs, (first, last), best, found)
    return found


def _best_line(
    relevant: NDArray[np.bool_],
    differs: NDArray[np.float32],
    rows: tuple[int, int],
    best: float,
    found: int | None,
) -> tuple[float, int | None]:
    """The line of the best correlation in ``rows``, if it is better than ``best``; and that."""
    first, end = rows
    least = max(3, round(_DEPTH * (end - first)))
    for line in range(first + least, end - least + 1):
        if line - first < _BODY * (end - line):
            continue
        depth = min(end - line, line - first)
        body, image = slice(line - depth, line), slice(line, line + depth)
        compared = relevant[body][::-1] | relevant[image]
        if np.count_nonzero(compared) < _LEAST:
            continue
        alike, strength, faded = _mirrors(differs[body][::-1], differs[image], compared)
        if alike > best and _STRENGTH[0] < strength < _STRENGTH[1] and faded < _FADED * strength:
            best, found = alike, line
    return best, found


def _mirrors(
    body: NDArray[np.float32], image: NDArray[np.float32], compared: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """How well ``image`` is ``body`` times a strength that changes evenly with the depth.

    Args:
        body: float32 nxwx3, differences from the background, from the line upwards.
        image: float32 nxwx3, likewise, from the line downwards.
        compared: bool nxw, the pixels that count.

    Returns:
        The correlation, and the strength at the line and at the end.
    """
    depth = len(body)
    down = (np.arange(depth) + 0.5) / depth  # how far each row of the image is from the line, 0..1
    x, y = ((one * compared[..., None]).reshape(depth, -1) for one in (body, image))
    # Of a row, all pixels are equally far from the line: sums over rows are enough.
    sums = [np.einsum("rn,rn->r", *pair).astype(np.float64) for pair in ((x, x), (x, y), (y, y))]
    of_xx, of_xy, of_yy = sums
    of_x, of_y = (one.sum(axis=1, dtype=np.float64) for one in (x, y))
    xx, xz, zz = of_xx.sum(), (down * of_xx).sum(), (down * down * of_xx).sum()
    xy, zy = of_xy.sum(), (down * of_xy).sum()
    determinant = xx * zz - xz * xz
    if determinant < 1e-9:
        return 0.0, 0.0, 0.0
    strength = (xy * zz - zy * xz) / determinant
    slope = (zy * xx - xy * xz) / determinant
    count = 3 * np.count_nonzero(compared)
    expected, seen = (strength + slope * down) @ of_x / count, of_y.sum() / count
    together = strength * xy + slope * zy - count * expected * seen
    square = strength**2 * xx + 2 * strength * slope * xz + slope**2 * zz - count * expected**2
    alike = together / np.sqrt(max(square * (of_yy.sum() - count * seen**2), 0) + 1e-12)
    return float(alike), float(strength), float(strength + slope)
