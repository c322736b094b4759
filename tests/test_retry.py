"""Backoff, Retry-After and deadlines, on a clock of their own."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from email.utils import formatdate

import pytest

from alphabeam.transforms.retry import (
    Backoff,
    Deadline,
    DeadlineExceededError,
    Retries,
    retry_after_seconds,
)


class Clock:
    """Time that passes only when it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_backoff_has_full_jitter_under_a_doubling_bound() -> None:
    backoff = Backoff(base=1.0, cap=10.0)
    rng = random.Random(0)
    for failures, bound in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (500, 10.0)):
        waits = [backoff.wait(failures, None, rng) for _ in range(500)]
        assert 0 <= min(waits) < 0.05 * bound
        assert 0.95 * bound < max(waits) <= bound


def test_retry_after_is_a_lower_bound() -> None:
    waits = [Backoff(base=1.0).wait(1, 5.0, random.Random(n)) for n in range(100)]
    assert min(waits) >= 5.0 and max(waits) <= 6.0 and len(set(waits)) > 90


def test_retry_after_is_obeyed_up_to_a_limit() -> None:
    backoff = Backoff(base=1.0, longest_retry_after=20.0)
    waits = [backoff.wait(1, 3600.0, random.Random(n)) for n in range(100)]
    assert min(waits) >= 20.0 and max(waits) <= 21.0


@pytest.mark.parametrize(
    "bad",
    [{"attempts": 0}, {"base": -1.0}, {"cap": math.nan}, {"total_seconds": -1.0}],
)
def test_bad_backoff(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        Backoff(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("9" * 50, 999_999_999.0),
        (formatdate(1_000_060, usegmt=True), 60.0),
        (formatdate(1_000_060), 60.0),
        (formatdate(999_000, usegmt=True), 0.0),
        ("Mon, 99 Foo 2020 00:00:00 GMT", None),
        ("Mon, 12 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after_headers(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=lambda: 1_000_000.0) == seconds


def test_attempts_are_counted() -> None:
    retries = Retries(Backoff(attempts=3, base=0.0))
    assert retries.after_failure() == 0.0
    assert retries.after_failure() == 0.0
    assert retries.after_failure() is None
    assert retries.failures == 3 and retries.refused_wait is None


def test_no_retry_starts_after_the_total_time() -> None:
    clock = Clock()
    retries = Retries(Backoff(attempts=9, total_seconds=10.0, base=0.0), clock=clock)
    assert retries.after_failure(4.0) == 4.0
    clock.now += 4.0
    assert retries.after_failure(7.0) is None
    assert retries.refused_wait == 7.0


def test_no_retry_starts_after_the_deadline() -> None:
    clock = Clock()
    deadline = Deadline(5.0, clock=clock)
    retries = Retries(Backoff(base=0.0), deadline=deadline, clock=clock)
    assert retries.after_failure(4.0) == 4.0
    clock.now += 4.0
    assert retries.after_failure(2.0) is None
    assert retries.refused_wait == 2.0


def test_a_deadline_bounds_every_step() -> None:
    clock = Clock()
    deadline = Deadline(5.0, clock=clock)
    assert deadline.timeout() == 5.0 and deadline.timeout(2.0) == 2.0
    clock.now += 4.0
    assert deadline.remaining() == 1.0 and deadline.timeout(2.0) == 1.0
    clock.now += 1.0
    assert deadline.remaining() == 0.0
    with pytest.raises(DeadlineExceededError, match="not done within 5 s"):
        deadline.timeout(2.0)
    with pytest.raises(DeadlineExceededError):
        deadline.check()


def test_no_deadline() -> None:
    deadline = Deadline()
    deadline.check()
    assert math.isinf(deadline.remaining())
    assert deadline.timeout() is None and deadline.timeout(3.0) == 3.0


def test_it_imports_neither_beam_nor_a_store() -> None:
    source = (
        "import sys; import alphabeam.transforms.retry; "
        "print([n for n in sys.modules if n.startswith(('apache_beam', 'fsspec', 'urllib3', "
        "'alphabeam.transforms.storage', 'alphabeam.transforms.picpik'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
