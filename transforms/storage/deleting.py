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
from alphabeam.transforms.storage.local import local_path
from alphabeam.transforms.storage.uris import is_local

__all__ = ["delete", "remove_folders"]


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


def remove_folders(uri: str, *, options: StorageOptions | None = None) -> None:
    """Removes the empty folders that remain of one whose objects are deleted."""
    if is_local(uri):
        shutil.rmtree(local_path(uri), ignore_errors=True)
        return
    with borrow(uri, options) as place, contextlib.suppress(Exception):
        if not place.store.flat:
            place.fs.rm(place.path, recursive=True)
