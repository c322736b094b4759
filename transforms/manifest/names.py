"""Ids and the file names made from them: safe on every store, the same from run to run."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["IMAGE_EXTENSIONS", "checksum", "default_id", "digest", "file_name", "suffix"]

IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp"),
    *(".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif", ".hif"),
    *(".jp2", ".j2k", ".jpf", ".psd", ".jxl"),
)


def digest(text: str) -> int:
    """64 bits that stand for a text; two of ten million texts share them once in 400 000 runs."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def checksum(lines: Iterable[int] | NDArray[np.int64], before: int = 0) -> int:
    """A sum that tells whether the same lines were counted, each once, in whatever order."""
    if not isinstance(lines, np.ndarray):
        lines = np.fromiter(lines, np.int64)
    with np.errstate(over="ignore"):  # all modulo 2**64
        mixed = lines.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x7F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        total = int(np.sum(mixed ^ (mixed >> np.uint64(32)), dtype=np.uint64))
    return (before + total) & (2**64 - 1)


def suffix(text: str) -> str:
    """What keeps two names apart that were cleaned to the same one: 16 hex digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# What no file system or store should be asked to take: control and format characters, and what
# Windows, URLs and shells give a meaning.
_FORBIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    r'<>:"\\|?*%#\[\]{}^`~]+'
)
_SAFE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?")  # what stays as it is
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)")  # on Windows


def file_name(id: str, *, keep: bool = False) -> str:
    """An id as a relative file name that every store and file system takes.

    Slashes become folders. An id of ASCII letters, digits, ``.``, ``_`` and ``-`` stays as it is;
    any other is cleaned, and gets a digest so that different ids keep different names.

    Args:
        id: Any non-empty text.
        keep: Leave letters of every script and spaces too, for stores that can take them.

    Returns:
        A name without extension, at most 200 characters. With ``keep`` no part of it is over 220
        bytes of UTF-8.
    """
    if _SAFE.fullmatch(id) and not _RESERVED.match(id):
        return id
    unsafe, most = (_FORBIDDEN, 200) if keep else (_UNSAFE, 80)
    # In one form only, or two ids would be one file on a Mac.
    text = unicodedata.normalize("NFC", id) if keep else id
    parts = (
        _cut(unsafe.sub("-", part).strip("-. "), most).strip("-. ") for part in text.split("/")
    )
    clean = "/".join(_RESERVED.sub(r"_\g<0>", part) for part in parts if part)[-180:].strip("/-. ")
    if clean == id:
        return id
    return f"{clean}-{suffix(id)}" if clean else f"image-{suffix(id)}"


def _cut(text: str, most: int) -> str:
    """The text's beginning, in so many bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def default_id(uri: str, folder: str) -> str:
    """The URI without scheme and extension, relative to the manifest's folder where it is below."""
    prefix = folder.rstrip("/") + "/"
    uri = uri.partition("?versionId=")[0] if uri.startswith(("s3://", "s3a://")) else uri
    relative = uri[len(prefix) :] if uri.startswith(prefix) else uri.split("://", 1)[-1]
    stem, extension = os.path.splitext(relative)
    return (stem if extension.lower() in IMAGE_EXTENSIONS else relative).strip("/") or "image"
