"""Shader node trees, and colours in linear light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import bpy
import numpy as np

from renderer.dice import Colour

__all__ = ["Shader", "Socket", "linear", "vary"]

Socket: TypeAlias = Any  # bpy.types.NodeSocket, or the value of one: a number, a tuple of numbers


def linear(colour: Colour) -> tuple[float, float, float, float]:
    """An sRGB colour in 0..1 as linear RGBA."""
    c = np.asarray(colour, dtype=float)[:3]
    lin = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return (float(lin[0]), float(lin[1]), float(lin[2]), 1.0)


class Shader:
    """A material's node tree. Methods that return a socket add a node and return its output.

    Wherever a socket is expected, a number, or a tuple of numbers where it fits, will do.
    """

    def __init__(self, name: str, **inputs: Any) -> None:
        """A principled surface called `name`; `inputs` has its values, `_` for a space."""
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.surface = self.tree.nodes["Principled BSDF"]
        for key, value in inputs.items():
            self.put(self.surface, key.replace("_", " "), value)

    def put(self, node: bpy.types.Node, key: str | int, value: Socket) -> None:
        """Sets an input of a node, or links another node's output to it."""
        socket = node.inputs[key]
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def node(self, kind: str, output: str | int = 0, **inputs: Any) -> Socket:
        """Adds a `ShaderNode` of a kind, with the given properties and inputs."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for key, value in inputs.items():
            if hasattr(node, key):
                setattr(node, key, value)
            else:
                self.put(node, key.replace("_", " "), value)
        return node.outputs[output]

    def where(self, stretch: Sequence[float] = (1, 1, 1), space: str = "Object") -> Socket:
        """Where a pixel lies, in the object's own space or on its UV map."""
        coordinate = self.node("TexCoord", space)
        return self.node("Mapping", Vector=coordinate, Scale=tuple(stretch))

    def noise(
        self,
        scale: float,
        at: Socket = None,
        detail: float = 4,
        rough: float = 0.55,
        warp: float = 0,
    ) -> Socket:
        """Noise of 0..1 with about `scale` features a unit."""
        return self.node(
            "TexNoise",
            Vector=at or self.where(),
            Scale=scale,
            Detail=detail,
            Roughness=rough,
            Distortion=warp,
        )

    def math(self, operation: str, a: Socket, b: Socket = 0.0) -> Socket:
        """One of Blender's operations on numbers."""
        node = self.tree.nodes.new("ShaderNodeMath")
        node.operation = operation
        self.put(node, 0, a)
        self.put(node, 1, b)
        return node.outputs[0]

    def ramp(self, value: Socket, stops: Sequence[tuple[float, Colour]]) -> Socket:
        """The colour for a value; `stops` are (value, sRGB colour)."""
        node = self.tree.nodes.new("ShaderNodeValToRGB")
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(1.0)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position = position
            element.color = linear(colour)
        self.put(node, 0, value)
        return node.outputs[0]

    def mix(self, factor: Socket, a: Socket, b: Socket) -> Socket:
        """Between colour `a` at factor 0 and `b` at 1."""
        node = self.tree.nodes.new("ShaderNodeMix")
        node.data_type = "RGBA"
        self.put(node, 0, factor)
        self.put(node, 6, a)
        self.put(node, 7, b)
        return node.outputs[2]

    def span(self, value: Socket, low: float, high: float) -> Socket:
        """A value of 0..1 brought to low..high."""
        return self.node("MapRange", Value=value, To_Min=low, To_Max=high)

    def bump(self, height: Socket, strength: float, distance: float) -> None:
        """Lets the surface look as uneven as `height` says."""
        normal = self.node("Bump", Height=height, Strength=strength, Distance=distance)
        self.put(self.surface, "Normal", normal)


def vary(colour: Colour, factor: float) -> tuple[float, ...]:
    """An sRGB colour that is darker (factor < 1) or lighter."""
    return tuple(float(np.clip(c * factor, 0, 1)) for c in colour[:3])
