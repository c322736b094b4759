"""Ids and the file names made from them: safe on every store, the same from run to run."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable

__all__ = ["IMAGE_EXTENSIONS", "checksum", "default_id", "digest", "file_name", "suffix"]

IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp"),
    *(".tif", ".tiff", ".bmp", ".gif", ".avif"),
)

_MASK = 2**64 - 1


def digest(text: str) -> int:
    """64 bits that stand for a text; two of ten million texts share them once in 400 000 runs."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def checksum(lines: Iterable[int], before: int = 0) -> int:
    """A sum that tells whether the same lines were counted, each once, in whatever order."""
    for line in lines:
        mixed = (line * 0x9E3779B97F4A7C15 + 0x7F4A7C15) & _MASK
        mixed = ((mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9) & _MASK
        before = (before + (mixed ^ mixed >> 32)) & _MASK
    return before


def suffix(text: str) -> str:
    """What keeps two names apart that were cleaned to the same one: 16 hex digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)")  # on Windows


def file_name(id: str) -> str:
    """An id as a relative file name that every store and file system takes.

    Slashes become folders. An id of ASCII letters, digits, ``.``, ``_`` and ``-`` stays as it is;
    any other is cleaned, and gets a digest so that different ids keep different names.

    Args:
        id: Any non-empty text.

    Returns:
        A name without extension, at most 200 characters.
    """
    parts = (_UNSAFE.sub("-", part).strip("-.")[:80].strip("-.") for part in id.split("/"))
    clean = "/".join(_RESERVED.sub(r"_\g<0>", part) for part in parts if part)[-180:].strip("/-.")
    if clean == id:
        return id
    return f"{clean}-{suffix(id)}" if clean else f"image-{suffix(id)}"


def default_id(uri: str, folder: str) -> str:
    """The URI without scheme and extension, relative to the manifest's folder where it is below."""
    prefix = folder.rstrip("/") + "/"
    relative = uri[len(prefix) :] if uri.startswith(prefix) else uri.split("://", 1)[-1]
    stem, extension = os.path.splitext(relative)
    return (stem if extension.lower() in IMAGE_EXTENSIONS else relative).strip("/") or "image"
