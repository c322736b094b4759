"""Writes ``report/``: the pages as they are, and a run's rows as data beside them."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alphabeam.pipelines.report import as_json
from alphabeam.pipelines.report.data import (
    CHUNK_ROWS,
    DETAIL_ROWS,
    chunks,
    columns_of,
    details,
    script,
)
from alphabeam.pipelines.report.likes import LOOKS_LIKE, differing, look_alikes
from alphabeam.pipelines.report.listing import Listing, read_listing
from alphabeam.pipelines.report.summary import Summary
from alphabeam.transforms import lease, storage
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.metadata import decode_table
from alphabeam.transforms.output import Output
from alphabeam.transforms.parameters import PARAMETERS
from alphabeam.transforms.rows import DONE
from alphabeam.transforms.thumbnails import Index, gather, key_of, read_index, tidy

__all__ = ["ReportError", "finished_run", "report_again", "write_report"]

_logger = logging.getLogger(__name__)
_PUTS = 8  # objects on their way to the store at once
_ASSETS = ("style.css", "gallery.css", "viewer.css", "core.js", "filters.js", "thumbs.js",
           "gallery.js", "review.js", "viewer.js", "sidebar.js", "app.js")  # fmt: skip


class ReportError(Exception):
    """There is nothing to report on; the message is one line that says why."""


def write_report(output: Output, summary: Mapping[str, Any]) -> str:
    """Writes the report of a run that is whole.

    The output must be the caller's alone meanwhile. A reader sees the last report or this one:
    each run's data have a folder of their own, and what names it is written last.

    Args:
        output: The job's output.
        summary: What ``summary.json`` holds.

    Returns:
        The page that a person opens.

    Raises:
        RowError: The store refuses something.
    """
    run_id = summary["run_id"]
    listing = read_listing(output, run_id)
    live = _live(output, listing)
    index = gather(output, read_index(output), live)
    folder = f"data/{run_id}"
    _put_all(output, ((name, _asset(name)) for name in _ASSETS))
    _put_all(output, _data(output, summary, listing, index, folder))
    output.put(output.report(), _asset("index.html"))
    kept = output.report(folder) + "/"
    output.delete(uri for uri in output.list("report/data") if not _is_in(uri, kept))
    tidy(output, index, live, f"report-{secrets.token_hex(4)}")
    return output.report()


def report_again(output: Output) -> str:
    """Writes the report of an output's last run anew.

    Args:
        output: The output.

    Returns:
        The page that a person opens.

    Raises:
        ReportError: No run is whole there.
        LeaseError: A run has the output.
        RowError: The store refuses something.
    """
    summary = finished_run(output)
    with lease.held(output, f"report-{secrets.token_hex(3)}"):
        return write_report(output, summary)


def finished_run(output: Output) -> dict[str, Any]:
    """The summary of an output's last run.

    Raises:
        ReportError: No run is whole there.
        RowError: The store refuses something.
    """
    shown = storage.redact(output.directory)
    try:
        summary: dict[str, Any] = json.loads(output.read(output.summary))
        run_id = summary["run_id"]
    except RowError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        raise ReportError(
            f"{shown}: there is no summary.json; give the output of a job that has finished"
        ) from None
    except (ValueError, TypeError, KeyError):
        raise ReportError(
            f"{shown}: summary.json is not one that a job wrote; run the job again"
        ) from None
    if not output.exists(output.marker(run_id)):
        raise ReportError(
            f"{shown}: the metadata of run {run_id}, which summary.json names, is not there; run "
            "the job again"
        )
    return summary


def _asset(name: str) -> bytes:
    return resources.files("alphabeam.pipelines.report").joinpath("pages", name).read_bytes()


def _is_in(uri: str, folder: str) -> bool:
    return uri.startswith(folder) or uri == f"{folder.rpartition('/data/')[0]}/data/summary.js"


def _data(
    output: Output, summary: Mapping[str, Any], listing: Listing, index: Index, folder: str
) -> Iterator[tuple[str, bytes]]:
    """The data's objects and their content; what names all others comes last."""
    rows = listing.rows
    columns = columns_of(rows)
    alike, found = _compared(rows, str(summary.get("product") or ""))
    flags = listing.flags + Counter(flag for flags in found.values() for flag in flags)
    for number, chunk in enumerate(chunks(rows, columns, index, summary["run_id"], found)):
        yield f"{folder}/rows-{number:04d}.js", script("rows", number, as_json.value(chunk))
    defaults = summary.get("parameters") or {p.name: p.default for p in PARAMETERS}
    for number, some in enumerate(details(rows, output, defaults, alike)):
        yield f"{folder}/details-{number:04d}.js", script("details", number, some)
    shown = {field for field in Summary.__dataclass_fields__ if field not in ("metrics", "outputs")}
    yield (
        "data/summary.js",
        script(
            "summary",
            summary["run_id"],
            as_json.value(
                {
                    **{name: value for name, value in summary.items() if name in shown},
                    "output": _identity(output),
                    "folder": folder,
                    "listed": rows.num_rows,
                    "chunk": CHUNK_ROWS,
                    "detail": DETAIL_ROWS,
                    "flags": dict(flags.most_common()),
                    "errors": dict(listing.errors.most_common()),
                    "confidences": listing.confidences.tolist(),
                    "backends": dict(listing.backends.most_common()),
                    "columns": [
                        {"name": name, "values": values, "counts": counts}
                        for name, values, counts in zip(*columns, strict=True)
                    ],
                    "settings": [
                        {
                            "name": one.name,
                            "default": defaults.get(one.name),
                            "choices": [*one.choices]
                            or (["true", "false"] if one.type is bool else []),
                            "low": one.low,
                            "high": one.high,
                            "meaning": one.meaning,
                        }
                        for one in PARAMETERS
                    ],
                    "shards": index.names,
                }
            ),
        ),
    )


def _compared(rows: pa.Table, product: str) -> tuple[dict[int, list[int]], dict[int, list[str]]]:
    """Which rows look alike, and the flags that follow from comparing rows."""
    alike = look_alikes(rows)
    found = differing(rows, product) if product else {}
    for one in alike:
        found.setdefault(one, []).append(LOOKS_LIKE)
    return alike, found


def _identity(output: Output) -> str:
    """Under which name a browser keeps the decisions on an output."""
    name = storage.identity(storage.canonical(output.directory))
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def _put_all(output: Output, objects: Iterable[tuple[str, bytes]]) -> None:
    """Puts objects of the report, several at once; the last one after all others."""
    waiting = iter(objects)
    with ThreadPoolExecutor(_PUTS, thread_name_prefix="report") as pool:
        some = [*islice(waiting, _PUTS)]
        while some:
            following = [*islice(waiting, _PUTS)]
            now = some if following else some[:-1]
            for _ in pool.map(lambda one: output.put(output.report(one[0]), one[1]), now):
                pass
            some, last = following, some[-1]
            if not following:
                output.put(output.report(last[0]), last[1])


def _live(output: Output, listing: Listing) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """`key_of` the fingerprints of all rows that are finished, by this run or an earlier one."""
    keys = [listing.keys]
    for _, data in output.read_many(output.earlier_files()):
        table = decode_table(data)
        prints = table.filter(pc.equal(table["status"], DONE))["fingerprint"].to_pylist()
        keys.append(np.array([key_of(text) for text in prints if text], np.uint64))
    return np.concatenate(keys)
