"""The closed list of error codes, and the one exception that carries them to a row.

Every failure that the metadata can show stands here, and nowhere else.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["ErrorCode", "RowError", "is_out_of_memory"]

_OPENCV_NO_MEMORY = -4


class ErrorCode(str, Enum):
    """Why a row failed. The value is what the metadata's ``error_code`` holds."""

    # the manifest
    MANIFEST_ROW = "manifest_row"  # the row cannot be parsed, or misses its image
    INVALID_PARAMETER = "invalid_parameter"  # a parameter is out of bounds
    DUPLICATE_ID = "duplicate_id"  # another row has the same id
    DUPLICATE_NAME = "duplicate_name"  # another row's rendition has the same file name
    # stores
    NOT_FOUND = "not_found"
    ACCESS_DENIED = "access_denied"
    NOT_ALLOWED = "not_allowed"  # no place that rows may read from, see input.allow
    INVALID_URI = "invalid_uri"
    MISSING_DEPENDENCY = "missing_dependency"  # the store's library is not installed
    STORAGE_UNAVAILABLE = "storage_unavailable"  # transient fault, retries used up
    READ_ONLY = "read_only"
    NO_SPACE = "no_space"
    # images
    TOO_LARGE = "too_large"  # over max_bytes or max_pixels
    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED_IMAGE = "truncated_image"
    UNSUPPORTED_IMAGE = "unsupported_image"
    OUT_OF_MEMORY = "out_of_memory"  # the machine had too little of it for this picture
    BOX_OUTSIDE = "box_outside"  # the box lies outside the picture
    # the backends
    MODEL_FAILED = "model_failed"
    API_REFUSED = "api_refused"  # a permanent answer of the API; its own code is in the message
    API_UNAVAILABLE = "api_unavailable"  # transient faults, retries used up
    API_ANSWER = "api_answer"  # an answer that breaks the API's own description
    TASK_FAILED = "task_failed"  # the task ended in Error
    TASK_TIMEOUT = "task_timeout"
    TASK_EXPIRED = "task_expired"  # the result's 24 hours are over
    SUBMIT_UNKNOWN = "submit_unknown"  # the answer to a submission was lost
    RESULT_REFUSED = "result_refused"  # a result URL that must not be fetched, or too large
    BUDGET_SPENT = "budget_spent"  # max_credits or max_tasks reached
    UNWRITABLE_ROW = "unwritable_row"  # a value of the row fits no column of the metadata
    CRASHED = "crashed"  # the process ended three times while it worked on the image
    INTERNAL = "internal"  # a defect of alphabeam; please report it


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was what was missing; OpenCV has an exception of its own for that."""
    return isinstance(error, MemoryError) or (
        type(error).__name__ == "error" and getattr(error, "code", None) == _OPENCV_NO_MEMORY
    )


class RowError(Exception):
    """A failure that costs one row.

    Attributes:
        code: The closed-list code.
        message: One line: what, where, and how to fix it. Never holds a secret.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code.value}: {message}")
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[ErrorCode, str]]:
        return type(self), (self.code, self.message)
