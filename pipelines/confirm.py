"""Asks before a job buys much."""

from __future__ import annotations

import sys

from alphabeam.pipelines.catalogue import backend_of
from alphabeam.pipelines.check import rows_to_submit
from alphabeam.pipelines.job import Job
from alphabeam.transforms.backends.local import LocalBackend

__all__ = ["NotConfirmedError", "confirm"]


class NotConfirmedError(Exception):
    """Nobody said yes to what would be paid for."""


def confirm(job: Job, limit: int, fresh: bool) -> None:
    """Asks on the terminal whether to buy, where a job would buy more than it may unasked.

    Args:
        job: A job that has the API.
        limit: The most images that need no question.
        fresh: Whether finished rows are done again.

    Raises:
        NotConfirmedError: The answer is no, or nobody is there to give one.
    """
    backend = backend_of(job)
    assert job.api is not None and not isinstance(backend, LocalBackend)
    count = rows_to_submit(job, backend, fresh).most
    if count <= limit:
        return
    up_to = "up to " if job.backend.kind == "cascade" else ""
    question = f"{up_to}{count} images would be submitted to {job.api.endpoint} and paid for"
    if not sys.stdin.isatty():
        place = ".".join((*job.place_of("picpik"), "confirm_over"))
        raise NotConfirmedError(f"{question}; say --yes, or raise {place}")
    if input(f"{question}. Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise NotConfirmedError("nothing was submitted")
