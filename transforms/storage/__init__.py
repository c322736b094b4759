"""Every touch of a store: any fsspec URL, whole objects, one kind of error.

It knows no Beam; ``alphabeam.transforms.beam_io`` makes Beam's own IO understand the same URLs.

>>> from alphabeam.transforms import storage
>>> storage.put("memory://shop/a.txt", b"shoe")
>>> storage.read("memory://shop/a.txt")
b'shoe'

Not for: appending, partial writes, or pipelines' own sources and sinks.
"""

from __future__ import annotations

from alphabeam.transforms.storage.allowed import ANYWHERE, AllowList
from alphabeam.transforms.storage.creating import create
from alphabeam.transforms.storage.deleting import delete, remove_empty_folder, remove_folders, sweep
from alphabeam.transforms.storage.embedded import Embedded, embedded
from alphabeam.transforms.storage.faults import StorageOptions
from alphabeam.transforms.storage.info import Stat, exists, size_below, stat
from alphabeam.transforms.storage.listing import entries, glob
from alphabeam.transforms.storage.listing import list_objects as list
from alphabeam.transforms.storage.mapping import read_mapped
from alphabeam.transforms.storage.reading import open_input, read, read_many, read_with_version
from alphabeam.transforms.storage.uris import (
    canonical,
    has_secret,
    identity,
    is_local,
    join,
    normalized,
    parent,
    public,
    redact,
    resolve,
)
from alphabeam.transforms.storage.writing import put

__all__ = [
    "ANYWHERE",
    "AllowList",
    "Embedded",
    "Stat",
    "StorageOptions",
    "canonical",
    "create",
    "delete",
    "embedded",
    "entries",
    "exists",
    "glob",
    "has_secret",
    "identity",
    "is_local",
    "join",
    "list",
    "normalized",
    "open_input",
    "parent",
    "public",
    "put",
    "read",
    "read_many",
    "read_mapped",
    "read_with_version",
    "redact",
    "remove_empty_folder",
    "remove_folders",
    "resolve",
    "size_below",
    "stat",
    "sweep",
]
