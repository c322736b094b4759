"""What renditions a row gets, under which names, and which of them are there already."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from apache_beam.utils.shared import Shared
from numpy.typing import NDArray

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import decode
from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.pixels import composite_over
from alphabeam.transforms.renditions.names import fields_of, name_of, same_by_template
from alphabeam.transforms.renditions.presets import load_preset
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.rows import MadeRendition, Row
from alphabeam.transforms.spill import Spill, repeated

__all__ = [
    "CHOICE_COLUMN",
    "MARGIN_COLUMN",
    "Backgrounds",
    "Planned",
    "Renditions",
    "collisions",
    "matting_problem",
]

CHOICE_COLUMN = "renditions"
"""The manifest's column by which a row chooses its renditions: their names, or ``none``."""

MARGIN_COLUMN = "rendition_margin"
"""The manifest's column with margins that go before those of all renditions with margins."""

# Part of every key: raise it when the same settings give other pixels.
_REVISION = 3

_NAME = np.dtype([("key", "<u8")])  # digest of a rendition's name


class Planned(NamedTuple):
    """A rendition that a row is to get.

    Attributes:
        rendition: With the row's own margins.
        name: Of its file, relative to the output.
        key: What makes it the same rendition.
    """

    rendition: Rendition
    name: str
    key: str

    def is_made(self, made: MadeRendition) -> bool:
        """Whether a record of the metadata says that it has been made."""
        return not made.error and (made.name, made.uri, made.key) == (
            self.rendition.name,
            self.name,
            self.key,
        )


@dataclass(frozen=True)
class Renditions:
    """The renditions of a job.

    Attributes:
        renditions: What each row gets that does not choose for itself.
        storage_options: Options for fsspec by protocol, for the backgrounds' images.
        keep_names: Whether files keep letters of every script and spaces.
        taken: Digests of the names that two rows would give a file; see `collisions`.

    Raises:
        ValueError: Two have one name or one file, or a template is broken; the message starts with
            the number and the setting's name.
    """

    renditions: tuple[Rendition, ...]
    storage_options: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    keep_names: bool = False
    taken: frozenset[int] = frozenset()
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def __post_init__(self) -> None:
        names: dict[str, int] = {}
        files: dict[tuple[str, str], int] = {}
        for number, one in enumerate(self.renditions):
            for setting in ("file", "folder"):
                try:
                    fields_of(getattr(one, setting))
                except ValueError as error:
                    raise ValueError(f"{number}.{setting}: {error}") from None
            if (first := names.setdefault(one.name.casefold(), number)) != number:
                raise ValueError(
                    f"{number}.name: {one.name!r} is the name of rendition {first + 1} too; give "
                    "it another"
                )
            path = f"{one.folder}/{one.file}".replace("{rendition}", one.name).casefold()
            if (first := files.setdefault((path, one.extension), number)) != number:
                raise ValueError(
                    f"{number}.file: its files would have the names of those of rendition "
                    f"{first + 1}; give it another folder"
                )

    def __bool__(self) -> bool:
        return bool(self.renditions)

    def backgrounds(self) -> Backgrounds:
        """The images that lie behind, read once in each process."""
        opened: Backgrounds = self._shared.acquire(lambda: Backgrounds(self))
        return opened

    def plan(self, row: Row) -> tuple[Planned, ...]:
        """What a row is to get.

        Raises:
            RowError: ``invalid_parameter`` where the row asks for what the job does not have, or
                has no value that a name is made of; ``duplicate_name`` where another row's file has
                the same name.
        """
        planned: list[Planned] = []
        for rendition in self._chosen(row):
            name = name_of(rendition, row.id, row.extra, keep=self.keep_names)
            if digest(name.casefold()) in self.taken or any(
                name.casefold() == one.name.casefold() for one in planned
            ):
                raise RowError(
                    ErrorCode.DUPLICATE_NAME,
                    f"rendition {rendition.name}: another file has the name {name!r} too; name it "
                    "by {id}, or by columns that tell the rows apart",
                )
            planned.append(Planned(rendition, name, self._key(rendition, row)))
        return tuple(planned)

    def _chosen(self, row: Row) -> Iterator[Rendition]:
        margin = row.extra.get(MARGIN_COLUMN, "").strip()
        for one in self._named(row.extra.get(CHOICE_COLUMN, "").strip()):
            if margin and one.content == "product" and one.canvas != "source":
                try:
                    one = dataclasses.replace(one, margin=margin)
                except ValueError as error:
                    raise RowError(
                        ErrorCode.INVALID_PARAMETER, f"{MARGIN_COLUMN}: {error}"
                    ) from None
            _check_matting(one, row)
            yield one

    def _named(self, choice: str) -> Iterable[Rendition]:
        if not choice:
            return self.renditions
        if choice.lower() == "none":
            return ()
        known = {one.name.casefold(): one for one in self.renditions}
        wanted = [part.strip() for part in choice.replace(";", ",").split(",") if part.strip()]
        for part in wanted:
            if part.casefold() not in known:
                raise RowError(
                    ErrorCode.INVALID_PARAMETER,
                    f"{CHOICE_COLUMN}: the job has no rendition {part!r}; it has "
                    f"{', '.join(one.name for one in self.renditions)}",
                )
        return [known[part.casefold()] for part in dict.fromkeys(wanted)]

    def _key(self, rendition: Rendition, row: Row) -> str:
        background = ""
        if "/" in rendition.background:  # it may be an image's URI
            uri = rendition.parsed_background.uri
            background = self.backgrounds().sha256(uri) if uri else ""
        text = f"{row.fingerprint} {background} {_settings(rendition)}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@functools.lru_cache(maxsize=4096)
def _settings(rendition: Rendition) -> str:
    """All settings that make pixels, as text."""
    settings = dataclasses.asdict(rendition)
    for name in ("name", "file", "folder"):
        del settings[name]
    if rendition.preset:
        preset = load_preset(rendition.preset)
        settings["preset"] = [preset.name, preset.version]
    if rendition.parsed_background.kind == "image":
        del settings["background"]  # its content counts, and not where it lies
    return json.dumps([_REVISION, settings], sort_keys=True)


def matting_problem(rendition: Rendition, values: Any) -> str:
    """Why a rendition cannot be made with matting parameters; empty if it can.

    A kept shadow is in the cutout: no other rendition can be made without it.

    Args:
        rendition: The rendition.
        values: What has ``only_mask`` and ``keep_shadow``: a row, or `MattingParameters`.
    """
    if rendition.content == "mask":
        return ""
    if values.only_mask:
        return (
            "it is made from the cutout, and matting.only_mask is on; say content: mask, or "
            "only_mask: false"
        )
    if getattr(values, "backend", "") == "picpik":
        return ""  # a finished row, whose cutout has no shadow, whatever it says of one
    if rendition.shadow == "keep" and not values.keep_shadow:
        return "shadow: keep needs matting.keep_shadow: true"
    if rendition.shadow != "keep" and values.keep_shadow:
        return (
            "matting.keep_shadow is on, so the shadow is a part of the cutout; say shadow: keep, "
            "or make this rendition by a second job with keep_shadow: false and another output"
        )
    return ""


def _check_matting(rendition: Rendition, row: Row) -> None:
    """Refuses what the row's matting parameters do not give."""
    if problem := matting_problem(rendition, row):
        raise RowError(ErrorCode.INVALID_PARAMETER, f"rendition {rendition.name}: {problem}")


def collisions(rows: Iterable[Row], renditions: Renditions) -> frozenset[int]:
    """Digests of the file names that more than one row would give.

    Args:
        rows: All rows of the manifest; not looked at where ids tell all names apart.
        renditions: The job's.
    """
    if not same_by_template(renditions.renditions):
        return frozenset()
    twice: set[int] = set()
    with Spill(_NAME) as spill:
        for row in rows:
            try:
                names = {digest(one.name.casefold()) for one in renditions.plan(row)}
            except RowError:  # it fails by itself
                continue
            for name in names:
                spill.append(name)
        for found in spill:
            twice.update(repeated(found)["key"].tolist())
    return frozenset(twice)


class Backgrounds:
    """The images that lie behind renditions, in one process.

    Args:
        renditions: The job's.

    Raises:
        RowError: One cannot be read or decoded.
    """

    def __init__(self, renditions: Renditions) -> None:
        self._lock = threading.Lock()
        self._images: dict[str, tuple[str, NDArray[np.uint8]]] = {}
        for one in renditions.renditions:
            uri = one.parsed_background.uri
            if not uri or uri in self._images:
                continue
            data = storage.read(uri, max_bytes=200_000_000, options=renditions.storage_options)
            pixels = decode(data)
            opaque = composite_over(pixels) if pixels.shape[2] == 4 else pixels
            self._images[uri] = hashlib.sha256(data).hexdigest(), opaque

    def sha256(self, uri: str) -> str:
        """Of an image's file, hex."""
        return self._images[uri][0]

    def pixels(self, uri: str) -> NDArray[np.uint8] | None:
        """An image's pixels, uint8 HxWx3; None for an empty URI."""
        return self._images[uri][1] if uri else None
