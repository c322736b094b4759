"""Cut-outs with exact alpha and their hard shadows, drawn from the shared 3D models.

    python -m training.models3d --out DIR

A small rasteriser in numpy and OpenCV: a path tracer is better to look at and takes 30 times as
long. Each model is shown from several sides under the light of an HDRI and a sun; its shadow is
the projection of its triangles onto the plane it stands on, along the sun's rays. Every fifth
family of models by name is held out and never drawn here. Seeded; started again it goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

import cv2
import numpy as np

from .families import train_models
from .meshes import Mesh, read_glb, split_large
from .sources import find_shared, read_picture

__all__ = ["CUTOUTS", "SHADOWS", "Surroundings", "draw_view", "main", "set_down"]

CUTOUTS, SHADOWS = "cutouts", "shadows"
"""Folders of the views and of the shadows that they throw."""
_CLEAR = frozenset({"glass-table"})  # the rasteriser knows no glass
_FRAME = 2.2  # side of the frame in sides of the subject: there must be room for the shadow


# --- geometry ----------------------------------------------------------------------------------


def set_down(mesh: Mesh, turn: float) -> Mesh:
    """Brings a model to size 1 (its longest side), standing on z = 0 about the origin.

    Args:
        mesh: The model, of at most a few 100 000 triangles.
        turn: Turn about the vertical, radians.
    """
    c, s = np.cos(turn), np.sin(turn)
    about = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
    corners = mesh.corners @ about.T
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    foot = np.array([*(low + high)[:2] / 2, low[2]])
    corners = (corners - foot) / (high - low).max()
    return dataclasses.replace(
        mesh, corners=corners.astype(np.float32), normals=mesh.normals @ about.T
    )


@dataclasses.dataclass(frozen=True)
class _Camera:
    """A pinhole that looks at `target` from `eye`; orthographic where `focal` is 0."""

    eye: np.ndarray
    axes: np.ndarray  # rows: right, down, forward
    focal: float
    scale: float
    side: int

    @classmethod
    def make(cls, towards: np.ndarray, middle: np.ndarray, distance: float, side: int) -> _Camera:
        """Looks at `middle` from the direction `towards` (of length 1)."""
        forward = -towards
        up = np.array([0, 0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0, 1.0, 0])
        right = np.cross(forward, up)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(forward, right), forward])
        return cls(middle + towards * distance, axes, distance, 1.0, side)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (... x 2) and depth (...) of points (... x 3)."""
        seen = (points - self.eye) @ self.axes.T
        depth = np.maximum(seen[..., 2], 1e-3)
        flat = seen[..., :2] * (self.focal / depth)[..., None]
        return flat * self.scale + self.side / 2, depth


def _paint(pixels: np.ndarray, depth: np.ndarray, side: int) -> np.ndarray:
    """For each pixel the triangle in front, -1 where there is none: side x side int32."""
    ids = np.full((side, side), -1, np.int32)
    fixed = np.rint(pixels * 16).astype(np.int32)
    for i in np.argsort(-depth.mean(axis=1)):
        cv2.fillConvexPoly(ids, fixed[i], int(i), cv2.LINE_8, 4)
    return ids


def _weights(pixels: np.ndarray, depth: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Perspective-correct barycentric weights (N x 3) of pixels in their triangles (N x 3 x 2)."""
    a, b, c = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    p = np.stack([x, y], axis=1).astype(np.float32)

    def area(u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        one, other = v - u, w - u
        twice: np.ndarray = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
        return twice

    shares = np.stack([area(p, b, c), area(a, p, c), area(a, b, p)], axis=1)
    whole = shares.sum(axis=1, keepdims=True)
    shares = np.clip(shares / np.where(np.abs(whole) < 1e-6, 1e-6, whole), 0, 1) / depth
    weights: np.ndarray = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
    return weights


# --- light -------------------------------------------------------------------------------------


def _directions(h: int, w: int) -> np.ndarray:
    """Unit vectors (h x w x 3, z up) of the pixels of a latitude-longitude picture."""
    up = np.pi * (0.5 - (np.arange(h) + 0.5) / h)[:, None]
    around = 2 * np.pi * ((np.arange(w) + 0.5) / w - 0.5)[None]
    return np.stack(
        [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up) + 0 * around], axis=2
    )


def _sampled(picture: np.ndarray, at: np.ndarray, border: int) -> np.ndarray:
    """The picture's values (N x 3) at N x 2 points (x, y), between its pixels."""
    if not len(at):
        return np.empty((0, 3), picture.dtype)
    n, across = len(at), 256  # OpenCV takes no more than 32 767 in a row
    at = np.concatenate([at, np.zeros((-n % across, 2))]).astype(np.float32)
    x, y = (np.ascontiguousarray(plane).reshape(-1, across) for plane in at.T)
    values: np.ndarray = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=border)
    return values.reshape(-1, 3)[:n]


def _look_up(light: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The light (h x w x 3) from the directions `n` (N x 3)."""
    h, w = light.shape[:2]
    row = (0.5 - np.arcsin(np.clip(n[:, 2], -1, 1)) / np.pi) * h - 0.5
    column = (np.arctan2(n[:, 1], n[:, 0]) / (2 * np.pi) + 0.5) * w - 0.5
    return _sampled(light, np.stack([column, row], axis=1), cv2.BORDER_REPLICATE)


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What lights a model: h x w x 3 float32, by direction, of mean 1 (see `_directions`).

    Attributes:
        diffuse: What a matt surface gets, by its normal.
        gloss: What a glossy one shows, by the mirrored direction.
    """

    diffuse: np.ndarray
    gloss: np.ndarray

    @classmethod
    def make(cls, hdri: np.ndarray) -> Surroundings:
        """Takes them from an HDRI, H x W x 3 float32 BGR."""
        small = cv2.resize(hdri, (64, 32), interpolation=cv2.INTER_AREA)
        small = np.minimum(small, 20 * np.median(small))
        n = _directions(32, 64)
        solid = np.cos(np.arcsin(n[..., 2]))[..., None]
        mean = (small * solid).sum(axis=(0, 1)).mean() / solid.sum()
        small = (small / max(mean, 1e-6)).astype(np.float32)
        seen = np.maximum(n.reshape(-1, 3) @ n.reshape(-1, 3).T, 0) * solid.reshape(1, -1)
        diffuse = seen @ small.reshape(-1, 3) / seen.sum(axis=1, keepdims=True)
        return cls(diffuse.reshape(32, 64, 3).astype(np.float32), small)


def _albedo(mesh: Mesh, ids: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Base colours in linear light, N x 3, of points with `uv` on the triangles `ids`."""
    out = np.empty((len(ids), 3), np.float32)
    for index, (texture, factor) in enumerate(zip(mesh.textures, mesh.factors, strict=True)):
        on = mesh.material[ids] == index
        if texture is None:
            out[on] = factor
            continue
        h, w = texture.shape[:2]
        seen = _sampled(texture, (uv[on] % 1) * (w, h) - 0.5, cv2.BORDER_WRAP)
        out[on] = (seen / np.float32(255)) ** 2.2 * factor
    return out


def draw_view(
    rng: np.random.Generator, mesh: Mesh, around: Surroundings, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a model from a side, twice supersampled.

    Args:
        rng: Source of chance: the camera, the sun, the gloss.
        mesh: The model, set down.
        around: Its light.
        size: Side of the frame, pixels; the model takes `1 / _FRAME` of it.

    Returns:
        BGRA, size x size x 4 uint8 (straight alpha), and the share of the sun's light that the
        model takes from the plane under it, size x size uint8.
    """
    side = 2 * size
    kind = rng.random()
    low, high = (2, 18) if kind < 0.35 else (18, 45) if kind < 0.75 else (60, 90)
    up = np.radians(rng.uniform(low, high))
    towards = np.array([0, -np.cos(up), np.sin(up)])
    points = mesh.corners.reshape(-1, 3)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    camera = _Camera.make(towards, middle, rng.uniform(2.2, 6), side)
    seen, _ = camera.project(points)
    extent = (seen.max(axis=0) - seen.min(axis=0)).max()
    camera = dataclasses.replace(camera, scale=side / _FRAME / float(extent))
    seen, _ = camera.project(points)
    shift = side / 2 - (seen.min(axis=0) + seen.max(axis=0)) / 2
    pixels, depth = camera.project(mesh.corners)
    pixels = pixels + shift
    ids = _paint(pixels, depth, side)
    y, x = np.nonzero(ids >= 0)
    at = ids[y, x]
    weights = _weights(pixels[at], depth[at], y, x)[..., None].astype(np.float32)

    spots = (mesh.corners[at] * weights).sum(axis=1)
    n = (mesh.normals[at] * weights).sum(axis=1)
    n /= np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-6)
    view = camera.eye - spots
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    facing = (n * view).sum(axis=1, keepdims=True)
    n, facing = np.where(facing < 0, -n, n), np.abs(facing)

    sun_up, sun_around = np.radians(rng.uniform(26, 75)), rng.uniform(0, 2 * np.pi)
    sun = np.array(
        [np.cos(sun_up) * np.cos(sun_around), np.cos(sun_up) * np.sin(sun_around), np.sin(sun_up)]
    )
    power = rng.uniform(0.6, 2.2) if rng.random() < 0.65 else 0.0
    lit = np.clip(n @ sun, 0, 1) * _reached(mesh, sun, spots) * power
    colour = _albedo(mesh, at, (mesh.uv[at] * weights).sum(axis=1))
    colour = colour * (_look_up(around.diffuse, n) * rng.uniform(0.5, 1) + lit[:, None])
    mirrored = 2 * facing * n - view
    fresnel = 0.04 + 0.96 * (1 - facing) ** 5
    colour += _look_up(around.gloss, mirrored) * fresnel * rng.uniform(0, 0.8)
    exposed = np.clip(colour * rng.uniform(0.7, 1.2) * 1.3 / (1.2 + power), 0, 1) ** (1 / 2.2)

    bgra = np.zeros((side, side, 4), np.float32)  # colours times alpha, and alpha
    bgra[y, x, :3], bgra[y, x, 3] = exposed * 255, 1
    bgra = cv2.resize(bgra, (size, size), interpolation=cv2.INTER_AREA)
    bgra[..., :3] /= np.maximum(bgra[..., 3:], 1e-3)
    bgra[..., 3] *= 255

    fallen = mesh.corners - sun * (mesh.corners[..., 2:] / sun[2])
    flat, _ = camera.project(fallen)
    shadow = np.zeros((side, side), np.uint8)
    for corners in np.rint((flat + shift) * 16).astype(np.int32):
        cv2.fillConvexPoly(shadow, corners, 255, cv2.LINE_8, 4)
    shadow = cv2.resize(shadow, (size, size), interpolation=cv2.INTER_AREA)
    return np.rint(np.clip(bgra, 0, 255)).astype(np.uint8), shadow


def _reached(mesh: Mesh, sun: np.ndarray, spots: np.ndarray, side: int = 384) -> np.ndarray:
    """Whether the sun reaches `spots` (N x 3) past the model's other parts: N float32."""
    camera = _Camera.make(sun, np.zeros(3), 50.0, side)
    camera = dataclasses.replace(camera, scale=side / 3.0)
    pixels, depth = camera.project(mesh.corners)
    ids = _paint(pixels, depth, side)
    at, far = camera.project(spots)
    column, row = (np.clip(np.rint(v), 0, side - 1).astype(int) for v in at.T)
    nearest = depth.mean(axis=1)[ids[row, column]]
    return np.where(ids[row, column] >= 0, far < nearest + 0.06, True).astype(np.float32)


def main() -> None:
    """Draws what is not yet there, one view of every model after another."""
    shared = find_shared() / "data" / "train"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=pathlib.Path, default=shared / "models3d")
    parser.add_argument("--hdri", type=pathlib.Path, default=shared / "hdri")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--views", type=int, default=6, help="pictures of a model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=704, help="side of the frame, pixels")
    options = parser.parse_args()
    for folder in (CUTOUTS, SHADOWS):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    names = train_models([path.stem for path in options.models.glob("*.glb")])
    lights = [
        Surroundings.make(read_picture(path, cv2.IMREAD_UNCHANGED))
        for path in sorted(options.hdri.glob("*.hdr"))
    ]
    for view in range(options.views):
        for number, name in enumerate(names):
            if name in _CLEAR:
                continue
            stem = f"{name}-{options.seed}-{view}"
            if (options.out / SHADOWS / f"{stem}.png").exists():
                continue
            rng = np.random.default_rng([options.seed, view, number])
            mesh = read_glb(options.models / f"{name}.glb")
            stood = split_large(set_down(mesh, rng.uniform(0, 2 * np.pi)), 0.06)
            bgra, shadow = draw_view(rng, stood, lights[rng.integers(len(lights))], options.size)
            cv2.imwrite(str(options.out / CUTOUTS / f"{stem}.png"), bgra)
            cv2.imwrite(str(options.out / SHADOWS / f"{stem}.png"), shadow)


if __name__ == "__main__":
    main()
