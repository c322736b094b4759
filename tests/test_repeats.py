"""What happens again and again is one line for each cause."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from alphabeam.transforms.pace import Pace
from alphabeam.transforms.picpik import Backoff
from alphabeam.transforms.picpik.calls import Calls
from alphabeam.transforms.picpik.errors import ApiUnavailableError
from alphabeam.transforms.picpik.transport import ExchangeFailedError
from alphabeam.transforms.repeats import Repeats


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


def test_a_cause_is_warned_of_once_and_later_with_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    repeats = Repeats(logging.getLogger("alphabeam.test"), interval=60.0, clock=lambda: now[0])
    with caplog.at_level(logging.INFO, logger="alphabeam.test"):
        for number in range(40):
            repeats.warn(f"refused on port {number}", f"call {number}: refused")
        repeats.warn("reset", "call 40: reset")
        (first, other) = warnings(caplog)
        assert first == "call 0: refused; more of these are counted, and -v shows each"
        assert other.startswith("call 40: reset")
        assert sum(one.levelno == logging.INFO for one in caplog.records) == 39
        now[0] = 61.0
        repeats.warn("refused on port 9", "call 41: refused")
        assert "call 41: refused (39 more times in the 61 s before); more" in warnings(caplog)[-1]


def test_an_api_that_is_down_is_one_line_however_many_rows_ask(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("alphabeam.test")
    monkeypatch.setattr("alphabeam.transforms.picpik.calls._faults", Repeats(log))
    calls = Calls(Pace(None), max_concurrency=1, backoff=Backoff(), sleep=lambda seconds: None)

    def refuse() -> None:
        raise ExchangeFailedError("connection refused", delivered=False)

    with caplog.at_level(logging.INFO, logger="alphabeam.test"):
        for number in range(8):
            with suppress(ApiUnavailableError):
                calls.until_it_works(
                    "RemoveBackground", refuse, buys=True, paced=True, request_uuid=f"u{number}"
                )
    (line,) = warnings(caplog)
    assert "RemoveBackground, request_uuid u0: connection refused; attempt 1 of 6" in line
    assert len(caplog.records) == 8 * 5  # each is there for those who want it
