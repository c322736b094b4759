"""The API's tasks in the ledger: what is paid for is never bought again.

One object for each attempt to buy a fingerprint's task: an intent before the task is submitted,
and its TaskUID as soon as that is known. Whoever comes to the row again, after a kill or a retry,
knows whether there is a task to collect or one that may have been bought. Intents are created
conditionally, so of several workers with one fingerprint only one buys.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.lease import LeaseError, check_not_lost
from alphabeam.transforms.output import Output

__all__ = ["RESULT_LIFE_S", "Submission", "Submissions"]

RESULT_LIFE_S = 24 * 3600.0  # the vendor keeps results for 24 hours


@dataclass(frozen=True)
class Submission:
    """What the ledger knows of one task.

    Attributes:
        fingerprint: Of the row that it was submitted for.
        request_uuid: Sent with it.
        task_uid: Empty for an intent: the task may or may not have been submitted.
        submitted_at: Seconds since the epoch.
        sent: What was sent, such as ``original`` or ``jpeg-95``.
        ended: How it ended, if it ended badly: then a later run may submit anew.
        row_id: Of the row that it was bought for; others share it for nothing.
        attempts: Submissions of the fingerprint so far, this one included.
        quick_key: Of that row, by which its task is known before the source is read.
        unknown: How many of the earlier ones were cut off, and may have been billed as well.
        expired: How many of the earlier ones were bought, and their results' 24 hours were over.
        owner: The process that is submitting it; empty once that gave it up.
        run: Whose budget it was taken from.
    """

    fingerprint: str
    request_uuid: str
    task_uid: str
    submitted_at: float
    sent: str = ""
    ended: str = ""
    row_id: str = ""
    attempts: int = 1
    unknown: int = 0
    expired: int = 0
    owner: str = ""
    quick_key: str = ""
    run: str = ""

    @property
    def is_unknown(self) -> bool:
        """Whether it is an intent only: the task may have been bought."""
        return not self.task_uid

    @property
    def is_collectable(self) -> bool:
        """Whether there is a result to wait for, or to fetch."""
        young = time.time() - self.submitted_at < RESULT_LIFE_S
        return bool(self.task_uid) and young and not self.ended


class Submissions:
    """The tasks of a job in its ledger.

    Args:
        output: The job's output.
        run_id: The run that has the output, or had it; empty for one without a lease.
    """

    def __init__(self, output: Output, run_id: str = "") -> None:
        self._output = output
        self._run_id = run_id

    def find(self, fingerprint: str) -> Submission | None:
        """The latest submission of a fingerprint that matters, or None if there was none.

        Raises:
            RowError: The store cannot be asked, or an entry is broken.
        """
        found = self._read(fingerprint, 1)
        while found is not None and not found.is_collectable:
            later = self._read(fingerprint, found.attempts + 1)
            if later is None:
                break
            found = later
        return found

    def _read(self, fingerprint: str, attempt: int) -> Submission | None:
        uri = self._output.task(fingerprint, attempt)
        try:
            data = self._output.read(uri)
        except RowError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise
        try:
            found = Submission(**_parsed(data))
            if found.fingerprint != fingerprint or not isinstance(found.task_uid, str):
                raise ValueError
            return replace(
                found,
                submitted_at=float(found.submitted_at),
                attempts=max(attempt, int(found.attempts)),
                unknown=int(found.unknown),
                expired=int(found.expired),
            )
        except (TypeError, ValueError):
            raise RowError(
                ErrorCode.SUBMIT_UNKNOWN,
                f"{uri}: the ledger's entry is broken; delete it to submit the image again",
            ) from None

    def by_quick_key(self) -> dict[str, Submission]:
        """Every entry that has a quick key, by it; broken entries are left out."""
        found: dict[str, Submission] = {}
        for fingerprint in self._output.task_files():
            with suppress(RowError):
                entry = self.find(fingerprint)
                if entry is not None and entry.quick_key:
                    found[entry.quick_key] = entry
        return found

    def taken(self, run: str) -> int:
        """How many submissions a run's budget has paid for, or may have.

        Raises:
            RowError: The store cannot be asked.
        """
        uris = [uri for found in self._output.task_files().values() for uri in found]
        return sum(_run_of(data) == run for _, data in self._output.read_many(uris))

    def create(self, intent: Submission) -> bool:
        """Makes an intent durable, unless another worker's is there for the same attempt.

        Returns:
            Whether it was made.

        Raises:
            RowError: The store refuses, or another run took the output over: a run that was
                suspended meanwhile buys nothing more.
        """
        if self._run_id:
            try:
                check_not_lost(self._output, self._run_id)
            except LeaseError as error:
                raise RowError(ErrorCode.API_UNAVAILABLE, str(error)) from None
        return self._output.create(self._uri(intent), _encoded(intent))

    def put(self, submission: Submission) -> None:
        """Makes a submission durable; replaces what was known of this attempt."""
        self._output.put(self._uri(submission), _encoded(submission))

    def delete(self, intent: Submission) -> None:
        """Forgets an attempt, of which it is certain that nothing was submitted."""
        self._output.delete([self._uri(intent)])

    def _uri(self, submission: Submission) -> str:
        return self._output.task(submission.fingerprint, submission.attempts)


def _parsed(data: bytes) -> Any:
    """An entry's fields, also where a machine that went down has left zeros behind them."""
    return json.loads(data.rstrip(b"\0"))


def _run_of(data: bytes) -> str:
    with suppress(TypeError, ValueError, KeyError):  # it is broken, or an earlier version's
        return str(_parsed(data)["run"])
    return ""


def _encoded(submission: Submission) -> bytes:
    return json.dumps(asdict(submission), indent=1).encode()
