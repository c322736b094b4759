"""The API's tasks in the ledger: what is paid for is never bought again.

One object for each fingerprint: an intent before the task is submitted, and its TaskUID as soon as
that is known. Whoever comes to the row again, after a kill or a retry, knows whether there is a
task to collect or one that may have been bought.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.output import Output

__all__ = ["Submission", "Submissions"]


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
        unknown: How many of the earlier ones were cut off, and may have been billed as well.
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

    @property
    def is_unknown(self) -> bool:
        """Whether it is an intent only: the task may have been bought."""
        return not self.task_uid


class Submissions:
    """The tasks of a job in its ledger.

    Args:
        output: The job's output.
    """

    def __init__(self, output: Output) -> None:
        self._output = output

    def find(self, fingerprint: str) -> Submission | None:
        """The submission of a fingerprint, or None if there was none.

        Raises:
            RowError: The store cannot be asked, or the entry is broken.
        """
        try:
            data = self._output.read(self._output.task(fingerprint))
        except RowError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise
        try:
            found = Submission(**json.loads(data))
            if found.fingerprint != fingerprint or not isinstance(found.task_uid, str):
                raise ValueError
            return replace(
                found,
                submitted_at=float(found.submitted_at),
                attempts=int(found.attempts),
                unknown=int(found.unknown),
            )
        except (TypeError, ValueError):
            raise RowError(
                ErrorCode.SUBMIT_UNKNOWN,
                f"{self._output.task(fingerprint)}: the ledger's entry is broken; "
                "delete it to submit the image again",
            ) from None

    def put(self, submission: Submission) -> None:
        """Makes a submission durable; replaces what was known of its fingerprint."""
        data = json.dumps(asdict(submission), indent=1).encode()
        self._output.put(self._output.task(submission.fingerprint), data)

    def delete(self, fingerprint: str) -> None:
        """Forgets a fingerprint, of which it is certain that nothing was submitted."""
        self._output.delete([self._output.task(fingerprint)])
