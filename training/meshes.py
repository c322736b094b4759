"""Reads GLB files (glTF 2.0) as triangles with base colours, for the cut-outs' rasteriser."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import struct
from typing import Any

import cv2
import numpy as np

__all__ = ["Mesh", "read_glb", "split_large"]

_DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TEXTURE = 512


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles, each with its own corners.

    Attributes:
        corners: T x 3 x 3 float32, x, y, z with z up.
        normals: T x 3 x 3 float32, of length 1.
        uv: T x 3 x 2 float32, in textures, v down.
        material: T ints, indices of `textures` and `factors`.
        textures: One a material: h x w x 3 uint8 BGR, or None.
        factors: M x 3 float32, BGR in linear light, times the texture.
    """

    corners: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    textures: tuple[np.ndarray | None, ...]
    factors: np.ndarray


def _matrix_of(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    out = np.eye(4)
    out[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    out[:3, :3] *= np.array(node.get("scale", (1, 1, 1)))
    out[:3, 3] = node.get("translation", (0, 0, 0))
    return out


class _File:
    def __init__(self, path: pathlib.Path) -> None:
        data = path.read_bytes()
        length = struct.unpack_from("<I", data, 12)[0]
        self.about = json.loads(data[20 : 20 + length])
        self._blob = data[20 + length + 8 :]

    def view(self, index: int) -> bytes:
        view = self.about["bufferViews"][index]
        start = view.get("byteOffset", 0)
        return self._blob[start : start + view["byteLength"]]

    def values(self, index: int) -> np.ndarray:
        accessor = self.about["accessors"][index]
        dtype: np.dtype[Any] = np.dtype(_DTYPES[accessor["componentType"]])
        width = _WIDTHS[accessor["type"]]
        blob = self.view(accessor["bufferView"])
        step = self.about["bufferViews"][accessor["bufferView"]].get("byteStride")
        rows = np.ndarray(
            (accessor["count"], width), dtype, blob, accessor.get("byteOffset", 0),
            (step or dtype.itemsize * width, dtype.itemsize),
        )  # fmt: skip
        values = rows.astype(np.float64) if dtype == np.float32 else rows.astype(np.int64)
        return values / np.iinfo(dtype).max if accessor.get("normalized") else values

    def material(self, index: int | None) -> tuple[np.ndarray | None, np.ndarray]:
        plain = np.full(3, 0.8, np.float32)
        if index is None:
            return None, plain
        shading = self.about["materials"][index].get("pbrMetallicRoughness", {})
        factor = np.array(shading.get("baseColorFactor", (1, 1, 1, 1))[2::-1], np.float32)
        if "baseColorTexture" not in shading:
            return None, factor
        source = self.about["textures"][shading["baseColorTexture"]["index"]]["source"]
        blob = self.view(self.about["images"][source]["bufferView"])
        texture = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR)
        if texture is None:
            return None, plain
        k = _TEXTURE / max(texture.shape[:2])
        if k < 1:
            texture = cv2.resize(texture, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
        return texture, factor


def read_glb(path: pathlib.Path) -> Mesh:
    """Reads the default scene of a self-contained GLB file; skins, morphs, alphas are ignored."""
    file = _File(path)
    about = file.about
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, int | None]] = []

    def visit(index: int, above: np.ndarray) -> None:
        node = about["nodes"][index]
        matrix = above @ _matrix_of(node)
        for primitive in about["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
            if primitive.get("mode", 4) != 4:
                continue
            names = primitive["attributes"]
            at = file.values(names["POSITION"]) @ matrix[:3, :3].T + matrix[:3, 3]
            faces = np.arange(len(at))
            if "indices" in primitive:
                faces = file.values(primitive["indices"]).ravel()
            corners = at[faces].reshape(-1, 3, 3)
            flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            normals = np.repeat(flat[:, None], 3, axis=1)
            if "NORMAL" in names:
                turned = file.values(names["NORMAL"]) @ np.linalg.inv(matrix[:3, :3])
                normals = turned[faces].reshape(-1, 3, 3)
            uv = np.zeros((len(corners), 3, 2))
            if "TEXCOORD_0" in names:
                uv = file.values(names["TEXCOORD_0"])[faces].reshape(-1, 3, 2)
            parts.append((corners, normals, uv, primitive.get("material")))
        for child in node.get("children", ()):
            visit(child, matrix)

    for root in about["scenes"][about.get("scene", 0)]["nodes"]:
        visit(root, np.eye(4))
    used = sorted({part[3] for part in parts}, key=lambda index: -1 if index is None else index)
    textures, factors = zip(*(file.material(index) for index in used), strict=True)
    corners, normals, uv = (np.concatenate([part[i] for part in parts]) for i in range(3))
    normals = normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-12)
    up = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # from y up to z up
    return Mesh(
        (corners @ up.T).astype(np.float32),
        (normals @ up.T).astype(np.float32),
        uv.astype(np.float32),
        np.concatenate([np.full(len(part[0]), used.index(part[3])) for part in parts]),
        textures,
        np.stack(factors),
    )


def split_large(mesh: Mesh, longest: float, rounds: int = 12) -> Mesh:
    """Halves triangles across their longest edge until none is longer than `longest`.

    The rasteriser paints triangles from far to near, which is right for small ones only.
    """
    planes = [mesh.corners, mesh.normals, mesh.uv]
    material = mesh.material
    for _ in range(rounds):
        edges = np.linalg.norm(planes[0] - np.roll(planes[0], -1, axis=1), axis=2)
        large = edges.max(axis=1) > longest
        if not large.any() or len(large) > 300_000:
            break
        first = edges[large].argmax(axis=1)
        order = (first[:, None] + np.arange(3)) % 3  # the longest edge from corner 0 to corner 1
        for i, plane in enumerate(planes):
            turned = np.take_along_axis(plane[large], order[..., None], axis=1)
            middle = (turned[:, :1] + turned[:, 1:2]) / 2
            one = np.concatenate([turned[:, :1], middle, turned[:, 2:]], axis=1)
            other = np.concatenate([middle, turned[:, 1:]], axis=1)
            planes[i] = np.concatenate([plane[~large], one, other])
        material = np.concatenate([material[~large], material[large], material[large]])
    return dataclasses.replace(
        mesh, corners=planes[0], normals=planes[1], uv=planes[2], material=material
    )
