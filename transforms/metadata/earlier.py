"""What earlier runs finished, and a run that is whole has not finished anew."""

from __future__ import annotations

import array
import json
import logging
import tempfile
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.metadata.schema import decode_table, encode_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE

__all__ = ["Earlier", "keep_earlier", "prune"]

_logger = logging.getLogger(__name__)
_ORPHAN_COLUMNS = ["id", "image", "cutout", "mask", "renditions", "run_id"]


class Earlier(NamedTuple):
    """What `keep_earlier` found.

    Attributes:
        replaced: Objects that the run replaces, to be removed once it is whole.
        orphaned: Kept rows that the manifest does not have any more.
    """

    replaced: list[str]
    orphaned: int


def keep_earlier(
    output: Output, run_id: str, *, finished: array.array[int], present: array.array[int]
) -> Earlier:
    """Keeps the rows that earlier runs finished, and this one has not finished anew.

    A finished row stays until something newer of the same id is finished. So rows that failed in
    this run, and rows that its manifest does not have, are kept in the ledger as an earlier run
    finished them, and are not done, or paid for, again. The latter are listed in
    ``orphaned.jsonl``. Nothing is removed here.

    Args:
        output: The job's output.
        run_id: The run.
        finished: Digests of the ids that the run has finished, or found finished.
        present: Digests of all ids of its manifest.

    Returns:
        What it replaces.
    """
    known = np.sort(np.frombuffer(finished, np.uint64))
    ids = np.sort(np.frombuffer(present, np.uint64))
    mine = output.earlier(run_id, 0).removesuffix("00000.parquet")
    files = (output.group_files(), output.committed_files(), output.earlier_files())
    replaced = [
        uri
        for found in files
        for uri in reversed(found)
        if f"/metadata/{run_id}/" not in uri and not uri.startswith(mine)
    ]
    kept = orphaned = 0
    others = [u for u in replaced if u.endswith(".parquet") and f"/rows/{run_id}/" not in u]
    with tempfile.TemporaryFile() as orphans:
        for uri, data in output.read_many(others):
            try:
                table = decode_table(data, ["id", "status"])
            except pa.ArrowException:  # nothing can be kept of a broken file
                _logger.warning("%s is no Parquet file; nothing of it is kept", storage.redact(uri))
                continue
            digests = _digests(table)
            done = pc.equal(table["status"], DONE).to_numpy(zero_copy_only=False)
            keep = done & ~np.isin(digests, known)
            if not keep.any():
                continue
            table = decode_table(data)
            known = np.union1d(known, digests[keep])
            output.put(output.earlier(run_id, kept), encode_table(table.filter(pa.array(keep))))
            kept += 1
            gone = table.filter(pa.array(keep & ~np.isin(digests, ids))).select(_ORPHAN_COLUMNS)
            orphaned += gone.num_rows
            for record in gone.to_pylist():
                made = [one["uri"] for one in record["renditions"] or () if one["uri"]]
                record["renditions"] = made
                orphans.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        orphans.seek(0)
        if orphaned:
            output.put(output.orphaned, orphans.read())
        elif output.exists(output.orphaned):
            output.delete([output.orphaned])
    _logger.info("kept finished rows that this run did not finish anew in %d files", kept)
    return Earlier(replaced, orphaned)


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
        if not stays.any():
            output.delete([uri])
        elif not stays.all():
            output.put(uri, encode_table(table.filter(pa.array(stays))))
    output.delete([output.orphaned])
    return len(records)


def _digests(table: pa.Table) -> np.ndarray:
    return np.fromiter(map(digest, table["id"].to_pylist()), np.uint64, table.num_rows)
