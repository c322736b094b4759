"""What a night costs on which nothing has changed: CPU seconds and memory of a whole job.

    python benchmarks/resume.py [--rows 50000] [--profile]

Makes a catalogue of small pictures whose rows are all finished: the sources, cutouts and masks are
there, and the metadata says so. Then runs the job as a process of its own, which looks every row
up, asks the store for each source and output, writes the metadata anew, and mattes nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alphabeam.pipelines.catalogue import backend_of, manifest_of, output_of
from alphabeam.pipelines.job_file import load_job
from alphabeam.transforms import storage
from alphabeam.transforms.manifest import read_shard, survey
from alphabeam.transforms.metadata.schema import encode_table, table_from_rows
from alphabeam.transforms.rows import DONE, Row, now

_COLOURS, _PART_ROWS = 1000, 25_000
_JOB = """
input: {manifest: manifest.csv}
output: {directory: out}
engine: {processes: 1}
"""


def make(folder: Path, rows: int) -> Path:
    """Makes the catalogue and what an earlier run left of it; gives the job file."""
    job_file = folder / "job.yaml"
    job_file.write_text(_JOB)
    manifest = ["id,image,title"]
    for number in range(rows):
        name = f"images/{number // _COLOURS:04d}/{number:07d}.png"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"source %d" % number)
        manifest.append(f"sku-{number:07d},{name},Product {number}")
    (folder / "manifest.csv").write_text("\n".join(manifest) + "\n")

    job = load_job(str(job_file))
    output, backend = output_of(job), backend_of(job)
    source = manifest_of(job)
    part: list[Row] = []
    number = 0

    def put() -> None:
        nonlocal number
        output.put(output.part("earlier", number), encode_table(table_from_rows(part)))
        number += 1
        part.clear()

    for shard in survey(source).shards:
        for row in read_shard(source, shard):
            sha256 = f"{row.line:064x}"
            version = storage.stat(row.image).version
            row = row._replace(source_version=version, source_sha256=sha256)
            row = backend.fingerprinted(row)._replace(
                status=DONE,
                cutout=output.cutout(row.id),
                mask=output.mask(row.id),
                cutout_bytes=6,
                mask_bytes=4,
                cutout_sha256=sha256,
                mask_sha256=sha256,
                run_id="earlier",
                finished_at=now(),
            )
            for written, data in ((row.cutout, b"cutout"), (row.mask, b"mask")):
                path = folder / "out" / str(written)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            part.append(row)
            if len(part) == _PART_ROWS:
                put()
    if part:
        put()
    marker = {"run_id": "earlier", "folder": output.metadata("earlier"), "rows": rows}
    output.put(output.marker("earlier"), json.dumps(marker).encode())
    return job_file


def main() -> None:
    """Makes the catalogue, runs the job on it and prints what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--profile", action="store_true", help="cProfile's report of the job")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        job_file = make(Path(name), options.rows)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        profile = ["-m", "cProfile", "-s", "tottime"] if options.profile else []
        command = [sys.executable, *profile, "run.py", str(job_file), "--quiet"]
        root = Path(__file__).resolve().parent.parent
        subprocess.run(command, cwd=root, check=True)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        summary = json.loads((Path(name) / "out/summary.json").read_text())
    if summary["finished_before"] != options.rows:
        raise SystemExit(f"{options.rows - summary['finished_before']} rows were done again")
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print("| rows | CPU, s | of it system, s | wall, s | peak memory, MB |")
    print("|---|---|---|---|---|")
    print(
        f"| {options.rows} | {cpu:.1f} | {used.ru_stime - before.ru_stime:.1f} | {seconds:.1f} "
        f"| {used.ru_maxrss / 1024:.0f} |"
    )


if __name__ == "__main__":
    main()
