"""The PICPIK backend: buys cutouts from the signed API, and never the same one twice."""

from __future__ import annotations

from alphabeam.transforms.backends.picpik.backend import PicpikBackend

__all__ = ["PicpikBackend"]
