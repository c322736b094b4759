"""Curves and meshes as plain numpy arrays.

Lengths are in the product's own unit. Nothing here knows of Blender: `renderer.blender.shapes`
turns the meshes into objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Array",
    "Mesh",
    "arc",
    "block_mesh",
    "disc_mesh",
    "distances",
    "fillet",
    "lathe_mesh",
    "sheet_mesh",
    "slab_mesh",
    "spline",
    "sweep_mesh",
]

Array = NDArray[np.float64]
Face = Sequence[int]


@dataclass(frozen=True)
class Mesh:
    """Faces between points.

    Attributes:
        vertices: Positions, n x 3.
        faces: The indices of each face's corners.
        uv: Texture coordinates of every corner, in the order of `faces`, corners x 2.
    """

    vertices: Array
    faces: Sequence[Face]
    uv: Array

    @classmethod
    def with_vertex_uv(cls, vertices: Array, faces: Sequence[Face], uv: Array) -> Mesh:
        """A mesh whose `uv` holds one (u, v) for every vertex; seams need double vertices."""
        return cls(vertices, faces, uv[np.concatenate([np.asarray(f) for f in faces])])


# --- curves ------------------------------------------------------------------------------------


def spline(points: ArrayLike, count: int = 64, closed: bool = False) -> Array:
    """Points on the uniform Catmull-Rom curve through the given ones.

    Args:
        points: What the curve passes through, n x d.
        count: How many points to return, evenly spread over the spans.
        closed: Whether the curve returns to its start.

    Returns:
        The points, count x d.
    """
    p = np.asarray(points, dtype=float)
    if closed:
        p = np.vstack([p[-1:], p, p[:2]])
    else:
        p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    spans = len(p) - 3
    t = np.linspace(0, spans, count, endpoint=not closed)
    i = np.minimum(t.astype(int), spans - 1)
    t = (t - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    curve: Array = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return curve


def arc(
    radius: float, start: float, end: float, count: int = 32, centre: Sequence[float] = (0, 0)
) -> Array:
    """Points on a circle in the plane from `start` to `end` degrees, count x 2."""
    a = np.radians(np.linspace(start, end, count))
    return np.stack([centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a)], axis=1)


def fillet(points: ArrayLike, radius: float, steps: int = 5, closed: bool = False) -> Array:
    """A polyline with its corners rounded.

    Args:
        points: The polyline, n x 2.
        radius: About the radius of the rounding; less where a side is short.
        steps: Points for each corner.
        closed: Whether the last point is joined to the first.

    Returns:
        The rounded polyline, m x 2.
    """
    p = np.asarray(points, dtype=float)
    n = len(p)
    out: list[Array] = []
    for i in range(n):
        if not closed and i in (0, n - 1):
            out.append(p[i])
            continue
        before, here, after = p[i - 1], p[i], p[(i + 1) % n]
        to_before, to_after = before - here, after - here
        long_before, long_after = float(np.linalg.norm(to_before)), float(np.linalg.norm(to_after))
        reach = min(radius, 0.48 * long_before, 0.48 * long_after)
        a = here + to_before / max(long_before, 1e-9) * reach
        b = here + to_after / max(long_after, 1e-9) * reach
        for t in np.linspace(0, 1, steps):
            out.append((1 - t) ** 2 * a + 2 * t * (1 - t) * here + t**2 * b)
    return np.array(out)


def distances(path: Array) -> Array:
    """The length of `path` (n x d) from its start to each of its points, n."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])


# --- meshes ------------------------------------------------------------------------------------


def _grid_faces(n: int, m: int) -> list[Face]:
    """The quads between n x m vertices that are numbered row by row."""
    return [
        (i * m + j, (i + 1) * m + j, (i + 1) * m + j + 1, i * m + j + 1)
        for i in range(n - 1)
        for j in range(m - 1)
    ]


def _pairs(first: Array, second: Array) -> Array:
    """Every pair of two axes' values, (len(first) * len(second)) x 2."""
    return np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)


def lathe_mesh(
    profile: ArrayLike, segments: int = 96, angles: tuple[float, float] = (0.0, 360.0)
) -> Mesh:
    """A profile turned about the z axis.

    A full turn has double vertices at the seam, where U starts again.

    Args:
        profile: (radius, z) of its points, n x 2.
        segments: Steps around.
        angles: From where to where it is turned, degrees.

    Returns:
        The mesh; U runs from 0 to 1 around, V from 0 to 1 along the profile.
    """
    p = np.asarray(profile, dtype=float)
    a = np.radians(np.linspace(angles[0], angles[1], segments + 1))
    n, m = len(p), segments + 1
    r, z = p[:, 0][:, None], p[:, 1][:, None]
    grid = np.stack([r * np.cos(a), r * np.sin(a), z + 0 * a], axis=-1)
    along = distances(p)
    along /= max(along[-1], 1e-9)
    uv = _pairs(along, np.linspace(0, 1, m))[:, ::-1]
    faces: list[Face] = []
    for i in range(n - 1):
        for j in range(m - 1):
            quad = [i * m + j, i * m + j + 1, (i + 1) * m + j + 1, (i + 1) * m + j]
            if p[i, 0] < 1e-9:  # on the axis a quad is a triangle
                quad.pop(1)
            elif p[i + 1, 0] < 1e-9:
                quad.pop(2)
            faces.append(quad)
    return Mesh.with_vertex_uv(grid.reshape(-1, 3), faces, uv)


def _frames(path: Array, closed: bool, up: Sequence[float] | None) -> tuple[Array, Array]:
    """Two unit vectors across the path at every point, without twist, or held to `up`."""
    if closed:
        tangent = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    else:
        tangent = np.gradient(path, axis=0)
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    normals = np.empty_like(path)
    if up is not None:
        normals[:] = np.asarray(up, dtype=float)
    else:
        normals[0] = np.eye(3)[np.argmin(np.abs(tangent[0]))]
    for i in range(len(path)):
        n = normals[i] if up is not None or i == 0 else normals[i - 1]
        n = n - tangent[i] * np.dot(n, tangent[i])
        normals[i] = n / max(float(np.linalg.norm(n)), 1e-9)
    return normals, np.cross(tangent, normals)


def sweep_mesh(
    path: ArrayLike,
    section: ArrayLike,
    scale: ArrayLike | None = None,
    closed: bool = False,
    up: Sequence[float] | None = None,
) -> Mesh:
    """An outline carried along a path, its ends capped.

    Args:
        path: Points in space, n x 3.
        section: The closed outline, m x 2. Its first axis lies along `up`, or along a normal
            that does not twist, its second across it.
        scale: How much to widen the outline at each point of the path, n.
        closed: Whether the path returns to its start; there are no caps then.
        up: What the outline's first axis is held to.

    Returns:
        The mesh; its UV is in lengths, around and along.
    """
    line = np.asarray(path, dtype=float)
    outline = np.asarray(section, dtype=float)
    normal, binormal = _frames(line, closed, up)
    k = np.ones(len(line)) if scale is None else np.asarray(scale, dtype=float)
    loop = np.vstack([outline, outline[:1]])
    grid = line[:, None] + k[:, None, None] * (
        normal[:, None] * loop[None, :, :1] + binormal[:, None] * loop[None, :, 1:]
    )
    around, along = distances(loop), distances(line)
    if closed:
        grid = np.concatenate([grid, grid[:1]])
        along = np.append(along, along[-1] + np.linalg.norm(line[0] - line[-1]))
    n, m = grid.shape[:2]
    uv = _pairs(along, around)[:, ::-1]
    faces = _grid_faces(n, m)
    if not closed:
        faces.append(list(range(m - 1)))
        faces.append([(n - 1) * m + j for j in range(m - 2, -1, -1)])
    return Mesh.with_vertex_uv(grid.reshape(-1, 3), faces, uv)


def sheet_mesh(
    surface: Callable[[Array, Array], Array] | Array,
    size: tuple[int, int] = (40, 40),
    unit_uv: bool = False,
) -> Mesh:
    """A surface over the unit square.

    Args:
        surface: Its points, n x m x 3, or a function of U and V (each n x m) that returns them.
        size: n and m, if `surface` is a function.
        unit_uv: Whether UV is in 0..1; else it is in lengths, the mean of each direction.
    """
    if callable(surface):
        u, v = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]), indexing="ij")
        grid = np.asarray(surface(u, v), dtype=float)
    else:
        grid = np.asarray(surface, dtype=float)
    n, m = grid.shape[:2]
    long_u = long_v = 1.0
    if not unit_uv:
        long_u = float(np.linalg.norm(np.diff(grid, axis=0), axis=-1).sum(0).mean())
        long_v = float(np.linalg.norm(np.diff(grid, axis=1), axis=-1).sum(1).mean())
    uv = _pairs(np.linspace(0, long_u, n), np.linspace(0, long_v, m))
    return Mesh.with_vertex_uv(grid.reshape(-1, 3), _grid_faces(n, m), uv)


def slab_mesh(outline: ArrayLike, height: float) -> Mesh:
    """A flat outline (n x 2, counter-clockwise) from z = 0 up to `height`; UV is x and y."""
    p = np.asarray(outline, dtype=float)
    n = len(p)
    low = np.column_stack([p, np.zeros(n)])
    high = np.column_stack([p, np.full(n, height)])
    faces: list[Face] = [list(range(n - 1, -1, -1)), list(range(n, 2 * n))]
    faces += [(i, (i + 1) % n, n + (i + 1) % n, n + i) for i in range(n)]
    return Mesh.with_vertex_uv(np.vstack([low, high]), faces, np.vstack([p, p]))


def block_mesh(size: Sequence[float]) -> Mesh:
    """A box of `size` about the origin; each face carries UV 0..1."""
    half = np.asarray(size, dtype=float) / 2
    corners = np.array([(x, y, z) for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], dtype=float)
    quads = [(0, 1, 5, 4), (1, 3, 7, 5), (3, 2, 6, 7), (2, 0, 4, 6), (4, 5, 7, 6), (2, 3, 1, 0)]
    uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)] * len(quads), dtype=float)
    return Mesh(corners * half, quads, uv)


def disc_mesh(radius: float, z: float = 0.0) -> Mesh:
    """A flat round face at height `z`; UV is 0..1 over its square, V towards +y."""
    rim = arc(1.0, 0, 360, 129)[:-1]
    vertices = np.column_stack([rim * radius, np.full(len(rim), z)])
    return Mesh.with_vertex_uv(vertices, [list(range(len(rim)))], rim / 2 + 0.5)
