"""A desk that buys from the emulator: the PICPIK backend without Beam's engine."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.images import fetch
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.output import Output
from alphabeam.transforms.picpik.emulator import Emulator, running_emulator
from alphabeam.transforms.rows import PENDING, Picture, Row
from tests.conftest import encoded, product

LIMITS = Limits()


class Desk:
    """A folder with pictures and a ledger; each `session` is a process of its own to the ledger."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.folder = folder
        self.emulator = emulator
        self.ledger = Submissions(Output(str(folder / "out")))
        (folder / "private_key").write_text(emulator.private_key)

    def backend(self, **settings: Any) -> PicpikBackend:
        return PicpikBackend(
            str(self.folder / "out"),
            public_key=self.emulator.public_key,
            private_key=f"${{file:{self.folder}/private_key}}",
            endpoint=self.emulator.endpoint,
            **{"task_timeout": 20.0, "read_timeout": 10.0, **settings},
        )

    def session(self, **settings: Any) -> Callable[[Row], Picture]:
        remove = self.backend(**settings).open()
        return lambda row: remove(fetch(row, LIMITS))

    def row(self, name: str = "a", seed: int = 0, data: bytes | None = None, **fields: Any) -> Row:
        path = self.folder / f"{name}.png"
        if not path.exists():
            path.write_bytes(encoded(product(seed)) if data is None else data)
        return Row(
            fields.pop("id", name),
            str(path),
            source_version=storage.stat(str(path)).version,
            source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            **fields,
        )

    def entry(self, row: Row) -> Submission | None:
        return self.ledger.find(self.backend().fingerprinted(row).fingerprint or "")

    def note(self, row: Row, task_uid: str = "", age_s: float = 0.0, **fields: Any) -> None:
        """Writes an entry as an earlier run would have."""
        row = self.backend().fingerprinted(row)
        self.ledger.put(
            Submission(
                row.fingerprint or "",
                row.request_uuid,
                task_uid,
                time.time() - age_s,
                **{"sent": "original", "row_id": row.id, **fields},
            )
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    stack = []

    def make(**options: Any) -> Desk:
        running = running_emulator(**options)
        stack.append(running)
        return Desk(tmp_path, running.__enter__())

    yield make
    for running in stack:
        running.__exit__(None, None, None)


def code_of(picture: Picture) -> str | None:
    assert picture.row.status in (PENDING, "failed")
    return picture.row.error_code
