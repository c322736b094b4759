"""The commit: a run's groups become its metadata, and what they replace is removed."""

from __future__ import annotations

import array
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from alphabeam.transforms import lease, storage
from alphabeam.transforms.crashes import forget_marks
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.names import checksum, digest
from alphabeam.transforms.metadata.earlier import keep_earlier
from alphabeam.transforms.metadata.failures import failure_record
from alphabeam.transforms.metadata.schema import (
    SCHEMA,
    decode_table,
    encode_table,
    rows_from_table,
)
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, FAILED, KEPT_LOCAL, RENDITION_FAILED, RESUBMITTED

__all__ = ["CommitError", "Committed", "commit", "read_committed"]

_logger = logging.getLogger(__name__)
_PART_ROWS = 25_000
_LEASE_WAIT_S = 30.0


class Committed(NamedTuple):
    """What ``WriteMetadata`` says once the metadata is whole.

    Attributes:
        run_id: The run.
        folder: Where its metadata is.
        rows: How many rows it has.
        statuses: Rows by status.
        errors: Failed rows by error code.
        credits: API credits that this run's rows cost.
        finished_before: Done rows that an earlier run had finished.
        resubmitted: Rows whose task was submitted again though an earlier submission, which was
            cut off, may have been billed.
        uncollected: API tasks in the ledger that were bought, and whose result no row has.
        unknown: API tasks in the ledger that may have been bought.
        orphaned: Finished rows of earlier runs that the manifest does not have any more.
        renditions_failed: Done rows one of whose renditions could not be made.
        bought: Done rows of a cascade whose local result was doubtful, and that were bought.
        kept: Those whose doubtful local result was kept, by the error code of the reason.
    """

    run_id: str
    folder: str
    rows: int
    statuses: Mapping[str, int]
    errors: Mapping[str, int]
    credits: int
    finished_before: int
    resubmitted: int = 0
    uncollected: int = 0
    unknown: int = 0
    orphaned: int = 0
    renditions_failed: int = 0
    bought: int = 0
    kept: Mapping[str, int] = {}


class CommitError(Exception):
    """The run cannot be committed; the message is one line that says why and what to do."""


def commit(groups: Iterable[str], *, output: Output, run_id: str) -> Committed:
    """Compacts a run's groups into its metadata, then removes what they replace.

    The output must be this run's alone meanwhile: a commit without a lease of its run takes one.

    Args:
        groups: URIs of the groups that committed bundles gave; one may come twice.
        output: The job's output.
        run_id: The run.

    Returns:
        What the run did.

    Raises:
        CommitError: The rows are not those of the manifest's survey, or a part is not in place.
        LeaseError: Another run has the output.
    """
    marker = output.marker(run_id)
    if output.exists(marker):  # this bundle is run again
        return _read_marker(output.read(marker))
    with lease.held(output, run_id, wait=_LEASE_WAIT_S):
        return _commit(groups, output, run_id)


def _commit(groups: Iterable[str], output: Output, run_id: str) -> Committed:
    parts = _Parts(output, run_id)
    totals = _Totals(run_id)
    tasks = output.task_files()
    collected: list[str] = []  # tasks that have given their result
    with tempfile.TemporaryFile() as failures:
        for _, data in output.read_many(sorted(set(groups))):
            table = decode_table(data)
            totals.add(table)
            for row in rows_from_table(table.filter(pc.equal(table["status"], FAILED))):
                failures.write(failure_record(row).encode() + b"\n")
            if tasks:
                done = table.filter(pc.equal(table["status"], DONE))["fingerprint"].to_pylist()
                collected += [uri for print in done for uri in tasks.pop(print, ())]
            parts.add(table)
        parts.end()
        totals.compare(output)
        failures.seek(0)
        if failed := failures.read():
            output.put(output.failures, failed)
        elif output.exists(output.failures):
            output.delete([output.failures])
    parts.prove()
    uncollected, unknown = _count_open_tasks(output, [u for uris in tasks.values() for u in uris])
    earlier = keep_earlier(output, run_id, finished=totals.finished, present=totals.present)
    committed = totals.committed(output.metadata(run_id))._replace(
        uncollected=uncollected, unknown=unknown, orphaned=earlier.orphaned
    )
    text = json.dumps({**committed._asdict(), "parts": parts.number}, indent=2)
    lease.check(output, run_id)
    output.put(output.marker(run_id), text.encode())
    _logger.info("committed %d rows to %s", committed.rows, committed.folder)
    output.delete(earlier.replaced)
    output.remove("run")
    output.delete(collected)
    forget_marks(output)
    return committed


class _Parts:
    """Writes tables as the parts of a run's metadata, each in the order of the manifest."""

    def __init__(self, output: Output, run_id: str) -> None:
        self._output = output
        self._run_id = run_id
        self._waiting: list[pa.Table] = []
        self._sizes: dict[str, int] = {}
        self.number = 0

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(t.num_rows for t in self._waiting) >= _PART_ROWS:
            self._put()

    def end(self) -> None:
        if self._waiting or not self.number:
            self._waiting.append(SCHEMA.empty_table())
            self._put()

    def prove(self) -> None:
        """Makes sure that every part is in place.

        Raises:
            CommitError: One is not.
        """
        for uri, size in self._sizes.items():
            there = self._output.size(uri)
            if there != size:
                raise CommitError(
                    f"{storage.redact(uri)} has {there} bytes instead of {size}: something else "
                    "writes to this output; start the job again"
                )

    def _put(self) -> None:
        data = encode_table(pa.concat_tables(self._waiting).sort_by("line"))
        uri = self._output.part(self._run_id, self.number)
        self._output.put(uri, data)
        self._sizes[uri] = len(data)
        self._waiting.clear()
        self.number += 1


class _Totals:
    """Sums a run's rows up."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._statuses: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._credits = 0
        self._finished_before = 0
        self._resubmitted = 0
        self._renditions_failed = 0
        self._bought = 0
        self._kept: Counter[str] = Counter()
        self._lines = 0
        self.finished = array.array("Q")  # digests of the ids that are done
        self.present = array.array("Q")  # and of all ids

    def add(self, table: pa.Table) -> None:
        self._statuses.update(table["status"].to_pylist())
        self._errors.update(code for code in table["error_code"].to_pylist() if code)
        current = table.filter(pc.equal(table["run_id"], self._run_id))
        self._finished_before += table.num_rows - current.num_rows
        self._credits += pc.sum(current["credits"]).as_py() or 0
        flags = table["flags"].to_pylist()
        self._resubmitted += sum(RESUBMITTED in (some or ()) for some in flags)
        self._renditions_failed += sum(RENDITION_FAILED in (some or ()) for some in flags)
        self._count_doubtful(table)
        self._lines = checksum(table["line"].to_pylist(), self._lines)
        self.present.extend(map(digest, table["id"].to_pylist()))
        done = table.filter(pc.equal(table["status"], DONE))
        self.finished.extend(map(digest, done["id"].to_pylist()))

    def _count_doubtful(self, table: pa.Table) -> None:
        """Counts what a cascade bought, and what it did not."""
        doubts = pc.fill_null(pc.list_value_length(table["doubts"]), 0)
        doubtful = pc.and_(pc.equal(table["status"], DONE), pc.greater(doubts, 0))
        for flags in table["flags"].filter(doubtful).to_pylist():
            if KEPT_LOCAL in flags:  # the reason follows
                self._kept[flags[flags.index(KEPT_LOCAL) + 1]] += 1
            else:
                self._bought += 1

    def compare(self, output: Output) -> None:
        """Makes sure that the rows are those that the survey found, each once.

        Raises:
            CommitError: Rows were lost or doubled.
        """
        try:
            surveyed = json.loads(output.read(output.survey(self._run_id)))
        except RowError as error:
            if error.code is ErrorCode.NOT_FOUND:  # a pipeline without a survey in the output
                return
            raise
        rows = sum(self._statuses.values())
        if (rows, self._lines) != (surveyed["rows"], surveyed["lines"]):
            raise CommitError(
                f"{rows} rows came through, and the manifest has {surveyed['rows']}, or some came "
                "twice; nothing was committed: start the job again"
            )

    def committed(self, folder: str) -> Committed:
        return Committed(
            self._run_id,
            folder,
            sum(self._statuses.values()),
            dict(self._statuses),
            dict(self._errors),
            self._credits,
            self._finished_before,
            self._resubmitted,
            renditions_failed=self._renditions_failed,
            bought=self._bought,
            kept=dict(self._kept),
        )


def _count_open_tasks(output: Output, uris: list[str]) -> tuple[int, int]:
    """Of tasks that gave no row its result: those surely bought, and those perhaps bought."""
    bought = unknown = 0
    for _, data in output.read_many(uris):
        try:
            entry = json.loads(data)
            if not entry["ended"]:
                bought += bool(entry["task_uid"])
                unknown += not entry["task_uid"]
        except (ValueError, TypeError, KeyError):
            unknown += 1
    return bought, unknown


def _read_marker(data: bytes) -> Committed:
    values = json.loads(data)
    return Committed(**{name: values[name] for name in Committed._fields if name in values})


def read_committed(output: Output, run_id: str) -> Committed:
    """What ``WriteMetadata`` said of a run that is whole.

    Raises:
        RowError: ``not_found`` where the run is not whole.
    """
    return _read_marker(output.read(output.marker(run_id)))


beam.coders.registry.register_coder(Committed, beam.coders.RowCoder)
