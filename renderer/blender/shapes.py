"""Geometry for the products: lathes, sweeps, sheets, slabs and strands, as Blender objects.

Every function makes one object, links it to the scene and returns it. Lengths are in the
product's own unit; `scenes.stage` brings every product to the same size afterwards.
Outlines, paths and profiles are plain numpy arrays, so that products are described by numbers
alone and come out the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bpy
import numpy as np
from mathutils import Vector

__all__ = [
    "arc",
    "ball",
    "bevel",
    "block",
    "disc",
    "fillet",
    "fur",
    "lathe",
    "link",
    "ring",
    "sheet",
    "slab",
    "smooth",
    "spline",
    "stitches",
    "strands",
    "subdivide",
    "sweep",
    "tube",
]

Array = np.ndarray


def link(obj: bpy.types.Object, material: bpy.types.Material | None = None) -> bpy.types.Object:
    """Put `obj` into the scene and give it its material."""
    bpy.context.scene.collection.objects.link(obj)
    if material is not None:
        obj.data.materials.append(material)
    return obj


def _mesh(
    name: str,
    vertices: Array,
    faces: Sequence[Sequence[int]],
    material: bpy.types.Material | None,
    uv: Array | None = None,
    shade_smooth: bool = True,
) -> bpy.types.Object:
    """One mesh object; `uv` holds one (u, v) for every vertex (seams carry double vertices)."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(map(float, v)) for v in vertices], [], [tuple(f) for f in faces])
    if uv is not None:
        layer = mesh.uv_layers.new(name="UVMap")
        corner = np.empty(len(mesh.loops), dtype=np.int32)
        mesh.loops.foreach_get("vertex_index", corner)
        layer.uv.foreach_set("vector", np.asarray(uv, dtype=np.float32)[corner].ravel())
    mesh.validate()
    mesh.polygons.foreach_set("use_smooth", [shade_smooth] * len(mesh.polygons))
    mesh.update()
    return link(bpy.data.objects.new(name, mesh), material)


# ---------------------------------------------------------------------------------- curves


def spline(points: Sequence[Sequence[float]], count: int = 64, closed: bool = False) -> Array:
    """`count` points on the centripetal-free Catmull-Rom curve through `points` (n x d)."""
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
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )


def arc(
    radius: float, start: float, end: float, count: int = 32, centre: Sequence[float] = (0, 0)
) -> Array:
    """Points on a circle in the plane from `start` to `end` degrees (count x 2)."""
    a = np.radians(np.linspace(start, end, count))
    return np.stack([centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a)], axis=1)


def fillet(
    points: Sequence[Sequence[float]], radius: float, steps: int = 5, closed: bool = False
) -> Array:
    """The polyline `points` (n x 2) with every corner rounded by an arc of about `radius`."""
    p = np.asarray(points, dtype=float)
    n = len(p)
    out: list[Array] = []
    for i in range(n):
        if not closed and i in (0, n - 1):
            out.append(p[i])
            continue
        before, here, after = p[i - 1], p[i], p[(i + 1) % n]
        to_before, to_after = before - here, after - here
        reach = min(radius, 0.48 * np.linalg.norm(to_before), 0.48 * np.linalg.norm(to_after))
        a = here + to_before / max(np.linalg.norm(to_before), 1e-9) * reach
        b = here + to_after / max(np.linalg.norm(to_after), 1e-9) * reach
        for t in np.linspace(0, 1, steps):
            out.append((1 - t) ** 2 * a + 2 * t * (1 - t) * here + t**2 * b)
    return np.array(out)


# ---------------------------------------------------------------------------------- solids


def lathe(
    profile: Sequence[Sequence[float]],
    material: bpy.types.Material | None,
    segments: int = 96,
    angles: tuple[float, float] = (0.0, 360.0),
    name: str = "lathe",
) -> bpy.types.Object:
    """Turn `profile`, a list of (radius, z), about the z axis.

    UV runs from 0 to 1 around and along the profile, which is what a printed label needs.
    """
    p = np.asarray(profile, dtype=float)
    a = np.radians(np.linspace(angles[0], angles[1], segments + 1))
    n, m = len(p), segments + 1
    r, z = p[:, 0][:, None], p[:, 1][:, None]
    grid = np.stack([r * np.cos(a), r * np.sin(a), z + 0 * a], axis=-1)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    along /= max(along[-1], 1e-9)
    uv = np.stack(
        np.broadcast_arrays(np.linspace(0, 1, m)[None, :], along[:, None]), axis=-1
    ).reshape(-1, 2)
    faces = []
    for i in range(n - 1):
        for j in range(m - 1):
            quad = [i * m + j, i * m + j + 1, (i + 1) * m + j + 1, (i + 1) * m + j]
            if p[i, 0] < 1e-9:
                quad.pop(1)
            elif p[i + 1, 0] < 1e-9:
                quad.pop(2)
            faces.append(quad)
    obj = _mesh(name, grid.reshape(-1, 3), faces, material, uv)
    if abs(angles[1] - angles[0]) >= 360:
        weld = obj.modifiers.new("weld", "WELD")
        weld.merge_threshold = 1e-5
    return obj


def _frames(path: Array, closed: bool, up: Sequence[float] | None) -> tuple[Array, Array]:
    """Two unit vectors across the path at every point, without twist (or held to `up`)."""
    if closed:
        tangent = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    else:
        tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    normals = np.empty_like(path)
    if up is not None:
        normals[:] = np.asarray(up, dtype=float)
    else:
        seed = np.eye(3)[np.argmin(np.abs(tangent[0]))]
        normals[0] = seed
    for i in range(len(path)):
        n = normals[i] if up is not None or i == 0 else normals[i - 1]
        n = n - tangent[i] * np.dot(n, tangent[i])
        normals[i] = n / max(np.linalg.norm(n), 1e-9)
    return normals, np.cross(tangent, normals)


def sweep(
    path: Sequence[Sequence[float]],
    section: Sequence[Sequence[float]],
    material: bpy.types.Material | None,
    scale: Sequence[float] | Array | None = None,
    closed: bool = False,
    up: Sequence[float] | None = None,
    name: str = "sweep",
) -> bpy.types.Object:
    """Carry the closed outline `section` (m x 2) along `path` (n x 3).

    The section's first axis lies along `up` (or an untwisted normal), its second across it.
    `scale` widens it, per point of the path. UV is in lengths: around, along.
    """
    path = np.asarray(path, dtype=float)
    section = np.asarray(section, dtype=float)
    normal, binormal = _frames(path, closed, up)
    k = np.ones(len(path)) if scale is None else np.asarray(scale, dtype=float)
    loop = np.vstack([section, section[:1]])
    grid = path[:, None] + k[:, None, None] * (
        normal[:, None] * loop[None, :, :1] + binormal[:, None] * loop[None, :, 1:]
    )
    around = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(loop, axis=0), axis=1))])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(around[None, :], along[:, None]), axis=-1)
    if closed:
        grid = np.concatenate([grid, grid[:1]])
        length = along[-1] + np.linalg.norm(path[0] - path[-1])
        uv = np.concatenate([uv, np.stack([around, np.full_like(around, length)], -1)[None]])
    n, m = grid.shape[:2]
    faces: list[Sequence[int]] = [
        (i * m + j, (i + 1) * m + j, (i + 1) * m + j + 1, i * m + j + 1)
        for i in range(n - 1)
        for j in range(m - 1)
    ]
    if not closed:
        faces.append(list(range(m - 1)))
        faces.append([(n - 1) * m + j for j in range(m - 2, -1, -1)])
    obj = _mesh(name, grid.reshape(-1, 3), faces, material, uv.reshape(-1, 2))
    weld = obj.modifiers.new("weld", "WELD")
    weld.merge_threshold = 1e-5
    _smooth_by_angle(obj)
    return obj


def tube(
    path: Sequence[Sequence[float]],
    radius: float | Sequence[float] | Array,
    material: bpy.types.Material | None,
    closed: bool = False,
    sides: int = 16,
    name: str = "tube",
) -> bpy.types.Object:
    """A round rod along `path`; `radius` is one number or one per point."""
    path = np.asarray(path, dtype=float)
    k = np.broadcast_to(np.asarray(radius, dtype=float), (len(path),))
    return sweep(path, arc(1.0, 0, 360, sides + 1)[:-1], material, k, closed, name=name)


def ring(
    radius: float,
    thickness: float,
    material: bpy.types.Material | None,
    centre: Sequence[float] = (0, 0, 0),
    axis: Sequence[float] = (0, 0, 1),
    section: Sequence[Sequence[float]] | None = None,
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
    """A surface `f(u, v) -> xyz` over the unit square, with a thickness if one is given.

    UV is in lengths (the mean of each direction), or in 0..1 with `unit_uv`.
    """
    if callable(surface):
        u, v = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]), indexing="ij")
        grid = np.asarray(surface(u, v), dtype=float)
        if grid.shape[0] == 3 and grid.ndim == 3 and grid.shape[-1] != 3:
            grid = np.moveaxis(grid, 0, -1)
    else:
        grid = np.asarray(surface, dtype=float)
    n, m = grid.shape[:2]
    lu = lv = 1.0
    if not unit_uv:
        lu = float(np.linalg.norm(np.diff(grid, axis=0), axis=-1).sum(0).mean())
        lv = float(np.linalg.norm(np.diff(grid, axis=1), axis=-1).sum(1).mean())
    uv = np.stack(np.meshgrid(np.linspace(0, lu, n), np.linspace(0, lv, m), indexing="ij"), axis=-1)
    faces = [
        (i * m + j, (i + 1) * m + j, (i + 1) * m + j + 1, i * m + j + 1)
        for i in range(n - 1)
        for j in range(m - 1)
    ]
    obj = _mesh(name, grid.reshape(-1, 3), faces, material, uv.reshape(-1, 2))
    if thickness:
        solid = obj.modifiers.new("thickness", "SOLIDIFY")
        solid.thickness = thickness
        solid.offset = 0.0
    if subdivisions:
        subdivide(obj, subdivisions)
    return obj


def slab(
    outline: Sequence[Sequence[float]],
    height: float,
    material: bpy.types.Material | None,
    edge: float = 0.0,
    name: str = "slab",
) -> bpy.types.Object:
    """A flat outline (n x 2, counter-clockwise) pulled up by `height`, its edges rounded."""
    p = np.asarray(outline, dtype=float)
    n = len(p)
    low = np.column_stack([p, np.zeros(n)])
    high = np.column_stack([p, np.full(n, height)])
    faces: list[Sequence[int]] = [list(range(n - 1, -1, -1)), list(range(n, 2 * n))]
    faces += [(i, (i + 1) % n, n + (i + 1) % n, n + i) for i in range(n)]
    uv = np.vstack([p, p])
    obj = _mesh(name, np.vstack([low, high]), faces, material, uv, shade_smooth=True)
    if edge:
        bevel(obj, edge, angle=50)
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
    """A box of `size` about `centre` with rounded edges; each face carries UV 0..1."""
    half = np.asarray(size, dtype=float) / 2
    corners = np.array([(x, y, z) for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], dtype=float)
    quads = [(0, 1, 5, 4), (1, 3, 7, 5), (3, 2, 6, 7), (2, 0, 4, 6), (4, 5, 7, 6), (2, 3, 1, 0)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(c) for c in corners * half], [], quads)
    layer = mesh.uv_layers.new(name="UVMap")
    for i, (u, v) in enumerate([(0, 0), (1, 0), (1, 1), (0, 1)] * 6):
        layer.uv[i].vector = (u, v)
    obj = link(bpy.data.objects.new(name, mesh), material)
    obj.location = centre
    if edge:
        bevel(obj, edge)
    return obj


def ball(
    radii: float | Sequence[float],
    material: bpy.types.Material | None,
    centre: Sequence[float] = (0, 0, 0),
    name: str = "ball",
) -> bpy.types.Object:
    """A sphere or ellipsoid."""
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
    """A flat round face at height `z`, its print upright towards +y (UV 0..1 over its square)."""
    rim = arc(1.0, 0, 360, 129)[:-1]
    vertices = np.column_stack([rim * radius, np.full(len(rim), z)])
    return _mesh(name, vertices, [list(range(len(rim)))], material, rim / 2 + 0.5)


# ---------------------------------------------------------------------------------- finish


def bevel(
    obj: bpy.types.Object, width: float, segments: int = 4, angle: float = 30
) -> bpy.types.Object:
    """Round every edge sharper than `angle` degrees."""
    modifier = obj.modifiers.new("bevel", "BEVEL")
    modifier.width = width
    modifier.segments = segments
    modifier.limit_method = "ANGLE"
    modifier.angle_limit = np.radians(angle)
    modifier.harden_normals = True
    obj.data.polygons.foreach_set("use_smooth", [True] * len(obj.data.polygons))
    return obj


def subdivide(obj: bpy.types.Object, levels: int = 2) -> bpy.types.Object:
    """Catmull-Clark subdivision."""
    modifier = obj.modifiers.new("subdivision", "SUBSURF")
    modifier.levels = modifier.render_levels = levels
    return obj


def smooth(obj: bpy.types.Object, iterations: int = 5) -> bpy.types.Object:
    """Relax the mesh: what a hand does to stuffing."""
    modifier = obj.modifiers.new("smooth", "SMOOTH")
    modifier.iterations = iterations
    return obj


def _smooth_by_angle(obj: bpy.types.Object, angle: float = 40) -> None:
    obj.data.set_sharp_from_angle(angle=np.radians(angle))


# ---------------------------------------------------------------------------------- strands


def strands(
    points: Array, radius: float, material: bpy.types.Material | None, name: str = "strands"
) -> bpy.types.Object:
    """Hairs: `points` is (hairs x points x 3); they taper to a tip."""
    hairs, steps = points.shape[:2]
    data = bpy.data.hair_curves.new(name)
    data.add_curves([steps] * hairs)
    data.position_data.foreach_set("vector", points.astype(np.float32).ravel())
    width = np.broadcast_to(np.linspace(1.0, 0.35, steps) * radius, (hairs, steps))
    attribute = data.attributes.get("radius") or data.attributes.new("radius", "FLOAT", "POINT")
    attribute.data.foreach_set("value", width.astype(np.float32).ravel())
    return link(bpy.data.objects.new(name, data), material)


def fur(
    skin: bpy.types.Object,
    material: bpy.types.Material,
    rng: np.random.Generator,
    count: int,
    length: float,
    radius: float = 0.0015,
    comb: Sequence[float] = (0, 0, -0.4),
    curl: float = 0.25,
    steps: int = 6,
    keep: Callable[[Array], Array] | None = None,
) -> bpy.types.Object:
    """Cover the surface of `skin` with hairs.

    `comb` is the way they are brushed, in lengths; `curl` how unruly they are; `keep` takes the
    roots (n x 3, world) and says which of them grow.
    """
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
    matrix = np.array(skin.matrix_world)
    v = v.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    n = n.reshape(-1, 3) @ np.linalg.inv(matrix[:3, :3])
    t = t.reshape(-1, 3)
    a, b, c = (v[t[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(t), count, p=area / area.sum())
    w = rng.dirichlet((1, 1, 1), count)
    root = np.einsum("nk,nkd->nd", w, v[t[face]])
    normal = np.einsum("nk,nkd->nd", w, n[t[face]])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    if keep is not None:
        chosen = keep(root)
        root, normal = root[chosen], normal[chosen]
    size = length * rng.uniform(0.6, 1.1, (len(root), 1))
    lean = normal + np.asarray(comb) * 0.5 + rng.normal(0, curl, root.shape)
    bend = np.asarray(comb) + rng.normal(0, curl, root.shape)
    s = np.linspace(0, 1, steps)[None, :, None]
    points = root[:, None] + size[:, None] * (lean[:, None] * s + bend[:, None] * s**2 * 0.6)
    wiggle = rng.normal(0, 0.08 * curl * length, (len(root), steps, 3)) * s
    return strands(points + wiggle, radius, material, name=f"{skin.name} fur")


def stitches(
    path: Sequence[Sequence[float]],
    material: bpy.types.Material,
    length: float,
    radius: float,
    name: str = "stitches",
) -> bpy.types.Object:
    """A row of stitches along `path`, each `length` long with a gap half as long."""
    p = np.asarray(path, dtype=float)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    starts = np.arange(0, along[-1] - length, length * 1.5)

    def at(distance: Array) -> Array:
        return np.stack([np.interp(distance, along, p[:, k]) for k in range(3)], axis=-1)

    ends = np.stack([at(starts + f * length) for f in (0, 0.5, 1)], axis=1)
    return strands(ends, radius, material, name=name)
