"""One job, one purchase, one budget, with the output on each kind of store.

Each of these stores must decide itself who creates an object; a server that does not is skipped,
by what it was seen to do.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms import storage
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.output import Output
from alphabeam.transforms.picpik.emulator import Emulator, running_emulator
from alphabeam.transforms.picpik.emulator.answers import cut_by_colour
from alphabeam.transforms.rows import DONE
from alphabeam.transforms.storage import creating
from alphabeam.transforms.storage.connections import borrow
from tests.forked import PROCESSES
from tests.picpik_jobs import (
    PicpikShop,
    bought_by_a_process,
    kill_five_times,
    pictures,
)
from tests.storage import servers
from tests.storage.conftest import Stores

pytestmark = pytest.mark.slow


REMOTE = ("s3", "gcs", "azure")


@pytest.fixture
def output(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> Output:
    """A new folder in a store, as jobs reach it."""
    store = stores[request.param]
    name = f"{request.node.originalname}-{time.monotonic_ns()}"
    given = servers.references(store.options, tmp_path / "secrets")
    found = Output(storage.join(store.root, name), given)
    if request.param in REMOTE:
        with borrow(found.uri("any"), found.storage) as place:
            if not creating._heeds(place):
                pytest.skip(f"this {request.param} server ignores the condition of a creation")
    return found


def records(output: Output) -> list[dict[str, Any]]:
    """The committed metadata."""
    parts = [uri for uri in output.committed_files() if uri.endswith(".parquet")]
    return [
        row
        for _, data in output.read_many(parts)
        for row in pq.read_table(pa.BufferReader(data)).to_pylist()
    ]


# ------------------------------------------------------------------------------- two whole jobs

# Local disk takes the full count every day; emulated stores take a while for each object.
IMAGES = {name: 500 if servers.FULL or name == "local" else 40 for name in ("local", *REMOTE)}


@pytest.mark.parametrize("output", ["local", *REMOTE], indirect=True)
def test_of_two_jobs_at_once_one_does_it_all_and_the_other_names_it(
    output: Output, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = IMAGES[request.node.callspec.params["output"]]
    gate = threading.Event()

    def answer(image: bytes, params: Mapping[str, Any]) -> bytes:
        gate.wait(240)
        return cut_by_colour(image, params)

    with running_emulator(task_seconds=0.02, answer=answer) as emulator:
        shop = PicpikShop(tmp_path / "shop", emulator, output, read_timeout=300.0)
        shop.fill(count)
        jobs = [shop.start(), shop.start()]
        try:
            while all(job.poll() is None for job in jobs):
                time.sleep(0.05)
            gate.set()
            said = [job.communicate(timeout=600)[1].strip() for job in jobs]
        finally:
            gate.set()
            for job in jobs:
                job.kill()
    assert sorted(job.returncode for job in jobs) == [0, 1], said
    winner = 0 if jobs[0].returncode == 0 else 1
    loser = said[1 - winner]
    assert f"(process {jobs[winner].pid} on " in loser and "\n" not in loser, loser
    assert emulator.billed == count and set(emulator.submissions.values()) == {1}
    rows = records(output)
    assert len(rows) == len({row["id"] for row in rows}) == count
    assert {row["status"] for row in rows} == {DONE}
    assert sorted(output.list("cutouts")) == sorted(output.uri(row["cutout"]) for row in rows)
    assert output.list("ledger/rows") == [] and output.list("run") == []


# ------------------------------------------------------------------------ workers without a lease


def backend_in(output: Output, folder: Path, emulator: Emulator, **settings: Any) -> PicpikBackend:
    (folder / "private_key").write_text(emulator.private_key)
    return PicpikBackend(
        output,
        public_key=emulator.public_key,
        private_key=f"${{file:{folder}/private_key}}",
        endpoint=emulator.endpoint,
        **settings,
    )


@pytest.mark.parametrize("output", REMOTE, indirect=True)
def test_of_two_workers_with_one_row_one_buys_and_both_collect(
    output: Output, tmp_path: Path
) -> None:
    rows = pictures(tmp_path, 12)
    late = {"faults": {"RemoveBackground:answer_late": 0.5}, "late_seconds": 0.3}
    with running_emulator(**late) as emulator:
        backend = backend_in(output, tmp_path, emulator)
        with PROCESSES.Pool(2) as pool:
            codes = pool.starmap(bought_by_a_process, [(backend, rows), (backend, rows)])
        assert codes == [[None] * 12] * 2
        assert emulator.billed == 12
        assert set(emulator.tasks_by_request.values()) == {1}


@pytest.mark.parametrize(
    ("limit", "cost", "count"),
    [({"max_tasks": 5}, 1, 1), ({"max_tasks": 5}, 1, 3), ({"max_credits": 45}, 10, 3)],
    ids=["5 tasks, 1 process", "5 tasks, 3 processes", "45 credits, 3 processes"],
)
@pytest.mark.parametrize("output", REMOTE, indirect=True)
def test_a_budget_is_kept_to_on_each_store(
    output: Output, tmp_path: Path, limit: dict[str, int], cost: int, count: int
) -> None:
    rows = pictures(tmp_path, 12)
    with running_emulator(cost=cost, task_seconds=0.02) as emulator:
        backend = backend_in(output, tmp_path, emulator, tasks_in_flight=4, **limit)
        with PROCESSES.Pool(count) as pool:
            work = [(backend, rows[n::count]) for n in range(count)]
            codes = list(itertools.chain(*pool.starmap(bought_by_a_process, work)))
        assert emulator.billed == 5 * cost
    assert (codes.count(None), codes.count("budget_spent")) == (5, 7)


@pytest.mark.parametrize("output", REMOTE if servers.FULL else ["s3"], indirect=True)
def test_the_pace_is_shared_on_each_store(output: Output, tmp_path: Path) -> None:
    rows = pictures(tmp_path, 24)
    with running_emulator() as emulator:
        backend = backend_in(output, tmp_path, emulator, requests_per_second=12.0, heartbeat=1.0)
        with PROCESSES.Pool(3) as pool:
            work = [(backend, rows[n::3]) for n in range(3)]
            codes = list(itertools.chain(*pool.starmap(bought_by_a_process, work)))
        arrivals = sorted(emulator.arrivals)
    assert codes == [None] * 24
    # submissions and questions each keep the pace; a second more than one lets in is a slip
    assert max(sum(t <= a < t + 1.0 for a in arrivals) for t in arrivals) <= 2 * 12 + 6


@pytest.mark.parametrize("output", ["s3"], indirect=True)
def test_after_kills_only_what_was_really_sent_is_unknown(output: Output, tmp_path: Path) -> None:
    """As on a local disk; but a slow store has fewer TaskUIDs when a kill comes."""
    rows = pictures(tmp_path, 60)
    late = {"faults": {"RemoveBackground:answer_late": 0.4}, "late_seconds": 0.4, "seed": 3}
    with running_emulator(**late) as emulator:
        after = kill_five_times(
            lambda: backend_in(
                output,
                tmp_path,
                emulator,
                requests_per_second=12.0,
                tasks_in_flight=32,
                heartbeat=0.2,
            ),
            output,
            rows,
            emulator,
        )
    assert max(emulator.tasks_by_request.values()) == 1
    assert len(after.bought) >= 20 and after.unknown
