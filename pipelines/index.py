"""The index: what a run has written, as a file that a shop system's own import takes.

It is made of the committed metadata, so the two cannot disagree: one file for each part of it, with
every finished row. The first rendition of a row is its main picture; a job without renditions lists
cutouts.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

import pyarrow.compute as pc

from alphabeam.pipelines.job import Job
from alphabeam.transforms.metadata.schema import decode_table, rows_from_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row

__all__ = ["KINDS", "Index", "index_of", "write_index"]


class _Kind(NamedTuple):
    delimiter: str
    documented: str


KINDS = {
    "csv": _Kind(",", "one line for each file, with all columns of the manifest"),
    "shopify": _Kind(",", "https://help.shopify.com/en/manual/products/import-export/using-csv"),
    "magento": _Kind(
        ",",
        "https://experienceleague.adobe.com/en/docs/commerce-admin/systems/data-transfer/"
        "data-attributes-product",
    ),
    "akeneo": _Kind(";", "https://help.akeneo.com/pim/serenity/articles/imports.html"),
}
"""The index's kinds: what separates a line's fields, and where its columns are documented."""


class _Picture(NamedTuple):
    """A file of a row, as an index lists it."""

    rendition: str
    name: str
    width: int | None
    height: int | None
    bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class Index:
    """What an index is made as.

    Attributes:
        kind: One of `KINDS`.
        url: What stands before the files' names: where they are public, or will be.
        columns: More columns of the manifest; ``csv`` has all of them.
        renditions: The names of the job's renditions, in order.
    """

    kind: str
    url: str = ""
    columns: Sequence[str] = ()
    renditions: Sequence[str] = ()

    def lines(self, rows: Sequence[Row]) -> Iterator[list[str]]:
        """The header and the lines of rows that are done."""
        makers = {
            "csv": self._csv,
            "shopify": self._shopify,
            "magento": self._magento,
            "akeneo": self._akeneo,
        }
        yield from makers[self.kind](rows)

    def _place(self, name: str) -> str:
        if not self.url:
            return name
        return f"{self.url.rstrip('/')}/{quote(name) if '://' in self.url else name}"

    def _pictures(self, row: Row) -> Iterator[_Picture]:
        """The row's renditions of the job; its cutout if the job has none."""
        made = {one.name: one for one in row.renditions if one.uri}
        for name in self.renditions:
            if (one := made.get(name)) is not None:
                yield _Picture(name, one.uri, one.width, one.height, one.bytes, one.sha256)
        if not self.renditions and row.cutout is not None:
            yield _Picture(
                *("cutout", row.cutout, row.width, row.height),
                *(row.cutout_bytes, row.cutout_sha256),
            )

    def _csv(self, rows: Sequence[Row]) -> Iterator[list[str]]:
        extra = list(dict.fromkeys(name for row in rows for name in row.extra))
        measures = ("width", "height", "bytes", "sha256")
        yield ["id", "rendition", "file", *measures, *extra]
        for row in rows:
            for one in self._pictures(row):
                values = (one.width, one.height, one.bytes, one.sha256)
                yield [
                    *(row.id, one.rendition, self._place(one.name)),
                    *("" if value is None else str(value) for value in values),
                    *(row.extra.get(name, "") for name in extra),
                ]

    def _shopify(self, rows: Sequence[Row]) -> Iterator[list[str]]:
        yield [
            *("URL handle", "Title", "Product image URL", "Image position", "Image alt text"),
            *self.columns,
        ]
        for row in rows:
            handle = _of(row, "URL handle", "Handle") or _handle(_of(row, "sku") or row.id)
            title = _of(row, "title", "name") or row.id
            for position, one in enumerate(self._pictures(row), 1):
                yield [
                    *(handle, title, self._place(one.name), str(position), title),
                    *(_of(row, name) for name in self.columns),
                ]

    def _magento(self, rows: Sequence[Row]) -> Iterator[list[str]]:
        roles = ("base_image", "small_image", "thumbnail_image")
        yield [
            *("sku", *(name for role in roles for name in (role, f"{role}_label"))),
            *("additional_images", "additional_image_labels", *self.columns),
        ]
        for row in rows:
            places = [self._place(one.name) for one in self._pictures(row)]
            if not places:
                continue
            label = (_of(row, "title", "name") or row.id).replace(",", " ")
            more = places[1:]
            yield [
                *(_of(row, "sku") or row.id, *(places[0], label) * len(roles)),
                *(",".join(more), ",".join([label] * len(more))),
                *(_of(row, name) for name in self.columns),
            ]

    def _akeneo(self, rows: Sequence[Row]) -> Iterator[list[str]]:
        names = [*(self.renditions or ("cutout",))]
        yield ["sku", *(re.sub(r"\W", "_", name) for name in names), *self.columns]
        for row in rows:
            places = {one.rendition: self._place(one.name) for one in self._pictures(row)}
            yield [
                _of(row, "sku") or row.id,
                *(places.get(name, "") for name in names),
                *(_of(row, name) for name in self.columns),
            ]


def index_of(job: Job) -> Index:
    """What the job's index is made as."""
    given = job.output
    return Index(
        given.index,
        given.index_url,
        tuple(given.index_columns),
        tuple(one.name for one in given.all_renditions()),
    )


def write_index(index: Index, output: Output, run_id: str) -> list[str]:
    """Writes the index of a run that is whole, and removes an earlier one's.

    Returns:
        URIs of its files.
    """
    written: list[str] = []
    parts = [
        uri
        for uri in output.committed_files()
        if uri.startswith(output.metadata(run_id).rstrip("/") + "/") and uri.endswith(".parquet")
    ]
    for number, (_, data) in enumerate(output.read_many(parts)):
        table = decode_table(data)
        rows = list(rows_from_table(table.filter(pc.equal(table["status"], DONE))))
        uri = output.index(index.kind, number)
        output.put(uri, _encoded(index.lines(rows), KINDS[index.kind].delimiter))
        written.append(uri)
    output.delete(uri for uri in output.list("index") if uri not in written)
    return written


def _encoded(lines: Iterable[Sequence[str]], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _of(row: Row, *names: str) -> str:
    """The manifest's value under the first of some names, letter case aside; empty if none."""
    plain: Mapping[str, str] = {name.casefold(): value for name, value in row.extra.items()}
    return next((plain[n.casefold()] for n in names if plain.get(n.casefold())), "")


def _handle(text: str) -> str:
    """A text as Shopify takes it in a product's address: letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "product"
