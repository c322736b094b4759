"""The report over many rows: what making it costs, and how fast a browser opens it.

``python benchmarks/report.py`` makes an output of 10 000 rows without any picture in it but
thumbnails, writes its report, and opens it in a headless Chromium. ``--pictures DIR`` draws the
pictures of the documentation instead, from the samples; they are cut out first.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from alphabeam.pipelines.command import main as run_job
from alphabeam.pipelines.report import write_report
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.metadata import encode_table, table_from_rows
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row, now
from alphabeam.transforms.thumbnails import Thumbnail, encode_shard, preview_of, thumbnail_of

sys.path.insert(0, str(Path(__file__).parent))
from browser import Page, find_browser, open_page

ROOT = Path(__file__).parent.parent
RUN = "20260101T000000Z-bench0"
KINDS = ("shoes", "lamps", "mugs", "bags", "chairs", "toys", "watches", "glasses")
FLAGS = ("touches_border", "several_subjects", "low_confidence", "very_soft", "component_dropped")
SHARD = 32


def rows(count: int, seed: int = 0) -> Iterator[Row]:
    """Rows as a run leaves them: few failed, a tenth doubtful."""
    dice = random.Random(seed)
    for number in range(count):
        row = Row(
            id=f"shop/{KINDS[number % 8]}/{number:07d}",
            image=f"/photos/{KINDS[number % 8]}/{number:07d}.jpg",
            line=number + 2,
            run_id=RUN,
            extra={
                "sku": f"S{number:07d}",
                "category": KINDS[number % 8],
                "supplier": f"supplier {dice.randrange(60)}",
                "title": f"{KINDS[number % 8].title()}, number {number} of the autumn range",
            },
        )
        if dice.random() < 0.0004:
            yield row.failed("read", RowError(ErrorCode.NOT_FOUND, f"{row.image}: not found"))
            continue
        doubtful = dice.random() < 0.1
        confidence = dice.uniform(0.2, 0.9) if doubtful else dice.betavariate(60, 1)
        row = row._replace(
            status=DONE,
            source_sha256=hashlib.sha256(row.id.encode()).hexdigest(),
            width=1200,
            height=1600,
            source_format="jpeg",
            source_bytes=dice.randrange(100_000, 900_000),
            cutout=f"cutouts/{row.id}.png",
            mask=f"masks/{row.id}.png",
            subject_box=(100, 100, 1100, 1500),
            coverage=dice.random(),
            phash=f"{dice.getrandbits(64):016x}",
            backdrop="#f4f4f2",
            confidence=confidence,
            flags=tuple(dice.sample(FLAGS, dice.randrange(1, 3))) if doubtful else (),
            read_ms=8.0,
            remove_ms=310.0,
            write_ms=42.0,
            attempts=1,
            finished_at=now(),
        )
        yield row.fingerprinted("local", "catalogue", "00" * 32)


def some_thumbnails() -> list[Thumbnail]:
    """Thumbnails of the samples, with a circle for their cutout."""
    made = []
    for path in sorted((ROOT / "samples/images").glob("*.jpg")):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        height, width = pixels.shape[:2]
        y, x = np.mgrid[0:height, 0:width]
        inside = ((x / width - 0.5) / 0.36) ** 2 + ((y / height - 0.5) / 0.42) ** 2 < 1
        alpha = np.where(inside, 255, 0).astype(np.uint8)
        rgba = np.dstack([pixels, alpha])
        rgba[alpha == 0] = 0
        made.append(thumbnail_of(preview_of(pixels), alpha, rgba))
    return made


def make_output(output: Output, count: int) -> dict[str, object]:
    """Writes an output's metadata and thumbnails; gives its summary."""
    pictures = some_thumbnails()
    part: list[Row] = []
    numbers = {DONE: 0, "failed": 0}
    parts = 0
    waiting: list[Row] = []
    listed: dict[str, tuple[str, int]] = {}
    for row in rows(count):
        numbers[row.status] += 1
        part.append(row)
        if row.status == DONE:
            waiting.append(row)
        if len(part) == 25_000:
            output.put(output.part(RUN, parts), encode_table(table_from_rows(part)))
            part, parts = [], parts + 1
        if len(waiting) == SHARD:
            _put_shard(output, waiting, pictures, listed)
            waiting = []
    output.put(output.part(RUN, parts), encode_table(table_from_rows(part)))
    _put_shard(output, waiting, pictures, listed)
    output.put(output.thumbnail_list("bench"), json.dumps(listed).encode())
    output.put(output.marker(RUN), b"{}")
    summary: dict[str, object] = {
        "job": "bench", "run_id": RUN, "status": "succeeded", "rows": count,
        "done": numbers[DONE], "finished_before": 0, "failed": numbers["failed"],
        "errors": {"not_found": numbers["failed"]}, "credits": 0, "resubmitted": 0,
        "uncollected": 0, "unknown": 0, "orphaned": 0, "pruned": False, "seconds": 0.36 * count,
        "images_per_second": 2.78, "started_at": "2026-01-01T00:00:00+00:00",
        "environment": {"alphabeam": "bench"},
    }  # fmt: skip
    output.put(output.summary, json.dumps(summary).encode())
    return summary


def _put_shard(
    output: Output, some: list[Row], pictures: list[Thumbnail], listed: dict[str, tuple[str, int]]
) -> None:
    name = hashlib.blake2b(some[0].id.encode(), digest_size=12).hexdigest()
    chosen = [pictures[row.line % len(pictures)] for row in some]
    output.put(output.thumbnails(name), encode_shard(name, chosen))
    listed.update({row.fingerprint or "": (name, at) for at, row in enumerate(some)})


def open_report(page: Page, url: str, count: int) -> dict[str, float]:
    """Opens a report; gives seconds until its first pictures, all rows, and the last pictures."""
    drawn = "[...document.querySelectorAll('.cell')].filter((cell) => cell.filled).length > 8"
    began = time.monotonic()
    page.go(url)
    page.until(drawn)
    first = time.monotonic() - began
    page.until(f"alphabeam.filters.rows.length === {count}", 60)
    everything = time.monotonic() - began
    began = time.monotonic()
    page.key("End")
    page.until(f"alphabeam.gallery.cursor === {count - 1} && {drawn}")
    end = time.monotonic() - began
    began = time.monotonic()
    page.run("document.getElementById('search').value = '0000123'")
    page.run("document.getElementById('search').dispatchEvent(new Event('input'))")
    page.until("alphabeam.filters.rows.length === 1")
    return {"first": first, "all": everything, "end": end, "search": time.monotonic() - began}


def draw(folder: Path) -> None:
    """Draws the pictures of the documentation."""
    folder.mkdir(parents=True, exist_ok=True)
    browser = find_browser()
    if browser is None:
        sys.exit("benchmarks/report.py: --pictures needs chromium")
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "samples"
        job = str(ROOT / "configs/samples.yaml")
        if run_job([job, "--quiet", "--set", f"output.directory={out}"]):
            sys.exit("benchmarks/report.py: the samples failed")
        with open_page(browser) as page:
            for name, width, height, dark, keys in (
                ("report", 1280, 800, False, ""),
                ("report-dark", 1280, 800, True, "2"),
                ("report-viewer", 1280, 800, False, "2↵"),
                ("report-narrow", 390, 780, True, "2"),
            ):
                page.show(width, height, dark=dark, scale=1 if width > 800 else 2)
                page.go((out / "report/index.html").as_uri())
                page.until("document.querySelectorAll('.cell canvas').length > 5")
                for key in keys:
                    page.key("Enter" if key == "↵" else key)
                time.sleep(1)
                shown = Image.open(io.BytesIO(page.picture())).convert("RGB")
                shown.save(folder / f"{name}.jpg", quality=86, optimize=True)
                print(folder / f"{name}.jpg")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="make the output here, and leave it")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="draw the documentation's")
    options = parser.parse_args()
    if options.pictures:
        draw(options.pictures)
        return
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        output = Output(str(folder))
        summary = make_output(output, options.rows)
        began, cpu = time.monotonic(), time.process_time()
        page_uri = write_report(output, summary)
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
        sizes = [file.stat().st_size for file in (folder / "report/data").rglob("*.js")]
        print(
            f"{options.rows} rows: made in {cpu:.1f} s of CPU ({wall:.1f} s), "
            f"{sum(sizes) / 1e6:.1f} MB of data"
        )
        browser = find_browser()
        if browser is None:
            print("no chromium here: the report was not opened")
            return
        with open_page(browser) as page:
            page.show(1360, 860)
            seconds = open_report(page, Path(page_uri).as_uri(), options.rows)
            print(
                "  opened: first pictures after {first:.2f} s, all rows after {all:.2f} s; the "
                "last pictures {end:.2f} s after End; a search took {search:.2f} s".format(
                    **seconds
                )
            )
            if wrong := [error for error in page.errors if "/photos/" not in error]:
                sys.exit("\n".join(wrong))  # there are no sources, and failed rows look for theirs


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
