"""``--check``: everything short of working, so that a wrong job costs a minute and not a night."""

from __future__ import annotations

import itertools
import logging
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from alphabeam.pipelines.catalogue import (
    allow_of,
    backend_of,
    limits_of,
    manifest_of,
    output_of,
    renditions_of,
    taken_names,
)
from alphabeam.pipelines.job import Job
from alphabeam.transforms import storage
from alphabeam.transforms.backends.cascade import CascadeBackend
from alphabeam.transforms.backends.local import LocalBackend, remove_locally
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.cutouts import write_cutout
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.images import fetch
from alphabeam.transforms.ledger import FinishedRows, is_wanted, look_up
from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    Survey,
    parts_of,
    read_shard,
    survey,
)
from alphabeam.transforms.manifest.columns import Columns
from alphabeam.transforms.manifest.header import columns_in
from alphabeam.transforms.manifest.parquet import parquet_records
from alphabeam.transforms.manifest.records import text_records
from alphabeam.transforms.picpik import ApiUnavailableError
from alphabeam.transforms.renditions.names import fields_of
from alphabeam.transforms.renditions.plan import CHOICE_COLUMN, Renditions, matting_problem
from alphabeam.transforms.renditions.writing import OpenRenditions
from alphabeam.transforms.rows import FAILED, PENDING, Row
from alphabeam.transforms.secret_refs import references, resolve

__all__ = ["CheckError", "ToSubmit", "check", "probe", "rows_to_submit"]

_logger = logging.getLogger(__name__)

_FIRST_ROWS = 1000
_MOST_REASONS = 10  # for which rows are bad, that are said


def probe(job: Job, *, without_api: bool = False) -> LocalBackend | PicpikBackend | CascadeBackend:
    """Makes sure that a job can begin: its secrets, manifest, model and output.

    Args:
        job: The job.
        without_api: Let a cascade begin though its API cannot be reached: it keeps local results.

    Returns:
        The backend that was tried; a local one has its model loaded.

    Raises:
        SecretError: A reference cannot be resolved.
        ManifestError: The manifest cannot be used.
        ModelError: The model cannot be had.
        PicpikError: The API refuses the keys, or cannot be reached.
        RowError: A store refuses the manifest, the output or the image of a background.
        CheckError: Every row would fail, since its renditions do not go with the job's matting.
        EngineError: The engine's service or its staging folder is not to be had.
    """
    _resolve_secrets(job)
    job.engine.probe(job)
    backend = backend_of(job)
    if isinstance(backend, CascadeBackend):
        backend.local.core()
        try:
            _check_keys(backend.picpik)
        except ApiUnavailableError as error:
            if not without_api:
                raise
            _logger.warning("local results are kept while the API is down: %s", error.message)
    elif isinstance(backend, PicpikBackend):
        _check_keys(backend)
    else:
        backend.core()
    manifest = manifest_of(job)
    if manifest.kind != "glob":
        for part in parts_of(manifest)[:1]:
            storage.open_input(part.uri, options=part.storage_options).close()
    _check_renditions(job, manifest)
    renditions_of(job).backgrounds()
    output = output_of(job)
    uri = output.uri(".alphabeam-probe")
    output.put(uri, b"alphabeam tries whether it may write here\n")
    output.delete([uri])
    return backend


def _resolve_secrets(job: Job) -> list[str]:
    """The references of a job's stores and keys, after each was tried.

    Raises:
        SecretError: One cannot be resolved; the message begins with the setting that has it.
    """
    found: set[str] = set()
    for name, settings in (("storage", job.storage), ("backend", job.backend.model_dump())):
        resolve(settings, name)
        found.update(references(settings))
    return sorted(found)


def _check_renditions(job: Job, manifest: Manifest) -> None:
    """Refuses renditions that no row can have: they do not go with the job's matting parameters.

    Where rows choose for themselves, each is judged by itself.
    """
    for number, one in enumerate(job.output.all_renditions()):
        problem = matting_problem(one, job.matting.parameters())
        if problem and not _rows_choose(manifest):
            raise CheckError(f"output.renditions.{number} ({one.name}): {problem}")


def _rows_choose(manifest: Manifest) -> bool:
    """Whether one of the first rows says which renditions it gets, or how it is matted."""
    if manifest.kind == "glob":
        return False
    part = parts_of(manifest)[0]
    records = parquet_records(part, None) if manifest.kind == "parquet" else text_records(part)
    own = {CHOICE_COLUMN, "keep_shadow", "only_mask"}
    return any(
        str(record.values.get(name) or "").strip()
        for record, _ in itertools.islice(records, _FIRST_ROWS)
        for name in own
    )


def _check_keys(api: PicpikBackend) -> None:
    client = api.client()
    try:
        client.check_keys()
    finally:
        client.close()


def check(job: Job, fresh: bool = False) -> Iterator[str]:
    """Tries everything that a job needs, once.

    Args:
        job: The job.
        fresh: Whether the job would do finished rows again.

    Yields:
        Lines for a terminal.

    Raises:
        CheckError: None of the first rows is good, or so many are bad that the run will fail.
        The errors of `probe`.
    """
    yield f"job        {job.name}"
    for reference in _resolve_secrets(job):
        yield f"secret     {reference}: found"
    manifest = manifest_of(job)
    surveyed = survey(manifest)
    if not surveyed.rows:
        raise ManifestError(f"{manifest.shown}: the manifest has no rows")
    yield f"manifest   {manifest.shown}: {manifest.kind}, {surveyed.rows} rows"
    renditions = renditions_of(job, taken_names(job))
    if renditions.taken:
        yield f"  {len(renditions.taken)} names of renditions' files are given by several rows"
    columns = columns_in(manifest)
    if columns is not None:
        yield from _column_lines(columns, renditions)
    first = _first_rows(manifest, surveyed, renditions)
    yield from first.lines()
    yield from _trial(job, surveyed, renditions, first.good, fresh)
    if len(first.bad) > job.max_failures:
        raise CheckError(
            f"{len(first.bad)} of the first {first.looked_at} rows will fail, and max_failures is "
            f"{job.max_failures}: the run will end with 3"
        )


def _trial(
    job: Job, surveyed: Survey, renditions: Renditions, first: Row | None, fresh: bool
) -> Iterator[str]:
    """Tries whatever the job needs, and its first good row."""
    output = output_of(job)
    backend = probe(job)
    yield f"output     {storage.redact(job.output.directory)}: may be written"
    if not isinstance(backend, LocalBackend):
        api = backend.picpik if isinstance(backend, CascadeBackend) else backend
        yield f"api        {api.endpoint}: the keys are right"
        yield from _to_submit_lines(job, backend, fresh)
    if isinstance(backend, PicpikBackend):
        return
    core = (backend.local if isinstance(backend, CascadeBackend) else backend).core()
    yield f"model      {core.model_name} (sha256 {core.model_sha256[:12]}…)"
    for number, line in enumerate(job.engine.lines(job)):
        yield f"{'' if number else 'engine':<10} {line}"
    if first is None:
        raise CheckError("no good row among the first ones, so no image was tried")
    picture = fetch(first, limits_of(job), output.storage, allow_of(job))
    began = time.perf_counter()
    if picture.row.status == PENDING:
        picture = remove_locally(picture, core)
    row = picture.row
    if row.status == PENDING:
        trial = replace(output, directory=output.uri(".alphabeam-trial"))
        making = OpenRenditions(renditions, trial, "trial") if renditions else None
        row = write_cutout(picture, trial, renditions=making)
        trial.delete(storage.list(trial.directory, options=output.storage))
    if row.status == FAILED:
        yield f"image      {storage.redact(row.image)}: {row.error_code}: {row.error_message}"
        return
    seconds = time.perf_counter() - began
    for made in row.renditions:
        size = f"{made.width} x {made.height}, {made.bytes / 1e6:.2f} MB"
        said = made.error or ", ".join((size, *made.flags, *made.violations))
        yield f"rendition  {made.name}: {said}"
    size = f"{row.width} x {row.height} {row.source_format}"
    yield f"image      {storage.redact(row.image)}: {size}, {seconds:.2f} s"
    finished = 0 if fresh else min(len(FinishedRows(output)), surveyed.rows)
    if finished:
        yield f"finished   {finished} rows by earlier runs: what has not changed is not done again"
    estimate = seconds * (surveyed.rows - finished) / job.engine.images_at_once(job)
    cost = job.engine.dollars_per_hour()
    price = "" if cost is None else f" and {_dollars(cost * estimate / 3600)} by list prices"
    others = " for the others" if finished else ""
    yield f"estimate   about {_duration(estimate)}{price}{others}, if all images are like this one"


def _column_lines(columns: Columns, renditions: Renditions) -> Iterator[str]:
    """What the manifest's columns are taken for, and which are missing altogether."""
    named = {ours: theirs for theirs, ours in columns.items()}
    id = repr(named["id"]) if "id" in named else "from the image's path"
    yield f"columns    image: {named['image']!r}; id: {id}"
    there = {name.casefold() for name in columns.values()}
    for one in renditions.renditions:
        for field in dict.fromkeys((*fields_of(one.folder), *fields_of(one.file))):
            if field not in ("id", "rendition") and field.casefold() not in there:
                yield (
                    f"  rendition {one.name}: its file is named by the column {field!r}, and the "
                    f"manifest has none; it has {', '.join(map(repr, columns))}"
                )


class CheckError(Exception):
    """The job would run, and do nothing right; the message is one line."""


class ToSubmit(NamedTuple):
    """The tasks that a job would submit and pay for.

    Attributes:
        known: Images that would be submitted for sure, were there no limits.
        possible: Of a cascade: images that would be if their local result turned out doubtful.
        most: The most tasks, within the limits.
    """

    known: int
    possible: int
    most: int


def rows_to_submit(
    job: Job, backend: PicpikBackend | CascadeBackend, fresh: bool = False
) -> ToSubmit:
    """How many tasks the job would submit and pay for.

    Rows that are finished, that have a task to collect or that cannot be read need none; rows
    that ask for the same work share one. No source is read for this, so that rows of which only
    the bytes tell that they were done before are counted too.

    Args:
        job: The job.
        backend: Its backend.
        fresh: Count rows that are finished as well.
    """
    manifest, output, allow = manifest_of(job), output_of(job), allow_of(job)
    surveyed = survey(manifest)
    finished = None if fresh else FinishedRows(output)
    api = backend.picpik if isinstance(backend, CascadeBackend) else backend
    tasks = api.tasks()
    renditions = renditions_of(job, taken_names(job))
    unsure = backend is not api

    def task_of(row: Row) -> tuple[str, bool] | None:
        """What tells a row's work from that of others, and whether it may be needless."""
        if row.status != PENDING:
            return None
        doubtful = False
        try:
            renditions.plan(row)
            if finished is not None:
                row, found = look_up(row, backend, finished, output, allow)
                doubtful = found is not None and is_wanted(backend, found, finished)
                if found is not None and not doubtful:
                    return None
            else:
                stat = storage.stat(row.image, options=output.storage, allow=allow)
                row = row._replace(source_version=stat.version)
            if not api.would_submit(row, tasks):
                return None
        except RowError:  # it fails, and costs nothing
            return None
        return api.fingerprinted(row).quick_key or row.image, unsure and not doubtful

    with ThreadPoolExecutor(32) as pool:
        rows = (
            row
            for shard in surveyed.shards
            for row in read_shard(manifest, shard, surveyed.collisions)
        )
        wanted: set[tuple[str, bool] | None] = set()
        while chunk := list(itertools.islice(rows, 1024)):
            wanted.update(pool.map(task_of, chunk))
    wanted.discard(None)
    possible = sum(one is not None and one[1] for one in wanted)
    limit = api.max_tasks
    if isinstance(backend, CascadeBackend):
        limit = backend.most_tasks(surveyed.rows)
    most = len(wanted) if limit is None else min(len(wanted), limit)
    return ToSubmit(len(wanted) - possible, possible, most)


def _to_submit_lines(
    job: Job, backend: PicpikBackend | CascadeBackend, fresh: bool
) -> Iterator[str]:
    """What a job would pay for, at most."""
    found = rows_to_submit(job, backend, fresh)
    if isinstance(backend, PicpikBackend):
        yield (
            f"to submit  {found.most} images, each a task that is paid for; nothing was submitted"
        )
        return
    yield (
        f"to submit  at most {found.most} images, each a task that is paid for; nothing was "
        "submitted"
    )
    yield (
        f"  {found.known} have a doubtful local result of an earlier run; {found.possible} are yet "
        "to be matted"
    )
    if backend.picpik.max_credits is not None:
        yield f"  buying stops once {backend.picpik.max_credits} credits are spent"


class _FirstRows(NamedTuple):
    """What the first rows are like.

    Attributes:
        looked_at: How many there are.
        good: The first good one; None if none is.
        bad: The bad ones.
    """

    looked_at: int
    good: Row | None
    bad: list[Row]

    def lines(self) -> Iterator[str]:
        """The bad rows: the first of each reason, and how many others have it."""
        alike: dict[tuple[str | None, str], list[Row]] = {}
        for row in self.bad:
            reason = re.sub(r"^line \d+: ", "", row.error_message or "")
            alike.setdefault((row.error_code, reason), []).append(row)
        for (code, reason), rows in itertools.islice(alike.items(), _MOST_REASONS):
            others = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
            yield f"  a bad row: {code}: line {rows[0].line}: {reason}{others}"


def _first_rows(manifest: Manifest, surveyed: Survey, renditions: Renditions) -> _FirstRows:
    looked_at, good, bad = 0, None, []
    rows = read_shard(manifest, surveyed.shards[0], surveyed.collisions)
    for row in itertools.islice(rows, _FIRST_ROWS):
        looked_at += 1
        if row.status != FAILED and renditions:
            try:
                renditions.plan(row)
            except RowError as error:
                row = row.failed("manifest", error)
        if row.status == FAILED:
            bad.append(row)
        elif good is None:
            good = row
    return _FirstRows(looked_at, good, bad)


def _dollars(amount: float) -> str:
    return f"{amount:.2f} US dollars" if amount < 100 else f"{amount:.0f} US dollars"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
