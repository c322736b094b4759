"""Parts: the groups whose rows begin in one stretch of the manifest, as one file of metadata.

Each part is written on its own, on any worker, and what the commit has to know of it is put beside
it: its sums, and 25 bytes a row. So no process reads all rows, and a part that is written again is
the same part.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alphabeam.transforms.manifest.names import checksum
from alphabeam.transforms.metadata.failures import failure_record
from alphabeam.transforms.metadata.keys import KEY, KeyFile, keys_of_table
from alphabeam.transforms.metadata.schema import (
    SCHEMA,
    decode_table,
    encode_table,
    rows_from_table,
)
from alphabeam.transforms.output import Output
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.rows import (
    DONE,
    FAILED,
    KEPT_LOCAL,
    RENDITION_FAILED,
    RESUBMITTED,
    Row,
)

__all__ = ["PART_BYTES", "PART_ROWS", "Part", "Totals", "group_name", "part_of_group", "write_part"]

PART_ROWS = 25_000
PART_BYTES = 1 << 28  # of a file's rows in memory; Arrow holds under 2 GiB of texts in a column
# Beam's workers have more threads than there is memory for.
_writing = threading.BoundedSemaphore(2)


def group_name(rows: Sequence[Row]) -> str:
    """The name of a group: where in the manifest it begins, and what tells it from others."""
    names = "\n".join(f"{row.id}\t{row.line}" for row in rows)
    digest = hashlib.blake2b(names.encode("utf-8", "replace"), digest_size=12).hexdigest()
    return f"{max(rows[0].line, 0):012d}-{digest}"


def part_of_group(uri: str) -> int:
    """The number of the part that a group belongs to; every group of a pipeline has a name."""
    line = uri.rpartition("/")[2].partition("-")[0]
    return int(line) // PART_ROWS if line.isascii() and line.isdigit() else 0


@dataclass
class Totals:
    """Sums over rows.

    Attributes:
        statuses: Rows by status.
        errors: Failed rows by error code.
        credits: API credits that this run's rows cost.
        finished_before: Rows of earlier runs.
        resubmitted: Rows whose task was submitted again.
        renditions_failed: Rows one of whose renditions could not be made.
        bought: Rows of a cascade whose local result was doubtful, and that were bought.
        kept: Those whose doubtful local result was kept, by the error code of the reason.
        lines: Checksum of the rows' lines.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    credits: int = 0
    finished_before: int = 0
    resubmitted: int = 0
    renditions_failed: int = 0
    bought: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    lines: int = 0

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(self.statuses.values())

    def add(self, table: pa.Table, run_id: str) -> None:
        """Adds a table of a run."""
        self.statuses.update(table["status"].to_pylist())
        self.errors.update(code for code in table["error_code"].to_pylist() if code)
        current = table.filter(pc.equal(table["run_id"], run_id))
        self.finished_before += table.num_rows - current.num_rows
        self.credits += pc.sum(current["credits"]).as_py() or 0
        flags = table["flags"].to_pylist()
        self.resubmitted += sum(RESUBMITTED in (some or ()) for some in flags)
        self.renditions_failed += sum(RENDITION_FAILED in (some or ()) for some in flags)
        self._count_doubtful(table)
        self.lines = checksum(table["line"].to_numpy(), self.lines)

    def _count_doubtful(self, table: pa.Table) -> None:
        """Counts what a cascade bought, and what it did not."""
        doubts = pc.fill_null(pc.list_value_length(table["doubts"]), 0)
        doubtful = pc.and_(pc.equal(table["status"], DONE), pc.greater(doubts, 0))
        for flags in table["flags"].filter(doubtful).to_pylist():
            if KEPT_LOCAL in flags:  # the reason follows
                self.kept[flags[flags.index(KEPT_LOCAL) + 1]] += 1
            else:
                self.bought += 1

    def merge(self, other: Totals) -> None:
        """Adds the sums over other rows."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)
        self.lines &= 2**64 - 1


@dataclass
class Part:
    """What the commit knows of a part.

    Attributes:
        files: The files that it became, mostly one.
        totals: Sums over its rows.
        keys: Of its rows, records of `KEY`; places count from its own first row.
        failures: Where its failed rows are, as lines of a manifest; empty if there are none.
    """

    files: list[KeyFile] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    keys: NDArray[Any] = field(default_factory=lambda: np.empty(0, KEY))
    failures: str = ""

    def encode(self) -> bytes:
        """The part as one object."""
        head = {"files": self.files, "totals": vars(self.totals), "failures": self.failures}
        return json.dumps(head).encode() + b"\n" + self.keys.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Part:
        """The inverse of `encode`."""
        line, _, keys = data.partition(b"\n")
        head = json.loads(line)
        counted: dict[str, Any] = {
            name: Counter(value) if isinstance(value, dict) else value
            for name, value in head["totals"].items()
        }
        files = [KeyFile(*file) for file in head["files"]]
        return cls(files, Totals(**counted), np.frombuffer(keys, KEY), head["failures"])


def write_part(
    number: int,
    groups: Iterable[str],
    *,
    output: Output,
    run_id: str,
    defaults: MattingParameters | None = None,
) -> str:
    """Writes groups as a part of a run's metadata, in the order of the manifest.

    Args:
        number: The part's.
        groups: Their URIs; one may come twice.
        output: The job's output.
        run_id: The run.
        defaults: As for `failure_record`.

    Returns:
        URI of what `Part.decode` reads.
    """
    part = Part()
    failures: list[bytes] = []
    keys: list[NDArray[Any]] = []
    waiting: list[pa.Table] = []
    rows, size = 0, 0

    def put() -> None:
        table = pa.concat_tables(waiting or [SCHEMA.empty_table()]).sort_by("line")
        waiting.clear()
        keys.append(keys_of_table(table, sum(file.rows for file in part.files)))
        data = encode_table(table)
        uri = output.part(run_id, number, len(part.files))
        output.put(uri, data)
        part.files.append(KeyFile(output.name_of(uri), len(data), table.num_rows))

    with _writing:
        for _, data in output.read_many(sorted(set(groups))):
            table = decode_table(data)
            part.totals.add(table, run_id)
            for row in rows_from_table(table.filter(pc.equal(table["status"], FAILED))):
                failures.append(failure_record(row, defaults).encode() + b"\n")
            waiting.append(table)
            rows += table.num_rows
            size += table.nbytes
            # rows of a pipeline without lines, or with long texts
            if rows >= 2 * PART_ROWS or size >= PART_BYTES:
                put()
                rows, size = 0, 0
        if waiting or not part.files:
            put()
    part.keys = np.concatenate(keys)
    if failures:
        part.failures = output.of_part(run_id, number, "failures.jsonl")
        output.put(part.failures, b"".join(failures))
    told = output.of_part(run_id, number, "part")
    output.put(told, part.encode())
    return told
