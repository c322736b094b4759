"""The lease: one run at a time writes to an output.

A lease is an object ``ledger/lease/NUMBER.json`` with its owner. A run takes the output by
creating the next number, on the condition that nobody else has: of several runs, one succeeds.
The owner writes its object anew as a heartbeat, and marks it as ended when it is done. The next
run takes over a lease that is ended, whose process is gone from this machine, or whose heartbeat
stands still; ``take_over`` takes any.

Clocks are not compared between machines: whether a heartbeat stands still is seen by watching it.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from alphabeam.transforms import storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.output import Output
from alphabeam.transforms.storage.capabilities import Writing, capabilities
from alphabeam.transforms.storage.uris import chain

__all__ = ["Lease", "LeaseError", "LeaseHolder", "acquire", "check", "held"]

_logger = logging.getLogger(__name__)

_HEARTBEAT_S = 15.0
_held_here: set[str] = set()  # nonces of the leases that this process holds
_WATCH_S = 40.0  # a heartbeat that stands still for as long is a dead run's


class LeaseError(Exception):
    """Another run has the output; the message is one line that names it."""


@dataclass(frozen=True)
class Lease:
    """Who has an output.

    Attributes:
        number: Each take-over counts one up.
        run_id: The run.
        nonce: Of the process that took the lease.
        host: Its machine.
        process: Its process id, and when that process began, as the system tells it.
        started_at: UTC, ISO 8601, by the owner's clock.
        beats: Heartbeats so far.
        ended: The run is over.
        interrupted: It was ended by a signal or an error, and may have been writing.
    """

    number: int
    run_id: str
    nonce: str
    host: str
    process: str
    started_at: str
    beats: int = 0
    ended: bool = False
    interrupted: bool = False

    @property
    def owner(self) -> str:
        """The owner in a few words."""
        process = self.process.split(" ", 1)[0]
        return f"run {self.run_id} (process {process} on {self.host}, since {self.started_at})"

    def to_bytes(self) -> bytes:
        """The lease as its object."""
        return json.dumps(asdict(self), indent=1).encode()


class LeaseHolder:
    """A lease that this process holds: beats until it is ended.

    Args:
        output: The output.
        lease: The lease, just created.
    """

    def __init__(self, output: Output, lease: Lease) -> None:
        self.lease = lease
        self._output = output
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="alphabeam-lease", daemon=True)
        self._thread.start()

    def end(self, *, interrupted: bool = False) -> None:
        """Gives the output free; the next run need not wait.

        Args:
            interrupted: What the run was writing may be left, for the next run to sweep.
        """
        self._stop.set()
        _held_here.discard(self.lease.nonce)
        with self._lock:
            self.lease = replace(self.lease, ended=True, interrupted=interrupted)
            try:
                self._output.put(self._output.lease(self.lease.number), self.lease.to_bytes())
            except RowError as error:
                _logger.warning("the lease could not be given back: %s", error.message)

    def __enter__(self) -> LeaseHolder:
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: object) -> None:
        self.end(interrupted=exception is not None)

    def _beat(self) -> None:
        while not self._stop.wait(_HEARTBEAT_S):
            with self._lock:
                if self._stop.is_set():
                    return
                self.lease = replace(self.lease, beats=self.lease.beats + 1)
                try:
                    self._output.put(self._output.lease(self.lease.number), self.lease.to_bytes())
                except RowError as error:
                    _logger.warning("the lease's heartbeat failed: %s", error.message)


def acquire(
    output: Output,
    run_id: str,
    *,
    take_over: bool = False,
    wait: float = 0.0,
    sleep: Callable[[float], Any] = time.sleep,
) -> LeaseHolder:
    """Takes the output for a run.

    Args:
        output: The job's output.
        run_id: The run.
        take_over: Take it from whoever has it.
        wait: Seconds to wait for a living owner to end.
        sleep: How to wait.

    Returns:
        The lease, beating; end it with its ``with``, or with ``end``.

    Raises:
        LeaseError: A living run has it.
        RowError: The store refuses.
    """
    deadline = time.monotonic() + wait
    while True:
        newest = _newest(output)
        if newest is None or newest.ended:
            pass
        elif take_over:
            _logger.warning("taking over %s from %s", output.directory, newest.owner)
        elif _is_dead(newest) or _stands_still(output, newest, sleep):
            _logger.warning("%s is dead; going on in its place", newest.owner)
        elif time.monotonic() < deadline:
            sleep(1.0)
            continue
        else:
            raise LeaseError(
                f"{newest.owner} is writing to {storage.redact(output.directory)}; "
                "wait until it has ended, or take over with --take-over"
            )
        lease = Lease(
            newest.number + 1 if newest else 1,
            run_id,
            secrets.token_hex(8),
            platform.node(),
            _process(os.getpid()) or str(os.getpid()),
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        _held_here.add(lease.nonce)
        if storage.create(output.lease(lease.number), lease.to_bytes(), options=output.storage):
            output.delete(uri for n, uri in _leases(output) if n < lease.number)
            holder = LeaseHolder(output, lease)
            if newest is not None and (newest.interrupted or not newest.ended):
                _sweep(output, 0.0 if _is_dead(newest) else _WATCH_S)
            return holder
        _held_here.discard(lease.nonce)  # another run took it at the same moment: find out which


@contextmanager
def held(output: Output, run_id: str, *, wait: float = 0.0) -> Iterator[None]:
    """Makes sure that the run has the output: by the lease that it holds, or by one from now on.

    Raises:
        LeaseError: Another run has it.
    """
    newest = _newest(output)
    if newest is not None and newest.run_id == run_id and not newest.ended:
        yield
        return
    with acquire(output, run_id, wait=wait):
        yield


def check(output: Output, run_id: str) -> None:
    """Makes sure that the output is still the run's.

    Raises:
        LeaseError: Another run took it over.
    """
    newest = _newest(output)
    if newest is None or newest.run_id != run_id:
        owner = newest.owner if newest else "another run"
        raise LeaseError(
            f"{owner} took over {storage.redact(output.directory)}; this run stops and changes "
            "nothing more"
        )


def _leases(output: Output) -> list[tuple[int, str]]:
    found = []
    for uri in output.lease_files():
        name = uri.rsplit("/", 1)[-1].removesuffix(".json")
        if name.isdigit():
            found.append((int(name), uri))
    return sorted(found)


def _newest(output: Output) -> Lease | None:
    for _, uri in reversed(_leases(output)):
        try:
            return Lease(**json.loads(output.read(uri)))
        except RowError as error:
            if error.code is not ErrorCode.NOT_FOUND:  # its successor may just have deleted it
                raise
        except (TypeError, ValueError):
            raise LeaseError(
                f"{storage.redact(uri)}: this lease is broken; make sure that no run is writing "
                "to the output, then delete it"
            ) from None
    return None


def _sweep(output: Output, older_than: float) -> None:
    """Removes the temporary objects that a run left behind, if they are so many seconds old.

    Object stores take each object in one request. They have nothing to sweep, and listing all of
    a large output would take them long.
    """
    protocol = chain(output.directory)[0].protocol
    if capabilities(protocol).writing is Writing.PUT:
        return
    try:
        count = storage.sweep(output.directory, older_than, options=output.storage)
    except RowError as error:  # they are in nobody's way
        _logger.warning("temporary objects could not be removed: %s", error.message)
    else:
        _logger.info("removed %d temporary objects of an earlier run", count)


def _stands_still(output: Output, seen: Lease, sleep: Callable[[float], Any]) -> bool:
    """Whether a heartbeat from another machine stands still; watches it for as long as it takes."""
    if seen.host == platform.node() and _process(os.getpid()):
        return False  # it lives: `_is_dead` has looked
    _logger.info("watching whether %s is alive", seen.owner)
    sleep(_WATCH_S)
    return _newest(output) == seen


def _is_dead(lease: Lease) -> bool:
    """Whether the owner was a process of this machine, and is gone."""
    if lease.host != platform.node():
        return False
    number = lease.process.split(" ", 1)[0]
    if number == str(os.getpid()) and lease.nonce not in _held_here:
        return True  # this process has let it go, and could not say so
    return not number.isdigit() or _process(int(number)) != lease.process


def _process(number: int) -> str | None:
    """A process id with its boot and start time, so that no other can be taken for it.

    None if there is none, or the system does not tell.
    """
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        if fields[0] in "ZX":
            return None
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{number} {file.read().strip()[:8]} {fields[19]}"
    except OSError:
        pass
    if os.path.isdir("/proc/self"):
        return None
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return str(number)
