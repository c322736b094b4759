"""The client of the PICPIK API: signed calls, with faults told apart by what they cost."""

from __future__ import annotations

import base64
import json
import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import urllib3

from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik.download import ResultFetcher, is_loopback, shown_url
from alphabeam.transforms.picpik.errors import (
    AnswerInvalid,
    ApiRefused,
    ApiUnavailable,
    KeysRefused,
    PicpikError,
    SubmitUnknown,
)
from alphabeam.transforms.picpik.signature import sign
from alphabeam.transforms.picpik.tasks import TaskDetail, is_task_uid, read_task
from alphabeam.transforms.picpik.throttle import Backoff, Pace, retry_after_seconds
from alphabeam.transforms.picpik.transport import (
    Answer,
    AnswerTooLarge,
    ExchangeFailed,
    connections,
    exchange,
    tls_context,
)

__all__ = ["CHINA", "INTERNATIONAL", "PicpikClient", "find_lost"]

INTERNATIONAL = "https://api.picpik.ai"
CHINA = "https://api.picpikai.com"

# HTTP statuses by which a server says that it did not take the request up. Other 5xx say only
# that something failed, perhaps after the task was queued. 503 is not among them either: a load
# balancer also answers it for a backend that died half-way.
_NOT_TAKEN = frozenset({408, 425, 429})


class _Transient(Exception):
    """A fault that may pass. ``maybe_done``: the request may have taken effect all the same."""

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


class PicpikClient:
    """Talks to one endpoint with one pair of keys. Safe to share among threads.

    Connections are kept and used again. A transient fault (HTTP 429, 5xx, a lost connection, a
    time-out, a RetCode in ``retry_codes``) is tried again with exponential backoff and full
    jitter, and the client as a whole goes slower while the server pushes back. The one call
    that costs money, `submit`, is tried again only where the fault proves that nothing was
    bought; else it raises `SubmitUnknown`.

    The object cannot be pickled, as it holds a key: build it where it is used.

    Args:
        endpoint: ``https://api.picpik.ai`` (international), ``https://api.picpikai.com``
            (China), or another https URL. Plain http is taken for loopback only.
        public_key: From the vendor's user centre.
        private_key: Signs, and never travels.
        connect_timeout: Seconds to connect, and to hand over 64 KiB of a request.
        read_timeout: Seconds without a byte before an answer counts as lost, and the most that
            the body of an API answer may take as a whole.
        download_timeout: Seconds, the most that one result may take as a whole.
        max_response_bytes: Most bytes of an API answer.
        max_result_bytes: Most bytes of a result image.
        retry_codes: RetCodes to treat as transient refusals; the vendor publishes no list.
        backoff: How transient faults are tried again.
        requests_per_second: Ceiling of this client's API requests; None for none. Result
            downloads go to another host and do not count.
        max_concurrency: Most requests, downloads included, at one time.
        batch_length: Most TaskUIDs in one ListTasksDetails.
        allowed_hosts: Hosts beside the API's own domain that results may come from;
            ``*.example.com`` stands for every host beneath.
        ca_bundle: PEM file of the authorities to trust; None for certifi's.
        on_throttled: Called with the seconds of each wait that the pace or a fault imposed.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
        rng: Source of the jitter.

    Raises:
        ValueError: An argument is out of bounds; the message names it.
    """

    def __init__(
        self,
        endpoint: str,
        public_key: str,
        private_key: str,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        download_timeout: float = 300.0,
        max_response_bytes: int = 4 << 20,
        max_result_bytes: int = 128 << 20,
        retry_codes: Collection[int] = frozenset(),
        backoff: Backoff | None = None,
        requests_per_second: float | None = None,
        max_concurrency: int = 16,
        batch_length: int = 50,
        allowed_hosts: Collection[str] = (),
        ca_bundle: str | None = None,
        on_throttled: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        for name, value in (
            ("connect_timeout", connect_timeout),
            ("read_timeout", read_timeout),
            ("download_timeout", download_timeout),
            ("max_response_bytes", max_response_bytes),
            ("max_result_bytes", max_result_bytes),
            ("max_concurrency", max_concurrency),
            ("batch_length", batch_length),
        ):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: {value} must be over 0")
        for name, key in (("public_key", public_key), ("private_key", private_key)):
            if not key or key != key.strip():
                raise ValueError(f"{name}: it is empty or has blanks around it; set it again")
        scheme, host, port, self._target = _split_endpoint(endpoint)
        self.endpoint = endpoint
        self._retry_codes = frozenset(retry_codes)
        self._backoff = backoff or Backoff()
        self._max_response_bytes = max_response_bytes
        self._read_timeout = read_timeout
        self._batch_length = batch_length
        self._on_throttled = on_throttled
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._pace = Pace(requests_per_second, clock=clock, sleep=sleep)
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._lock = threading.Lock()
        self._throttled_seconds = 0.0
        timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        tls = tls_context(ca_bundle)
        self._pool = connections(scheme, host, port, timeout=timeout, size=max_concurrency, tls=tls)
        self._fetcher = ResultFetcher(
            host,
            allowed_hosts=allowed_hosts,
            timeout=timeout,
            max_bytes=max_result_bytes,
            total_seconds=download_timeout,
            max_connections=max_concurrency,
            tls=tls,
        )

        # Closures keep the keys out of repr(), vars() and every dump of this object's fields.
        def signed(params: dict[str, object]) -> dict[str, object]:
            full = {**params, "PublicKey": public_key}
            full["Signature"] = sign(full, private_key)
            return full

        def clean(text: str) -> str:
            for key in (private_key, public_key):
                text = text.replace(key, "***")
            return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]

        self._signed = signed
        self._clean = clean

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("PicpikClient holds a key and is not pickled; build it where it is used")

    @property
    def throttled_seconds(self) -> float:
        """Seconds that all threads together waited for the pace or after a fault."""
        with self._lock:
            return self._throttled_seconds

    def close(self) -> None:
        """Closes the connections that are kept."""
        self._pool.close()
        self._fetcher.close()

    def check_keys(self) -> list[str]:
        """Makes the free call ListRunningTasks, to see whether the keys are right.

        Returns:
            The running tasks' UIDs, as `running_tasks`.

        Raises:
            KeysRefused: The API refused a call that carries nothing but the keys.
            ApiUnavailable: Transient faults, and the retries are used up.
            AnswerInvalid: What answers at the endpoint is not the API.
        """
        try:
            return self.running_tasks()
        except ApiRefused as error:
            raise KeysRefused(
                f"{self.endpoint} refused the keys: {error.message}; "
                "check both keys, and that they belong to this endpoint's region",
                ret_code=error.ret_code,
            ) from None

    def running_tasks(self) -> list[str]:
        """UIDs of the account's tasks now queued or running (ListRunningTasks).

        Raises:
            ApiRefused: The API refused the call.
            ApiUnavailable: Transient faults, and the retries are used up.
            AnswerInvalid: The answer breaks the API's description.
        """
        answer = self._ask("ListRunningTasks", {})
        uids = answer.get("TaskUIDList")
        if uids is None:  # how Go writes an empty list
            return []
        if not isinstance(uids, list) or not all(is_task_uid(uid) for uid in uids):
            raise AnswerInvalid("ListRunningTasks: TaskUIDList is not a list of TaskUIDs")
        return uids

    def tasks(self, uids: Sequence[str], /) -> list[TaskDetail]:
        """Details of many tasks (ListTasksDetails), in calls of ``batch_length`` UIDs.

        Args:
            uids: The tasks; those named twice are asked for once.

        Returns:
            The details that the API gave for these tasks; a task that it does not mention is
            absent.

        Raises:
            ApiRefused: The API refused the call.
            ApiUnavailable: Transient faults, and the retries are used up.
            AnswerInvalid: The answer as a whole breaks the API's description. A single bad
                element is a `TaskDetail` with its ``defect`` set.
        """
        wanted = list(dict.fromkeys(uids))
        found: dict[str, TaskDetail] = {}
        for start in range(0, len(wanted), self._batch_length):
            batch = wanted[start : start + self._batch_length]
            answer = self._ask("ListTasksDetails", {"TaskUIDList": batch})
            details = answer.get("TaskDetailList")
            if not isinstance(details, list | None):
                raise AnswerInvalid("ListTasksDetails: TaskDetailList is not a list")
            for value in details or ():
                detail = read_task(value, self._clean)
                if detail is not None and detail.task_uid in batch:
                    found[detail.task_uid] = detail
        return [found[uid] for uid in wanted if uid in found]

    def submit(
        self,
        image: bytes,
        media_type: str,
        params: MattingParameters,
        request_uuid: str,
    ) -> str:
        """Queues one RemoveBackground task. This is the call that costs credits.

        It is tried again only after a fault which proves that nothing was queued: the request
        never left whole (refused connections, names that do not resolve, resets while sending),
        the server said that it did not take it up (HTTP 408, 425, 429), or it gave a RetCode of
        ``retry_codes``. A reset or time-out after the whole request was sent, a 5xx without a
        RetCode, an answer that cannot be read or that bears another ``request_uuid``: all these
        may have been billed.

        Args:
            image: The picture's bytes, as `prepare_upload` gives them.
            media_type: Their type, such as ``image/jpeg``.
            params: The matting parameters. ``keep_shadow`` is unknown to the API and not sent.
            request_uuid: The caller's UUID for this task; echoed by the API.

        Returns:
            The TaskUID.

        Raises:
            SubmitUnknown: A task may or may not have been queued and billed.
            ApiRefused: The API refused it for good; nothing was queued.
            ApiUnavailable: Transient faults, and the retries are used up; nothing was queued.
        """

        def accept(answer: Mapping[str, object]) -> None:
            if not is_task_uid(answer.get("TaskUID")):
                raise _Transient("its TaskUID is missing or malformed", maybe_done=True)

        action = "RemoveBackground"
        body = self._body(action, request_uuid, _task_fields(image, media_type, params))
        answer = self._call(action, request_uuid, body, buys=True, accept=accept)
        return str(answer["TaskUID"])

    def download(self, url: str) -> bytes:
        """Fetches one result image.

        Only over https (plain http to loopback where the endpoint is loopback itself), only
        from the API's own domain or ``allowed_hosts``, only from public addresses, and the
        address that was checked is the one connected to. A redirect is followed within the
        same origin only.

        Returns:
            The bytes of a PNG, JPEG or WebP file, at most ``max_result_bytes``.

        Raises:
            ResultRefused: The URL must not be fetched, or the result is too large.
            TaskExpired: The result is gone (HTTP 403, 404, 410).
            ApiUnavailable: Transient faults, and the retries are used up.
            AnswerInvalid: What came is not a whole picture.
        """

        def attempt() -> bytes:
            answer = self._fetcher.fetch(url)
            reason = _transient_status(answer)
            if reason is not None:
                raise reason
            return self._fetcher.picture(url, answer)

        return self._persist(f"the download of {shown_url(url)}", attempt, buys=False)

    def _ask(self, action: str, params: dict[str, object]) -> Mapping[str, object]:
        request_uuid = str(uuid.uuid4())
        body = self._body(action, request_uuid, params)
        return self._call(action, request_uuid, body, buys=False)

    def _body(self, action: str, request_uuid: str, params: dict[str, object]) -> bytes:
        request = self._signed({"Action": action, "request_uuid": request_uuid, **params})
        return json.dumps(request, separators=(",", ":")).encode("ascii")

    def _call(
        self,
        action: str,
        request_uuid: str,
        body: bytes,
        *,
        buys: bool,
        accept: Callable[[Mapping[str, object]], None] | None = None,
    ) -> Mapping[str, object]:
        def attempt() -> Mapping[str, object]:
            answer = exchange(
                self._pool,
                "POST",
                self._target,
                headers={"Content-Type": "application/json"},
                body=body,
                max_bytes=self._max_response_bytes,
                body_seconds=self._read_timeout,
            )
            fields = self._read(action, request_uuid, answer, buys)
            if accept is not None:
                accept(fields)
            return fields

        return self._persist(
            f"{action} at {self.endpoint}",
            attempt,
            buys=buys,
            request_uuid=request_uuid,
            paced=True,
        )

    def _persist(
        self,
        what: str,
        attempt: Callable[[], Any],
        *,
        buys: bool,
        request_uuid: str = "",
        paced: bool = False,
    ) -> Any:
        """Tries until it works, the fault is permanent, or the backoff's bounds are reached."""
        started = self._clock()
        failures = 0
        while True:
            if paced:
                self._throttled(self._pace.wait(ahead=not buys))
            try:
                with self._slots:
                    return attempt()
            except ExchangeFailed as error:
                fault = _Transient(
                    error.reason,
                    maybe_done=error.delivered,
                    slow_down=error.timed_out,
                    permanent=error.permanent,
                )
            except AnswerTooLarge as error:
                fault = _Transient(
                    f"the answer is too large ({error})",
                    maybe_done=True,
                    code=ErrorCode.API_ANSWER,
                    permanent=True,
                )
            except _Transient as error:
                fault = error
            if fault.slow_down and paced:
                self._pace.push_back()
            if buys and fault.maybe_done:
                raise SubmitUnknown(
                    f"{what}, request_uuid {request_uuid}: {fault.reason}; a task may have been "
                    "queued and billed, look in the vendor's console before submitting again",
                    ret_code=fault.ret_code,
                    request_uuid=request_uuid,
                    task_uid=fault.task_uid,
                )
            failures += 1
            wait = self._backoff.wait(failures, fault.retry_after, self._rng)
            late = self._clock() + wait - started > self._backoff.total_seconds
            if fault.permanent or late or failures >= self._backoff.attempts:
                raise self._given_up(what, fault, failures, wait if late else None)
            self._sleep(wait)
            self._throttled(wait)

    def _given_up(
        self, what: str, fault: _Transient, failures: int, wait: float | None
    ) -> PicpikError:
        times = "1 attempt" if failures == 1 else f"{failures} attempts"
        text = f"{what} failed after {times}: {fault.reason}"
        if wait is not None:
            text += (
                f"; a wait of {wait:.0f} s more would pass the {self._backoff.total_seconds:g} s"
            )
        if fault.code is ErrorCode.API_ANSWER:
            return AnswerInvalid(text, ret_code=fault.ret_code)
        return ApiUnavailable(f"{text}; run the job again later", ret_code=fault.ret_code)

    def _throttled(self, seconds: float) -> None:
        if seconds <= 0:
            return
        with self._lock:
            self._throttled_seconds += seconds
        if self._on_throttled is not None:
            self._on_throttled(seconds)

    def _read(
        self, action: str, request_uuid: str, answer: Answer, buys: bool
    ) -> Mapping[str, object]:
        """Checks an answer's common fields; returns it when RetCode is 0."""
        fields = _json_object(answer.body)
        code = None if fields is None else fields.get("RetCode")
        if isinstance(code, bool) or not isinstance(code, int):
            code = None
        if answer.status in (301, 302, 303, 307, 308):
            raise _Transient(
                f"HTTP {answer.status}: it redirects elsewhere, which is never followed; "
                "check the endpoint",
                maybe_done=answer.status < 307,  # 307 and 308 ask for the request to be repeated
                permanent=True,
                code=ErrorCode.API_ANSWER,
            )
        if fields is None or code is None:
            fault = _transient_status(answer)
            if fault is not None:
                raise fault
            if 400 <= answer.status < 500:
                raise ApiRefused(
                    f"{action}: HTTP {answer.status} without a RetCode; "
                    "check the endpoint and the keys"
                )
            raise _Transient(
                f"HTTP {answer.status}: the answer is not a JSON object with a RetCode",
                maybe_done=True,
                code=ErrorCode.API_ANSWER,
            )
        echoed = fields.get("request_uuid")
        said = fields.get("Action")
        uid = fields.get("TaskUID")
        for wrong, reason in (
            (echoed not in (None, "", request_uuid), "it bears another request_uuid"),
            (said not in (None, "", action, f"{action}Response"), "it is for another Action"),
        ):
            if wrong:
                raise _Transient(
                    f"the answer contradicts the request: {reason}",
                    maybe_done=True,
                    task_uid=str(uid) if is_task_uid(uid) else "",
                    code=ErrorCode.API_ANSWER,
                )
        if code == 0 and answer.status < 400:
            return fields
        message = fields.get("Message")
        reason = f"RetCode {code}: {self._clean(message) if isinstance(message, str) else ''}"
        if code == 0:
            fault = _transient_status(answer)
            raise fault or ApiRefused(f"{action}: HTTP {answer.status}, {reason}", ret_code=code)
        # A RetCode is the API's own word that it did not do what was asked. With a 5xx beside it
        # a call that buys is refused rather than tried again: too much is at stake on a detail.
        failing = answer.status >= 500 and not buys
        if code in self._retry_codes or answer.status in _NOT_TAKEN or failing:
            raise _Transient(
                reason,
                maybe_done=False,
                slow_down=True,
                retry_after=retry_after_seconds(answer.headers.get("retry-after")),
                ret_code=code,
            )
        raise ApiRefused(f"{action}: the API refused it: {reason}", ret_code=code)


def find_lost(client: PicpikClient, known: Iterable[str]) -> list[str]:
    """Looks in ListRunningTasks for tasks that no known task explains.

    A free call that may shed light on submissions whose answers were lost. What it can tell is
    little, as the list bears neither request_uuid nor image:

    - A UID in the result belongs to a lost submission, *or* to another program that uses the
      same keys, or to a submission of another worker whose answer is on its way.
    - An empty result proves nothing: the lost task may have ended already, and leaves the list
      then.

    So it can show that money was probably spent; it can never show that none was.

    Args:
        client: Whom to ask.
        known: Every TaskUID that the caller can account for.

    Returns:
        The running UIDs that are not known, in the API's order.
    """
    explained = set(known)
    return [uid for uid in client.running_tasks() if uid not in explained]


def _task_fields(image: bytes, media_type: str, params: MattingParameters) -> dict[str, object]:
    fields: dict[str, object] = {
        "RawImage": f"data:{media_type};base64,{base64.b64encode(image).decode('ascii')}",
        "ErodeSize": params.erode_size,
        "ForegroundThreshold": params.foreground_threshold,
        "BackgroundThreshold": params.background_threshold,
        "HairOptimization": params.hair_optimization,
        "OnlyMask": params.only_mask,
    }
    if params.box is not None:
        fields["Box"] = list(params.box)
    return fields


def _split_endpoint(endpoint: str) -> tuple[str, str, int | None, str]:
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise ValueError(f"endpoint: {endpoint!r} is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("endpoint: it must hold no user name or password")
    if not parts.hostname or parts.query or parts.fragment or parts.scheme not in ("http", "https"):
        raise ValueError(f"endpoint: {endpoint!r} is not a plain URL like {INTERNATIONAL}")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"endpoint: {endpoint!r} must be https; http is for loopback only")
    return parts.scheme, parts.hostname, port, parts.path or "/"


def _json_object(body: bytes) -> Mapping[str, object] | None:
    def refuse(text: str) -> object:
        raise ValueError(text)

    with suppress(ValueError, RecursionError):
        value = json.loads(body, parse_constant=refuse)
        if isinstance(value, dict):
            return value
    return None


def _transient_status(answer: Answer) -> _Transient | None:
    """The fault that an HTTP status alone stands for, if it may pass."""
    if answer.status not in _NOT_TAKEN and answer.status < 500:
        return None
    return _Transient(
        f"HTTP {answer.status}",
        maybe_done=answer.status not in _NOT_TAKEN,
        slow_down=True,
        retry_after=retry_after_seconds(answer.headers.get("retry-after")),
    )
