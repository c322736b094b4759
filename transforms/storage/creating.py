"""Objects that must not be there yet: leases, marks of what is being done."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from typing import Any
from weakref import WeakKeyDictionary

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.storage.capabilities import Creating, capabilities
from alphabeam.transforms.storage.connections import Place, borrow
from alphabeam.transforms.storage.deleting import delete
from alphabeam.transforms.storage.faults import StorageOptions, causes, diagnose, retry, status_of
from alphabeam.transforms.storage.info import exists
from alphabeam.transforms.storage.local import create_local, local_path, partial_name
from alphabeam.transforms.storage.reading import read
from alphabeam.transforms.storage.renaming import put_renaming
from alphabeam.transforms.storage.uris import chain, is_local, join, parent, redact
from alphabeam.transforms.storage.writing import check_writable, put

__all__ = ["create"]

# A claim stands if nobody has put another one over it for so long, seconds.
_SETTLE_S = 1.0
_OTHER_WRITER_S = 30.0  # how long one who lost waits for the winner's object

# How stores that know no such condition refuse it; if it was something else, the claim fails too.
_UNKNOWN_CONDITION = (400, 501)

_memory = threading.Lock()  # fsspec's memory:// checks and writes in two steps
# Whether a store honours the condition on a request, by file system and bucket; asked once.
_honoured: WeakKeyDictionary[Any, dict[str, bool]] = WeakKeyDictionary()


def create(uri: str, data: bytes, *, options: StorageOptions | None = None) -> bool:
    """Writes an object whole, unless there is one of that name; of several writers, one succeeds.

    S3, Google Cloud Storage and Azure decide it themselves, by a condition on the request; local
    disks by a hard link, SFTP by a rename that fails if the name is taken. FTP, WebDAV and what
    ignores the condition are given a claim with a nonce, which is read back after a second:
    this holds as long as writing the object itself takes less than a second.

    If an answer was lost, the store's library or this one asks again and finds the object there:
    its bytes then show whether it was this writer who made it.

    Args:
        uri: The object.
        data: Its bytes; few, and the writer's own: no other writer's may be the same, so they
            hold a nonce.
        options: Options per protocol.

    Returns:
        Whether this call made the object; False if it was there already.

    Raises:
        RowError: As for :func:`put`; STORAGE_UNAVAILABLE also if another writer has claimed the
            name and makes no object of it.
    """
    check_writable(uri)
    made = retry(lambda: _create_once(uri, data, options), "create", uri, options)
    if made is None:
        return _create_by_claim(uri, data, options)
    return made or _read_if_there(uri, options) == data


def _create_once(uri: str, data: bytes, options: StorageOptions | None) -> bool | None:
    """As :func:`create`; None if the store has no way to decide it."""
    if is_local(uri):
        return create_local(local_path(uri), data)
    how = capabilities(chain(uri)[0].protocol).creating
    if how is Creating.CLAIM:
        return None
    with borrow(uri, options) as place:
        if how is Creating.RENAME:
            return _create_renaming(place, data)
        if place.protocol == "memory":
            with _memory:
                return _create_if_new(place, place.path, data)
        if not _heeds(place):
            return None
        return _create_if_new(place, place.path, data)


def _create_if_new(place: Place, path: str, data: bytes) -> bool:
    """One request with the condition that there is no such object."""
    try:
        place.fs.pipe_file(path, data, mode="create")
    except Exception as error:
        taken = any(
            isinstance(cause, FileExistsError) or status_of(cause) == 412 for cause in causes(error)
        )
        if not taken:
            raise
        return False
    return True


def _heeds(place: Place) -> bool:
    """Whether a store honours the condition; some that speak S3 ignore it and overwrite."""
    known = _honoured.setdefault(place.fs, {})
    if place.prefix not in known:
        folder = place.path.rpartition("/")[0]
        trial = f"{folder}/{partial_name()}"
        try:
            _create_if_new(place, trial, b"first")
        except Exception as error:
            if not any(status_of(cause) in _UNKNOWN_CONDITION for cause in causes(error)):
                raise
            known[place.prefix] = False
            return False
        known[place.prefix] = not _create_if_new(place, trial, b"second")
        try:
            place.fs.rm_file(trial)
        except Exception as error:  # those who may only write leave it; listings leave it out
            if diagnose(error).code is not ErrorCode.ACCESS_DENIED:
                raise
    return known[place.prefix]


def _create_renaming(place: Place, data: bytes) -> bool:
    try:
        put_renaming(place, data, new=True)
    except Exception:
        # SFTP has one status for all failures, so the name itself must tell
        if _there(place):
            return False
        raise
    return True


def _there(place: Place) -> bool:
    try:
        place.fs.info(place.path)
    except Exception as error:
        if diagnose(error).code is ErrorCode.NOT_FOUND:
            return False
        raise
    return True


def _create_by_claim(uri: str, data: bytes, options: StorageOptions | None) -> bool:
    """For stores that decide nothing: the last claim that nobody overwrites for a while wins."""
    if exists(uri, options=options):
        return False
    name = hashlib.sha256(uri.encode()).hexdigest()[:32]
    claim = join(parent(uri), f".alphabeam-{name}.partial")
    nonce = uuid.uuid4().hex.encode()
    put(claim, nonce, options=options)
    time.sleep(_SETTLE_S)
    if _read_if_there(claim, options) != nonce:
        return _await_other(uri, options)
    try:
        if exists(uri, options=options):
            return False
        put(uri, data, options=options)
        return True
    finally:
        delete([claim], options=options)


def _read_if_there(uri: str, options: StorageOptions | None) -> bytes | None:
    try:
        return read(uri, options=options)
    except RowError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return None
        raise


def _await_other(uri: str, options: StorageOptions | None) -> bool:
    """Waits for the object of the writer whose claim won; it may die before it has written."""
    end = time.monotonic() + _OTHER_WRITER_S
    while time.monotonic() < end:
        if exists(uri, options=options):
            return False
        time.sleep(0.2)
    raise RowError(
        ErrorCode.STORAGE_UNAVAILABLE,
        f"cannot create {redact(uri)}: another writer has claimed it for {_OTHER_WRITER_S:.0f} s "
        "and not written it; run again",
    )
