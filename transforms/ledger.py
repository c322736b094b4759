"""The ledger: what is finished and what is paid for, so that neither is done twice.

A finished row stands in a small Parquet group under ``ledger/rows/`` while its run is under way,
in ``metadata/`` once the run is whole, and in ``ledger/earlier/`` when a later run's manifest has
it no more (`alphabeam.transforms.metadata`). ``SkipFinished`` looks rows up in all of them by
fingerprint, and hands on those it finds as they were finished; everything else stays pending. A
row that failed is not finished.

A task of the API stands under ``ledger/tasks/``, one object a fingerprint: an intent before it is
submitted, and its TaskUID as soon as that is known (`Submissions`). So whoever comes to the row
again, after a kill or a retry, knows whether there is a task to collect or one that may have been
bought.
"""

from __future__ import annotations

import io
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import apache_beam as beam
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.utils.shared import Shared

from alphabeam.transforms import storage
from alphabeam.transforms.cutouts import CutoutFormat
from alphabeam.transforms.encoding import encode_cutout
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest import file_name
from alphabeam.transforms.metadata import EARLIER, TASKS, rows_from_table
from alphabeam.transforms.overlap import OverlappedDoFn
from alphabeam.transforms.rows import DONE, PENDING, Row

__all__ = ["FinishedRows", "SkipFinished", "Submission", "Submissions", "look_up"]

_CACHED_TABLES = 8


class Backend(Protocol):
    """What the ledger needs to know of a backend."""

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its result would have."""


class FinishedRows:
    """An index of the rows that a job's earlier runs finished.

    Holds 16 bytes a row; the rows themselves are read back when asked for, a file at a time,
    which is quick because they stand in the order of the manifest.

    Args:
        directory: The job's output.
        storage_options: Options for fsspec, by protocol.
    """

    def __init__(
        self, directory: str, storage_options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._options = storage_options
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()
        self._files = [
            uri
            for folder in (EARLIER, "metadata", "ledger/rows")
            for uri in storage.list(
                storage.join(directory, *folder.split("/")), options=storage_options
            )
            if uri.endswith(".parquet")
        ]
        keys, places = [], []
        for number, (uri, data) in enumerate(
            storage.read_many(self._files, options=storage_options)
        ):
            if isinstance(data, Exception):
                raise data
            try:
                table = pq.read_table(io.BytesIO(data), columns=["status", "fingerprint"])
            except pa.ArrowException:
                raise ValueError(
                    f"{storage.redact(uri)}: this file of the ledger is broken; delete it, and "
                    "the images in it are done again"
                ) from None
            done = np.flatnonzero(
                pc.equal(table["status"], DONE).to_numpy(zero_copy_only=False)
            ).astype(np.uint64)
            prints = table["fingerprint"].take(pa.array(done)).to_pylist()
            keys.append(np.array([_key(p) for p in prints], np.uint64))
            places.append(done + np.uint64(number << 32))
        self._keys = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        self._places = np.concatenate(places) if places else np.empty(0, np.uint64)
        order = np.argsort(self._keys, kind="stable")
        self._keys, self._places = self._keys[order], self._places[order]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, fingerprint: str) -> Row | None:
        """The row that was finished under a fingerprint, the latest if there are several."""
        key = np.uint64(_key(fingerprint))
        stop = int(np.searchsorted(self._keys, key, side="right"))
        start = int(np.searchsorted(self._keys, key, side="left"))
        for index in range(stop - 1, start - 1, -1):
            number, position = divmod(int(self._places[index]), 1 << 32)
            table = self._table(number).slice(position, 1)
            row = next(rows_from_table(table))
            if row.fingerprint == fingerprint:
                return row
        return None

    def _table(self, number: int) -> pa.Table:
        with self._lock:  # neighbours ask for the same file: one of them reads it
            table = self._tables.get(number)
            if table is None:
                data = storage.read(self._files[number], options=self._options)
                table = self._tables[number] = pq.read_table(io.BytesIO(data))
                if len(self._tables) > _CACHED_TABLES:
                    self._tables.popitem(last=False)
            return table


def _key(fingerprint: str) -> int:
    return int(fingerprint[:16], 16)


@dataclass(frozen=True)
class Submission:
    """What the ledger knows of one task.

    Attributes:
        fingerprint: Of the row that it was submitted for.
        request_uuid: Sent with it.
        task_uid: Empty for an intent: the task may or may not have been submitted.
        submitted_at: Seconds since the epoch.
        sent: What was sent, such as ``original`` or ``jpeg-95``.
        ended: How it ended, if it ended badly: then a later run may submit anew.
        row_id: Of the row that it was bought for; others share it for nothing.
        attempts: Submissions of the fingerprint so far, this one included.
        unknown: How many of the earlier ones were cut off, and may have been billed as well.
    """

    fingerprint: str
    request_uuid: str
    task_uid: str
    submitted_at: float
    sent: str = ""
    ended: str = ""
    row_id: str = ""
    attempts: int = 1
    unknown: int = 0

    @property
    def is_unknown(self) -> bool:
        """Whether it is an intent only: the task may have been bought."""
        return not self.task_uid


class Submissions:
    """The tasks of a job in its ledger.

    Args:
        directory: The job's output.
        storage_options: Options for fsspec, by protocol.
    """

    def __init__(
        self, directory: str, storage_options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._folder = storage.join(directory, *TASKS.split("/"))
        self._options = storage_options

    def find(self, fingerprint: str) -> Submission | None:
        """The submission of a fingerprint, or None if there was none.

        Raises:
            RowError: The store cannot be asked, or the entry is broken.
        """
        try:
            data = storage.read(self._uri(fingerprint), options=self._options)
        except RowError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise
        try:
            found = Submission(**json.loads(data))
            if found.fingerprint != fingerprint or not isinstance(found.task_uid, str):
                raise ValueError
            return replace(
                found,
                submitted_at=float(found.submitted_at),
                attempts=int(found.attempts),
                unknown=int(found.unknown),
            )
        except (TypeError, ValueError):
            raise RowError(
                ErrorCode.SUBMIT_UNKNOWN,
                f"{self._uri(fingerprint)}: the ledger's entry is broken; "
                "delete it to submit the image again",
            ) from None

    def put(self, submission: Submission) -> None:
        """Makes a submission durable; replaces what was known of its fingerprint."""
        data = json.dumps(asdict(submission), indent=1).encode()
        storage.put(self._uri(submission.fingerprint), data, options=self._options)

    def delete(self, fingerprint: str) -> None:
        """Forgets a fingerprint, of which it is certain that nothing was submitted."""
        storage.delete([self._uri(fingerprint)], options=self._options)

    def _uri(self, fingerprint: str) -> str:
        return storage.join(self._folder, f"{fingerprint}.json")


class SkipFinished(beam.PTransform):
    """Marks as done the rows that an earlier run finished: `Row` in, `Row` out, in order.

    A row counts as finished if the same source version was worked on with the same parameters
    by the same model, and its outputs are still there. That asks the store for the source's
    version, and for the outputs of those found. If the id or the cutouts' format has changed
    since, the outputs are copied or encoded anew.

    Args:
        directory: The job's output.
        backend: The backend that would do the work.
        cutout_format: The cutouts' format, as given to ``WriteCutouts``.
        threads: Rows looked up at once, per process.
        storage_options: Options for fsspec, by protocol.
    """

    def __init__(
        self,
        directory: str,
        backend: Backend,
        *,
        cutout_format: CutoutFormat = "png",
        threads: int = 16,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self._fn = _SkipFinishedFn(directory, backend, cutout_format, threads, storage_options)

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Builds the step."""
        return rows | "LookUp" >> beam.ParDo(self._fn)


class _SkipFinishedFn(OverlappedDoFn):
    def __init__(
        self,
        directory: str,
        backend: Backend,
        cutout_format: CutoutFormat,
        threads: int,
        storage_options: Mapping[str, Mapping[str, Any]] | None,
    ) -> None:
        super().__init__(threads=threads)
        self._directory = directory
        self._backend = backend
        self._cutout_format = cutout_format
        self._storage_options = storage_options
        self._shared = Shared()
        self._finished: FinishedRows | None = None

    def setup(self) -> None:
        self._finished = self._shared.acquire(
            lambda: FinishedRows(self._directory, self._storage_options)
        )
        super().setup()

    def work(self, row: Row) -> Row:
        if row.status != PENDING or not self._finished:
            return row
        try:
            pending, found = look_up(
                row, self._backend, self._finished, self._directory, self._storage_options
            )
            if found is None:
                return pending
            return _adopt(found, row, self._directory, self._cutout_format, self._storage_options)
        except Exception as error:
            return row.failed("read", error)

    def infer_output_type(self, input_type: Any) -> Any:
        return Row


def look_up(
    row: Row,
    backend: Backend,
    finished: FinishedRows,
    directory: str,
    storage_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Row, Row | None]:
    """Finds what an earlier run made of a row; see `SkipFinished`.

    Returns:
        The row with its source's version, and the finished one if its outputs are still there.

    Raises:
        RowError: The source cannot be found, or a store refuses an answer.
    """
    version = storage.stat(row.image, options=storage_options).version
    row = row._replace(source_version=version)
    found = finished.find(backend.fingerprinted(row).fingerprint or "")
    if found is not None:
        for name in (found.cutout, found.mask):
            uri = storage.join(directory, name) if name else None
            if uri and not storage.exists(uri, options=storage_options):
                return row, None
    return row, found


def _adopt(
    found: Row,
    row: Row,
    directory: str,
    cutout_format: CutoutFormat,
    storage_options: Mapping[str, Mapping[str, Any]] | None,
) -> Row:
    """The finished row under the manifest's id, line and columns, its outputs named to match."""

    def named(name: str | None, kind: str, extension: str) -> str | None:
        new = f"{kind}/{file_name(row.id)}.{extension}"
        if name is None or name == new:
            return name
        data = storage.read(storage.join(directory, name), options=storage_options)
        if not name.endswith(extension):
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            data = encode_cutout(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA), cutout_format)
        storage.put(storage.join(directory, new), data, options=storage_options)
        return new

    return found._replace(
        id=row.id,
        line=row.line,
        extra=row.extra,
        cutout=named(found.cutout, "cutouts", cutout_format),
        mask=named(found.mask, "masks", "png"),
    )
