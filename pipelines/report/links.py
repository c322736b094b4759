"""Where a browser that shows the report finds a picture."""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Callable
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from alphabeam.pipelines.report import as_json
from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.storage.uris import chain, quoted_url

__all__ = ["images_and_links", "link_between", "link_within", "links_within"]

# Names of letters that mean themselves in links, and lead nowhere else.
_PLAIN_NAME = r"^[A-Za-z0-9_.~/-]*$"
_PLAIN_URI = (
    r"^(?P<folder>(?:[a-z0-9]+://[A-Za-z0-9.-]+/|/)?(?:[A-Za-z0-9_.~-]+/)*)"
    r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.~-]*)$"
)


def link_within(name: str | None) -> str | None:
    """The link from the report's page to an object of its output, None for none.

    Args:
        name: The object's, relative to the output.
    """
    return _quoted(f"../{name}") if name else None


def links_within(names: pa.Array) -> pa.Array:
    """`link_within` of many names, as JSON."""
    names = pc.if_else(pc.equal(names, ""), pa.scalar(None, pa.string()), names)
    plain = pc.match_substring_regex(names, _PLAIN_NAME)
    return as_json.mended(
        as_json.joined('"../', names, '"'),
        plain,
        names,
        lambda one: as_json.value(link_within(one)),
    )


def images_and_links(images: pa.Array, folder: str) -> tuple[pa.Array, pa.Array]:
    """Sources' URIs, local ones as a manifest anywhere may name them, and links to them, as JSON.

    Both are made of the folder's and the file's name, where these are of ordinary letters: sources
    share a few folders.

    Args:
        images: The URIs.
        folder: Of the page.
    """
    parts = pc.extract_regex(images, _PLAIN_URI)
    folders, names = pc.struct_field(parts, [0]), pc.struct_field(parts, [1])
    # a name that the page's folder has too may be that folder
    shared = pc.is_in(names, value_set=pa.array(folder.split("/")))
    plain = pc.and_(pc.is_valid(names), pc.invert(shared))
    found = pc.dictionary_encode(folders)
    longer = "x" * (len(folder) + 1)  # than any part of the page's folder
    inside = [f"{one}{longer}" for one in found.dictionary.to_pylist()]

    def of_name(function: Callable[[str], str | None]) -> pa.Array:
        made = (function(one) for one in inside)
        before = pa.array(
            [one and as_json.value(one.removesuffix(longer))[1:-1] for one in made], pa.string()
        )
        whole = as_json.joined('"', before.take(found.indices), names, '"')
        return as_json.mended(whole, plain, images, lambda one: _value(function(one)))

    return of_name(_image), of_name(lambda one: link_between(folder, one))


def _image(uri: str) -> str:
    try:
        return storage.canonical(uri) if uri and storage.is_local(uri) else uri
    except RowError:  # a failed row's URI may be anything
        return uri


def _value(text: str | None) -> str | None:
    return as_json.value(text) if text else None


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
