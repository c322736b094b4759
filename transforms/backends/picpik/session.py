"""The PICPIK backend: submit, remember, wait, download; and never pay twice.

Each picture's whole way, from the submission to the result, is one piece of work on one thread of
the step's pool. What makes it safe to be run again is the ledger and not a shuffle: an intent is
durable before a task is submitted, its TaskUID before it is waited for, and both are looked up
first. A shuffle between submitting and collecting would be a barrier in a batch pipeline: the
first result would be collected after the last image was submitted, when a large job's first
results are long gone (they live 24 hours).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from alphabeam.transforms.backends.picpik.budget import Budget
from alphabeam.transforms.backends.picpik.locks import KeyedLocks
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import Limits, decode
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.metadata import RESUBMITTED
from alphabeam.transforms.picpik import (
    PicpikClient,
    PicpikError,
    SubmitUnknown,
    TaskDetail,
    TaskFailed,
    TaskWatch,
    find_lost,
    fit_box,
    matte_from_result,
    prepare_upload,
)
from alphabeam.transforms.rows import Picture, Row

__all__ = ["Session", "would_buy"]

_log = logging.getLogger(__name__)

_RESULT_LIFE_S = 24 * 3600  # the vendor keeps results for 24 hours
_OF_READING = frozenset(
    {
        ErrorCode.TOO_LARGE,
        ErrorCode.EMPTY_FILE,
        ErrorCode.NOT_AN_IMAGE,
        ErrorCode.TRUNCATED_IMAGE,
        ErrorCode.UNSUPPORTED_IMAGE,
    }
)


def would_buy(found: Submission | None, resubmit_unknown: bool) -> bool:
    """Whether a row would be submitted and paid for.

    Args:
        found: What the ledger knows of its work.
        resubmit_unknown: Whether work that may have been bought already is bought again.
    """
    if found is None:
        return True
    return not _is_alive(found) and (resubmit_unknown or not found.is_unknown)


def _is_alive(submission: Submission) -> bool:
    young = time.time() - submission.submitted_at < _RESULT_LIFE_S
    return bool(submission.task_uid) and young and not submission.ended


class Session:
    """One process's client, budget and watch over its tasks.

    Args:
        client: The API.
        ledger: Where submissions are remembered.
        budget: What may be bought.
        fingerprinted: Gives a row the fingerprint of its result.
        max_concurrency: Most submissions at one time.
        max_upload_bytes: Larger images are encoded again.
        task_timeout: Seconds to wait for one task.
        resubmit_unknown: Submit again what may have been bought without its TaskUID being known.
    """

    def __init__(
        self,
        client: PicpikClient,
        ledger: Submissions,
        budget: Budget,
        *,
        fingerprinted: Callable[[Row], Row],
        max_concurrency: int,
        max_upload_bytes: int,
        task_timeout: float,
        resubmit_unknown: bool,
    ) -> None:
        self.client = client
        self._ledger = ledger
        self._budget = budget
        self._fingerprinted = fingerprinted
        self._max_upload_bytes = max_upload_bytes
        self._task_timeout = task_timeout
        self._resubmit_unknown = resubmit_unknown
        self._watch = TaskWatch(client)
        self._locks = KeyedLocks()
        # Most of the threads wait for the API; few of them may hold decoded pictures.
        self._decoding = threading.Semaphore(os.cpu_count() or 1)
        # The client lets requests wait for their turns in line. Were all the threads in it, the
        # one request that asks for everybody's task would come last.
        self._submitting = threading.Semaphore(max_concurrency)
        # What the ledger could not be told, by fingerprint.
        self._unwritten: dict[str, Submission] = {}
        # What only a later run may buy anew: a second row with the same work fails likewise.
        self._lost: dict[str, tuple[ErrorCode, str]] = {}

    def remove(self, picture: Picture, limits: Limits) -> Picture:
        """Fills in a picture's alpha, cutout and row, or fails its row."""
        row = self._fingerprinted(picture.row)
        began = time.perf_counter()
        try:
            # Two rows may ask for the same work: the second finds the first one's task.
            with self._locks.of(row.fingerprint or ""):
                submission, bought = self._submitted(row, picture.data, limits)
            row = row._replace(
                task_uid=submission.task_uid,
                attempts=submission.attempts,
                flags=_flags(submission),
            )
            detail = self._ended_task(submission, bought)
            row = row._replace(credits=detail.credits if submission.row_id == row.id else 0)
            result = self._result(submission, detail)
            with self._decoding:
                pixels = decode(picture.data, limits)
                alpha, rgba = matte_from_result(pixels, result, row.only_mask)
            picture.alpha, picture.rgba = alpha, rgba
            row = row._replace(
                subject_box=_subject_box(alpha),
                coverage=float(alpha.mean()) / 255,
                remove_ms=1000 * (time.perf_counter() - began),
            )
        except Exception as error:
            if not isinstance(error, RowError):
                _log.exception("row %s: a defect of alphabeam; please report it", row.id)
            row = row.failed(_stage(error), error)
        picture.row, picture.data = row, b""
        return picture

    def _submitted(self, row: Row, data: bytes, limits: Limits) -> tuple[Submission, bool]:
        """The row's task, from the ledger or newly bought, and whether it was bought now."""
        fingerprint = row.fingerprint or ""
        if fingerprint in self._lost:
            raise RowError(*self._lost[fingerprint])
        found = self._unwritten.get(fingerprint) or self._ledger.find(fingerprint)
        if found is not None:
            if _is_alive(found):
                _log.info("row %s: collects task %s, bought before", row.id, found.task_uid)
                return found, False
            if found.is_unknown and not self._resubmit_unknown:
                raise SubmitUnknown(
                    f"the submission of {_utc(found.submitted_at)}, request_uuid "
                    f"{found.request_uuid}, was cut off and may have been billed; look at the "
                    "account's tasks, then set backend.resubmit_unknown: true",
                    request_uuid=found.request_uuid,
                )
        self._budget.take()
        intent = Submission(
            fingerprint,
            row.request_uuid,
            "",
            time.time(),
            row_id=row.id,
            attempts=found.attempts + 1 if found else 1,
            unknown=found.unknown + found.is_unknown if found else 0,
        )
        try:
            with self._decoding:
                pixels = decode(data, limits)
                parameters = fit_box(row.parameters, pixels.shape[1], pixels.shape[0])
                upload = prepare_upload(data, pixels, max_upload_bytes=self._max_upload_bytes)
                del pixels
            intent = replace(intent, sent=upload.encoding)
        except BaseException:
            self._budget.give_back()
            raise
        try:
            with self._submitting:
                # As late as can be, so that a kill finds few intents that nothing came of.
                intent = replace(intent, submitted_at=time.time())
                self._ledger.put(intent)
                task_uid = self.client.submit(
                    upload.data, upload.media_type, parameters, row.request_uuid
                )
        except SubmitUnknown as error:  # the intent stays, and says so to later runs
            _log.warning("row %s: %s", row.id, error.message)
            self._budget.cost(None)
            with self._submitting:
                error = self._explained(error)
            raise self._remembered(fingerprint, error) from None
        except RowError:
            # Every other fault of the ledger's or the client's proves that nothing was bought.
            self._budget.give_back()
            self._forget(intent, found)
            raise
        except BaseException:
            self._budget.cost(None)
            raise
        submission = replace(intent, task_uid=task_uid)
        _log.debug("row %s: task %s", row.id, task_uid)
        # The task is paid for: a ledger that cannot be written is no reason to drop its result.
        # A later run would find the intent, and not submit again.
        try:
            self._ledger.put(submission)
        except RowError as error:
            _log.warning(
                "row %s: task %s is bought, but the ledger does not know of it: %s",
                row.id,
                task_uid,
                error.message,
            )
            self._unwritten[fingerprint] = submission
        return submission, True

    def _forget(self, intent: Submission, found: Submission | None) -> None:
        """Takes an intent back: the ledger holds again what it held before."""
        with suppress(RowError):  # the fault at hand is the one to tell
            if found is None:
                self._ledger.delete(intent.fingerprint)
            else:
                self._ledger.put(found)

    def _explained(self, error: SubmitUnknown) -> SubmitUnknown:
        """The error, with what ListRunningTasks can tell."""
        try:
            running = find_lost(self.client, self._watch.waited_for())
        except PicpikError:
            return error
        if not running:
            return error
        some = ", ".join(running[:3]) + (", …" if len(running) > 3 else "")
        return SubmitUnknown(
            f"{error.message}; the task may be among the {len(running)} now running that this "
            f"process does not wait for: {some}",
            ret_code=error.ret_code,
            request_uuid=error.request_uuid,
            task_uid=error.task_uid,
        )

    def _remembered(self, fingerprint: str, error: PicpikError) -> PicpikError:
        self._lost[fingerprint] = (error.code, error.message)
        return error

    def _ended_task(self, submission: Submission, bought: bool) -> TaskDetail:
        """Waits for a task, and counts what it cost."""
        detail: TaskDetail | None = None
        try:
            detail = self._watch.wait(submission.task_uid, self._task_timeout)
            return detail
        finally:
            if bought:
                self._budget.cost(None if detail is None else detail.credits)
            if detail is None and submission.fingerprint in self._unwritten:
                with suppress(RowError):  # a later run is to collect it
                    self._ledger.put(submission)

    def _result(self, submission: Submission, detail: TaskDetail) -> bytes:
        try:
            url = detail.result_url()
        except TaskFailed as error:
            # Nothing is left to collect, so a later run may submit the image again. A result that
            # cannot be fetched is another matter: it was paid for, and is asked for again until
            # its 24 hours are over.
            self._remembered(submission.fingerprint, error)
            with suppress(RowError):
                self._ledger.put(replace(submission, ended=error.code.value))
            raise
        return self.client.download(url)


def _flags(submission: Submission) -> tuple[str, ...]:
    """What to look at: an upload that was encoded again, a task that may be bought twice."""
    flags = []
    if submission.sent != "original":
        flags.append(f"sent_{submission.sent}".replace("-", "_"))
    if submission.unknown:
        flags.append(RESUBMITTED)
    return tuple(flags)


def _stage(error: Exception) -> str:
    """The step that an error belongs to: pictures are only decoded here."""
    of_reading = isinstance(error, RowError) and error.code in _OF_READING
    return "read" if of_reading and not isinstance(error, PicpikError) else "remove"


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _subject_box(alpha: np.ndarray) -> tuple[int, int, int, int] | None:
    rows = np.flatnonzero(alpha.max(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(alpha.max(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
