"""``run.py report OUTPUT``: the report of a run that is there, written anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alphabeam.transforms.redaction import redact

if TYPE_CHECKING:
    from alphabeam.transforms.output import Output

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Runs ``report``.

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

    from alphabeam.pipelines.report import report_again

    try:
        print(report_again(output_at(options.output)))
    except Exception as error:
        print(redact(f"run.py report: {' '.join(str(error).split())}"), file=sys.stderr)
        return 1
    return 0


def output_at(name: str) -> Output:
    """The output in a folder, or the one of a job file."""
    from alphabeam.transforms.output import Output

    if not name.endswith((".yaml", ".yml")):
        return Output(name)
    from alphabeam.pipelines.catalogue import output_of
    from alphabeam.pipelines.job_file import load_job

    return output_of(load_job(name))
