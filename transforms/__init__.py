"""The plugin: Beam transforms, and the plain functions that they wire together.

`alphabeam` exports the public names.
"""
