"""Columns of a table as JSON: each value a text, by operations on whole columns.

A report of a hundred thousand rows has millions of values. As Python objects, made one at a time
and encoded one at a time, they would take longer than all else on a night on which nothing changes.

Each function gives an array of texts that are JSON. All are ASCII, and none has a ``<``: they may
stand in a script. Null stays null, and means that there is no value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "array_of",
    "joined",
    "mapping",
    "mended",
    "numbers",
    "objects",
    "texts",
    "value",
]

_PLAIN = r"^[ !#-;=-\[\]-~]*$"  # printable ASCII without quotes, backslashes and <


def value(one: Any) -> str:
    """One value."""
    text = json.dumps(one, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def array_of(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:  # combined, it would be a copy
        return column.chunk(0)
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # pyarrow gives one back that has one chunk, or none
        return whole.chunk(0) if whole.num_chunks else pa.array([], whole.type)
    return whole


def joined(*parts: pa.Array | str) -> pa.Array:
    """Texts beside each other; null where one of them is."""
    return pc.binary_join_element_wise(*parts, "")


def mended(
    made: pa.Array, plain: pa.Array, column: pa.Array, slow: Callable[[Any], str | None]
) -> pa.Array:
    """An array in which the values that are not plain are made one at a time.

    Args:
        made: What is right where ``plain`` holds.
        plain: Where it does; null counts as plain.
        column: What it was made of.
        slow: From a value of ``column`` to the right text.
    """
    odd = pc.invert(pc.fill_null(plain, True))
    if not pc.any(odd).as_py():
        return made
    found = [slow(one) for one in column.filter(odd).to_pylist()]
    return pc.replace_with_mask(made, odd, pa.array(found, pa.string()))


def texts(column: pa.Array) -> pa.Array:
    """Texts as JSON strings."""
    plain = pc.match_substring_regex(column, _PLAIN)
    return mended(joined('"', column, '"'), plain, column, value)


def numbers(column: pa.Array) -> pa.Array:
    """Numbers and truths; floating ones with four decimals, and null where they are not finite."""
    if pa.types.is_floating(column.type):
        rounded = pc.round(column.cast(pa.float64()), 4)
        nothing = pa.scalar(None, pa.float64())
        return pc.if_else(pc.is_finite(rounded), rounded, nothing).cast(pa.string())
    return column.cast(pa.string())


def objects(fields: Mapping[str, pa.Array]) -> pa.Array:
    """An object for each row, without the fields that are null there."""
    # Arrow's own way of leaving nulls out loses the rows in which all are null.
    parts = [
        pc.fill_null(joined(f"{value(name)}:", column, ","), "") for name, column in fields.items()
    ]
    return joined("{", pc.ascii_rtrim(joined(*parts), ","), "}")


def mapping(column: pa.Array) -> pa.Array:
    """Maps of texts as objects; null where there is nothing in one."""
    low = column.offsets[0].as_py() if len(column) else 0
    high = column.offsets[-1].as_py() if len(column) else 0
    pairs = joined(
        texts(column.keys.slice(low, high - low)),
        ":",
        pc.fill_null(texts(column.items.slice(low, high - low)), "null"),
    )
    offsets = pc.subtract(column.offsets, low)
    some = pc.greater(pc.subtract(offsets[1:], offsets[:-1]), 0)
    inside = pc.binary_join(pa.ListArray.from_arrays(offsets, pairs), ",")
    return pc.if_else(some, joined("{", inside, "}"), pa.scalar(None, pa.string()))
