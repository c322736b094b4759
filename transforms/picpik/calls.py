"""One call of the API, or one download, tried until it works: pace, slots and retries."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from alphabeam.transforms import counts
from alphabeam.transforms.errors import ErrorCode
from alphabeam.transforms.pace import Pace
from alphabeam.transforms.picpik.answers import TransientFaultError
from alphabeam.transforms.picpik.errors import (
    AnswerInvalidError,
    ApiUnavailableError,
    PicpikError,
    SubmitUnknownError,
)
from alphabeam.transforms.picpik.transport import AnswerTooLargeError, ExchangeFailedError
from alphabeam.transforms.repeats import Repeats
from alphabeam.transforms.retry import Backoff, Retries

__all__ = ["Calls"]

_log = logging.getLogger(__name__)
_faults = Repeats(_log)

_T = TypeVar("_T")


class Calls:
    """Makes the calls of many threads, and tries each again after faults that may pass.

    Args:
        pace: Spaces the calls of the API.
        max_concurrency: Most calls, downloads included, at one time.
        backoff: How transient faults are tried again.
        on_throttled: Called with the seconds of each wait that the pace or a fault imposed.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
        rng: Source of the jitter.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        max_concurrency: int,
        backoff: Backoff,
        on_throttled: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._pace = pace
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._backoff = backoff
        self._on_throttled = on_throttled
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._throttled_seconds = 0.0

    @property
    def throttled_seconds(self) -> float:
        """Seconds that all threads together waited for the pace or after a fault."""
        with self._lock:
            return self._throttled_seconds

    def until_it_works(
        self,
        what: str,
        attempt: Callable[[], _T],
        *,
        buys: bool,
        paced: bool,
        request_uuid: str = "",
        on_nothing_done: Callable[[], object] | None = None,
    ) -> _T:
        """Tries until it works, the fault is permanent, or the backoff's bounds are reached.

        Args:
            what: The call, for messages.
            attempt: Makes it once.
            buys: It costs credits if it is carried out: it is tried again only after a fault
                which proves that it was not.
            paced: It counts as a request of the API.
            request_uuid: Of a call that buys.
            on_nothing_done: Called after each transient fault which proves that the call was
                not carried out, before it is tried again or given up.

        Raises:
            SubmitUnknownError: A call that buys may or may not have been carried out.
            AnswerInvalidError: What came breaks the API's description.
            ApiUnavailableError: Transient faults, and the retries are used up.
            PicpikError: Whatever ``attempt`` raises for good.
        """
        retries = Retries(self._backoff, clock=self._clock, rng=self._rng)
        while True:
            if paced:
                self._throttled(self._pace.wait(ahead=not buys))
            try:
                with self._slots:
                    return attempt()
            except ExchangeFailedError as error:
                fault = TransientFaultError(
                    error.reason,
                    maybe_done=error.delivered,
                    slow_down=error.timed_out,
                    permanent=error.permanent,
                )
            except AnswerTooLargeError as error:
                fault = TransientFaultError(
                    f"the answer is too large ({error})",
                    maybe_done=True,
                    code=ErrorCode.API_ANSWER,
                    permanent=True,
                )
            except TransientFaultError as error:
                fault = error
            if fault.slow_down and paced and self._pace.push_back():
                rate = self._pace.rate or 0.0
                _faults.warn(
                    "push-back",
                    f"{what}: the API pushes back; at most {rate:.1f} requests per second for now",
                )
            if buys and fault.maybe_done:
                raise SubmitUnknownError(
                    f"{what}, request_uuid {request_uuid}: {fault.reason}; a task may have been "
                    "queued and billed, look in the vendor's console before submitting again",
                    ret_code=fault.ret_code,
                    request_uuid=request_uuid,
                    task_uid=fault.task_uid,
                )
            if on_nothing_done is not None:
                on_nothing_done()
            wait = retries.after_failure(fault.retry_after)
            if wait is None or fault.permanent:
                raise self._given_up(what, fault, retries)
            counts.add("api_retries")
            asked = f"{what}, request_uuid {request_uuid}" if buys else what
            _faults.warn(
                f"{'API' if paced else 'result'}: {fault.reason}",
                f"{asked}: {fault.reason}; attempt {retries.failures} of {self._backoff.attempts} "
                f"failed, next one in {wait:.1f} s",
            )
            self._sleep(wait)
            self._throttled(wait)

    def _given_up(self, what: str, fault: TransientFaultError, retries: Retries) -> PicpikError:
        times = "1 attempt" if retries.failures == 1 else f"{retries.failures} attempts"
        text = f"{what} failed after {times}: {fault.reason}"
        if retries.refused_wait is not None and not fault.permanent:
            text += (
                f"; a wait of {retries.refused_wait:.0f} s more would pass the "
                f"{self._backoff.total_seconds:g} s"
            )
        if fault.code is ErrorCode.API_ANSWER:
            return AnswerInvalidError(text, ret_code=fault.ret_code)
        return ApiUnavailableError(f"{text}; run the job again later", ret_code=fault.ret_code)

    def _throttled(self, seconds: float) -> None:
        if seconds <= 0:
            return
        with self._lock:
            self._throttled_seconds += seconds
        if self._on_throttled is not None:
            self._on_throttled(seconds)
