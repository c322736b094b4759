"""Objects, deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.connections import borrow
from alphabeam.transforms.storage.faults import StorageOptions, retry
from alphabeam.transforms.storage.info import entry
from alphabeam.transforms.storage.listing import partial_objects
from alphabeam.transforms.storage.local import local_path, partial_name
from alphabeam.transforms.storage.uris import is_local, join
from alphabeam.transforms.storage.writing import check_writable, put

__all__ = ["delete", "remove_empty_folder", "remove_folders", "sweep"]


def delete(uris: Iterable[str], *, options: StorageOptions | None = None) -> None:
    """Deletes objects; one that is not there is no fault.

    Raises:
        RowError: Of the first that cannot be deleted; the others are deleted all the same.
    """
    todo = [*uris]
    if not todo:
        return
    with ThreadPoolExecutor(min(16, len(todo)), thread_name_prefix="alphabeam-delete") as pool:
        outcomes = [pool.submit(_delete_one, uri, options) for uri in todo]
    for outcome in outcomes:
        outcome.result()


def _delete_one(uri: str, options: StorageOptions | None) -> None:
    def once() -> None:
        if is_local(uri):
            os.remove(local_path(uri))
            return
        with borrow(uri, options) as place:
            place.fs.rm_file(place.path)

    try:
        retry(once, "delete", uri, options)
    except RowError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise


def sweep(
    folder: str, older_than: float | None = None, *, options: StorageOptions | None = None
) -> int:
    """Removes what writers that died have left: temporary objects, ``.alphabeam-….partial``.

    Args:
        folder: Below which to look, at any depth.
        older_than: Seconds; younger ones may belong to a writer that lives. By the store's own
            clock, so it does not matter what this machine's says. None where nobody writes
            there: then they are removed whatever their age.
        options: Options per protocol.

    Returns:
        How many were removed. One whose time the store does not say is kept, unless
        ``older_than`` is None.

    Raises:
        RowError: As for :func:`list_objects` and :func:`delete`; READ_ONLY for a store that is
            not written to.
    """
    check_writable(join(folder, "any"))
    found = partial_objects(folder, options=options)
    if found and older_than is not None:
        now = _time_of_the_store(folder, options)
        # One from the future was written before the clock was set back.
        found = [e for e in found if now and e.changed and abs(now - e.changed) >= older_than]
    delete([entry.uri for entry in found], options=options)
    return len(found)


def _time_of_the_store(folder: str, options: StorageOptions | None) -> float:
    """Seconds since the epoch, as the store dates an object that is written now; 0 if unknown."""
    uri = join(folder, partial_name())
    put(uri, b"", options=options)
    try:
        return entry(uri, options=options).changed
    finally:
        delete([uri], options=options)


def remove_folders(uri: str, *, options: StorageOptions | None = None) -> None:
    """Removes the empty folders that remain of one whose objects are deleted."""
    if is_local(uri):
        shutil.rmtree(local_path(uri), ignore_errors=True)
        return
    with borrow(uri, options) as place, contextlib.suppress(Exception):
        if not place.store.flat:
            place.fs.rm(place.path, recursive=True)


def remove_empty_folder(uri: str, *, options: StorageOptions | None = None) -> None:
    """Removes a folder if nothing is in it."""
    if is_local(uri):
        with contextlib.suppress(OSError):
            os.rmdir(local_path(uri))
        return
    with borrow(uri, options) as place, contextlib.suppress(Exception):
        if not place.store.flat:
            place.fs.rmdir(place.path)
