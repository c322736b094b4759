"""How many cores a container's quota leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alphabeam.transforms.cores import cores
from alphabeam.transforms.pool import Stage


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def groups(folder: Path, membership: str, files: dict[str, str]) -> int:
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "membership").write_text(membership)
    return cores(str(folder / "cgroup"), str(folder / "membership"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000\n", 8), ("200000 100000\n", 2), ("150000 100000\n", 2), ("1000 100000\n", 1),
        ("50000 50000\n", 1), ("3200000 100000\n", 8), ("", 8), ("broken", 8), ("0 0\n", 8),
    ],
)  # fmt: skip
def test_a_quota_of_version_2(tmp_path: Path, text: str, expected: int) -> None:
    assert groups(tmp_path, "0::/\n", {"cpu.max": text}) == expected


def test_the_narrowest_group_around_counts(tmp_path: Path) -> None:
    files = {
        "kube/cpu.max": "300000 100000\n",
        "kube/pod/cpu.max": "max 100000\n",
        "kube/pod/app/cpu.max": "700000 100000\n",
    }
    assert groups(tmp_path, "0::/kube/pod/app\n", files) == 3
    # inside a container, whose own group is the topmost that it sees
    assert groups(tmp_path, "0::/other/app\n", {"cpu.max": "500000 100000\n"}) == 5


@pytest.mark.parametrize("controllers", ["cpu,cpuacct", "cpu"])
def test_a_quota_of_version_1(tmp_path: Path, controllers: str) -> None:
    membership = f"12:memory:/docker/abc\n5:{controllers}:/docker/abc\n1:cpuset:/\n0::/system\n"
    top = f"{controllers}/docker/abc"
    files = {f"{top}/cpu.cfs_quota_us": "250000\n", f"{top}/cpu.cfs_period_us": "100000\n"}
    assert groups(tmp_path, membership, files) == 3
    files = {f"{top}/cpu.cfs_quota_us": "-1\n"}
    assert groups(tmp_path, membership, files) == 8
    files = {f"{controllers}/cpu.cfs_quota_us": "400000\n",
             f"{controllers}/cpu.cfs_period_us": "100000\n"}  # fmt: skip
    assert groups(tmp_path, membership, files) == 4


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert cores(str(tmp_path / "none"), str(tmp_path / "nothing")) == 8


def test_every_pool_goes_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphabeam.transforms.pool.cores", lambda: 3)
    stage = Stage(lambda: lambda element: element)
    assert (stage.workers, stage.room) == (3, 6)
