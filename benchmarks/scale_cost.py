"""What a thousand million rows would need, and what a million would cost: from measured parts.

    python benchmarks/scale_cost.py [--resume-ms 0.5] [--megabytes 0.6] [--credit 0.0]

CPU seconds an image are measured here, on the samples: a job with the local core, and one with the
PICPIK backend against the emulator, each less what the same job takes when all its rows are
finished. What a finished row takes is an argument, from `scale.py`. All else is counted from the
code: bytes that cross a shuffle are those of the elements' own coders, requests are those that a
row, a group and a part make. Prices are PRICES below; nothing else here is in money.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from apache_beam import coders

from alphabeam.pipelines.engines import dataflow
from alphabeam.transforms.ledger.passing import _GROUP_ROWS as _PASSED_ROWS
from alphabeam.transforms.manifest import Manifest, read_shard, survey
from alphabeam.transforms.manifest.shards import _SHARD_ROWS, NAME
from alphabeam.transforms.metadata.groups import _GROUP_ROWS
from alphabeam.transforms.metadata.keys import KEY
from alphabeam.transforms.metadata.parts import PART_ROWS
from alphabeam.transforms.rows import Row

_ROOT = Path(__file__).resolve().parent.parent
_BILLION = 1_000_000_000


class Price(NamedTuple):
    """A price in US dollars, of what, as of when and by whom."""

    dollars: float
    of: str
    source: str


PRICES = {
    "vcpu": Price(
        dataflow._VCPU_HOUR,
        "a vCPU of Dataflow, batch, for an hour",
        "list price, us-central1, November 2026, as --check has it",
    ),
    "memory": Price(
        dataflow._GB_HOUR,
        "a GB of memory of Dataflow, batch, for an hour",
        "list price, us-central1, November 2026, as --check has it",
    ),
    "shuffle": Price(
        0.011,
        "a GB through Dataflow Shuffle",
        "list price, us-central1, as remembered: look it up before you rely on it",
    ),
    "spot": Price(
        0.0125,
        "a vCPU of a spot n2-standard VM with its 4 GB, for an hour",
        "a quarter of the list price on demand; spot prices change: look it up",
    ),
    "class_a": Price(
        5.0,
        "a million writes or lists of Cloud Storage, standard, one region",
        "list price, as remembered: look it up before you rely on it",
    ),
    "class_b": Price(
        0.4,
        "a million reads or looks of Cloud Storage, standard, one region",
        "list price, as remembered: look it up before you rely on it",
    ),
}
_GB_PER_VCPU = 4.0  # of n2-standard
_USE = 0.9  # of the VMs' time; the rest is their start and the job's end


class Measured(NamedTuple):
    """What a row costs."""

    name: str
    cpu_s: float
    writes: float
    looks: float
    reads: float


def cpu_of(*arguments: str) -> float:
    """CPU seconds of a job and of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "run.py", *arguments, "--quiet", "--set", "output.report=false"],
        cwd=_ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_of_an_image(job: str, folder: Path, *settings: str) -> float:
    """CPU seconds that an image of the samples takes, above what a finished one takes."""
    given = [part for one in (f"output.directory={folder}", *settings) for part in ("--set", one)]
    first, again = (cpu_of(job, *given) for _ in range(2))
    rows = sum(1 for _ in (_ROOT / "samples/manifest.csv").open()) - 1
    return (first - again) / rows


def measured(resume_ms: float) -> list[Measured]:
    """Both backends, and a finished row."""
    port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    emulator = subprocess.Popen(
        [
            *(sys.executable, "-m", "alphabeam.transforms.picpik.emulator"),
            *("--port", str(port), "--public-key", "demo", "--private-key", "demo"),
        ],
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
    )
    try:
        with tempfile.TemporaryDirectory() as name:
            local = cpu_of_an_image("configs/samples.yaml", Path(name, "local"))
            _await(port)
            api = cpu_of_an_image(
                "configs/picpik-emulator.yaml",
                Path(name, "api"),
                f"backend.endpoint=http://127.0.0.1:{port}",
            )
    finally:
        emulator.terminate()
        emulator.wait()
    group = 1 / _GROUP_ROWS
    return [
        # Version, source; cutout, mask; its share of a group. PICPIK: intent, TaskUID, spending.
        Measured("local", local, 2 + group, 1, 1 + group),
        Measured("picpik", api, 5 + group, 1, 2 + group),
        # Version, and the sizes of cutout and mask; its share of a group.
        Measured("finished before", resume_ms / 1000, 1 / _PASSED_ROWS, 3, 1 / _PASSED_ROWS),
    ]


def _await(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the emulator does not start")


def bytes_of_a_row() -> tuple[int, int]:
    """Bytes of a row and of a shard on their way through a shuffle."""
    manifest = Manifest(str(_ROOT / "samples/manifest.csv"))
    shard = survey(manifest).shards[0]
    rows = [*read_shard(manifest, shard)]
    coder, plain = coders.registry.get_coder(Row), coders.FastPrimitivesCoder()
    return sum(len(coder.encode(row)) for row in rows) // len(rows), len(plain.encode(shard))


def print_costs(found: list[Measured], row_bytes: int, megabytes: float, credit: float) -> None:
    """What a million rows cost."""
    price = {name: one.dollars for name, one in PRICES.items()}
    print("\n| a million rows | vCPU hours | Dataflow, $ | spot VMs, $ | store, $ | API, $ |")
    print("|---|---|---|---|---|---|")
    for one in found:
        hours = one.cpu_s * 1e6 / 3600 / _USE
        shuffled = 1e6 * (row_bytes + NAME.itemsize) / 1e9
        on_dataflow = hours * (price["vcpu"] + _GB_PER_VCPU * price["memory"])
        on_dataflow += shuffled * price["shuffle"]
        asked = one.writes * price["class_a"] + (one.looks + one.reads) * price["class_b"]
        bought = 1e6 * credit if one.name == "picpik" else 0
        print(
            f"| {one.name}, {1000 * one.cpu_s:.1f} ms of CPU each | {hours:,.1f} "
            f"| {on_dataflow:,.2f} | {hours * price['spot']:,.2f} | {asked:,.2f} | {bought:,.0f} |"
        )
    print(
        f"\nPictures of {megabytes} MB are {megabytes:.1f} TB a million rows; not in the table.\n"
    )
    for named in PRICES.values():
        print(f"- ${named.dollars}: {named.of} ({named.source})")


def print_billion(row_bytes: int, shard_bytes: int, resume_ms: float) -> None:
    """What a thousand million rows need."""
    groups = {"all new": _BILLION / _GROUP_ROWS, "all finished": _BILLION / _PASSED_ROWS}
    parts = _BILLION / PART_ROWS
    beside = 3 * KEY.itemsize
    print("\n| of 1 000 000 000 rows | |")
    print("|---|---|")
    lines = {
        "index of finished rows, GB: on each VM's disk": 36 * _BILLION / 1e9,
        "of it resident when all are looked up by id, GB": 12 * _BILLION / 1e9,
        "commit: read from beside the parts, GB": beside * _BILLION / 1e9,
        "commit: temporary file, GB": beside * _BILLION / 1e9,
        "commit: memory for a 256th of the keys, GB": 3 * beside * _BILLION / 256 / 1e9,
        "shuffled: rows, GB": row_bytes * _BILLION / 1e9,
        "shuffled: names compared, GB": NAME.itemsize * _BILLION / 1e9,
        "shuffled: shards, GB": shard_bytes * _BILLION / _SHARD_ROWS / 1e9,
        "shuffled: names of groups when all are new, GB": 120 * groups["all new"] / 1e9,
        "groups when all are new, millions": groups["all new"] / 1e6,
        "groups when all are finished, millions": groups["all finished"] / 1e6,
        "parts": parts,
        "vCPU hours when all are finished": resume_ms / 1000 * _BILLION / 3600,
    }
    for name, value in lines.items():
        print(f"| {name} | {value:,.1f} |")


def main() -> None:
    """Measures, calculates and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resume-ms", type=float, default=0.5, help="CPU of a finished row")
    parser.add_argument("--megabytes", type=float, default=0.6, help="of a source")
    parser.add_argument("--credit", type=float, default=0.0, help="dollars for a task of the API")
    options = parser.parse_args()
    row_bytes, shard_bytes = bytes_of_a_row()
    print(f"A row is {row_bytes} bytes in a shuffle, a shard {shard_bytes}.")
    found = measured(options.resume_ms)
    print_costs(found, row_bytes, options.megabytes, options.credit)
    print_billion(row_bytes, shard_bytes, options.resume_ms)


if __name__ == "__main__":
    main()
