"""Every touch of a store: any fsspec URL, whole objects, one kind of error.

Importing this package imports no Beam; ``register`` does, when it is called.

>>> from transforms import storage
>>> storage.put("memory://shop/a.txt", b"shoe")
>>> storage.read("memory://shop/a.txt")
b'shoe'

Not for: appending, partial writes, or pipelines' own sources and sinks (for those ``register``
makes Beam's IO understand the same URLs).
"""

from __future__ import annotations

from transforms.storage.faults import StorageOptions
from transforms.storage.objects import (
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
from transforms.storage.objects import list_objects as list
from transforms.storage.uris import is_local, join, parent, redact, resolve

__all__ = [
    "Stat",
    "StorageOptions",
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
    "resolve",
    "stat",
]
