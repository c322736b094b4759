"""``run.py report OUTPUT`` and ``run.py sheet OUTPUT``: what is made of a run that is there."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from alphabeam.transforms.redaction import redact

if TYPE_CHECKING:
    from alphabeam.transforms.output import Output

__all__ = ["report", "sheet"]


def report(arguments: Sequence[str]) -> int:
    """Runs ``report``: writes the report of an output's last run anew.

    Args:
        arguments: Behind the word itself.

    Returns:
        The exit status: 0, or 1 with one line that says what is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="run.py report", description="Write the report of an output's last run anew."
    )
    parser.add_argument("output", metavar="OUTPUT", help="the output's folder, or its job file")
    options = parser.parse_args(arguments)

    def work(output: Output) -> list[str]:
        from alphabeam.pipelines.report import report_again

        return [report_again(output)]

    return _run("report", options.output, work)


def sheet(arguments: Sequence[str]) -> int:
    """Runs ``sheet``: writes contact sheets of an output's last run.

    Args and what it returns are those of `report`.
    """
    parser = argparse.ArgumentParser(
        prog="run.py sheet",
        description="Write contact sheets of an output's last run: sources beside results, the "
        "worst first, 16 on a page.",
    )
    parser.add_argument("output", metavar="OUTPUT", help="the output's folder, or its job file")
    parser.add_argument(
        "--to",
        default="",
        metavar="PLACE",
        help="a folder for PNG files, or the name of one PDF; by default report/sheets/ in the "
        "output",
    )
    parser.add_argument("--most", type=_count, default=240, help="results at most (%(default)s)")
    parser.add_argument(
        "--order", choices=("worst", "line"), default="worst", help="line: the manifest's order"
    )
    parser.add_argument(
        "--flag", action="append", default=[], help="only results with this flag; several times"
    )
    parser.add_argument(
        "--background",
        type=_colour,
        default="white",
        metavar="COLOUR",
        help="behind the cutouts: a name or #rrggbb (%(default)s)",
    )
    options = parser.parse_args(arguments)

    def work(output: Output) -> list[str]:
        from alphabeam.pipelines.report.sheet import Sheets, write_sheets

        wanted = Sheets(options.most, options.order, (*options.flag,), options.background)
        return write_sheets(output, options.to, wanted)

    return _run("sheet", options.output, work)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _colour(text: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no colour; give #rrggbb") from None
    return red, green, blue


def _run(name: str, place: str, work: Callable[[Output], list[str]]) -> int:
    try:
        for line in work(_output_at(place)):
            print(line)
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        print(redact(f"run.py {name}: {said}"), file=sys.stderr)
        return 1
    return 0


def _output_at(name: str) -> Output:
    """The output in a folder, or the one of a job file."""
    from alphabeam.transforms import storage
    from alphabeam.transforms.output import Output

    if not name.endswith((".yaml", ".yml")):
        return Output(storage.resolve(os.getcwd(), name))
    from alphabeam.pipelines.catalogue import output_of
    from alphabeam.pipelines.job_file import load_job

    return output_of(load_job(name))
