"""``WriteMetadata``: the rows, as a Parquet dataset that is whole or not there.

Rows are first written in small groups to the ledger, as they come, so that a run that is killed
loses next to nothing. When the last one is in, the groups are compacted into
``metadata/RUN/part-….parquet``, a marker ``_SUCCESS`` is put beside them, and the folders of
earlier runs are removed. So ``metadata/`` holds one whole run at any time, save for the moment of
the change; a run without a marker is not finished.

Columns, all of them in every part (`SCHEMA`):

========================  ==============  =========================================================
column                    type            meaning
========================  ==============  =========================================================
id                        string          the row's id; unique, letter case aside, but for rows
                                          that failed for that (``duplicate_id``)
image                     string          the source's URI, as resolved against the manifest
status                    string          ``done`` or ``failed``
line                      int64           line (Parquet: row) of the manifest, from 1
backend                   string          ``local`` or ``picpik``; empty if it was never reached
task_uid                  string          the TaskUID: PICPIK's own, or one derived from the
                                          fingerprint; 20 characters; empty if never reached
request_uuid              string          UUIDv5 of the fingerprint, sent as ``request_uuid``
cutout                    string, null    the cutout's name relative to the output directory
mask                      string, null    the mask's name relative to the output directory
width, height             int32, null     of the upright image, pixels
source_format             string, null    by content: jpeg, png, webp, tiff, bmp, gif, avif
source_bytes              int64, null     encoded size of the source, bytes
source_sha256             string, null    of the source's bytes, hex
source_version            string, null    ETag, or modification time and size, as the store gives
box                       list<int32>,    left, top, right, bottom in pixels, right and bottom
                          null            exclusive; the main object's box that was asked for
erode_size                int16           pixels, 0..40
foreground_threshold      int16           0..255
background_threshold      int16           0..255
hair_optimization         string          auto, on or off
only_mask                 bool            no cutout was asked for
keep_shadow               bool            contact shadows were kept
model                     string, null    the local model's name
model_sha256              string, null    of the model file, hex
subject_box               list<int32>,    left, top, right, bottom of what was found, pixels, right
                          null            and bottom exclusive; null if nothing was
coverage                  float32, null   mean alpha of the whole picture, 0..1
confidence                float32, null   how sure the backend is, 0..1
flags                     list<string>    what to look at: see ``docs/matting.md``; of picpik,
                                          ``sent_…`` how the upload was encoded again, and
                                          ``resubmitted``: perhaps billed twice
credits                   int64, null     API credits that the task cost
read_ms                   float32, null   reading and decoding, milliseconds of wall time
remove_ms                 float32, null   matting; or submitting, waiting and downloading; ms
write_ms                  float32, null   encoding and writing, milliseconds
attempts                  int16           how often the backend was asked
error_stage               string, null    manifest, read, remove or write
error_code                string, null    one of `alphabeam.transforms.errors.ErrorCode`
error_message             string, null    one line: what, where, how to mend it
fingerprint               string, null    what makes the result the same result, 32 hex digits
run_id                    string          the run that finished the row
finished_at               timestamp[us,   when it was finished, UTC
                          UTC]
extra                     map<string,     every other column of the manifest
                          string>
========================  ==============  =========================================================
"""

from __future__ import annotations

import array
import hashlib
import io
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.rows import DONE, FAILED, Row

__all__ = [
    "FAILURES",
    "RESUBMITTED",
    "SCHEMA",
    "SUCCESS",
    "TASKS",
    "Committed",
    "WriteMetadata",
    "read_committed",
    "rows_from_table",
    "table_from_rows",
]

SUCCESS = "_SUCCESS"
FAILURES = "failures.jsonl"
TASKS = "ledger/tasks"
EARLIER = "ledger/earlier"
# The flag of a row whose task was submitted again, though an earlier one may have been billed.
RESUBMITTED = "resubmitted"

_BOX = pa.list_(pa.int32())
_TYPES: dict[str, pa.DataType] = {
    "line": pa.int64(),
    "width": pa.int32(),
    "height": pa.int32(),
    "source_bytes": pa.int64(),
    "box": _BOX,
    "erode_size": pa.int16(),
    "foreground_threshold": pa.int16(),
    "background_threshold": pa.int16(),
    "only_mask": pa.bool_(),
    "keep_shadow": pa.bool_(),
    "subject_box": _BOX,
    "coverage": pa.float32(),
    "confidence": pa.float32(),
    "flags": pa.list_(pa.string()),
    "credits": pa.int64(),
    "read_ms": pa.float32(),
    "remove_ms": pa.float32(),
    "write_ms": pa.float32(),
    "attempts": pa.int16(),
    "finished_at": pa.timestamp("us", tz="UTC"),
    "extra": pa.map_(pa.string(), pa.string()),
}
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in Row._fields])

_GROUP_ROWS = 256
_GROUP_SECONDS = 10.0
_PART_ROWS = 100_000

_MANIFEST_COLUMNS = (
    "erode_size",
    "foreground_threshold",
    "background_threshold",
    "hair_optimization",
    "only_mask",
    "keep_shadow",
)


def table_from_rows(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table of `SCHEMA`."""
    columns: list[Any] = []
    for index, column in enumerate(SCHEMA):
        values: list[Any] = [row[index] for row in rows]
        if column.name == "finished_at":
            values = [None if v is None else v.micros for v in values]
        elif column.name == "extra":
            values = [list(v.items()) for v in values]
        columns.append(pa.array(values, column.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def rows_from_table(table: pa.Table) -> Iterator[Row]:
    """The rows of a table of `SCHEMA`, the inverse of `table_from_rows`."""
    micros = table["finished_at"].cast(pa.int64()).to_pylist()
    table = table.drop_columns(["finished_at"])
    for record, finished in zip(table.to_pylist(), micros, strict=True):
        record["extra"] = dict(record["extra"] or ())
        record["flags"] = tuple(record["flags"] or ())
        record["finished_at"] = None if finished is None else Timestamp(micros=finished)
        yield Row(**record)


def encode_table(table: pa.Table) -> bytes:
    """A table as one Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


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
    """

    run_id: str
    folder: str
    rows: int
    statuses: Mapping[str, int]
    errors: Mapping[str, int]
    credits: int
    finished_before: int
    resubmitted: int = 0


class WriteMetadata(beam.PTransform):
    """Writes rows as a Parquet dataset, and the failed ones as a manifest to run again.

    Takes `Row`; gives one `Committed`, after everything is in place.

    Args:
        directory: The job's output; ``metadata/``, ``ledger/`` and ``failures.jsonl`` are made
            below it.
        run_id: This run's name, part of a folder's name.
        on_row: Called on the worker with every row, for progress.
        storage_options: Options for fsspec, by protocol.
    """

    def __init__(
        self,
        directory: str,
        run_id: str,
        *,
        on_row: Callable[[Row], None] | None = None,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._run_id = run_id
        self._on_row = on_row
        self._storage_options = storage_options

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Builds the step."""
        groups = rows | "LedgerGroups" >> beam.ParDo(
            _WriteGroupsFn(self._directory, self._run_id, self._on_row, self._storage_options)
        )
        start = rows.pipeline | "EvenIfEmpty" >> beam.Create([None])
        return start | "Commit" >> beam.Map(
            _commit,
            beam.pvalue.AsIter(groups),
            directory=self._directory,
            run_id=self._run_id,
            storage_options=self._storage_options,
        )


class _WriteGroupsFn(beam.DoFn):
    """Puts groups of rows to the ledger; gives their names.

    Only the names that a committed bundle gives are compacted, so that a bundle that is run
    again, with its groups cut otherwise, adds no row twice.
    """

    def __init__(
        self,
        directory: str,
        run_id: str,
        on_row: Callable[[Row], None] | None,
        storage_options: Mapping[str, Mapping[str, Any]] | None,
    ) -> None:
        super().__init__()
        self._folder = storage.join(directory, "ledger", "rows", run_id)
        self._run_id = run_id
        self._on_row = on_row
        self._storage_options = storage_options

    def start_bundle(self) -> None:
        self._rows: list[Row] = []
        self._since = 0.0

    def process(self, row: Row) -> Iterator[str]:
        if self._on_row is not None:
            self._on_row(row)
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append(row._replace(run_id=row.run_id or self._run_id))
        if len(self._rows) >= _GROUP_ROWS or time.monotonic() - self._since > _GROUP_SECONDS:
            yield self._put()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._rows:
            window = GlobalWindow()
            yield WindowedValue(self._put(), window.max_timestamp(), (window,))

    def _put(self) -> str:
        names = "\n".join(f"{row.id}\t{row.line}" for row in self._rows)
        name = hashlib.blake2b(names.encode(), digest_size=12).hexdigest() + ".parquet"
        uri = storage.join(self._folder, name)
        storage.put(uri, encode_table(table_from_rows(self._rows)), options=self._storage_options)
        self._rows = []
        return uri


def _commit(
    _: None,
    groups: Iterable[str],
    *,
    directory: str,
    run_id: str,
    storage_options: Mapping[str, Mapping[str, Any]] | None,
) -> Committed:
    """Compacts the run's groups into its metadata, then removes what they replace."""
    metadata = storage.join(directory, "metadata")
    folder = storage.join(metadata, run_id)
    marker = storage.join(folder, SUCCESS)
    if storage.exists(marker, options=storage_options):  # this bundle is run again
        return _read_marker(storage.read(marker, options=storage_options))
    statuses: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    credits = 0
    finished_before = 0
    resubmitted = 0
    tasks = {
        uri.rsplit("/", 1)[-1].removesuffix(".json"): uri
        for uri in storage.list(storage.join(directory, *TASKS.split("/")), options=storage_options)
    }
    collected: list[str] = []  # tasks that have given their result
    ids = array.array("Q")  # digests of the run's ids
    waiting: list[pa.Table] = []
    parts = 0

    def put_part() -> None:
        nonlocal parts
        uri = storage.join(folder, f"part-{parts:05d}.parquet")
        table = pa.concat_tables(waiting).sort_by("line")
        storage.put(uri, encode_table(table), options=storage_options)
        waiting.clear()
        parts += 1

    with tempfile.TemporaryFile() as failures:
        names = sorted(set(groups))
        for _uri, data in storage.read_many(names, options=storage_options):
            if isinstance(data, Exception):
                raise data
            table = pq.read_table(io.BytesIO(data), schema=SCHEMA)
            statuses.update(table["status"].to_pylist())
            errors.update(code for code in table["error_code"].to_pylist() if code)
            current = table.filter(pc.equal(table["run_id"], run_id))
            finished_before += table.num_rows - current.num_rows
            credits += pc.sum(current["credits"]).as_py() or 0
            for row in rows_from_table(table.filter(pc.equal(table["status"], FAILED))):
                failures.write(failure_record(row).encode() + b"\n")
            resubmitted += sum(RESUBMITTED in (flags or ()) for flags in table["flags"].to_pylist())
            if tasks:
                done = table.filter(pc.equal(table["status"], DONE))["fingerprint"].to_pylist()
                collected += [
                    tasks.pop(fingerprint) for fingerprint in done if fingerprint in tasks
                ]
            ids.extend(map(digest, table["id"].to_pylist()))
            waiting.append(table)
            if sum(t.num_rows for t in waiting) >= _PART_ROWS:
                put_part()
        if waiting or not parts:
            waiting.append(SCHEMA.empty_table())
            put_part()
        failures.seek(0)
        uri = storage.join(directory, FAILURES)
        if failed := failures.read():
            storage.put(uri, failed, options=storage_options)
        elif storage.exists(uri, options=storage_options):
            storage.delete([uri], options=storage_options)
    committed = Committed(
        run_id,
        folder,
        sum(statuses.values()),
        dict(statuses),
        dict(errors),
        credits,
        finished_before,
        resubmitted,
    )
    storage.put(
        marker,
        json.dumps({**committed._asdict(), "parts": parts}, indent=2).encode(),
        options=storage_options,
    )
    _retire(directory, run_id, ids, storage_options)
    storage.delete(collected, options=storage_options)
    return committed


def _retire(
    directory: str,
    run_id: str,
    ids: array.array[int],
    storage_options: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    """Removes what a whole run replaces: earlier metadata, and the ledger's groups.

    Finished rows whose ids the run's manifest does not have are kept in the ledger, so that a run
    over a part of the catalogue does not make the rest of it be done, and paid for, again.
    """
    present = np.sort(np.frombuffer(ids, np.uint64))
    mine = storage.join(directory, *EARLIER.split("/"), f"{run_id}-")
    retired = [
        uri
        for place in ("metadata", EARLIER, "ledger/rows")
        for uri in reversed(
            storage.list(storage.join(directory, *place.split("/")), options=storage_options)
        )
        if f"/metadata/{run_id}/" not in uri and not uri.startswith(mine)
    ]
    kept = 0
    others = [u for u in retired if u.endswith(".parquet") and f"/rows/{run_id}/" not in u]
    for _uri, data in storage.read_many(others, options=storage_options):
        if isinstance(data, Exception):
            raise data
        try:
            table = pq.read_table(io.BytesIO(data), schema=SCHEMA)
        except pa.ArrowException:  # nothing can be kept of a broken file
            continue
        digests = np.fromiter(map(digest, table["id"].to_pylist()), np.uint64, table.num_rows)
        done = pc.equal(table["status"], DONE).to_numpy()
        keep = done & ~np.isin(digests, present)
        if keep.any():
            table = table.filter(pa.array(keep))
            present = np.union1d(present, digests[keep])
            uri = f"{mine}{kept:05d}.parquet"
            storage.put(uri, encode_table(table), options=storage_options)
            kept += 1
    storage.delete(retired, options=storage_options)


def _read_marker(data: bytes) -> Committed:
    values = json.loads(data)
    return Committed(**{name: values[name] for name in Committed._fields})


def read_committed(
    directory: str,
    run_id: str,
    storage_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Committed:
    """What ``WriteMetadata`` said of a run that is whole.

    Raises:
        RowError: ``not_found`` where the run is not whole.
    """
    uri = storage.join(directory, "metadata", run_id, SUCCESS)
    return _read_marker(storage.read(uri, options=storage_options))


def _from_anywhere(row: Row) -> str:
    """The image's URI; a relative path would mean another file beside the failures."""
    if "://" in row.image or not row.image or row.error_code == ErrorCode.INVALID_URI.value:
        return row.image
    return os.path.abspath(os.path.expanduser(row.image))


def failure_record(row: Row) -> str:
    """A failed row as a line of a JSONL manifest that runs the image again."""
    record: dict[str, Any] = {"id": row.id, "image": _from_anywhere(row)}
    if row.box is not None:
        record["box"] = list(row.box)
    record.update({name: getattr(row, name) for name in _MANIFEST_COLUMNS})
    record.update(row.extra)
    record.update(
        error_line=row.line,
        error_stage=row.error_stage,
        error_code=row.error_code,
        error_message=row.error_message,
    )
    return json.dumps(record, ensure_ascii=False)
