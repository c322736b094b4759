"""What an operator sees: log lines, tracebacks with the row's id, metrics in the summary."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from alphabeam.pipelines import logs
from alphabeam.transforms.matting import MattingCore
from tests.conftest import Shop


@pytest.fixture(autouse=True)
def _restore_logging() -> Any:
    root, ours = logging.getLogger(), logging.getLogger("alphabeam")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


def test_an_unforeseen_exception_leaves_a_traceback_with_the_rows_id(
    filled_shop: Callable[..., Shop],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = filled_shop(2)

    def broken(*_: Any) -> None:
        raise KeyError("no such layer")

    monkeypatch.setattr(MattingCore, "remove", broken)
    assert shop.run("--set", "engine.processes=1") == 3
    said = capsys.readouterr().err
    for id in shop.rows():
        assert f"row {id}: unforeseen error in remove" in said
    assert said.count("KeyError: 'no such layer'") >= 2 and "Traceback" in said


def test_the_metrics_are_in_the_summary_and_equal_the_metadata(
    filled_shop: Callable[..., Shop],
) -> None:
    shop = filled_shop(5)
    with (shop.folder / "manifest.csv").open("a") as file:
        file.write("nowhere.png,S9\n")
    assert shop.run() == 3
    rows = shop.records()
    metrics = json.loads((shop.out / "summary.json").read_text())["metrics"]
    done = [row for row in rows if row["status"] == "done"]
    assert metrics["rows_done"] == len(done) == 5
    assert metrics["rows_failed"] == 1
    assert metrics["bytes_read"] == sum(row["source_bytes"] or 0 for row in rows)
    written = [shop.out / row[kind] for row in done for kind in ("cutout", "mask")]
    assert metrics["bytes_written"] == sum(path.stat().st_size for path in written)
    for step in ("read_ms", "remove_ms", "write_ms"):
        values = [round(row[step]) for row in rows if row[step] is not None]
        assert metrics[step]["count"] == len(values)
        assert metrics[step]["max"] == max(values)
    assert shop.run() == 3
    metrics = json.loads((shop.out / "summary.json").read_text())["metrics"]
    assert metrics["rows_finished_before"] == 5 and metrics["rows_failed"] == 1


def test_the_log_may_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(1, "json")
    logging.getLogger("alphabeam.transforms.x").info("hello %s", "ä")
    logging.getLogger("apache_beam").info("not shown")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("alphabeam").exception("bad")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == ["hello ä", "bad"]
    assert "ValueError: why" in lines[1]["traceback"]


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [(0, {"our warning"}), (1, {"our warning", "our info"}),
     (2, {"our warning", "our info", "our debug", "beam info"})],
)  # fmt: skip
def test_how_much_is_said(
    verbosity: int, shown: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(verbosity)
    ours, beam = logging.getLogger("alphabeam.x"), logging.getLogger("apache_beam.x")
    ours.warning("our warning")
    ours.info("our info")
    ours.debug("our debug")
    beam.info("beam info")
    said = capsys.readouterr().err
    assert {
        one for one in ("our warning", "our info", "our debug", "beam info") if one in said
    } == shown
