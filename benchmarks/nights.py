"""A fortnight of nightly jobs, with every ordinary accident; prints what each night came to.

    python benchmarks/nights.py [--backend local|picpik|both] [--rows 40] [--kills 20] [--seed 0]

Each night is one or several real ``run.py`` processes over one shop and one output: by the local
core with a network of 400 bytes, and by the PICPIK backend against the emulator. Photos come from
a folder, or from a loopback HTTP server with signed URLs. After a night, all is compared: the
metadata with the manifest, every cutout with its photo, and the purchases with the emulator's own
books. The columns:

    rows       of the manifest
    done       of these, with a cutout
    worked     rows that this night's runs finished themselves
    billed     tasks that the emulator billed this night
    right      rows whose record and cutout are what this night should have left

The exit status is 1 if a night is WRONG: a row lost, worked on without need, or bought twice
unmarked. For the clock, ``time.time`` of the job is shifted by a ``sitecustomize`` module, and the
emulator's clock with it. The moments of the kills are seeded; how far a job has got by then is up
to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from nights_photos import photo_server
from nights_shop import Clock, Fortnight, end_of, kill, wait_for

from alphabeam.transforms.picpik.emulator import FAULTS, Faults, running_emulator
from alphabeam.transforms.rows import DONE

_DAY_AND_AN_HOUR_S = 25 * 3600.0
_LOST_S = 3.0  # by a kill: two seconds, and a loaded machine's one
_EXIT_S = 8.0  # after a signal: five seconds, and a loaded machine's three
# Each kind of occasion is struck at 20 %, its faults in equal parts. `task_stuck` has a night of
# its own.
_FAULTS = (
    ("reset", "http_429", "http_429_after", "http_429_date", "http_500", "http_503"),
    ("answer_lost", "answer_late", "gateway", "reset_midbody", "truncated_json", "wrong_uuid"),
    ("task_error",),
    tuple(name for name in FAULTS if name.startswith("result_")),
)


# ------------------------------------------------------------------------------------- the nights


def good_nights(shop: Fortnight) -> None:
    """All is done once; then nothing is."""
    shop.by_path()
    shop.judge("good night", shop.run(), worked=len(shop.seeds))
    shop.judge("good night, nothing new", shop.run(), worked=0)


def unmounted(shop: Fortnight) -> None:
    """The share is not there for a night."""
    away = shop.folder / "away"
    shop.place.rename(away)
    bad = shop.run()
    shop.judge("share unmounted", bad, worked=0, statuses=(3,), failed=len(shop.seeds))
    away.rename(shop.place)
    shop.judge("share mounted again", shop.run(), worked=0)


def signed_anew(shop: Fortnight) -> None:
    """Every URL has a new signature, and every answer a new ETag."""
    shop.server.fresh_etags = True
    for name in ("photos by signed URL", "signed URLs anew, fresh ETags"):
        shop.by_url()
        shop.judge(name, shop.run(), worked=0)
    shop.server.fresh_etags = False


def touched(shop: Fortnight) -> None:
    """Every file has a new time of change."""
    shop.by_path()
    for id in shop.seeds:
        os.utime(shop.path(id))
    shop.judge("touched files", shop.run(), worked=0)


def catalogue_changes(shop: Fortnight) -> None:
    """An ordinary day's work in the shop."""
    chosen = shop.some(6)
    removed, renamed, changed = chosen[:2], chosen[2:3], chosen[3:]
    for id in removed:
        shop.path(id).unlink()
        del shop.seeds[id]
    for id in renamed:
        seed = shop.seeds.pop(id)
        shop.path(id).rename(shop.path(f"{id}-new"))
        shop.seeds[f"{id}-new"] = seed
    for id in (*changed, *(f"added{number}" for number in range(5))):
        shop.photograph(id)
    shop.by_path()
    name = f"{len(changed)} changed, 5 added, {len(removed)} removed, 1 renamed"
    shop.judge(name, shop.run(), worked=len(changed) + 5)


def manifest_replaced(shop: Fortnight) -> None:
    """The manifest is another one as soon as the survey has seen it, and the job is started again.

    Replaced under a job, it may end the job in one line, and then nothing is committed.
    """
    shop.by_url()
    manifest = shop.folder / "manifest.csv"
    before = manifest.read_text()
    shop.photograph("brought-by-the-new-manifest")
    shop.by_url(signed_anew=False)
    after = manifest.read_text()
    old = {path.name for path in (shop.out / "run").glob("*")}

    def served() -> str:
        runs = [path for path in (shop.out / "run").glob("*") if path.name not in old]
        return after if any((path / "survey.json").exists() for path in runs) else before

    shop.server.manifest = served
    replaced = shop.run("--set", f"input.manifest={shop.server.address}/manifest.csv")
    problems = []
    if "the manifest changed while the job ran" not in replaced.said or "\n" in replaced.said:
        problems.append(f"it said {replaced.said[-300:]!r}")
    shop.judge(
        "manifest replaced mid-run, once more",
        replaced,
        shop.run(),
        worked=1,
        statuses=(1, 0),
        problems=tuple(problems),
    )


def two_jobs(shop: Fortnight) -> None:
    """Both are started at the same moment, and no photo comes before one of them has ended."""
    changed = shop.change(4)
    shop.by_url()
    shop.server.gate.clear()
    first, second = shop.start(), shop.start()
    wait_for(lambda: second.poll() is not None, first)
    shop.server.gate.set()
    ends = sorted([end_of(first), end_of(second)])
    winner = first if first.returncode == 0 else second
    problems = []
    if f"process {winner.pid} on" not in ends[1].said or "\n" in ends[1].said:
        problems.append(f"the second job said {ends[1].said[-300:]!r}")
    shop.judge(
        "two jobs at once",
        *ends,
        worked=len(changed),
        statuses=(0, 1),
        problems=tuple(problems),
    )


def killed(shop: Fortnight) -> None:
    """All photos are new, and the job is killed many times; then it may end.

    Redone is what had its cutout when the kill came, and was not in the ledger yet.

    A kill between an intent and its TaskUID leaves a task that may have been bought: the last run
    submits it again, and marks it.
    """
    for id in shop.seeds:
        shop.photograph(id)
    shop.by_url()
    sent, slow = shop.server.gets, 0.25
    sent.clear()
    shop.server.delay = slow
    largest, redone = 0, 0.0
    for number in range(shop.kills):
        left = len(shop.seeds) - len(set(shop.in_ledger()))
        target = sum(sent.values()) + int(
            shop.random.random() * left * min(1.0, 5 / (shop.kills - number))
        )
        began = time.time()
        process = shop.start()
        wait_for(lambda target=target: sum(sent.values()) >= target, process)  # type: ignore[misc]
        time.sleep(shop.random.random() * 2 * slow)
        ended = time.time()
        kill(process)
        largest = max(largest, len(shop.in_ledger()))
        redone = max(redone, ended - min(shop.finished_and_lost(began), default=ended))
    shop.server.delay = 0.0
    shop.job(resubmit_unknown=True)
    last = shop.run()
    again = sum(sent.values()) - len(shop.seeds)
    problems = []
    if redone > _LOST_S:
        problems.append(f"a kill lost {redone:.1f} s of finished work")
    if largest > 1.1 * len(shop.seeds):
        problems.append(f"the ledger had {largest} rows")
    if any(path.is_file() for path in (shop.out / "ledger/rows").rglob("*")):
        problems.append("groups of the ledger were left")
    shop.judge(
        f"kill -9 at {shop.kills} moments",
        last,
        worked=len(shop.seeds),
        billed=(len(shop.seeds), len(shop.seeds) + shop.kills * 16),
        problems=tuple(problems),
        note=f"work redone after each kill (s, worst) {redone:.1f}, ledger rows / rows "
        f"{largest / len(shop.seeds):.2f}, {again} photos read again",
    )
    shop.job(resubmit_unknown=False)


def signalled(shop: Fortnight) -> None:
    """SIGTERM in the middle of the night, and the job is started again."""
    changed = shop.change(8)
    shop.by_url()
    shop.server.gets.clear()
    shop.server.delay = 0.5
    process = shop.start()
    wait_for(lambda: len(shop.server.gets) > len(changed) // 2, process)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    stopped = end_of(process)
    seconds = time.monotonic() - began
    shop.server.delay = 0.0
    problems = []
    if seconds > _EXIT_S:
        problems.append(f"it took {seconds:.1f} s to end")
    if "start it again and it goes on where it was" not in stopped.said:
        problems.append(f"it said {stopped.said[-300:]!r}")
    shop.judge(
        "SIGTERM, once more",
        stopped,
        shop.run(),
        worked=len(changed),
        statuses=(143, 0),
        problems=tuple(problems),
        note=f"ended in {seconds:.1f} s",
    )


def faults(shop: Fortnight) -> None:
    """The API misbehaves, or for the local backend the photos' server; then it is well again."""
    changed = shop.change(max(1, len(shop.seeds) // 2))
    shop.by_url()
    if shop.emulator is None:
        shop.server.fault_chance = 0.2
        shop.judge("photos' server at 20 % faults", shop.run(), worked=len(changed))
        shop.server.fault_chance = 0.0
        return
    plan = {name: 0.2 / len(kind) for kind in _FAULTS for name in kind}
    shop.emulator.faults = Faults(plan, shop.random.randrange(1000))
    bad = shop.run()
    struck = sum(shop.emulator.faults.struck.values())
    shop.judge(
        "API at 20 % faults",
        bad,
        worked=0,
        billed=(0, len(changed)),
        statuses=(bad.status if bad.status in (0, 3) else 0,),
        failed=None,
        note=f"{struck} faults",
    )
    shop.emulator.faults = Faults({})
    left = sum(row["status"] != DONE for row in shop.records())
    shop.job(resubmit_unknown=True)
    shop.judge("API well again", shop.run(), worked=left, billed=(0, left))
    shop.job(resubmit_unknown=False)


def day_later(shop: Fortnight) -> None:
    """Tasks are bought, the job dies, and is started again when their results are gone."""
    changed = shop.change(4)
    shop.by_path()
    if shop.emulator is not None:
        shop.emulator.faults = Faults({"task_stuck": 1.0})
    process = shop.start()
    if shop.emulator is None:
        wait_for(lambda: shop.in_ledger(), process)
    else:
        wait_for(lambda: _task_uids(shop.out) >= len(changed), process)
    kill(process)
    shop.clock.shift += _DAY_AND_AN_HOUR_S
    if shop.emulator is not None:
        shop.emulator.faults = Faults({})
    shop.judge(
        "killed; clock 25 h on",
        shop.run(),
        worked=len(changed),
        billed=(2 * len(changed), 2 * len(changed)),
    )
    shop.clock.shift += _DAY_AND_AN_HOUR_S
    shop.judge("another 25 h on, nothing new", shop.run(), worked=0)


def _task_uids(out: Path) -> int:
    texts = [path.read_text() for path in (out / "ledger/tasks").glob("*.json")]
    return sum(bool(json.loads(text)["task_uid"]) for text in texts if text)


def moved(shop: Fortnight) -> None:
    """The share is mounted under another name."""
    elsewhere = shop.folder / "mnt" / "share-2"
    elsewhere.parent.mkdir()
    shop.place = shop.place.rename(elsewhere)
    shop.by_path()
    shop.judge("another mount", shop.run(), worked=0)


NIGHTS: tuple[Callable[[Fortnight], None], ...] = (
    *(good_nights, unmounted, signed_anew, touched, catalogue_changes, manifest_replaced),
    *(two_jobs, killed, signalled, faults, day_later, moved),
)


def fortnight(
    backend: str,
    folder: Path,
    *,
    rows: int,
    kills: int,
    seed: int,
    nights: Sequence[Callable[[Fortnight], None]] = NIGHTS,
) -> int:
    """Lives through the nights.

    Args:
        backend: ``local`` or ``picpik``.
        folder: An empty one.
        rows: Photos in the shop, at first.
        kills: How often the night of kills kills.
        seed: Of what is random.
        nights: Which ones.

    Returns:
        How many nights were wrong.
    """
    print(f"{backend}:", flush=True)
    clock = Clock()
    with ExitStack() as stack:
        photos = stack.enter_context(photo_server(seed))
        emulator = None
        if backend == "picpik":
            emulator = stack.enter_context(
                running_emulator(
                    task_seconds=0.2, late_seconds=6.0, slots=16, seed=seed, clock=clock.now
                )
            )
        shop = Fortnight(folder, photos, emulator, clock, rows=rows, kills=kills, seed=seed)
        for night in nights:
            night(shop)
    return shop.wrong


def main() -> int:
    """One fortnight for each backend."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=("local", "picpik", "both"), default="both")
    parser.add_argument("--rows", type=int, default=40, help="photos at first, at least 6 (40)")
    parser.add_argument("--kills", type=int, default=20, help="kills in the night of kills (20)")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[night.__name__ for night in NIGHTS],
        metavar="NIGHT",
        help="these nights only: " + ", ".join(night.__name__ for night in NIGHTS),
    )
    parser.add_argument("--seed", type=int, default=0, help="of moments, choices and faults (0)")
    options = parser.parse_args()
    if options.rows < 6:
        parser.error("--rows: at least 6")
    wrong = 0
    for backend in ("local", "picpik") if options.backend == "both" else (options.backend,):
        with tempfile.TemporaryDirectory(prefix="alphabeam-") as folder:
            wrong += fortnight(
                backend,
                Path(folder),
                rows=options.rows,
                kills=options.kills,
                seed=options.seed,
                nights=[n for n in NIGHTS if options.only is None or n.__name__ in options.only],
            )
    print("all nights were right" if not wrong else f"{wrong} nights were WRONG")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
