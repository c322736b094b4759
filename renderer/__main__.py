"""Renders the samples, or other pictures like them for training.

    python -m renderer samples [--only ID ...]
    python -m renderer training --count 400 --seed 1 --size 320 --out DIR

Needs Blender's module `bpy`; `renderer/README.md` says how to install it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from renderer.catalogue import Sample, read_catalogue, write_manifest

_SAMPLES = Path(__file__).resolve().parent.parent / "samples"
_NO_BPY = (
    "Blender's module bpy is not installed: use Python 3.11 and "
    "`pip install -r renderer/requirements.txt`"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    samples: tuple[Sample, ...] = ()
    chosen: tuple[Sample, ...] = ()
    try:
        if options.command == "samples":
            samples = read_catalogue()
            chosen = _chosen(samples, options.only)
    except ValueError as error:
        return _failed(str(error))
    if find_spec("bpy") is None:
        return _failed(_NO_BPY)
    from renderer.blender.render import render_samples, render_training

    try:
        if options.command == "samples":
            render_samples(chosen, options.threads, options.draft, options.out)
            write_manifest(samples, options.out)
        else:
            render_training(
                options.count,
                options.seed,
                options.size,
                options.out,
                options.threads,
                options.glass,
                options.sets,
            )
    except (OSError, ValueError) as error:
        return _failed(str(error))
    return 0


def _failed(message: str) -> int:
    print(f"renderer: {message}", file=sys.stderr)
    return 2


def _chosen(samples: Sequence[Sample], only: Sequence[str]) -> tuple[Sample, ...]:
    """The samples named in `only`, or all; an unknown name is an error."""
    known = [sample.id for sample in samples]
    if unknown := sorted(set(only) - set(known)):
        raise ValueError(f"--only: no sample {unknown[0]!r}; there are {', '.join(known)}")
    return tuple(sample for sample in samples if not only or sample.id in only)


def _number(kind: type[float], low: float, high: float) -> Callable[[str], float]:
    """A parser of numbers of a kind in low..high."""

    def parse(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            name = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {name} of {low:g} to {high:g}")
        return number

    return parse


def _parser() -> argparse.ArgumentParser:
    share = _number(float, 0, 1)
    parser = argparse.ArgumentParser(prog="renderer", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    samples = commands.add_parser("samples", help="the committed catalogue")
    samples.add_argument("--only", nargs="+", default=[], metavar="ID", help="these of them")
    samples.add_argument(
        "--draft",
        type=_number(float, 0.05, 4),
        default=1.0,
        metavar="SCALE",
        help="scale of the pictures' sides, with fewer light paths, for a preview",
    )
    samples.add_argument("--out", type=Path, default=_SAMPLES, help="default: samples/")
    training = commands.add_parser("training", help="other pictures, at random")
    training.add_argument("--count", type=_number(int, 1, 100_000), required=True)
    training.add_argument("--seed", type=_number(int, 0, 9999), required=True)
    training.add_argument(
        "--size",
        type=_number(int, 16, 4096),
        default=320,
        help="side of a square of the same area, pixels",
    )
    training.add_argument("--glass", type=share, default=0.0, help="share that is glassware, 0..1")
    training.add_argument(
        "--sets", type=share, default=0.0, help="share that shows two or three of a kind, 0..1"
    )
    training.add_argument("--out", type=Path, required=True)
    for command in (samples, training):
        command.add_argument("--threads", type=_number(int, 1, 1024), default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
