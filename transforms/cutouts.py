"""``WriteCutouts``: encodes and writes each picture's cutout and mask.

Encoding a PNG takes as long as matting, and writing waits, so both run on a pool. Names derive
from ids, so that work that is done again overwrites with the same bytes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import apache_beam as beam

from alphabeam.transforms import counts
from alphabeam.transforms.encoding import encode_cutout, encode_mask
from alphabeam.transforms.ledger.journal import Journal, OpenJournal
from alphabeam.transforms.output import Output
from alphabeam.transforms.pool import Overlap, Stage
from alphabeam.transforms.rows import DONE, PENDING, Picture, Row, now

__all__ = ["WriteCutouts", "write_cutout"]


def write_cutout(picture: Picture, output: Output, journal: OpenJournal | None = None) -> Row:
    """Encodes and writes one picture's cutout and mask.

    Args:
        picture: With its alpha, and its cutout if one is wanted. One whose row is not pending
            passes through.
        output: The job's output.
        journal: Where the row is noted once its outputs are there.

    Returns:
        The row, done, with the names of what was written relative to the output; or failed.
    """
    row = picture.row
    if row.status != PENDING:
        return row
    assert picture.alpha is not None
    tags = picture.tags.kept(output.source_metadata)
    began = time.perf_counter()
    try:
        mask = output.mask(row.id)
        size, sha256 = _put(output, mask, encode_mask(picture.alpha, tags.dpi))
        row = row._replace(mask=mask, mask_bytes=size, mask_sha256=sha256)
        if picture.rgba is not None:
            cutout = output.cutout(row.id)
            data = encode_cutout(picture.rgba, output.cutout_format, tags)
            size, sha256 = _put(output, cutout, data)
            row = row._replace(cutout=cutout, cutout_bytes=size, cutout_sha256=sha256)
        row = row._replace(status=DONE, finished_at=now())
    except Exception as error:
        row = row.failed("write", error)
    row = row._replace(write_ms=1000 * (time.perf_counter() - began))
    if journal is not None and row.status == DONE:
        journal.note(row)
    return row


def _put(output: Output, name: str, data: bytes) -> tuple[int, str]:
    output.put(output.uri(name), data)
    counts.add("bytes_written", len(data))
    return len(data), hashlib.sha256(data).hexdigest()


@beam.typehints.with_input_types(Picture)
@beam.typehints.with_output_types(Row)
class WriteCutouts(beam.PTransform):
    """Writes cutouts and masks: `Picture` in, `Row` out.

    Args:
        output: The job's output, or its folder.
        threads: Pictures encoded and written at once in one process; 0 for as many as cores.
        pixels_in_flight: Most pixels waiting to be written in one process; 5 bytes each.
        journal: The run's journal, so that a row is not lost once its outputs are there; the same
            as given to ``WriteMetadata``.
    """

    def __init__(
        self,
        output: Output | str,
        *,
        threads: int = 0,
        pixels_in_flight: int = 64_000_000,
        journal: Journal | None = None,
    ) -> None:
        super().__init__()
        self.stage = Stage(
            _Open(Output.of(output), journal),
            threads,
            weigh=_pixels,
            capacity=pixels_in_flight,
        )

    def expand(self, pictures: beam.PCollection[Picture]) -> beam.PCollection[Row]:
        """Builds the step."""
        return pictures | "EncodeAndPut" >> Overlap(self.stage, output_type=Row)


@dataclass(frozen=True)
class _Open:
    output: Output
    journal: Journal | None

    def __call__(self) -> Callable[[Picture], Row]:
        journal = None if self.journal is None else self.journal.open()
        return lambda picture: write_cutout(picture, self.output, journal)


def _pixels(picture: Picture) -> int:
    return 0 if picture.alpha is None else picture.alpha.size
