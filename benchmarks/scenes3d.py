"""Renders held-out 3D models for `model_quality.py`: even or patterned floors, soft or hard light.

    python benchmarks/scenes3d.py --models SHARED/data/train/models3d --out DIR

Needs Blender's ``bpy`` (samples/recipe/requirements.txt). A path tracer and shaders of its own, and
only models that `training.families` holds out: nothing here has been seen in training. Writes
``images/ROW-MODEL-NUMBER.png`` and the exact alpha beside it in ``truth/``. Seeded; started again
it goes on.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import bpy
import numpy as np
from mathutils import Matrix, Vector

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from training.families import held_out_models

__all__ = ["ROWS", "main"]

ROWS = ("even-soft", "even-hard", "patterned-soft", "patterned-hard")
"""The rows of the table, by background and light."""


def _load(file: pathlib.Path, turn: float) -> list[bpy.types.Object]:
    """Loads a model into an empty scene: longest side 1, standing on z = 0."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(file))
    bpy.context.view_layer.update()
    meshes = [thing for thing in bpy.data.objects if thing.type == "MESH"]
    corners = np.array([m.matrix_world @ Vector(c) for m in meshes for c in m.bound_box])
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre = Vector([*(low + high)[:2] / 2, low[2]])
    size = 1 / float((high - low).max())
    to = Matrix.Rotation(turn, 4, "Z") @ Matrix.Scale(size, 4) @ Matrix.Translation(-centre)
    placed = {mesh: to @ mesh.matrix_world for mesh in meshes}
    for mesh, matrix in placed.items():
        mesh.parent = None
        mesh.matrix_world = matrix
    bpy.context.view_layer.update()
    return meshes


def _colour(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A paint, in linear light."""
    if rng.random() < 0.5:
        grey = rng.uniform(0.03, 0.95)
        rgb = np.clip(grey + rng.normal(0, 0.03, 3), 0.01, 0.97)
    else:
        rgb = rng.uniform(0.03, 0.95, 3)
    red, green, blue = (float(v) for v in rgb)
    return red, green, blue, 1.0


def _floor(rng: np.random.Generator, patterned: bool) -> bpy.types.Object:
    """A large plane in one paint, or in a procedural pattern."""
    bpy.ops.mesh.primitive_plane_add(size=60)
    plane = bpy.context.object
    material = bpy.data.materials.new("floor")
    material.use_nodes = True
    plane.data.materials.append(material)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = rng.uniform(0.35, 0.9)
    one, other = _colour(rng), _colour(rng)
    if not patterned:
        pale = rng.uniform(0.55, 0.95)
        even = (*(float(v) for v in np.clip(pale + rng.normal(0, 0.02, 3), 0, 1)), 1.0)
        shader.inputs["Base Color"].default_value = even if rng.random() < 0.6 else one
        return plane
    at, turn = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    turn.inputs["Rotation"].default_value[2] = rng.choice([0, np.pi / 4, rng.uniform(0, 6.28)])
    turn.inputs["Location"].default_value = (rng.uniform(0, 1), rng.uniform(0, 1), 0.37)
    links.new(at.outputs["Object"], turn.inputs["Vector"])
    kind = rng.choice(["checker", "tiles", "planks", "stripes", "gingham", "terrazzo"])
    scale = float(rng.uniform(1.5, 6))

    def texture(name: str) -> bpy.types.ShaderNode:
        node = nodes.new(name)
        links.new(turn.outputs["Vector"], node.inputs["Vector"])
        node.inputs["Scale"].default_value = scale
        return node

    def stepped(value: bpy.types.NodeSocket, low: float, high: float) -> bpy.types.NodeSocket:
        """One colour below a value somewhere between the bounds, the other above it."""
        ramp = nodes.new("ShaderNodeValToRGB")
        ramp.color_ramp.interpolation = "CONSTANT"
        ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = one, other
        ramp.color_ramp.elements[1].position = float(rng.uniform(low, high))
        links.new(value, ramp.inputs["Fac"])
        return ramp.outputs["Color"]

    if kind in ("checker", "gingham"):
        node = texture("ShaderNodeTexChecker")
        node.inputs["Color1"].default_value, node.inputs["Color2"].default_value = one, other
        colour = node.outputs["Color"]
    elif kind in ("tiles", "planks"):
        node = texture("ShaderNodeTexBrick")
        node.offset = 0.0 if kind == "tiles" else 0.5
        node.inputs["Color1"].default_value = one
        near = tuple(min(v * rng.uniform(0.7, 1.3), 1.0) for v in one[:3])
        node.inputs["Color2"].default_value = (*near, 1.0)
        node.inputs["Mortar"].default_value = other
        node.inputs["Mortar Size"].default_value = float(rng.uniform(0.01, 0.05))
        node.inputs["Brick Width"].default_value = 0.5 if kind == "tiles" else 2.0
        node.inputs["Row Height"].default_value = 0.5
        colour = node.outputs["Color"]
    elif kind == "stripes":
        colour = stepped(texture("ShaderNodeTexWave").outputs["Fac"], 0.3, 0.7)
    else:
        node = texture("ShaderNodeTexVoronoi")
        node.inputs["Scale"].default_value = scale * 3
        colour = stepped(node.outputs["Distance"], 0.25, 0.45)
    if kind == "gingham":  # stripes the other way seen through the checks
        second = texture("ShaderNodeTexWave")
        mix = nodes.new("ShaderNodeMix")
        mix.data_type = "RGBA"
        links.new(second.outputs["Fac"], mix.inputs["Factor"])
        links.new(colour, mix.inputs["A"])
        mix.inputs["B"].default_value = one
        colour = mix.outputs["Result"]
    links.new(colour, shader.inputs["Base Color"])
    return plane


def _light(rng: np.random.Generator, hard: bool) -> None:
    """A sun, or a large softbox; some light from all around with either."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (0.95, 0.98, 1.0, 1.0)
    background.inputs["Strength"].default_value = rng.uniform(0.25, 0.5) if hard else 0.55
    around, up = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 65))
    if hard:
        lamp = bpy.data.lights.new("sun", "SUN")
        lamp.energy, lamp.angle = rng.uniform(2.5, 4.5), np.radians(rng.uniform(0.3, 1.5))
        distance = 10.0
    else:
        lamp = bpy.data.lights.new("box", "AREA")
        lamp.size, lamp.energy, distance = 4.0, 160.0, 4.0
    box = bpy.data.objects.new("lamp", lamp)
    towards = Vector((np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)))
    box.location = towards * distance
    box.rotation_euler = towards.to_track_quat("Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(box)


def _aim(rng: np.random.Generator, meshes: list[bpy.types.Object], size: int) -> None:
    scene = bpy.context.scene
    long, short = size, int(size * rng.choice([1.0, 0.75]))
    wide = rng.random() < 0.5
    scene.render.resolution_x, scene.render.resolution_y = (long, short) if wide else (short, long)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.lens = float(rng.choice([40, 60, 85]))
    scene.collection.objects.link(camera)
    scene.camera = camera
    up = np.radians(rng.uniform(20, 70))
    towards = Vector((0, -np.cos(up), np.sin(up)))
    camera.rotation_euler = towards.to_track_quat("Z", "Y").to_euler()
    bpy.context.view_layer.update()
    corners = [v for m in meshes for c in m.bound_box for v in m.matrix_world @ Vector(c)]
    graph = bpy.context.evaluated_depsgraph_get()
    camera.location, _ = camera.camera_fit_coords(graph, corners)
    camera.location += towards * camera.location.length * rng.uniform(0.1, 0.5)


def _render(target: pathlib.Path, samples: int, threads: int, alpha: bool) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.film_transparent = alpha
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA" if alpha else "RGB"
    scene.view_settings.view_transform = "Raw" if alpha else "Khronos PBR Neutral"
    cycles = scene.cycles
    cycles.device, cycles.samples = "CPU", samples
    cycles.max_bounces = 0 if alpha else 3
    cycles.use_adaptive_sampling = alpha
    cycles.adaptive_threshold = 0.001
    cycles.use_denoising, cycles.denoiser = not alpha, "OPENIMAGEDENOISE"
    part = target.with_suffix(".part.png")
    scene.render.filepath = str(part)
    bpy.ops.render.render(write_still=True)
    part.replace(target)


def main() -> None:
    """Renders what is not yet there, one of each row after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=10, help="pictures of a row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=352, help="longer side, pixels")
    parser.add_argument("--samples", type=int, default=10, help="light paths a pixel")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for folder in ("images", "truth"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    names = held_out_models([path.stem for path in options.models.glob("*.glb")])
    for number in range(options.count * len(ROWS)):
        row, name = ROWS[number % len(ROWS)], names[number % len(names)]
        file = f"{row}-{name}-{options.seed}-{number:03d}.png"
        if (options.out / "truth" / file).exists():
            continue
        rng = np.random.default_rng([options.seed, number])
        meshes = _load(options.models / f"{name}.glb", rng.uniform(0, 2 * np.pi))
        plane = _floor(rng, row.startswith("patterned"))
        _light(rng, row.endswith("hard"))
        _aim(rng, meshes, options.size)
        _render(options.out / "images" / file, options.samples, options.threads, alpha=False)
        plane.is_holdout = True
        _render(options.out / "truth" / file, 48, options.threads, alpha=True)


if __name__ == "__main__":
    main()
