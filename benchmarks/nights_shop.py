"""The shop of ``benchmarks/nights.py``: photos, jobs, and what is compared after a night."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow.parquet as pq
import yaml
from nights_photos import PhotoServer

from alphabeam.transforms.output import Output
from alphabeam.transforms.picpik.emulator import Emulator
from alphabeam.transforms.rows import DONE, RESUBMITTED
from tests.conftest import encoded, product, tiny_onnx

__all__ = ["Clock", "Ended", "Fortnight", "end_of", "kill", "wait_for"]

_ROOT = Path(__file__).resolve().parent.parent
_JOB_S = 600.0  # no job here may take longer
_SHIFTED_CLOCK = """\
import os, time
_time, _shift = time.time, float(os.environ.get("NIGHTS_CLOCK_SHIFT", "0"))
time.time = lambda: _time() + _shift
"""


class Ended(NamedTuple):
    """A job that ended: its exit status, and what it said."""

    status: int
    said: str


class Clock:
    """How far the clocks of the jobs and of the emulator are on, seconds."""

    shift = 0.0

    def now(self) -> float:
        """Seconds, for the emulator."""
        return time.monotonic() + self.shift


class Fortnight:
    """The shop, its output, and the nights.

    Args:
        folder: Where everything lies.
        photos: Serves the photos over HTTP.
        emulator: The API; None for the local backend.
        clock: Of the jobs and the emulator.
        rows: Photos in the shop, at first.
        kills: How often the night of kills kills.
        seed: Of what is random.
    """

    def __init__(
        self,
        folder: Path,
        photos: PhotoServer,
        emulator: Emulator | None,
        clock: Clock,
        *,
        rows: int,
        kills: int,
        seed: int,
    ) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.place = folder / "photos"  # the share, as it is mounted
        self.server = photos
        self.emulator = emulator
        self.kills = kills
        self.random = random.Random(seed)
        self.clock = clock
        self.seeds: dict[str, int] = {}  # of each id's picture
        self.wrong = 0
        self._next_seed = 0
        self._nights = 0
        self._known_runs: set[str] = set()
        self._billed = 0
        self._may_be_twice: set[str] = set()  # pictures whose first task was reported as failed
        self.job(resubmit_unknown=False)
        (folder / "clock").mkdir()
        (folder / "clock/sitecustomize.py").write_text(_SHIFTED_CLOCK)
        self.place.mkdir()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        for number in range(rows):
            self.photograph(f"p{number}")

    # ------------------------------------------------------------------------------- the shop

    def job(self, resubmit_unknown: bool) -> None:
        """Writes the job file."""
        backend: dict[str, Any]
        if self.emulator is None:
            (self.folder / "tiny.onnx").write_bytes(tiny_onnx())
            (self.folder / "tiny.json").write_text(json.dumps({"input_size": 64}))
            backend = {"model": str(self.folder / "tiny.onnx")}
        else:
            for name in ("public_key", "private_key"):
                (self.folder / name).write_text(getattr(self.emulator, name))
            backend = {
                "kind": "picpik",
                "endpoint": self.emulator.endpoint,
                "public_key": f"${{file:{self.folder}/public_key}}",
                "private_key": f"${{file:{self.folder}/private_key}}",
                "read_timeout": 5.0,
                "max_result_bytes": 1_000_000,
                "retry_codes": [150],
                "resubmit_unknown": resubmit_unknown,
            }
        job = {
            "input": {
                "manifest": "manifest.csv",
                "threads": 2,
                "allow": ["default", "http://127.0.0.1"],
            },
            "backend": backend,
            "output": {"directory": "out"},
            "engine": {"processes": 1, "threads": 2},
        }
        (self.folder / "job.yaml").write_text(yaml.safe_dump(job))

    def photograph(self, id: str) -> None:
        """Puts a new picture in the place of an id's photo."""
        self.seeds[id] = self._next_seed
        self._next_seed += 1
        self.path(id).write_bytes(encoded(product(self.seeds[id])))

    def path(self, id: str) -> Path:
        """An id's photo on the share."""
        return self.place / f"{id}.png"

    def some(self, count: int) -> list[str]:
        """So many ids, by chance; fewer in a small shop."""
        return self.random.sample(sorted(self.seeds), min(count, len(self.seeds)))

    def change(self, count: int) -> list[str]:
        """Takes so many photos anew, by chance; gives their ids."""
        changed = self.some(count)
        for id in changed:
            self.photograph(id)
        return changed

    def by_path(self) -> None:
        """A manifest of paths."""
        self._manifest(lambda id: str(self.path(id)))

    def by_url(self, *, signed_anew: bool = True) -> None:
        """A manifest of URLs."""
        self.server.folder = self.place
        if signed_anew:
            self.server.sign()
        self._manifest(self.server.url)

    def _manifest(self, image: Callable[[str], str]) -> None:
        lines = [f"{id},{image(id)}" for id in self.seeds]
        (self.folder / "manifest.csv").write_text("\n".join(["id,image", *lines]) + "\n")

    # ------------------------------------------------------------------------------- the jobs

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts the job in a process of its own."""
        command = [sys.executable, str(_ROOT / "run.py"), "job.yaml", "--quiet", "--yes"]
        with open(self.folder / "stdout.txt", "w") as nowhere:
            return subprocess.Popen(
                [*command, *arguments],
                cwd=self.folder,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(self.folder / "clock"), str(_ROOT / "src")]),
                    "NIGHTS_CLOCK_SHIFT": str(self.clock.shift),
                    "TMPDIR": str(self.temporary),
                },
                stdout=nowhere,
                stderr=subprocess.PIPE,
                text=True,
            )

    def run(self, *arguments: str) -> Ended:
        """Runs the job to its end."""
        return end_of(self.start(*arguments))

    def in_ledger(self) -> list[str]:
        """Ids of the rows that the ledger of a run under way has as finished."""
        found: list[str] = []
        for path in (self.out / "ledger/rows").rglob("*.parquet"):
            table = pq.read_table(path, columns=["id", "status"]).to_pylist()
            found += [row["id"] for row in table if row["status"] == DONE]
        return found

    def finished_and_lost(self, since: float) -> list[float]:
        """When cutouts were finished, seconds since the epoch, that the ledger does not have."""
        output, known = Output(str(self.out)), set(self.in_ledger())
        paths = [self.out / output.cutout(id) for id in self.seeds.keys() - known]
        times = [path.stat().st_mtime for path in paths if path.exists()]
        return [time for time in times if time >= since]

    def records(self) -> list[dict[str, Any]]:
        """The committed metadata."""
        parts = sorted((self.out / "metadata").rglob("*.parquet"))
        return [row for part in parts for row in pq.read_table(part).to_pylist()]

    # --------------------------------------------------------------------------- what is right

    def judge(
        self,
        name: str,
        *runs: Ended,
        worked: int,
        billed: tuple[int, int] | None = None,
        statuses: tuple[int, ...] = (0,),
        failed: int | None = 0,
        problems: tuple[str, ...] = (),
        note: str = "",
    ) -> None:
        """Compares what is there with what should be, and prints the night's line.

        Args:
            name: The night.
            *runs: Its jobs.
            worked: Rows that it should have finished itself; not compared where some may fail.
            billed: The fewest and the most tasks that it should have paid for; `worked` if None.
            statuses: The jobs' exit statuses, as they should be.
            failed: How many rows fail; None where any number may.
            problems: What the night saw itself.
            note: Something to print at the line's end.
        """
        found = list(problems)
        if tuple(run.status for run in runs) != statuses:
            found.append(f"exit statuses {[run.status for run in runs]}: {runs[-1].said[-300:]!r}")
        records = self.records()
        by_id = {row["id"]: row for row in records}
        done = {id: row for id, row in by_id.items() if row["status"] == DONE}
        here = [row for row in done.values() if row["run_id"] not in self._known_runs]
        self._known_runs |= {row["run_id"] for row in here}
        right = sum(self._is_right(id, by_id.get(id)) for id in self.seeds)
        if len(records) != len(by_id):
            found.append(f"{len(records) - len(by_id)} rows are there twice")
        if by_id.keys() != self.seeds.keys():
            lost, strange = self.seeds.keys() - by_id.keys(), by_id.keys() - self.seeds.keys()
            found.append(f"lost {sorted(lost)}, not asked for {sorted(strange)}")
        if failed is not None and len(by_id) - len(done) != failed:
            codes = sorted({str(row["error_code"]) for row in by_id.values()} - {"None"})
            found.append(f"{len(by_id) - len(done)} failed instead of {failed}: {codes}")
        if failed is not None and len(here) != worked:
            found.append(f"{len(here)} rows worked on instead of {worked}")
        if right != len(self.seeds):
            wrong = [id for id in self.seeds if not self._is_right(id, by_id.get(id))]
            found.append(f"not right: {wrong[:5]}")
        bought = 0
        if self.emulator is not None:
            bought = self.emulator.billed - self._billed
            self._billed = self.emulator.billed
            low, high = billed or (worked, worked)
            if not low <= bought <= high:
                found.append(f"{bought} billed instead of {low} to {high}")
            found += self._bought_twice(by_id)
        found += self._left_behind()
        # A run that was ended otherwise leaves it to the next.
        if runs and runs[-1].status in (0, 3):
            folders = [path.name for path in self.temporary.iterdir() if path.is_dir()]
            found += [f"temporary folder {name} was left" for name in folders]
        if self.server.signature and any(self.server.signature in run.said for run in runs):
            found.append("a job said a signature")
        self.wrong += bool(found)
        self._nights += 1
        print(
            f"{self._nights:>3}  {name:<38} rows {len(self.seeds):>3}  done {len(done):>3}  "
            f"worked {len(here):>3}  billed {bought:>3}  right {right:>3}  "
            f"{'WRONG' if found else 'ok'}{f'  ({note})' if note else ''}",
            flush=True,
        )
        for problem in found:
            print(f"       {problem}", flush=True)

    def _is_right(self, id: str, row: dict[str, Any] | None) -> bool:
        """Whether a row's record and cutout are of the id's photo.

        A failed row must still have the last good cutout, if there was one.
        """
        if row is None or (row["status"] == DONE) != (row["error_code"] is None):
            return False
        if row["cutout"] is None:
            return bool(row["status"] != DONE)
        path = self.out / row["cutout"]
        data = path.read_bytes() if path.exists() else b""
        rgba = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if rgba is None or rgba.ndim != 3 or rgba.shape[2] != 4:
            return False
        pixels = product(self.seeds[id])
        middle = (pixels.shape[0] // 2, pixels.shape[1] // 2)
        distance = np.abs(rgba[middle][2::-1].astype(int) - pixels[middle].astype(int)).max()
        is_same_colour = bool(distance < 8)
        is_cut = bool(rgba[middle][3] > 200) and bool(rgba[0, 0, 3] < 50)
        if row["status"] != DONE:  # the photo may be new since the last good cutout
            return is_cut and (is_same_colour or self.path(id).exists())
        is_same = row["source_sha256"] == hashlib.sha256(encoded(pixels)).hexdigest()
        is_whole = row["cutout_sha256"] in (None, hashlib.sha256(data).hexdigest())
        return bool(is_same and is_whole and is_same_colour and is_cut)

    def _bought_twice(self, by_id: dict[str, dict[str, Any]]) -> Iterator[str]:
        assert self.emulator is not None
        rows = {row["source_sha256"]: row for row in by_id.values()}
        for sha, count in self.emulator.submissions.items():
            row = rows.get(sha)
            if count > 1 and row is not None and sha not in self._may_be_twice:
                if RESUBMITTED not in row["flags"]:
                    yield f"{row['id']} was bought {count} times, unmarked: {row['error_code']}"
                elif count > row["attempts"]:
                    yield f"{row['id']} was bought {count} times; it says {row['attempts']}"
        self._may_be_twice |= {
            row["source_sha256"] for row in by_id.values() if row["error_code"] == "task_failed"
        }

    def _left_behind(self) -> Iterator[str]:
        for path in sorted(self.out.rglob("*")):
            name = str(path.relative_to(self.out))
            if path.suffix == ".partial":
                yield f"{name} was left"
            elif path.is_file() and self.server.signature:
                data = path.read_bytes()
                if self.server.signature.encode() in data or self.server.signature in name:
                    yield f"{name} holds a signature"


def end_of(process: subprocess.Popen[str], seconds: float = _JOB_S) -> Ended:
    """Waits for a job's end; kills one that takes longer, whose status is then -1."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Ended(-1, f"it did not end within {seconds:.0f} s")
    return Ended(process.returncode, said.strip())


def kill(process: subprocess.Popen[str]) -> None:
    """Kills a job, SIGKILL."""
    process.kill()
    process.communicate()


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Waits for a condition while a process runs."""
    end = time.monotonic() + _JOB_S
    while process.poll() is None and time.monotonic() < end and not condition():
        time.sleep(0.01)
