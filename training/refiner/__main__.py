"""The one command: examples, training, export, held-out figures. See the README one folder up."""

from __future__ import annotations

import argparse
import math
import pathlib

import cv2

from alphabeam.transforms.matting.refiner import Refiner

from ..bank import find_renders
from ..sources import find_shared, find_sources
from .examples import measure, write_examples
from .material import Material

__all__ = ["main"]


def main() -> None:
    """Runs the recipe from start to finish, or goes on where it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m training.refiner", description=__doc__)
    parser.add_argument("--shared", type=pathlib.Path, default=find_shared())
    parser.add_argument("--work", type=pathlib.Path, required=True, help="examples, checkpoint")
    parser.add_argument("--renders", type=pathlib.Path, help="folder with images/ and truth/")
    parser.add_argument("--examples", type=int, default=4000, help="scenes to learn from")
    parser.add_argument("--held-out", type=int, default=60, help="scenes to measure on")
    parser.add_argument("--steps", type=int, default=24_000, help="length of the run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop, to be resumed")
    parser.add_argument("--measure", action="store_true", help="only measure the shipped file")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    sources, out = find_sources(options.shared)
    shipped = Refiner()
    held_out = write_examples(
        options.work / "held_out",
        options.held_out,
        options.seed + 1,
        Material.load(out, find_renders(options.renders, out=True)),
        shipped,
    )
    print("before the refiner", measure(None, held_out))
    print("shipped file      ", measure(shipped, held_out), flush=True)
    if options.measure:
        return

    import torch

    from .export import export
    from .train import Plan, train

    torch.set_num_threads(options.threads)
    material = Material.load(sources, find_renders(options.renders))

    def learn(
        work: pathlib.Path, count: int, steps: int, seed: int, first: Refiner | None
    ) -> Refiner:
        examples = write_examples(work / "examples", count, seed, material, first)
        net = train(examples, held_out, Plan(steps, seed=seed), work, options.minutes)
        export(net, target := work / "refiner.onnx")
        learnt = Refiner(target)
        print(target, measure(learnt, held_out), flush=True)
        return learnt

    count, steps, seed = options.examples, options.steps, options.seed
    try:
        # A wide band is mended twice. The second time can be learnt only with something that does
        # the first: with what a short run of its own gives.
        first = learn(options.work / "first", count // 4, steps // 4, seed + 2, None)
        learn(options.work, count, steps, seed, first)
    except (TimeoutError, ValueError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
