"""What an HTTP answer of the API means: its fields, a refusal, or a fault that may pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.picpik.errors import ApiRefusedError
from alphabeam.transforms.picpik.tasks import is_task_uid
from alphabeam.transforms.picpik.transport import Answer
from alphabeam.transforms.retry import retry_after_seconds

__all__ = ["TransientFaultError", "read_answer", "transient_status"]

# HTTP statuses by which a server says that it did not take the request up. Other 5xx say only
# that something failed, perhaps after the task was queued. 503 is not among them either: a load
# balancer also answers it for a backend that died half-way.
_NOT_TAKEN = frozenset({408, 425, 429})


_MOST_CODE = 2**31 - 1


class TransientFaultError(Exception):
    """A fault that may pass.

    Attributes:
        reason: What happened, in a few words.
        maybe_done: The request may have taken effect all the same.
        slow_down: The server asked for less.
        retry_after: Seconds that it asked to wait.
        ret_code: The vendor's own code, where it gave one.
        task_uid: A TaskUID that came with a contradictory answer.
        code: What the row fails with once the retries are used up.
        permanent: Trying again cannot help.
    """

    def __init__(
        self,
        reason: str,
        *,
        maybe_done: bool,
        slow_down: bool = False,
        retry_after: float | None = None,
        ret_code: int | None = None,
        task_uid: str = "",
        code: ErrorCode = ErrorCode.API_UNAVAILABLE,
        permanent: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_done = maybe_done
        self.slow_down = slow_down
        self.retry_after = retry_after
        self.ret_code = ret_code
        self.task_uid = task_uid
        self.code = code
        self.permanent = permanent


def read_answer(
    answer: Answer,
    *,
    action: str,
    request_uuid: str,
    buys: bool,
    retry_codes: Collection[int],
    clean: Callable[[str], str],
) -> Mapping[str, object]:
    """Checks an answer's common fields.

    Args:
        answer: The HTTP answer.
        action: The request's Action.
        request_uuid: The request's own.
        buys: The request costs credits if it is carried out.
        retry_codes: RetCodes of refusals that pass.
        clean: Makes a vendor's text fit to be shown: one line, no keys.

    Returns:
        The answer's fields; its RetCode is 0.

    Raises:
        TransientFaultError: It may pass, or it says nothing of whether the request was carried out.
        ApiRefusedError: The API refused the request for good.
    """
    fields = _json_object(answer.body)
    code = None if fields is None else fields.get("RetCode")
    if isinstance(code, bool) or not isinstance(code, int) or abs(code) > _MOST_CODE:
        code = None
    if answer.status in (301, 302, 303, 307, 308):
        raise TransientFaultError(
            f"HTTP {answer.status}: it redirects elsewhere, which is never followed; "
            "check the endpoint",
            maybe_done=answer.status < 307,  # 307 and 308 ask for the request to be repeated
            permanent=True,
            code=ErrorCode.API_ANSWER,
        )
    if fields is None or code is None:
        fault = transient_status(answer)
        if fault is not None:
            raise fault
        if 400 <= answer.status < 500:
            raise ApiRefusedError(
                f"{action}: HTTP {answer.status} without a RetCode; check the endpoint and the keys"
            )
        raise TransientFaultError(
            f"HTTP {answer.status}: the answer is not a JSON object with a RetCode",
            maybe_done=True,
            code=ErrorCode.API_ANSWER,
        )
    echoed = fields.get("request_uuid")
    said = fields.get("Action")
    uid = fields.get("TaskUID")
    for wrong, reason in (
        (echoed not in (None, "", request_uuid), "it has another request_uuid"),
        (said not in (None, "", action, f"{action}Response"), "it is for another Action"),
    ):
        if wrong:
            raise TransientFaultError(
                f"the answer contradicts the request: {reason}",
                maybe_done=True,
                task_uid=str(uid) if is_task_uid(uid) else "",
                code=ErrorCode.API_ANSWER,
            )
    if code == 0 and answer.status < 400:
        return fields
    message = fields.get("Message")
    reason = f"RetCode {code}: {clean(message) if isinstance(message, str) else ''}"
    if code == 0:
        fault = transient_status(answer)
        raise fault or ApiRefusedError(f"{action}: HTTP {answer.status}, {reason}", ret_code=code)
    # A RetCode is the API's own word that it did not do what was asked. With a 5xx beside it
    # a call that buys is refused rather than tried again: too much is at stake on a detail.
    failing = answer.status >= 500 and not buys
    if code in retry_codes or answer.status in _NOT_TAKEN or failing:
        raise TransientFaultError(
            reason,
            maybe_done=False,
            slow_down=True,
            retry_after=retry_after_seconds(answer.headers.get("retry-after")),
            ret_code=code,
        )
    raise ApiRefusedError(f"{action}: the API refused it: {reason}", ret_code=code)


def transient_status(answer: Answer) -> TransientFaultError | None:
    """The fault that an HTTP status alone stands for, if it may pass."""
    if answer.status not in _NOT_TAKEN and answer.status < 500:
        return None
    return TransientFaultError(
        f"HTTP {answer.status}",
        maybe_done=answer.status not in _NOT_TAKEN,
        slow_down=True,
        retry_after=retry_after_seconds(answer.headers.get("retry-after")),
    )


def _json_object(body: bytes) -> Mapping[str, object] | None:
    def refuse(text: str) -> object:
        raise ValueError(text)

    with suppress(ValueError, RecursionError):
        value = json.loads(body, parse_constant=refuse)
        if isinstance(value, dict):
            return value
    return None
