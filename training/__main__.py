"""The one command: labels, training, export. See README.md."""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
import random

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
    return [
        *rare, *train.scenes[::16], *out.scenes[::8], *plenty[:160], *out_rare, *out_plenty[:60],
        *plenty[160:],
    ][:limit]  # fmt: skip


def main() -> None:
    """Runs the recipe from start to finish, or goes on where it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--shared", type=pathlib.Path, default=find_shared())
    parser.add_argument("--work", type=pathlib.Path, required=True, help="labels, and a run's own")
    parser.add_argument("--renders", type=pathlib.Path, help="folder with images/ and truth/")
    parser.add_argument("--views", type=pathlib.Path, help="folder that training.models3d filled")
    parser.add_argument("--labels", type=int, default=1200, help="photos for the teachers")
    parser.add_argument(
        "--teacher", type=pathlib.Path, default=_MODEL, help="the teacher beside U²-Net-p"
    )
    parser.add_argument("--start", type=pathlib.Path, help="an exported file to start from")
    parser.add_argument("--samples", type=int, help="length of the run")
    parser.add_argument("--size", type=int, help="longer side of all pictures, pixels")
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0, help="other dice")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="where the processor has it")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop, to be resumed")
    parser.add_argument("--out", type=pathlib.Path, default=_MODEL)
    options = parser.parse_args()

    import torch

    from .bank import build_bank
    from .export import export
    from .labels import Teachers, label_photos
    from .train import CONTINUED, Plan, train

    torch.set_num_threads(options.threads)
    sources, out = find_sources(options.shared)
    labels = options.work / "labels"
    teachers = Teachers(options.shared / "models" / "u2netp.onnx", options.teacher)
    label_photos(order_for_teachers(sources, out, options.labels), teachers, labels)
    plan = CONTINUED if options.start else Plan()
    plan = dataclasses.replace(
        plan,
        seed=options.seed,
        samples=options.samples or plan.samples,
        rate=options.rate or plan.rate,
        sizes=((0.0, options.size),) if options.size else plan.sizes,
    )
    bank = build_bank(sources, labels, options.renders, plan.seed, views=options.views)
    for kind, pools in (("cutouts", bank.cutouts), ("pictures", bank.pictures)):
        print(kind, {pool: len(items) for pool, items in pools.items()}, flush=True)
    print("scenes", len(bank.scenes), "empty", len(bank.empties), flush=True)
    try:
        net = train(
            bank, plan, options.work, options.minutes, start=options.start,
            bfloat16=options.bfloat16,
        )  # fmt: skip
    except (TimeoutError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    print(export(net, options.out))


if __name__ == "__main__":
    main()
