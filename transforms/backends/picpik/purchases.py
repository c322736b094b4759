"""Which task does a row's work: one that the ledger knows of, or one that is bought now."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from alphabeam.transforms.backends.picpik.budget import Budget
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.matting.box import BoxOutsideError, clip_box
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import (
    PicpikClient,
    PicpikError,
    SubmitUnknown,
    TaskFailed,
    Upload,
    find_lost,
    prepare_upload,
)
from alphabeam.transforms.rows import Row

__all__ = ["Purchase", "Purchases", "would_buy"]

_log = logging.getLogger(__name__)

_RESULT_LIFE_S = 24 * 3600  # the vendor keeps results for 24 hours


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


class Purchase(NamedTuple):
    """A row's task.

    Attributes:
        submission: What the ledger knows of it.
        now: It was bought now, and not by an earlier run or for another row.
    """

    submission: Submission
    now: bool


class Purchases:
    """Finds or buys tasks. One process has one; whoever asks for one work at a time holds its lock.

    Args:
        client: The API.
        ledger: Where submissions are remembered.
        budget: What may be bought.
        waited_for: The TaskUIDs that this process waits for.
        max_concurrency: Most submissions at one time.
        max_upload_bytes: Larger images are encoded again.
        resubmit_unknown: Submit again what may have been bought without its TaskUID being known.
    """

    def __init__(
        self,
        client: PicpikClient,
        ledger: Submissions,
        budget: Budget,
        *,
        waited_for: Callable[[], list[str]],
        max_concurrency: int,
        max_upload_bytes: int,
        resubmit_unknown: bool,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._budget = budget
        self._waited_for = waited_for
        self._max_upload_bytes = max_upload_bytes
        self._resubmit_unknown = resubmit_unknown
        # The client lets requests wait for their turns in line. Were all the threads in it, the
        # one request that asks for everybody's task would come last.
        self._submitting = threading.Semaphore(max_concurrency)
        # What could not be written to the ledger, by fingerprint.
        self._unwritten: dict[str, Submission] = {}
        # What only a later run may buy anew: a second row with the same work fails likewise.
        self._lost: dict[str, tuple[ErrorCode, str]] = {}

    def task(
        self, row: Row, data: bytes, decoded: Callable[[], AbstractContextManager[np.ndarray]]
    ) -> Purchase:
        """The row's task, from the ledger or newly bought.

        Args:
            row: With its fingerprint.
            data: The image's bytes.
            decoded: Holds the image's pixels; called only if something is to be bought.

        Raises:
            SubmitUnknown: It may have been bought, and its TaskUID is not known.
            RowError: ``budget_spent``, or the image, the ledger or the API failed; nothing was
                bought.
        """
        fingerprint = row.fingerprint or ""
        if fingerprint in self._lost:
            raise RowError(*self._lost[fingerprint])
        found = self._unwritten.get(fingerprint) or self._ledger.find(fingerprint)
        if found is not None:
            if _is_alive(found):
                _log.info("row %s: collects task %s, bought before", row.id, found.task_uid)
                return Purchase(found, now=False)
            if found.is_unknown and not self._resubmit_unknown:
                raise SubmitUnknown(
                    f"the submission of {_utc(found.submitted_at)}, request_uuid "
                    f"{found.request_uuid}, was cut off and may have been billed; look at the "
                    "account's tasks, then set backend.resubmit_unknown: true",
                    request_uuid=found.request_uuid,
                )
        self._budget.take()
        try:
            with decoded() as pixels:
                parameters = _clipped(row.parameters, pixels)
                upload = prepare_upload(data, pixels, max_upload_bytes=self._max_upload_bytes)
        except BaseException:
            self._budget.give_back()
            raise
        submission = self._bought(row, parameters, upload, found)
        # The task is paid for: a ledger that cannot be written is no reason to drop its result.
        # A later run would find the intent, and not submit again.
        try:
            self._ledger.put(submission)
        except RowError as error:
            _log.warning(
                "row %s: task %s is bought, but the ledger does not know of it: %s",
                row.id,
                submission.task_uid,
                error.message,
            )
            self._unwritten[fingerprint] = submission
        return Purchase(submission, now=True)

    def _bought(
        self, row: Row, parameters: MattingParameters, upload: Upload, found: Submission | None
    ) -> Submission:
        intent = _LedgerIntent(
            self._ledger,
            Submission(
                row.fingerprint or "",
                row.request_uuid,
                "",
                0.0,
                sent=upload.encoding,
                row_id=row.id,
                attempts=found.attempts + 1 if found else 1,
                unknown=found.unknown + found.is_unknown if found else 0,
            ),
            found,
        )
        try:
            with self._submitting:
                task_uid = self._client.submit(
                    upload.data, upload.media_type, parameters, row.request_uuid, intent
                )
        except SubmitUnknown as error:  # the intent stays, and says so to later runs
            _log.warning("row %s: %s", row.id, error.message)
            self._budget.cost(None)
            with self._submitting:
                error = self._explained(error)
            raise self._remembered(row.fingerprint or "", error) from None
        except RowError:
            # Every other fault of the ledger's or the client's proves that nothing was bought.
            self._budget.give_back()
            intent.withdraw()
            raise
        except BaseException:
            self._budget.cost(None)
            raise
        _log.debug("row %s: task %s", row.id, task_uid)
        return replace(intent.submission, task_uid=task_uid)

    def keep(self, submission: Submission) -> None:
        """Tries once more to tell the ledger of a task that was not collected."""
        if submission.fingerprint in self._unwritten:
            with suppress(RowError):  # a later run is to collect it
                self._ledger.put(submission)

    def ended_badly(self, submission: Submission, error: TaskFailed) -> None:
        """Notes that a task has no result to collect: a later run may submit the image again."""
        self._remembered(submission.fingerprint, error)
        with suppress(RowError):
            self._ledger.put(replace(submission, ended=error.code.value))

    def _explained(self, error: SubmitUnknown) -> SubmitUnknown:
        """The error, with what ListRunningTasks can tell."""
        try:
            running = find_lost(self._client, self._waited_for())
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


class _LedgerIntent:
    """The intent of one submission in the ledger; see `alphabeam.transforms.picpik.Intent`."""

    def __init__(
        self, ledger: Submissions, submission: Submission, before: Submission | None
    ) -> None:
        self.submission = submission
        self._ledger = ledger
        self._before = before
        self._written = False

    def write(self) -> None:
        self.submission = replace(self.submission, submitted_at=time.time())
        self._ledger.put(self.submission)
        self._written = True

    def withdraw(self) -> None:
        if not self._written:
            return
        with suppress(RowError):  # the fault at hand is the one to tell
            if self._before is None:
                self._ledger.delete(self.submission.fingerprint)
            else:
                self._ledger.put(self._before)
            self._written = False


def _clipped(parameters: MattingParameters, pixels: np.ndarray) -> MattingParameters:
    try:
        return replace(parameters, box=clip_box(parameters.box, pixels.shape[:2]))
    except BoxOutsideError as error:
        raise RowError(ErrorCode.BOX_OUTSIDE, str(error)) from None


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
