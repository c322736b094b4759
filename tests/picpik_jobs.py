"""Whole PICPIK jobs against the emulator: what the tests and the benchmark drive them with."""

from __future__ import annotations

import hashlib
import random
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from alphabeam.transforms import storage
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.images import fetch
from alphabeam.transforms.ledger import Submission, Submissions
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.output import Output
from alphabeam.transforms.picpik.emulator import Emulator
from alphabeam.transforms.rows import Row
from tests.conftest import Shop, encoded, product
from tests.forked import PROCESSES, JobProcess

__all__ = [
    "AfterKills",
    "Kills",
    "PicpikShop",
    "bought_by_a_process",
    "check_every_row",
    "doubtful",
    "kill_five_times",
    "pictures",
    "run_with_kills",
]

# What a killed run and an undisturbed one agree on, whatever the clock and the API's names.
SAME = (
    *("id", "image", "status", "line", "backend", "request_uuid", "cutout", "mask", "width"),
    *("height", "source_sha256", "source_version", "subject_box", "coverage", "credits"),
    *("error_code", "fingerprint", "extra"),
)


class PicpikShop(Shop):
    """A shop whose job goes to an emulator; the keys come from files.

    Args:
        folder: Where its pictures, its manifest and its job lie.
        emulator: The API.
        store: A folder of a store for the output; None for one beside the job.
        **backend: Settings of the backend.
    """

    def __init__(
        self,
        folder: Path,
        emulator: Emulator,
        store: Output | None = None,
        **backend: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, "")
        self.emulator = emulator
        self.output = store or Output(str(self.out))
        self.set(**backend)

    def set(self, **backend: Any) -> None:
        """Writes the job file with these settings of the backend."""
        for name in ("public_key", "private_key"):
            (self.folder / name).write_text(getattr(self.emulator, name) + "\n")
        job = {
            "input": {"manifest": "manifest.csv"},
            "backend": {
                "kind": "picpik",
                "endpoint": self.emulator.endpoint,
                "public_key": f"${{file:{self.folder}/public_key}}",
                "private_key": f"${{file:{self.folder}/private_key}}",
                **backend,
            },
            "output": {"directory": self.output.directory},
            "storage": self.output.storage or {},
        }
        self.job.write_text(yaml.safe_dump(job))

    def fill(self, count: int) -> None:
        """A manifest of so many different pictures."""
        lines = [self.picture(f"images/p{n}.png", n) for n in range(count)]
        self.manifest("image\n" + "\n".join(lines) + "\n")

    def start(self, *arguments: str) -> JobProcess:
        """The job as a process of its own."""
        return JobProcess(str(self.job), "--quiet", "--yes", *arguments, cwd=self.folder)

    def entries(self) -> Iterator[Submission]:
        """What the ledger knows of tasks."""
        ledger = Submissions(self.output)
        for fingerprint in sorted(self.output.task_files()):
            found = ledger.find(fingerprint)
            if found is not None:
                yield found

    def facts(self) -> dict[str, dict[str, Any]]:
        """The metadata's columns that do not depend on the clock or on the API's names."""
        return {id: {name: row[name] for name in SAME} for id, row in self.rows().items()}


def doubtful(seed: int) -> bytes:
    """A grey ellipse on white, of which the tiny network is not sure; each is another one."""
    pixels = product(seed)
    inside = pixels.max(axis=2) < 200
    pixels[inside] = np.array([146, 143 + seed % 7, 140 + seed // 7], np.uint8)
    return encoded(pixels)


def pictures(folder: Path, count: int) -> list[Row]:
    """So many different pictures, as pending rows."""
    rows = []
    for number in range(count):
        path = folder / f"p{number}.png"
        path.write_bytes(encoded(product(number)))
        rows.append(
            Row(
                path.stem,
                str(path),
                source_version=storage.stat(str(path)).version,
                source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            )
        )
    return rows


def bought_by_a_process(
    backend: PicpikBackend, rows: list[Row], threads: int = 4
) -> list[str | None]:
    """Does the rows in this process, several at once; gives their error codes."""
    remove = backend.open()
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(lambda row: remove(fetch(row, Limits())), rows)
        return [picture.row.error_code for picture in done]


class AfterKills(NamedTuple):
    """The rows after `kill_five_times`, by id.

    Attributes:
        unknown: Those whose purchase the ledger has as unknown.
        known: Those whose task it knows.
        bought: Those that were bought.
        never_sent: Those that are unknown, and were not bought.
    """

    unknown: set[str]
    known: set[str]
    bought: set[str]
    never_sent: set[str]


def kill_five_times(
    backend: Callable[[], PicpikBackend], output: Output, rows: list[Row], emulator: Emulator
) -> AfterKills:
    """Lets processes do rows, each killed (SIGKILL) once it has bought some.

    Args:
        backend: Gives each process its backend.
        output: Theirs.
        rows: All of them, for each process.
        emulator: The API.

    Returns:
        What became of the rows. Two things are checked, at any speed of the machine and the store:
        what was bought is known or unknown; and what is unknown and was not bought is a request
        that had begun. An intent is durable before a request's last bytes leave, so a kill may
        fall in between; but what waits for its turn has none.
    """
    for kill in range(5):
        process = PROCESSES.Process(target=bought_by_a_process, args=(backend(), rows, 32))
        before = len(emulator.tasks)
        process.start()
        while len(emulator.tasks) < before + 4 and process.is_alive():
            time.sleep(0.002)
        time.sleep(0.04 + kill / 12)
        process.kill()
        process.join()
    _let_arrive(emulator)
    ledger, some = Submissions(output), backend()
    fingerprinted = [some.fingerprinted(row) for row in rows]
    entries = {row.id: ledger.find(row.fingerprint or "") for row in fingerprinted}
    unknown = {id for id, entry in entries.items() if entry is not None and entry.is_unknown}
    known = {id for id, entry in entries.items() if entry is not None and entry.task_uid}
    bought = {row.id for row in fingerprinted if emulator.tasks_by_request[row.request_uuid]}
    assert known <= bought <= known | unknown
    assert len(unknown - bought) <= emulator.cut_off
    return AfterKills(unknown, known, bought, unknown - bought)


def _let_arrive(emulator: Emulator) -> None:
    """Waits until the emulator has seen all that processes sent which are gone now."""
    for _ in range(2):  # it takes connections one after the other: this one is the last
        with urllib.request.urlopen(f"{emulator.endpoint}/_emulator/state", timeout=60) as answer:
            answer.read()
    deadline = time.monotonic() + 60
    while emulator.begun > sum(emulator.requests.values()) + emulator.cut_off:
        assert time.monotonic() < deadline, "a request neither arrives nor ends"
        time.sleep(0.01)


@dataclass
class Kills:
    """What `run_with_kills` did.

    Attributes:
        at: The requests that the emulator had seen of each process when it was killed.
        cut_off: Submissions that each kill left without a TaskUID.
        status: The exit status of the last run, which was not killed.
    """

    at: list[int] = field(default_factory=list)
    cut_off: list[int] = field(default_factory=list)
    status: int = -1


def run_with_kills(
    shop: PicpikShop, kills: int, seed: int, say: Callable[[str], object] = lambda text: None
) -> Kills:
    """Runs a job, killing it (SIGKILL) some times and starting it again, then lets it end.

    The moments are counted in requests that the emulator saw since the start, which a busy
    machine does not move, and lie anywhere between the first and about the last.

    Args:
        shop: With its pictures and its job.
        kills: How often to kill.
        seed: Of the moments.
        say: Called with a line for each kill.
    """
    rng = random.Random(seed)
    done = Kills()
    rows = len((shop.folder / "manifest.csv").read_text().splitlines()) - 1
    known_unknown: set[tuple[str, int]] = set()

    def seen() -> int:
        return sum(shop.emulator.requests.values())

    def note_cut_off() -> None:
        # An intent is a submission cut off if it is still one when the process is gone.
        cut = {(e.fingerprint, e.attempts) for e in shop.entries() if e.is_unknown}
        done.cut_off.append(len(cut - known_unknown))
        known_unknown.update(cut)

    for number in range(kills):
        before = seen()
        # From the check of the keys (the first request) to the last poll. The later kills have
        # less of the manifest before them, so all of them find work.
        left = max(2.0, 1.1 * (rows - len(shop.emulator.submissions)) + 3)
        moment = before + 1 + int(rng.random() * left * min(1.0, 2 / (kills - number)))
        process = shop.start()
        try:
            while seen() < moment and process.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.05)
        finally:
            process.kill()
            process.communicate()
        done.at.append(seen() - before)
        note_cut_off()
        say(f"kill {number + 1}: after {done.at[-1]} requests, {done.cut_off[-1]} cut off")
    process = shop.start()
    _, errors = process.communicate(timeout=600)
    done.status = process.returncode
    if done.status not in (0, 3):
        raise RuntimeError(errors)
    return done


def check_every_row(shop: PicpikShop, ids: int) -> None:
    """Each row has the right end for what the emulator did to it, and was billed once at most."""
    emulator, rows = shop.emulator, shop.rows()
    assert len(rows) == ids
    # A machine or an API that is slow enough lets any task be late.
    of_result = {"task_expired", "result_refused", "api_answer", "api_unavailable", "task_timeout"}
    for id, row in rows.items():
        tasks = [t for t in emulator.tasks.values() if t.sha256 == row["source_sha256"]]
        code = row["error_code"]
        assert row["status"] == ("failed" if code else "done"), row
        assert len(tasks) <= 1, f"{id} was billed {len(tasks)} times"
        if not tasks:
            assert code in ("submit_unknown", "api_unavailable", "api_refused"), row
        elif code == "submit_unknown":
            assert not row["task_uid"]
        elif tasks[0].fate:
            assert (
                code == {"task_error": "task_failed", "task_stuck": "task_timeout"}[tasks[0].fate]
            ), row
        else:
            assert code is None or code in of_result, row
            assert row["task_uid"] == tasks[0].uid and row["request_uuid"]
        assert (code is not None) or (shop.out / row["cutout"]).stat().st_size
