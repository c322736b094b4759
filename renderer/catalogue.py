"""The samples: what is in each picture, read from `catalogue.yaml`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from renderer.pictures import SETTINGS, Camera, Light, Picture, Piece, Setting
from renderer.products import PRODUCTS

__all__ = ["CATALOGUE", "CatalogueError", "Sample", "read_catalogue", "write_manifest"]

CATALOGUE = Path(__file__).resolve().parent / "catalogue.yaml"
_COLUMNS = ("id", "image", "title", "category", "background")

T = TypeVar("T")


class CatalogueError(ValueError):
    """The catalogue's file says something that cannot be rendered."""


@dataclass(frozen=True)
class Sample:
    """One picture of the catalogue.

    Attributes:
        id: Its name, which is its files' too.
        title: Of the product, as a shop has it.
        category: Of the product.
        background: What it stands before, in words.
        picture: What is rendered.
    """

    id: str
    title: str
    category: str
    background: str
    picture: Picture


def read_catalogue(path: Path = CATALOGUE) -> tuple[Sample, ...]:
    """The samples, in the file's order.

    Raises:
        CatalogueError: An entry is not well-formed; the message says which and why.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise CatalogueError(f"{path.name}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(entries, list):
        raise CatalogueError(f"{path.name}: must be a list of samples")
    samples: dict[str, Sample] = {}
    for number, entry in enumerate(entries, start=1):
        name = entry.get("id", f"number {number}") if isinstance(entry, dict) else f"no. {number}"
        try:
            sample = _sample(entry)
            if sample.id in samples:
                raise CatalogueError("the id is there twice")
        except CatalogueError as error:
            raise CatalogueError(f"{path.name}: sample {name}: {error}") from None
        samples[sample.id] = sample
    return tuple(samples.values())


def write_manifest(samples: Sequence[Sample], folder: Path) -> None:
    """Lists those samples that `folder` has a picture of in its `manifest.csv`."""
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        for sample in samples:
            image = f"images/{sample.id}.jpg"
            if (folder / image).exists():
                table.writerow([sample.id, image, sample.title, sample.category, sample.background])


def _sample(entry: Any) -> Sample:
    texts = {f.name for f in fields(Sample)} - {"picture"}
    if not isinstance(entry, dict):
        raise CatalogueError("must have fields")
    if missing := sorted(texts - entry.keys()):
        raise CatalogueError(f"{missing[0]} is missing")
    parts = {key: value for key, value in entry.items() if key not in texts}
    picture = _record(Picture, "", {key: _part(key, part) for key, part in parts.items()})
    if not picture.products:
        raise CatalogueError("products: must have one or more")
    return Sample(picture=picture, **{key: str(entry[key]) for key in texts})


def _part(key: str, value: Any) -> Any:
    """A field of `Picture` from what the file has for it."""
    if key in ("products", "clutter"):
        if not isinstance(value, list):
            raise CatalogueError(f"{key}: must be a list, not {value!r}")
        return tuple(_piece(key, piece) for piece in value)
    if key == "camera":
        camera = _record(Camera, key, value)
        if not (_is_pair(camera.size) and all(type(n) is int and n > 0 for n in camera.size)):
            raise CatalogueError(f"camera: size must be two numbers of pixels, not {camera.size!r}")
        return camera
    if key == "light":
        return _record(Light, key, value)
    if key == "setting":
        setting = _record(Setting, key, value)
        if setting.kind not in SETTINGS:
            raise CatalogueError(f"setting: no kind {setting.kind!r}; there are {_list(SETTINGS)}")
        return setting
    return _tuples(value)


def _piece(key: str, value: Any) -> Piece:
    piece = _record(Piece, key, value)
    if piece.product not in PRODUCTS:
        raise CatalogueError(f"{key}: no product {piece.product!r}; there are {_list(PRODUCTS)}")
    return piece


def _record(kind: type[T], key: str, value: Any) -> T:
    """A dataclass of a kind from a mapping, whose names must be its fields.

    Args:
        kind: The dataclass.
        key: Where the mapping stands, for messages; empty at the top.
        value: What the file has there.
    """
    where = f"{key}: " if key else ""
    if not isinstance(value, dict):
        raise CatalogueError(f"{where}must have fields, not {value!r}")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(map(str, value.keys() - known.keys())):
        raise CatalogueError(f"{where}no field {unknown[0]!r}; there are {_list(known)}")
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise CatalogueError(f"{where}{name} is missing")
    return kind(**{name: _tuples(part) for name, part in value.items()})


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def _tuples(value: Any) -> Any:
    """The value with tuples for lists, at any depth."""
    if isinstance(value, list):
        return tuple(_tuples(part) for part in value)
    if isinstance(value, Mapping):
        return {key: _tuples(part) for key, part in value.items()}
    return value


def _list(names: Any) -> str:
    return ", ".join(sorted(names))
