"""Which files a manifest is: one; the part files of a folder or a pattern; what a glob matches."""

from __future__ import annotations

import os
from dataclasses import replace

from alphabeam.transforms import storage
from alphabeam.transforms.manifest.source import Manifest, ManifestError, braced, table_extension

__all__ = ["has_pattern", "matches", "part_of", "parts_of"]


def has_pattern(name: str) -> bool:
    """Whether a name has wildcards, or braces with alternatives."""
    return any(character in name for character in "*?[") or len(braced(name)) > 1


def matches(manifest: Manifest) -> list[str]:
    """The objects that the manifest's URI, as a folder or a pattern, stands for; sorted."""
    found: set[str] = set()
    for pattern in braced(manifest.uri):
        if storage.is_local(pattern) and os.path.isdir(os.path.expanduser(pattern)):
            pattern = pattern.rstrip("/") + "/"
        found.update(storage.glob(pattern, options=manifest.storage_options))
    return sorted(found)


def part_of(manifest: Manifest, uri: str) -> Manifest:
    """The manifest with one of its files alone."""
    kept = "list" if manifest.kind == "list" and manifest.format == "auto" else manifest.kind
    return replace(manifest, uri=uri, format=kept)


def parts_of(manifest: Manifest) -> list[Manifest]:
    """The files of a manifest that is no glob: itself, or one for each part, in order.

    A folder's parts are the files below it with a manifest's extension; where none has one, all
    of them. What engines leave beside parts (``_SUCCESS``, ``_metadata``, ``.crc``) is none.

    Raises:
        ManifestError: There is no part.
        RowError: The store refuses the listing.
    """
    uri = manifest.uri
    if uri.lower().startswith(("http://", "https://")) or "?versionId=" in uri:
        return [manifest]
    local = os.path.expanduser(uri) if storage.is_local(uri) else ""
    folder = uri.endswith("/") or (local != "" and os.path.isdir(local))
    if not folder and (not has_pattern(uri) or (local and os.path.isfile(local))):
        return [manifest]
    found = [one for one in matches(manifest) if not one.rsplit("/", 1)[-1].startswith(("_", "."))]
    if folder:
        found = [one for one in found if table_extension(one)] or found
    excluded = tuple(map(storage.canonical, manifest.exclude))
    if excluded:
        found = [one for one in found if not storage.canonical(one).startswith(excluded)]
    if not found:
        if folder or local:
            raise ManifestError(f"{manifest.shown}: no part of a manifest is there; check the name")
        return [manifest]  # a name with brackets in it
    return [part_of(manifest, one) for one in found]
