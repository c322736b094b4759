"""``run.py lint`` measures pictures against a channel's rules, ``run.py presets`` lists them."""

from __future__ import annotations

import argparse
import io
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from alphabeam.transforms import storage
from alphabeam.transforms.cores import cores
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.manifest.names import IMAGE_EXTENSIONS
from alphabeam.transforms.metadata.schema import decode_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.redaction import redact
from alphabeam.transforms.renditions import (
    RULES,
    Measures,
    Preset,
    Violation,
    load_preset,
    measure,
    preset_names,
    violations,
)

__all__ = ["SCHEMA", "File", "LintError", "lint", "lint_files", "main", "presets_text"]

_OK, _FAILED, _WRONG_USAGE, _BROKEN_RULES = 0, 1, 2, 3
_AT_ONCE = 64  # files that are waited for, so that their lines come in order
_INDENT = " " * 4

_COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "file": (pa.string(), "Its name relative to the folder."),
    "preset": (pa.string(), "The preset whose rule it breaks."),
    "version": (pa.string(), "The preset's version."),
    "rule": (pa.string(), "The rule's name."),
    "advice": (pa.bool_(), "Whether the channel only recommends it."),
    "found": (pa.string(), "What was measured."),
    "wanted": (pa.string(), "What the rule wants."),
    "source": (pa.string(), "Where the rule was read."),
    "checked": (pa.string(), "The day on which it was."),
    "format": (pa.string(), "The file's format, by content."),
    "width": (pa.int32(), "Pixels."),
    "height": (pa.int32(), "Pixels."),
    "bytes": (pa.int64(), "Size of the file."),
    "box": (pa.list_(pa.int32()), "The subject's box: left, top, right, bottom."),
    "fill": (pa.float32(), "Share of the frame that the subject takes, 0..1."),
}
SCHEMA = pa.schema(
    [pa.field(name, kind, metadata={"meaning": text}) for name, (kind, text) in _COLUMNS.items()]
)
"""The table of violations that ``--parquet`` writes."""


class LintError(Exception):
    """There is nothing to lint; the message is one line."""


class File(NamedTuple):
    """A file to be linted.

    Attributes:
        name: Relative to the folder.
        uri: Where it is.
        preset: Whose rules it is to keep.
    """

    name: str
    uri: str
    preset: Preset


class _Linted(NamedTuple):
    file: File
    measures: Measures
    found: tuple[Violation, ...]


def main(arguments: Sequence[str]) -> int:
    """Runs ``run.py lint``.

    Args:
        arguments: Those behind ``lint``.

    Returns:
        0 if every file keeps the rules, 3 if one does not, 1 if the folder cannot be read, 2 for
        wrong arguments.
    """
    options = _parser().parse_args(arguments)
    store: Mapping[str, Mapping[str, Any]] | None = None
    place = options.folder
    try:
        if place.endswith((".yaml", ".yml")):
            from alphabeam.pipelines.job_file import JobFileError, load_job

            try:
                job = load_job(place)
            except JobFileError as error:
                raise LintError(str(error)) from None
            place, store = job.output.directory, job.storage or None
        files = lint_files(Output(place, store), options.preset)
        linted = list(lint(files, store, print_line=lambda line: print(line, flush=True)))
    except (LintError, ValueError) as error:
        for line in str(error).splitlines():
            print(redact(line), file=sys.stderr)
        return _WRONG_USAGE
    except RowError as error:
        print(f"{storage.redact(place)}: {error.message}", file=sys.stderr)
        return _FAILED
    if options.parquet:
        storage.put(options.parquet, _parquet(linted), options=store)
    broken = [one for one in linted if any(not v.advice for v in one.found)]
    advice = sum(v.advice for one in linted for v in one.found)
    count = sum(not v.advice for one in linted for v in one.found)
    more = f", {advice} recommendations not followed" if advice else ""
    print(f"{len(linted)} files: {count} violations in {len(broken)} of them{more}")
    return _BROKEN_RULES if broken else _OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py lint",
        description="Measure pictures against what a sales channel wants: pixels, ratio, the "
        "subject's share and place, a background of exactly 255 to the edges, fringes, format, "
        "colour profile, size and name. One line for each rule that a file breaks.",
        epilog="exit status: 0 all files keep the rules; 1 the folder cannot be read; 2 the "
        "command line is wrong; 3 a file breaks a rule",
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="an output, of which the renditions are measured, or any folder of pictures, on any "
        "store; or a job file, for its output",
    )
    parser.add_argument(
        "--preset",
        default="",
        metavar="NAME",
        help="whose rules; of an output, by default each rendition's own",
    )
    parser.add_argument("--parquet", default="", metavar="FILE", help="write all violations there")
    return parser


def lint_files(output: Output, preset: str = "") -> list[File]:
    """The files that are to be linted, in the order of their names.

    Args:
        output: An output, or any folder.
        preset: Whose rules; empty for each rendition's own.

    Raises:
        LintError: There are none.
        ValueError: There is no such preset.
        RowError: The folder cannot be read.
    """
    shown = storage.redact(output.directory)
    chosen = load_preset(preset) if preset else None
    recorded = [*_recorded(output)]
    if recorded:
        files = [
            File(name, output.uri(name), load_preset(of))
            for name, of in sorted(recorded)
            if of and (chosen is None or load_preset(of).name == chosen.name)
        ]
        if chosen is not None:
            files = [one._replace(preset=chosen) for one in files]
        if not files:
            of = f"of the preset {chosen.name}" if chosen else "with a preset"
            raise LintError(f"{shown}: this output has no rendition {of}")
        return files
    if chosen is None:
        raise LintError(f"{shown}: say whose rules: --preset, one of {', '.join(preset_names())}")
    uris = [
        uri
        for uri in storage.list(output.directory, options=output.storage)
        if os.path.splitext(uri)[1].lower() in IMAGE_EXTENSIONS
    ]
    if not uris:
        raise LintError(f"{shown}: there are no pictures in it")
    start = output.directory.rstrip("/") + "/"
    return [File(uri.removeprefix(start), uri, chosen) for uri in uris]


def _recorded(output: Output) -> Iterator[tuple[str, str]]:
    """Name and preset of every rendition that the last run's metadata has."""
    markers = [uri for uri in output.committed_files() if uri.endswith("/_SUCCESS")]
    if not markers:
        return
    folder = markers[-1].rpartition("/")[0] + "/"
    parts = [
        uri
        for uri in output.committed_files()
        if uri.startswith(folder) and uri.endswith(".parquet")
    ]
    for _, data in output.read_many(parts):
        for made in decode_table(data)["renditions"].to_pylist():
            yield from ((one["uri"], one["preset"]) for one in made or () if one["uri"])


def lint(
    files: Iterable[File],
    options: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    print_line: Any = None,
) -> Iterator[_Linted]:
    """Measures files, several at once; the results come in their order.

    Args:
        files: What to measure.
        options: For fsspec, by protocol.
        print_line: Called with a line for each rule that a file breaks.
    """

    def work(file: File) -> _Linted:
        try:
            data = storage.read(file.uri, options=options)
        except RowError as error:
            gone = Measures(file.name, "", 0, broken=error.message)
            return _Linted(file, gone, tuple(violations(gone, file.preset.rules)))
        measures = measure(data, file.name)
        return _Linted(file, measures, tuple(violations(measures, file.preset.rules)))

    waiting = iter(files)
    with ThreadPoolExecutor(cores()) as pool:
        while some := list(islice(waiting, _AT_ONCE)):
            for one in pool.map(work, some):
                for found in one.found if print_line else ():
                    advice = "recommended: " if found.advice else ""
                    print_line(f"{one.file.name}: {advice}{found}")
                yield one


def _parquet(linted: Iterable[_Linted]) -> bytes:
    records = []
    for file, measures, found in linted:
        for one in found:
            rule = file.preset.rules.get(one.rule)
            records.append(
                {
                    "file": file.name,
                    "preset": file.preset.name,
                    "version": file.preset.version,
                    **one._asdict(),
                    "source": rule.source if rule else "alphabeam: it holds for every file",
                    "checked": rule.checked if rule else None,
                    "format": measures.format,
                    "width": measures.width,
                    "height": measures.height,
                    "bytes": measures.bytes,
                    "box": measures.box,
                    "fill": measures.fill,
                }
            )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records, SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def presets_text(names: Sequence[str] = ()) -> Iterator[str]:
    """What ``run.py presets`` prints: every channel in short, or some of them in full.

    Args:
        names: The presets to print in full, each ``NAME`` or ``NAME@VERSION``.

    Yields:
        Lines.

    Raises:
        ValueError: There is no such preset.
    """
    for name in names or preset_names():
        preset = load_preset(name)
        yield f"{preset.name:<16} {preset.title} ({preset.version})"
        if not names:
            made = {k: v for k, v in preset.rendition.items() if k not in ("shadow", "quality")}
            yield _INDENT + "made as   " + ", ".join(f"{k} {v}" for k, v in made.items())
            firm = [one for one in preset.rules.values() if not one.advice]
            wants = ", ".join(_in_short(one.name, one.value) for one in firm)
            yield from textwrap.wrap(
                wants,
                100,
                initial_indent=_INDENT + "wants     ",
                subsequent_indent=_INDENT + " " * 10,
            )
            continue
        yield from textwrap.wrap(
            preset.notes, 100, initial_indent=_INDENT, subsequent_indent=_INDENT
        )
        for key, value in preset.rendition.items():
            yield f"{_INDENT}made with   {key}: {value}"
        for one in preset.rules.values():
            word = "recommends" if one.advice else "wants"
            yield f"{_INDENT}{word:<11} {RULES[one.name].meaning}: {_shown(one.value)}"
            yield f"{_INDENT}{'':<11} {one.source}, read on {one.checked}"


def _shown(value: Any) -> str:
    if value is True:
        return "yes"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _in_short(name: str, value: Any) -> str:
    return name if value is True else f"{name} {_shown(value).replace(', ', '|')}"
