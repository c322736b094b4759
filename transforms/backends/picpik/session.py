"""The PICPIK backend: submit, remember, wait, download; and never pay twice.

Each picture's whole way, from the submission to the result, is one piece of work on one thread of
the step's pool. What makes it safe to be run again is the ledger and not a shuffle: an intent is
durable before a task is submitted, its TaskUID before it is waited for, and both are looked up
first. A shuffle between submitting and collecting would be a barrier in a batch pipeline: the
first result would be collected after the last image was submitted, when a large job's first
results are long gone (they live 24 hours).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alphabeam.transforms.backends.picpik.budget import Budget
from alphabeam.transforms.backends.picpik.purchases import Purchase, Purchases
from alphabeam.transforms.cores import cores
from alphabeam.transforms.crashes import waiting, working
from alphabeam.transforms.errors import ErrorCode, RowError, is_out_of_memory
from alphabeam.transforms.images import Decoded, decode_fully
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.locks import KeyedLocks
from alphabeam.transforms.matting.box import BoxOutsideError
from alphabeam.transforms.matting.own_alpha import (
    OWN_ALPHA,
    WHOLE,
    cut_out,
    kept_alpha,
    without_needless_alpha,
)
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import (
    PicpikClient,
    PicpikError,
    TaskDetail,
    TaskFailedError,
    TaskWatch,
    matte_from_result,
)
from alphabeam.transforms.pixels import coverage_of, subject_box
from alphabeam.transforms.rows import RESUBMITTED, Picture, Row
from alphabeam.transforms.thumbnails import preview_of

__all__ = ["Session"]

_log = logging.getLogger(__name__)

_EXPIRED = "result_expired"  # it was bought before, and not collected within 24 hours
_EMPTY = "empty"  # nothing is visible: the local core's word for it
_OF_READING = frozenset(
    {
        ErrorCode.TOO_LARGE,
        ErrorCode.EMPTY_FILE,
        ErrorCode.NOT_AN_IMAGE,
        ErrorCode.TRUNCATED_IMAGE,
        ErrorCode.UNSUPPORTED_IMAGE,
    }
)


class Session:
    """One process's client, purchases, and watch over its tasks.

    Args:
        client: The API.
        ledger: Where submissions are remembered.
        budget: What may be bought.
        fingerprinted: Gives a row the fingerprint of its result.
        fingerprinted_before: Gives it the one under which its task may stand in the ledger since
            before ``keep_shadow`` ceased to count.
        max_concurrency: Most submissions at one time.
        max_upload_bytes: Larger images are encoded again.
        task_timeout: Seconds to wait for one task.
        resubmit_unknown: Submit again what may have been bought without its TaskUID being known.
        run: Whose budget it is.
        intent_life: Seconds to wait for the TaskUID of a task that another process is buying.
    """

    def __init__(
        self,
        client: PicpikClient,
        ledger: Submissions,
        budget: Budget,
        *,
        fingerprinted: Callable[[Row], Row],
        fingerprinted_before: Callable[[Row], Row],
        max_concurrency: int,
        max_upload_bytes: int,
        task_timeout: float,
        resubmit_unknown: bool,
        run: str,
        intent_life: float,
    ) -> None:
        self.client = client
        self._budget = budget
        self._fingerprinted = fingerprinted
        self._fingerprinted_before = fingerprinted_before
        self._ledger = ledger
        self._task_timeout = task_timeout
        self._watch = TaskWatch(client)
        self._purchases = Purchases(
            client,
            ledger,
            budget,
            waited_for=self._watch.waited_for,
            max_concurrency=max_concurrency,
            max_upload_bytes=max_upload_bytes,
            resubmit_unknown=resubmit_unknown,
            run=run,
            intent_life=intent_life,
        )
        self._locks = KeyedLocks()
        # Most of the threads wait for the API; few of them may hold decoded pictures.
        self._decoding = threading.Semaphore(cores())

    def remove(self, picture: Picture) -> Picture:
        """Fills in a picture's alpha, cutout and row, or fails its row."""
        with waiting():
            return self._remove(picture)

    def _remove(self, picture: Picture) -> Picture:
        row = self._fingerprinted(picture.row)
        began = time.perf_counter()
        try:
            own = self._own(picture, row)
            if own is not None:
                picture.row, picture.data = own, b""
                return picture
            row = self._as_bought(row)
            # Two rows may ask for the same work: the second finds the first one's task.
            with self._locks.of(row.fingerprint or ""):
                purchase = self._purchases.task(
                    row, picture.data, lambda: self._decoded(picture, row.parameters)
                )
            submission = purchase.submission
            row = row._replace(
                task_uid=submission.task_uid,
                attempts=submission.attempts,
                flags=_flags(submission),
            )
            detail = self._ended_task(purchase)
            row = row._replace(credits=detail.credits if submission.row_id == row.id else 0)
            result = self._result(submission, detail)
            with self._decoded(picture, row.parameters) as source:
                alpha, rgba = matte_from_result(source.pixels, result, row.parameters.only_mask)
                picture.preview = preview_of(source.pixels)
            picture.alpha, picture.rgba = alpha, rgba
            row = row._replace(
                flags=(*source.flags, *row.flags, *(() if alpha.any() else (_EMPTY,))),
                subject_box=subject_box(alpha),
                coverage=coverage_of(alpha),
                remove_ms=1000 * (time.perf_counter() - began),
            )
        except Exception as error:
            if not isinstance(error, RowError) and not is_out_of_memory(error):
                _log.exception("row %s: a defect of alphabeam; please report it", row.id)
            # What is still to be collected is counted by the run that does, and by that alone.
            credits = row.credits if isinstance(error, TaskFailedError) else None
            row = row.failed(_stage(error), error)._replace(credits=credits)
        picture.row, picture.data = row, b""
        return picture

    def _own(self, picture: Picture, row: Row) -> Row | None:
        """The row of a picture that nobody has to cut out, with its result; nothing is bought."""
        whole = not row.parameters.remove_background
        # A JPEG has no alpha: it need not be decoded to know.
        if not whole and (row.source_format == "jpeg" or row.parameters.own_alpha != "keep"):
            return None
        began = time.perf_counter()
        with self._decoded(picture, row.parameters) as source:
            try:
                alpha = kept_alpha(source.pixels, row.parameters)
            except BoxOutsideError as error:
                raise RowError(ErrorCode.BOX_OUTSIDE, str(error)) from None
            if alpha is None:
                return None
            picture.alpha, picture.preview = alpha, preview_of(source.pixels)
            picture.rgba = None if row.parameters.only_mask else cut_out(source.pixels, alpha)
        return row._replace(
            credits=0,
            confidence=1.0 if whole else None,
            flags=(
                *source.flags,
                *(() if alpha.any() else (_EMPTY,)),
                WHOLE if whole else OWN_ALPHA,
            ),
            subject_box=subject_box(alpha),
            coverage=coverage_of(alpha),
            remove_ms=1000 * (time.perf_counter() - began),
        )

    def _as_bought(self, row: Row) -> Row:
        """The row, under its earlier fingerprint if that is where its task is."""
        before = self._fingerprinted_before(row)
        if before.fingerprint in (None, row.fingerprint):
            return row
        if self._ledger.find(row.fingerprint or "") is not None:
            return row
        return row if self._ledger.find(before.fingerprint or "") is None else before

    @contextmanager
    def _decoded(self, picture: Picture, parameters: MattingParameters) -> Iterator[Decoded]:
        with working(), self._decoding:
            source = decode_fully(picture.data, picture.limits)
            yield source._replace(pixels=without_needless_alpha(source.pixels, parameters))

    def _ended_task(self, purchase: Purchase) -> TaskDetail:
        """Waits for a task, and counts what it cost."""
        detail: TaskDetail | None = None
        try:
            detail = self._watch.wait(purchase.submission.task_uid, self._task_timeout)
            return detail
        finally:
            if purchase.now:
                self._budget.cost(None if detail is None else detail.credits)
            if detail is None:
                self._purchases.keep(purchase.submission)

    def _result(self, submission: Submission, detail: TaskDetail) -> bytes:
        try:
            url = detail.result_url()
        except TaskFailedError as error:
            # Nothing is left to collect. A result that cannot be fetched is another matter: it
            # was paid for, and is asked for again until its 24 hours are over.
            self._purchases.ended_badly(submission, error)
            raise
        return self.client.download(url)


def _flags(submission: Submission) -> tuple[str, ...]:
    """What a person should check: an upload encoded again, work that was paid for before."""
    flags = []
    if submission.sent != "original":
        flags.append(f"sent_{submission.sent}".replace("-", "_"))
    if submission.unknown or submission.expired:
        flags.append(RESUBMITTED)
    if submission.expired:
        flags.append(_EXPIRED)
    return tuple(flags)


def _stage(error: Exception) -> str:
    """The step that an error belongs to: pictures are only decoded here."""
    of_reading = isinstance(error, RowError) and error.code in _OF_READING
    return "read" if of_reading and not isinstance(error, PicpikError) else "remove"
