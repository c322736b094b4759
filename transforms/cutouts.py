"""``WriteCutouts``: encodes and writes each picture's cutout, mask and renditions.

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
from alphabeam.transforms.ledger.finished import Finished, FinishedRows
from alphabeam.transforms.ledger.journal import Journal, OpenJournal
from alphabeam.transforms.ledger.kept import keep
from alphabeam.transforms.likeness import backdrop_of, perceptual_hash
from alphabeam.transforms.output import Output
from alphabeam.transforms.pool import Overlap, Stage
from alphabeam.transforms.renditions.plan import Renditions
from alphabeam.transforms.renditions.writing import OpenRenditions, is_complete
from alphabeam.transforms.rows import DONE, PENDING, Picture, Row, now
from alphabeam.transforms.thumbnails import OpenThumbnails, Thumbnails

__all__ = ["WriteCutouts", "write_cutout"]


def write_cutout(
    picture: Picture,
    output: Output,
    journal: OpenJournal | None = None,
    renditions: OpenRenditions | None = None,
    thumbnails: OpenThumbnails | None = None,
    finished: FinishedRows | None = None,
) -> Row:
    """Encodes and writes one picture's cutout, mask and renditions.

    Args:
        picture: With its alpha, and its cutout if one is wanted. One whose row has failed passes
            through; of one whose row is done, the renditions that are missing are made from its
            stored cutout.
        output: The job's output.
        journal: Where the row is noted once its outputs are there.
        renditions: What else to make.
        thumbnails: Where its thumbnail goes.
        finished: The output's finished rows: what is written over is kept for rows that need it.

    Returns:
        The row, done, with the names of what was written relative to the output; or failed.
    """
    row = picture.row
    if row.status == DONE and renditions is not None:
        completed = renditions.complete(row)
        if journal is not None and completed is not row:
            journal.note(completed)
        return completed
    if row.status != PENDING:
        return row
    assert picture.alpha is not None
    tags = picture.tags.kept(output.source_metadata)
    began = time.perf_counter()
    try:
        if finished is not None:
            keep(row, row.source_sha256, finished, output)
        mask = output.mask(row.id)
        size, sha256 = _put(output, mask, encode_mask(picture.alpha, tags.dpi))
        row = row._replace(mask=mask, mask_bytes=size, mask_sha256=sha256)
        if picture.rgba is not None:
            cutout = output.cutout(row.id)
            data = encode_cutout(picture.rgba, output.cutout_format, tags)
            size, sha256 = _put(output, cutout, data)
            row = row._replace(cutout=cutout, cutout_bytes=size, cutout_sha256=sha256)
        if picture.preview is not None:
            backdrop = backdrop_of(picture.preview, picture.alpha)
            row = row._replace(phash=perceptual_hash(picture.preview), backdrop=backdrop)
        row = row._replace(status=DONE, finished_at=now())
        if renditions is not None:
            if journal is not None:  # what is matted, and perhaps paid for, is not lost
                journal.note(row)
            row = renditions.make(row, picture.rgba, picture.alpha)
    except Exception as error:
        row = row.failed("write", error)
    row = row._replace(write_ms=1000 * (time.perf_counter() - began))
    if thumbnails is not None and row.status == DONE:
        thumbnails.add(picture, row)
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
    """Writes cutouts, masks and renditions: `Picture` in, `Row` out.

    Args:
        output: The job's output, or its folder.
        threads: Pictures encoded and written at once in one process; 0 for as many as cores.
        pixels_in_flight: Most pixels waiting to be written in one process; 5 bytes each.
        journal: The run's journal, so that a row is not lost once its outputs are there; the same
            as given to ``WriteMetadata``.
        renditions: What else to make of each cutout; of rows that are finished, from the stored
            one. Needs ``run_id``.
        run_id: The run's name, which renditions bear.
        thumbnails: The report's thumbnails; the same as given to ``WriteMetadata``.
        finished: The output's finished rows; the same as given to ``SkipFinished``. Where pictures
            have changed their ids, what one row writes over is kept for the row that needs it.
    """

    def __init__(
        self,
        output: Output | str,
        *,
        threads: int = 0,
        pixels_in_flight: int = 64_000_000,
        journal: Journal | None = None,
        renditions: Renditions | None = None,
        run_id: str = "",
        thumbnails: Thumbnails | None = None,
        finished: Finished | None = None,
    ) -> None:
        super().__init__()
        making = renditions or None
        self.stage = Stage(
            _Open(Output.of(output), journal, making, run_id, thumbnails, finished),
            threads,
            weigh=_Weigh(making),
            capacity=pixels_in_flight,
        )

    def expand(self, pictures: beam.PCollection[Picture]) -> beam.PCollection[Row]:
        """Builds the step."""
        return pictures | "EncodeAndPut" >> Overlap(self.stage, output_type=Row)


@dataclass(frozen=True)
class _Open:
    output: Output
    journal: Journal | None
    renditions: Renditions | None
    run_id: str
    thumbnails: Thumbnails | None
    finished: Finished | None

    def __call__(self) -> Callable[[Picture], Row]:
        journal = None if self.journal is None else self.journal.open()
        making = None
        if self.renditions is not None:
            making = OpenRenditions(self.renditions, self.output, self.run_id)
        thumbnails = None if self.thumbnails is None else self.thumbnails.open()
        finished = None if self.finished is None else self.finished.open()
        return lambda picture: write_cutout(
            picture, self.output, journal, making, thumbnails, finished
        )


@dataclass(frozen=True)
class _Weigh:
    """A picture's pixels; those of a finished one too, if its cutout is to be read again."""

    renditions: Renditions | None

    def __call__(self, picture: Picture) -> int:
        if picture.alpha is not None:
            return picture.alpha.size
        row = picture.row
        if self.renditions is None or row.status != DONE or is_complete(row, self.renditions):
            return 0
        return (row.width or 0) * (row.height or 0)
