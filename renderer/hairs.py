"""Hairs, fur and stitches as plain numpy arrays of points.

A set of hairs is one array, hairs x points x 3; all hairs of a set have the same number of points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from renderer.geometry import Array, distances

__all__ = ["Coat", "fur_points", "stitch_points", "taper"]


@dataclass(frozen=True)
class Coat:
    """How the fur on a surface grows.

    Attributes:
        count: How many hairs, before `keep`.
        length: Of the hairs, in the product's own unit.
        comb: The way they are brushed, in lengths.
        curl: How unruly they are; 0 is straight.
        steps: Points of each hair.
        keep: Takes the roots, n x 3, and says which of them grow; None lets all grow.
    """

    count: int
    length: float
    comb: Sequence[float] = (0, 0, -0.4)
    curl: float = 0.25
    steps: int = 6
    keep: Callable[[Array], NDArray[np.bool_]] | None = None


def taper(hairs: int, steps: int, radius: float) -> Array:
    """The radius of every point, hairs x steps: `radius` at the root, about a third at the tip."""
    return np.broadcast_to(np.linspace(1.0, 0.35, steps) * radius, (hairs, steps))


def fur_points(
    vertices: NDArray[np.float32],
    normals: NDArray[np.float32],
    triangles: NDArray[np.int32],
    coat: Coat,
    rng: np.random.Generator,
) -> Array:
    """Hairs that cover a surface evenly.

    Args:
        vertices: Of the surface, n x 3.
        normals: At the vertices, n x 3.
        triangles: Indices of the vertices, t x 3.
        coat: How the fur grows.
        rng: Where each hair's place and shape come from.

    Returns:
        The hairs' points, hairs x `coat.steps` x 3.
    """
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(triangles), coat.count, p=area / area.sum())
    w = rng.dirichlet((1, 1, 1), coat.count)
    root = np.einsum("nk,nkd->nd", w, vertices[triangles[face]])
    normal = np.einsum("nk,nkd->nd", w, normals[triangles[face]])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    if coat.keep is not None:
        chosen = coat.keep(root)
        root, normal = root[chosen], normal[chosen]
    size = coat.length * rng.uniform(0.6, 1.1, (len(root), 1))
    lean = normal + np.asarray(coat.comb) * 0.5 + rng.normal(0, coat.curl, root.shape)
    bend = np.asarray(coat.comb) + rng.normal(0, coat.curl, root.shape)
    t = np.linspace(0, 1, coat.steps)[None, :, None]
    points = root[:, None] + size[:, None] * (lean[:, None] * t + bend[:, None] * t**2 * 0.6)
    wiggle = rng.normal(0, 0.08 * coat.curl * coat.length, (len(root), coat.steps, 3)) * t
    hairs: Array = points + wiggle
    return hairs


def stitch_points(path: ArrayLike, length: float) -> Array:
    """A row of stitches along `path` (n x 3), each `length` long, with gaps half as long.

    Returns:
        Start, middle and end of each stitch, stitches x 3 x 3.
    """
    p = np.asarray(path, dtype=float)
    along = distances(p)
    starts = np.arange(0, along[-1] - length, length * 1.5)

    def at(distance: Array) -> Array:
        return np.stack([np.interp(distance, along, p[:, k]) for k in range(3)], axis=-1)

    return np.stack([at(starts + f * length) for f in (0, 0.5, 1)], axis=1)
