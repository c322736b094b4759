"""Rows that an earlier run finished, and the manifest does not have any more; accounts of tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.metadata.commit import commit
from alphabeam.transforms.metadata.groups import WriteGroupsFn
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row, now
from tests.conftest import Shop

FillShop = Callable[..., Shop]


def drop_lines(shop: Shop, *names: str) -> str:
    """Takes rows out of the manifest; gives it as it was."""
    whole = (shop.folder / "manifest.csv").read_text()
    kept = [line for line in whole.splitlines() if not any(name in line for name in names)]
    shop.manifest("\n".join(kept) + "\n")
    return whole


@pytest.mark.slow
def test_rows_that_are_gone_are_listed_and_kept(
    filled_shop: FillShop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(4)
    assert shop.run() == 0
    whole = drop_lines(shop, "p1.png", "p2.png")
    capsys.readouterr()
    assert shop.run() == 0
    said = capsys.readouterr().out
    assert "2 rows of earlier runs are not in the manifest any more; --prune removes" in said
    listed = [json.loads(line) for line in (shop.out / "orphaned.jsonl").open()]
    assert sorted(record["image"].rsplit("/", 1)[-1] for record in listed) == ["p1.png", "p2.png"]
    assert all((shop.out / record["cutout"]).exists() for record in listed)
    assert json.loads((shop.out / "summary.json").read_text())["orphaned"] == 2
    shop.manifest(whole)
    assert shop.run() == 0
    assert json.loads((shop.out / "summary.json").read_text())["finished_before"] == 4
    assert not (shop.out / "orphaned.jsonl").exists()


@pytest.mark.slow
def test_prune_removes_what_is_gone_and_nothing_else(
    filled_shop: FillShop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(4)
    assert shop.run() == 0
    whole = drop_lines(shop, "p1.png")
    (shop.folder / "images/p2.png").rename(shop.folder / "p2.png")  # fails, and is no orphan
    before = set(shop.files("cutouts", "masks"))
    capsys.readouterr()
    assert shop.run("--prune") == 3
    said = capsys.readouterr().out
    assert "1 rows of earlier runs are not in the manifest any more, and were removed" in said
    assert "orphaned" not in said
    removed = before - set(shop.files("cutouts", "masks"))
    assert sorted(Path(name).name for name in removed) == ["p1.png", "p1.png"]
    shop.manifest(whole)
    (shop.folder / "p2.png").rename(shop.folder / "images/p2.png")
    assert shop.run() == 0
    summary = json.loads((shop.out / "summary.json").read_text())
    assert (summary["finished_before"], summary["orphaned"]) == (3, 0), "p1 alone was done again"
    assert shop.run("--prune") == 0
    assert set(shop.files("cutouts", "masks")) == before


def committed_row(output: Output, run_id: str, fingerprint: str) -> list[str]:
    groups = WriteGroupsFn(output, run_id)
    groups.setup()
    groups.start_bundle()
    row = Row(
        id="a", image="a.png", status=DONE, fingerprint=fingerprint, credits=2, finished_at=now()
    )
    return [*groups.process(row), *(value.value for value in groups.finish_bundle())]


def test_tasks_that_no_row_has_are_accounted_for(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    tasks = Submissions(output)
    for fingerprint, task_uid, ended in (
        ("0" * 32, "t0", ""),  # collected by the row
        ("1" * 32, "t1", ""),  # bought, and its row failed
        ("2" * 32, "", ""),  # cut off
        ("3" * 32, "t3", "task_failed"),
    ):
        tasks.put(Submission(fingerprint, "uuid", task_uid, 0.0, ended=ended))
    output.put(output.task("4" * 32), b"{broken")
    uri = output.task("1" * 32)
    output.put(uri, output.read(uri) + bytes(100))  # a machine went down meanwhile
    done = commit(committed_row(output, "run", "0" * 32), output=output, run_id="run")
    assert (done.credits, done.uncollected, done.unknown) == (2, 1, 2)
    assert sorted(output.task_files()) == [digit * 32 for digit in "1234"]
