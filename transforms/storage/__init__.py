"""Every touch of a store: any fsspec URL, whole objects, one kind of error.

Importing this package imports no Beam; ``register`` does, when it is called.

>>> from alphabeam.transforms import storage
>>> storage.put("memory://shop/a.txt", b"shoe")
>>> storage.read("memory://shop/a.txt")
b'shoe'

Not for: appending, partial writes, or pipelines' own sources and sinks (for those ``register``
makes Beam's IO understand the same URLs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alphabeam.transforms.storage.faults import StorageOptions
from alphabeam.transforms.storage.objects import (
    Stat,
    delete,
    exists,
    glob,
    open_input,
    put,
    read,
    read_many,
    stat,
)
from alphabeam.transforms.storage.objects import list_objects as list
from alphabeam.transforms.storage.uris import is_local, join, parent, redact, resolve

if TYPE_CHECKING:
    from alphabeam.transforms.storage.beam_filesystem import FsspecPath

__all__ = [
    "Stat",
    "StorageOptions",
    "beam_path",
    "delete",
    "exists",
    "glob",
    "is_local",
    "join",
    "list",
    "open_input",
    "parent",
    "put",
    "read",
    "read_many",
    "redact",
    "register",
    "resolve",
    "stat",
]


def register(
    *protocols: str, options: StorageOptions | None = None, take_over: bool = False
) -> None:
    """Makes Beam's own IO understand these protocols; see ``beam_filesystem.register``."""
    from alphabeam.transforms.storage import beam_filesystem

    beam_filesystem.register(*protocols, options=options, take_over=take_over)


def beam_path(uri: str) -> FsspecPath:
    """A URI for Beam's own IO, good on every worker; see ``beam_filesystem.beam_path``."""
    from alphabeam.transforms.storage import beam_filesystem

    return beam_filesystem.beam_path(uri)
