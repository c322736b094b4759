"""Google Cloud's machine types: cores and memory, by their names."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Machine", "machine"]


class Machine(NamedTuple):
    """A machine type.

    Attributes:
        cores: Its vCPUs.
        gigabytes: Its memory, in 2**30 bytes.
    """

    cores: int
    gigabytes: float


# GB for each vCPU, as Google's documentation of machine families has them (November 2026).
_GIGABYTES = {
    "c2": {"standard": 4.0},
    "c2d": {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0},
    "c3": {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0},
    "c3d": {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0},
    "c4": {"standard": 3.75, "highmem": 7.75, "highcpu": 2.0},
    "e2": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "g2": {"standard": 4.0},
    "n1": {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9},
    "n2": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "n2d": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "n4": {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0},
    "t2d": {"standard": 4.0},
}
_SHARED = {"e2-micro": 1.0, "e2-small": 2.0, "e2-medium": 4.0}  # of two vCPUs' time a part


def machine(name: str) -> Machine | None:
    """What a machine type has; None for one that is not known here.

    >>> machine("n2-standard-4")
    Machine(cores=4, gigabytes=16.0)
    >>> machine("e2-custom-2-3072")
    Machine(cores=2, gigabytes=3.0)
    """
    if name in _SHARED:
        return Machine(2, _SHARED[name])
    custom = re.fullmatch(r"(?:[a-z0-9]+-)?custom-(\d+)-(\d+)(?:-ext)?", name)
    if custom:
        return Machine(int(custom[1]), int(custom[2]) / 1024)
    found = re.fullmatch(r"([a-z0-9]+)-([a-z]+)-(\d+)", name)
    each = _GIGABYTES.get(found[1], {}).get(found[2]) if found else None
    if found is None or each is None:
        return None
    return Machine(int(found[3]), int(found[3]) * each)
