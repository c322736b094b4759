"""The studio: staging of products, grounds, lights and the camera.

The product of a picture is brought to size 1 (its longest side) and stands on z = 0 about the
origin, looked at from -y. Grounds, lights and distances are in that unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import bpy
import materials as m
import numpy as np
import shapes as s
from dice import Dice
from mathutils import Matrix, Vector

__all__ = ["GROUNDS", "Light", "View", "aim", "light", "push", "reset", "span", "stage"]

Colour = Sequence[float]


@dataclass(frozen=True)
class View:
    """Where the camera stands and how the product sits in the frame.

    Attributes:
        size: Width and height of the picture in pixels.
        azimuth: Degrees about the product, 0 in front, positive to the right.
        elevation: Degrees above the horizon.
        focal: Focal length in mm on a 36 mm sensor's longer side.
        fill: Share of the frame's width or height that the product takes, whichever is more.
        shift: Where the product's middle lies, in frame widths and heights off the middle.
        blur: Depth of field; 0 is none, 1 is a wide-open lens.
    """

    size: tuple[int, int] = (1000, 1000)
    azimuth: float = 0.0
    elevation: float = 12.0
    focal: float = 85.0
    fill: float = 0.75
    shift: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0


@dataclass(frozen=True)
class Light:
    """A studio's light; powers are relative to a well-lit white ground.

    Attributes:
        key: Strength of the main softbox.
        fill: Strength of the softbox on the other side.
        rim: Strength of the light from behind.
        sky: Strength of the light from all around.
        side: Where the key stands: -1 left, +1 right.
        size: Width of the key in product sizes: large is soft.
        height: Height of the key in product sizes.
        warmth: -1 (cold) .. 1 (warm).
    """

    key: float = 1.0
    fill: float = 0.35
    rim: float = 0.5
    sky: float = 0.45
    side: float = -1.0
    size: float = 2.2
    height: float = 2.8
    warmth: float = 0.0


def reset() -> None:
    """Empty the scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)


def _vertices(objects: Iterable[bpy.types.Object]) -> np.ndarray:
    """World positions (n x 3) of all that is drawn."""
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    found = []
    for obj in objects:
        matrix = np.array(obj.matrix_world)
        if obj.type == "MESH":
            mesh = obj.evaluated_get(graph).data
            v = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
            mesh.vertices.foreach_get("co", v)
        elif obj.type == "CURVES":
            v = np.empty(len(obj.data.points) * 3, dtype=np.float32)
            obj.data.position_data.foreach_get("vector", v)
        else:
            continue
        found.append(v.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
    return np.concatenate(found)


def stage(
    build: Callable[[Dice], None],
    dice: Dice,
    at: Sequence[float] = (0.0, 0.0, 0.0),
    turn: float = 0.0,
    size: float = 1.0,
    tilt: Sequence[float] = (0.0, 0.0),
) -> list[bpy.types.Object]:
    """Build a product and set it down: longest side `size`, turned by `turn` degrees.

    `tilt` leans it (about x, about y, in degrees) before it is set on the ground.
    """
    before = set(bpy.data.objects)
    build(dice)
    made = [o for o in bpy.data.objects if o not in before]
    root = s.link(bpy.data.objects.new("product", None))
    for obj in made:
        obj.parent = root
    lean = Matrix.Rotation(np.radians(tilt[1]), 4, "Y") @ Matrix.Rotation(
        np.radians(tilt[0]), 4, "X"
    )
    lean = Matrix.Rotation(np.radians(turn), 4, "Z") @ lean
    root.matrix_world = lean
    v = _vertices(made)
    low, high = v.min(0), v.max(0)
    k = size / float((high - low).max())
    middle = Vector(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]))
    root.matrix_world = (
        Matrix.Translation(Vector(at)) @ Matrix.Scale(k, 4) @ (Matrix.Translation(-middle) @ lean)
    )
    bpy.context.view_layer.update()
    return made


def span(objects: Iterable[bpy.types.Object]) -> tuple[float, float]:
    """From where to where they reach along x."""
    x = _vertices(objects)[:, 0]
    return float(x.min()), float(x.max())


def push(product: Iterable[bpy.types.Object], by: float) -> None:
    """Moves a staged product along x."""
    for root in {obj.parent for obj in product}:
        root.matrix_world = Matrix.Translation(Vector((by, 0.0, 0.0))) @ root.matrix_world
    bpy.context.view_layer.update()


def aim(view: View, subject: Iterable[bpy.types.Object]) -> None:
    """Place the camera so that the subject fills the frame as `view` asks."""
    scene = bpy.context.scene
    width, height = view.size
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100
    camera = s.link(bpy.data.objects.new("camera", bpy.data.cameras.new("camera")))
    camera.data.lens = view.focal
    camera.data.sensor_width = 36.0
    camera.data.sensor_fit = "AUTO"
    camera.data.clip_end = 500.0
    scene.camera = camera
    v = _vertices(subject)
    centre = (v.min(0) + v.max(0)) / 2
    a, e = np.radians(view.azimuth), np.radians(view.elevation)
    away = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
    rotation = Vector(away).to_track_quat("Z", "Y")
    axes = np.array(rotation.to_matrix())
    unit = view.focal / 36.0 * max(width, height)
    distance = 6.0
    for _ in range(12):
        local = (v - centre - away * distance) @ axes
        px = local[:, :2] / -local[:, 2:] * unit
        low, high = px.min(0), px.max(0)
        used = max((high[0] - low[0]) / width, (high[1] - low[1]) / height)
        distance *= used / view.fill
    camera.location = tuple(centre + away * distance)
    camera.rotation_mode = "QUATERNION"
    camera.rotation_quaternion = rotation
    middle = (low + high) / 2
    camera.data.shift_x = float((middle[0] - view.shift[0] * width) / max(width, height))
    camera.data.shift_y = float((middle[1] - view.shift[1] * height) / max(width, height))
    if view.blur:
        camera.data.dof.use_dof = True
        camera.data.dof.focus_distance = distance
        camera.data.dof.aperture_fstop = view.focal / 1000 / (0.06 * view.blur)


def light(setup: Light) -> None:
    """Softboxes and a dim sky."""
    warm = np.array([1.0 + 0.12 * setup.warmth, 1.0, 1.0 - 0.16 * setup.warmth])

    def softbox(place: Sequence[float], size: float, strength: float, tint: np.ndarray) -> None:
        if strength <= 0:
            return
        lamp = bpy.data.lights.new("softbox", "AREA")
        lamp.shape = "RECTANGLE"
        lamp.size, lamp.size_y = size, size * 1.2
        distance2 = float(np.sum(np.square(place)))
        lamp.energy = 9.5 * distance2 * strength
        lamp.color = tuple(tint)
        obj = s.link(bpy.data.objects.new("softbox", lamp))
        obj.location = tuple(place)
        obj.rotation_mode = "QUATERNION"
        obj.rotation_quaternion = Vector(np.array(place) - np.array((0, 0, 0.4))).to_track_quat(
            "Z", "Y"
        )
        obj.visible_camera = False

    softbox((2.4 * setup.side, -1.8, setup.height), setup.size, setup.key, warm)
    softbox((-2.8 * setup.side, -2.0, 1.4), 2.0, setup.fill, np.ones(3))
    softbox((-1.2 * setup.side, 2.0, 2.6), 1.4, setup.rim, np.ones(3))
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    sky = world.node_tree.nodes["Background"]
    sky.inputs["Color"].default_value = (*(1.0 - 0.05 * setup.warmth * np.array([-1, 0, 1])), 1.0)
    sky.inputs["Strength"].default_value = setup.sky
    bpy.context.scene.world = world


# --------------------------------------------------------------------------------- grounds


def _plane(
    material: bpy.types.Material, corner: Sequence[float], u: Sequence[float], v: Sequence[float]
) -> bpy.types.Object:
    c, a, b = (np.asarray(x, dtype=float) for x in (corner, u, v))

    def surface(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return c + p[..., None] * a + q[..., None] * b

    return s.sheet(surface, material, (2, 2), name="plane")


def sweep_ground(dice: Dice) -> None:
    """A seamless paper sweep of one colour."""
    colour = dice.colour("ground", (0.0, 0.75), (0.25, 1.0))
    radius, back = 2.0, dice.between("ground back", 1.2, 4.0)
    profile = np.vstack(
        [
            [(-14.0, 0.0)],
            [(back + x, z) for x, z in s.arc(radius, -90, 0, 24, (0, radius))],
            [(back + radius, 14.0)],
        ]
    )
    path = np.array([(-16.0, 0, 0), (16.0, 0, 0)])

    def surface(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        i = np.round(v * (len(profile) - 1)).astype(int)
        x = path[0, 0] + u * (path[1, 0] - path[0, 0])
        return np.stack([x, profile[i, 0], profile[i, 1]], axis=-1)

    s.sheet(surface, m.plain(colour, 0.85), (2, len(profile)), name="sweep")


def _stuff(dice: Dice, name: str, options: Sequence[str]) -> bpy.types.Material:
    """A material for something large: a floor, a table, a wall."""
    kind = dice.pick(name, options)
    shade = dice.between(f"{name} shade", 0.35, 1.0)
    if kind == "oak":
        return m.planks(
            (0.80 * shade, 0.64 * shade, 0.46 * shade),
            (0.56 * shade, 0.40 * shade, 0.26 * shade),
            dice.between(f"{name} width", 0.25, 0.7),
            4.0,
        )
    if kind == "walnut":
        return m.planks(
            (0.47, 0.32, 0.22), (0.22, 0.13, 0.08), dice.between(f"{name} width", 0.3, 0.9), 5.0
        )
    if kind == "painted boards":
        colour = np.array(dice.colour(f"{name} colour", (0.0, 0.4), (0.5, 0.95)))
        return m.planks(
            tuple(colour),
            tuple(colour * 0.9),
            dice.between(f"{name} width", 0.25, 0.6),
            6.0,
            gap=0.008,
        )
    if kind == "marble":
        return m.marble(scale=dice.between(f"{name} scale", 0.5, 1.5))
    if kind == "dark marble":
        return m.marble((0.13, 0.13, 0.14), (0.6, 0.58, 0.55))
    if kind == "concrete":
        return m.concrete(dice.colour(f"{name} colour", (0.0, 0.12), (0.35, 0.8)))
    if kind == "linen":
        return m.fabric(dice.colour(f"{name} colour", (0.0, 0.5), (0.3, 0.95)), threads=40)
    if kind == "leather":
        return m.leather(dice.colour(f"{name} colour", (0.1, 0.6), (0.15, 0.6)), grain=25)
    if kind == "tiles":
        return m.tiles(
            dice.colour(f"{name} colour", (0.0, 0.4), (0.7, 0.98)),
            (0.8, 0.79, 0.77),
            dice.between(f"{name} width", 0.25, 0.8),
            dice.pick("bond", (0.5, 1.0)),
        )
    return m.plain(dice.colour(f"{name} colour", (0.0, 0.6), (0.3, 0.97)))


_TOPS = ("oak", "walnut", "painted boards", "marble", "dark marble", "concrete", "linen", "paint")
_WALLS = ("paint", "paint", "concrete", "tiles", "painted wall")


def flat_ground(dice: Dice) -> None:
    """One large surface; for pictures from above."""
    _plane(_stuff(dice, "top", _TOPS), (-10, -10, 0), (20, 0, 0), (0, 20, 0))


def table_ground(dice: Dice) -> None:
    """A table with its front edge in the picture, and a wall behind it."""
    front = dice.between("table front", 0.45, 1.1)
    depth = dice.between("table depth", 1.4, 3.0)
    table = s.block(
        (9, front + depth, 0.12),
        _stuff(dice, "top", _TOPS[:6]),
        (0, (depth - front) / 2, -0.06),
        edge=0.015,
        name="table",
    )
    table.location[2] = -0.06
    gap = dice.between("wall gap", 0.05, 2.0)
    _plane(_stuff(dice, "wall", _WALLS), (-12, depth + gap, -5), (24, 0, 0), (0, 0, 14))
    _plane(_stuff(dice, "floor", ("oak", "concrete")), (-12, -10, -2), (24, 0, 0), (0, 24, 0))


def floor_ground(dice: Dice) -> None:
    """A room's floor and wall, with a skirting board."""
    back = dice.between("back wall", 0.5, 2.2)
    _plane(
        _stuff(dice, "floor", ("oak", "walnut", "concrete", "painted boards")),
        (-12, -10, 0),
        (24, 0, 0),
        (0, 24, 0),
    )
    _plane(_stuff(dice, "wall", _WALLS), (-12, back, 0), (24, 0, 0), (0, 0, 12))
    if dice.chance("skirting", 0.8):
        height = dice.between("skirting height", 0.06, 0.16)
        s.block(
            (24, 0.03, height),
            m.plain(dice.colour("skirting colour", (0, 0.1), (0.7, 0.97)), 0.4),
            (0, back - 0.015, height / 2),
            edge=0.008,
        )


def bokeh_ground(dice: Dice) -> None:
    """A table in front of something far away and out of focus: blotches of light and colour."""
    depth = dice.between("table depth", 1.2, 2.5)
    s.block(
        (12, 3 + depth, 0.1), _stuff(dice, "top", _TOPS[:6]), (0, (depth - 3) / 2, -0.05), edge=0.01
    )
    rng = dice.rng("bokeh")
    base = np.array(dice.colour("bokeh", (0.05, 0.6), (0.1, 0.8)))
    pixels = np.zeros((96, 160, 3), dtype=np.float32) + base
    yy, xx = np.mgrid[0:96, 0:160]
    for _ in range(int(rng.integers(25, 70))):
        x, y = rng.uniform(0, 160), rng.uniform(0, 96)
        w, h = rng.uniform(3, 30, 2)
        soft = rng.uniform(1, 4)
        if rng.random() < 0.5:
            d = np.maximum(np.abs(xx - x) - w, np.abs(yy - y) - h)
        else:
            d = np.hypot(xx - x, yy - y) - min(w, h) / 2
        cover = (1 / (1 + np.exp(np.clip(d / soft, -30, 30))))[..., None] * rng.uniform(0.3, 1)
        tone = np.clip(base * rng.uniform(0.3, 1.6) + rng.normal(0, 0.15, 3), 0, 1)
        pixels = pixels * (1 - cover) + tone * cover
    wall = _plane(
        m.printed(pixels.astype(np.float32), 0.9), (-8, depth + 2, -4), (16, 0, 0), (0, 0, 10)
    )
    layer = wall.data.uv_layers[0]
    for loop, uv in zip(wall.data.loops, layer.uv, strict=True):
        uv.vector = [(0, 0), (0, 1), (1, 0), (1, 1)][loop.vertex_index]


def shelf_ground(dice: Dice) -> None:
    """A shelf in a shop: board, back panel, and the next board above when the frame is wide."""
    stuff = _stuff(dice, "top", ("oak", "walnut", "painted boards", "paint"))
    back = dice.between("shelf back", 0.35, 0.8)
    s.block((12, back + 0.5, 0.06), stuff, (0, (back - 0.5) / 2, -0.03), edge=0.008)
    _plane(
        _stuff(dice, "wall", ("paint", "painted boards", "tiles")),
        (-12, back, -6),
        (24, 0, 0),
        (0, 0, 12),
    )
    above = dice.between("shelf above", 1.25, 1.7)
    s.block((12, back + 0.3, 0.06), stuff, (0, (back - 0.3) / 2, above), edge=0.008)
    s.block((12, back + 0.5, 0.06), stuff, (0, (back - 0.5) / 2, -above), edge=0.008)


GROUNDS: dict[str, Callable[[Dice], None]] = {
    "sweep": sweep_ground,
    "flat": flat_ground,
    "table": table_ground,
    "floor": floor_ground,
    "bokeh": bokeh_ground,
    "shelf": shelf_ground,
}
