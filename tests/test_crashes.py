"""Images that end the process that works on them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from alphabeam.pipelines.command import main
from alphabeam.transforms.crashes import OpenMarks, forget_marks, remove_marks
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.output import Output
from tests.conftest import Shop, encoded, product
from tests.forked import PROCESSES

FillShop = Callable[..., Shop]


def deadly_run(tries: str, job: str) -> None:
    """A run in which a picture of 77 x 60 pixels ends its process, as a decoder's fault would."""
    remove = MattingCore.remove

    def deadly(core: MattingCore, pixels: NDArray[np.uint8], *more: Any) -> Any:
        if pixels.shape[1] == 77:
            with open(tries, "a") as file:
                file.write("try\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        return remove(core, pixels, *more)

    MattingCore.remove = deadly  # type: ignore[assignment]
    sys.exit(main([job, "--quiet"]))


def run(shop: Shop) -> int | None:
    return end_of(deadly_run, str(shop.folder / "tries"), str(shop.job))


def end_of(target: Callable[..., None], *arguments: str) -> int | None:
    """The exit status of a function in a process of its own."""
    process = PROCESSES.Process(target=target, args=arguments)
    process.start()
    process.join(120)
    return process.exitcode


def tries(shop: Shop) -> int:
    path = shop.folder / "tries"
    return len(path.read_text().split()) if path.exists() else 0


@pytest.mark.slow
def test_an_image_that_ends_its_process_is_given_up_after_three_tries(
    filled_shop: FillShop,
) -> None:
    shop = filled_shop(8)
    (shop.folder / "images/p3.png").write_bytes(encoded(product(3, width=77)))
    for end in range(1, 4):
        assert run(shop) == -signal.SIGSEGV
        assert tries(shop) == end
    assert shop.run() == 3
    rows = shop.rows()
    failed = {id: row["error_code"] for id, row in rows.items() if row["status"] != "done"}
    assert list(failed.values()) == ["crashed"] and len(rows) == 8
    assert "p3" in next(iter(failed)), "and not one of those that were worked on beside it"
    assert shop.run() == 3, "nor is it tried on the next night"
    marks = (shop.out / "ledger/working").iterdir()
    assert [mark.name for mark in marks] == ["given-up.json"]

    (shop.folder / "images/p3.png").write_bytes(encoded(product(3)))
    assert shop.run() == 0, "another picture under the same name"


def open_marks(folder: Path, run_id: str) -> OpenMarks:
    return OpenMarks(Output(str(folder)), run_id)


def die(marks: OpenMarks) -> None:
    """Leaves the mark as the end of the process would."""
    marks._write_now()
    marks._uri = "memory://gone"


def test_an_image_beside_the_one_at_fault_is_not_given_up(tmp_path: Path) -> None:
    for number in range(6):
        marks = open_marks(tmp_path, f"run{number}")
        for beside in (f"beside{number}", f"beside{number}b"):
            marks.begin(beside)
        try:
            marks.begin("fault")
        except RowError as error:
            assert error.code is ErrorCode.CRASHED
            break
        die(marks)
    assert number == 3
    with pytest.raises(RowError):
        open_marks(tmp_path, "later").begin("fault")
    OpenMarks(Output(str(tmp_path)), "fresh", heed=False).begin("fault")
    later = open_marks(tmp_path, "later")
    for number in range(3):
        later.begin(f"beside{number}")
        later.end(f"beside{number}")


def test_an_end_that_came_before_its_mark_counts(tmp_path: Path) -> None:
    first = open_marks(tmp_path, "run0")
    first.begin("early")
    first.end("early")
    first._write_now()
    first.begin("another")
    die(first)  # a fault's image may have come just after this mark
    for number in (1, 2):
        marks = open_marks(tmp_path, f"run{number}")
        marks.begin("fault")
        die(marks)
    with pytest.raises(RowError, match="3 times"):
        open_marks(tmp_path, "run3").begin("fault")


def test_a_suspect_that_was_finished_when_its_process_was_killed_is_not_at_fault(
    tmp_path: Path,
) -> None:
    """A job that is killed often, just after its start, comes to the same images each time."""
    for number in range(6):
        marks = open_marks(tmp_path, f"run{number}")
        marks.begin("first")
        if number:
            marks.end("first")
        marks.begin(f"next{number}")
        die(marks)
    open_marks(tmp_path, "last").begin("first")


def test_an_image_that_was_worked_on_to_its_end_is_suspected_no_more(tmp_path: Path) -> None:
    for number in range(6):
        marks = open_marks(tmp_path, f"run{number}")
        marks.begin("image")
        if number % 2:  # every other run comes to its end, and loses it before it is in the ledger
            marks.clear("image")
            marks.end("image")
            marks.begin(f"another{number}")
            die(marks)
            continue
        die(marks)
    open_marks(tmp_path, "last").begin("image")


def test_suspects_are_worked_on_one_at_a_time(tmp_path: Path) -> None:
    gone = open_marks(tmp_path, "run0")
    gone.begin("a")
    gone.begin("b")
    die(gone)
    marks = [open_marks(tmp_path, "run1"), open_marks(tmp_path, "run1")]
    marks[0].begin("a")
    began = threading.Event()

    def second() -> None:
        marks[1].begin("b")
        began.set()

    threading.Thread(target=second, daemon=True).start()
    marks[1].begin("c")
    marks[1].end("c")  # others do not wait
    assert not began.wait(0.5)
    marks[0].end("a")
    assert began.wait(5)
    marks[1].end("b")


def test_the_turn_of_a_run_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    gone = open_marks(tmp_path, "run0")
    gone.begin("a")
    die(gone)
    again = open_marks(tmp_path, "run1")
    again.begin("a")  # has its turn
    die(again)
    began = time.monotonic()
    third = open_marks(tmp_path, "run2")
    third.begin("a")
    assert time.monotonic() - began < 5


def test_whole_and_stopped_runs_leave_no_marks(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    gone = open_marks(tmp_path, "run0")
    gone.begin("a")
    die(gone)
    assert output.mark_files()
    stopped = open_marks(tmp_path, "run1")
    stopped.begin("b")
    remove_marks(output, "run1")
    assert [os.path.basename(uri)[:4] for uri in output.mark_files()] == ["run0"]
    forget_marks(output)
    assert not output.mark_files()


def test_a_broken_mark_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = Output(str(tmp_path))
    for data in (b"", b"{", b"[1]", b'{"images": 3, "exact": true, "ends": 1}'):
        output.put(output.mark(f"broken{len(data)}"), data)
    open_marks(tmp_path, "run").begin("a")
    assert "is broken" in caplog.text


def begin_and_end(folder: str, run_id: str, ending: str) -> None:
    OpenMarks(Output(folder), run_id).begin("a")
    os.kill(os.getpid(), int(ending))


@pytest.mark.slow
def test_an_end_by_somebody_else_does_not_count(tmp_path: Path) -> None:
    for number, ending in enumerate([signal.SIGKILL] * 4 + [signal.SIGSEGV] * 3):
        arguments = (str(tmp_path), f"run{number}", str(int(ending)))
        assert end_of(begin_and_end, *arguments) == -ending
    with pytest.raises(RowError, match="ended 3 times"):
        open_marks(tmp_path, "last").begin("a")


def test_a_lack_of_memory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alphabeam.transforms import witness

    faults = tmp_path / "alphabeam-faults-x"
    faults.touch()
    seen = {**witness.witness(), "faults": str(faults), "memory_kills": "7"}
    monkeypatch.setattr(witness, "_memory_kills", lambda: "7")
    assert witness.was_killed(seen)
    monkeypatch.setattr(witness, "_memory_kills", lambda: "8")
    assert not witness.was_killed(seen)
    monkeypatch.setattr(witness, "_memory_kills", lambda: "7")
    assert not witness.was_killed({**seen, "process": "another machine:1:2:3"})
    faults.write_text("Fatal Python error: Segmentation fault")
    assert not witness.was_killed(seen)


def test_a_header_that_ends_the_process_is_found_too(
    filled_shop: FillShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is there while the header is read, and gone once the row is through."""
    from alphabeam.transforms.images import reading

    shop = filled_shop(1)
    seen: list[int] = []
    inspect = reading.inspect

    def look(data: bytes, limits: object) -> object:
        seen.append(len([*(shop.out / "ledger/working").glob("*.json")]))
        return inspect(data, limits)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "inspect", look)
    assert shop.run() == 0
    assert seen == [1]
    assert not [*(shop.out / "ledger/working").glob("*.json")]
