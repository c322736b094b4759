"""The job of ``benchmarks/scale.py``: a real one, but no picture is decoded, matted or encoded.

    python benchmarks/scale_canned.py JOB.yaml [options of run.py]

The backend gives every row the same result of one pixel, and what the job puts under ``cutouts/``
and ``masks/`` is there already. Everything else is what it always is. Each process counts its
requests to the output's store, by kind, in a file under $SCALE_COUNTS.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alphabeam.pipelines import catalogue, check  # noqa: F401 - the check is of the real backend
from alphabeam.pipelines.command import main
from alphabeam.pipelines.job import Job
from alphabeam.transforms.encoding import encode_cutout, encode_mask
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Picture, Row

_ALPHA = np.full((1, 1), 255, np.uint8)
_RGBA = np.full((1, 1, 4), 255, np.uint8)
CUTOUT, MASK = encode_cutout(_RGBA, "png"), encode_mask(_ALPHA)


@dataclass(frozen=True)
class CannedBackend:
    """Gives every row the same result, under a fingerprint of its own."""

    threads: int = 2
    depth: int = 16
    pixels_in_flight: int = 1_000_000
    throttled_seconds: float = 0.0
    second: None = None

    def fingerprinted(self, row: Row) -> Row:
        """See `Backend`. The id, since all sources hold the same bytes."""
        return row.fingerprinted("local", "canned", "0" * 64, row.id)

    def open(self) -> Callable[[Picture], Picture]:
        """See `Backend`."""

        def work(picture: Picture) -> Picture:
            row = picture.row._replace(
                confidence=0.9, coverage=1.0, subject_box=(0, 0, 1, 1), attempts=1, remove_ms=1.0
            )
            row = self.fingerprinted(row)
            return Picture(row, limits=picture.limits, tags=picture.tags, alpha=_ALPHA, rgba=_RGBA)

        return work


class CannedOutput(Output):
    """An output whose cutouts and masks are there already, and that counts its requests."""

    def put(self, uri: str, data: bytes) -> None:
        """See `Output`."""
        _count("put")
        if data not in (CUTOUT, MASK):
            super().put(uri, data)
            return
        if Path(uri).stat().st_size != len(data):
            raise ValueError(f"{uri} is another picture")

    def read(self, uri: str) -> bytes:
        """See `Output`."""
        _count("read")
        return super().read(uri)

    def read_many(self, uris: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """See `Output`."""
        for one in super().read_many(uris):
            _count("read")
            yield one

    def read_mapped(self, uri: str) -> Any:
        """See `Output`."""
        _count("read")
        return super().read_mapped(uri)

    def size_of(self, name: str) -> int | None:
        """See `Output`."""
        _count("size")
        return super().size_of(name)

    def list(self, name: str) -> list[str]:
        """See `Output`."""
        found = super().list(name)
        _count("list", 1 + len(found) // 1000)
        return found

    def delete(self, uris: Iterable[str]) -> None:
        """See `Output`."""
        gone = [*uris]
        _count("delete", len(gone))
        super().delete(gone)


_counts: Counter[str] = Counter()
_written = 0.0


def _count(kind: str, times: int = 1) -> None:
    global _written
    _counts[kind] += times
    if time.monotonic() - _written > 0.5:
        _written = time.monotonic()
        Path(os.environ["SCALE_COUNTS"], f"{os.getpid()}.json").write_text(json.dumps(_counts))


def output_of(job: Job) -> Output:
    """The job's output."""
    return CannedOutput(job.output.directory)


def backend_of(*_: Any, **__: Any) -> Any:
    """The job's backend."""
    return CannedBackend()


if __name__ == "__main__":
    # Under its own name, so that workers find what is pickled.
    import scale_canned

    catalogue.output_of = scale_canned.output_of
    catalogue.backend_of = scale_canned.backend_of
    sys.exit(main(sys.argv[1:]))
