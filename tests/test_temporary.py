"""The temporary folder of a run: removed at its end, or by the next run on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from alphabeam.pipelines.temporary import temporary_folder

KILLED = """
import os, tempfile
from alphabeam.pipelines.temporary import temporary_folder
with temporary_folder() as folder:
    tempfile.mkdtemp(prefix="beam-")
    print(folder, flush=True)
    os._exit(9)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_all_that_is_temporary_is_in_it_and_goes_with_it(temporary: Path) -> None:
    with temporary_folder() as folder:
        assert Path(folder).parent == temporary
        assert Path(tempfile.mkdtemp()).parent == Path(folder)
        child = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]
        assert subprocess.check_output(child, text=True).strip() == folder
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(temporary)
    assert list(temporary.iterdir()) == []


def test_that_of_a_killed_run_is_removed_by_the_next_and_that_of_a_living_one_is_not(
    temporary: Path,
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    left = Path(killed.stdout.strip())
    assert killed.returncode == 9 and len(list(left.iterdir())) == 2
    (temporary / "alphabeam-of-something-else").mkdir()
    with temporary_folder() as living:
        assert not left.exists()
        tempfile.tempdir = None
        os.environ["TMPDIR"] = str(temporary)  # as in another process
        with temporary_folder():
            assert Path(living).exists()
    assert (temporary / "alphabeam-of-something-else").exists()
