"""The commit: a run's parts become its metadata, and what they replace is removed."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import apache_beam as beam
import numpy as np

from alphabeam.transforms import lease, storage
from alphabeam.transforms.crashes import forget_marks
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.metadata.earlier import keep_earlier
from alphabeam.transforms.metadata.keys import (
    BY_FINGERPRINT,
    KEY,
    KeyFile,
    short_key,
    write_index,
)
from alphabeam.transforms.metadata.parts import Part, Totals, part_of_group, write_part
from alphabeam.transforms.output import Output
from alphabeam.transforms.spill import Spill

__all__ = ["CommitError", "Committed", "commit", "finish", "read_committed", "tidy"]

_logger = logging.getLogger(__name__)
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

    ``WriteMetadata`` does the same in steps, each part on a worker. The output must be this run's
    alone meanwhile: a commit without a lease of its run takes one.

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
    by_part: defaultdict[int, list[str]] = defaultdict(list)
    parts: list[str] = []
    if not output.exists(output.marker(run_id)):
        for uri in groups:
            by_part[part_of_group(uri)].append(uri)
        parts = [
            write_part(number, own, output=output, run_id=run_id) for number, own in by_part.items()
        ]
    committed = finish(parts, output=output, run_id=run_id)
    tidy(output, run_id)
    return committed


def tidy(output: Output, run_id: str) -> None:
    """Removes what a run that is whole needs no more, groups of bundles that failed among it."""
    for folder in ("run", "ledger/rows"):
        output.remove(f"{folder}/{run_id}")
        output.remove_empty(folder)


def finish(parts: Iterable[str], *, output: Output, run_id: str) -> Committed:
    """Makes a run whole whose parts are written.

    Args:
        parts: What `write_part` gave.
        output: The job's output.
        run_id: The run.

    Returns:
        What the run did. The groups, and what is under ``run/`` of this run, are left.

    Raises:
        CommitError: The rows are not those of the manifest's survey, or a part is not in place.
        LeaseError: Another run has the output.
    """
    marker = output.marker(run_id)
    if output.exists(marker):  # this bundle is run again
        return _read_marker(output.read(marker))
    with lease.held(output, run_id, wait=_LEASE_WAIT_S):
        return _finish(sorted(set(parts)), output, run_id)


def _finish(parts: list[str], output: Output, run_id: str) -> Committed:
    totals = Totals()
    tasks = _Tasks(output)
    files: list[KeyFile] = []
    failures: list[str] = []
    if not parts:
        parts = [write_part(0, (), output=output, run_id=run_id)]
    with Spill(KEY) as keys, Spill(KEY) as kept:
        rows = 0
        for _, data in output.read_many(parts):
            part = Part.decode(data)
            totals.merge(part.totals)
            own = part.keys.copy()
            own["place"] += rows
            keys.add(own)
            tasks.add(own["key"][own["kind"] == BY_FINGERPRINT])
            files += part.files
            rows += sum(file.rows for file in part.files)
            failures += [part.failures] if part.failures else []
        _compare(totals, output, run_id)
        _put_failures(output, failures)
        _prove(output, run_id, files)
        uncollected, unknown = _count_open_tasks(output, tasks.open())
        earlier = keep_earlier(output, run_id, keys=keys, kept=kept, first=rows)
        index = write_index(output, run_id, [*files, *earlier.files], [kept, keys])
    committed = Committed(
        run_id,
        output.metadata(run_id),
        totals.rows,
        dict(totals.statuses),
        dict(totals.errors),
        totals.credits,
        totals.finished_before,
        totals.resubmitted,
        uncollected,
        unknown,
        earlier.orphaned,
        totals.renditions_failed,
        totals.bought,
        dict(totals.kept),
    )
    told = {**committed._asdict(), "parts": len(files), "index": index}
    lease.check(output, run_id)
    output.put(output.marker(run_id), json.dumps(told, indent=2).encode())
    _logger.info("committed %d rows to %s", committed.rows, committed.folder)
    output.delete(earlier.replaced)
    output.delete(uri for uri in output.list("run") if f"/run/{run_id}/" not in uri)
    output.delete(tasks.collected)
    output.remove("ledger/kept")
    forget_marks(output)
    return committed


def _compare(totals: Totals, output: Output, run_id: str) -> None:
    """Makes sure that the rows are those that the survey found, each once.

    Raises:
        CommitError: Rows were lost or doubled.
    """
    try:
        surveyed = json.loads(output.read(output.survey(run_id)))
    except RowError as error:
        if error.code is ErrorCode.NOT_FOUND:  # a pipeline without a survey in the output
            return
        raise
    if (totals.rows, totals.lines) != (surveyed["rows"], surveyed["lines"]):
        raise CommitError(
            f"{totals.rows} rows came through, and the manifest has {surveyed['rows']}, or some "
            "came twice; nothing was committed: start the job again"
        )


def _put_failures(output: Output, pieces: list[str]) -> None:
    """Puts ``failures.jsonl`` together from what the parts have."""
    if pieces:
        output.put(output.failures, b"".join(data for _, data in output.read_many(pieces)))
    elif output.exists(output.failures):
        output.delete([output.failures])


def _prove(output: Output, run_id: str, files: list[KeyFile]) -> None:
    """Makes sure that every file of the metadata is in place.

    Raises:
        CommitError: One is not.
    """
    there = output.sizes(f"metadata/{run_id}")
    for file in files:
        uri = output.uri(file.name)
        if there.get(uri) != file.size:
            raise CommitError(
                f"{storage.redact(uri)} has {there.get(uri)} bytes instead of {file.size}: "
                "something else writes to this output; start the job again"
            )


class _Tasks:
    """The API's tasks in the ledger, and which of them gave a row its result."""

    def __init__(self, output: Output) -> None:
        self._by_key: dict[int, list[str]] = {}
        self._others: list[str] = []  # what somebody else has put there
        for fingerprint, uris in output.task_files().items():
            try:
                self._by_key.setdefault(short_key(fingerprint), []).extend(uris)
            except ValueError:
                self._others += uris
        self._known = np.fromiter(self._by_key, np.uint64)
        self.collected: list[str] = []

    def add(self, fingerprints: np.ndarray) -> None:
        """Takes the keys of finished rows."""
        if len(self._known):
            for key in fingerprints[np.isin(fingerprints, self._known)].tolist():
                self.collected += self._by_key.pop(key, ())

    def open(self) -> list[str]:
        """The tasks that gave no row its result."""
        return [*self._others, *(uri for uris in self._by_key.values() for uri in uris)]


def _count_open_tasks(output: Output, uris: list[str]) -> tuple[int, int]:
    """Of tasks that gave no row its result: those surely bought, and those perhaps bought."""
    bought = unknown = 0
    for _, data in output.read_many(uris):
        try:
            entry = json.loads(data.rstrip(b"\0"))
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
