"""Whether a process has ended, and whether that can be known here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from alphabeam.transforms.processes import is_gone, is_here, number_of, this_process

SAYS_ITS_NAME = (
    "from alphabeam.transforms.processes import this_process;"
    "print(this_process(), flush=True); input()"
)


def test_a_process_is_gone_when_it_has_ended() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SAYS_ITS_NAME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert number_of(name) == str(process.pid)
    assert is_here(name) and not is_gone(name)
    if Path("/proc/self").exists():
        machine, number, since, nonce = name.split(":")
        assert is_gone(f"{machine}:{number}:{int(since) + 1}:{nonce}"), "its number was used again"
    process.kill()
    process.wait()
    assert is_gone(name)
    process.communicate()


def test_this_process_is_not_gone() -> None:
    assert not is_gone(this_process()) and is_here(this_process())


@pytest.mark.parametrize("name", ["", "elsewhere", "elsewhere:1:2:abc", "4711 1b4e28ba 1234"])
def test_nothing_is_said_of_another_machines_processes(name: str) -> None:
    assert not is_gone(name) and not is_here(name)
