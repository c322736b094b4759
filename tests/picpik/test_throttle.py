"""Backoff, Retry-After and the adaptive pace, on a clock of their own."""

from __future__ import annotations

import random
from email.utils import formatdate

import pytest

from alphabeam.transforms.picpik.throttle import Backoff, Pace, retry_after_seconds


class Clock:
    """Time that passes only in sleep()."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


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
        (formatdate(999_000, usegmt=True), 0.0),
        ("Mon, 99 Foo 2020 00:00:00 GMT", None),
    ],
)
def test_retry_after_headers(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=lambda: 1_000_000.0) == seconds


@pytest.mark.parametrize("bad", [{"attempts": 0}, {"cap": -1.0}, {"total_seconds": -1.0}])
def test_bad_backoffs_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        Backoff(**bad)  # type: ignore[arg-type]


def test_a_limit_spaces_requests_evenly() -> None:
    clock = Clock()
    pace = Pace(10.0, clock=clock, sleep=clock.sleep)
    waits = [pace.wait() for _ in range(21)]
    assert waits[0] == 0
    assert clock.now - 1000.0 == pytest.approx(2.0)


def test_without_a_limit_nothing_waits() -> None:
    clock = Clock()
    pace = Pace(clock=clock, sleep=clock.sleep)
    assert sum(pace.wait() for _ in range(1000)) == 0
    assert pace.rate is None


def test_push_back_slows_and_quiet_recovers() -> None:
    clock = Clock()
    pace = Pace(20.0, clock=clock, sleep=clock.sleep)
    for _ in range(5):
        pace.push_back()  # one burst counts once
    assert pace.rate == pytest.approx(14.0)
    clock.sleep(1.0)
    pace.push_back()
    slow = pace.rate
    assert slow is not None and slow < 14.0
    clock.sleep(3.0)
    pace.wait()
    assert slow < (pace.rate or 0) < 20.0
    clock.sleep(20.0)
    pace.wait()
    assert pace.rate == 20.0


def test_an_unlimited_pace_cuts_what_it_observed_and_is_free_again() -> None:
    clock = Clock()
    pace = Pace(clock=clock, sleep=clock.sleep)
    for _ in range(200):  # 100 a second
        pace.wait()
        clock.sleep(0.01)
    pace.push_back()
    assert pace.rate == pytest.approx(70.0, rel=0.02)
    clock.sleep(30.0)
    pace.wait()
    assert pace.rate is None


def test_the_rate_never_dies() -> None:
    clock = Clock()
    pace = Pace(10.0, clock=clock, sleep=clock.sleep)
    for _ in range(100):
        pace.push_back()
        clock.sleep(0.5)
    assert (pace.rate or 0) >= 0.5


def test_it_settles_near_what_the_server_takes() -> None:
    """A server that takes 20 a second and refuses the rest: the pace finds about that."""
    clock = Clock()
    pace = Pace(200.0, clock=clock, sleep=clock.sleep)
    granted: list[float] = []
    refused = 0
    while clock.now < 1120.0:
        pace.wait()
        clock.sleep(0.001)
        recent = sum(t > clock.now - 1.0 for t in granted[-40:])
        if recent >= 20:
            refused += 1
            pace.push_back()
        else:
            granted.append(clock.now)
    late = sum(t > 1060.0 for t in granted) / 60
    assert late > 15
    assert refused < 0.75 * (refused + len(granted))


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_must_be_over_0(rate: float) -> None:
    with pytest.raises(ValueError, match="requests_per_second"):
        Pace(rate)
