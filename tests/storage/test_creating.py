"""What `create` does with a lost answer, an ignored condition, a disk without hard links."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.storage import creating
from alphabeam.transforms.storage.connections import Place

pytestmark = pytest.mark.usefixtures("short_waits")


class _Store:
    """A bucket that heeds the condition, or overwrites."""

    def __init__(self, heeds: bool) -> None:
        self.heeds = heeds
        self.objects: dict[str, bytes] = {}

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        if self.heeds and mode == "create" and path in self.objects:
            raise FileExistsError(path)
        self.objects[path] = data

    def rm_file(self, path: str) -> None:
        del self.objects[path]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_trial_shows_whether_a_store_heeds_the_condition(heeds: bool) -> None:
    fs = _Store(heeds)
    place = Place(fs, "bucket/folder/lease", "s3", "bucket/", "s3://bucket/", "")
    assert creating._heeds(place) is heeds
    assert fs.objects == {}, "the trial object is removed"


def test_a_store_that_ignores_the_condition_gets_a_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creating, "_SETTLE_S", 0.05)
    monkeypatch.setattr(creating, "_create_once", lambda uri, data, options: None)
    uri = "memory://claims/lease"
    assert storage.create(uri, b"first") is True
    assert storage.create(uri, b"second") is False
    assert storage.read(uri) == b"first"
    assert storage.list("memory://claims") == [uri]


@pytest.mark.parametrize(("other", "mine"), [(None, True), (b"another writer's", False)])
def test_a_lost_answer(monkeypatch: pytest.MonkeyPatch, other: bytes | None, mine: bool) -> None:
    """The object's bytes tell who made it."""
    uri = f"memory://lost/{mine}"
    once = creating._create_once
    answers = 0

    def lose_the_first(uri: str, data: bytes, options: Any) -> bool | None:
        nonlocal answers
        made = once(uri, other or data, options)
        answers += 1
        if answers == 1:
            raise ConnectionResetError(104, "reset")
        return made

    monkeypatch.setattr(creating, "_create_once", lose_the_first)
    assert storage.create(uri, b"mine, by nonce") is mine


def test_a_disk_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    uri = str(tmp_path / "new" / "lease")
    assert storage.create(uri, b"first") is True
    assert storage.create(uri, b"second") is False
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["lease"]
    assert Path(uri).read_bytes() == b"first"
