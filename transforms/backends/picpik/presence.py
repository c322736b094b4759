"""How many processes of a run are alive, so that they can share what holds for all of them."""

from __future__ import annotations

import logging
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from typing import Protocol

from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError

__all__ = ["Presence", "share"]

_log = logging.getLogger(__name__)

_SILENT = 3  # heartbeats missed, and a process counts as gone


class Presence:
    """One process among those of its run.

    Each process has an object of its own, which it writes again and again. If the bytes of another
    one's have changed, it was written again; so no two clocks are compared.

    Args:
        folder: URI of a folder that all the run's processes reach.
        interval: Seconds from one heartbeat to the next.
        storage_options: Options for fsspec, by protocol.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        folder: str,
        *,
        interval: float = 5.0,
        storage_options: storage.StorageOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval = interval
        self._folder = folder
        self._options = storage_options
        self._clock = clock
        self._mine = storage.join(folder, f"{uuid.uuid4().hex}.txt")
        self._beats = 0
        self._seen: dict[str, tuple[bytes, float]] = {}  # another's bytes, and since when

    def beat(self) -> int:
        """Shows that this process is alive; returns how many are, itself included.

        Raises:
            RowError: The store cannot be reached.
        """
        self._beats += 1
        storage.put(self._mine, str(self._beats).encode(), options=self._options)
        others = [
            uri for uri in storage.list(self._folder, options=self._options) if uri != self._mine
        ]
        now = self._clock()
        seen: dict[str, tuple[bytes, float]] = {}
        for uri, data in storage.read_many(others, options=self._options):
            if isinstance(data, Exception):
                raise data
            before = self._seen.get(uri)
            seen[uri] = before if before is not None and before[0] == data else (data, now)
        self._seen = seen
        patience = _SILENT * self.interval
        return 1 + sum(now - since < patience for _, since in seen.values())


class Paced(Protocol):
    """What goes at a rate; `alphabeam.transforms.picpik.PicpikClient` is one."""

    def set_requests_per_second(self, requests_per_second: float) -> None:
        """Sets the rate."""
        ...


def share(
    presence: Presence,
    total: float,
    client: Paced,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Gives this process its part of a rate, now and whenever processes come or go.

    A process that finds others waits for one heartbeat before it returns, so that they have made
    room: the sum of the parts never exceeds the total.

    Args:
        presence: This process.
        total: The rate of all processes together, per second.
        client: Takes this process's part, for as long as it is in use elsewhere.
        sleep: Waits so many seconds.

    Raises:
        RowError: The store cannot be reached.
    """
    count = presence.beat()
    client.set_requests_per_second(total / count)
    if count > 1:
        sleep(2 * presence.interval)
        count = presence.beat()
        client.set_requests_per_second(total / count)
    _log.info("%d process(es) share %g requests per second", count, total)

    user = weakref.ref(client)

    def go_on(count: int = count) -> None:
        while True:
            time.sleep(presence.interval)
            client = user()
            if client is None:
                return
            try:
                now = presence.beat()
            except RowError as error:
                _log.warning("the number of processes is taken to be %d: %s", count, error.message)
                continue
            if now != count:
                _log.info("%d process(es) share %g requests per second", now, total)
                count = now
                client.set_requests_per_second(total / count)
            del client

    threading.Thread(target=go_on, name="picpik-presence", daemon=True).start()
