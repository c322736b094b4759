"""The one command: labels, training, export. See README.md."""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
import random

from .pack import read_bank, write_bank
from .pieces import Bank
from .sources import Sources, find_shared, find_sources

__all__ = ["main"]

_PLENTY = ("bagisto", "clothing")
_MODEL = pathlib.Path(__file__).parents[1] / "transforms" / "matting" / "models" / "catalogue.onnx"


def order_for_teachers(train: Sources, out: Sources, limit: int) -> list[pathlib.Path]:
    """The pictures to label, `limit` in all: so mixed that any beginning of it is of use."""

    def split(side: Sources) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
        rare = [path for path in side.photos if path.parent.name not in _PLENTY]
        plenty = [path for path in side.photos if path.parent.name in _PLENTY]
        random.Random(0).shuffle(plenty)
        return rare, plenty

    rare, plenty = split(train)
    out_rare, out_plenty = split(out)
    scenes = list(train.scenes)
    random.Random(1).shuffle(scenes)
    return [
        *rare, *scenes[:60], *out.scenes[::8], *plenty[:160], *out_rare, *out_plenty[:60],
        *scenes[60:150], *plenty[160:],
    ][:limit]  # fmt: skip


def gather(options: argparse.Namespace) -> Bank:
    """Labels what has no label yet, and builds the bank of the training side."""
    from .bank import build_bank
    from .labels import Teachers, label_photos

    sources, out = find_sources(options.shared)
    labels = options.work / "labels"
    teachers = Teachers(options.shared / "models" / "u2netp.onnx", options.teacher)
    label_photos(order_for_teachers(sources, out, options.labels), teachers, labels)
    return build_bank(sources, labels, options.renders, views=options.views)


def main() -> None:
    """Runs the recipe from start to finish, or goes on where it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--shared", type=pathlib.Path, default=find_shared())
    parser.add_argument("--work", type=pathlib.Path, required=True, help="labels, and a run's own")
    parser.add_argument("--renders", type=pathlib.Path, help="folder with images/ and truth/")
    parser.add_argument("--views", type=pathlib.Path, help="folder that training.models3d filled")
    parser.add_argument("--labels", type=int, default=2000, help="photos for the teachers")
    parser.add_argument(
        "--teacher", type=pathlib.Path, default=_MODEL, help="the teacher beside U²-Net-p"
    )
    parser.add_argument("--pack", type=pathlib.Path, help="write the bank to this file, and stop")
    parser.add_argument("--bank", type=pathlib.Path, help="a file that --pack wrote")
    parser.add_argument("--start", type=pathlib.Path, help="an exported file to start from")
    parser.add_argument(
        "--plan", choices=["cpu", "gpu", "continued"],
        help="what the options below are by default: cpu, or continued with --start",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, help="length of the run")
    parser.add_argument("--size", type=int, help="longer side of all pictures, pixels")
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0, help="other dice")
    parser.add_argument("--batch", type=int, help="samples a step")
    parser.add_argument("--reuse", type=int, help="steps that see a sample")
    parser.add_argument("--within", type=float, help="minutes in which the schedule is to end")
    parser.add_argument("--drawn", type=int, default=400, help="objects to draw for the bank")
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="where the machine is good at it")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop, to be resumed")
    parser.add_argument("--out", type=pathlib.Path, default=_MODEL)
    options = parser.parse_args()

    if options.pack:
        write_bank(gather(options), options.pack)
        return
    import torch

    from .bank import add_drawn
    from .export import export
    from .train import PLANS, train

    torch.set_num_threads(options.threads)
    plan = PLANS[options.plan or ("continued" if options.start else "cpu")]
    plan = dataclasses.replace(
        plan,
        seed=options.seed,
        samples=options.samples or plan.samples,
        batch=options.batch or plan.batch,
        reuse=options.reuse or plan.reuse,
        rate=options.rate or plan.rate,
        sizes=((0.0, options.size),) if options.size else plan.sizes,
        within=options.within or plan.within,
    )
    bank = read_bank(options.bank) if options.bank else gather(options)
    add_drawn(bank, plan.seed, options.drawn, options.workers)
    for kind, pools in (("cutouts", bank.cutouts), ("pictures", bank.pictures)):
        print(kind, {pool: len(items) for pool, items in pools.items()}, flush=True)
    print("scenes", len(bank.scenes), "empty", len(bank.empties), flush=True)
    try:
        net = train(
            bank, plan, options.work, options.minutes, start=options.start,
            bfloat16=options.bfloat16, workers=options.workers,
        )  # fmt: skip
    except (TimeoutError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    print(export(net, options.out))


if __name__ == "__main__":
    main()
