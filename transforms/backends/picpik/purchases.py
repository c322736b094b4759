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

from alphabeam.transforms import stopping
from alphabeam.transforms.backends.picpik.budget import Brake, Budget
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import Decoded
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.matting.box import BoxOutsideError, clip_box
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import (
    AnswerInvalidError,
    ApiUnavailableError,
    PicpikClient,
    PicpikError,
    SubmitUnknownError,
    TaskFailedError,
    Upload,
    find_lost,
    prepare_upload,
)
from alphabeam.transforms.processes import is_gone, this_process
from alphabeam.transforms.repeats import Repeats
from alphabeam.transforms.rows import Row

__all__ = ["Purchase", "Purchases", "would_buy"]

_log = logging.getLogger(__name__)
_unknown = Repeats(_log)

_MOST_ROUNDS = 10  # of finding a task that another process buys, which then comes to nothing
_SURELY_OLD_S = 2 * 24 * 3600.0
_MOST_OWNED = 100_000  # TaskUIDs that are remembered, so that none is taken for two images


def would_buy(found: Submission | None, resubmit_unknown: bool) -> bool:
    """Whether a row would be submitted and paid for.

    Args:
        found: What the ledger knows of its work.
        resubmit_unknown: Whether work that may have been bought already is bought again.
    """
    if found is None:
        return True
    return not found.is_collectable and (resubmit_unknown or not found.is_unknown)


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
        run: Whose budget it is.
        intent_life: Seconds to wait for the TaskUID of a task that another process is buying.
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
        run: str,
        intent_life: float,
    ) -> None:
        self._run = run
        self._intent_life = intent_life
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
        self._brake = Brake()
        self._owned = _Owned()
        # Processes that have let an intent stand for too long: their others are not waited for.
        self._silent: set[str] = set()

    def task(
        self, row: Row, data: bytes, decoded: Callable[[], AbstractContextManager[Decoded]]
    ) -> Purchase:
        """The row's task, from the ledger or newly bought.

        Args:
            row: With its fingerprint.
            data: The image's bytes.
            decoded: Holds the decoded image; called only if something is to be bought.

        Raises:
            SubmitUnknownError: It may have been bought, and its TaskUID is not known.
            RowError: ``budget_spent``, or the image, the ledger or the API failed, or answers are
                lost one after another; nothing was bought.
        """
        fingerprint = row.fingerprint or ""
        if fingerprint in self._lost:
            raise RowError(*self._lost[fingerprint])
        for _ in range(_MOST_ROUNDS):
            found = self._unwritten.get(fingerprint) or self._found(row)
            if found is not None and found.is_collectable:
                _log.info("row %s: collects task %s, bought before", row.id, found.task_uid)
                if not self._owned.take(found.task_uid, fingerprint):
                    raise AnswerInvalidError(
                        f"task {found.task_uid} belongs to another image as well; delete "
                        f"its two entries in the ledger to submit both images again"
                    )
                return Purchase(found, now=False)
            if found is not None and found.is_unknown and not self._resubmit_unknown:
                raise SubmitUnknownError(
                    f"the submission of {_utc(found.submitted_at)}, request_uuid "
                    f"{found.request_uuid}, was cut off and may have been billed; look at the "
                    "account's tasks, then set backend.resubmit_unknown: true",
                    request_uuid=found.request_uuid,
                )
            self._brake.check()
            self._budget.take()
            try:
                with decoded() as source:
                    parameters = _clipped(row.parameters, source.pixels)
                    upload = prepare_upload(
                        data,
                        source.pixels,
                        max_upload_bytes=self._max_upload_bytes,
                        plain=source.plain,
                    )
            except BaseException:
                self._budget.give_back()
                raise
            try:
                submission = self._bought(row, parameters, upload, found)
            except _OvertakenError:
                continue
            return Purchase(submission, now=True)
        raise ApiUnavailableError(
            "other processes try to buy the same task, in vain; run the job again"
        )

    def _found(self, row: Row) -> Submission | None:
        """What the ledger knows, once no other process is buying the row's task any more."""
        watched: Submission | None = None
        until = 0.0
        pause = 0.05
        while True:
            found = self._ledger.find(row.fingerprint or "")
            if found is None or not found.is_unknown or not found.owner:
                return found
            if found.owner in self._silent or is_gone(found.owner):
                return found
            # An owner on another machine is given the time that a submission takes at most. It is
            # watched for as long, since its clock may be wrong; but no clock is by days.
            if time.time() - found.submitted_at > _SURELY_OLD_S:
                return found
            if found != watched:
                watched, until = found, time.monotonic() + self._intent_life
            elif time.monotonic() > until:
                self._silent.add(found.owner)
                return found
            time.sleep(pause)
            pause = min(1.0, pause * 1.5)

    def _remember(self, row: Row, submission: Submission) -> None:
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
            self._unwritten[submission.fingerprint] = submission

    def _bought(
        self, row: Row, parameters: MattingParameters, upload: Upload, found: Submission | None
    ) -> Submission:
        fingerprint = row.fingerprint or ""
        expired = found is not None and bool(found.task_uid) and not found.ended
        intent = _LedgerIntent(
            self._ledger,
            Submission(
                fingerprint,
                row.request_uuid,
                "",
                0.0,
                sent=upload.encoding,
                row_id=row.id,
                quick_key=row.quick_key or "",
                attempts=found.attempts + 1 if found else 1,
                unknown=found.unknown + found.is_unknown if found else 0,
                expired=found.expired + expired if found else 0,
                owner=this_process(),
                run=self._run,
            ),
            self._brake,
        )
        try:
            with self._submitting, self._brake.watching():
                task_uid = self._client.submit(
                    upload.data, upload.media_type, parameters, row.request_uuid, intent
                )
                if not self._owned.take(task_uid, fingerprint):
                    raise SubmitUnknownError(
                        f"request_uuid {row.request_uuid}: the API answered with task {task_uid}, "
                        "which it had given to another image; look in the vendor's console",
                        request_uuid=row.request_uuid,
                        task_uid=task_uid,
                    )
        except _OvertakenError:
            self._budget.give_back()
            raise
        except SubmitUnknownError as error:  # the intent stays, and says so to later runs
            cause = error.message.replace(row.request_uuid, "")
            _unknown.warn(cause, f"row {row.id}: {error.message}")
            self._budget.cost(None)
            intent.give_up()
            with self._submitting:
                error = self._explained(error)
            raise self._remembered(fingerprint, error) from None
        except RowError:
            # Every other fault of the ledger's or the client's proves that nothing was bought.
            self._budget.give_back()
            intent.withdraw()
            raise
        except BaseException:
            self._budget.cost(None)
            raise
        else:
            _log.debug("row %s: task %s", row.id, task_uid)
            submission = replace(intent.submission, task_uid=task_uid, owner="")
            self._remember(row, submission)  # before the process may end
            return submission
        finally:
            intent.over()

    def keep(self, submission: Submission) -> None:
        """Tries once more to tell the ledger of a task that was not collected."""
        if submission.fingerprint in self._unwritten:
            with suppress(RowError):  # a later run is to collect it
                self._ledger.put(submission)

    def ended_badly(self, submission: Submission, error: TaskFailedError) -> None:
        """Notes that a task has no result to collect: a later run may submit the image again."""
        self._remembered(submission.fingerprint, error)
        with suppress(RowError):
            self._ledger.put(replace(submission, ended=error.code.value))

    def _explained(self, error: SubmitUnknownError) -> SubmitUnknownError:
        """The error, with what ListRunningTasks can tell."""
        try:
            running = find_lost(self._client, self._waited_for())
        except PicpikError:
            return error
        if not running:
            return error
        some = ", ".join(running[:3]) + (", …" if len(running) > 3 else "")
        return SubmitUnknownError(
            f"{error.message}; the task may be among the {len(running)} now running that this "
            f"process does not wait for: {some}",
            ret_code=error.ret_code,
            request_uuid=error.request_uuid,
            task_uid=error.task_uid,
        )

    def _remembered(self, fingerprint: str, error: PicpikError) -> PicpikError:
        self._lost[fingerprint] = (error.code, error.message)
        return error


class _OvertakenError(Exception):
    """Another process buys the same task."""


class _LedgerIntent:
    """The intent of one submission in the ledger; see `alphabeam.transforms.picpik.Intent`."""

    def __init__(self, ledger: Submissions, submission: Submission, brake: Brake) -> None:
        self.submission = submission
        self._brake = brake
        self._ledger = ledger
        self._written = False
        self._critical = False

    def write(self) -> None:
        self._brake.check()  # others may have lost their answers since this one began
        if not self._critical:
            stopping.begin_critical()
            self._critical = True
        self.submission = replace(self.submission, submitted_at=time.time())
        if self._written:  # by an earlier attempt, and could not be withdrawn
            self._ledger.put(self.submission)
        elif not self._ledger.create(self.submission):
            raise _OvertakenError
        self._written = True

    def over(self) -> None:
        """Nothing is left to learn, or to write: a process that stops need not wait for it."""
        if self._critical:
            stopping.end_critical()
            self._critical = False

    def withdraw(self) -> None:
        if self._written:
            with suppress(RowError):  # the fault at hand is the one to tell
                self._ledger.delete(self.submission)
                self._written = False
        self.over()  # another attempt is not begun by a process that stops

    def give_up(self) -> None:
        """Leaves the intent, as one of which nobody will learn more."""
        with suppress(RowError):
            self._ledger.put(replace(self.submission, owner=""))


class _Owned:
    """Which image a TaskUID is of, for the latest ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fingerprints: dict[str, str] = {}

    def take(self, task_uid: str, fingerprint: str) -> bool:
        """Says whose a task is; returns False if it is another image's."""
        with self._lock:
            owner = self._fingerprints.setdefault(task_uid, fingerprint)
            if len(self._fingerprints) > _MOST_OWNED:
                del self._fingerprints[next(iter(self._fingerprints))]
            return owner == fingerprint


def _clipped(parameters: MattingParameters, pixels: np.ndarray) -> MattingParameters:
    try:
        return replace(parameters, box=clip_box(parameters.box, pixels.shape[:2]))
    except BoxOutsideError as error:
        raise RowError(ErrorCode.BOX_OUTSIDE, str(error)) from None


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
