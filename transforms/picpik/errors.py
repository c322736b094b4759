"""What can go wrong with the PICPIK API, each as a failure that a row can carry.

All are `alphabeam.transforms.errors.RowError`, so each has a ``code`` of the closed list and one
line of text. None ever holds a key: whatever the vendor answers is cleaned before it is quoted.
"""

from __future__ import annotations

from typing import Any

from alphabeam.transforms.errors import ErrorCode, RowError

__all__ = [
    "AnswerInvalidError",
    "ApiRefusedError",
    "ApiUnavailableError",
    "KeysRefusedError",
    "PicpikError",
    "ResultRefusedError",
    "SubmitUnknownError",
    "TaskExpiredError",
    "TaskFailedError",
    "TaskTimeoutError",
]


class PicpikError(RowError):
    """Any failure of the PICPIK backend.

    Attributes:
        code: The closed-list code; the class's own unless another is given.
        message: One line: what, where, and how to fix it. Never holds a key.
        ret_code: The vendor's own code, where it gave one.
    """

    default_code = ErrorCode.API_UNAVAILABLE

    def __init__(
        self, message: str, *, code: ErrorCode | None = None, ret_code: int | None = None
    ) -> None:
        super().__init__(code or self.default_code, message)
        self.ret_code = ret_code

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.code, self.message, self.__dict__)


def _rebuild(
    kind: type[PicpikError], code: ErrorCode, message: str, fields: dict[str, object]
) -> PicpikError:
    error = kind(message, code=code)
    error.__dict__.update(fields)
    return error


class ApiRefusedError(PicpikError):
    """The API said no, for good: nothing was queued. Its code and message are in the text."""

    default_code = ErrorCode.API_REFUSED


class KeysRefusedError(ApiRefusedError):
    """The API refused a call that carries nothing but the keys. The job must stop."""


class ApiUnavailableError(PicpikError):
    """Transient faults, and the retries are used up. Nothing was queued by this call."""

    default_code = ErrorCode.API_UNAVAILABLE


class AnswerInvalidError(PicpikError):
    """An answer that breaks the API's own description."""

    default_code = ErrorCode.API_ANSWER


class SubmitUnknownError(PicpikError):
    """The answer to a submission was lost: a task may have been queued and billed.

    Attributes:
        request_uuid: The submission's own UUID.
        task_uid: A TaskUID that came with a contradictory answer and may be this
            submission's; empty where none was seen.
    """

    default_code = ErrorCode.SUBMIT_UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        ret_code: int | None = None,
        request_uuid: str = "",
        task_uid: str = "",
    ) -> None:
        super().__init__(message, code=code, ret_code=ret_code)
        self.request_uuid = request_uuid
        self.task_uid = task_uid


class TaskFailedError(PicpikError):
    """The task ended in Error; ``ret_code`` is the task's ErrorCode."""

    default_code = ErrorCode.TASK_FAILED


class TaskTimeoutError(PicpikError):
    """The task did not end in the time that the job allows. It may still be collected later."""

    default_code = ErrorCode.TASK_TIMEOUT


class TaskExpiredError(PicpikError):
    """The result is gone: the vendor keeps results for 24 hours only."""

    default_code = ErrorCode.TASK_EXPIRED


class ResultRefusedError(PicpikError):
    """A result's URL must not be fetched, or what it gives is too large."""

    default_code = ErrorCode.RESULT_REFUSED
