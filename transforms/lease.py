"""The lease: one run at a time writes to an output.

A lease is an object ``ledger/lease/NUMBER.json`` with its owner. A run takes the output by
creating the next number, on the condition that nobody else has: of several runs, one succeeds.
The owner writes its object anew as a heartbeat, and marks it as ended when it is done. The next
run takes over a lease that is ended, whose process is gone from this machine, or whose heartbeat
stands still; ``take_over`` takes any. One that cannot be read, because its writer died or its disk
is bad, is taken over likewise: its owner, if there is one, writes it anew.

No clock plays a part, so none can be wrong: whether a heartbeat stands still is seen by watching.

A run that only seemed dead, on a machine that was suspended for one, may wake up when another has
the output, or has ended. So a lease names the runs that lost the output: they get it no more, buy
nothing more and commit nothing.
"""

from __future__ import annotations

import json
import logging
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
from alphabeam.transforms.output import FOLDERS, Output
from alphabeam.transforms.processes import is_gone, is_here, number_of, this_process
from alphabeam.transforms.storage.capabilities import Writing, capabilities
from alphabeam.transforms.storage.uris import chain

__all__ = [
    "Lease",
    "LeaseError",
    "LeaseHolder",
    "acquire",
    "check",
    "check_not_lost",
    "give_free",
    "held",
]

_logger = logging.getLogger(__name__)

_HEARTBEAT_S = 15.0
_held_here: set[str] = set()  # nonces of the leases that this process holds
_WATCH_S = 40.0  # a heartbeat that stands still for as long is a dead run's
_REMEMBERED = 100  # runs that lost the output, the latest


class LeaseError(Exception):
    """Another run has the output; the message is one line that names it."""


@dataclass(frozen=True)
class Lease:
    """Who has an output.

    One that cannot be read has a number and no run.

    Attributes:
        number: Each take-over counts one up.
        run_id: The run.
        nonce: Of the process that took the lease.
        host: Its machine.
        process: Its name among all processes; see `alphabeam.transforms.processes`.
        started_at: UTC, ISO 8601, by the owner's clock.
        beats: Heartbeats so far.
        ended: The run is over.
        interrupted: It was ended by a signal or an error, and may have been writing.
        work: The first of the runs that each took over from one that had not come to its end.
        lost: The runs that the output was taken from before they had come to their end.
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
    work: str = ""
    lost: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """The owner in a few words."""
        if not self.run_id:
            return f"a run whose lease, number {self.number}, cannot be read"
        process = number_of(self.process)
        return f"run {self.run_id} (process {process} on {self.host}, since {self.started_at})"

    def to_bytes(self) -> bytes:
        """The lease as its object."""
        return json.dumps(asdict(self), indent=1).encode()


class LeaseHolder:
    """A lease that this process holds: beats until it is ended.

    Args:
        output: The output.
        lease: The lease, just created.

    Attributes:
        lease: The lease.
        when_lost: Called on the heartbeat's thread if another run has taken the output over.
    """

    def __init__(self, output: Output, lease: Lease) -> None:
        self.lease = lease
        self.when_lost: Callable[[], Any] = lambda: None
        self._output = output
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="alphabeam-lease", daemon=True)
        self._thread.start()

    def sweep(self) -> None:
        """Removes what workers that were killed left of this run; nobody may write any more."""
        with self._lock:  # nor the heartbeat
            _sweep(self._output, None)

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
                self._write()
            except RowError as error:
                _logger.warning("the lease could not be given back: %s", error.message)

    def leave(self) -> None:
        """Lets go of the output without giving it free: the run goes on without this process."""
        self._stop.set()
        _held_here.discard(self.lease.nonce)

    def __enter__(self) -> LeaseHolder:
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: object) -> None:
        if not self._stop.is_set():
            self.end(interrupted=exception is not None)

    def _beat(self) -> None:
        while not self._stop.wait(_HEARTBEAT_S):
            with self._lock:
                if self._stop.is_set():
                    return
                self.lease = replace(self.lease, beats=self.lease.beats + 1)
                try:
                    if self._write():
                        continue
                except RowError as error:
                    _logger.warning("the lease's heartbeat failed: %s", error.message)
                    continue
            _logger.error("another run took over; this one stops and commits nothing")
            self.when_lost()
            return

    def _write(self) -> bool:
        """Writes the lease anew, unless another run took over and removed it; whether it did."""
        number = self.lease.number
        there = dict(_leases(self._output))
        if max(there, default=0) > number:
            # A heartbeat may have put it back just after the other run had removed it.
            self._output.delete(uri for n, uri in there.items() if n == number)
            return False
        self._output.put(self._output.lease(number), self.lease.to_bytes())
        return True


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
        LeaseError: A living run has it, or it was taken from this one.
        RowError: The store refuses.
    """
    deadline = time.monotonic() + wait
    while True:
        newest, data = _newest(output)
        _refuse_lost(output, run_id, newest)
        dead = newest is None or newest.ended or _is_dead(newest)
        if newest is None or newest.ended:
            pass
        elif take_over:
            _logger.warning("taking over %s from %s", output.directory, newest.owner)
        elif dead or _stands_still(output, newest, data, sleep):
            _logger.warning("%s is dead; going on in its place", newest.owner)
        elif time.monotonic() < deadline:
            sleep(1.0)
            continue
        else:
            raise LeaseError(
                f"{newest.owner} is writing to {storage.redact(output.directory)}; "
                "wait until it has ended, or take over with --take-over"
            )
        unfinished = newest is not None and (newest.interrupted or not newest.ended)
        before = newest.work or newest.run_id if newest is not None and unfinished else ""
        lost = newest.lost if newest is not None else ()
        if newest is not None and unfinished and newest.run_id:
            lost = (*lost, newest.run_id)[-_REMEMBERED:]
        lease = Lease(
            newest.number + 1 if newest else 1,
            run_id,
            secrets.token_hex(8),
            platform.node(),
            this_process(),
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            work=before or run_id,
            lost=lost,
        )
        _held_here.add(lease.nonce)
        if storage.create(output.lease(lease.number), lease.to_bytes(), options=output.storage):
            output.delete(uri for n, uri in _leases(output) if n < lease.number)
            holder = LeaseHolder(output, lease)
            if unfinished:
                _sweep(output, None if dead else _WATCH_S)
            return holder
        _held_here.discard(lease.nonce)  # another run took it at the same moment: find out which


@contextmanager
def held(output: Output, run_id: str, *, wait: float = 0.0) -> Iterator[None]:
    """Makes sure that the run has the output: by the lease that it holds, or by one from now on.

    Raises:
        LeaseError: Another run has it.
    """
    newest, _ = _newest(output)
    if newest is not None and newest.run_id == run_id and not newest.ended:
        yield
        return
    with acquire(output, run_id, wait=wait):
        yield


def give_free(output: Output, run_id: str, *, interrupted: bool = False) -> None:
    """Ends a run's lease in its place, since the run is known to be over.

    Args:
        output: The output.
        run_id: The run; the lease of another one is left as it is.
        interrupted: It did not come to its end.
    """
    newest, _ = _newest(output)
    if newest is not None and newest.run_id == run_id and not newest.ended:
        ended = replace(newest, ended=True, interrupted=interrupted)
        output.put(output.lease(ended.number), ended.to_bytes())


def check(output: Output, run_id: str) -> None:
    """Makes sure that the output is still the run's.

    Raises:
        LeaseError: Another run took it over.
    """
    newest, _ = _newest(output)
    if newest is None or newest.run_id != run_id:
        raise _taken_over(output, newest)


def check_not_lost(output: Output, run_id: str) -> None:
    """Makes sure that the output was not taken from a run; one without a lease has not lost it.

    Raises:
        LeaseError: Another run took it over.
    """
    newest, _ = _newest(output)
    _refuse_lost(output, run_id, newest)


def _refuse_lost(output: Output, run_id: str, newest: Lease | None) -> None:
    if newest is not None and run_id in newest.lost:
        raise _taken_over(output, newest)


def _taken_over(output: Output, newest: Lease | None) -> LeaseError:
    owner = newest.owner if newest else "another run"
    return LeaseError(
        f"{owner} took over {storage.redact(output.directory)}; this run stops and changes "
        "nothing more"
    )


def _leases(output: Output) -> list[tuple[int, str]]:
    found = []
    for uri in output.lease_files():
        name = uri.rsplit("/", 1)[-1].removesuffix(".json")
        if name.isascii() and name.isdigit():
            found.append((int(name), uri))
    return sorted(found)


def _newest(output: Output) -> tuple[Lease | None, bytes]:
    """The lease of the highest number, and its object's bytes."""
    for number, uri in reversed(_leases(output)):
        try:
            data = output.read(uri)
        except RowError as error:
            if error.code is not ErrorCode.NOT_FOUND:  # its successor may just have deleted it
                raise
        else:
            return _lease_of(number, data), data
    return None, b""


def _lease_of(number: int, data: bytes) -> Lease:
    """The lease in an object; one without a run if the object is cut off or is something else."""
    try:
        lease = replace(Lease(**json.loads(data)), number=number)
        lease = replace(lease, lost=tuple(map(str, lease.lost)))
    except (TypeError, ValueError, RecursionError):
        lease = Lease(number, "", "", "", "", "")
    texts = (lease.run_id, lease.nonce, lease.host, lease.process, lease.started_at, lease.work)
    if not all(isinstance(text, str) for text in texts):
        return Lease(number, "", "", "", "", "")
    return lease


def _sweep(output: Output, older_than: float | None) -> None:
    """Removes the temporary objects that a run left behind, if they are so many seconds old.

    Only below the output's own folders: another output may be in a folder beside them. Object
    stores take each object in one request. They have nothing to sweep, and listing all of a large
    output would take them long.
    """
    protocol = chain(output.directory)[0].protocol
    if capabilities(protocol).writing is Writing.PUT:
        return
    count = 0
    try:
        for folder in FOLDERS:
            count += storage.sweep(output.uri(folder), older_than, options=output.storage)
    except RowError as error:  # they are in nobody's way
        _logger.warning("temporary objects could not be removed: %s", error.message)
    else:
        _logger.info("removed %d temporary objects of an earlier run", count)


def _stands_still(output: Output, seen: Lease, data: bytes, sleep: Callable[[float], Any]) -> bool:
    """Whether the heartbeat of a process that cannot be seen stands still; watches it."""
    if is_here(seen.process):
        return False  # it lives: `_is_dead` has looked
    _logger.info("watching for %.0f s whether %s is alive", _WATCH_S, seen.owner)
    sleep(_WATCH_S)
    return _newest(output)[1] == data


def _is_dead(lease: Lease) -> bool:
    """Whether the owner was a process of this machine, and is gone or has let the lease go."""
    if lease.process == this_process():
        return lease.nonce not in _held_here  # and could not say so
    return is_gone(lease.process)
