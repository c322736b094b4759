"""Objects, copied and moved within a store or between two."""

from __future__ import annotations

import os
import shutil
import tempfile
import time

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.capabilities import Writing, capabilities
from alphabeam.transforms.storage.connections import Place, borrow
from alphabeam.transforms.storage.deleting import delete
from alphabeam.transforms.storage.faults import StorageOptions, retry
from alphabeam.transforms.storage.info import exists
from alphabeam.transforms.storage.local import CHUNK, local_path
from alphabeam.transforms.storage.reading import open_input
from alphabeam.transforms.storage.renaming import calls
from alphabeam.transforms.storage.uris import chain, is_local
from alphabeam.transforms.storage.writing import put_file

__all__ = ["copy", "move"]


def copy(source: str, target: str, *, options: StorageOptions | None = None) -> None:
    """Copies an object within a store, without sending it through this machine if it can.

    Raises:
        RowError: As for :func:`read` and :func:`put`.
    """

    def once() -> None:
        with borrow(source, options) as place, borrow(target, options) as aim:
            if place.fs is aim.fs and place.store.flat:
                place.fs.cp_file(place.path, aim.path)
                _await_copy(place, aim)
                return
        with open_input(source, options=options) as file, tempfile.NamedTemporaryFile() as spool:
            shutil.copyfileobj(file, spool, CHUNK)
            spool.flush()
            put_file(target, spool.name, options=options)

    retry(once, "copy", source, options, timeout=None)


def _await_copy(place: Place, aim: Place) -> None:
    """Azure may answer before a copy is done; its size is 0 until then."""
    if not place.store.slow_copy:
        return
    size = place.fs.info(place.path)["size"]
    for _ in range(600):
        if aim.fs.info(aim.path)["size"] == size:
            return
        time.sleep(0.1)
    raise TimeoutError("the copy is not done after a minute")


def move(source: str, target: str, *, options: StorageOptions | None = None) -> None:
    """Renames an object over the one that may be there; a copy and a delete on object stores.

    A second try after the object had been moved finds it done.

    Raises:
        RowError: As for :func:`read` and :func:`put`.
    """
    if is_local(source) and is_local(target):
        retry(lambda: os.replace(local_path(source), local_path(target)), "move", source, options)
        return
    try:
        if capabilities(chain(source)[0].protocol).writing is not Writing.RENAME:
            copy(source, target, options=options)
            delete([source], options=options)
            return

        def once() -> None:
            with borrow(source, options) as place, borrow(target, options) as aim:
                calls(place).rename(place.path, aim.path)

        retry(once, "move", source, options)
    except RowError as error:
        gone = error.code is ErrorCode.NOT_FOUND and not exists(source, options=options)
        if not (gone and exists(target, options=options)):
            raise
