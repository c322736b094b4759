"""Which shard holds the thumbnail of which result, over all runs of an output."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from alphabeam.transforms import storage
from alphabeam.transforms.output import Output
from alphabeam.transforms.thumbnails.pictures import Thumbnail
from alphabeam.transforms.thumbnails.shards import (
    SHARD_ROWS,
    decode_shard,
    encode_shard,
    key_of,
    shard_name,
)

__all__ = ["Index", "gather", "read_index", "tidy"]

_logger = logging.getLogger(__name__)
_PART_ROWS = 1_000_000
_MANY_THIN = 8  # shards that are less than half full
_SCHEMA = pa.schema([("key", pa.uint64()), ("shard", pa.string()), ("place", pa.uint8())])


class Index(NamedTuple):
    """Where thumbnails are, 13 bytes for each. Shards that are gone are not in it.

    Attributes:
        keys: `key_of` their fingerprints, uint64, sorted, each once.
        shards: Of each, the number of its shard in ``names``, int32.
        places: Of each, its place in the shard, uint8.
        names: The shards that it knows, by number.
        there: All shards of the output.
        files: The objects that the index was read from.
    """

    keys: NDArray[np.uint64]
    shards: NDArray[np.int32]
    places: NDArray[np.uint8]
    names: list[str]
    there: set[str]
    files: list[str]

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The positions of keys in ``keys``, -1 for one that is not there."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at, -1)


def read_index(output: Output) -> Index:
    """Reads the lists that processes put, and the table that the last report made of them."""
    files = output.thumbnail_lists()
    there = {_name(uri) for uri in output.thumbnail_shards()}
    numbers: dict[str, int] = {}
    parts: list[tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint8]]] = []

    def add(keys: Iterable[int], shards: Iterable[str], places: Iterable[int]) -> None:
        own = [numbers.setdefault(name, len(numbers)) for name in shards]
        parts.append(
            (
                np.fromiter(keys, np.uint64),
                np.array(own, np.int32),
                np.fromiter(places, np.uint8),
            )
        )

    # A table is older than the lists beside it: what is read later counts.
    for uri, data in output.read_many(sorted(files, key=lambda uri: uri.endswith(".json"))):
        try:
            if uri.endswith(".json"):
                listed = json.loads(data)
                add(
                    map(key_of, listed),
                    (shard for shard, _ in listed.values()),
                    (place for _, place in listed.values()),
                )
            else:
                for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(use_threads=False):
                    add(*(batch.column(name).to_pylist() for name in _SCHEMA.names))
        except (ValueError, TypeError, AttributeError, pa.ArrowException):
            _logger.warning("%s: this list of thumbnails is broken", storage.redact(uri))
    all_keys, shards, places = (
        np.concatenate(column) if parts else np.empty(0, kind)
        for column, kind in zip(
            zip(*parts, strict=True) if parts else ((), (), ()),
            (np.uint64, np.int32, np.uint8),
            strict=True,
        )
    )
    _, last = np.unique(all_keys[::-1], return_index=True)
    last = len(shards) - 1 - last
    last = last[np.isin(shards[last], [n for name, n in numbers.items() if name in there])]
    keys = all_keys[last]
    return Index(keys, shards[last], places[last], [*numbers], there, files)


def _name(uri: str) -> str:
    return uri.rpartition("/")[2].removesuffix(".js")


def gather(output: Output, index: Index, live: NDArray[np.uint64]) -> Index:
    """Puts what is left in thin shards together in new ones.

    Shards get thin as rows are done anew, and are so from the beginning where bundles are small.
    The old ones stay, for `tidy` to remove.

    Args:
        output: The job's output.
        index: As it was read.
        live: `key_of` the fingerprints of all rows that are finished, in any order.

    Returns:
        The index with the new places.
    """
    stays = np.isin(index.keys, live)
    left = np.bincount(index.shards[stays], minlength=len(index.names))
    thin = np.flatnonzero((left > 0) & (left < SHARD_ROWS // 2))
    if len(thin) < _MANY_THIN:
        return index
    moved: dict[int, Thumbnail] = {}  # by position in the index
    names, shards, places = [*index.names], index.shards.copy(), index.places.copy()

    def put() -> None:
        name = shard_name(f"{int(index.keys[at]):016x}" for at in moved)
        output.put(output.thumbnails(name), encode_shard(name, [*moved.values()]))
        for place, at in enumerate(moved):
            shards[at], places[at] = len(names), place
        names.append(name)
        moved.clear()

    uris = [output.thumbnails(index.names[one]) for one in thin.tolist()]
    for one, (uri, data) in zip(thin.tolist(), output.read_many(uris), strict=True):
        try:
            pictures = decode_shard(data)
        except ValueError:
            _logger.warning("%s: this shard of thumbnails is broken", storage.redact(uri))
            continue
        for at in np.flatnonzero(stays & (index.shards == one)).tolist():
            if index.places[at] < len(pictures):
                moved[at] = pictures[index.places[at]]
            if len(moved) == SHARD_ROWS:
                put()
    if moved:
        put()
    _logger.info("%d thin shards of thumbnails became %d", len(thin), len(names) - len(index.names))
    return index._replace(
        shards=shards, places=places, names=names, there=index.there | {*names[len(index.names) :]}
    )


def tidy(output: Output, index: Index, live: NDArray[np.uint64], name: str) -> None:
    """Writes an index as one table, and removes shards that no row needs any more.

    Shards that a killed process put and did not list are removed too.

    The output must be the caller's alone meanwhile.

    Args:
        output: The job's output.
        index: As it was read.
        live: `key_of` the fingerprints of all rows that are finished, in any order.
        name: Of the table, another one than that of any earlier table.
    """
    stays = np.isin(index.keys, live)
    gone = index.there - {index.names[one] for one in np.unique(index.shards[stays])}
    tables = [uri for uri in index.files if uri.endswith(".parquet")]
    if len(tables) == len(index.files) == 1 and not gone:
        return
    kept = np.flatnonzero(stays)
    written = []
    for number, start in enumerate(range(0, len(kept), _PART_ROWS)):
        some = kept[start : start + _PART_ROWS]
        table = pa.table(
            {
                "key": index.keys[some],
                "shard": pa.array([index.names[one] for one in index.shards[some]]),
                "place": index.places[some],
            },
            schema=_SCHEMA,
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        written.append(output.thumbnail_table(name, number))
        output.put(written[-1], sink.getvalue())
    output.delete(uri for uri in index.files if uri not in written)
    output.delete(output.thumbnails(one) for one in sorted(gone))
