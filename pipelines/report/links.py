"""Where a browser that shows the report finds a picture."""

from __future__ import annotations

import functools
import os
import posixpath
from urllib.parse import quote

from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.storage.uris import chain, quoted_url

__all__ = ["link_between", "link_within"]


def link_within(name: str | None) -> str | None:
    """The link from the report's page to an object of its output, None for none.

    Args:
        name: The object's, relative to the output.
    """
    return _quoted(f"../{name}") if name else None


def link_between(folder: str, target: str) -> str | None:
    """The link from a page in a folder to an object.

    A report lies in the output, so what lies in the same store has a relative link, whichever way
    the store is served. What is on the web has its own address.

    Args:
        folder: Of the page, a local path or a URI.
        target: The object, likewise.

    Returns:
        A URL, escaped; None where a browser cannot open the object from there.
    """
    if not target:
        return None
    try:
        if storage.is_local(folder) and storage.is_local(target):
            return _quoted(_relative(storage.canonical(target), _place(folder)))
        page, there_chain = chain(folder), chain(target)
        if len(there_chain) != 1:
            return None
        one = there_chain[0]
        if one.protocol in ("http", "https"):
            return quoted_url(target)
        if len(page) != 1 or (page[0].protocol, page[0].authority) != (one.protocol, one.authority):
            return None
        if storage.is_local(target):
            return None
        return _quoted(posixpath.relpath(f"/{one.name}", f"/{page[0].name}"))
    except (RowError, ValueError):  # a row's URI may be anything; drives have no path between them
        return None


@functools.lru_cache(maxsize=16)  # all links of a report begin in one folder
def _place(folder: str) -> list[str]:
    return os.path.abspath(storage.canonical(folder)).split(os.sep)


def _relative(target: str, here: list[str]) -> str:
    """The way from a folder, in its parts, to a file; both absolute and without links.

    ``os.path.relpath`` makes both absolute again, which is most of what a report costs.
    """
    there = target.split(os.sep)
    if there[0] != here[0]:
        raise ValueError("another drive")
    same = 0
    while same < min(len(here), len(there) - 1) and here[same] == there[same]:
        same += 1
    return "/".join([*[".."] * (len(here) - same), *there[same:]])


def _quoted(path: str) -> str:
    return quote(path if path.startswith(".") else f"./{path}", safe="/~()!*',;@&=+$")
