"""The client of the PICPIK API: signed calls, and errors classified by what they cost."""

from __future__ import annotations

import base64
import json
import math
import random
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import urllib3

from alphabeam.transforms.pace import Pace
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik.answers import TransientFaultError, read_answer, transient_status
from alphabeam.transforms.picpik.calls import Calls
from alphabeam.transforms.picpik.connections import connections, tls_context
from alphabeam.transforms.picpik.download import ResultFetcher
from alphabeam.transforms.picpik.endpoint import split_endpoint
from alphabeam.transforms.picpik.errors import AnswerInvalidError, ApiRefusedError, KeysRefusedError
from alphabeam.transforms.picpik.signature import sign
from alphabeam.transforms.picpik.tasks import TaskDetail, is_task_uid, read_task
from alphabeam.transforms.picpik.transport import exchange
from alphabeam.transforms.redaction import redact
from alphabeam.transforms.retry import Backoff, Deadline

__all__ = ["Intent", "PicpikClient"]


class Intent(Protocol):
    """The durable note that a task is about to be bought.

    It is written as late as it can be: when the pace has let the request through and all but its
    last bytes have left. A process that is killed before has bought nothing, and notes nothing.
    """

    def write(self) -> None:
        """Makes the intent durable; the server has not got the whole request yet."""
        ...

    def withdraw(self) -> None:
        """Takes it back, if it was written: a fault proves that nothing was bought."""
        ...


class PicpikClient:
    """Talks to one endpoint with one pair of keys. Safe to share among threads.

    Connections are kept and used again. A transient fault (HTTP 429, 5xx, a lost connection, a
    time-out, a RetCode in ``retry_codes``) is tried again with exponential backoff and full
    jitter, and the client as a whole goes slower while the server pushes back. The one call
    that costs money, `submit`, is tried again only where the fault proves that nothing was
    bought; else it raises `SubmitUnknownError`.

    The object cannot be pickled, as it holds a key: build it where it is used.

    Args:
        endpoint: ``https://api.picpik.ai`` (international), ``https://api.picpikai.com``
            (China), or another https URL. Plain http is taken for loopback only.
        public_key: From the vendor's user centre.
        private_key: Signs, and never travels.
        connect_timeout: Seconds to connect, and to hand over 64 KiB of a request.
        read_timeout: Seconds without a byte before an answer counts as lost.
        request_timeout: Seconds, the most that one request of the API may take as a whole: to
            connect, send, and read the answer.
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
        request_timeout: float = 300.0,
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
            ("request_timeout", request_timeout),
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
        scheme, host, port, self._target = split_endpoint(endpoint)
        self.endpoint = endpoint
        self._retry_codes = frozenset(retry_codes)
        self._max_response_bytes = max_response_bytes
        self._request_timeout = request_timeout
        self._batch_length = batch_length
        self._pace = Pace(requests_per_second, clock=clock, sleep=sleep)
        self._calls = Calls(
            self._pace,
            max_concurrency=max_concurrency,
            backoff=backoff or Backoff(),
            on_throttled=on_throttled,
            clock=clock,
            sleep=sleep,
            rng=rng,
        )
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
        return self._calls.throttled_seconds

    def set_requests_per_second(self, requests_per_second: float) -> None:
        """Sets another ceiling of this client's API requests; over 0."""
        self._pace.set_limit(requests_per_second)

    def close(self) -> None:
        """Closes the connections that are kept."""
        self._pool.close()
        self._fetcher.close()

    def check_keys(self) -> list[str]:
        """Makes the free call ListRunningTasks, to see whether the keys are right.

        Returns:
            The running tasks' UIDs, as `running_tasks`.

        Raises:
            KeysRefusedError: The API refused a call that carries nothing but the keys.
            ApiUnavailableError: Transient faults, and the retries are used up.
            AnswerInvalidError: What answers at the endpoint is not the API.
        """
        try:
            return self.running_tasks()
        except ApiRefusedError as error:
            raise KeysRefusedError(
                f"{self.endpoint} refused the keys: {error.message}; "
                "check both keys, and that they belong to this endpoint's region",
                ret_code=error.ret_code,
            ) from None

    def running_tasks(self) -> list[str]:
        """UIDs of the account's tasks now queued or running (ListRunningTasks).

        Raises:
            ApiRefusedError: The API refused the call.
            ApiUnavailableError: Transient faults, and the retries are used up.
            AnswerInvalidError: The answer breaks the API's description.
        """
        answer = self._ask("ListRunningTasks", {})
        uids = answer.get("TaskUIDList")
        if uids is None:  # how Go writes an empty list
            return []
        if not isinstance(uids, list) or not all(is_task_uid(uid) for uid in uids):
            raise AnswerInvalidError("ListRunningTasks: TaskUIDList is not a list of TaskUIDs")
        return uids

    def tasks(self, uids: Sequence[str], /) -> list[TaskDetail]:
        """Details of many tasks (ListTasksDetails), in calls of ``batch_length`` UIDs.

        Args:
            uids: The tasks; those named twice are asked for once.

        Returns:
            The details that the API gave for these tasks; a task that it does not mention is
            absent.

        Raises:
            ApiRefusedError: The API refused the call.
            ApiUnavailableError: Transient faults, and the retries are used up.
            AnswerInvalidError: The answer as a whole breaks the API's description. A single bad
                element is a `TaskDetail` with its ``defect`` set.
        """
        wanted = list(dict.fromkeys(uids))
        found: dict[str, TaskDetail] = {}
        for start in range(0, len(wanted), self._batch_length):
            batch = wanted[start : start + self._batch_length]
            answer = self._ask("ListTasksDetails", {"TaskUIDList": batch})
            details = answer.get("TaskDetailList")
            if not isinstance(details, list | None):
                raise AnswerInvalidError("ListTasksDetails: TaskDetailList is not a list")
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
        intent: Intent | None = None,
    ) -> str:
        """Queues one RemoveBackground task. This is the call that costs credits.

        It is tried again only after a fault which proves that nothing was queued: the request
        never left whole (refused connections, names that do not resolve, resets while sending),
        the server said that it did not take it up (HTTP 408, 425, 429), or it gave a RetCode of
        ``retry_codes``. A reset or time-out after the whole request was sent, a 5xx without a
        RetCode, an answer that cannot be read or that has another ``request_uuid``: all these
        may have been billed.

        Args:
            image: The picture's bytes, as `prepare_upload` gives them.
            media_type: Their type, such as ``image/jpeg``.
            params: The matting parameters. ``keep_shadow`` is unknown to the API and not sent.
            request_uuid: The caller's UUID for this task; echoed by the API.
            intent: What makes the submission durable before it can take effect.

        Returns:
            The TaskUID.

        Raises:
            SubmitUnknownError: A task may or may not have been queued and billed.
            ApiRefusedError: The API refused it for good; nothing was queued.
            ApiUnavailableError: Transient faults, and the retries are used up; nothing was queued.
            RowError: What ``intent`` raises; nothing was queued.
        """

        def accept(answer: Mapping[str, object]) -> None:
            if not is_task_uid(answer.get("TaskUID")):
                raise TransientFaultError("its TaskUID is missing or malformed", maybe_done=True)

        action = "RemoveBackground"
        body = self._body(action, request_uuid, _task_fields(image, media_type, params))
        answer = self._call(action, request_uuid, body, buys=True, accept=accept, intent=intent)
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
            ResultRefusedError: The URL must not be fetched, or the result is too large.
            TaskExpiredError: The result is gone (HTTP 403, 404, 410).
            ApiUnavailableError: Transient faults, and the retries are used up.
            AnswerInvalidError: What came is not a whole picture.
        """

        def attempt() -> bytes:
            answer = self._fetcher.fetch(url)
            reason = transient_status(answer)
            if reason is not None:
                raise reason
            return self._fetcher.picture(url, answer)

        return self._calls.until_it_works(
            f"the download of {redact(url)}", attempt, buys=False, paced=False
        )

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
        intent: Intent | None = None,
    ) -> Mapping[str, object]:
        def attempt() -> Mapping[str, object]:
            answer = exchange(
                self._pool,
                "POST",
                self._target,
                headers={"Content-Type": "application/json"},
                body=body,
                max_bytes=self._max_response_bytes,
                deadline=Deadline(self._request_timeout),
                before_last=None if intent is None else intent.write,
            )
            fields = read_answer(
                answer,
                action=action,
                request_uuid=request_uuid,
                buys=buys,
                retry_codes=self._retry_codes,
                clean=self._clean,
            )
            if accept is not None:
                accept(fields)
            return fields

        return self._calls.until_it_works(
            f"{action} at {self.endpoint}",
            attempt,
            buys=buys,
            paced=True,
            request_uuid=request_uuid,
            on_nothing_done=None if intent is None else intent.withdraw,
        )


def _task_fields(image: bytes, media_type: str, params: MattingParameters) -> dict[str, object]:
    data = f"data:{media_type};base64,{base64.b64encode(image).decode('ascii')}"
    return {"RawImage": data, **params.api_fields()}
