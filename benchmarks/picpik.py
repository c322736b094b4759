"""The PICPIK backend against the emulator: throughput, faults, kills.

    python benchmarks/picpik.py throughput           640 tasks of 2 s, 32 at once: ideal 16 a second
    python benchmarks/picpik.py faults               500 images, every fault, 20 % of them struck
    python benchmarks/picpik.py kills                kill -9 at 20 seeded moments

Each prints what it saw and exits with 1 if that is not what it should be.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphabeam.transforms.metadata import RESUBMITTED
from alphabeam.transforms.picpik.emulator import FAULTS, Faults, encode_png, running_emulator
from tests.conftest import product
from tests.picpik_jobs import PicpikShop, check_every_row, run_with_kills


def throughput(folder: Path, options: argparse.Namespace) -> bool:
    """Tasks a second, as a part of what the emulator can do."""
    slots, task_seconds, count = 32, 2.0, options.rows or 640
    canned = encode_png(product(0).max(axis=2) // 255 * 255)

    def answer(image: bytes, params: Mapping[str, Any]) -> bytes:
        return canned

    with running_emulator(slots=slots, task_seconds=task_seconds, answer=answer) as emulator:
        shop = PicpikShop(folder, emulator)
        shop.fill(count)
        began = time.time()
        run = Path(__file__).parent.parent / "run.py"
        process = subprocess.Popen([sys.executable, run, shop.job, "--quiet", "--yes"])
        while not emulator.tasks and process.poll() is None:
            time.sleep(0.005)
        first = time.time()
        process.communicate()
        ended = time.time()
        rows = shop.rows()
        last = max(row["finished_at"].timestamp() for row in rows.values())
    ideal = slots / task_seconds
    print(f"tasks {count}, ideal {ideal:g}/s; requests {dict(emulator.requests)}")
    for name, seconds in (
        ("first submission to last cutout", last - first),
        ("the same without the first task's own 2 s", last - first - task_seconds),
        ("the whole command, start-up and commit included", ended - began),
    ):
        print(f"{name}: {seconds:.1f} s, {count / seconds:.2f}/s, {count / seconds / ideal:.1%}")
    done = sum(row["status"] == "done" for row in rows.values())
    return bool(done == count == emulator.billed and count / (last - first) >= 0.9 * ideal)


def faults(folder: Path, options: argparse.Namespace) -> bool:
    """Every fault mixed in: every row ends, none is billed twice unless it is marked."""
    count = options.rows or 500
    # Each kind of occasion is struck at --chance, its faults in equal parts.
    kinds = {
        "before": ("reset", "http_429", "http_429_after", "http_429_date", "http_500", "http_503"),
        "after": (
            *("answer_lost", "answer_late", "gateway", "reset_midbody", "truncated_json"),
            *("wrong_uuid", "huge_answer", "ret_code"),
        ),
        "fate": ("task_stuck", "task_error"),
        "result": tuple(name for name in FAULTS if name.startswith("result_")),
        "slow": ("delay",),
    }
    plan = {name: options.chance / len(names) for names in kinds.values() for name in names}
    if options.each:
        plan = dict.fromkeys(FAULTS, options.chance)
    settings = {
        "task_timeout": 60.0,
        "read_timeout": 5.0,
        "max_result_bytes": 1_000_000,
        "retry_codes": [150],
    }
    with running_emulator(
        faults=plan, seed=options.seed, task_seconds=0.2, late_seconds=8.0, retry_after=1
    ) as emulator:
        shop = PicpikShop(folder, emulator, **settings)
        shop.fill(count)
        began = time.time()
        shop.run("--yes")
        print(f"first run: {time.time() - began:.0f} s; faults {dict(emulator.faults.struck)}")
        check_every_row(shop, count)
        before = shop.rows()
        print("codes:", dict(Counter(row["error_code"] for row in before.values())))
        twice = sum(n > 1 for n in emulator.submissions.values())
        print(f"billed {emulator.billed}, images billed twice {twice}")
        emulator.faults = Faults({})
        shop.set(**{**settings, "task_timeout": 5.0}, resubmit_unknown=True)
        shop.run("--yes")
        rows = shop.rows()
        marked = {r["source_sha256"] for r in rows.values() if RESUBMITTED in r["flags"]}
        marked |= {r["source_sha256"] for r in before.values() if r["error_code"] == "task_failed"}
        unmarked = [sha for sha, n in emulator.submissions.items() if n > 1 and sha not in marked]
        print(
            "second run, resubmit_unknown:", dict(Counter(r["error_code"] for r in rows.values()))
        )
        print(f"billed {emulator.billed}; twice and not marked {len(unmarked)}")
    return not twice and not unmarked


def kills(folder: Path, options: argparse.Namespace) -> bool:
    """Killed and started again: the same metadata, and every doubtful row is flagged."""
    count = options.rows or 200
    late: dict[str, Any] = {"faults": {"RemoveBackground:answer_late": 0.3}, "late_seconds": 0.3}
    with running_emulator(task_seconds=0.5, slots=16, **late) as emulator:
        shop = PicpikShop(folder, emulator, tasks_in_flight=16, resubmit_unknown=True)
        shop.fill(count)
        killed = run_with_kills(shop, options.kills, options.seed, print)
        rows = shop.rows()
        cut_off = sum(killed.cut_off)
        flagged = sum(RESUBMITTED in row["flags"] for row in rows.values())
        billed, again = emulator.billed, sum(row["attempts"] - 1 for row in rows.values())
        print(f"rows {count}, kills {len(killed.at)}, submissions cut off {cut_off}")
        print(f"billed {billed} = rows + {billed - count}; again {again}, rows flagged {flagged}")
        interrupted = shop.facts()
        shop.out.rename(folder / "killed")
        emulator.faults = Faults({})
        shop.run("--yes")
        same = shop.facts() == interrupted
    print(f"metadata as of an undisturbed run: {same}")
    return bool(same and again == cut_off and 0 <= billed - count <= cut_off)


def main() -> int:
    """Runs one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("throughput", "faults", "kills"))
    parser.add_argument("--rows", type=int, help="images (640, 500, 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--chance", type=float, default=0.2, help="of each occasion for a fault")
    parser.add_argument("--each", action="store_true", help="--chance holds for every single fault")
    options = parser.parse_args()
    run = {"throughput": throughput, "faults": faults, "kills": kills}[options.what]
    with tempfile.TemporaryDirectory(prefix="alphabeam-") as folder:
        good = run(Path(folder) / "shop", options)
    print("good" if good else "NOT GOOD")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
