"""How a process ended: killed by somebody, or by what it was doing.

A process that is gone cannot say. So it writes down beforehand how many processes the kernel had
ended for lack of memory, and where its own faults (a segmentation fault in a decoder) would be
noted. If neither shows anything afterwards, somebody killed it: an operator, a script.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from alphabeam.transforms.processes import is_here, this_process

__all__ = ["forget_witness", "was_killed", "witness"]

_KEPT_S = 30 * 24 * 3600.0


@functools.cache
def witness() -> Mapping[str, str]:
    """What a later process needs to tell how this one ended; made once a process.

    From then on a fault is noted in a file of the user's cache folder, with Python's stack. Where
    somebody else has `faulthandler` in use, no fault can be noted, and `was_killed` says no.
    """
    faults = ""
    if not faulthandler.is_enabled():
        with contextlib.suppress(OSError):
            faults = _new_file()
            faulthandler.enable(os.open(faults, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            atexit.register(Path(faults).unlink, missing_ok=True)
    return {"process": this_process(), "memory_kills": _memory_kills(), "faults": faults}


def was_killed(seen: Mapping[str, str]) -> bool:
    """Whether a process that is gone was surely killed by somebody, and not by its own work.

    Args:
        seen: Its `witness`.

    Returns:
        False also where that cannot be known: it was of another machine, or the machine was
        started again since.
    """
    kills, faults = seen.get("memory_kills", ""), seen.get("faults", "")
    if not (kills and faults and is_here(seen.get("process", ""))):
        return False
    try:
        return kills == _memory_kills() and os.path.getsize(faults) == 0
    except OSError:
        return False


def forget_witness(seen: Mapping[str, str]) -> None:
    """Removes what a process that is gone has left in the cache folder."""
    faults = seen.get("faults", "")
    if os.path.dirname(faults) == str(_folder()) and is_here(seen.get("process", "")):
        with contextlib.suppress(OSError):
            os.unlink(faults)


def _folder() -> Path:
    # Not the temporary folder of a run, which the next one removes before it looks at the marks.
    return platformdirs.user_cache_path("alphabeam", appauthor=False) / "faults"


def _new_file() -> str:
    """A name for this process; takes the occasion to remove what is a month old."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()
    return str(folder / f"{os.getpid()}-{secrets.token_hex(8)}.txt")


def _memory_kills() -> str:
    """How many processes Linux has ended for lack of memory; empty if it does not say."""
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as file:
        for line in file:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return count.strip()
    return ""
