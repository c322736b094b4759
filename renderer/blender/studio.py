"""The studio: sets up a `Picture` in Blender's scene.

A product is brought to size 1 (its longest side) and stands on z = 0 about the origin, looked at
from -y. Settings, lights and distances are in that unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bpy
import numpy as np
from mathutils import Matrix, Vector

from renderer.blender.settings import SETTING_BUILDERS
from renderer.blender.shapes import link
from renderer.dice import Dice
from renderer.geometry import Array
from renderer.pictures import Camera, Light, Picture, Piece
from renderer.products import builder

__all__ = ["compose"]


def compose(picture: Picture, scale: float = 1.0) -> list[bpy.types.Object]:
    """Sets a picture up in an empty scene, `scale` times its size in pixels.

    Returns:
        The objects that are the products.

    Raises:
        ValueError: A choice is fixed that the product or the setting does not have.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    subject: list[bpy.types.Object] = []
    end = 0.0  # of the row, where the products stand in one
    for k, piece in enumerate(picture.products):
        product = _stage(piece)
        if picture.gaps is not None:
            x = _vertices(product)[:, 0]
            start = end + picture.gaps[k]
            _push(product, start - float(x.min()))
            end = start + float(x.max()) - float(x.min())
        subject += product
    setting = picture.setting
    dice = Dice(setting.seed, setting.choices)
    SETTING_BUILDERS[setting.kind](dice)
    _check(dice, f"setting {setting.kind}")
    for piece in picture.clutter:
        _stage(piece)
    _light(picture.light)
    _aim(picture.camera, scale, subject)
    return subject


def _check(dice: Dice, name: str) -> None:
    if dice.unused:
        raise ValueError(f"{name} has no choice {dice.unused[0]!r} (or makes no use of it here)")


def _vertices(objects: Iterable[bpy.types.Object]) -> Array:
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


def _stage(piece: Piece) -> list[bpy.types.Object]:
    """Builds a product, leans and turns it, and sets it down in its size where it belongs."""
    before = set(bpy.data.objects)
    dice = Dice(piece.seed, piece.choices)
    builder(piece.product)(dice)
    _check(dice, f"product {piece.product}")
    made = [o for o in bpy.data.objects if o not in before]
    root = link(bpy.data.objects.new("product", None))
    for obj in made:
        obj.parent = root
    lean = Matrix.Rotation(np.radians(piece.tilt[1]), 4, "Y") @ Matrix.Rotation(
        np.radians(piece.tilt[0]), 4, "X"
    )
    lean = Matrix.Rotation(np.radians(piece.turn), 4, "Z") @ lean
    root.matrix_world = lean
    v = _vertices(made)
    low, high = v.min(0), v.max(0)
    k = piece.size / float((high - low).max())
    middle = Vector(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]))
    root.matrix_world = (
        Matrix.Translation(Vector(piece.at))
        @ Matrix.Scale(k, 4)
        @ (Matrix.Translation(-middle) @ lean)
    )
    bpy.context.view_layer.update()
    return made


def _push(product: Iterable[bpy.types.Object], by: float) -> None:
    """Moves a staged product along x."""
    for root in {obj.parent for obj in product}:
        root.matrix_world = Matrix.Translation(Vector((by, 0.0, 0.0))) @ root.matrix_world
    bpy.context.view_layer.update()


def _aim(view: Camera, scale: float, subject: Iterable[bpy.types.Object]) -> None:
    """Places the camera so that the subject fills the frame as `view` asks."""
    scene = bpy.context.scene
    width, height = (round(side * scale) for side in view.size)
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100
    camera = link(bpy.data.objects.new("camera", bpy.data.cameras.new("camera")))
    camera.data.lens = view.focal
    camera.data.sensor_width = 36.0
    camera.data.sensor_fit = "AUTO"
    camera.data.clip_end = 500.0
    scene.camera = camera
    v = _vertices(subject)
    centre = (v.min(0) + v.max(0)) / 2
    elevation = np.radians(view.elevation)
    away = np.array([0.0, -np.cos(elevation), np.sin(elevation)])
    rotation = Vector(away).to_track_quat("Z", "Y")
    axes = np.array(rotation.to_matrix())
    unit = view.focal / 36.0 * max(width, height)
    distance = 6.0
    for _ in range(12):  # converges: what is twice as large is about twice as near
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


def _softbox(place: Sequence[float], size: float, strength: float, tint: Array) -> None:
    """A rectangular lamp at `place` that points at the product and is not seen itself."""
    if strength <= 0:
        return
    lamp = bpy.data.lights.new("softbox", "AREA")
    lamp.shape = "RECTANGLE"
    lamp.size, lamp.size_y = size, size * 1.2
    lamp.energy = 9.5 * float(np.sum(np.square(place))) * strength
    lamp.color = tuple(tint)
    obj = link(bpy.data.objects.new("softbox", lamp))
    obj.location = tuple(place)
    obj.rotation_mode = "QUATERNION"
    away = Vector(np.array(place) - np.array((0, 0, 0.4)))
    obj.rotation_quaternion = away.to_track_quat("Z", "Y")
    obj.visible_camera = False


def _light(setup: Light) -> None:
    """Three softboxes and a dim sky."""
    warm = np.array([1.0 + 0.12 * setup.warmth, 1.0, 1.0 - 0.16 * setup.warmth])
    _softbox((2.4 * setup.side, -1.8, setup.height), setup.size, setup.key, warm)
    _softbox((-2.8 * setup.side, -2.0, 1.4), 2.0, setup.fill, np.ones(3))
    _softbox((-1.2 * setup.side, 2.0, 2.6), 1.4, setup.rim, np.ones(3))
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    sky = world.node_tree.nodes["Background"]
    sky.inputs["Color"].default_value = (*(1.0 - 0.05 * setup.warmth * np.array([-1, 0, 1])), 1.0)
    sky.inputs["Strength"].default_value = setup.sky
    bpy.context.scene.world = world
