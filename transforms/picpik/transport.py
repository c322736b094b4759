"""One HTTP exchange: what was sent, what came back, and whether a lost request can have arrived."""

from __future__ import annotations

import builtins
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, TimeoutError

from alphabeam.transforms.picpik.connections import end_requests_by
from alphabeam.transforms.retry import Deadline, DeadlineExceededError

__all__ = ["Answer", "AnswerTooLargeError", "ExchangeFailedError", "exchange"]

_CONNECTION = re.compile(r"^\w+\(host=.*?\): ")
_BLOCK = 65_536
_LAST = 1024  # bytes of a request that are held back until everything else has left


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer.

    Attributes:
        status: The HTTP status.
        headers: Its headers; names in lower case.
        body: Its bytes, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class ExchangeFailedError(Exception):
    """No whole answer came.

    Attributes:
        reason: What happened, in a few words.
        delivered: The request was wholly handed to the connection, so the server may have acted
            on it. False proves that it cannot: an incomplete request has no valid signature.
        timed_out: The fault was a time-out.
        permanent: Trying again cannot help (the certificate is not trusted).
    """

    def __init__(
        self, reason: str, *, delivered: bool, timed_out: bool = False, permanent: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delivered = delivered
        self.timed_out = timed_out
        self.permanent = permanent


class AnswerTooLargeError(Exception):
    """The answer is over the limit; it was cut off, never held."""


class _Outgoing:
    """A request's body, sent in blocks, that knows whether its last block has left.

    Args:
        body: The body.
        before_last: Called when all but the last bytes have left. Until it returns, the server
            cannot act on the request. What it raises ends the request.
    """

    def __init__(self, body: bytes, before_last: Callable[[], object] | None = None) -> None:
        self._body = body
        self._before_last = before_last
        self.delivered = not body

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        # A send that fails half-way is unlike an answer that fails to come: blocks of bytes also
        # give every block its own time-out, as sendall() has one for the whole of what it gets.
        self.delivered = False
        end = max(0, len(self._body) - _LAST)
        for start in range(0, end, _BLOCK):
            yield self._body[start : min(start + _BLOCK, end)]
        if self._before_last is not None:
            self._before_last()
        yield self._body[end:]
        self.delivered = True  # asked for more: the last block was taken


def exchange(
    pool: urllib3.HTTPConnectionPool,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    max_bytes: int,
    deadline: Deadline,
    before_last: Callable[[], object] | None = None,
) -> Answer:
    """Sends one request, once, and reads the whole answer. Follows no redirect.

    Args:
        pool: The connections to use; it carries the connect and read time-outs.
        method: ``GET`` or ``POST``.
        target: Path and query.
        headers: Headers to send.
        body: The request's body.
        max_bytes: Most bytes of the answer, as sent and as decompressed.
        deadline: When the exchange as a whole must have ended.
        before_last: Called when all but the last bytes of the request have left; until it
            returns, the server cannot act on the request. What it raises is passed on, and
            the request has not been delivered then.

    Raises:
        ExchangeFailedError: No whole answer came.
        AnswerTooLargeError: The answer is over ``max_bytes``.
    """
    outgoing = _Outgoing(body, before_last)
    sent = {"Accept-Encoding": "identity", "User-Agent": "alphabeam", **headers}
    if method == "POST":
        sent["Content-Length"] = str(len(body))
    response: urllib3.BaseHTTPResponse | None = None
    whole = False
    end_requests_by(deadline)
    try:
        response = pool.urlopen(
            method,
            target,
            body=outgoing if body else None,
            headers=sent,
            timeout=_within(pool.timeout, deadline),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        length = _whole_number(response.headers.get("Content-Length", ""))
        if length is not None and length > max_bytes:
            raise AnswerTooLargeError(f"{length} bytes")
        blocks: list[bytes] = []
        size = 0
        while block := response.read1(_BLOCK):
            size += len(block)
            if size > max_bytes:
                raise AnswerTooLargeError(f"more than {max_bytes} bytes")
            blocks.append(block)
        # read1() ends quietly at a lost connection; the length tells.
        if length is not None and size < length:
            raise ExchangeFailedError(
                f"the connection ended after {size} of {length} bytes", delivered=outgoing.delivered
            )
        whole = True
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, names, _decompressed(b"".join(blocks), names, max_bytes))
    except (HTTPError, OSError) as error:
        raise ExchangeFailedError(
            _reason(error),
            delivered=outgoing.delivered,
            timed_out=_timed_out(error),
            permanent="CERTIFICATE_VERIFY_FAILED" in str(error),
        ) from None
    finally:
        if response is not None:
            if not whole or not outgoing.delivered:
                # Unread bytes, or an answer that came before the request was whole: the
                # connection's next request could be mistaken for the rest of this one.
                response.close()
            response.release_conn()


def _within(timeout: urllib3.Timeout, deadline: Deadline) -> urllib3.Timeout:
    connect = urllib3.Timeout.resolve_default_timeout(timeout.connect_timeout)
    read = urllib3.Timeout.resolve_default_timeout(timeout.read_timeout)
    return urllib3.Timeout(connect=deadline.timeout(connect), read=deadline.timeout(read))


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _decompressed(body: bytes, headers: Mapping[str, str], max_bytes: int) -> bytes:
    # "identity" was asked for, but a proxy on the way may compress all the same.
    if headers.get("content-encoding", "identity").lower() not in ("gzip", "x-gzip"):
        return body
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body, max_bytes + 1)
    except zlib.error:
        raise ExchangeFailedError("the answer's gzip is damaged", delivered=True) from None
    if len(plain) > max_bytes:
        raise AnswerTooLargeError(f"more than {max_bytes} bytes")
    if not inflate.eof:
        raise ExchangeFailedError("the answer's gzip ends too early", delivered=True)
    return plain


def _timed_out(error: Exception) -> bool:
    # urllib3 counts a refused connection as a kind of connect time-out.
    if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
        return True
    return _cause(error, builtins.TimeoutError) is not None


def _cause(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The first exception of a kind among an error, what it wraps and what it was raised from."""
    for found in (error, *error.args, error.__cause__):
        if isinstance(found, kind):
            return found
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, NameResolutionError):
        return "the host's name cannot be resolved"
    late = _cause(error, DeadlineExceededError)
    if late is not None:
        return f"timed out: {late}"
    if _timed_out(error):
        return "timed out: " + type(error).__name__.removesuffix("Error")
    # urllib3 wraps the system's error; its own text begins with the connection, as Python shows it.
    inner = next((a for a in error.args if isinstance(a, Exception)), None)
    text = str(inner if inner is not None else error).splitlines()[:1]
    kind = type(inner if inner is not None else error).__name__
    words = _CONNECTION.sub("", text[0].rpartition(">: ")[2])[:200] if text else ""
    if isinstance(error, NewConnectionError) and words:
        return words[:1].lower() + words[1:]
    return f"{kind}: {words}" if words else kind
