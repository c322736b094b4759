"""The index of finished rows: the same as the metadata says, and not used where it does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alphabeam.transforms.ledger import FinishedRows
from alphabeam.transforms.manifest.names import digest
from alphabeam.transforms.metadata import keys as module
from alphabeam.transforms.metadata.commit import commit
from alphabeam.transforms.metadata.earlier import prune
from alphabeam.transforms.metadata.groups import WriteGroupsFn
from alphabeam.transforms.metadata.keys import (
    BY_FINGERPRINT,
    BY_ID,
    BY_QUICK_KEY,
    KEY,
    Keys,
    open_keys,
    short_key,
)
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row, now
from alphabeam.transforms.spill import BUCKETS, Spill, bounds
from tests.conftest import Shop


def done(number: int, **values: Any) -> Row:
    given = {"id": f"i{number}", "image": f"s3://b/{number}.jpg", "line": number + 2, **values}
    row = Row(status=DONE, source_version="v", source_sha256=f"{number:064x}", **given)
    return row.fingerprinted("local", "m", "s")._replace(finished_at=now())


def failed(number: int) -> Row:
    row = Row(id=f"i{number}", image=f"s3://b/{number}.jpg", line=number + 2)
    return row.failed("read", ValueError("gone"))


def put_groups(output: Output, rows: list[Row], run_id: str) -> list[str]:
    groups = WriteGroupsFn(output, run_id)
    groups.setup()
    groups.start_bundle()
    names = [name for row in rows for name in groups.process(row)]
    return [*names, *(value.value for value in groups.finish_bundle())]


def run(output: Output, rows: list[Row], run_id: str) -> None:
    commit(put_groups(output, rows, run_id), output=output, run_id=run_id)


class Reads(Output):
    """An output that notes what is read of it."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        object.__setattr__(self, "seen", [])

    def read(self, uri: str) -> bytes:
        self.seen.append(uri)  # type: ignore[attr-defined]
        return super().read(uri)

    def read_many(self, uris: Any) -> Any:
        listed = [*uris]
        self.seen.extend(listed)  # type: ignore[attr-defined]
        return super().read_many(listed)


def found(output: Output, keys: Keys | None = None) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """The places of every key that there is, by file's name and row, the latest first."""
    keys = keys or open_keys(output)
    all_keys = {
        (kind, key) for kind in range(3) for key in keys.between(kind, 0, 2**64)[0].tolist()
    }
    return {
        one: [(keys.files[place >> 32], place & 0xFFFF_FFFF) for place in keys.find(*one)]
        for one in all_keys
    }


def parts_read(output: Output) -> list[str]:
    """Which Parquet files are read to find rows."""
    reads = Reads(output.directory)
    open_keys(reads)
    return [uri for uri in reads.seen if uri.endswith(".parquet")]  # type: ignore[attr-defined]


@pytest.fixture(params=["disk", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    if request.param == "disk":
        return Output(str(tmp_path / "out"))
    return Output(f"memory://{tmp_path.name}/out")


def test_it_says_what_the_metadata_says(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE_ROWS", 100)
    same = [done(n, image="s3://b/same.jpg") for n in range(300, 310)]
    run(output, [*(done(n) for n in range(40)), failed(400), done(41)], "r1")
    run(output, [*(done(n) for n in range(20, 300)), *same, failed(5)], "r2")
    assert parts_read(output) == []
    keys = open_keys(output)
    assert len(keys) == 280 + 10 + 20, "finished by r2, and of r1 what r2 has not finished anew"
    by_index = found(output, keys)
    output.delete(output.key_files())
    assert len(parts_read(output)) >= 2
    by_files = found(output)
    assert {one: sorted(places) for one, places in by_index.items()} == {
        one: sorted(places) for one, places in by_files.items()
    }
    for number in (0, 5, 41, 250):
        row = done(number)
        assert by_index[BY_ID, digest(row.id)] == by_index[BY_QUICK_KEY, short_key(row.quick_key)]
        assert (
            by_index[BY_ID, digest(row.id)] == by_index[BY_FINGERPRINT, short_key(row.fingerprint)]
        )
    assert (BY_ID, digest("i400")) not in by_index, "it failed"
    assert len(by_index[BY_QUICK_KEY, short_key(same[0].quick_key)]) == 10


def test_rows_are_read_back_by_it(output: Output) -> None:
    run(output, [done(n) for n in range(700)], "r1")
    run(output, [done(n, credits=n) for n in range(600)], "r2")
    rows = FinishedRows(output)
    assert len(rows) == 700
    for number in (0, 255, 256, 599, 650):
        row = rows.with_id(f"i{number}")
        assert row is not None and row.id == f"i{number}"
        assert row.run_id == ("r2" if number < 600 else "r1")
        assert rows.with_fingerprint(row.fingerprint or "") == row
        place = rows.with_quick_key(row.quick_key or "", "another id")
        assert place is not None and rows.row(place.place) == row
    assert rows.with_id("i700") is None
    table = rows.table([next(open_keys(output).find(BY_ID, digest(f"i{n}"))) for n in (650, 3)])
    assert table["id"].to_pylist() == ["i650", "i3"]


def damaged(output: Output) -> None:
    (piece,) = (uri for uri in output.key_files() if uri.endswith(".bin"))
    data = bytearray(output.read(piece))
    data[len(data) // 2] ^= 1
    output.put(piece, bytes(data))


def cut_off(output: Output) -> None:
    (piece,) = (uri for uri in output.key_files() if uri.endswith(".bin"))
    output.put(piece, output.read(piece)[:-12])


def without_a_piece(output: Output) -> None:
    output.delete(uri for uri in output.key_files() if uri.endswith(".bin"))


def of_another_commit(output: Output) -> None:
    """As if a commit had been killed between its index and its marker, and another one came."""
    marker = json.loads(output.read(output.marker("r1")))
    output.put(output.marker("r1"), json.dumps({**marker, "index": "0" * 32}).encode())


def of_a_version_without(output: Output) -> None:
    marker = json.loads(output.read(output.marker("r1")))
    del marker["index"]
    output.put(output.marker("r1"), json.dumps(marker).encode())


def no_json(output: Output) -> None:
    output.put(output.keys("r1", "index.json"), b"[")


def another_part(output: Output) -> None:
    output.put(output.part("r1", 7), output.read(output.part("r1", 0)))


@pytest.mark.parametrize(
    "spoil",
    [
        damaged, cut_off, without_a_piece, of_another_commit, of_a_version_without, no_json,
        another_part,
    ],
)  # fmt: skip
def test_where_it_does_not_fit_the_metadata_is_read(
    output: Output, spoil: Callable[[Output], None]
) -> None:
    run(output, [done(n) for n in range(30)], "r1")
    expected = {one: {place for _, place in places} for one, places in found(output).items()}
    spoil(output)
    assert output.part("r1", 0) in parts_read(output)
    assert {one: {at for _, at in places} for one, places in found(output).items()} == expected
    run(output, [done(n) for n in range(30)], "r2")
    assert parts_read(output) == [], "the next commit writes one that fits"


def test_a_killed_run_is_read_beside_it(output: Output) -> None:
    run(output, [done(n) for n in range(30)], "r1")
    groups = put_groups(output, [done(n, run_id="") for n in range(20, 50)], "r2")
    assert parts_read(output) == groups
    rows = FinishedRows(output)
    assert [getattr(rows.with_id(f"i{n}"), "run_id", None) for n in (10, 25, 40)] == [
        *("r1", "r2", "r2")
    ]
    run(output, [done(n) for n in range(5)], "r3")
    assert len(FinishedRows(output)) == 50, "nothing that was finished is forgotten"
    assert parts_read(output) == []


def test_pruning_leaves_an_index_that_fits(output: Output) -> None:
    run(output, [done(n) for n in range(30)], "r1")
    run(output, [*(done(n) for n in range(10)), failed(10)], "r2")
    assert prune(output) == 19
    pruned = [uri for uri in output.earlier_files() if uri.endswith("-pruned.parquet")]
    assert parts_read(output) == pruned and len(pruned) == 1
    rows = FinishedRows(output)
    kept = [rows.with_id(f"i{n}") for n in range(30)]
    assert [row.id for row in kept if row is not None] == [f"i{n}" for n in range(11)]
    run(output, [*(done(n) for n in range(10)), failed(10)], "r3")
    assert len(FinishedRows(output)) == 11


def test_many_files_of_kept_rows_become_few(output: Output) -> None:
    for night in range(5):
        run(output, [done(night)], f"r{night}")
    assert len(output.earlier_files()) == 1
    assert len(FinishedRows(output)) == 5


@pytest.mark.slow
def test_records_go_through_a_file_and_come_back_in_order() -> None:
    random = np.random.default_rng(0)
    records = np.zeros(1_000_000, KEY)
    records["key"] = random.integers(0, 2**64, len(records), np.uint64)
    records["place"] = np.arange(len(records))
    with Spill(KEY) as spill:
        for part in np.array_split(records, 40):
            spill.add(part)
        assert spill._file is not None and len(spill) == len(records)
        assert max(map(len, spill._waiting)) < 2 * 32768
        back = [*spill]
    assert len(back) == BUCKETS
    for number, bucket in enumerate(back):
        low, high = bounds(number)
        assert all(low <= int(key) < high for key in bucket["key"][[0, -1]])
        assert (np.diff(bucket["place"].astype(np.int64)) > 0).all(), "as they were added"
    assert np.array_equal(np.sort(np.concatenate(back), order="place"), records)


@pytest.mark.slow
def test_a_part_that_is_damaged_ends_the_job_before_anything_is_forgotten(
    filled_shop: Callable[..., Shop], capsys: pytest.CaptureFixture[str]
) -> None:
    """The index does not read the parts, so the damage shows when a row is read back."""
    shop = filled_shop(4)
    assert shop.run() == 0
    (part,) = (shop.out / "metadata").rglob("part-*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[:4] + bytes(len(whole) - 4))
    capsys.readouterr()
    assert shop.run() == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{part.name}: this file of the ledger is broken; delete it" in line
    part.write_bytes(whole)
    assert shop.run() == 0
    assert json.loads((shop.out / "summary.json").read_text())["finished_before"] == 4
    (part,) = (shop.out / "metadata").rglob("part-*.parquet")
    part.unlink()
    assert shop.run() == 0
    summary = json.loads((shop.out / "summary.json").read_text())
    assert (summary["done"], summary["finished_before"]) == (4, 0)


@pytest.mark.slow
def test_a_run_that_lost_its_marker_is_still_whole(
    filled_shop: Callable[..., Shop], caplog: pytest.LogCaptureFixture
) -> None:
    shop = filled_shop(3)
    assert shop.run() == 0
    (marker,) = (shop.out / "metadata").rglob("_SUCCESS")
    marker.unlink()
    assert shop.run() == 0
    assert {row["run_id"] for row in shop.rows().values()} == {marker.parent.name}
    assert "has lost its _SUCCESS" in caplog.text
