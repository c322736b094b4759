"""``benchmarks/resume.py``: a night on which nothing has changed, and what each row of it costs."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alphabeam.pipelines.command import main
from alphabeam.transforms.metadata.groups import WriteGroupsFn
from alphabeam.transforms.rows import Row

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
ROWS = 300


def test_a_finished_row_costs_three_looks_and_one_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "resume", raising=False)
    import resume

    job_file = resume.make(tmp_path, ROWS)
    costs: Counter[str] = Counter()
    written: list[Row] = []
    monkeypatch.setattr(WriteGroupsFn, "process", lambda _, row: written.append(row) or ())
    fingerprinted, stat = Row.fingerprinted, os.stat

    def counted(self: Row, *given: Any) -> Row:
        costs["fingerprints"] += 1
        return fingerprinted(self, *given)

    def looked(path: Any, *more: Any, **options: Any) -> os.stat_result:
        name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
        costs["looks"] += name.endswith(".png")
        return stat(path, *more, **options)

    monkeypatch.setattr(Row, "fingerprinted", counted)
    monkeypatch.setattr(os, "stat", looked)
    assert main([str(job_file), "--quiet"]) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["finished_before"] == ROWS
    assert not written, "a finished row is no element for the steps behind the look-up"
    assert costs == {"fingerprints": ROWS, "looks": 3 * ROWS}, "source, cutout and mask; the key"
