"""Profiles of hollow bodies, as (radius, z) from the bottom outwards, for a lathe."""

from __future__ import annotations

import numpy as np

from renderer.geometry import Array, arc, fillet, spline

__all__ = ["WET", "drink", "silhouette", "vessel"]

# How far a drink reaches into its glass: with air between them, the wall would stand apart from
# the drink as a clear ring, which no glass shows.
WET = 0.003


def vessel(outer: Array, wall: float, floor: float) -> Array:
    """The profile of a hollow body: up the outside, over a round lip, down the inside."""
    inner = outer[outer[:, 1] > floor][::-1].copy()
    inner[:, 0] = np.maximum(inner[:, 0] - wall, 1e-3)
    lip = arc(wall / 2, 0, 180, 7, (outer[-1, 0] - wall / 2, outer[-1, 1]))
    bottom = [(inner[-1, 0], floor), (0.0, floor)]
    return np.vstack([outer, lip[1:-1], inner, bottom])


def drink(outer: Array, wall: float, floor: float, level: float, points: int = 24) -> Array:
    """The profile of what fills a `_vessel` up to a level."""
    at = np.linspace(floor - WET, level, points)
    width = np.maximum(np.interp(at, outer[:, 1], outer[:, 0]) - wall + WET, 0.002)
    return np.vstack([[(0, at[0])], np.column_stack([width, at]), [(0, level)]])


def silhouette(kind: str, rng: np.random.Generator) -> Array:
    """The outside of a glass from its foot to its lip: 80 points (radius, z)."""
    r, h, foot = 0.4, rng.uniform(0.6, 1.3), rng.uniform(0.24, 0.4)
    if kind == "straight":
        path = fillet([(r * rng.uniform(0.75, 1), 0.0), (r, h)], 0.03)
    elif kind == "jar":
        neck = r * rng.uniform(0.7, 0.98)
        turns = [(r * 0.96, 0.0), (r, 0.05), (r, h), (neck, h + 0.1), (neck, h + 0.2)]
        path = fillet(turns, 0.06)
    elif kind == "carafe":
        turns = [(foot, 0.0), (r * 1.1, 0.25), (0.14, 0.75), (rng.uniform(0.14, 0.3), 1.1)]
        path = spline(turns, 60)
    elif kind == "bowl":
        lip = (r * rng.uniform(1, 1.3), rng.uniform(0.3, 0.6))
        path = spline([(foot * 0.6, 0.0), (r * 0.95, 0.2), lip], 50)
    elif kind == "vase":
        radii = (foot, *rng.uniform(0.2, 0.45, 2), rng.uniform(0.15, 0.45))
        path = spline(list(zip(radii, np.linspace(0, h, 4), strict=True)), 60)
    else:
        lip = (r * rng.uniform(0.45, 0.75), 0.75)
        path = spline([(0.03, 0.0), (0.3, 0.14), (r * 0.8, 0.4), lip], 60)
    path = np.asarray(path, dtype=float)
    at, given = np.linspace(0, 1, 80), np.linspace(0, 1, len(path))
    path = np.column_stack([np.interp(at, given, path[:, k]) for k in (0, 1)])
    path[:, 0] = np.maximum(path[:, 0], 0.03)
    return path
