"""The cascade: the local core first, and the PICPIK API for what is doubtful.

`RemoveBackground` makes two stages of it. Every picture is matted by the first. One whose result is
doubtful goes on to the second, where it waits for the API with its local result at hand, while the
first stage works on others. If the API gives no result, the local one is kept, and flagged.

A row is finished under the keys of the backend that made its result. So what a job with one of the
two backends alone has finished is found by a cascade, and the other way round; and whether a
finished local result is doubtful is decided anew by each run, from its confidence and its flags,
without matting.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import typing
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from apache_beam.utils.shared import Shared

from alphabeam.transforms.backends.local import LocalBackend
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.backends.settings import CascadeSettings, Doubt
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.matting.own_alpha import OWN_ALPHA, WHOLE
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, FAILED, KEPT_LOCAL, PENDING, Picture, Row, now
from alphabeam.transforms.secret_refs import resolve
from alphabeam.transforms.settings import check_settings, settings_of

__all__ = ["CascadeBackend"]

_log = logging.getLogger(__name__)

_CONFIDENCE = "confidence"  # the doubt about a result that has a low one

# What another try would not change, and might cost again: the task ended in an error, or the
# picture itself is at fault. All else is tried again by the next run.
_FOR_GOOD = frozenset(
    code.value for code in (ErrorCode.TASK_FAILED, ErrorCode.TOO_LARGE, ErrorCode.BOX_OUTSIDE)
)

_PIXELS_WAITING = 200_000_000  # at 5 bytes each; with the API's results twice that at most

_DOWN_AFTER = 8  # pictures one after another that could not reach the API
_DOWN_S = 300.0  # for how long it is left alone then


@dataclass(frozen=True, kw_only=True)
class CascadeBackend(CascadeSettings):
    """The local core, and the API for doubtful results; `CascadeSettings` says what is doubtful.

    As a `Backend` it is its own first stage, the local core's.

    Attributes:
        picpik: The API, with its budget. Its output's ledger has the tasks.
        local: The local core.
        rows: How many rows there are, for ``at_most``; None where a survey tells.
        survey: URI of the survey of the manifest, which a job writes before its first row.

    Raises:
        ValueError: A setting is wrong, or nothing tells what ``at_most`` is a share of.
    """

    picpik: PicpikBackend
    local: LocalBackend = field(default_factory=LocalBackend)
    rows: int | None = None
    survey: str = ""
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_settings(self)
        known = typing.get_args(Doubt)
        if unknown := {*self.flags} - {*known}:
            raise ValueError(f"flags: {min(unknown)!r} is not one of {', '.join(known)}")
        if self.at_most is None:
            return
        (pattern,) = (one.pattern for one in settings_of(CascadeSettings) if one.name == "at_most")
        if not re.match(pattern or "", self.at_most):
            raise ValueError(f"at_most: {self.at_most!r} is no share of the rows, such as 10%")
        if self.rows is None and not self.survey:
            raise ValueError(
                "at_most: a share of the rows needs their number, which only a whole job knows; "
                "set picpik.max_tasks in its place"
            )

    @property
    def threads(self) -> int:
        """Images matted at once in one process."""
        return self.local.threads

    @property
    def depth(self) -> int:
        """As for the local core."""
        return self.local.depth

    @property
    def pixels_in_flight(self) -> int:
        """As for the local core."""
        return self.local.pixels_in_flight

    @property
    def throttled_seconds(self) -> float:
        """Nothing holds the local core back."""
        return 0.0

    @property
    def second(self) -> _Buying:
        """What goes on with doubtful results."""
        return _Buying(self)

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its local result has."""
        return self.local.fingerprinted(row)

    def open(self) -> Callable[[Picture], Picture]:
        """The local core's work on this worker; a doubtful picture keeps its bytes."""
        remove = self.local.open()

        def work(picture: Picture) -> Picture:
            data = picture.data
            picture = remove(picture)
            if picture.row.status == PENDING and self.doubts(picture.row):
                picture.data = data
            return picture

        return work

    def doubts(self, row: Row) -> tuple[str, ...]:
        """Why a row's local result is doubtful; empty if it is not, or is not a local one."""
        if row.backend != "local" or not {OWN_ALPHA, WHOLE}.isdisjoint(row.flags):
            return ()
        # Rounded, since the metadata holds it with 24 bits: it is the same doubt the next night.
        low = row.confidence is not None and round(row.confidence, 6) < self.below
        return (*([_CONFIDENCE] if low else []), *(f for f in row.flags if f in self.flags))

    def most_tasks(self, rows: int) -> int | None:
        """The most tasks that one run may submit for a manifest of so many rows; None: no limit."""
        limits = [] if self.picpik.max_tasks is None else [self.picpik.max_tasks]
        if self.at_most is not None:
            percent = float(self.at_most.replace("%", " "))
            limits.append(int(rows * percent / 100 + 1e-9))
        return min(limits, default=None)

    def bounded_api(self) -> PicpikBackend:
        """The API with ``at_most`` as a number of tasks.

        Raises:
            RowError: The survey cannot be read.
        """
        if self.at_most is None:
            return self.picpik
        rows = self.rows
        if rows is None:
            rows = int(json.loads(Output.of(self.picpik.output).read(self.survey))["rows"])
        most = self.most_tasks(rows)
        limit = (
            ""
            if most == self.picpik.max_tasks
            else f"at_most {self.at_most} ({most} of {rows} rows)"
        )
        return replace(self.picpik, max_tasks=most, limit=limit)

    def inherit(self) -> None:
        """Takes over the budget of a run that was killed; see `PicpikBackend.inherit`.

        Raises:
            RowError: The ledger cannot be asked.
        """
        api = self.picpik
        if self.at_most is not None:  # it is a limit, whatever number it will come to
            api = replace(api, max_tasks=api.max_tasks or 0)
        api.inherit()


@dataclass(frozen=True)
class _Buying:
    """The second stage: replaces doubtful local results by the API's."""

    cascade: CascadeBackend

    @property
    def threads(self) -> int:
        """One for each image in flight: they wait nearly all the time."""
        return self.cascade.picpik.threads

    @property
    def depth(self) -> int:
        """As for the API alone."""
        return self.cascade.picpik.depth

    @property
    def pixels_in_flight(self) -> int:
        """Bounds what is in memory: local results, which wait for the API's."""
        return _PIXELS_WAITING

    @property
    def throttled_seconds(self) -> float:
        """How long this process's requests were held back so far, over all threads."""
        return self._api().throttled_seconds

    @property
    def second(self) -> None:
        """No other backend follows."""

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its result by the API has."""
        return self.cascade.picpik.fingerprinted(row)

    def wants(self, row: Row) -> bool:
        """Whether a local result is doubtful, and the API may be asked for another."""
        return bool(self.cascade.doubts(row)) and _reason(row) not in _FOR_GOOD

    def open(self) -> Callable[[Picture], Picture]:
        """What does the work on this worker.

        Raises:
            SecretError: A key cannot be resolved.
        """
        # Wrong settings end the job, as with the API alone; only its failures keep local results.
        for key in (self.cascade.picpik.public_key, self.cascade.picpik.private_key):
            resolve(key)
        api = self._api()

        def work(picture: Picture) -> Picture:
            local = picture.row
            local = local._replace(
                local_confidence=local.confidence, doubts=self.cascade.doubts(local)
            )
            if local.status == FAILED:  # a result is finished, and its source cannot be read
                bought = picture
                local = local._replace(error_stage=None, error_code=None, error_message=None)
            else:
                bare = _without_result(local)
                bought = api.remove(Picture(bare, picture.data, picture.limits, picture.tags))
            if bought.row.status == PENDING:
                bought.row = bought.row._replace(
                    local_confidence=local.local_confidence,
                    doubts=local.doubts,
                    remove_ms=(local.remove_ms or 0) + (bought.row.remove_ms or 0),
                )
                return bought
            reason = bought.row.error_code or ErrorCode.INTERNAL.value
            api.tell(reason, local, bought.row.error_message or "")
            flags = (*_own_flags(local), KEPT_LOCAL, reason)
            row = local._replace(flags=flags, credits=bought.row.credits)
            if row.mask is not None:  # an earlier run has written it
                return Picture(row._replace(status=DONE, finished_at=now()), limits=picture.limits)
            picture.row, picture.data = row, b""
            return picture

        return work

    def _api(self) -> _Api:
        api: _Api = self.cascade._shared.acquire(lambda: _Api(self.cascade.bounded_api))
        return api


class _Api:
    """The API as one process sees it: opened when the first doubtful picture comes.

    The survey, which ``at_most`` is a share of, is there only then. If the API cannot be reached
    for one picture after another, it is left alone for some minutes: each of them would spend its
    retries, and the night would be over before the job.

    Args:
        backend: Gives the API, with its budget.
        clock: Monotonic seconds.
    """

    def __init__(
        self, backend: Callable[[], PicpikBackend], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: tuple[PicpikBackend, Callable[[Picture], Picture]] | None = None
        self._unreached = 0
        self._down_until = 0.0
        self._told: set[str] = set()

    @property
    def throttled_seconds(self) -> float:
        """How long requests were held back so far; 0 before there are any."""
        return 0.0 if self._opened is None else self._opened[0].throttled_seconds

    def remove(self, picture: Picture) -> Picture:
        """Fills in a picture, or fails its row."""
        if self._clock() < self._down_until:
            error = RowError(
                ErrorCode.API_UNAVAILABLE,
                "the API could not be reached for several pictures before; run the job again later",
            )
            return Picture(picture.row.failed("remove", error))
        try:
            with self._lock:
                if self._opened is None:
                    backend = self._backend()
                    self._opened = backend, backend.open()
            picture = self._opened[1](picture)
        except Exception as error:
            picture = Picture(picture.row.failed("remove", error))
        if picture.row.error_code != ErrorCode.API_UNAVAILABLE.value:
            self._unreached = 0
        else:
            self._unreached += 1
            if self._unreached >= _DOWN_AFTER:
                self._unreached = 0
                self._down_until = self._clock() + _DOWN_S
        return picture

    def tell(self, reason: str, row: Row, message: str) -> None:
        """Logs that a local result is kept; the first one for each reason as a warning."""
        level = logging.INFO if reason in self._told else logging.WARNING
        self._told.add(reason)
        _log.log(level, "row %s: its local result is kept: %s: %s", row.id, reason, message)


_NO_RESULT: dict[str, Any] = {
    **dict.fromkeys(("cutout", "mask", "cutout_bytes", "cutout_sha256", "mask_bytes")),
    **dict.fromkeys(("mask_sha256", "subject_box", "coverage", "phash", "backdrop")),
    **dict.fromkeys(("confidence", "local_confidence", "credits", "write_ms")),
    **dict.fromkeys(("flags", "doubts", "renditions"), ()),
    "task_uid": "",
    "attempts": 0,
}


def _without_result(row: Row) -> Row:
    """The row as it was before anybody worked on it."""
    return row._replace(**_NO_RESULT)


def _own_flags(row: Row) -> tuple[str, ...]:
    """A local result's flags without those that say why it was kept."""
    flags = tuple(row.flags)
    return flags[: flags.index(KEPT_LOCAL)] if KEPT_LOCAL in flags else flags


def _reason(row: Row) -> str:
    """Why a local result was kept; empty if it was not."""
    after = tuple(row.flags)[len(_own_flags(row)) :]
    return after[1] if len(after) > 1 else ""
