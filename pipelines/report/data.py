"""The rows as scripts that a page can load from a disk, in chunks.

A page that is opened as a file may not read data from beside it, but it may load scripts from
there. So each object is one call, ``alphabeam.receive(KIND, KEY, VALUE)``. ``rows`` hold what the
gallery shows and filters by, of all rows; ``details`` what is looked at one row at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alphabeam.pipelines.report import as_json
from alphabeam.pipelines.report.links import images_and_links, link_within, links_within
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

_TEXT = pa.string()

# What the details say of a row, beside the parameters and the manifest's own columns.
_DETAILS = (
    *("line", "backend", "model", "task_uid", "source_format", "source_bytes", "width", "height"),
    *("cutout_bytes", "mask_bytes", "subject_box", "coverage", "credits", "attempts"),
    "local_confidence",
    *("read_ms", "remove_ms", "write_ms", "error_stage", "error_message", "run_id"),
)


def script(kind: str, key: str | int, text: str) -> bytes:
    """A value, as JSON of `as_json`, as a script. Nothing in it ends a script element."""
    return f"alphabeam.receive({as_json.value(kind)},{as_json.value(key)},{text});\n".encode(
        "ascii"
    )


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
    keys, items, _ = _own(as_json.array_of(rows["extra"]))
    names = pc.unique(keys).to_pylist()[:_MOST_COLUMNS]
    values: list[list[str] | None] = []
    counts: list[list[int]] = []
    for name in names:
        found = pc.value_counts(items.filter(pc.equal(keys, name)))
        times = found.field("counts")
        few = len(found) <= min(_MOST_VALUES, max(12, 0.7 * pc.sum(times).as_py()))
        texts = found.field("values").to_pylist() if few else []
        common = sorted(
            zip(texts, times.to_pylist(), strict=False), key=lambda one: one[1], reverse=True
        )
        values.append([value for value, _ in common] if few else None)
        counts.append([count for _, count in common])
    return Columns(names, values, counts)


def _own(extra: pa.Array) -> tuple[pa.Array, pa.Array, NDArray[np.int64]]:
    """The names and values of the manifest's own columns that are not empty, and their rows.

    Values are cut to what the gallery filters by.
    """
    offsets = extra.offsets.to_numpy()
    low, high = (int(offsets[0]), int(offsets[-1])) if len(extra) else (0, 0)
    keys, items = extra.keys.slice(low, high - low), extra.items.slice(low, high - low)
    rows = np.repeat(np.arange(len(extra)), np.diff(offsets))
    some = pc.fill_null(pc.not_equal(items, ""), False)
    items = items.filter(some)
    long = pc.greater(pc.utf8_length(items), _MOST_LETTERS)
    if pc.any(long).as_py():
        cut = pc.utf8_slice_codeunits(items, 0, _MOST_LETTERS - 1)
        items = pc.if_else(long, pc.binary_join_element_wise(cut, "…", ""), items)
    return keys.filter(some), items, rows[some.to_numpy(zero_copy_only=False)]


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
    for start in range(0, rows.num_rows, CHUNK_ROWS):
        part = rows.slice(start, CHUNK_ROWS)
        prints = part["fingerprint"].to_pylist()
        status = part["status"].to_pylist()
        keys = np.array([key_of(p) if p else 0 for p in prints], np.uint64)
        places = index.find(keys).tolist()
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
            "own": _numbers_of_own(part, columns),
        }


def _numbers_of_own(part: pa.Table, columns: Columns) -> list[list[str | int]]:
    """For each of the manifest's columns, the number of each row's value or the value itself."""
    keys, items, rows = _own(as_json.array_of(part["extra"]))
    found: list[list[str | int]] = []
    for name, known in zip(columns.names, columns.values, strict=True):
        here = pc.equal(keys, name)
        some = items.filter(here)
        at = rows[here.to_numpy(zero_copy_only=False)]
        if known is None:
            texts: list[str | int] = [0] * part.num_rows
            for row, text in zip(at.tolist(), some.to_pylist(), strict=True):
                texts[row] = text
            found.append(texts)
            continue
        numbers = np.zeros(part.num_rows, np.int64)
        place = pc.index_in(some, value_set=pa.array(known, _TEXT))
        numbers[at] = pc.fill_null(place, -1).to_numpy() + 1
        found.append(numbers.tolist())
    return found


def details(
    rows: pa.Table,
    output: Output,
    defaults: Mapping[str, Any],
    alike: Mapping[int, Sequence[int]],
) -> Iterator[str]:
    """What is known of each row beyond that, in chunks of `DETAIL_ROWS`.

    Args:
        rows: Worst first.
        output: Where the report lies.
        defaults: The job's parameters. Of a row's own, those that differ are given.
        alike: The numbers of rows that look like a row, by its number.

    Yields:
        As JSON, for each row ``image`` (as a manifest may name it), links to ``source``, ``cutout``
        and ``mask`` where a browser can open them, ``renditions`` with their links and what is
        wrong with them, ``parameters``, ``finished``, ``own`` (the manifest's columns, whole),
        ``doubts`` with commas between them, the metadata's columns that have a value, and
        ``alike``, the numbers of rows that look like it.
    """
    folder = output.uri("report")
    step = 4 * DETAIL_ROWS
    for start in range(0, rows.num_rows, step):
        part = rows.slice(start, step)
        fields = _details(part, folder, defaults)
        numbers = [alike.get(start + at) for at in range(part.num_rows)]
        if any(numbers):
            some = [as_json.value(one) if one else None for one in numbers]
            fields["alike"] = pa.array(some, pa.string())
        texts = as_json.objects(fields).to_pylist()
        for at in range(0, len(texts), DETAIL_ROWS):
            yield f"[{','.join(texts[at : at + DETAIL_ROWS])}]"


def _details(part: pa.Table, folder: str, defaults: Mapping[str, Any]) -> dict[str, pa.Array]:
    columns = {name: as_json.array_of(part[name]) for name in part.column_names}
    image, source = images_and_links(columns["image"], folder)
    fields = {
        "image": image,
        "source": source,
        "cutout": links_within(columns["cutout"]),
        "mask": links_within(columns["mask"]),
        "renditions": _renditions(columns["renditions"]),
        "parameters": _parameters(columns, defaults),
        "finished": _moments(columns["finished_at"]),
        "own": as_json.mapping(columns["extra"]),
        "doubts": _values(pc.binary_join(columns["doubts"], ",")),
    }
    for name in _DETAILS:
        fields[name] = _values(columns[name])
    return fields


def _values(column: pa.Array) -> pa.Array:
    """Values of the metadata as JSON; null where there is none, or an empty one."""
    if pa.types.is_string(column.type):
        return as_json.texts(pc.if_else(pc.equal(column, ""), pa.scalar(None, _TEXT), column))
    if pa.types.is_list(column.type):
        inside = pc.binary_join(column.cast(pa.list_(_TEXT)), ",")
        some = pc.if_else(pc.equal(inside, ""), pa.scalar(None, _TEXT), inside)
        return as_json.joined("[", some, "]")
    return as_json.numbers(column)


def _parameters(columns: Mapping[str, pa.Array], defaults: Mapping[str, Any]) -> pa.Array:
    """The parameters that differ from the job's."""
    differing: dict[str, pa.Array] = {}
    for parameter in PARAMETERS:
        name, column = parameter.name, columns[parameter.name]
        default = defaults.get(name)
        if default is not None and pa.types.is_list(column.type):
            same = pa.array([one == [*default] for one in column.to_pylist()], pa.bool_())
        elif default is not None:
            same = pc.equal(column, pa.scalar(default, column.type))
        else:
            same = pa.nulls(len(column), pa.bool_())
        nothing = pa.scalar(None, _TEXT)
        differing[name] = pc.if_else(pc.fill_null(same, False), nothing, _values(column))
    made = as_json.objects(differing)
    return pc.if_else(pc.equal(made, "{}"), pa.scalar(None, _TEXT), made)


def _moments(column: pa.Array) -> pa.Array:
    """Moments in UTC, as ISO 8601 writes them."""
    text = pc.strftime(column.cast(pa.timestamp("us")), "%Y-%m-%dT%H:%M:%S")
    return as_json.joined('"', text, '+00:00"')


def _renditions(column: pa.Array) -> pa.Array:
    if not pc.sum(pc.list_value_length(column)).as_py():
        return pa.nulls(len(column), _TEXT)
    found = [
        [
            {
                "name": made["name"],
                "link": link_within(made["uri"]),
                "wrong": "; ".join(filter(None, [made["error"], *(made["violations"] or ())])),
            }
            for made in some or ()
        ]
        for some in column.to_pylist()
    ]
    return pa.array([as_json.value(some) if some else None for some in found], _TEXT)
