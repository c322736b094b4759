"""``--check``: everything short of working, so that a wrong job costs a minute and not a night."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

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
from alphabeam.transforms.backends.local import LocalBackend, remove_locally
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.cutouts import write_cutout
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.images import fetch
from alphabeam.transforms.ledger import FinishedRows, look_up
from alphabeam.transforms.manifest import (
    Manifest,
    ManifestError,
    Survey,
    parts_of,
    read_shard,
    survey,
)
from alphabeam.transforms.renditions.plan import Renditions
from alphabeam.transforms.renditions.writing import OpenRenditions
from alphabeam.transforms.rows import FAILED, PENDING, Row
from alphabeam.transforms.secret_refs import references, resolve

__all__ = ["check", "probe", "rows_to_submit"]


def probe(job: Job) -> LocalBackend | PicpikBackend:
    """Makes sure that a job can begin: its secrets, manifest, model and output.

    Returns:
        The backend that was tried; a local one has its model loaded.

    Raises:
        SecretError: A reference cannot be resolved.
        ManifestError: The manifest cannot be used.
        ModelError: The model cannot be had.
        PicpikError: The API refuses the keys, or cannot be reached.
        RowError: A store refuses the manifest, the output or the image of a background.
        EngineError: The engine's service or its staging folder is not to be had.
    """
    resolve(job.storage)
    job.engine.probe(job)
    backend = backend_of(job)
    if isinstance(backend, PicpikBackend):
        client = backend.client()
        try:
            client.check_keys()
        finally:
            client.close()
    else:
        backend.core()
    manifest = manifest_of(job)
    if manifest.kind != "glob":
        for part in parts_of(manifest)[:1]:
            storage.open_input(part.uri, options=part.storage_options).close()
    renditions_of(job).backgrounds()
    output = output_of(job)
    uri = output.uri(".alphabeam-probe")
    output.put(uri, b"alphabeam tries whether it may write here\n")
    output.delete([uri])
    return backend


def check(job: Job, fresh: bool = False) -> Iterator[str]:
    """Tries everything that a job needs, once.

    Args:
        job: The job.
        fresh: Whether the job would do finished rows again.

    Yields:
        Lines for a terminal.

    Raises:
        The errors of `probe`.
    """
    output = output_of(job)
    yield f"job        {job.name}"
    for reference in sorted({*references(job.storage), *references(job.backend.model_dump())}):
        resolve(reference)
        yield f"secret     {reference}: found"
    manifest = manifest_of(job)
    surveyed = survey(manifest)
    if not surveyed.rows:
        raise ManifestError(f"{manifest.shown}: the manifest has no rows")
    yield f"manifest   {manifest.shown}: {manifest.kind}, {surveyed.rows} rows"
    renditions = renditions_of(job, taken_names(job))
    if renditions.taken:
        yield f"  {len(renditions.taken)} names of renditions' files are given by several rows"
    first, bad = _first_rows(manifest, surveyed, renditions)
    for row in bad:
        yield f"  a bad row: {row.error_code}: {row.error_message}"
    backend = probe(job)
    yield f"output     {storage.redact(job.output.directory)}: may be written"
    if isinstance(backend, PicpikBackend):
        yield f"api        {backend.endpoint}: the keys are right"
        count = rows_to_submit(job, backend, fresh)
        yield f"to submit  {count} images, each a task that is paid for; nothing was submitted"
        return
    core = backend.core()
    yield f"model      {core.model_name} (sha256 {core.model_sha256[:12]}…)"
    for number, line in enumerate(job.engine.lines(job)):
        yield f"{'' if number else 'engine':<10} {line}"
    if first is None:
        yield "image      no good row among the first ones; nothing was tried"
        return
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
    estimate = seconds * surveyed.rows / job.engine.images_at_once(job)
    cost = job.engine.dollars_per_hour()
    price = "" if cost is None else f" and {_dollars(cost * estimate / 3600)} by list prices"
    yield f"estimate   about {_duration(estimate)}{price}, if all images are like this one"


def rows_to_submit(job: Job, backend: PicpikBackend, fresh: bool = False) -> int:
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
    tasks = backend.tasks()
    renditions = renditions_of(job, taken_names(job))

    def task_of(row: Row) -> str | None:
        if row.status != PENDING:
            return None
        try:
            renditions.plan(row)
            if finished is not None:
                row, found = look_up(row, backend, finished, output, allow)
                if found is not None:
                    return None
            else:
                stat = storage.stat(row.image, options=output.storage, allow=allow)
                row = row._replace(source_version=stat.version)
            if not backend.would_submit(row, tasks):
                return None
        except RowError:  # it fails, and costs nothing
            return None
        return backend.fingerprinted(row).quick_key or row.image

    with ThreadPoolExecutor(32) as pool:
        rows = (
            row
            for shard in surveyed.shards
            for row in read_shard(manifest, shard, surveyed.collisions)
        )
        wanted: set[str | None] = set()
        while chunk := list(itertools.islice(rows, 1024)):
            wanted.update(pool.map(task_of, chunk))
    count = len(wanted - {None})
    return count if backend.max_tasks is None else min(count, backend.max_tasks)


def _first_rows(
    manifest: Manifest, surveyed: Survey, renditions: Renditions
) -> tuple[Row | None, list[Row]]:
    """The first good row, and the bad ones before it and shortly behind."""
    first, bad = None, []
    for number, row in enumerate(read_shard(manifest, surveyed.shards[0], surveyed.collisions)):
        if row.status != FAILED and renditions:
            try:
                renditions.plan(row)
            except RowError as error:
                row = row.failed("manifest", error)
        if row.status == FAILED:
            bad.append(row)
        elif first is None:
            first = row
        if number >= 1000 or len(bad) >= 10:
            break
    return first, bad


def _dollars(amount: float) -> str:
    return f"{amount:.2f} US dollars" if amount < 100 else f"{amount:.0f} US dollars"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
