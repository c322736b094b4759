"""What earlier runs finished, and a run that is whole has not finished anew."""

from __future__ import annotations

import json
import logging
import tempfile
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.metadata.keys import (
    BY_ID,
    UNFINISHED,
    BrokenFileError,
    KeyFile,
    Keys,
    keys_of_table,
    open_keys,
)
from alphabeam.transforms.metadata.parts import PART_BYTES, PART_ROWS
from alphabeam.transforms.metadata.schema import decode_table, encode_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.spill import Spill, bounds

__all__ = ["Earlier", "keep_earlier", "prune"]

_logger = logging.getLogger(__name__)
_ORPHAN_COLUMNS = ["id", "image", "cutout", "mask", "renditions", "run_id"]


class Earlier(NamedTuple):
    """What `keep_earlier` found.

    Attributes:
        replaced: Objects that the run replaces, to be removed once it is whole. Groups of the run
            itself are not among them.
        orphaned: Kept rows that the manifest does not have any more.
        files: Those that hold the kept rows.
    """

    replaced: list[str]
    orphaned: int
    files: list[KeyFile]


def keep_earlier(output: Output, run_id: str, *, keys: Spill, kept: Spill, first: int) -> Earlier:
    """Keeps the rows that earlier runs finished, and this one has not finished anew.

    A finished row stays until something newer of the same id is finished. So rows that failed in
    this run, and rows that its manifest does not have, are kept in the ledger as an earlier run
    finished them, and are not done, or paid for, again. The latter are listed in
    ``orphaned.jsonl``. Nothing is removed here.

    Args:
        output: The job's output.
        run_id: The run.
        keys: Of its rows, records of `KEY`.
        kept: Gets those of the rows that are kept.
        first: The place of the first of them.

    Returns:
        What it keeps and replaces.

    Raises:
        BrokenFileError: A file with rows that are to be kept is broken.
    """
    old = open_keys(output, without=run_id, skip_broken=True)
    places, gone = _to_keep(old, keys)
    files: list[KeyFile] = []
    waiting: list[pa.Table] = []
    size = 0

    def put() -> None:
        table = pa.concat_tables(waiting)
        waiting.clear()
        data = encode_table(table)
        uri = output.earlier(run_id, len(files))
        output.put(uri, data)
        kept.add(keys_of_table(table, first + sum(file.rows for file in files)))
        files.append(KeyFile(output.name_of(uri), len(data), table.num_rows))

    with tempfile.TemporaryFile() as orphans:
        numbers = places >> np.uint64(32)
        wanted = np.unique(numbers).tolist()
        for number, (uri, data) in zip(
            wanted, output.read_many(old.files[number] for number in wanted), strict=True
        ):
            begin, end = np.searchsorted(numbers, (number, number + 1))
            rows = pa.array((places[begin:end] & np.uint64(0xFFFF_FFFF)).astype(np.int64))
            try:
                table = decode_table(data).take(rows)
            except pa.ArrowException:  # what is paid for would be forgotten
                raise BrokenFileError(uri) from None
            waiting.append(table)
            size += table.nbytes
            if sum(one.num_rows for one in waiting) >= PART_ROWS or size >= PART_BYTES:
                put()
                size = 0
            lost = table.filter(pa.array(gone[begin:end])).select(_ORPHAN_COLUMNS)
            for record in lost.to_pylist():
                made = [one["uri"] for one in record["renditions"] or () if one["uri"]]
                record["renditions"] = made
                orphans.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        if waiting:
            put()
        if orphans.tell():
            orphans.seek(0)
            output.put(output.orphaned, orphans.read())
        elif output.exists(output.orphaned):
            output.delete([output.orphaned])
    _logger.info("kept finished rows that this run did not finish anew in %d files", len(files))
    return Earlier(_replaced(output, run_id), int(np.count_nonzero(gone)), files)


def _to_keep(old: Keys, keys: Spill) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Places of the rows to keep, sorted, and whether the manifest has them no more."""
    places = [np.empty(0, np.uint64)]
    gone = [np.empty(0, np.bool_)]
    for bucket, records in enumerate(keys) if len(old) else ():
        ids, at = old.between(BY_ID, *bounds(bucket))
        finished = records["key"][records["kind"] == BY_ID]
        failed = records["key"][records["kind"] == UNFINISHED]
        latest = np.append(ids[1:] != ids[:-1], True)[: len(ids)]
        keep = latest & ~np.isin(ids, finished)
        places.append(at[keep])
        gone.append(~np.isin(ids[keep], failed))
    all_places, all_gone = np.concatenate(places), np.concatenate(gone)
    order = np.argsort(all_places)
    return all_places[order], all_gone[order]


def _replaced(output: Output, run_id: str) -> list[str]:
    """What a run replaces: all groups, metadata and kept rows but its own."""
    mine = output.earlier_of(run_id)
    files = (
        output.group_files(),
        output.committed_files(),
        output.earlier_files(),
        output.key_files(),
    )
    own = tuple(f"/{folder}/{run_id}/" for folder in ("metadata", "ledger/keys", "rows"))
    return [
        uri
        for found in files
        for uri in found
        if not any(folder in uri for folder in own) and not uri.startswith(mine)
    ]


def prune(output: Output) -> int:
    """Removes the cutouts, masks and renditions of orphaned rows, and forgets the rows.

    The output must be the caller's alone meanwhile, and the last run whole.

    Args:
        output: The job's output.

    Returns:
        How many rows there were.
    """
    try:
        listed = output.read(output.orphaned)
    except RowError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return 0
        raise
    records = [json.loads(line) for line in listed.splitlines()]
    output.delete(
        output.uri(name)
        for r in records
        for name in (r["cutout"], r["mask"], *r.get("renditions", ()))
        if name is not None
    )
    gone = np.array([digest(record["id"]) for record in records], np.uint64)
    for uri in output.earlier_files():
        table = decode_table(output.read(uri))
        stays = ~np.isin(_digests(table), gone)
        if stays.all():
            continue
        if stays.any():
            # Under a name of its own: the index of finished rows knows files by their names.
            pruned = f"{uri.removesuffix('.parquet')}-pruned.parquet"
            output.put(pruned, encode_table(table.filter(pa.array(stays))))
        output.delete([uri])
    output.delete([output.orphaned])
    return len(records)


def _digests(table: pa.Table) -> np.ndarray:
    return np.fromiter(map(digest, table["id"].to_pylist()), np.uint64, table.num_rows)
