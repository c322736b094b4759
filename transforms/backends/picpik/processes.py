"""Names of processes, and whether one of this machine is gone."""

from __future__ import annotations

import functools
import os
import socket
import uuid

__all__ = ["is_gone", "this_process"]

_NONCE: dict[int, str] = {}  # by process: a forked one is another


def this_process() -> str:
    """A name that no other process has: machine, process id and a nonce."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_NONCE.setdefault(pid, uuid.uuid4().hex[:12])}"


@functools.cache
def _machine() -> str:
    """What has process ids of its own: containers may share a host's name, and not its ids."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}".replace(":", "")
    except OSError:  # not on Linux
        return socket.gethostname()


def is_gone(name: str) -> bool:
    """Whether a process is known to have ended: it was of this machine, and is no more."""
    machine, _, rest = name.partition(":")
    pid = rest.partition(":")[0]
    if name == this_process() or machine != _machine() or not pid.isdigit():
        return False
    if int(pid) == os.getpid():
        return True  # its number was used again, by this very process
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
