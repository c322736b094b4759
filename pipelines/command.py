"""The command line: ``run.py JOB.yaml``."""

from __future__ import annotations

import argparse
import difflib
import gc
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

from alphabeam.pipelines.logs import configure
from alphabeam.pipelines.pipes import outlive_readers
from alphabeam.transforms.redaction import redact

if TYPE_CHECKING:
    from alphabeam.pipelines.job import Job
    from alphabeam.transforms.lease import LeaseHolder
    from alphabeam.transforms.output import Output

__all__ = ["main"]

_COMMANDS = ("lint", "models", "presets", "report", "sheet", "template")
OK, JOB_FAILED, WRONG_USAGE, TOO_MANY_FAILURES = 0, 1, 2, 3

_EPILOG = """
examples:
  run.py configs/samples.yaml                    the samples that come with alphabeam
  run.py job.yaml --check                        try everything, do nothing
  run.py job.yaml --set input.manifest=new.csv   override a setting; values are YAML
  run.py job.yaml -- --direct_num_workers=4      further options go to Beam
  run.py report OUTPUT                           write the report of a finished output anew
  run.py sheet OUTPUT --to sheets.pdf            contact sheets, for those who print; sheet --help
  run.py models                                  the models known by name
  run.py presets [NAME]                          what sales channels want of pictures
  run.py template gs://b/alphabeam.json --image IMAGE   a Flex template for Dataflow
  run.py lint FOLDER --preset amazon-main        whether pictures keep to it; lint --help

exit status:
  0  all rows are done
  1  the job itself failed
  2  the job file or the command line is wrong
  3  the job finished, and more rows failed, or have a rendition that failed, than max_failures
     allows

A job that was stopped is started again with the same command, and goes on where it was: rows that
are finished are not done again. Rows that failed stand in failures.jsonl in the output, which is
a manifest that can be run again.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Remove the backgrounds of a catalogue of images: read a manifest, write "
        "cutouts, masks and Parquet metadata.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "job",
        metavar="JOB.yaml",
        help="the job file; or a command: " + ", ".join(_COMMANDS),
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, for example matting.erode_size=5; may be given several times; "
        "paths start, like those in the file, at the job file's folder",
    )
    parser.add_argument(
        "--check", action="store_true", help="try everything that the job needs, and do nothing"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="do all rows again, also those that are finished"
    )
    parser.add_argument(
        "--yes", action="store_true", help="submit without asking, however many rows there are"
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="take the output from a run that has it; be sure that the run is dead",
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="after the run, remove the outputs of rows that the manifest does not have any more",
    )
    submitted = parser.add_mutually_exclusive_group()
    submitted.add_argument(
        "--status", action="store_true", help="say how far the job is that was submitted last"
    )
    submitted.add_argument(
        "--wait", action="store_true", help="wait for the job that was submitted last"
    )
    submitted.add_argument(
        "--cancel", action="store_true", help="end the job that was submitted last"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more; twice: Beam's log too"
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="how the log on stderr is written; json is one object a line",
    )
    parser.add_argument("--version", action="version", version=f"alphabeam {_version()}")
    return parser


def _version() -> str:
    try:
        return metadata.version("alphabeam")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Without the program's name; the process's own if None.

    Returns:
        The exit status: 0, 1, 2 or 3, as ``--help`` says. SIGINT and SIGTERM end a running job
        with 130 and 143.
    """
    if arguments is None:
        outlive_readers()
        # A job makes many objects that live long and have no cycles. With Python's own threshold
        # of 700, looking through them took a tenth of a night on which nothing has changed.
        gc.set_threshold(20_000, 20, 20)
    given = list(sys.argv[1:] if arguments is None else arguments)
    configure()  # whichever command it is, libraries say nothing
    if given[:1] == ["lint"]:
        from alphabeam.pipelines import lint

        return lint.main(given[1:])
    if given[:1] in (["report"], ["sheet"]):
        from alphabeam.pipelines import report_command

        return (report_command.report if given[0] == "report" else report_command.sheet)(given[1:])
    if given[:1] == ["presets"]:
        return _print_presets(given[1:])
    if given[:1] == ["template"]:
        from alphabeam.pipelines import flex_template

        return flex_template.write(given[1:])
    if given and (complaint := _no_such_command(given[0])):
        print(complaint, file=sys.stderr)
        return WRONG_USAGE
    beam_arguments: list[str] = []
    if "--" in given:
        cut = given.index("--")
        given, beam_arguments = given[:cut], given[cut + 1 :]
    options = _parser().parse_args(given)
    configure(options.verbose, options.log_format)
    # Arrow's own allocators keep what was freed: 60 MB in a job that writes many small tables.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

    if options.job == "models":
        return _print_models()
    # Beam takes seconds to import: --help, models and wrong arguments do not wait for it.
    from alphabeam.pipelines.job_file import JobFileError, load_job

    try:
        job = load_job(options.job, options.set)
    except JobFileError as error:
        for line in str(error).splitlines():
            print(redact(line), file=sys.stderr)
        return WRONG_USAGE
    try:
        if options.check:
            from alphabeam.pipelines.check import check

            for line in check(job, options.fresh):
                print(line, flush=True)
            return OK
        if options.status or options.wait or options.cancel:
            return _look_at_submitted(job, options)
        return _run(job, options, beam_arguments)
    except KeyboardInterrupt:
        print(
            f"{job.name}: interrupted; start it again and it goes on where it was", file=sys.stderr
        )
        _tell_of_the_end(job, options, "interrupted")
        return 130
    except Exception as error:
        if options.verbose:
            logging.exception("the job failed")
        reason = redact(_reason(error))
        print(f"{job.name}: {reason}", file=sys.stderr)
        _tell_of_the_end(job, options, "failed", reason)
        return JOB_FAILED


def _no_such_command(word: str) -> str:
    """What to say of a first argument that is neither a job file nor a command; or nothing."""
    if word in _COMMANDS or not word.isalpha() or os.path.exists(word):
        return ""
    near = difflib.get_close_matches(word.lower(), _COMMANDS, 1, 0.7)
    meant = f"did you mean '{near[0]}'?" if near else f"commands are {', '.join(_COMMANDS)}"
    return f"run.py: there is no job file and no command '{word}'; {meant}"


def _tell_of_the_end(job: Job, options: argparse.Namespace, status: str, reason: str = "") -> None:
    """Sends the notification of a run that has no summary."""
    from alphabeam.pipelines.notify import notify

    if not (options.check or options.status or options.cancel):
        notify(job.notify, _end_record(job, status, reason))


def _end_record(job: Job, status: str, reason: str = "") -> dict[str, str]:
    return {
        "job": job.name,
        "status": status,
        "reason": reason,
        "output": redact(job.output.directory),
    }


def _run(job: Job, options: argparse.Namespace, beam_arguments: Sequence[str]) -> int:
    from alphabeam.pipelines.check import probe
    from alphabeam.pipelines.confirm import confirm

    probe(job, without_api=True)
    if job.api is not None and not options.yes:
        confirm(job, job.api.confirm_over, options.fresh)
    started = datetime.now(timezone.utc)
    run_id = f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    run = _run_remotely if job.engine.remote else _run_here
    return run(job, options, beam_arguments, run_id, started)


def _run_here(
    job: Job,
    options: argparse.Namespace,
    beam_arguments: Sequence[str],
    run_id: str,
    started: datetime,
) -> int:
    import apache_beam as beam
    import pyarrow as pa

    from alphabeam.pipelines.catalogue import Catalogue, output_of
    from alphabeam.pipelines.engines import pipeline_options, threads_of
    from alphabeam.pipelines.progress import FileReader, Progress, ProgressBar
    from alphabeam.pipelines.signals import (
        end_on_signals,
        end_without_output,
        workers_end_on_signals,
    )
    from alphabeam.pipelines.temporary import temporary_folder
    from alphabeam.transforms import lease
    from alphabeam.transforms.metadata.earlier import prune
    from alphabeam.transforms.metrics import read_metrics

    beam_options = pipeline_options(job, beam_arguments)
    output = output_of(job)
    runner = beam_options.get_all_options()["runner"]
    with temporary_folder() as folder:
        progress = Progress(os.path.join(folder, "progress"), run_id)
        with (
            lease.acquire(output, run_id, take_over=options.take_over) as holder,
            end_on_signals(job.name, partial(_end_in_order, job, holder, output, folder)),
            workers_end_on_signals(folder),
            ProgressBar(FileReader(progress), quiet=options.quiet),
        ):
            work = holder.lease.work
            holder.when_lost = partial(end_without_output, partial(_end_lost, job, folder))
            if job.api is not None and work != run_id:
                _inherit(job, work)
            pipeline = beam.Pipeline(options=beam_options)
            pipeline | "Catalogue" >> Catalogue(
                job,
                run_id,
                threads_of(job),
                redistribute=runner != "FnApiRunner",
                work=work,
                fresh=options.fresh,
                progress=progress if runner == "FnApiRunner" else None,
            )
            result = pipeline.run()
            result.wait_until_finish()
            holder.sweep()
            if options.prune:
                prune(output)
    metrics = read_metrics(result)
    del pipeline, result
    gc.collect()  # the runner's buffers; the report may need the room
    pa.default_memory_pool().release_unused()
    return _summarize(job, output, run_id, metrics, started, options.prune)


def _run_remotely(
    job: Job,
    options: argparse.Namespace,
    beam_arguments: Sequence[str],
    run_id: str,
    started: datetime,
) -> int:
    from alphabeam.pipelines import remote
    from alphabeam.pipelines.catalogue import output_of
    from alphabeam.pipelines.engines import EngineError
    from alphabeam.transforms import lease
    from alphabeam.transforms.metadata.earlier import prune

    output, engine = output_of(job), remote.engine_of(job)
    if options.prune and not engine.wait:
        raise EngineError("--prune comes after the run's end, so it needs engine.wait: true")
    if not options.take_over:
        remote.refuse_second(job, output)
    with lease.acquire(output, run_id, take_over=options.take_over) as holder:
        work = holder.lease.work
        if job.api is not None and work != run_id:
            _inherit(job, work)
        found = remote.submit(
            job, output, run_id, started, beam_arguments, work=work, fresh=options.fresh
        )
        if found is None:
            return OK
        record, submitted = found
        holder.when_lost = submitted.cancel
        if not engine.wait:
            holder.leave()
            print(f"{job.name}: submitted as {submitted.id}; {_LATER}")
            return OK
        with _interruptible():
            try:
                remote.wait(job, output, record, submitted, quiet=options.quiet)
            except KeyboardInterrupt:
                if engine.keeps_running():
                    holder.leave()
                    print(f"{job.name}: left running as {submitted.id}; {_LATER}", file=sys.stderr)
                    return 130
                print(f"{job.name}: cancelling, as it ends with this process", file=sys.stderr)
                submitted.cancel()
                raise
        holder.sweep()
        if options.prune:
            prune(output)
    return _summarize(job, output, run_id, submitted.numbers(), started, options.prune)


_LATER = "--status tells how far it is, --wait waits for it, --cancel ends it"


@contextmanager
def _interruptible() -> Iterator[None]:
    """While the ``with`` lasts, SIGTERM interrupts as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _look_at_submitted(job: Job, options: argparse.Namespace) -> int:
    """``--status``, ``--wait`` and ``--cancel``."""
    from alphabeam.pipelines import remote
    from alphabeam.pipelines.catalogue import output_of
    from alphabeam.transforms import lease

    output = output_of(job)
    if options.status:
        for line in remote.status_lines(job, output):
            print(line)
        return OK
    record, submitted = remote.find(job, output)
    if options.cancel:
        state = remote.cancel(job, output)
        print(f"{job.name}: job {record.id} is {state.lower()}")
        return OK
    with _interruptible():
        try:
            remote.wait(job, output, record, submitted, quiet=options.quiet)
        except KeyboardInterrupt:
            print(f"{job.name}: left running as {record.id}; {_LATER}", file=sys.stderr)
            return 130
    lease.give_free(output, record.run_id)
    started = datetime.fromisoformat(record.submitted_at.replace("Z", "+00:00"))
    return _summarize(job, output, record.run_id, submitted.numbers(), started, False)


def _summarize(
    job: Job,
    output: Output,
    run_id: str,
    metrics: Mapping[str, Any],
    started: datetime,
    pruned: bool,
) -> int:
    """Writes and prints the summary of a run that is whole; gives the exit status."""
    from alphabeam.pipelines.notify import notify
    from alphabeam.pipelines.report import write_ending
    from alphabeam.transforms.metadata import read_committed

    committed = read_committed(output, run_id)
    summary = write_ending(job, output, committed, metrics, started, pruned=pruned)
    notify(job.notify, summary.as_record())
    for line in summary.lines():
        print(line)
    wrong = summary.failed + summary.renditions_failed
    return OK if wrong <= job.max_failures else TOO_MANY_FAILURES


def _inherit(job: Job, work: str) -> None:
    """Goes on with the budget of runs that were killed or stopped."""
    from alphabeam.pipelines.catalogue import backend_of
    from alphabeam.transforms.backends.local import LocalBackend

    backend = backend_of(job, work=work)
    assert not isinstance(backend, LocalBackend)
    backend.inherit()


def _end_in_order(job: Job, holder: LeaseHolder, output: Output, folder: str) -> None:
    """What is left to do when the run and its workers have been stopped."""
    from alphabeam.pipelines.notify import notify
    from alphabeam.transforms.crashes import remove_marks

    remove_marks(output, holder.lease.run_id)
    holder.end(interrupted=True)
    notify(job.notify, _end_record(job, "interrupted"), seconds=1.0, retries=0)
    shutil.rmtree(folder, ignore_errors=True)


def _end_lost(job: Job, folder: str) -> None:
    """What is left to do when another run has taken the output over."""
    from alphabeam.pipelines.notify import notify

    reason = "another run took the output over; this one has stopped and changes nothing more"
    print(f"{job.name}: {reason}", file=sys.stderr)
    notify(job.notify, _end_record(job, "interrupted", reason), seconds=1.0, retries=0)
    shutil.rmtree(folder, ignore_errors=True)


def _print_presets(names: Sequence[str]) -> int:
    from alphabeam.pipelines.lint import presets_text

    try:
        for line in presets_text(names):
            print(line)
    except ValueError as error:
        print(f"run.py presets: {error}", file=sys.stderr)
        return WRONG_USAGE
    return OK


def _print_models() -> int:
    from alphabeam.transforms.matting import REGISTRY
    from alphabeam.transforms.models import cached_path

    print(f"{'name':<24} {'input':>5} {'size':>7} {'cached':<6} licence")
    for model in REGISTRY.values():
        size = model.preprocessing.input_size if model.preprocessing else "any"
        cached = "yes" if cached_path(model.name).exists() else "no"
        licence = model.licence + ("" if model.commercial else " (needs accept_license: true)")
        print(f"{model.name:<24} {size:>5} {model.megabytes:>4} MB {cached:<6} {licence}")
    return OK


def _reason(error: BaseException) -> str:
    """One line on what went wrong; Beam wraps a worker's exception in its whole traceback."""
    if "Channel closed prematurely" in str(error):  # all that Beam says of a worker that is gone
        return (
            "a worker process ended: it was killed, or ran out of memory; start the job again, "
            "and it goes on where it was"
        )
    lines = [line for line in str(error).splitlines() if line.strip()]
    wrapped = next((line for line in reversed(lines) if re.match(r"\w[\w.]*: ", line)), "")
    if len(lines) > 1 and wrapped:
        text = re.sub(r"^[\w.]+: ", "", wrapped)
    else:
        text = " ".join(lines) or type(error).__name__
        text = re.sub(r"^alphabeam\.[\w.]+: ", "", text)
    return re.sub(r" \[while running '.*'\]$", "", text)
