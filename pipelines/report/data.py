"""The rows as scripts that a page can load from a disk, in chunks.

A page that is opened as a file may not read data from beside it, but it may load scripts from
there. So each object is one call, ``alphabeam.receive(KIND, KEY, VALUE)``. ``rows`` hold what the
gallery shows and filters by, of all rows; ``details`` what is looked at one row at a time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from alphabeam.pipelines.report.links import link_between, link_within
from alphabeam.transforms import storage
from alphabeam.transforms.metadata.schema import SCHEMA
from alphabeam.transforms.output import Output
from alphabeam.transforms.parameters import PARAMETERS
from alphabeam.transforms.rows import DONE
from alphabeam.transforms.thumbnails import Index, key_of

__all__ = ["CHUNK_ROWS", "DETAIL_ROWS", "Columns", "chunks", "columns_of", "details", "script"]

CHUNK_ROWS = 5000
DETAIL_ROWS = 250

_MOST_COLUMNS = 20  # of the manifest's own, that the gallery knows
_MOST_VALUES = 500  # of a column, that are offered one by one
_MOST_LETTERS = 80  # of a value, that the gallery filters by

# What the details say of a row, beside the parameters and the manifest's own columns.
_DETAILS = (
    *("line", "backend", "model", "task_uid", "source_format", "source_bytes", "width", "height"),
    *("cutout_bytes", "mask_bytes", "subject_box", "coverage", "credits", "attempts"),
    *("read_ms", "remove_ms", "write_ms", "error_stage", "error_message", "run_id"),
)


def script(kind: str, key: str | int, value: Any) -> bytes:
    """A value as a script. Nothing in it ends a script element or a string."""
    text = json.dumps([kind, key, value], separators=(",", ":"), allow_nan=False)
    return f"alphabeam.receive({text[1:-1]});\n".replace("<", "\\u003c").encode("ascii")


class Columns(NamedTuple):
    """The manifest's own columns that the gallery filters by.

    Attributes:
        names: In the order in which they come.
        values: The values of each that are offered, the most frequent first; None for a column
            with too many different ones, which is searched as text.
        counts: How often each of these occurs.
    """

    names: list[str]
    values: list[list[str] | None]
    counts: list[list[int]]


def columns_of(rows: pa.Table) -> Columns:
    """Looks at the manifest's own columns."""
    names: dict[str, Counter[str]] = {}
    for extra in rows["extra"].to_pylist():
        for name, value in extra or ():
            if name not in names and len(names) == _MOST_COLUMNS:
                continue
            if value:
                names.setdefault(name, Counter())[_short(value)] += 1
    values: list[list[str] | None] = []
    counts: list[list[int]] = []
    for found in names.values():
        few = len(found) <= min(_MOST_VALUES, max(12, 0.7 * sum(found.values())))
        common = found.most_common() if few else []
        values.append([value for value, _ in common] if few else None)
        counts.append([count for _, count in common])
    return Columns([*names], values, counts)


def _short(value: str) -> str:
    return value if len(value) <= _MOST_LETTERS else f"{value[: _MOST_LETTERS - 1]}…"


def chunks(
    rows: pa.Table,
    columns: Columns,
    index: Index,
    run_id: str,
    found: Mapping[int, Sequence[str]],
) -> Iterator[dict[str, Any]]:
    """What the gallery knows of each row, in chunks of `CHUNK_ROWS`, by column.

    Args:
        rows: Worst first.
        columns: The manifest's own.
        index: Of the thumbnails.
        run_id: The run.
        found: Flags that the report adds, by a row's number.

    Yields:
        ``id``; ``done`` and ``now`` (of this run) as 0 and 1; ``confidence`` in thousandths, -1
        for none; ``flags``, a list of names; ``error``, a code or 0; ``size``, width and height;
        ``thumb``, the shard's number and the place in it, or 0; ``key``, which changes with the
        result; ``line``; and ``own``, for each of the manifest's columns the number of the value
        from 1, or the value itself, 0 for none.
    """
    numbers = [
        None if values is None else {value: n for n, value in enumerate(values, 1)}
        for values in columns.values
    ]
    for start in range(0, rows.num_rows, CHUNK_ROWS):
        part = rows.slice(start, CHUNK_ROWS)
        prints = part["fingerprint"].to_pylist()
        status = part["status"].to_pylist()
        keys = np.array([key_of(p) if p else 0 for p in prints], np.uint64)
        places = index.find(keys).tolist()
        extras = [dict(extra or ()) for extra in part["extra"].to_pylist()]
        yield {
            "id": part["id"].to_pylist(),
            "done": [int(s == DONE) for s in status],
            "now": [int(run == run_id) for run in part["run_id"].to_pylist()],
            "confidence": [
                -1 if c is None or c != c else round(1000 * c)
                for c in part["confidence"].to_pylist()
            ],
            "flags": [
                [*(flags or ()), *found.get(start + at, ())] or 0
                for at, flags in enumerate(part["flags"].to_pylist())
            ],
            "error": [code or 0 for code in part["error_code"].to_pylist()],
            "size": [*zip(part["width"].to_pylist(), part["height"].to_pylist(), strict=True)],
            "thumb": [
                (int(index.shards[at]), int(index.places[at])) if at >= 0 and s == DONE else 0
                for at, s in zip(places, status, strict=True)
            ],
            "key": [(p or "")[:12] for p in prints],
            "line": part["line"].to_pylist(),
            "own": [
                [_own(extra.get(name), known) for extra in extras]
                for name, known in zip(columns.names, numbers, strict=True)
            ],
        }


def _own(value: str | None, known: Mapping[str, int] | None) -> str | int:
    if not value:
        return 0
    return _short(value) if known is None else known.get(_short(value), 0)


def details(
    rows: pa.Table,
    output: Output,
    defaults: Mapping[str, Any],
    alike: Mapping[int, Sequence[int]],
) -> Iterator[list[dict[str, Any]]]:
    """What is known of each row beyond that, in chunks of `DETAIL_ROWS`.

    Args:
        rows: Worst first.
        output: Where the report lies.
        defaults: The job's parameters. Of a row's own, those that differ are given.
        alike: The numbers of rows that look like a row, by its number.

    Yields:
        For each row ``image`` (as a manifest may name it), links to ``source``, ``cutout`` and
        ``mask`` where a browser can open them, ``renditions`` with their links and what is wrong
        with them, ``alike``, the numbers of rows that look like it, ``parameters``, ``finished``,
        ``own`` (the manifest's columns, whole), and the metadata's columns that have a value.
    """
    folder = output.uri("report")
    names = [p.name for p in PARAMETERS]
    needed = [*_DETAILS, *names, "image", "cutout", "mask", "finished_at", "extra"]
    needed.append("renditions")
    table = rows.select([name for name in SCHEMA.names if name in needed])
    for start in range(0, rows.num_rows, DETAIL_ROWS):
        part = table.slice(start, DETAIL_ROWS)
        yield [
            {
                **_details(record, folder, names, defaults),
                **({"alike": alike[start + at]} if start + at in alike else {}),
            }
            for at, record in enumerate(part.to_pylist())
        ]


def _details(
    record: dict[str, Any],
    folder: str,
    names: Sequence[str],
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    image = record["image"]
    if image and storage.is_local(image):
        image = storage.canonical(image)
    found = {
        "image": image,
        "source": link_between(folder, image),
        "cutout": link_within(record["cutout"]),
        "mask": link_within(record["mask"]),
        "renditions": [
            {
                "name": made["name"],
                "link": link_within(made["uri"]),
                "wrong": "; ".join(filter(None, [made["error"], *(made["violations"] or ())])),
            }
            for made in record["renditions"] or ()
        ],
        "parameters": {
            name: record[name]
            for name in names
            if record[name] is not None and record[name] != defaults.get(name)
        },
        "finished": record["finished_at"].isoformat() if record["finished_at"] else None,
        "own": dict(record["extra"] or ()),
    }
    for name in _DETAILS:
        value = record[name]
        if type(value) is float:
            value = None if value != value else round(value, 4)
        found[name] = value
    return {name: value for name, value in found.items() if value not in (None, "", {}, [])}
