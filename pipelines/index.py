"""The index: what a run has written, as a file that a shop system's own import takes.

It is made of the committed metadata, so the two cannot disagree: one file for each part of it. The
first rendition of a product's first row is its main picture; a job without renditions lists
cutouts.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from alphabeam.pipelines.job import Job
from alphabeam.pipelines.products import Product, finished_rows, products_of
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Row

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
        renditions: The names of the renditions that are listed, in order; none for the cutouts.
        product: The manifest's column that names a product.
    """

    kind: str
    url: str = ""
    columns: Sequence[str] = ()
    renditions: Sequence[str] = ()
    product: str = "sku"

    def name(self, row: Row) -> str:
        """What names a row's product: rows of one name are its photos."""
        sku = _of(row, self.product) or row.id
        return (_of(row, "URL handle", "Handle") or _handle(sku)) if self.kind == "shopify" else sku

    def lines(self, products: Sequence[Product]) -> Iterator[list[str]]:
        """The header, and the lines of finished products."""
        makers = {
            "csv": self._csv,
            "shopify": self._shopify,
            "magento": self._magento,
            "akeneo": self._akeneo,
        }
        yield from makers[self.kind](products)

    def _place(self, name: str) -> str:
        if not self.url:
            return name
        return f"{self.url.rstrip('/')}/{quote(name) if '://' in self.url else name}"

    def _pictures(self, row: Row) -> Iterator[_Picture]:
        """The row's listed renditions; its cutout if none are listed."""
        made = {one.name: one for one in row.renditions if one.uri}
        for name in self.renditions:
            if (one := made.get(name)) is not None:
                yield _Picture(name, one.uri, one.width, one.height, one.bytes, one.sha256)
        if not self.renditions and row.cutout is not None:
            yield _Picture(
                *("cutout", row.cutout, row.width, row.height),
                *(row.cutout_bytes, row.cutout_sha256),
            )

    def _csv(self, products: Sequence[Product]) -> Iterator[list[str]]:
        rows = list(itertools.chain.from_iterable(products))
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

    def _shopify(self, products: Sequence[Product]) -> Iterator[list[str]]:
        yield [
            *("URL handle", "Title", "Product image URL", "Image position", "Image alt text"),
            *self.columns,
        ]
        for product in products:
            handle, title = self.name(product[0]), _title(product)
            pictures = [(row, one) for row in product for one in self._pictures(row)]
            for position, (row, one) in enumerate(pictures, 1):
                yield [
                    *(handle, title, self._place(one.name), str(position), title),
                    *(_of(row, name) for name in self.columns),
                ]

    def _magento(self, products: Sequence[Product]) -> Iterator[list[str]]:
        roles = ("base_image", "small_image", "thumbnail_image")
        yield [
            *("sku", *(name for role in roles for name in (role, f"{role}_label"))),
            *("additional_images", "additional_image_labels", *self.columns),
        ]
        for product in products:
            places = [self._place(one.name) for row in product for one in self._pictures(row)]
            if not places:
                continue
            label = _title(product).replace(",", " ")
            more = places[1:]
            yield [
                *(self.name(product[0]), *(places[0], label) * len(roles)),
                *(",".join(more), ",".join([label] * len(more))),
                *(_first(product, name) for name in self.columns),
            ]

    def _akeneo(self, products: Sequence[Product]) -> Iterator[list[str]]:
        names = self.renditions or ("cutout",)
        listed: list[tuple[Product, dict[str, list[str]]]] = []
        for product in products:
            places: dict[str, list[str]] = {name: [] for name in names}
            for row in product:
                for one in self._pictures(row):
                    places[one.rendition].append(self._place(one.name))
            if any(places.values()):
                listed.append((product, places))
        # An attribute holds one file: the second photo's has a name of its own.
        most = max((len(found) for _, places in listed for found in places.values()), default=1)
        codes = [re.sub(r"\W", "_", name) for name in names]
        numbered = [f"_{number}" if number > 1 else "" for number in range(1, most + 1)]
        yield ["sku", *(f"{code}{end}" for end in numbered for code in codes), *self.columns]
        for product, places in listed:
            yield [
                self.name(product[0]),
                *(
                    places[name][at] if at < len(places[name]) else ""
                    for at in range(most)
                    for name in names
                ),
                *(_first(product, name) for name in self.columns),
            ]


def index_of(job: Job) -> Index:
    """What the job's index is made as."""
    given = job.output
    return Index(
        given.index,
        given.index_url,
        tuple(given.index_columns),
        given.indexed_renditions(),
        given.product or "sku",
    )


def write_index(index: Index, output: Output, run_id: str) -> list[str]:
    """Writes the index of a run that is whole, and removes an earlier one's.

    Returns:
        URIs of its files.
    """
    written: list[str] = []
    folder = output.metadata(run_id).rstrip("/") + "/"
    parts = [
        uri
        for uri in output.committed_files()
        if uri.startswith(folder) and uri.endswith(".parquet")
    ]
    products = (
        ([[row] for row in rows] for rows in finished_rows(output, parts))
        if index.kind == "csv"
        else products_of(output, parts, index.name)
    )
    for number, of_part in enumerate(products):
        uri = output.index(index.kind, number)
        output.put(uri, _encoded(index.lines(of_part), KINDS[index.kind].delimiter))
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


def _first(product: Product, *names: str) -> str:
    """Likewise, of the first row that has one."""
    return next((value for row in product if (value := _of(row, *names))), "")


def _title(product: Product) -> str:
    return _first(product, "title", "name") or product[0].id


def _handle(text: str) -> str:
    """A text as Shopify takes it in a product's address: letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "product"
