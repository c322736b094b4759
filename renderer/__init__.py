"""Renders product pictures with exact alpha: the samples, and others for training.

Everything that needs Blender's module `bpy` is in `renderer.blender` and `renderer.products`.
The other modules are plain numpy and data, and can be imported without it.
"""
