"""Tables of the documentation that are made from the code, as Markdown."""

from __future__ import annotations

import typing
from collections.abc import Iterable

from alphabeam.transforms.metadata.schema import COLUMNS, SCHEMA
from alphabeam.transforms.parameters import PARAMETERS
from alphabeam.transforms.rows import Row

__all__ = ["column_table", "parameter_table"]


def parameter_table() -> str:
    """The matting parameters as a Markdown table."""
    return _table(
        ("parameter", "values", "default", "the API's name", "meaning"),
        (
            (
                f"`{one.name}`",
                one.bounds or "left,top,right,bottom",
                "none" if one.default is None else f"`{one.default}`".lower(),
                f"`{one.api}`" if one.api else "none",
                one.meaning,
            )
            for one in PARAMETERS
        ),
    )


def column_table() -> str:
    """The metadata's columns as a Markdown table."""
    hints = typing.get_type_hints(Row)

    def type_of(name: str) -> str:
        kind = str(SCHEMA.field(name).type).replace("item: ", "").replace("element: ", "")
        # As code, since a page would take the angle brackets of list<int32> for HTML.
        return f"`{kind}`" + (", null" if type(None) in typing.get_args(hints[name]) else "")

    return _table(
        ("column", "type", "meaning"),
        ((f"`{name}`", type_of(name), COLUMNS[name].meaning) for name in SCHEMA.names),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )
