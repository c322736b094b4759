"""The adaptive pace, on a clock of its own."""

from __future__ import annotations

import pytest

from alphabeam.transforms.pace import Pace


class Clock:
    """Time that passes only in sleep()."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


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


def test_questions_go_ahead_of_a_line_of_submissions_within_the_rate() -> None:
    pace = Pace(10.0, clock=lambda: 0.0, sleep=lambda seconds: None)
    turns = [pace.wait() for _ in range(20)]
    assert turns[-1] == pytest.approx(1.9)
    assert pace.wait(ahead=True) == 0.0
    assert pace.wait(ahead=True) == pytest.approx(0.1)
    assert pace.wait() == pytest.approx(2.2)  # the two questions took their share
