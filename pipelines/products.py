"""Rows by product: a product's photos may stand anywhere in a manifest."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.metadata.schema import SCHEMA, decode_table, rows_from_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row
from alphabeam.transforms.spill import Spill, repeated

__all__ = ["Product", "finished_rows", "products_of"]

Product = list[Row]
"""The finished rows of one product, in the order of the manifest."""

# Where a row is: the part's number, and the row's among the part's finished ones.
_PLACE = np.dtype([("key", np.uint64), ("part", np.uint64), ("row", np.uint64)])
_MOVED = np.dtype([("part", np.uint64), ("row", np.uint64), ("home", np.uint64)])
# Rows that a name has at most for them to be brought together: a column that all rows share names
# no product, and they would not fit into memory.
_MOST_ROWS = 10_000


def finished_rows(output: Output, parts: Sequence[str]) -> Iterator[list[Row]]:
    """The finished rows of each part of a run's metadata."""
    for table in _finished(output, parts):
        yield list(rows_from_table(table))


def products_of(
    output: Output, parts: Sequence[str], name: Callable[[Row], str]
) -> Iterator[list[Product]]:
    """The products of a run, for each part those whose first row is in it.

    One part's rows are in memory at a time. Rows that are far from their product's first one are
    moved by way of temporary files.

    Args:
        output: The job's output.
        parts: URIs of the metadata's parts, in order.
        name: What names a row's product.
    """
    moved = _moved(output, parts, name)
    with tempfile.TemporaryDirectory() as folder:
        _move(output, parts, moved, folder)
        for number, rows in enumerate(finished_rows(output, parts)):
            gone = {int(at) for at in moved["row"][moved["part"] == number]}
            rows = [row for at, row in enumerate(rows) if at not in gone]
            rows += _arrived(os.path.join(folder, str(number)))
            products: dict[str, Product] = {}
            for row in rows:
                products.setdefault(name(row), []).append(row)
            yield list(products.values())


def _finished(output: Output, parts: Sequence[str]) -> Iterator[pa.Table]:
    for _, data in output.read_many(parts):
        table = decode_table(data)
        yield table.filter(pc.equal(table["status"], DONE))


def _moved(output: Output, parts: Sequence[str], name: Callable[[Row], str]) -> NDArray[np.void]:
    """The rows that are in another part than their product's first one, records of `_MOVED`."""
    found = [np.empty(0, _MOVED)]
    with Spill(_PLACE) as places:
        for part, rows in enumerate(finished_rows(output, parts)):
            for number, row in enumerate(rows):
                places.append(digest(name(row)), part, number)
        for bucket in places:
            several = repeated(bucket)
            _, first, product, count = np.unique(
                several["key"], return_index=True, return_inverse=True, return_counts=True
            )
            home = several["part"][first][product]
            late = (several["part"] != home) & (count[product] <= _MOST_ROWS)
            records = np.empty(int(late.sum()), _MOVED)
            records["part"], records["row"] = several["part"][late], several["row"][late]
            records["home"] = home[late]
            found.append(records)
    return np.sort(np.concatenate(found))


def _move(output: Output, parts: Sequence[str], moved: NDArray[np.void], folder: str) -> None:
    """Puts each moved row into a file named after its home's number."""
    sources = [int(part) for part in np.unique(moved["part"])]
    for part, table in zip(sources, _finished(output, [parts[p] for p in sources]), strict=True):
        own = moved[moved["part"] == part]
        for home in np.unique(own["home"]):
            rows = table.take(own["row"][own["home"] == home])
            with (
                pa.OSFile(os.path.join(folder, str(int(home))), "ab") as file,
                pa.ipc.new_stream(file, SCHEMA) as stream,
            ):
                stream.write_table(rows.cast(SCHEMA))


def _arrived(path: str) -> Iterator[Row]:
    """The rows that were moved into a file."""
    if not os.path.exists(path):
        return
    with pa.OSFile(path, "rb") as file:
        while file.tell() < file.size():
            with pa.ipc.open_stream(file) as stream:
                yield from rows_from_table(stream.read_all())
