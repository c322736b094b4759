"""The PICPIK backend's settings, and how it is opened on a worker."""

from __future__ import annotations

import calendar
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from apache_beam.utils.shared import Shared

from alphabeam.transforms.backends.picpik.budget import Budget, Spending, spending_in
from alphabeam.transforms.backends.picpik.presence import Presence, share
from alphabeam.transforms.backends.picpik.purchases import would_buy
from alphabeam.transforms.backends.picpik.session import Session
from alphabeam.transforms.backends.picpik.tally import Tally
from alphabeam.transforms.backends.settings import PicpikSettings
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.output import Output
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.picpik import PicpikClient
from alphabeam.transforms.rows import Picture, Row
from alphabeam.transforms.secret_refs import references, resolve

__all__ = ["PicpikBackend"]

_BEGAN = "%Y%m%dT%H%M%SZ"  # how the name of a run begins
_KEPT_S = 2 * 24 * 3600.0  # after which what a run's processes shared is swept
_SLACK_S = 10.0  # for the ledger itself
_PIXELS_IN_FLIGHT = 400_000_000  # at 5 bytes each, should every result be waiting to be written


_DEFAULTS = MattingParameters()


def _as_given(row: Row) -> Row:
    """The row with the fingerprint that has all its parameters."""
    return row.fingerprinted("picpik", None, None)


def _new_run() -> str:
    return f"{time.strftime(_BEGAN, time.gmtime())}-{uuid.uuid4().hex[:12]}"


def _sweep(output: Output, run: str) -> None:
    """Deletes what the processes of runs long ago have shared, but nothing of this run."""
    before = time.time() - _KEPT_S
    with suppress(RowError, RuntimeError):  # the latter where the process ends meanwhile
        output.delete(
            uri for name, uri in output.shared_files() if name != run and _began(name) < before
        )


def _began(run: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(run.partition("-")[0], _BEGAN)))
    except (ValueError, OverflowError):
        return math.inf


@dataclass(frozen=True)
class PicpikBackend(PicpikSettings):
    """The signed PICPIK API; `PicpikSettings` has what a job file may set.

    Attributes:
        output: The job's output, or its folder: its ledger has the tasks.
        limit: What ``max_tasks`` comes from, for messages; the setting of that name if empty.
        heartbeat: Seconds in which the processes of a run notice that another comes or goes.
        run: The run's name among those of its output. Whoever gets this value, or a copy of it,
            shares one budget and one pace; a run that goes on for one that was killed is given
            that one's name, and `inherit` is called first.
        run_id: The run that has the output's lease; it buys nothing once it has lost that. Empty
            for a pipeline without one.

    Raises:
        ValueError: The private key is given itself: it would stand in the graph.
    """

    output: Output | str
    limit: str = field(default="", compare=False)
    heartbeat: float = 5.0
    run: str = field(default_factory=_new_run, compare=False)
    run_id: str = field(default="", compare=False)
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

    @property
    def second(self) -> None:
        """No other backend follows."""

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its result by this backend has.

        A parameter that changes nothing of the row's result has its default in the fingerprint, so
        that nothing is bought again because of it. The quick key has it as the row says it: before
        the source is read, nobody knows what will count.
        """
        given = _as_given(row)
        names = ("keep_shadow", "own_alpha") if row.source_format == "jpeg" else ("keep_shadow",)
        unheeded = {
            name: default
            for name in names
            if getattr(row, name) != (default := getattr(_DEFAULTS, name))
        }
        if not unheeded:
            return given
        same = _as_given(row._replace(**unheeded))
        return given._replace(fingerprint=same.fingerprint, request_uuid=same.request_uuid)

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
            request_timeout=self.request_timeout,
            max_result_bytes=self.max_result_bytes,
            retry_codes=self.retry_codes,
            requests_per_second=self.requests_per_second,
            max_concurrency=self.max_concurrency,
            allowed_hosts=self.allowed_hosts,
            ca_bundle=self.ca_bundle,
        )

    def inherit(self) -> None:
        """Takes over the budget of the run of this name, whose processes are all gone.

        Raises:
            RowError: The ledger cannot be asked.
        """
        if (self.max_tasks, self.max_credits) == (None, None):
            return
        sent = self._ledger().taken(self.run)
        self._spending().change(lambda spending: (spending.inherited(sent), None))

    def open(self) -> Callable[[Picture], Picture]:
        """What does the work on this worker; called once a process and step."""
        return self._session().remove

    def tasks(self) -> Mapping[str, Submission]:
        """What the ledger knows of tasks, by the quick key of the row that each was bought for."""
        return self._ledger().by_quick_key()

    def would_submit(self, row: Row, tasks: Mapping[str, Submission] | None = None) -> bool:
        """Whether the row, which is not finished, would be submitted and paid for.

        Args:
            row: The row; if its source was not read yet, its task is found by the quick key.
            tasks: From `tasks`, for many rows; the ledger is asked if None.

        Raises:
            RowError: The ledger cannot be asked.
        """
        if not row.parameters.remove_background:
            return False
        row = self.fingerprinted(row)
        if row.fingerprint:
            found = self._ledger().find(row.fingerprint)
        else:
            found = (self.tasks() if tasks is None else tasks).get(row.quick_key or "")
        return would_buy(found, self.resubmit_unknown)

    def _session(self) -> Session:
        session: Session = self._shared.acquire(self._new_session)
        return session

    def _new_session(self) -> Session:
        client = self.client()
        output = Output.of(self.output)
        if (self.requests_per_second, self.max_tasks, self.max_credits) != (None, None, None):
            threading.Thread(
                target=_sweep, args=(output, self.run), name="picpik-sweep", daemon=True
            ).start()
        if self.requests_per_second is not None:
            presence = Presence(
                output.shared(self.run, "processes"),
                interval=self.heartbeat,
                storage_options=output.storage,
            )
            share(presence, self.requests_per_second, client)
        return Session(
            client,
            self._ledger(),
            Budget(
                self.max_tasks,
                self.max_credits,
                limit=self.limit,
                spending=self._spending(),
                longest_wait=self.task_timeout,
            ),
            fingerprinted=self.fingerprinted,
            fingerprinted_before=_as_given,
            max_concurrency=self.max_concurrency,
            max_upload_bytes=self.max_upload_bytes,
            task_timeout=self.task_timeout,
            resubmit_unknown=self.resubmit_unknown,
            run=self.run,
            # All but the end of the request has left when an intent is written.
            intent_life=self.read_timeout + _SLACK_S,
        )

    def _spending(self) -> Tally[Spending]:
        output = Output.of(self.output)
        return spending_in(output.shared(self.run, "spending"), output.storage)

    def _ledger(self) -> Submissions:
        return Submissions(Output.of(self.output), self.run_id)
