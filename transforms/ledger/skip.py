"""``SkipFinished`` and ``SkipSameContent``: what an earlier run finished goes straight through."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apache_beam as beam
import cv2
import numpy as np

from alphabeam.transforms import storage
from alphabeam.transforms.encoding import encode_cutout
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images.kinds import kind_of
from alphabeam.transforms.images.source_tags import tags_of
from alphabeam.transforms.ledger.finished import Finished, FinishedRows, Found
from alphabeam.transforms.ledger.kept import can_be_had, content_of, keep
from alphabeam.transforms.metadata.keys import BrokenFileError
from alphabeam.transforms.output import Output
from alphabeam.transforms.pool import Overlap, Stage
from alphabeam.transforms.rows import DONE, PENDING, Picture, Row
from alphabeam.transforms.storage.deadlines import TOTAL_S

if TYPE_CHECKING:
    from alphabeam.transforms.backends import Backend

__all__ = [
    "LookUp",
    "SkipFinished",
    "SkipSameContent",
    "finished_of",
    "is_wanted",
    "keys_of",
    "look_up",
]


@beam.typehints.with_input_types(Row)
@beam.typehints.with_output_types(Row)
class SkipFinished(beam.PTransform):
    """Marks as done the rows that an earlier run finished: `Row` in, `Row` out.

    A row counts as finished if the same version of its source was worked on with the same
    parameters by the same model, and its outputs are there in the size that they had. That asks
    the store for the source's version, and for the outputs of those found. If the id or the
    cutouts' format has changed since, the outputs are copied or encoded anew.

    A source under another name or version may still hold the same bytes; after ``ReadImages``,
    `SkipSameContent` finds these.

    Args:
        finished: The output's finished rows; or the output, or its folder.
        backend: The backend that would do the work.
        threads: Rows looked up at once, per process.
        allow: Where rows may read from, as for ``ReadImages``.
        read_timeout: Seconds in which the store must give a source's version.
    """

    def __init__(
        self,
        finished: Finished | Output | str,
        backend: Backend,
        *,
        threads: int = 16,
        allow: storage.AllowList = storage.ANYWHERE,
        read_timeout: float = TOTAL_S,
    ) -> None:
        super().__init__()
        self.stage = Stage(LookUp(finished_of(finished), backend, allow, read_timeout), threads)

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[Row]:
        """Builds the step."""
        return rows | "LookUp" >> Overlap(self.stage, output_type=Row)


@beam.typehints.with_input_types(Picture)
@beam.typehints.with_output_types(Picture)
class SkipSameContent(beam.PTransform):
    """Marks as done the pictures whose bytes were worked on before: `Picture` in, `Picture` out.

    A URL that was signed anew, a file that was touched or moved, a mount under another name, two
    rows with the same picture: none of them is done, or bought, again.

    Args:
        finished: The output's finished rows; or the output, or its folder.
        backend: The backend that would do the work.
        threads: Pictures looked up at once, per process.
    """

    def __init__(
        self, finished: Finished | Output | str, backend: Backend, *, threads: int = 16
    ) -> None:
        super().__init__()
        self.stage = Stage(_LookUpContent(finished_of(finished), backend), threads)

    def expand(self, pictures: beam.PCollection[Picture]) -> beam.PCollection[Picture]:
        """Builds the step."""
        return pictures | "LookUpContent" >> Overlap(self.stage, output_type=Picture)


def finished_of(given: Finished | Output | str) -> Finished:
    """The finished rows of an output, or of its folder."""
    return given if isinstance(given, Finished) else Finished(Output.of(given))


@dataclass(frozen=True)
class LookUp:
    """Finds the finished rows of an output again; to be opened on the worker.

    Attributes:
        finished: The output's finished rows.
        backend: The backend that would do the work.
        allow: Where rows may read from.
        read_timeout: Seconds in which the store must give a source's version.
    """

    finished: Finished
    backend: Backend
    allow: storage.AllowList
    read_timeout: float

    def __call__(self) -> Callable[[Row], Row]:
        """A function that gives a row as it was finished, or as it is."""
        rows = self.finished.open()

        def work(row: Row) -> Row:
            row, found = self.find(row, rows)
            return row if found is None else self.adopt(row, found, rows)

        return work

    def find(self, row: Row, rows: FinishedRows) -> tuple[Row, Found | None]:
        """The row with its source's version, or failed; and what an earlier run made of it."""
        row = Row.of(row)
        if row.status != PENDING or not len(rows):
            return row, None
        try:
            row, found = look_up(
                row, self.backend, rows, self.finished.output, self.allow, self.read_timeout
            )
        except BrokenFileError:
            raise
        except Exception as error:
            return row.failed("read", error), None
        if found is not None and is_wanted(self.backend, found, rows):
            return _reopened(self.adopt(row, found, rows)), None
        return row, found

    def adopt(self, row: Row, found: Found, rows: FinishedRows) -> Row:
        """A row as it was finished; as it is, if what was written is damaged; or failed."""
        try:
            whole = rows.row(found.place)
            # What has the same quick key is the same work, and has the same fingerprint.
            keys = whole
            if not found.complete:
                sha256 = row.source_sha256 or whole.source_sha256
                both = keys_of(self.backend, row._replace(source_sha256=sha256))
                keys = next((one for one in both if one.backend == whole.backend), both[-1])
            return _adopt(whole, row, keys, rows, self.finished.output, doubtful=found.doubtful)
        except _DamagedError:
            return row
        except BrokenFileError:
            raise
        except Exception as error:
            return row.failed("read", error)

    def is_as_it_was(self, row: Row, found: Found) -> bool:
        """Whether a found row differs in nothing but what the manifest says of it."""
        output = self.finished.output
        return (
            found.complete
            and not found.doubtful
            and found.cutout in (None, output.cutout(row.id))
            and found.mask in (None, output.mask(row.id))
        )


@dataclass(frozen=True)
class _LookUpContent:
    finished: Finished
    backend: Backend

    def __call__(self) -> Callable[[Picture], Picture]:
        finished, output = self.finished.open(), self.finished.output

        def work(picture: Picture) -> Picture:
            if picture.row.status != PENDING:
                return picture
            try:
                for row in keys_of(self.backend, picture.row):
                    found = finished.with_fingerprint(row.fingerprint or "")
                    if found is None:
                        continue
                    doubtful = finished.is_doubtful(found) or not _is_there(found, output)
                    if doubtful and not can_be_had(found, output):
                        continue
                    row = _adopt(found, picture.row, row, finished, output, doubtful=doubtful)
                    second = self.backend.second
                    if second is None or not second.wants(row):
                        return Picture(row, limits=picture.limits)
                    picture.row = _reopened(row)
                return picture
            except _DamagedError:
                return picture
            except BrokenFileError:
                raise
            except Exception as error:
                return Picture(picture.row.failed("read", error), limits=picture.limits)

        return work


def look_up(
    row: Row,
    backend: Backend,
    finished: FinishedRows,
    output: Output,
    allow: storage.AllowList = storage.ANYWHERE,
    read_timeout: float = TOTAL_S,
) -> tuple[Row, Found | None]:
    """Finds what an earlier run made of a row, without reading its source; see `SkipFinished`.

    Returns:
        The row with its source's version, and the finished one if its outputs are still there.
        Of two backends the second one's counts first; see also `is_wanted`.

    Raises:
        RowError: The source cannot be found, or a store refuses an answer.
    """
    stat = storage.stat(row.image, options=output.storage, allow=allow, timeout=read_timeout)
    row = row._replace(source_version=stat.version)
    for keys in keys_of(backend, row):
        found = finished.with_quick_key(keys.quick_key, row.id) if keys.quick_key else None
        if found is None:
            continue
        doubtful = found.doubtful or not _is_there(found, output)
        if not doubtful or can_be_had(finished.row(found.place), output):
            return row, found._replace(doubtful=doubtful)
    return row, None


def is_wanted(backend: Backend, found: Found, finished: FinishedRows) -> bool:
    """Whether the second of two backends is to replace what was finished by the first."""
    return backend.second is not None and backend.second.wants(finished.row(found.place))


def _reopened(row: Row) -> Row:
    """A finished row as one that is to be worked on, with its result and where that lies."""
    if row.status != DONE:
        return row
    return row._replace(status=PENDING, run_id=None, finished_at=None, credits=None)


def _is_there(found: Row | Found, output: Output) -> bool:
    """Whether a finished row's outputs are there, in the size in which they were written."""
    for name, size in ((found.cutout, found.cutout_bytes), (found.mask, found.mask_bytes)):
        if name is None:
            continue
        try:
            there = output.size_of(name)
        except RowError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return False
            raise
        if None not in (size, there) and size != there:
            return False
    return True


class _DamagedError(Exception):
    """A finished row's output has other content than the ledger says."""


def _adopt(
    found: Row, row: Row, keys: Row, finished: FinishedRows, output: Output, *, doubtful: bool
) -> Row:
    """The finished row under the manifest's id, line and columns, its outputs named to match.

    Args:
        found: The finished row.
        row: The manifest's.
        keys: Has the fingerprint and the quick key that belong to the manifest's row.
        finished: The output's finished rows.
        output: The job's output.
        doubtful: Outputs of the right name may hold something else by now.

    Raises:
        _DamagedError: An output that would be copied is not what was written.
    """

    def named(
        name: str | None, size: int | None, sha256: str | None, new: str
    ) -> tuple[str | None, int | None, str | None]:
        if name is None or (name == new and not doubtful):
            return name, size, sha256
        there = content_of(name, sha256, output)
        if there is None:
            raise _DamagedError(name)
        data, in_place = there
        if name == new and in_place:
            return name, size, sha256
        if os.path.splitext(name)[1] != os.path.splitext(new)[1]:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            rgba = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA).astype(np.uint8)
            tags = tags_of(kind_of(data), data).kept(output.source_metadata)
            data = encode_cutout(rgba, output.cutout_format, tags)
        output.put(output.uri(new), data)
        return new, len(data), hashlib.sha256(data).hexdigest()

    own = (output.cutout(row.id), output.mask(row.id))
    if doubtful or (found.cutout, found.mask) != own:
        keep(row, found.source_sha256, finished, output)
    cutout, cutout_bytes, cutout_sha256 = named(
        found.cutout, found.cutout_bytes, found.cutout_sha256, own[0]
    )
    mask, mask_bytes, mask_sha256 = named(found.mask, found.mask_bytes, found.mask_sha256, own[1])
    return found._replace(
        id=row.id,
        image=row.image,
        line=row.line,
        extra=row.extra,
        source_version=row.source_version,
        source_sha256=keys.source_sha256,
        fingerprint=keys.fingerprint,
        quick_key=keys.quick_key,
        request_uuid=keys.request_uuid,
        cutout=cutout,
        cutout_bytes=cutout_bytes,
        cutout_sha256=cutout_sha256,
        mask=mask,
        mask_bytes=mask_bytes,
        mask_sha256=mask_sha256,
    )


def keys_of(backend: Backend, row: Row) -> tuple[Row, ...]:
    """The row with each fingerprint under which a result of it may be finished, best first."""
    first, second = backend.fingerprinted(row), backend.second
    return (first,) if second is None else (second.fingerprinted(row), first)
