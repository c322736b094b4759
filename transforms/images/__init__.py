"""``ReadImages``: fetches the encoded images; `decode` makes upright sRGB pixels of them.

Fetching is the part that waits, so it is what ``ReadImages`` overlaps; pixels are made by the
backend, when it gets to the image, so that few decoded images are in memory at once.
"""

from __future__ import annotations

from alphabeam.transforms.images.decoding import DAMAGED, Decoded, decode, decode_fully, inspect
from alphabeam.transforms.images.raster import ImageInfo
from alphabeam.transforms.images.reading import ReadImages, fetch

__all__ = [
    "DAMAGED",
    "Decoded",
    "ImageInfo",
    "ReadImages",
    "decode",
    "decode_fully",
    "fetch",
    "inspect",
]
