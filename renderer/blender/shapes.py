"""Blender objects from meshes and hairs.

Every function makes one object, links it to the scene and returns it. Lengths are in the
product's own unit; `studio.stage` brings every product to the same size afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import ArrayLike, NDArray

from renderer.geometry import (
    Array,
    Mesh,
    arc,
    block_mesh,
    disc_mesh,
    lathe_mesh,
    sheet_mesh,
    slab_mesh,
    sweep_mesh,
)
from renderer.hairs import Coat, fur_points, stitch_points, taper

__all__ = [
    "ball",
    "block",
    "disc",
    "fur",
    "lathe",
    "link",
    "ring",
    "sheet",
    "slab",
    "stitches",
    "strands",
    "sweep",
    "tube",
]

_WELD = 1e-5  # vertices this close are one: the seams of lathes and sweeps


def link(obj: bpy.types.Object, material: bpy.types.Material | None = None) -> bpy.types.Object:
    """Puts `obj` into the scene and gives it its material."""
    bpy.context.scene.collection.objects.link(obj)
    if material is not None:
        obj.data.materials.append(material)
    return obj


def _object(
    name: str, shape: Mesh, material: bpy.types.Material | None, is_smooth: bool = True
) -> bpy.types.Object:
    """One mesh object; `is_smooth` shades its faces as parts of a curved surface."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(
        [tuple(map(float, v)) for v in shape.vertices], [], [tuple(f) for f in shape.faces]
    )
    layer = mesh.uv_layers.new(name="UVMap")
    layer.uv.foreach_set("vector", shape.uv.astype(np.float32).ravel())
    mesh.validate()
    mesh.polygons.foreach_set("use_smooth", [is_smooth] * len(mesh.polygons))
    mesh.update()
    return link(bpy.data.objects.new(name, mesh), material)


# --- solids and surfaces -----------------------------------------------------------------------


def lathe(
    profile: ArrayLike,
    material: bpy.types.Material | None,
    segments: int = 96,
    angles: tuple[float, float] = (0.0, 360.0),
    name: str = "lathe",
) -> bpy.types.Object:
    """A profile of (radius, z), n x 2, turned about the z axis; see `lathe_mesh`."""
    obj = _object(name, lathe_mesh(profile, segments, angles), material)
    if abs(angles[1] - angles[0]) >= 360:
        _weld(obj)
    return obj


def sweep(
    path: ArrayLike,
    section: ArrayLike,
    material: bpy.types.Material | None,
    scale: ArrayLike | None = None,
    closed: bool = False,
    up: Sequence[float] | None = None,
    name: str = "sweep",
) -> bpy.types.Object:
    """An outline (m x 2) carried along a path (n x 3); see `sweep_mesh`."""
    obj = _object(name, sweep_mesh(path, section, scale, closed, up), material)
    _weld(obj)
    _smooth_by_angle(obj)
    return obj


def tube(
    path: ArrayLike,
    radius: float | ArrayLike,
    material: bpy.types.Material | None,
    closed: bool = False,
    sides: int = 16,
    name: str = "tube",
) -> bpy.types.Object:
    """A round rod along `path` (n x 3); `radius` is one number or one for each point."""
    line = np.asarray(path, dtype=float)
    k = np.broadcast_to(np.asarray(radius, dtype=float), (len(line),))
    return sweep(line, arc(1.0, 0, 360, sides + 1)[:-1], material, k, closed, name=name)


def ring(
    radius: float,
    thickness: float,
    material: bpy.types.Material | None,
    centre: Sequence[float] = (0, 0, 0),
    axis: Sequence[float] = (0, 0, 1),
    section: ArrayLike | None = None,
    count: int = 96,
    name: str = "ring",
) -> bpy.types.Object:
    """A torus about `axis`; `section` (m x 2: along the axis, outwards) replaces the round one."""
    circle = arc(radius, 0, 360, count + 1)[:-1]
    path = np.column_stack([circle, np.zeros(count)])
    outline = arc(thickness, 0, 360, 17)[:-1] if section is None else section
    obj = sweep(path, outline, material, closed=True, up=(0, 0, 1), name=name)
    obj.rotation_mode = "QUATERNION"
    obj.rotation_quaternion = Vector((0, 0, 1)).rotation_difference(Vector(axis))
    obj.location = centre
    return obj


def sheet(
    surface: Callable[[Array, Array], Array] | Array,
    material: bpy.types.Material | None,
    size: tuple[int, int] = (40, 40),
    thickness: float = 0.0,
    subdivisions: int = 0,
    unit_uv: bool = False,
    name: str = "sheet",
) -> bpy.types.Object:
    """A surface over the unit square, see `sheet_mesh`, with a thickness if one is given."""
    obj = _object(name, sheet_mesh(surface, size, unit_uv), material)
    if thickness:
        solid = obj.modifiers.new("thickness", "SOLIDIFY")
        solid.thickness = thickness
        solid.offset = 0.0
    if subdivisions:
        subdivision = obj.modifiers.new("subdivision", "SUBSURF")
        subdivision.levels = subdivision.render_levels = subdivisions
    return obj


def slab(
    outline: ArrayLike,
    height: float,
    material: bpy.types.Material | None,
    edge: float = 0.0,
    name: str = "slab",
) -> bpy.types.Object:
    """A flat outline (n x 2, counter-clockwise) pulled up by `height`, its edges rounded."""
    obj = _object(name, slab_mesh(outline, height), material)
    if edge:
        _bevel(obj, edge, angle=50)
    else:
        _smooth_by_angle(obj)
    return obj


def block(
    size: Sequence[float],
    material: bpy.types.Material | None,
    centre: Sequence[float] = (0, 0, 0),
    edge: float = 0.01,
    name: str = "block",
) -> bpy.types.Object:
    """A box of `size` about `centre`, its edges rounded; each face carries UV 0..1."""
    obj = _object(name, block_mesh(size), material, is_smooth=bool(edge))
    obj.location = centre
    if edge:
        _bevel(obj, edge)
    return obj


def ball(
    radii: float | ArrayLike,
    material: bpy.types.Material | None,
    centre: Sequence[float] = (0, 0, 0),
    name: str = "ball",
) -> bpy.types.Object:
    """A sphere, or an ellipsoid of three radii."""
    r = np.broadcast_to(np.asarray(radii, dtype=float), (3,))
    half = arc(1.0, -90, 90, 33)
    half[[0, -1], 0] = 0.0
    obj = lathe(half, material, segments=64, name=name)
    obj.scale = tuple(r)
    obj.location = centre
    return obj


def disc(
    radius: float, material: bpy.types.Material | None, z: float = 0.0, name: str = "disc"
) -> bpy.types.Object:
    """A flat round face at height `z`, its print upright towards +y."""
    return _object(name, disc_mesh(radius, z), material)


# --- finish ------------------------------------------------------------------------------------


def _weld(obj: bpy.types.Object) -> None:
    obj.modifiers.new("weld", "WELD").merge_threshold = _WELD


def _bevel(obj: bpy.types.Object, width: float, angle: float = 30) -> None:
    """Rounds every edge sharper than `angle` degrees."""
    modifier = obj.modifiers.new("bevel", "BEVEL")
    modifier.width = width
    modifier.segments = 4
    modifier.limit_method = "ANGLE"
    modifier.angle_limit = np.radians(angle)
    modifier.harden_normals = True


def _smooth_by_angle(obj: bpy.types.Object, angle: float = 40) -> None:
    obj.data.set_sharp_from_angle(angle=np.radians(angle))


# --- hairs -------------------------------------------------------------------------------------


def strands(
    points: Array, radius: float, material: bpy.types.Material | None, name: str = "strands"
) -> bpy.types.Object:
    """Hairs through `points` (hairs x points x 3) that taper to a tip."""
    hairs, steps = points.shape[:2]
    data = bpy.data.hair_curves.new(name)
    data.add_curves([steps] * hairs)
    data.position_data.foreach_set("vector", points.astype(np.float32).ravel())
    width = taper(hairs, steps, radius)
    attribute = data.attributes.get("radius") or data.attributes.new("radius", "FLOAT", "POINT")
    attribute.data.foreach_set("value", width.astype(np.float32).ravel())
    return link(bpy.data.objects.new(name, data), material)


def fur(
    skin: bpy.types.Object,
    material: bpy.types.Material,
    rng: np.random.Generator,
    coat: Coat,
    radius: float,
) -> bpy.types.Object:
    """Covers the surface of `skin` with hairs of `radius`; `coat.keep` sees world positions."""
    bpy.context.view_layer.update()
    evaluated = skin.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    mesh.calc_loop_triangles()
    count_v, count_t = len(mesh.vertices), len(mesh.loop_triangles)
    v = np.empty(count_v * 3, dtype=np.float32)
    n = np.empty(count_v * 3, dtype=np.float32)
    t = np.empty(count_t * 3, dtype=np.int32)
    mesh.vertices.foreach_get("co", v)
    mesh.vertices.foreach_get("normal", n)
    mesh.loop_triangles.foreach_get("vertices", t)
    evaluated.to_mesh_clear()
    matrix: NDArray[np.float32] = np.array(skin.matrix_world)
    vertices = v.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    normals = n.reshape(-1, 3) @ np.linalg.inv(matrix[:3, :3])
    points = fur_points(vertices, normals, t.reshape(-1, 3), coat, rng)
    return strands(points, radius, material, name=f"{skin.name} fur")


def stitches(
    path: ArrayLike,
    material: bpy.types.Material,
    length: float,
    radius: float,
    name: str = "stitches",
) -> bpy.types.Object:
    """A row of stitches along `path` (n x 3), each `length` long with a gap half as long."""
    return strands(stitch_points(path, length), radius, material, name=name)
