"""The rows of a report: the worst first, and no more than a browser can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alphabeam.transforms.metadata import SCHEMA, decode_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, FAILED
from alphabeam.transforms.thumbnails import key_of

__all__ = ["Listing", "badness", "read_listing"]

_MOST_ROWS = 200_000
_PER_FLAG = 0.1  # what each flag takes from a row's confidence
# Digests are long, and no person looks at them.
_SHOWN = [
    name
    for name in SCHEMA.names
    if name not in ("source_version", "request_uuid", "quick_key")
    and (name == "fingerprint" or not name.endswith("_sha256"))
]
_BARS = 20  # of the histogram of confidences
# Flags that say how a result was made, and not that a person should look at it.
_HARMLESS = ("own_alpha", "whole", "sent_", "upscaled", "does_not_fill_preset")


@dataclass
class Listing:
    """What a report shows.

    Attributes:
        rows: The metadata's columns but for digests, worst first; all of them, or the worst
            200 000.
        total: Rows of the run.
        statuses: All rows by status.
        flags: All rows by flag.
        errors: Failed rows by error code.
        confidences: Done rows by confidence, in 20 equal bars from 0 to 1.
        backends: Done rows by backend and model.
        keys: `key_of` the fingerprints of all rows that are done, uint64.
    """

    rows: pa.Table = field(default_factory=lambda: SCHEMA.empty_table().select(_SHOWN))
    total: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    confidences: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BARS, np.int64))
    backends: Counter[str] = field(default_factory=Counter)
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))


def read_listing(output: Output, run_id: str) -> Listing:
    """Reads a run's metadata, a part at a time.

    Memory is bounded by the rows that are shown, and 8 bytes for each of the others.
    """
    listing = Listing()
    kept: list[pa.Table] = []
    keys = []
    for table in _parts(output, run_id):
        _count(listing, table)
        keys.append(_keys(table))
        kept.append(table)
        if sum(one.num_rows for one in kept) > 2 * _MOST_ROWS:
            kept = [_worst(pa.concat_tables(kept))]
    if kept:
        whole = pa.concat_tables(kept)
        kept.clear()
        listing.rows = _worst(whole)
    listing.keys = np.concatenate([*keys, listing.keys])
    return listing


def badness(table: pa.Table) -> NDArray[np.float64]:
    """By what rows are sorted, the worst is the least: failed ones, then by confidence.

    Each flag counts as a tenth of confidence, save for those that only say how a result was made,
    or that its source is small.
    A result without a confidence counts as one of 1.
    """
    confidence = pc.fill_null(table["confidence"], 1.0).to_numpy().astype(np.float64)
    flags = table["flags"].combine_chunks()
    names = np.array(pc.list_flatten(flags).to_pylist(), dtype=str)
    rows = pc.list_parent_indices(flags).to_numpy()
    serious = np.array([not name.startswith(_HARMLESS) for name in names], bool)
    count = np.bincount(rows[serious], minlength=table.num_rows)
    failed = pc.equal(table["status"], FAILED).to_numpy()
    return np.where(failed, -1e9, confidence - _PER_FLAG * count)


def _parts(output: Output, run_id: str) -> Iterator[pa.Table]:
    folder = output.metadata(run_id)
    uris = [u for u in output.list(f"metadata/{run_id}") if u.endswith(".parquet")]
    assert all(uri.startswith(folder) for uri in uris)
    for _, data in output.read_many(uris):
        yield decode_table(data, _SHOWN)


def _worst(table: pa.Table) -> pa.Table:
    order = np.lexsort((table["line"].to_numpy(), badness(table)))
    return table.take(pa.array(order[:_MOST_ROWS])).combine_chunks()


def _count(listing: Listing, table: pa.Table) -> None:
    listing.total += table.num_rows
    listing.statuses.update(table["status"].to_pylist())
    listing.errors.update(code for code in table["error_code"].to_pylist() if code)
    for flags in table["flags"].to_pylist():
        listing.flags.update(flags or ())
    done = table.filter(pc.equal(table["status"], DONE))
    names = zip(done["backend"].to_pylist(), done["model"].to_pylist(), strict=True)
    listing.backends.update(" ".join(filter(None, name)) for name in names)
    known = pc.drop_null(done["confidence"]).to_numpy()
    listing.confidences += np.histogram(known, _BARS, (0, 1))[0]


def _keys(table: pa.Table) -> NDArray[np.uint64]:
    done = table.filter(pc.equal(table["status"], DONE))
    return np.array([key_of(text) for text in done["fingerprint"].to_pylist() if text], np.uint64)
