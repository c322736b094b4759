"""What a store's exception means: which code, whether to try again, what to tell the user.

Every library raises its own exceptions for the same few faults. Their classes are recognised by
name and their HTTP status, so that no library is imported only to be compared with.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from alphabeam.transforms import counts
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.retry import (
    Backoff,
    Deadline,
    DeadlineExceededError,
    Retries,
    retry_after_seconds,
)
from alphabeam.transforms.secret_refs import SecretError, is_secret_name, references, resolve
from alphabeam.transforms.storage import deadlines
from alphabeam.transforms.storage.capabilities import capabilities
from alphabeam.transforms.storage.uris import chain, redact, secrets_in

__all__ = [
    "Fault",
    "HttpStatusError",
    "StorageOptions",
    "as_row_error",
    "causes",
    "diagnose",
    "retry",
    "status_of",
    "too_large",
]

StorageOptions = Mapping[str, Mapping[str, Any]]

# One policy for every store: the libraries' own retries are switched off where that is possible.
BACKOFF = Backoff(attempts=5, total_seconds=math.inf, base=0.2, cap=20.0, longest_retry_after=20.0)

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_ERRNO = {
    errno.ENOENT: ErrorCode.NOT_FOUND,
    errno.ENOTDIR: ErrorCode.NOT_FOUND,
    errno.EACCES: ErrorCode.ACCESS_DENIED,
    errno.EPERM: ErrorCode.ACCESS_DENIED,
    errno.EROFS: ErrorCode.READ_ONLY,
    errno.ENOSPC: ErrorCode.NO_SPACE,
    errno.EDQUOT: ErrorCode.NO_SPACE,
    errno.EISDIR: ErrorCode.INVALID_URI,
    errno.ENAMETOOLONG: ErrorCode.INVALID_URI,
    errno.EINVAL: ErrorCode.INVALID_URI,
    errno.ELOOP: ErrorCode.INVALID_URI,
    errno.EFBIG: ErrorCode.TOO_LARGE,
}
_DENIED = frozenset(
    {
        "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
        "ProfileNotFound", "AuthenticationException", "BadHostKeyException",
        "PasswordRequiredException", "ClientAuthenticationError", "CredentialUnavailableError",
        "DefaultCredentialsError", "RefreshError", "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)  # fmt: skip
_TRANSIENT = frozenset(
    {
        "HTTPClientError", "ConnectionError", "ConnectionClosedError", "EndpointConnectionError",
        "ConnectTimeoutError", "ReadTimeoutError", "ResponseStreamingError",  # botocore
        "ServiceRequestError", "ServiceResponseError", "IncompleteReadError",  # azure
        "SSHException", "SFTPError", "error_temp", "error_reply", "error_proto",
        "ClientConnectionError", "ClientPayloadError", "ServerTimeoutError", "ClientOSError",
        "TransportError", "RequestException", "TransportFailure", "ChecksumError", "EOFError",
        "TimeoutError", "FSTimeoutError", "IncompleteRead",
    }
)  # fmt: skip
_UNTRUSTED = frozenset({"ClientConnectorCertificateError", "SSLCertVerificationError"})
_MALFORMED = frozenset(
    {"ParamValidationError", "InvalidURL", "InvalidUrlClientError", "NonHttpUrlClientError",
     "TooManyRedirects", "UnicodeEncodeError"}
)  # fmt: skip
_BROKEN_ARCHIVE = frozenset({"BadZipFile", "ReadError", "LargeZipFile", "CompressionError"})
_TRANSIENT_STATUS = frozenset({408, 409, 423, 425, 429, 500, 502, 503, 504})


class HttpStatusError(Exception):
    """An HTTP answer that is no success."""

    def __init__(self, status: int, reason: str = "", retry_after: str | None = None) -> None:
        super().__init__(f"HTTP {status} {reason}".strip())
        self.status = status
        self.retry_after = retry_after


class Fault(NamedTuple):
    """What an exception means.

    Attributes:
        code: The closed-list code.
        reason: A few words, from the store; may still hold secrets.
        transient: Whether it may go away by itself.
        wait_s: How long the server asked to wait, if it did, seconds.
    """

    code: ErrorCode
    reason: str
    transient: bool = False
    wait_s: float | None = None


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, then what it was raised from; libraries hide the reason one level below."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception stands for, if any."""
    for attribute in ("status", "status_code", "code"):
        value = getattr(error, attribute, None)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 100 <= value < 600:
            return value
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        value = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return value if isinstance(value, int) and value >= 300 else None
    value = getattr(response, "status_code", None)
    return value if isinstance(value, int) and value >= 300 else None


def _retry_after(error: BaseException) -> str | None:
    """The header Retry-After of the answer that an exception stands for."""
    if isinstance(error, HttpStatusError):
        return error.retry_after
    headers = getattr(error, "headers", None)  # aiohttp
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    elif headers is None:
        headers = getattr(response, "headers", None)  # azure, httpx, requests
    if not isinstance(headers, Mapping):
        return None
    found = next((headers[name] for name in headers if name.lower() == "retry-after"), None)
    return found if isinstance(found, str) else None


def _of_status(status: int, reason: str, error: BaseException) -> Fault:
    if status in (401, 403, 407):
        return Fault(ErrorCode.ACCESS_DENIED, reason)
    if status in (404, 410):
        return Fault(ErrorCode.NOT_FOUND, reason)
    if status == 507:
        return Fault(ErrorCode.NO_SPACE, reason)
    if status in _TRANSIENT_STATUS or status >= 500:
        wait = retry_after_seconds(_retry_after(error))
        return Fault(ErrorCode.STORAGE_UNAVAILABLE, reason, status != 501, wait)
    if status in (405, 501):
        return Fault(ErrorCode.READ_ONLY, reason)
    return Fault(ErrorCode.INVALID_URI, reason)


def _misses_member(error: KeyError) -> bool:
    """Whether an archive has no such member: older fsspec passes on its lookup's KeyError."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    module = last.tb_frame.f_globals.get("__name__", "") if last is not None else ""
    return module in ("zipfile", "tarfile", "fsspec.implementations.tar")


def _reason(error: BaseException) -> str:
    """The store's own words, in one line, without request ids and repeated XML."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and response.get("Error", {}).get("Message"):  # botocore
        details = response["Error"]
        return f"{details['Message']} ({details.get('Code', 'no code')})"
    if isinstance(error, OSError) and error.errno and error.strerror:
        return str(error.strerror)
    if isinstance(error, FileNotFoundError):
        return "no such object"
    text = re.split(r"RequestId:|\n[^\S\n]*<", str(error).strip(), maxsplit=1)[0]
    name = type(error).__name__
    line = " ".join(text.split())[:300].rstrip(" .")
    return f"{line} ({name})" if line else name


def diagnose(error: BaseException) -> Fault:
    """What an exception of fsspec, or of a library below it, means."""
    if isinstance(error, RowError):
        return Fault(error.code, error.message)
    if isinstance(error, DeadlineExceededError):
        return Fault(ErrorCode.STORAGE_UNAVAILABLE, str(error))
    if isinstance(error, ImportError):
        return Fault(ErrorCode.MISSING_DEPENDENCY, _reason(error))
    if isinstance(error, SecretError):
        return Fault(ErrorCode.INVALID_PARAMETER, str(error))
    refused = _refusal(error)
    if refused is not None:
        return Fault(refused.code, refused.message)
    for cause in causes(error):
        fault = _recognise(cause)
        if fault is not None:
            return fault
    reason = _reason(error)
    if isinstance(error, OSError):
        return Fault(ErrorCode.STORAGE_UNAVAILABLE, reason, transient=True)
    if isinstance(error, NotImplementedError):
        return Fault(ErrorCode.READ_ONLY, reason)
    if isinstance(error, TypeError):
        return Fault(ErrorCode.INVALID_PARAMETER, reason)
    if isinstance(error, ValueError):
        return Fault(ErrorCode.INVALID_URI, reason)
    return Fault(ErrorCode.STORAGE_UNAVAILABLE, reason)


def _refusal(error: BaseException) -> RowError | None:
    """What was raised below a library because a row may not read from a place, if that is it."""
    for cause in causes(error):
        if isinstance(cause, RowError) and cause.code is ErrorCode.NOT_ALLOWED:
            return cause
    return None


def _recognise(error: BaseException) -> Fault | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    reason = _reason(error)
    lower = str(error).lower()
    if names & _UNTRUSTED:
        return Fault(ErrorCode.STORAGE_UNAVAILABLE, f"certificate not trusted: {reason}")
    if names & _DENIED:
        return Fault(ErrorCode.ACCESS_DENIED, reason)
    if "error_perm" in names:  # ftplib: 530 not logged in, 550 missing or denied, 552 quota
        if lower.startswith("552") or "no space" in lower:
            return Fault(ErrorCode.NO_SPACE, reason)
        if lower.startswith(("530", "532", "553")) or any(
            word in lower for word in ("denied", "permission", "privileges", "permitted")
        ):
            return Fault(ErrorCode.ACCESS_DENIED, reason)
        return Fault(ErrorCode.NOT_FOUND, reason)
    if isinstance(error, FileNotFoundError):
        return Fault(ErrorCode.NOT_FOUND, reason) if error.__cause__ is None else _below(error)
    if isinstance(error, KeyError) and _misses_member(error):
        return Fault(ErrorCode.NOT_FOUND, "no such object")
    if isinstance(error, PermissionError):
        return Fault(ErrorCode.ACCESS_DENIED, reason)
    if names & _MALFORMED:
        return Fault(ErrorCode.INVALID_URI, reason)
    if names & _BROKEN_ARCHIVE:
        return Fault(ErrorCode.INVALID_URI, f"no readable archive: {reason}")
    if "ResourceNotFound" in names or "ResourceNotFoundError" in names:
        return Fault(ErrorCode.NOT_FOUND, "no such object")
    if isinstance(error, OSError) and error.errno in _ERRNO:
        return Fault(_ERRNO[error.errno], reason)
    garbled = {kind.__name__ for kind in type(error.__cause__).__mro__}
    if "ClientResponseError" in names and "HttpProcessingError" in garbled:
        return Fault(ErrorCode.STORAGE_UNAVAILABLE, "the answer is no HTTP", transient=True)
    status = status_of(error)
    if status is not None and status >= 300:
        return _of_status(status, reason, error)
    if "forbidden" in lower or "accessdenied" in lower.replace(" ", ""):
        return Fault(ErrorCode.ACCESS_DENIED, reason)
    if names & _TRANSIENT:
        return Fault(ErrorCode.STORAGE_UNAVAILABLE, reason, transient=True)
    return None


def _below(error: BaseException) -> Fault:
    """A FileNotFoundError that a library raised from something else may hide another fault."""
    assert error.__cause__ is not None
    fault = _recognise(error.__cause__)
    return fault if fault is not None else Fault(ErrorCode.NOT_FOUND, _reason(error))


def _hint(code: ErrorCode, protocol: str, host: str = "") -> str:
    if code is ErrorCode.MISSING_DEPENDENCY:
        package = capabilities(protocol).package
        if package:
            return f"pip install '{package}'"
        return f"install the library that fsspec needs for {protocol}://"
    local = protocol in ("file", "local")
    if code is ErrorCode.ACCESS_DENIED and protocol in ("http", "https"):
        return (
            "if the server wants a token, a Referer or another User-Agent, set "
            f"storage.http.headers: {{{host}: {{Authorization: ${{env:TOKEN}}}}}}"
        )
    return {
        ErrorCode.NOT_FOUND: "check the name, and that it is there",
        ErrorCode.ACCESS_DENIED: "check the permissions"
        if local
        else f"check the credentials (storage.{protocol} in the job file) and their permissions",
        ErrorCode.INVALID_PARAMETER: f"check the options (storage.{protocol} in the job file)",
        ErrorCode.READ_ONLY: "write elsewhere",
        ErrorCode.NO_SPACE: "make room, or write elsewhere",
        ErrorCode.INVALID_URI: "check the URI",
        ErrorCode.TOO_LARGE: "raise the limit, or leave the object out",
        ErrorCode.STORAGE_UNAVAILABLE: "check that the store can be reached, and run again",
    }.get(code, "")


def _secret_values(options: Any, secret: bool = False) -> Iterator[str]:
    """What must not be shown: values under a telling name, and whatever was given by reference."""
    if isinstance(options, Mapping):
        for name, value in options.items():
            hidden = secret or name == "headers" or is_secret_name(str(name))
            yield from _secret_values(value, hidden)
    elif isinstance(options, (list, tuple)):
        for value in options:
            yield from _secret_values(value, secret)
    elif isinstance(options, str) and (secret or references(options)):
        with contextlib.suppress(SecretError):
            value = resolve(options)
            if len(value) > 3:
                yield value


def as_row_error(
    error: BaseException, verb: str, uri: str, options: StorageOptions | None, attempts: int = 1
) -> RowError:
    """The one line that a user sees of an exception; no secret of the options or the URI in it."""
    if isinstance(error, RowError):
        return error
    refused = _refusal(error)
    if refused is not None:
        return refused
    fault = diagnose(error)
    reason = _shown(fault.reason, uri, options)
    links = chain(uri)
    if verb in ("write", "create") and fault.code is ErrorCode.NOT_FOUND:
        reason = (
            "the folder is not there and cannot be made"
            if links[-1].protocol in ("file", "local")
            else "there is no such bucket, container or folder"
        )
    tries = f" (tried {attempts} times)" if attempts > 1 else ""
    protocol = (
        links[0].protocol if fault.code is ErrorCode.MISSING_DEPENDENCY else links[-1].protocol
    )
    host = links[-1].authority.rpartition("@")[2]
    hint = _hint(fault.code, protocol, host)
    message = f"cannot {verb} {redact(uri)}: {reason}{tries}"
    return RowError(fault.code, f"{message}; {hint}" if hint else message)


def _shown(reason: str, uri: str, options: StorageOptions | None) -> str:
    """A library's words without the secrets of the URI and the options."""
    for secret in (*secrets_in(uri), *sorted(_secret_values(options or {}), key=len, reverse=True)):
        reason = reason.replace(secret, "***")
    return redact(reason)


def retry(
    action: Callable[[], _T],
    verb: str,
    uri: str,
    options: StorageOptions | None = None,
    *,
    timeout: float | None = deadlines.TOTAL_S,
) -> _T:
    """Runs ``action``, again after transient faults, with growing random waits between.

    Each retry is one line of the log.

    Args:
        action: May be run more than once.
        verb: What is being done, for the message: ``read``.
        uri: What it is done to.
        options: Whose secrets are kept out of the message.
        timeout: Seconds for everything together; None for no bound.

    Raises:
        RowError: With the code of the last fault.
    """
    with deadlines.bounded(timeout) as deadline:
        return _retry_until(deadline, action, verb, uri, options)


def _retry_until(
    deadline: Deadline,
    action: Callable[[], _T],
    verb: str,
    uri: str,
    options: StorageOptions | None,
) -> _T:
    retries = Retries(BACKOFF, deadline=deadline)
    here = chain(uri)[-1].protocol in ("file", "local", "memory")
    while True:
        try:
            return action() if here else deadlines.within(deadline, action)
        except RowError:
            raise
        except Exception as caught:
            error: Exception = caught
            if deadline.remaining() <= 0 and diagnose(caught).transient:
                error = DeadlineExceededError(f"not done within {deadline.seconds:g} s")
            fault = diagnose(error)
            wait = retries.after_failure(fault.wait_s)
            if wait is None or not fault.transient:
                # not chained: a library's exception may show a secret in a traceback
                raise as_row_error(error, verb, uri, options, retries.failures) from None
        counts.add("storage_retries")
        _log.warning(
            "cannot %s %s: %s; attempt %d of %d failed, next one in %.1f s",
            verb,
            redact(uri),
            _shown(fault.reason, uri, options),
            retries.failures,
            BACKOFF.attempts,
            wait,
        )
        time.sleep(wait)


def too_large(uri: str, max_bytes: int, size: int | None = None) -> RowError:
    """The error for an object of more than ``max_bytes``; ``size`` is None if it is not known."""
    found = f"{size} bytes" if size is not None else f"more than {max_bytes} bytes"
    return RowError(
        ErrorCode.TOO_LARGE,
        f"{redact(uri)} has {found}, the limit is {max_bytes}; raise the limit, or leave it out",
    )
