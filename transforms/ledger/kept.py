"""Outputs that are written over though another row still needs what they held.

Outputs are named after ids, and pictures change their ids: two files are swapped, or a new first
photo moves all others up by one. Then an id's files are written anew while their content, which may
have been paid for, is wanted under another id, in this run or in the next one if this one is
killed. So it is kept aside, by its SHA-256, until a run is whole.
"""

from __future__ import annotations

import hashlib

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.ledger.finished import FinishedRows
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Row

__all__ = ["can_be_had", "content_of", "keep"]


def keep(row: Row, source_sha256: str | None, finished: FinishedRows, output: Output) -> None:
    """Keeps what an id's outputs hold, before they are written with another picture's.

    Args:
        row: Has the id.
        source_sha256: Of the picture whose outputs are to be written.
        finished: The output's finished rows.
        output: The job's output.

    Raises:
        RowError: The store refuses.
    """
    before = finished.with_id(row.id) if len(finished) else None
    if before is None or before.source_sha256 == source_sha256:
        return
    for name, sha256, new in (
        (before.cutout, before.cutout_sha256, output.cutout(row.id)),
        (before.mask, before.mask_sha256, output.mask(row.id)),
    ):
        if name == new and sha256 and not output.exists(output.kept(sha256)):
            data = _read(output, output.uri(name))
            if data is not None and _is(data, sha256):
                output.put(output.kept(sha256), data)


def content_of(name: str, sha256: str | None, output: Output) -> tuple[bytes, bool] | None:
    """What was written under a name: from there, or from what was kept.

    Args:
        name: Relative to the output.
        sha256: Of what was written; None if that is not known.
        output: The job's output.

    Returns:
        The content, and whether it is there under its name; None if it is gone.

    Raises:
        RowError: The store refuses.
    """
    data = _read(output, output.uri(name))
    if data is not None and (sha256 is None or _is(data, sha256)):
        return data, True
    data = _read(output, output.kept(sha256)) if sha256 else None
    return None if data is None or not _is(data, sha256 or "") else (data, False)


def can_be_had(row: Row, output: Output) -> bool:
    """Whether a finished row's outputs are what was written, in their places or kept aside.

    Raises:
        RowError: The store refuses.
    """
    written = ((row.cutout, row.cutout_sha256), (row.mask, row.mask_sha256))
    return all(
        bool(sha256) and content_of(name, sha256, output) is not None
        for name, sha256 in written
        if name is not None
    )


def _read(output: Output, uri: str) -> bytes | None:
    try:
        return output.read(uri)
    except RowError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return None
        raise


def _is(data: bytes, sha256: str) -> bool:
    return hashlib.sha256(data).hexdigest() == sha256
