"""What a job of many rows needs that is not matting: memory, CPU time, bytes, files, requests.

    python benchmarks/scale.py --rows 100000 1000000 [--made 10000000] [--processes 2]

Three nights of a real job whose pictures are canned (`scale_canned.py`): in the first all rows are
new, in the second all but a thousandth are finished, in the third all are. With ``--made``, what
the first night would have left is made instead, by the code that commits; the other two nights run.
Whether they run, memory is looked at four times a second, of each process by itself. The columns:

    CPU        milliseconds a row, user and system, of all processes together
    launcher   peak memory, MB: its own, and that of files that it maps (``VmHWM`` is both)
    worker     of the worker process that needs most, likewise
    metadata   bytes a row under metadata/
    ledger     bytes a row under ledger/
    files      that metadata/ and ledger/ have afterwards
    requests   to the output's store, a row: writes, reads, sizes, lists, deletions

--folder needs about 300 bytes a row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pyarrow as pa
from scale_canned import CUTOUT, MASK, CannedBackend

from alphabeam.transforms import lease, storage
from alphabeam.transforms import rows as rows_module
from alphabeam.transforms.metadata.commit import finish, tidy
from alphabeam.transforms.metadata.parts import PART_ROWS, group_name, write_part
from alphabeam.transforms.metadata.schema import (
    SCHEMA,
    encode_table,
    rows_from_table,
    table_from_rows,
)
from alphabeam.transforms.output import Output
from alphabeam.transforms.parameters import PARAMETERS
from alphabeam.transforms.rows import DONE, Row, now

_ROOT = Path(__file__).resolve().parent.parent
_PNG = MASK  # a picture of one pixel
_IN_FOLDER = 1000
_JOB = """
input: {{manifest: manifest.csv}}
output: {{directory: {out}, report: false}}
engine: {{processes: {processes}}}
"""


class Process(NamedTuple):
    """A process, as it was seen last."""

    own_mb: float
    mapped_mb: float
    peak_mb: float
    cpu_s: float


class Watch:
    """Looks at a process and all below it until they end."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.seen: dict[int, Process] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stops looking."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            for pid in self._below():
                try:
                    self._look(pid)
                except (OSError, IndexError, KeyError):  # it has just ended
                    continue

    def _below(self) -> list[int]:
        found, waiting = [], [self.root]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                tasks = os.listdir(f"/proc/{pid}/task")
                for task in tasks:
                    children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                    waiting += map(int, children.split())
            except OSError:
                continue
        return found

    def _look(self, pid: int) -> None:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        own, mapped, peak = (
            int(status[name].split()[0]) / 1000 * 1.024 for name in ("RssAnon", "RssFile", "VmHWM")
        )
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        old = self.seen.get(pid, Process(0, 0, 0, 0))
        self.seen[pid] = Process(
            max(own, old.own_mb), max(mapped, old.mapped_mb), max(peak, old.peak_mb), cpu
        )


def id_of(number: int) -> str:
    """A row's id."""
    return f"{number // _IN_FOLDER:06d}/{number % _IN_FOLDER:03d}"


def write_shop(folder: Path, rows: int) -> None:
    """Makes the manifest, and the files that are the pictures of all rows.

    A thousand files are the sources, and a thousand each the cutouts and masks: all folders of a
    thousand rows are links to the same one.
    """
    for top, data in (("images", _PNG), ("out/cutouts", CUTOUT), ("out/masks", MASK)):
        pool = folder / "pool" / top
        pool.mkdir(parents=True)
        for number in range(_IN_FOLDER):
            (pool / f"{number:03d}.png").write_bytes(data)
        (folder / top).mkdir(parents=True)
        for number in range(-(-rows // _IN_FOLDER)):
            (folder / top / f"{number:06d}").symlink_to(pool, target_is_directory=True)
    with (folder / "manifest.csv").open("w") as manifest:
        manifest.write("id,image,title\n")
        for number in range(rows):
            id = id_of(number)
            manifest.write(f"{id},images/{id}.png,Product {number}\n")


def make_part(folder: Path, numbers: range) -> str:
    """Makes what a first night would have left of some rows, as one group, and its part.

    By columns: the keys of all rows but the first are made of its own by putting their ids in.
    """
    output, first = Output(str(folder / "out")), _made(folder, numbers[0])
    ids = [id_of(number) for number in numbers]
    images = [f"{folder}/images/{id}.png" for id in ids]
    versions = {one: storage.stat(f"{folder}/images/000000/{one}.png").version for one in _LAST}
    content = _key_text(["content", first.source_sha256])
    source = _key_text(["@IMAGE", "@VERSION"])
    new = {
        "id": ids,
        "image": images,
        "line": [number + 2 for number in numbers],
        "cutout": [f"cutouts/{id}.png" for id in ids],
        "mask": [f"masks/{id}.png" for id in ids],
        "source_version": [versions[id[-3:]] for id in ids],
        "fingerprint": [_sha(content.replace("@ID", id)) for id in ids],
        "quick_key": [
            _sha(
                source.replace("@ID", id)
                .replace("@IMAGE", image)
                .replace("@VERSION", versions[id[-3:]])
            )
            for id, image in zip(ids, images, strict=True)
        ],
        "extra": [[("title", f"Product {number}")] for number in numbers],
    }
    same = table_from_rows([first]).take(pa.array([0] * len(ids)))
    table = pa.Table.from_arrays(
        [pa.array(new[f.name], f.type) if f.name in new else same[f.name] for f in SCHEMA],
        schema=SCHEMA,
    )
    (again,) = rows_from_table(table.slice(0, 1))
    if again != first:
        raise ValueError(f"made {again} instead of {first}")
    uri = output.passing("made", group_name([first]))
    output.put(uri, encode_table(table))
    part = write_part(numbers[0] // PART_ROWS, [uri], output=output, run_id="made")
    output.delete([uri])
    return part


_LAST = [f"{number:03d}" for number in range(_IN_FOLDER)]


def _made(folder: Path, number: int) -> Row:
    """A row as a first night would have left it."""
    id, sha256 = id_of(number), "0123456789abcdef" * 4
    image = f"{folder}/images/{id}.png"
    row = Row(
        id=id, image=image, line=number + 2, source_sha256=sha256,
        source_version=storage.stat(image).version, source_format="png",
        source_bytes=len(_PNG), width=1, height=1, status=DONE, cutout_bytes=len(CUTOUT),
        mask_bytes=len(MASK), cutout_sha256=sha256, mask_sha256=sha256, run_id="made",
        finished_at=now(), confidence=0.5, coverage=1.0, subject_box=[0, 0, 1, 1],
        attempts=1, remove_ms=1.0, extra={"title": f"Product {number}"},
        cutout=f"cutouts/{id}.png", mask=f"masks/{id}.png",
    )  # fmt: skip
    return CannedBackend().fingerprinted(row)


def _key_text(source: list[str | None]) -> str:
    """What a row's key is the digest of, with @ID in place of its id."""
    values = tuple(parameter.default for parameter in PARAMETERS)
    work = rows_module._work("local", "0" * 64, "@ID", values)
    return f"{rows_module._encode(source)[:-1]},{work}"


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def make_first_night(folder: Path, rows: int) -> None:
    """Makes what a first night would have left, by the code that commits."""
    output = Output(str(folder / "out"))
    stretches = [range(i, min(i + PART_ROWS, rows)) for i in range(0, rows, PART_ROWS)]
    with ProcessPoolExecutor(2) as pool:
        parts = [*pool.map(make_part, [folder] * len(stretches), stretches)]
    with lease.held(output, "made"):
        finish(parts, output=output, run_id="made")
    tidy(output, "made")


def change(folder: Path, rows: int) -> int:
    """Gives a thousandth of the rows another picture; how many those are."""
    (folder / "pool/images/500.png").write_bytes(CUTOUT)
    return len(range(500, rows, _IN_FOLDER))


def run_night(job_file: Path, folder: Path) -> tuple[Watch, dict[str, int], float]:
    """Runs the job; gives what was seen of its processes, its requests, and its wall time."""
    counts = folder / "counts"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir()
    paths = [str(_ROOT / "src"), str(_ROOT / "benchmarks")]
    began = time.monotonic()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(_ROOT / "benchmarks/scale_canned.py"), str(job_file), "--quiet"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SCALE_COUNTS": str(counts)},
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        watch = Watch(process.pid)
        status = process.wait()
        watch.end()
    if status:
        raise SystemExit(f"{(folder / 'log').read_text()[-2000:]}\nthe job ended with {status}")
    requests: Counter[str] = Counter()
    for path in counts.iterdir():
        requests.update(json.loads(path.read_text()))
    return watch, dict(requests), time.monotonic() - began


def sizes(folder: Path) -> tuple[int, int]:
    """Bytes and files below a folder."""
    found = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(found), len(found)


def line(name: str, rows: int, out: Path, night: tuple[Watch, dict[str, int], float]) -> str:
    """A night as a row of the table."""
    watch, requests, seconds = night
    launcher = watch.seen[watch.root]
    workers = [one for pid, one in watch.seen.items() if pid != watch.root]
    worker = max(workers, default=launcher, key=lambda one: one.peak_mb)
    cpu = sum(one.cpu_s for one in watch.seen.values())
    metadata, ledger = sizes(out / "metadata"), sizes(out / "ledger")
    keys = sizes(out / "ledger" / "keys")[0]
    asked = " ".join(
        f"{requests.get(kind, 0) / rows:.4f}" for kind in ("put", "read", "size", "list", "delete")
    )
    return (
        f"| {rows:,} | {name} | {1000 * cpu / rows:.3f} | {seconds:.0f} "
        f"| {launcher.own_mb:.0f} + {launcher.mapped_mb:.0f} ({launcher.peak_mb:.0f}) "
        f"| {worker.own_mb:.0f} + {worker.mapped_mb:.0f} ({worker.peak_mb:.0f}) "
        f"| {metadata[0] / rows:.1f} | {ledger[0] / rows:.1f} (index {keys / rows:.1f}) "
        f"| {metadata[1] + ledger[1]} | {asked} |"
    )


_HEAD = """\
| rows | night | CPU, ms a row | wall, s | launcher, MB | worker, MB | metadata | ledger | files \
| requests: put read size list delete |
|---|---|---|---|---|---|---|---|---|---|"""


def measure(folder: Path, rows: int, processes: int, made: bool, third: bool) -> None:
    """Runs the nights and prints a line for each."""
    folder.mkdir(parents=True)
    job_file, out = folder / "job.yaml", folder / "out"
    job_file.write_text(_JOB.format(out=out, processes=processes))
    write_shop(folder, rows)
    if made:
        make_first_night(folder, rows)
    else:
        print(line("all new", rows, out, run_night(job_file, folder)), flush=True)
    changed = change(folder, rows)
    night = run_night(job_file, folder)
    summary = json.loads((out / "summary.json").read_text())
    if summary["done"] != rows or summary["finished_before"] != rows - changed:
        raise SystemExit(f"the second night went wrong: {summary}")
    print(line(f"{changed:,} changed", rows, out, night), flush=True)
    if not third:
        return
    night = run_night(job_file, folder)
    summary = json.loads((out / "summary.json").read_text())
    if summary["finished_before"] != rows:
        raise SystemExit(f"the third night went wrong: {summary}")
    print(line("all finished", rows, out, night), flush=True)


def main() -> None:
    """Measures each number of rows in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000])
    parser.add_argument("--made", type=int, nargs="*", default=[])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--two", action="store_true", help="without the third night")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    options = parser.parse_args()
    print(_HEAD, flush=True)
    for rows, made in [*((n, False) for n in options.rows), *((n, True) for n in options.made)]:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            measure(Path(name) / "shop", rows, options.processes, made, not options.two)


if __name__ == "__main__":
    main()
