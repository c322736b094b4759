"""The PICPIK backend: submit, remember, wait, download; and never pay twice.

Each picture's whole way, from the submission to the result, is one piece of work on one thread of
the step's pool. What makes it safe to be run again is the ledger and not a shuffle: an intent is
durable before a task is submitted, its TaskUID before it is waited for, and both are looked up
first. A shuffle between submitting and collecting would be a barrier in a batch pipeline: the
first result would be collected after the last image was submitted, when a large job's first
results are long gone (they live 24 hours).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from apache_beam.utils.shared import Shared

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import Limits, decode
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.metadata import RESUBMITTED
from alphabeam.transforms.picpik import (
    INTERNATIONAL,
    AnswerInvalid,
    ApiRefused,
    ApiUnavailable,
    PicpikClient,
    PicpikError,
    SubmitUnknown,
    TaskDetail,
    TaskFailed,
    TaskTimeout,
    find_lost,
    fit_box,
    matte_from_result,
    prepare_upload,
)
from alphabeam.transforms.rows import Picture, Row
from alphabeam.transforms.secret_refs import references, resolve

__all__ = ["PicpikBackend"]

_RESULT_LIFE_S = 24 * 3600  # the vendor keeps results for 24 hours
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_BROKEN_ROUNDS = 5  # answers in a row that break the API's description before the wait is given up
_PIXELS_IN_FLIGHT = 400_000_000  # at 5 bytes each, should every result be waiting to be written
_OF_READING = frozenset(
    {
        ErrorCode.TOO_LARGE,
        ErrorCode.EMPTY_FILE,
        ErrorCode.NOT_AN_IMAGE,
        ErrorCode.TRUNCATED_IMAGE,
        ErrorCode.UNSUPPORTED_IMAGE,
    }
)


@dataclass(frozen=True)
class PicpikBackend:
    """The signed PICPIK API.

    Attributes:
        directory: The job's output, where its ledger is.
        public_key: A reference such as ``${env:PICPIK_PUBLIC_KEY}``, resolved on the worker.
        private_key: Likewise.
        endpoint: The API's URL; the region goes by it.
        max_concurrency: Requests at one time, per process.
        tasks_in_flight: Images submitted or waited for at one time, per process.
        requests_per_second: Ceiling of API requests, per process; None for none.
        task_timeout: Seconds to wait for one task.
        connect_timeout: Seconds.
        read_timeout: Seconds without a byte.
        max_upload_bytes: Larger images are encoded again.
        max_result_bytes: Larger results are refused.
        retry_codes: RetCodes to try again.
        allowed_hosts: Hosts beside the API's own domain that results may come from.
        resubmit_unknown: Submit again what may have been bought without its TaskUID being known.
        max_credits: Stop submitting once this run's tasks have cost as much, per process. Tasks
            not yet ended count at the highest price seen; the first task alone shows the price.
        max_tasks: Most tasks to submit in this run, per process.
        ca_bundle: PEM file of the authorities to trust.
        storage_options: Options for fsspec, by protocol.

    Raises:
        ValueError: The private key is given itself: it would stand in the graph.
    """

    directory: str
    public_key: str = field(default="${env:PICPIK_PUBLIC_KEY}", repr=False)
    private_key: str = field(default="${env:PICPIK_PRIVATE_KEY}", repr=False)
    endpoint: str = INTERNATIONAL
    max_concurrency: int = 16
    tasks_in_flight: int = 64
    requests_per_second: float | None = None
    task_timeout: float = 600.0
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    max_upload_bytes: int = 10_000_000
    max_result_bytes: int = 128 << 20
    retry_codes: tuple[int, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    resubmit_unknown: bool = False
    max_credits: int | None = None
    max_tasks: int | None = None
    ca_bundle: str | None = None
    storage_options: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not references(self.private_key):
            raise ValueError(
                "private_key: give a reference such as ${env:PICPIK_PRIVATE_KEY} or "
                "${file:/path}, never the key itself: it would stand in the graph"
            )

    @property
    def threads(self) -> int:
        """One for each image in flight: they wait nearly all the time."""
        return self.tasks_in_flight

    @property
    def depth(self) -> int:
        """Half as many again wait for a thread."""
        return self.tasks_in_flight + self.tasks_in_flight // 2

    @property
    def pixels_in_flight(self) -> int:
        """Bounds what is in memory: encoded images, and results that wait to be written."""
        return _PIXELS_IN_FLIGHT

    @property
    def throttled_seconds(self) -> float:
        """How long this process's requests were held back so far, over all threads."""
        return self._session().client.throttled_seconds

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its result by this backend has."""
        return row.fingerprinted("picpik", None, None)

    def client(self) -> PicpikClient:
        """A new client with the resolved keys.

        Raises:
            SecretError: A key cannot be resolved.
            ValueError: The endpoint or a bound is wrong.
        """
        return PicpikClient(
            self.endpoint,
            resolve(self.public_key),
            resolve(self.private_key),
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            max_result_bytes=self.max_result_bytes,
            retry_codes=self.retry_codes,
            requests_per_second=self.requests_per_second,
            max_concurrency=self.max_concurrency,
            allowed_hosts=self.allowed_hosts,
            ca_bundle=self.ca_bundle,
        )

    def open(self, limits: Limits) -> Callable[[Picture], Picture]:
        """What does the work on this worker; called once a process and step."""
        session = self._session()
        return lambda picture: session.remove(picture, limits)

    def would_submit(self, row: Row) -> bool:
        """Whether the row, which is not finished, would be submitted and paid for.

        Raises:
            RowError: The ledger cannot be asked.
        """
        found = _submissions(self).find(self.fingerprinted(row).fingerprint or "")
        if found is None:
            return True
        return not _is_alive(found) and (self.resubmit_unknown or not found.is_unknown)

    def _session(self) -> _Session:
        return self._shared.acquire(lambda: _Session(self))


def _submissions(backend: PicpikBackend) -> Submissions:
    return Submissions(backend.directory, backend.storage_options)


def _is_alive(submission: Submission) -> bool:
    young = time.time() - submission.submitted_at < _RESULT_LIFE_S
    return bool(submission.task_uid) and young and not submission.ended


class _Session:
    """One process's client, budget and watch over its tasks."""

    def __init__(self, backend: PicpikBackend) -> None:
        self._backend = backend
        self.client = backend.client()
        self._ledger = _submissions(backend)
        self._watch = _Watch(self.client)
        self._budget = _Budget(backend.max_tasks, backend.max_credits)
        self._locks = _Locks()
        # Most of the threads wait for the API; few of them may hold decoded pictures.
        self._decoding = threading.Semaphore(os.cpu_count() or 1)
        # The client lets requests wait for their turns in line. Were all the threads in it, the
        # one request that asks for everybody's task would come last.
        self._submitting = threading.Semaphore(backend.max_concurrency)
        # What the ledger could not be told, by fingerprint.
        self._unwritten: dict[str, Submission] = {}
        # What only a later run may buy anew: a second row with the same work fails likewise.
        self._lost: dict[str, tuple[ErrorCode, str]] = {}

    def remove(self, picture: Picture, limits: Limits) -> Picture:
        row = self._backend.fingerprinted(picture.row)
        began = time.perf_counter()
        try:
            # Two rows may ask for the same work: the second finds the first one's task.
            with self._locks.of(row.fingerprint or ""):
                submission, bought = self._submitted(row, picture.data, limits)
            row = row._replace(
                task_uid=submission.task_uid,
                attempts=submission.attempts,
                flags=_flags(submission),
            )
            detail = self._ended_task(submission, bought)
            row = row._replace(credits=detail.credits if submission.row_id == row.id else 0)
            result = self._result(submission, detail)
            with self._decoding:
                pixels = decode(picture.data, limits)
                alpha, rgba = matte_from_result(pixels, result, row.only_mask)
            picture.alpha, picture.rgba = alpha, rgba
            row = row._replace(
                subject_box=_subject_box(alpha),
                coverage=float(alpha.mean()) / 255,
                remove_ms=1000 * (time.perf_counter() - began),
            )
        except Exception as error:
            row = row.failed(_stage(error), error)
        picture.row, picture.data = row, b""
        return picture

    def _submitted(self, row: Row, data: bytes, limits: Limits) -> tuple[Submission, bool]:
        """The row's task, from the ledger or newly bought, and whether it was bought now."""
        fingerprint = row.fingerprint or ""
        if fingerprint in self._lost:
            raise RowError(*self._lost[fingerprint])
        found = self._unwritten.get(fingerprint) or self._ledger.find(fingerprint)
        if found is not None:
            if _is_alive(found):
                return found, False
            if found.is_unknown and not self._backend.resubmit_unknown:
                raise SubmitUnknown(
                    f"the submission of {_utc(found.submitted_at)}, request_uuid "
                    f"{found.request_uuid}, was cut off and may have been billed; look at the "
                    "account's tasks, then set backend.resubmit_unknown: true",
                    request_uuid=found.request_uuid,
                )
        self._budget.take()
        intent = Submission(
            fingerprint,
            row.request_uuid,
            "",
            time.time(),
            row_id=row.id,
            attempts=found.attempts + 1 if found else 1,
            unknown=found.unknown + found.is_unknown if found else 0,
        )
        try:
            with self._decoding:
                pixels = decode(data, limits)
                parameters = fit_box(row.parameters, pixels.shape[1], pixels.shape[0])
                upload = prepare_upload(
                    data, pixels, max_upload_bytes=self._backend.max_upload_bytes
                )
                del pixels
            intent = replace(intent, sent=upload.encoding)
        except BaseException:
            self._budget.give_back()
            raise
        try:
            with self._submitting:
                # As late as can be, so that a kill finds few intents that nothing came of.
                intent = replace(intent, submitted_at=time.time())
                self._ledger.put(intent)
                task_uid = self.client.submit(
                    upload.data, upload.media_type, parameters, row.request_uuid
                )
        except SubmitUnknown as error:  # the intent stays, and says so to later runs
            self._budget.cost(None)
            with self._submitting:
                error = self._explained(error)
            raise self._remembered(fingerprint, error) from None
        except RowError:
            # Every other fault of the ledger's or the client's proves that nothing was bought.
            self._budget.give_back()
            self._forget(intent, found)
            raise
        except BaseException:
            self._budget.cost(None)
            raise
        submission = replace(intent, task_uid=task_uid)
        # The task is paid for: a ledger that cannot be written is no reason to drop its result.
        # A later run would find the intent, and not submit again.
        try:
            self._ledger.put(submission)
        except RowError:
            self._unwritten[fingerprint] = submission
        return submission, True

    def _forget(self, intent: Submission, found: Submission | None) -> None:
        """Takes an intent back: the ledger holds again what it held before."""
        with suppress(RowError):  # the fault at hand is the one to tell
            if found is None:
                self._ledger.delete(intent.fingerprint)
            else:
                self._ledger.put(found)

    def _explained(self, error: SubmitUnknown) -> SubmitUnknown:
        """The error, with what ListRunningTasks can tell."""
        try:
            running = find_lost(self.client, self._watch.waited_for())
        except PicpikError:
            return error
        if not running:
            return error
        some = ", ".join(running[:3]) + (", …" if len(running) > 3 else "")
        return SubmitUnknown(
            f"{error.message}; the task may be among the {len(running)} now running that this "
            f"process does not wait for: {some}",
            ret_code=error.ret_code,
            request_uuid=error.request_uuid,
            task_uid=error.task_uid,
        )

    def _remembered(self, fingerprint: str, error: PicpikError) -> PicpikError:
        self._lost[fingerprint] = (error.code, error.message)
        return error

    def _ended_task(self, submission: Submission, bought: bool) -> TaskDetail:
        """Waits for a task, and counts what it cost."""
        detail: TaskDetail | None = None
        try:
            detail = self._watch.wait(submission.task_uid, self._backend.task_timeout)
            return detail
        finally:
            if bought:
                self._budget.cost(None if detail is None else detail.credits)
            if detail is None and submission.fingerprint in self._unwritten:
                with suppress(RowError):  # a later run is to collect it
                    self._ledger.put(submission)

    def _result(self, submission: Submission, detail: TaskDetail) -> bytes:
        try:
            url = detail.result_url()
        except TaskFailed as error:
            # Nothing is left to collect, so a later run may submit the image again. A result that
            # cannot be fetched is another matter: it was paid for, and is asked for again until
            # its 24 hours are over.
            self._remembered(submission.fingerprint, error)
            with suppress(RowError):
                self._ledger.put(replace(submission, ended=error.code.value))
            raise
        return self.client.download(url)


def _flags(submission: Submission) -> tuple[str, ...]:
    """What to look at: an upload that was encoded again, a task that may be bought twice."""
    flags = []
    if submission.sent != "original":
        flags.append(f"sent_{submission.sent}".replace("-", "_"))
    if submission.unknown:
        flags.append(RESUBMITTED)
    return tuple(flags)


def _stage(error: Exception) -> str:
    """The step that an error belongs to: pictures are only decoded here."""
    of_reading = isinstance(error, RowError) and error.code in _OF_READING
    return "read" if of_reading and not isinstance(error, PicpikError) else "remove"


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


class _Watch:
    """Asks for all tasks that are waited for, many in a call, on one thread."""

    def __init__(self, client: PicpikClient) -> None:
        self._client = client
        self._changed = threading.Condition()
        self._waiting: dict[str, tuple[Future[TaskDetail], int]] = {}
        self._thread: threading.Thread | None = None

    def wait(self, task_uid: str, timeout: float) -> TaskDetail:
        """Waits until a task has ended, well or badly.

        Raises:
            TaskTimeout: It had not ended in time.
            PicpikError: The API refuses to be asked.
        """
        with self._changed:
            future, waiters = self._waiting.get(task_uid, (Future(), 0))
            self._waiting[task_uid] = (future, waiters + 1)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="picpik-watch", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise TaskTimeout(
                f"task {task_uid} had not ended after {timeout:.0f} s; "
                "run the job again to collect it, or raise backend.task_timeout"
            ) from None
        finally:
            with self._changed:
                future, waiters = self._waiting[task_uid]
                if waiters == 1:
                    del self._waiting[task_uid]
                else:
                    self._waiting[task_uid] = (future, waiters - 1)

    def waited_for(self) -> list[str]:
        """The tasks that are waited for."""
        with self._changed:
            return list(self._waiting)

    def _run(self) -> None:
        pause, broken = _FIRST_PAUSE_S, 0
        jitter = random.Random()  # workers must not ask in step
        while True:
            with self._changed:
                while not self._unresolved():
                    if not self._changed.wait(timeout=60.0) and not self._waiting:
                        self._thread = None
                        return
                uids = self._unresolved()
            ended = 0
            try:
                ended, broken = self._ask(uids), 0
            except ApiUnavailable:
                pass  # the tasks are paid for: their own time-outs end the wait, not an outage
            except AnswerInvalid as error:
                broken += 1
                if broken >= _BROKEN_ROUNDS:
                    self._settle(uids, error)
            except Exception as error:
                self._settle(uids, error)
            pause = _FIRST_PAUSE_S if ended else min(_LONGEST_PAUSE_S, pause * 1.3)
            time.sleep(pause * jitter.uniform(0.75, 1.25))

    def _ask(self, uids: list[str]) -> int:
        """Settles those tasks that have ended; returns how many."""
        try:
            ended = [d for d in self._client.tasks(uids) if d.state != "running"]
        except ApiRefused as error:
            if len(uids) == 1:
                self._settle(uids, error)
                return 1
            # One task that the API does not know may spoil the list for all the others.
            half = len(uids) // 2
            return self._ask(uids[:half]) + self._ask(uids[half:])
        for detail in ended:
            self._settle([detail.task_uid], detail)
        return len(ended)

    def _unresolved(self) -> list[str]:
        return [uid for uid, (future, _) in self._waiting.items() if not future.done()]

    def _settle(self, uids: list[str], outcome: TaskDetail | Exception) -> None:
        with self._changed:
            for uid in uids:
                future, _ = self._waiting.get(uid, (None, 0))
                if future is None or future.done():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)


class _Budget:
    """Counts what this process buys, and says when to stop."""

    def __init__(self, max_tasks: int | None, max_credits: int | None) -> None:
        self._max_tasks = max_tasks
        self._max_credits = max_credits
        self._changed = threading.Condition()
        self._tasks = 0
        self._credits = 0
        self._price: int | None = None  # the most that a task has cost so far, at least 1
        self._open = 0  # tasks whose cost is yet to be seen
        self._never_told = 0  # tasks whose cost will not be seen

    def take(self) -> None:
        """Takes one task out of the budget; `give_back` or `cost` must follow.

        Raises:
            RowError: ``budget_spent``.
        """
        with self._changed:
            if self._max_credits:
                # Until one task has shown the price, a second could be one too many.
                self._changed.wait_for(lambda: self._price is not None or not self._open)
            if self._max_tasks is not None and self._tasks >= self._max_tasks:
                raise _spent(f"backend.max_tasks {self._max_tasks}")
            reserved = (self._open + self._never_told) * (self._price or 1)
            if self._max_credits is not None and self._credits + reserved >= self._max_credits:
                raise _spent(f"backend.max_credits {self._max_credits}")
            self._tasks += 1
            self._open += 1

    def give_back(self) -> None:
        """A task was not bought after all."""
        with self._changed:
            self._tasks -= 1
            self._open -= 1
            self._changed.notify_all()

    def cost(self, credits: int | None) -> None:
        """A task has cost so much; None where that will not be known."""
        with self._changed:
            self._open -= 1
            if credits is None:
                self._never_told += 1
            else:
                self._credits += credits
                self._price = max(self._price or 1, credits)
            self._changed.notify_all()


def _spent(limit: str) -> RowError:
    return RowError(
        ErrorCode.BUDGET_SPENT, f"{limit} is reached; raise it, or run the job again later"
    )


class _Locks:
    """A lock for each key that is in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def of(self, key: str) -> Iterator[None]:
        with self._lock:
            lock, users = self._held.get(key, (threading.Lock(), 0))
            self._held[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._held[key]
                if users == 1:
                    del self._held[key]
                else:
                    self._held[key] = (lock, users - 1)


def _subject_box(alpha: np.ndarray) -> tuple[int, int, int, int] | None:
    rows = np.flatnonzero(alpha.max(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(alpha.max(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
