"""``WriteCutouts``: encodes and writes each picture's cutout and mask.

Encoding a PNG is as dear as matting, and writing waits, so both are handed to a pool. Names
derive from ids, so that work that is done again overwrites with the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

import apache_beam as beam

from alphabeam.transforms import storage
from alphabeam.transforms.encoding import encode_cutout, encode_mask
from alphabeam.transforms.manifest import file_name
from alphabeam.transforms.overlap import OverlappedDoFn
from alphabeam.transforms.rows import DONE, PENDING, Picture, Row, now

__all__ = ["CutoutFormat", "WriteCutouts", "write_cutout"]

CutoutFormat = Literal["png", "webp"]


def write_cutout(
    picture: Picture,
    directory: str,
    cutout_format: CutoutFormat = "png",
    storage_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Row:
    """Encodes and writes one picture's cutout and mask.

    Args:
        picture: With its alpha, and its cutout if one is wanted.
        directory: The job's output; ``cutouts/`` and ``masks/`` are made below it.
        cutout_format: PNG, or WebP without loss.
        storage_options: Options for fsspec, by protocol.

    Returns:
        The row, done, with the names of what was written relative to ``directory``; or failed.
    """
    row = picture.row
    assert picture.alpha is not None
    began = time.perf_counter()
    try:
        name = file_name(row.id)
        mask = f"masks/{name}.png"
        storage.put(
            storage.join(directory, mask), encode_mask(picture.alpha), options=storage_options
        )
        row = row._replace(mask=mask)
        if picture.rgba is not None:
            cutout = f"cutouts/{name}.{cutout_format}"
            encoded = encode_cutout(picture.rgba, cutout_format)
            storage.put(storage.join(directory, cutout), encoded, options=storage_options)
            row = row._replace(cutout=cutout)
        row = row._replace(status=DONE, finished_at=now())
    except Exception as error:
        row = row.failed("write", error)
    return row._replace(write_ms=1000 * (time.perf_counter() - began))


class WriteCutouts(beam.PTransform):
    """Writes cutouts and masks: `Picture` in, `Row` out, in order.

    Args:
        directory: The job's output; ``cutouts/`` and ``masks/`` are made below it.
        cutout_format: PNG, or WebP without loss.
        threads: Pictures encoded and written at once in one process; 0 for as many as cores.
        pixels_in_flight: Most pixels waiting to be written in one process; 5 bytes each.
        storage_options: Options for fsspec, by protocol.
    """

    def __init__(
        self,
        directory: str,
        *,
        cutout_format: CutoutFormat = "png",
        threads: int = 0,
        pixels_in_flight: int = 64_000_000,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self._fn = _WriteFn(directory, cutout_format, threads, pixels_in_flight, storage_options)

    def expand(self, pictures: beam.PCollection) -> beam.PCollection:
        """Builds the step."""
        return pictures | "EncodeAndPut" >> beam.ParDo(self._fn)


class _WriteFn(OverlappedDoFn):
    def __init__(
        self,
        directory: str,
        cutout_format: CutoutFormat,
        threads: int,
        pixels_in_flight: int,
        storage_options: Mapping[str, Mapping[str, Any]] | None,
    ) -> None:
        super().__init__(threads=threads, capacity=pixels_in_flight)
        self._directory = directory
        self._cutout_format = cutout_format
        self._storage_options = storage_options

    def weigh(self, picture: Picture) -> int:
        return 0 if picture.alpha is None else picture.alpha.size

    def work(self, picture: Picture) -> Row:
        if picture.row.status != PENDING:
            return picture.row
        return write_cutout(picture, self._directory, self._cutout_format, self._storage_options)

    def infer_output_type(self, input_type: Any) -> Any:
        return Row
