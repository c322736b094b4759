"""By which keys finished rows are found again, and the index of them that a commit writes.

A finished row is found by its id, its quick key and its fingerprint. The commit writes 64 bits of
each, sorted, and where the row stands, as a few objects beside the ledger: 36 bytes a row. Whoever
looks rows up maps these into memory. So the processes of a machine share them, and what is resident
is what was looked at: on a night on which nothing has changed, ids alone, 12 bytes a row.

The index belongs to one commit: the run's marker has its digest, it has the digests of its pieces,
and it lists the files that it speaks of, with their sizes. Where it is not there, or any of this
does not fit, the keys are read from the files themselves, into memory.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import json
import logging
import mmap
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.metadata.schema import with_all_columns
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE
from alphabeam.transforms.spill import BUCKETS, Spill

__all__ = [
    "BY_FINGERPRINT",
    "BY_ID",
    "BY_QUICK_KEY",
    "KEY",
    "UNFINISHED",
    "BrokenFileError",
    "KeyFile",
    "Keys",
    "keys_of_table",
    "open_keys",
    "short_key",
    "write_index",
]

_logger = logging.getLogger(__name__)

BY_ID, BY_QUICK_KEY, BY_FINGERPRINT = range(3)
UNFINISHED = 3  # the id of a row that is not done; a commit wants to know it, the index has it not
# Place: the number of the row, counted over all files.
KEY = np.dtype([("key", "<u8"), ("place", "<u4"), ("kind", "u1")])

_VERSION = 1
_PIECE_ROWS = 1 << 20
_COLUMNS = ["id", "status", "fingerprint", "quick_key"]
_BATCH_ROWS = 8192
_READ_BYTES = 1 << 20


class KeyFile(NamedTuple):
    """A file whose rows have places: its name relative to the output, bytes and rows."""

    name: str
    size: int
    rows: int


class BrokenFileError(ValueError):
    """A file of the ledger cannot be read; the message is one line that says what to do.

    No row fails for it: what it holds may be paid for.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"{storage.redact(uri)}: this file of the ledger is broken; delete it, and the images "
            "in it are done again"
        )


def short_key(text: str | None) -> int:
    """64 bits of a fingerprint or quick key; 0 for none."""
    return int(text[:16], 16) or 1 if text else 0


def keys_of_table(table: pa.Table, first: int = 0) -> NDArray[Any]:
    """The keys of a table's rows.

    Args:
        table: Has the columns id, status, fingerprint and quick_key.
        first: The place of its first row.

    Returns:
        Records of `KEY`; of rows that are not done, `UNFINISHED` ones.
    """
    rows = table.num_rows
    done = pc.equal(table["status"], DONE).to_numpy(zero_copy_only=False).astype(bool)
    prints = table["fingerprint"].to_pylist()
    # What version 0.1 called the fingerprint is the quick key of today.
    quick_keys = pc.coalesce(table["quick_key"], table["fingerprint"]).to_pylist()
    found = np.zeros((3, rows), KEY)
    found["place"] = np.arange(first, first + rows, dtype=np.uint64)
    found["kind"] = np.arange(3, dtype=np.uint8)[:, None]
    found[BY_ID]["key"] = np.fromiter(map(digest, table["id"].to_pylist()), np.uint64, rows)
    found[BY_QUICK_KEY]["key"] = np.fromiter(map(short_key, quick_keys), np.uint64, rows)
    found[BY_FINGERPRINT]["key"] = np.fromiter(map(short_key, prints), np.uint64, rows)
    found[BY_ID]["kind"][~done] = UNFINISHED
    there = (found["key"] != 0) & (done | (found["kind"] == UNFINISHED))
    kept: NDArray[Any] = found[there]
    return kept


class _Sorted:
    """Keys of one kind, sorted, each with a place; of equal ones the latest is the last.

    Args:
        pieces: Keys and places; one piece, or two, four … by the keys' top bits.
        starts: If places count the rows of all files: those of the files' first rows. Otherwise a
            place is the file's number << 32, and the row in it.
    """

    def __init__(
        self, pieces: Sequence[tuple[NDArray[Any], NDArray[Any]]], starts: NDArray[Any] | None
    ) -> None:
        self._pieces = pieces
        self._shift = 64 - (len(pieces) - 1).bit_length()
        self._starts = starts
        self._first = [] if starts is None else starts.tolist()

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._pieces)

    def find(self, key: int) -> Iterator[int]:
        """The places of a key, the latest first; thousands of rows may have one picture."""
        keys, places = self._pieces[key >> self._shift]
        # NumPy's own search lets another thread in each time, and then waits for its turn.
        at = bisect.bisect_right(keys, key) - 1
        while at >= 0 and keys[at] == key:
            place = int(places[at])
            if self._first:
                file = bisect.bisect_right(self._first, place) - 1
                place = file << 32 | place - self._first[file]
            yield place
            at -= 1

    def between(self, low: int, high: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The keys from ``low`` to below ``high``, and their places."""
        found = []
        for piece in range(low >> self._shift, (high - 1 >> self._shift) + 1):
            keys, places = self._pieces[piece]
            begin, end = bisect.bisect_left(keys, low), bisect.bisect_left(keys, high)
            found.append((keys[begin:end], self._placed(places[begin:end])))
        keys_found, places_found = zip(*found, strict=True)
        return np.concatenate(keys_found), np.concatenate(places_found)

    def _placed(self, places: NDArray[Any]) -> NDArray[np.uint64]:
        wide = places.astype(np.uint64)
        if self._starts is None:
            return wide
        files = np.searchsorted(self._starts, wide, side="right").astype(np.uint64) - np.uint64(1)
        within: NDArray[np.uint64] = wide - self._starts[files]
        return (files << np.uint64(32)) | within


_Layer = tuple[_Sorted, _Sorted, _Sorted]


class Keys:
    """Where the finished rows of an output are.

    A place is the number of a file << 32, and the row in it.

    Attributes:
        files: URIs of the files, by number.
    """

    def __init__(self, files: list[str], layers: list[_Layer], replaced: Sequence[int]) -> None:
        self.files = files
        self._layers = layers  # the later one counts first
        self._replaced = replaced  # files that the index speaks of and that are not there any more

    def __len__(self) -> int:
        return sum(len(layer[BY_ID]) for layer in self._layers)

    def find(self, kind: int, key: int) -> Iterator[int]:
        """The places of the rows with a key, the latest first."""
        for layer in reversed(self._layers):
            for place in layer[kind].find(key):
                if place >> 32 not in self._replaced:
                    yield place

    def between(self, kind: int, low: int, high: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The keys from ``low`` to below ``high``, sorted, and their places.

        Of equal keys the latest is the last.
        """
        found = [layer[kind].between(low, high) for layer in self._layers]
        keys = np.concatenate([keys for keys, _ in found])
        places = np.concatenate([places for _, places in found])
        there = ~np.isin(places >> np.uint64(32), self._replaced)
        keys, places = keys[there], places[there]
        order = np.argsort(keys, kind="stable")
        return keys[order], places[order]


def open_keys(output: Output, *, without: str = "", skip_broken: bool = False) -> Keys:
    """The keys of all rows that are finished in an output.

    Args:
        output: The job's output.
        without: A run whose own files are left out.
        skip_broken: Leave a broken file out, with a warning.

    Raises:
        BrokenFileError: A file of the ledger is broken.
        RowError: The store refuses.
    """
    earlier, committed = output.sizes("ledger/earlier"), output.sizes("metadata")
    if without:
        own = output.earlier_of(without)
        earlier = {uri: size for uri, size in earlier.items() if not uri.startswith(own)}
    runs = {uri.rpartition("/")[0] for uri in committed if uri.endswith("/_SUCCESS")}
    groups = [uri for uri in output.group_files() if uri.endswith(".parquet")]
    runs |= _without_marker(output, committed, groups, runs)
    runs.discard(output.metadata(without) if without else "")
    whole = {uri: size for uri, size in committed.items() if uri.rpartition("/")[0] in runs}
    sizes = {
        uri: size for uri, size in chain(earlier.items(), whole.items()) if uri.endswith(".parquet")
    }
    groups = [uri for uri in groups if not (without and f"/rows/{without}/" in uri)]
    stored = _stored(output, runs, sizes)
    files, replaced = stored.files if stored else [], stored.replaced if stored else []
    known = {uri for number, uri in enumerate(files) if number not in replaced}
    rest = [*(uri for uri in sizes if uri not in known), *groups]
    layers = [stored.layer] if stored else []
    if rest or not layers:
        layers.append(_read(output, rest, len(files), skip_broken))
    return Keys([*files, *rest], layers, replaced)


def _without_marker(
    output: Output, committed: Iterable[str], groups: Iterable[str], whole: set[str]
) -> set[str]:
    """Folders of runs that were whole and have lost their marker, as some tools leave out ``_*``.

    The index is written before the marker, and a run's groups are removed after it. So a run that
    has an index and no groups was whole.
    """
    there = {uri.rpartition("/")[0] for uri in committed if uri.endswith(".parquet")}
    lost = there - whole - {output.metadata(uri.rsplit("/", 2)[1]) for uri in groups}
    if lost:
        lost &= {output.metadata(uri.rsplit("/", 2)[1]) for uri in output.key_files()}
    for folder in lost:
        _logger.warning(
            "%s has lost its _SUCCESS; its rows count as finished", storage.redact(folder)
        )
    return lost


def _read(output: Output, files: list[str], number: int, skip_broken: bool) -> _Layer:
    """The keys in some files themselves, the first of which has that number."""
    parts: tuple[list[Any], ...] = ([], [], [])
    for at, (uri, data) in enumerate(output.read_many(files), number):
        start = at << 32
        try:
            found = [*_batches(data)]
        except pa.ArrowException:
            if skip_broken:
                _logger.warning("%s is no Parquet file; nothing of it is kept", storage.redact(uri))
                continue
            raise BrokenFileError(uri) from None
        for keys, rows in found:
            for kind in range(3):
                own = keys[keys["kind"] == kind]
                places = own["place"].astype(np.uint64) + np.uint64(start)
                parts[kind].append((own["key"], places))
            start += rows
    return _in_order(parts[0]), _in_order(parts[1]), _in_order(parts[2])


def _in_order(parts: list[tuple[NDArray[Any], NDArray[Any]]]) -> _Sorted:
    keys = np.concatenate([np.empty(0, np.uint64), *(keys for keys, _ in parts)])
    places = np.concatenate([np.empty(0, np.uint64), *(places for _, places in parts)])
    parts.clear()
    order = np.argsort(keys, kind="stable")
    return _Sorted([(keys[order], places[order])], None)


def _batches(data: bytes) -> Iterator[tuple[NDArray[Any], int]]:
    """The keys in one of the ledger's files, in parts, each with its number of rows."""
    file = pq.ParquetFile(io.BytesIO(data))
    there = [name for name in _COLUMNS if name in file.schema_arrow.names]
    for batch in file.iter_batches(_BATCH_ROWS, columns=there, use_threads=False):
        table = with_all_columns(pa.Table.from_batches([batch])).select(_COLUMNS)
        yield keys_of_table(table), len(batch)


# ------------------------------------------------------------------------------------- the index


def write_index(
    output: Output, run_id: str, files: Sequence[KeyFile], keys: Sequence[Spill]
) -> str:
    """Writes the index of a run.

    Args:
        output: The job's output.
        run_id: The run.
        files: All that hold finished rows once the run is whole, in the order of their places.
        keys: Their keys, records of `KEY`; of equal ones, those of a later spill count first.

    Returns:
        Its digest, for the marker.
    """
    rows = sum(file.rows for file in files)
    pieces = min(BUCKETS, 1 << max(0, -(-rows // _PIECE_ROWS) - 1).bit_length())
    told = []
    for piece in range(pieces):
        sorted_keys: list[list[NDArray[Any]]] = [[], [], []]
        places: list[list[NDArray[Any]]] = [[], [], []]
        for bucket in range(piece * BUCKETS // pieces, (piece + 1) * BUCKETS // pieces):
            records = np.concatenate([one.bucket(bucket) for one in keys])
            for kind in range(3):
                own = records[records["kind"] == kind]
                own = own[np.argsort(own["key"], kind="stable")]
                sorted_keys[kind].append(np.ascontiguousarray(own["key"]))
                places[kind].append(np.ascontiguousarray(own["place"]))
        data = b"".join(one.tobytes() for many in (*sorted_keys, *places) for one in many)
        name = f"{piece:05d}.bin"
        output.put(output.keys(run_id, name), data)
        counts = [sum(map(len, many)) for many in sorted_keys]
        told.append({"name": name, "counts": counts, "blake2b": _digest([data])})
    index = json.dumps({"version": _VERSION, "files": files, "pieces": told}).encode()
    output.put(output.keys(run_id, "index.json"), index)
    return _digest([index])


class _Stored(NamedTuple):
    """The index: URIs of its files, the numbers of those that are there no more, and its keys."""

    files: list[str]
    replaced: list[int]
    layer: _Layer


def _stored(output: Output, runs: set[str], sizes: dict[str, int]) -> _Stored | None:
    """The index, if it is the commit's whose metadata is there, and speaks of all of it.

    Args:
        output: The job's output.
        runs: The folders of runs that are whole.
        sizes: Bytes of the files that hold finished rows. Of those under ``ledger/earlier/``, some
            may have been replaced since.
    """
    if len(runs) != 1:
        return None
    (folder,) = runs
    run_id = folder.rpartition("/")[2]
    try:
        wanted = json.loads(output.read(output.marker(run_id)))["index"]
        data = output.read(output.keys(run_id, "index.json"))
        if _digest([data]) != wanted:
            raise ValueError("it is another commit's")
        index = json.loads(data)
        if index["version"] != _VERSION:
            raise ValueError("it is another version's")
        files = [KeyFile(*file) for file in index["files"]]
        uris = [output.uri(file.name) for file in files]
        replaced = [
            number
            for number, (uri, file) in enumerate(zip(uris, files, strict=True))
            if sizes.get(uri) != file.size
        ]
        of_metadata = {uri for uri in {*sizes}.difference(uris) if uri.startswith(folder)}
        if of_metadata or any(uris[number].startswith(folder) for number in replaced):
            raise ValueError("it speaks of other files")
        mapped = [_mapped(output, run_id, piece) for piece in index["pieces"]]
    except (ValueError, TypeError, KeyError) as error:
        _logger.info("no index of finished rows that fits (%s): reading the metadata", error)
        return None
    except RowError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        _logger.info("no index of finished rows is there: reading the metadata")
        return None
    starts = np.cumsum([0, *(file.rows for file in files)], dtype=np.uint64)[:-1]
    by_id, by_quick_key, by_fingerprint = (
        _Sorted([piece[kind] for piece in mapped], starts) for kind in range(3)
    )
    return _Stored(uris, replaced, (by_id, by_quick_key, by_fingerprint))


def _mapped(
    output: Output, run_id: str, piece: dict[str, Any]
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Keys and places of each kind in a piece of the index, mapped into memory.

    Raises:
        ValueError: It is not what the commit wrote.
    """
    counts = [int(count) for count in piece["counts"]]
    data = output.read_mapped(output.keys(run_id, piece["name"]))
    if len(data) != 12 * sum(counts) or _digest(_seen(data)) != piece["blake2b"]:
        raise ValueError("damaged")
    found, begin = [], 0
    for count in counts:
        found.append(np.frombuffer(data, np.uint64, count, begin))
        begin += 8 * count
    placed = []
    for count in counts:
        placed.append(np.frombuffer(data, np.uint32, count, begin))
        begin += 4 * count
    return [*zip(found, placed, strict=True)]


def _seen(data: mmap.mmap | bytes) -> Iterator[bytes]:
    """All of it once; what was looked at does not stay in memory."""
    for begin in range(0, len(data), _READ_BYTES):
        yield data[begin : begin + _READ_BYTES]
        if isinstance(data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            data.madvise(mmap.MADV_DONTNEED, begin, min(_READ_BYTES, len(data) - begin))


def _digest(data: Iterable[bytes]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for one in data:
        state.update(one)
    return state.hexdigest()
