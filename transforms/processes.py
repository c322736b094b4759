"""Names of processes, and whether one is known to have ended.

A name says on which machine a process runs, by more than the host's name: containers and clones of
a machine may share that. Only of this machine's own processes is anything said. Clocks play no
part.
"""

from __future__ import annotations

import functools
import os
import socket
import uuid

__all__ = ["is_gone", "is_here", "number_of", "this_process"]

_NONCE: dict[int, str] = {}  # by process: a forked one is another


def this_process() -> str:
    """A name that no other process has: machine, process id, time of its start and a nonce."""
    pid = os.getpid()
    nonce = _NONCE.setdefault(pid, uuid.uuid4().hex[:12])
    _, since = _status(pid) or ("", "")
    return f"{_machine()}:{pid}:{since}:{nonce}"


def number_of(name: str) -> str:
    """The process id in a name, for people."""
    return name.split(":")[1] if ":" in name else name.split(" ")[0]


def is_here(name: str) -> bool:
    """Whether a process is of this machine, and so could be seen if it lives."""
    return name.partition(":")[0] == _machine()


def is_gone(name: str) -> bool:
    """Whether a process is known to have ended: it was of this machine, and is no more."""
    if name == this_process() or not is_here(name):
        return False
    _, number, started, *_ = [*name.split(":"), "", ""]
    if not (number.isascii() and number.isdigit()):
        return False
    if int(number) == os.getpid():
        return True  # its number was used again, by this very process
    found = _status(int(number))
    if found is not None:
        state, since = found
        return state in "ZX" or since != started
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # another user's, hidden from this one
        pass
    return False


@functools.cache
def _machine() -> str:
    """What has process ids of its own: a machine since its start, or a container on it."""
    parts = [socket.gethostname()]
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            parts += [file.read().strip()[:13], os.readlink("/proc/self/ns/pid")]
    except OSError:  # not on Linux
        parts.append(f"{uuid.getnode():x}")
    return " ".join(parts).replace(":", "")


def _status(number: int) -> tuple[str, str] | None:
    """A process's state and when it started, as Linux tells them; None if it does not."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]
