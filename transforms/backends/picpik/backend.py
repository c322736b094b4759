"""The PICPIK backend's settings, and how it is opened on a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apache_beam.utils.shared import Shared

from alphabeam.transforms.backends.picpik.budget import Budget
from alphabeam.transforms.backends.picpik.purchases import would_buy
from alphabeam.transforms.backends.picpik.session import Session
from alphabeam.transforms.images import Limits
from alphabeam.transforms.ledger import Submissions
from alphabeam.transforms.picpik import INTERNATIONAL, PicpikClient
from alphabeam.transforms.rows import Picture, Row
from alphabeam.transforms.secret_refs import references, resolve

__all__ = ["PicpikBackend"]

_PIXELS_IN_FLIGHT = 400_000_000  # at 5 bytes each, should every result be waiting to be written


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
        found = self._ledger().find(self.fingerprinted(row).fingerprint or "")
        return would_buy(found, self.resubmit_unknown)

    def _session(self) -> Session:
        return self._shared.acquire(self._new_session)

    def _new_session(self) -> Session:
        return Session(
            self.client(),
            self._ledger(),
            Budget(self.max_tasks, self.max_credits),
            fingerprinted=self.fingerprinted,
            max_concurrency=self.max_concurrency,
            max_upload_bytes=self.max_upload_bytes,
            task_timeout=self.task_timeout,
            resubmit_unknown=self.resubmit_unknown,
        )

    def _ledger(self) -> Submissions:
        return Submissions(self.directory, self.storage_options)
