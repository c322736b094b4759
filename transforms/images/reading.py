"""``ReadImages`` and `fetch`: the encoded bytes of rows' images, and what their headers say."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from alphabeam.transforms import storage
from alphabeam.transforms.images.decoding import inspect
from alphabeam.transforms.images.source_tags import tags_of
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.pool import Overlap, Stage
from alphabeam.transforms.rows import PENDING, Picture, Row
from alphabeam.transforms.storage.deadlines import bounded
from alphabeam.transforms.tags import Tags

if TYPE_CHECKING:
    from alphabeam.transforms.crashes import Marks, OpenMarks

__all__ = ["ReadImages", "fetch"]


def fetch(
    row: Row,
    limits: Limits,
    storage_options: Mapping[str, Mapping[str, Any]] | None = None,
    allow: storage.AllowList = storage.ANYWHERE,
    marks: OpenMarks | None = None,
) -> Picture:
    """Fetches one image's bytes and reads its header.

    Args:
        row: One that is not pending passes through.
        limits: What to refuse, and how long to wait.
        storage_options: Options for fsspec, by protocol.
        allow: Where a row may read from.
        marks: Where the image is marked while its header is read.

    Returns:
        The picture, its row filled in with the source's size, format, digest and version. A
        failure is the row's: ``picture.row.status`` is ``failed``.
    """
    if row.status != PENDING:
        return Picture(row)
    began = time.perf_counter()
    data, tags = b"", Tags()
    try:
        with bounded(limits.read_timeout):
            most = limits.max_bytes
            if row.source_version:
                data = storage.read(row.image, max_bytes=most, options=storage_options, allow=allow)
            else:
                data, version = storage.read_with_version(
                    row.image, max_bytes=most, options=storage_options, allow=allow
                )
                row = row._replace(source_version=version)
        row = row._replace(source_bytes=len(data), source_sha256=hashlib.sha256(data).hexdigest())
        with marks.held(row.source_sha256 or "") if marks else nullcontext():
            info = inspect(data, limits)
            tags = tags_of(info.format, data)
        row = row._replace(source_format=info.format, width=info.width, height=info.height)
    except Exception as error:
        row, data = row.failed("read", error), b""
    return Picture(row._replace(read_ms=1000 * (time.perf_counter() - began)), data, limits, tags)


@beam.typehints.with_input_types(Row)
@beam.typehints.with_output_types(Picture)
class ReadImages(beam.PTransform):
    """Fetches the images of pending rows: `Row` in, `Picture` out.

    Rows that have failed or are done pass through. Many images are fetched at once, and each is
    handed on as soon as it is there: one slow source holds up no other. At most ``depth`` of them,
    encoded, are in memory.

    Args:
        limits: What to refuse before decoding; later steps decode within the same limits.
        threads: How many images are fetched at once, per process.
        depth: How many images are fetched ahead, per process.
        storage_options: Options for fsspec, by protocol.
        allow: Where rows may read from: ``storage.AllowList.of(manifest)``. By default from every
            store, but not from this machine's own servers or a cloud's metadata service.
        marks: Of the run, so that an image whose header ends the process is found.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        threads: int = 16,
        depth: int = 32,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
        allow: storage.AllowList = storage.ANYWHERE,
        marks: Marks | None = None,
    ) -> None:
        super().__init__()
        self.stage = Stage(_Open(limits or Limits(), storage_options, allow, marks), threads, depth)

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[Picture]:
        """Builds the step."""
        return rows | "Fetch" >> Overlap(self.stage, output_type=Picture)


@dataclass(frozen=True)
class _Open:
    limits: Limits
    storage_options: Mapping[str, Mapping[str, Any]] | None = field(repr=False)
    allow: storage.AllowList
    marks: Marks | None

    def __call__(self) -> Callable[[Row], Picture]:
        marks = None if self.marks is None else self.marks.open()
        limits, options, allow = self.limits, self.storage_options, self.allow
        return lambda row: fetch(Row.of(row), limits, options, allow, marks)
