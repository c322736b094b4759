"""How many cores this process may use: the machine's, its affinity's, its container's."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cores"]

_MOUNT, _MEMBERSHIP = "/sys/fs/cgroup", "/proc/self/cgroup"


def cores(mount: str = _MOUNT, membership: str = _MEMBERSHIP) -> int:
    """The cores that this process may use, at least 1.

    A container may have a share of the time of many cores: Docker's ``--cpus``, Kubernetes'
    ``limits.cpu``. Part of a core counts as one.

    Args:
        mount: Where Linux shows its control groups.
        membership: The file that names those of this process.
    """
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    return max(1, min([usable, *map(math.ceil, _quotas(Path(mount), Path(membership)))]))


def _quotas(mount: Path, membership: Path) -> Iterator[float]:
    """The cores that each control group around this process allows it."""
    try:
        lines = membership.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for folder in _upwards(mount, path):
                yield from _quota(_numbers(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            for top in {mount / controllers, mount / "cpu"}:
                for folder in _upwards(top, path):
                    quota = _numbers(folder / "cpu.cfs_quota_us")
                    yield from _quota(quota + _numbers(folder / "cpu.cfs_period_us"))


def _upwards(top: Path, path: str) -> Iterator[Path]:
    """A group's folder and those around it; in a container only the topmost may be there."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for count in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:count])


def _numbers(file: Path) -> list[int]:
    """The numbers in a file; none if it is not there or says "max"."""
    try:
        return [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []


def _quota(quota_and_period: list[int]) -> Iterator[float]:
    if len(quota_and_period) == 2 and min(quota_and_period) > 0:  # -1 for no bound
        yield quota_and_period[0] / quota_and_period[1]
