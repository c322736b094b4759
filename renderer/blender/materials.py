"""Procedural materials: one function for each, returning a Blender material.

Colours are sRGB triples in 0..1 (what a designer writes), turned into linear light here.
Scales are in object units, so a product's textures keep their size when it is staged.
"""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

from renderer.blender.shader import Shader, Socket, linear, vary
from renderer.dice import Colour

__all__ = [
    "card",
    "ceramic",
    "concrete",
    "cork",
    "fabric",
    "flat",
    "glass",
    "glow",
    "hair",
    "leaf",
    "leather",
    "liquid",
    "marble",
    "metal",
    "plain",
    "plastic",
    "planks",
    "printed",
    "rubber",
    "tiles",
    "wax",
    "wood",
]


def plain(colour: Colour, roughness: float = 0.8) -> bpy.types.Material:
    """Painted wall, seamless paper: one even colour."""
    s = Shader("plain", Roughness=roughness, Specular_IOR_Level=0.25)
    s.put(s.surface, "Base Color", linear(colour))
    return s.material


def plastic(colour: Colour, roughness: float = 0.3, soft: float = 0.0) -> bpy.types.Material:
    """Moulded plastic; `soft` 0..1 lets light scatter inside it."""
    s = Shader("plastic", Base_Color=linear(colour), IOR=1.46)
    s.put(s.surface, "Roughness", s.span(s.noise(6), roughness * 0.85, roughness * 1.15))
    if soft:
        s.put(s.surface, "Subsurface Weight", soft)
        s.put(s.surface, "Subsurface Radius", (0.1, 0.1, 0.1))
        s.put(s.surface, "Subsurface Scale", 0.3)
    s.bump(s.noise(250, detail=1), 0.04, 0.002)
    return s.material


def rubber(colour: Colour) -> bpy.types.Material:
    """Dull, slightly grainy rubber."""
    s = Shader("rubber", Base_Color=linear(colour), Roughness=0.72, Specular_IOR_Level=0.35)
    s.bump(s.noise(180, detail=2), 0.15, 0.003)
    return s.material


def ceramic(
    colour: Colour, speckle: float = 0.0, roughness: float = 0.12, throwing: float = 0.3
) -> bpy.types.Material:
    """Glazed stoneware; `speckle` 0..1 dark flecks, `throwing` the rings of the potter's hand."""
    s = Shader("ceramic", Roughness=roughness, IOR=1.52)
    base: Socket = s.mix(
        s.span(s.noise(2.5, detail=6), 0, 1), linear(vary(colour, 0.93)), linear(colour)
    )
    if speckle:
        flecks = s.noise(55, detail=2, rough=0.6)
        mask = s.ramp(flecks, [(0.0, (0, 0, 0)), (0.64, (0, 0, 0)), (0.68, (1, 1, 1))])
        base = s.mix(s.math("MULTIPLY", mask, speckle), base, linear((0.23, 0.17, 0.12)))
    s.put(s.surface, "Base Color", base)
    if roughness < 0.35:
        s.put(s.surface, "Coat Weight", 0.4)
        s.put(s.surface, "Coat Roughness", 0.04)
    rings = s.noise(4, s.where((0.3, 0.3, 14)), detail=2)
    s.bump(rings, throwing, 0.02)
    return s.material


def glass(
    colour: Colour = (1, 1, 1), roughness: float = 0.0, ior: float = 1.48, airy: bool = False
) -> bpy.types.Material:
    """Clear or coloured glass; `airy` lets lamps shine straight through it.

    The path tracer finds no lamp through a refracting wall, so that glass casts the shadow of a
    stone and its foot stays black; `airy` is the usual way round that.
    """
    s = Shader("glass", Base_Color=linear(colour), Roughness=roughness, IOR=ior)
    s.put(s.surface, "Transmission Weight", 1.0)
    if airy:
        shadow = s.node("LightPath", "Is Shadow Ray")
        mixed = s.tree.nodes.new("ShaderNodeMixShader")
        s.put(mixed, 0, shadow)
        s.put(mixed, 1, s.surface.outputs[0])
        s.put(mixed, 2, s.node("BsdfTransparent", Color=linear(vary(colour, 0.95))))
        s.put(s.tree.nodes["Material Output"], "Surface", mixed.outputs[0])
    return s.material


def liquid(colour: Colour, cloud: float = 0.7) -> bpy.types.Material:
    """A drink: clear at `cloud` 0, juice at 1."""
    s = Shader("liquid", Base_Color=linear(colour), Roughness=0.06, IOR=1.34)
    s.put(s.surface, "Transmission Weight", 1.0 - cloud)
    s.put(s.surface, "Subsurface Weight", 0.6)
    s.put(s.surface, "Subsurface Radius", (0.4, 0.25, 0.08))
    s.put(s.surface, "Subsurface Scale", 0.2)
    # Light that would have come through more walls of glass than the path tracer follows.
    s.put(s.surface, "Emission Color", linear(colour))
    s.put(s.surface, "Emission Strength", 0.2 * cloud)
    return s.material


def metal(
    colour: Colour = (0.8, 0.8, 0.82), roughness: float = 0.25, brushed: float = 0.0
) -> bpy.types.Material:
    """Metal; `brushed` 0..1 draws fine streaks along the object's x and y."""
    s = Shader("metal", Base_Color=linear(colour), Metallic=1.0)
    streaks = s.noise(30, s.where((1, 1, 60)), detail=3)
    s.put(s.surface, "Roughness", s.span(streaks, roughness * 0.75, roughness * 1.35))
    if brushed:
        s.put(s.surface, "Anisotropic", 0.6 * brushed)
        s.bump(streaks, 0.12 * brushed, 0.01)
    return s.material


def wood(
    light: Colour, dark: Colour, scale: float = 1.0, axis: int = 2, gloss: float = 0.45
) -> bpy.types.Material:
    """Wood with its grain along `axis` (0..2)."""
    s = Shader("wood", IOR=1.45)
    stretch = [6.0 * scale] * 3
    stretch[axis] = 0.55 * scale
    at = s.where(stretch)
    figure = s.noise(1.1, at, detail=3, warp=0.6)
    rings = s.math("SINE", s.math("MULTIPLY", figure, 34.0))
    rings = s.span(s.math("ADD", s.math("MULTIPLY", rings, 0.5), 0.5), 0.15, 0.85)
    fibre_at = [90.0 * scale] * 3
    fibre_at[axis] = 2.5 * scale
    fibre = s.noise(1.0, s.where(fibre_at), detail=5, rough=0.65)
    tone = s.math("ADD", s.math("MULTIPLY", rings, 0.5), s.math("MULTIPLY", fibre, 0.6))
    middle = [(a + b) / 2 for a, b in zip(light, dark, strict=False)]
    s.put(
        s.surface,
        "Base Color",
        s.ramp(tone, [(0.2, dark), (0.5, middle), (0.85, light)]),
    )
    s.put(s.surface, "Roughness", s.span(fibre, gloss * 1.25, gloss * 0.75))
    s.bump(fibre, 0.12, 0.01)
    return s.material


def planks(
    light: Colour,
    dark: Colour,
    width: float = 0.5,
    length: float = 4.0,
    gloss: float = 0.45,
    gap: float = 0.004,
) -> bpy.types.Material:
    """A floor or table top of boards along x (object x, y)."""
    s = Shader("planks", IOR=1.45)
    at = s.where()
    brick = s.tree.nodes.new("ShaderNodeTexBrick")
    brick.offset = 0.37
    s.put(brick, "Vector", at)
    s.put(brick, "Color1", (0, 0, 0, 1))
    s.put(brick, "Color2", (1, 1, 1, 1))
    s.put(brick, "Mortar", (0.5, 0.5, 0.5, 1))
    s.put(brick, "Scale", 1.0)
    s.put(brick, "Mortar Size", gap)
    s.put(brick, "Mortar Smooth", 0.3)
    s.put(brick, "Bias", 0.0)
    s.put(brick, "Brick Width", length)
    s.put(brick, "Row Height", width)
    board, seam = brick.outputs["Color"], brick.outputs["Fac"]
    shift = s.node("CombineXYZ", X=s.math("MULTIPLY", board, 7.3), Y=s.math("MULTIPLY", board, 3.1))
    add = s.tree.nodes.new("ShaderNodeVectorMath")
    add.operation = "ADD"
    s.put(add, 0, at)
    s.put(add, 1, shift)
    moved = add.outputs[0]
    grain_at = s.node("Mapping", Vector=moved, Scale=(0.5 / width * 0.5, 3.2 / width * 0.5, 1))
    figure = s.noise(1.1, grain_at, detail=3, warp=0.8)
    rings = s.math("SINE", s.math("MULTIPLY", figure, 30.0))
    rings = s.span(s.math("ADD", s.math("MULTIPLY", rings, 0.5), 0.5), 0.1, 0.9)
    fibre_at = s.node("Mapping", Vector=moved, Scale=(1.6 / width, 50 / width, 1))
    fibre = s.noise(1.0, fibre_at, detail=5, rough=0.65)
    tone = s.math("ADD", s.math("MULTIPLY", rings, 0.35), s.math("MULTIPLY", fibre, 0.5))
    tone = s.math("ADD", tone, s.math("MULTIPLY", board, 0.28))
    middle = [(a + b) / 2 for a, b in zip(light, dark, strict=False)]
    colour = s.ramp(tone, [(0.2, dark), (0.55, middle), (0.95, light)])
    s.put(s.surface, "Base Color", s.mix(seam, colour, linear(vary(dark, 0.35))))
    s.put(s.surface, "Roughness", s.span(fibre, gloss * 1.25, gloss * 0.8))
    s.bump(s.math("SUBTRACT", s.math("MULTIPLY", fibre, 0.15), seam), 0.35, 0.01)
    return s.material


def fabric(
    colour: Colour, second: Colour | None = None, threads: float = 60.0, uv: bool = True
) -> bpy.types.Material:
    """Woven cloth with `threads` per unit length, warp of `colour` and weft of `second`."""
    s = Shader("fabric", Roughness=0.9, Specular_IOR_Level=0.2)
    at = s.where(space="UV" if uv else "Object")
    wobble = s.noise(8, at, detail=2)
    parts = s.tree.nodes.new("ShaderNodeSeparateXYZ")
    s.put(parts, 0, at)

    def thread(axis: int, offset: float) -> Socket:
        phase = s.math("MULTIPLY", parts.outputs[axis], threads * 2 * np.pi)
        phase = s.math("ADD", phase, s.math("MULTIPLY", wobble, 5.0))
        return s.math("SINE", s.math("ADD", phase, offset))

    warp, weft = thread(0, 0.0), thread(1, 0.0)
    cross = s.math("MULTIPLY", warp, weft)
    over = s.math("GREATER_THAN", cross, 0.0)
    height = s.math("MAXIMUM", s.math("ABSOLUTE", warp), s.math("ABSOLUTE", weft))
    other = second or vary(colour, 0.88)
    shade = s.mix(over, linear(colour), linear(other))
    mottled = s.mix(s.span(s.noise(14, at, detail=5), 0.0, 0.35), shade, linear(vary(colour, 0.6)))
    s.put(s.surface, "Base Color", mottled)
    s.put(s.surface, "Sheen Weight", 0.25)
    s.put(s.surface, "Sheen Roughness", 0.5)
    s.bump(height, 0.5, 0.35 / threads)
    return s.material


def leather(colour: Colour, roughness: float = 0.42, grain: float = 38.0) -> bpy.types.Material:
    """Pebbled leather."""
    s = Shader("leather", IOR=1.45)
    at = s.where()
    cells = s.node("TexVoronoi", "Distance", Vector=at, Scale=grain)
    fine = s.noise(grain * 2.5, at, detail=3)
    tone = s.noise(2.2, at, detail=5)
    base = s.mix(s.span(tone, 0.1, 0.9), linear(vary(colour, 0.78)), linear(vary(colour, 1.08)))
    s.put(s.surface, "Base Color", base)
    s.put(s.surface, "Roughness", s.span(fine, roughness * 0.85, roughness * 1.25))
    height = s.math("ADD", s.math("MULTIPLY", cells, 0.7), s.math("MULTIPLY", fine, 0.3))
    s.bump(height, 0.22, 0.25 / grain)
    return s.material


def card(colour: Colour, roughness: float = 0.75, corrugated: bool = False) -> bpy.types.Material:
    """Paperboard, with fibres."""
    s = Shader("card", Roughness=roughness, Specular_IOR_Level=0.3)
    fibres = s.noise(90, s.where((1, 1, 0.4)), detail=4, rough=0.7)
    large = s.noise(1.8, detail=3)
    tone = s.math("ADD", s.math("MULTIPLY", fibres, 0.6), s.math("MULTIPLY", large, 0.4))
    base = s.mix(s.span(tone, 0, 1), linear(vary(colour, 0.88)), linear(vary(colour, 1.06)))
    s.put(s.surface, "Base Color", base)
    height: Socket = fibres
    if corrugated:
        parts = s.tree.nodes.new("ShaderNodeSeparateXYZ")
        s.put(parts, 0, s.where())
        height = s.math("SINE", s.math("MULTIPLY", parts.outputs[0], 260.0))
    s.bump(height, 0.08, 0.004)
    return s.material


def printed(
    pixels: NDArray[np.float32], roughness: float = 0.4, bleed: bool = False, coat: float = 0.0
) -> bpy.types.Material:
    """A print: `pixels` is (h x w x 3 or 4) float sRGB in 0..1, top row first, laid on UV 0..1."""
    h, w = pixels.shape[:2]
    rgba = np.ones((h, w, 4), dtype=np.float32)
    rgba[..., : pixels.shape[2]] = pixels
    image = bpy.data.images.new("print", w, h, alpha=False)
    image.pixels.foreach_set(rgba[::-1].ravel())
    image.pack()
    s = Shader("printed", Roughness=roughness, Specular_IOR_Level=0.4)
    node = s.tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    node.extension = "EXTEND" if not bleed else "REPEAT"
    s.put(node, "Vector", s.where(space="UV"))
    s.put(s.surface, "Base Color", node.outputs[0])
    s.put(s.surface, "Coat Weight", coat)
    return s.material


def leaf(colour: Colour, edge: Colour | None = None, gloss: float = 0.35) -> bpy.types.Material:
    """A leaf: light comes through it; `edge` colours the margin (UV u runs across)."""
    s = Shader("leaf", Roughness=gloss, Specular_IOR_Level=0.4)
    parts = s.tree.nodes.new("ShaderNodeSeparateXYZ")
    s.put(parts, 0, s.where(space="UV"))
    across = s.math("ABSOLUTE", s.math("SUBTRACT", parts.outputs[0], 0.5))
    veins = s.noise(3, s.where((14, 1.2, 1), "UV"), detail=3)
    base = s.mix(s.span(veins, 0, 1), linear(vary(colour, 0.7)), linear(vary(colour, 1.15)))
    if edge is not None:
        mask = s.math("GREATER_THAN", across, 0.33)
        base = s.mix(mask, base, linear(edge))
    s.put(s.surface, "Base Color", base)
    s.put(s.surface, "Subsurface Weight", 0.35)
    s.put(s.surface, "Subsurface Radius", (0.06, 0.08, 0.02))
    s.put(s.surface, "Subsurface Scale", 0.25)
    s.bump(veins, 0.15, 0.01)
    return s.material


def hair(root: Colour, tip: Colour, roughness: float = 0.55) -> bpy.types.Material:
    """Fur, bristles, yarn: from `root` to `tip`, each hair a little different."""
    s = Shader("hair", Roughness=roughness, Specular_IOR_Level=0.25)
    info = s.tree.nodes.new("ShaderNodeHairInfo")
    along, random = info.outputs["Intercept"], info.outputs["Random"]
    base = s.mix(along, linear(root), linear(tip))
    base = s.mix(s.math("MULTIPLY", random, 0.35), base, linear(vary(root, 0.7)))
    s.put(s.surface, "Base Color", base)
    s.put(s.surface, "Sheen Weight", 0.2)
    return s.material


def wax(colour: Colour) -> bpy.types.Material:
    """Candle wax, soap: light scatters deep."""
    s = Shader("wax", Base_Color=linear(colour), Roughness=0.45)
    s.put(s.surface, "Subsurface Weight", 0.8)
    s.put(s.surface, "Subsurface Radius", (0.5, 0.35, 0.2))
    s.put(s.surface, "Subsurface Scale", 0.25)
    s.bump(s.noise(12, detail=3), 0.05, 0.01)
    return s.material


def cork(colour: Colour = (0.76, 0.57, 0.38)) -> bpy.types.Material:
    """Pressed cork."""
    s = Shader("cork", Roughness=0.85, Specular_IOR_Level=0.2)
    cells = s.node("TexVoronoi", "Color", Vector=s.where(), Scale=42)
    flecks = s.noise(45, detail=4, rough=0.7)
    tone = s.math("ADD", s.math("MULTIPLY", cells, 0.45), s.math("MULTIPLY", flecks, 0.55))
    s.put(
        s.surface,
        "Base Color",
        s.ramp(tone, [(0.25, vary(colour, 0.42)), (0.42, colour), (0.8, vary(colour, 1.15))]),
    )
    s.bump(tone, 0.3, 0.01)
    return s.material


def marble(
    colour: Colour = (0.93, 0.93, 0.92), vein: Colour = (0.5, 0.5, 0.52), scale: float = 1.0
) -> bpy.types.Material:
    """Polished stone with veins."""
    s = Shader("marble", Roughness=0.18)
    at = s.where()
    warp = s.noise(1.3 * scale, at, detail=6, rough=0.6, warp=1.2)
    crack = s.math("ABSOLUTE", s.math("SUBTRACT", warp, 0.5))
    cloud = s.noise(2.2 * scale, at, detail=6)
    line = s.ramp(crack, [(0.0, (1, 1, 1)), (0.035, (0.25, 0.25, 0.25)), (0.12, (0, 0, 0))])
    base = s.mix(s.math("MULTIPLY", line, cloud), linear(colour), linear(vein))
    s.put(s.surface, "Base Color", s.mix(s.span(cloud, 0, 0.12), base, linear(vein)))
    return s.material


def concrete(colour: Colour = (0.6, 0.6, 0.59), scale: float = 1.0) -> bpy.types.Material:
    """Concrete, plaster, slate: clouds, pores."""
    s = Shader("concrete", Specular_IOR_Level=0.3)
    cloud = s.noise(1.7 * scale, detail=9, rough=0.62)
    fine = s.noise(60 * scale, detail=4, rough=0.7)
    tone = s.math("ADD", s.math("MULTIPLY", cloud, 0.75), s.math("MULTIPLY", fine, 0.25))
    s.put(
        s.surface,
        "Base Color",
        s.ramp(tone, [(0.3, vary(colour, 0.82)), (0.7, vary(colour, 1.12))]),
    )
    s.put(s.surface, "Roughness", s.span(cloud, 0.55, 0.85))
    s.bump(fine, 0.12, 0.01)
    return s.material


def tiles(
    colour: Colour, grout: Colour, width: float = 0.5, ratio: float = 0.5
) -> bpy.types.Material:
    """Glazed wall tiles, brick bond, on object x and z."""
    s = Shader("tiles", Roughness=0.15)
    at = s.node("Mapping", Vector=s.node("TexCoord", "Object"), Rotation=(-np.pi / 2, 0, 0))
    brick = s.tree.nodes.new("ShaderNodeTexBrick")
    s.put(brick, "Vector", at)
    s.put(brick, "Color1", linear(colour))
    s.put(brick, "Color2", linear(vary(colour, 0.94)))
    s.put(brick, "Mortar", linear(grout))
    s.put(brick, "Scale", 1.0)
    s.put(brick, "Mortar Size", 0.012 * width)
    s.put(brick, "Brick Width", width)
    s.put(brick, "Row Height", width * ratio)
    s.put(s.surface, "Base Color", brick.outputs["Color"])
    s.bump(s.math("SUBTRACT", 1.0, brick.outputs["Fac"]), 0.5, 0.01)
    return s.material


def glow(colour: Colour, strength: float) -> bpy.types.Material:
    """A shining surface: a bulb, a window."""
    s = Shader("glow", Base_Color=linear(colour))
    s.put(s.surface, "Emission Color", linear(colour))
    s.put(s.surface, "Emission Strength", strength)
    return s.material


def flat() -> bpy.types.Material:
    """Pure light without any shading: what truths are rendered in."""
    material = bpy.data.materials.new("flat")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    emission = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(emission.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    return material
