"""Names of renditions' files, from templates such as ``{sku}-front``."""

from __future__ import annotations

import functools
import string
from collections.abc import Mapping

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.names import file_name
from alphabeam.transforms.renditions.settings import Rendition

__all__ = ["FOLDER", "fields_of", "name_of", "same_by_template"]

FOLDER = "renditions"
"""The folder of an output that holds them."""


@functools.lru_cache(maxsize=256)
def fields_of(template: str) -> tuple[str, ...]:
    """The names in a template's braces.

    Raises:
        ValueError: The template is broken.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{template!r} is no template: {error}") from None
    names = [name for _, name, _, _ in parts if name is not None]
    if any(not name.strip() for name in names):
        raise ValueError(f"{template!r} is no template: name a column between the braces")
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise ValueError(f"{template!r} is no template: only names stand between the braces")
    return tuple(names)


def name_of(
    rendition: Rendition, id: str, columns: Mapping[str, str], *, keep: bool = False
) -> str:
    """Where a row's rendition lies, relative to the output.

    Args:
        rendition: Which one.
        id: The row's.
        columns: The manifest's other columns.
        keep: Leave letters of every script and spaces, as in `file_name`.

    Raises:
        RowError: ``invalid_parameter`` where the row has no value for a column that is named.
    """
    parts = [
        file_name(_filled(template, rendition, id, columns), keep=keep)
        for template in (rendition.folder, rendition.file)
    ]
    return f"{FOLDER}/{parts[0]}/{parts[1]}.{rendition.extension}"


def _filled(template: str, rendition: Rendition, id: str, columns: Mapping[str, str]) -> str:
    values: dict[str, str] = {}
    for field in fields_of(template):
        if field in ("id", "rendition"):
            values[field] = id if field == "id" else rendition.name
            continue
        value = columns.get(field, "").strip()
        if not value:
            close = [v for k, v in columns.items() if k.casefold() == field.casefold()]
            value = close[0].strip() if close else ""
        if not value:
            raise RowError(
                ErrorCode.INVALID_PARAMETER,
                f"rendition {rendition.name}: its file is named by the column {field!r}, and the "
                "row has no value there",
            )
        values[field] = value
    return "".join(
        literal + (values[name] if name is not None else "")
        for literal, name, _, _ in string.Formatter().parse(template)
    )


def same_by_template(renditions: tuple[Rendition, ...]) -> bool:
    """Whether two files might get one name, as far as the templates tell.

    They cannot if each rendition has a folder of its own, and a name that is made of the id and
    nothing else of the row: ids differ.
    """
    folders = [_constant(one.folder, one) for one in renditions]
    if None in folders or len(set(folders)) < len(folders):
        return True
    nested = any(a != b and f"{b}/".startswith(f"{a}/") for a in folders for b in folders)
    return nested or any(set(fields_of(one.file)) - {"rendition"} != {"id"} for one in renditions)


def _constant(template: str, rendition: Rendition) -> str | None:
    """A folder that is the same for all rows; None if it is not."""
    if set(fields_of(template)) - {"rendition"}:
        return None
    return _filled(template, rendition, "", {}).casefold()
