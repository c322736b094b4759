"""Servers that start once a process, when a test first asks for one; the table of results."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphabeam.transforms.storage import faults, http
from tests.storage import servers


class Stores:
    """The servers that run, by name."""

    def __init__(self) -> None:
        self._running: dict[str, servers.Store | servers.MissingServerError] = {}

    def __getitem__(self, name: str) -> servers.Store:
        if name not in self._running:
            try:
                self._running[name] = servers.START[name]()
            except servers.MissingServerError as reason:
                self._running[name] = reason
        store = self._running[name]
        if isinstance(store, servers.MissingServerError):
            pytest.skip(f"no {name} server: {store}")
        return store

    def stop(self) -> None:
        for store in self._running.values():
            if isinstance(store, servers.Store):
                store.stop()


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transient faults are tried again at once."""
    monkeypatch.setattr(http, "THROTTLED_WAIT_S", 0)
    http.forget_paces()
    monkeypatch.setattr(faults, "BACKOFF", dataclasses.replace(faults.BACKOFF, base=0.01))


@pytest.fixture(scope="session")
def stores() -> Iterator[Stores]:
    running = Stores()
    yield running
    running.stop()


# The contract's results go to this file, if it is named: `docs/storage.md` is made from them.
_REPORT = os.environ.get("ALPHABEAM_STORES_REPORT", "")
_results: dict[str, dict[str, str]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    facts = dict(report.user_properties)
    if "store" not in facts or "holds" not in facts:
        return
    if report.when == "call" or report.outcome != "passed":
        outcome = report.outcome
        if report.skipped and isinstance(report.longrepr, tuple):
            outcome = str(report.longrepr[2]).removeprefix("Skipped: ")
        results = _results.setdefault(str(facts["store"]), {})
        results[str(facts["holds"])] = outcome
        if facts["holds"] == "many_objects":
            results["many"] = str(facts.get("many", ""))
        results["command"] = str(facts.get("command", results.get("command", "")))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _REPORT and _results and not hasattr(session.config, "workerinput"):
        Path(_REPORT).write_text(json.dumps(_results, indent=1, ensure_ascii=False) + "\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that start a server: those that ask for a store beyond disk and memory."""
    for item in items:
        asked = {
            v
            for v in getattr(getattr(item, "callspec", None), "params", {}).values()
            if isinstance(v, str)
        }
        if "stores" in getattr(item, "fixturenames", ()) and not asked & {"local", "memory"}:
            item.add_marker(pytest.mark.servers)
