"""The ordinary accidents of a night: each costs nothing, and loses nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphabeam.transforms import manifest as manifests
from alphabeam.transforms.ledger.journal import Journal
from alphabeam.transforms.manifest import Manifest, ManifestError, read_shard, survey
from alphabeam.transforms.metadata import rows_from_table
from alphabeam.transforms.metadata.groups import WriteGroupsFn
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import DONE, Row, now
from tests.conftest import Shop, encoded, product
from tests.forked import JobProcess

pytestmark = pytest.mark.slow

FillShop = Callable[..., Shop]
ROOT = Path(__file__).parent.parent


def runs(shop: Shop) -> dict[str, str]:
    return {id: row["run_id"] for id, row in shop.rows().items()}


def test_a_bad_night_costs_nothing(filled_shop: FillShop) -> None:
    """The share with the photos is not mounted for one night."""
    shop = filled_shop(3)
    assert shop.run() == 0
    good = shop.rows()
    (shop.folder / "images").rename(shop.folder / "unmounted")
    assert shop.run() == 3
    bad = shop.rows()
    assert {row["error_code"] for row in bad.values()} == {"not_found"}
    for id, row in bad.items():
        assert (row["cutout"], row["mask"]) == (good[id]["cutout"], good[id]["mask"])
        assert (shop.out / row["cutout"]).exists(), "the last good cutout is still there"
    (shop.folder / "unmounted").rename(shop.folder / "images")
    assert shop.run() == 0
    assert runs(shop) == {id: row["run_id"] for id, row in good.items()}, "nothing was done again"


def test_touched_and_moved_photos_are_the_same_work(filled_shop: FillShop) -> None:
    shop = filled_shop(3)
    assert shop.run() == 0
    before = runs(shop)
    os.utime(shop.folder / "images/p0.png", (1, 1))
    assert shop.run() == 0
    assert runs(shop) == before, "touched"
    (shop.folder / "images").rename(shop.folder / "photos")
    text = (shop.folder / "manifest.csv").read_text().replace("images/", "photos/")
    shop.manifest(text)
    assert shop.run() == 0
    moved = {id.replace("photos/", "images/"): run for id, run in runs(shop).items()}
    assert moved == before, "another folder, another mount"
    for row in shop.rows().values():
        assert row["cutout"].startswith("cutouts/photos/") and (shop.out / row["cutout"]).exists()


def test_identical_pictures_are_done_once_and_every_row_has_its_outputs(
    filled_shop: FillShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alphabeam.transforms.matting import MattingCore

    shop = filled_shop(2)
    lines = (shop.folder / "manifest.csv").read_text().splitlines()
    for number in range(6):
        shutil.copy(shop.folder / "images/p0.png", shop.folder / f"images/copy{number}.png")
        lines.append(f"images/copy{number}.png,C{number}")
    shop.manifest("\n".join(lines) + "\n")
    remove, worked = MattingCore.remove, []

    def counted(*arguments: Any, **named: Any) -> Any:
        worked.append(1)
        return remove(*arguments, **named)

    monkeypatch.setattr(MattingCore, "remove", counted)
    assert shop.run() == 0
    rows = shop.rows()
    assert len(rows) == 8 and len({row["fingerprint"] for row in rows.values()}) == 2
    files = shop.files("cutouts")
    assert len(files) == 8
    same = [rows["images/p0"], *(rows[f"images/copy{n}"] for n in range(6))]
    assert len({files[row["cutout"]] for row in same}) == 1
    # The probe before the run tries nothing, so each work done is one call. A copy that comes when
    # the first one is written and not yet noted is done again, which costs time and no money.
    assert 2 <= len(worked) <= 3


def test_outputs_that_were_damaged_since_are_done_again(filled_shop: FillShop) -> None:
    shop = filled_shop(2)
    assert shop.run() == 0
    before = runs(shop)
    cutout = shop.out / shop.rows()["images/p0"]["cutout"]
    whole = cutout.read_bytes()
    cutout.write_bytes(whole[:100])
    assert shop.run() == 0
    assert cutout.read_bytes() == whole
    after = runs(shop)
    assert after["images/p0"] != before["images/p0"] and after["images/p1"] == before["images/p1"]


def test_an_empty_export_after_a_full_one_is_refused(
    filled_shop: FillShop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(2)
    assert shop.run() == 0
    before = runs(shop)
    shop.manifest("image,sku\n")
    assert shop.run() == 1
    assert "the manifest has no rows" in capsys.readouterr().err
    assert runs(shop) == before
    assert shop.run("--set", "input.allow_empty=true") == 0


def test_an_output_inside_the_inputs_folder_is_left_out(filled_shop: FillShop) -> None:
    shop = filled_shop(3)
    for _ in range(2):
        assert shop.run("--set", "input.manifest=.", "--set", "input.format=glob") == 0
        assert len(shop.rows()) == 3


# ------------------------------------------------------------------------------------- the manifest


def test_a_manifest_that_is_replaced_while_the_job_runs_ends_it_in_one_line(
    filled_shop: FillShop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = filled_shop(3)
    surveyed = survey(Manifest(str(shop.folder / "manifest.csv")))
    shop.manifest("image,sku\n" + "images/p0.png,again\n" * 3)
    with pytest.raises(ManifestError, match="changed while the job ran"):
        list(
            read_shard(
                Manifest(str(shop.folder / "manifest.csv")),
                surveyed.shards[0],
                surveyed.collisions,
            )
        )
    real = manifests.shards.survey

    def replaced_behind(manifest: Manifest) -> Any:
        found = real(manifest)
        shop.manifest("image,sku\n" + "images/p1.png,again\n" * 2)
        return found

    monkeypatch.setattr("alphabeam.transforms.manifest.transform.survey", replaced_behind)
    assert shop.run("--set", "engine.processes=1") == 1
    said = capsys.readouterr().err
    assert "the manifest changed while the job ran; start the job again" in said
    assert said.count("\n") <= 2


def test_values_that_python_cannot_hold_cost_no_job(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    far = pa.array([0, 253_402_300_799_000_000 * 2], pa.timestamp("us", tz="Europe/Berlin"))
    latin = pa.array([b"gut", b"sch\xf6n"]).cast(pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, latin.buffers())
    pq.write_table(pa.table({"image": ["a.jpg", "b.jpg"], "when": far, "words": text}), path)
    manifest = Manifest(str(path))
    found = survey(manifest)
    rows = [row for shard in found.shards for row in read_shard(manifest, shard)]
    assert [row.status for row in rows] == ["pending", "pending"]
    assert rows[1].extra["words"] == "sch\ufffdn"
    assert rows[1].extra["when"]


def test_a_row_that_cannot_be_written_costs_itself_only(tmp_path: Path) -> None:
    fn = WriteGroupsFn(Output(str(tmp_path)), "r1")
    fn.setup()
    fn.start_bundle()
    good = Row(id="good", image="a.jpg", line=1, status=DONE, finished_at=now())
    bad = good._replace(id="bad", line=2, credits=10**30)
    uris = [*fn.process(good), *fn.process(bad), *(v.value for v in fn.finish_bundle())]
    rows = [row for uri in uris for row in rows_from_table(pq.read_table(uri))]
    assert {row.id: row.status for row in rows} == {"good": "done", "bad": "failed"}
    (failed,) = (row for row in rows if row.id == "bad")
    assert failed.error_code == "unwritable_row" and "line 2" in (failed.error_message or "")


# ----------------------------------------------------------------------------- killed and stopped


def start(shop: Shop, *arguments: str) -> JobProcess:
    return JobProcess(str(shop.job), "--quiet", *arguments)


def finished_in_the_ledger(shop: Shop) -> list[str]:
    found = []
    for path in (shop.out / "ledger/rows").rglob("*.parquet"):
        found += [row.id for row in rows_from_table(pq.read_table(path)) if row.status == DONE]
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


@pytest.fixture
def stuck_shop(filled_shop: FillShop) -> Shop:
    """Two good pictures, and a source that never answers: an HTTP server that only listens."""
    import socket

    shop = filled_shop(2, input={"allow": ["default", "http://127.0.0.1"]})
    listener = socket.create_server(("127.0.0.1", 0))
    shop.listener = listener  # type: ignore[attr-defined]  # kept open
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/never.jpg"
    shop.manifest((shop.folder / "manifest.csv").read_text() + f"{url},S9\n")
    return shop


def test_a_killed_run_has_lost_no_row_that_was_finished(stuck_shop: Shop) -> None:
    """The last row hangs, so Beam hands nothing over; the journal has the rows all the same."""
    process = start(stuck_shop)
    wait_for(lambda: len(finished_in_the_ledger(stuck_shop)) == 2)
    process.kill()
    process.communicate()
    lines = (stuck_shop.folder / "manifest.csv").read_text().splitlines()
    stuck_shop.manifest("\n".join(lines[:3]) + "\n")
    assert stuck_shop.run() == 0
    assert len(set(runs(stuck_shop).values())) == 1, "both rows are the killed run's"
    assert not [path for path in (stuck_shop.out / "ledger/rows").rglob("*") if path.is_file()]
    assert not [path for path in (stuck_shop.out / "run").rglob("*") if path.is_file()]


def descendants(process: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == process:
            found += [int(path.parent.name), *descendants(int(path.parent.name))]
    return found


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are seen in /proc only")
def test_a_signal_ends_the_worker_processes_too(stuck_shop: Shop) -> None:
    process = start(stuck_shop, "--set", "engine.processes=2")
    wait_for(lambda: list((stuck_shop.out / "cutouts").rglob("*.png")))
    workers = descendants(process.pid)
    assert len(workers) >= 2
    process.terminate()
    assert process.wait(60) == 143
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 10)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_job_in_order(stuck_shop: Shop, number: int, status: int) -> None:
    process = start(stuck_shop)
    wait_for(lambda: len(list((stuck_shop.out / "cutouts").rglob("*.png"))) == 2)
    began = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert time.monotonic() - began < 8, "five seconds, and a loaded machine's three"
    assert "start it again and it goes on where it was" in said
    assert len(finished_in_the_ledger(stuck_shop)) == 2
    (lease,) = (stuck_shop.out / "ledger/lease").iterdir()
    assert '"ended": true' in lease.read_text()


def test_a_second_run_into_the_same_output_ends_in_one_line(
    stuck_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(stuck_shop)
    try:
        wait_for(lambda: list((stuck_shop.out / "cutouts").rglob("*.png")))
        assert stuck_shop.run() == 1
        said = capsys.readouterr().err.strip()
        assert f"process {process.pid} on" in said and "--take-over" in said
        assert "\n" not in said
    finally:
        process.kill()
        process.communicate()


def test_the_ledger_does_not_grow_with_every_restart(stuck_shop: Shop) -> None:
    for _ in range(3):
        process = start(stuck_shop)
        wait_for(lambda: len(set(finished_in_the_ledger(stuck_shop))) == 2)
        time.sleep(0.2)
        process.kill()
        process.communicate()
    assert sorted(finished_in_the_ledger(stuck_shop)) == ["images/p0", "images/p1"]


class SlowPhotos(BaseHTTPRequestHandler):
    """Serves a picture for each name, after a while."""

    sent = 0

    def do_GET(self) -> None:
        number = int(self.path.strip("/").removesuffix(".png"))
        time.sleep(0.15 if self.command == "GET" else 0.0)
        data = encoded(product(number))
        with contextlib.suppress(OSError):  # the job was killed
            self.send_response(200)
            self.send_header("ETag", f'"{number}"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data if self.command == "GET" else b"")
        SlowPhotos.sent += self.command == "GET"

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def test_kills_at_any_moment_cost_two_seconds_at_most_and_leave_nothing(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, kills, random = 30, 3, Random(5)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowPhotos)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    shop.manifest("id,image\n" + "".join(f"p{n},{address}/{n}.png\n" for n in range(count)))
    shop.write_job(input={"threads": 2, "allow": ["http://127.0.0.1"]})
    output = Output(str(shop.out))
    redone, largest, SlowPhotos.sent = 0.0, 0, 0
    for number in range(kills):
        began = time.time()
        process = start(shop)
        target = SlowPhotos.sent + random.randrange(1, count // (kills - number + 1))
        wait_for(lambda target=target: SlowPhotos.sent >= target)  # type: ignore[misc]
        time.sleep(random.random())
        ended = time.time()
        process.kill()
        process.communicate()
        known = finished_in_the_ledger(shop)
        largest = max(largest, len(known))
        lost = [shop.out / output.cutout(f"p{n}") for n in range(count) if f"p{n}" not in known]
        times = [path.stat().st_mtime for path in lost if path.exists()]
        redone = max(redone, *(ended - time for time in times if time >= began), 0.0)
    # What a worker that is killed leaves while the run goes on: nobody else looks for it.
    left = shop.out / "cutouts" / f".alphabeam-{'0' * 32}.partial"
    process = start(shop)
    wait_for(lambda: (shop.out / "ledger/lease").exists() and SlowPhotos.sent >= target + 1)
    left.write_bytes(b"half")
    assert process.wait(120) == 0
    server.shutdown()
    server.server_close()
    assert redone <= 3.0, "two seconds, and a loaded machine's one"
    assert largest <= 1.1 * count
    assert len(shop.rows()) == count
    assert {row["status"] for row in shop.rows().values()} == {DONE}
    assert SlowPhotos.sent - count <= kills * (3.0 / 0.15 * 2 + 8)
    assert not list(shop.out.rglob("*.partial"))
    assert not [path for path in (tmp_path / "temporary").iterdir() if path.is_dir()]


# -------------------------------------------------------------------------------------- the journal


def test_the_journal_holds_what_no_group_has_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alphabeam.transforms.ledger.journal._FLUSH_S", 0.01)
    output = Output(str(tmp_path))
    journal = Journal(output, "r1").open()
    rows = [
        Row(id=f"i{n}", image=f"{n}.jpg", line=n, status=DONE, fingerprint=f"{n:032x}")
        for n in range(3)
    ]
    for row in rows:
        journal.note(row)

    def held() -> list[str]:
        return sorted(
            row.id
            for path in (tmp_path / "ledger/rows/r1").glob("*.parquet")
            for row in rows_from_table(pq.read_table(path))
        )

    wait_for(lambda: held() == ["i0", "i1", "i2"])
    found = journal.find(f"{1:032x}")
    assert found is not None and (found.id, found.run_id) == ("i1", "r1")
    journal.settle(rows[:2])
    wait_for(lambda: held() == ["i2"], 10)  # by itself, though no row comes any more
    journal.settle(rows[2:])
    wait_for(lambda: not list((tmp_path / "ledger/rows/r1").iterdir()), 10)


def test_a_journal_that_is_being_put_does_not_come_after_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow store, a put that has begun may end late; the rows' group waits for it."""
    monkeypatch.setattr("alphabeam.transforms.ledger.journal._FLUSH_S", 0.01)
    began, go_on = threading.Event(), threading.Event()
    put = Output.put

    def slow(self: Output, uri: str, data: bytes) -> None:
        began.set()
        go_on.wait(10)
        put(self, uri, data)

    monkeypatch.setattr(Output, "put", slow)
    journal = Journal(Output(str(tmp_path)), "r1").open()
    row = Row(id="i", image="i.jpg", line=1, status=DONE, fingerprint=f"{1:032x}")
    journal.note(row)
    assert began.wait(10)
    settling = threading.Thread(target=journal.settle, args=([row],))
    settling.start()
    settling.join(0.2)
    assert settling.is_alive()
    go_on.set()
    settling.join(10)
    assert not settling.is_alive()
    wait_for(lambda: not list((tmp_path / "ledger/rows/r1").iterdir()), 10)
