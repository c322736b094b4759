"""Whole jobs with ``backend: picpik``, against the emulator."""

from __future__ import annotations

import base64
import bz2
import contextlib
import json
import logging
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import yaml

from alphabeam.pipelines.progress import FileReader, Progress, ProgressBar
from alphabeam.transforms.backends.picpik import PicpikBackend
from alphabeam.transforms.images import ReadImages, decode
from alphabeam.transforms.manifest import file_name
from alphabeam.transforms.metadata import RESUBMITTED
from alphabeam.transforms.picpik.emulator import Faults, core_answer, running_emulator
from alphabeam.transforms.remove_background import RemoveBackground
from alphabeam.transforms.rows import Row
from tests.conftest import Shop
from tests.picpik_jobs import PicpikShop, check_every_row, run_with_kills

pytestmark = pytest.mark.slow


@pytest.fixture
def picpik(tmp_path: Path) -> Iterator[Callable[..., PicpikShop]]:
    with contextlib.ExitStack() as stack:

        def make(count: int = 3, backend: dict[str, Any] | None = None, **options: Any) -> Any:
            emulator = stack.enter_context(running_emulator(**options))
            shop = PicpikShop(tmp_path, emulator, **(backend or {}))
            shop.fill(count)
            return shop

        yield make


def summary(shop: Shop) -> dict[str, Any]:
    return json.loads((shop.out / "summary.json").read_text())


def written(shop: Shop) -> dict[str, bytes]:
    """What was put whole; a kill may leave what was being put under a hidden name."""
    files = shop.files("cutouts", "masks")
    return {name: data for name, data in files.items() if not name.endswith(".partial")}


def test_cutouts_equal_the_local_backends_pixel_for_pixel(tmp_path: Path) -> None:
    from alphabeam.transforms.matting import MattingCore, load_model

    manifest = (
        "image,box,only_mask,erode_size\n"
        "images/a.png,,,\nimages/商品 图.jpg,,,8\nimages/b.png,10 5 60 50,,\nimages/c.webp,,true,\n"
    ).replace("10 5 60 50", '"10,5,60,50"')
    local = Shop(tmp_path / "local", "catalogue")
    core = MattingCore(load_model("catalogue"))
    with running_emulator(answer=core_answer(core.remove, decode)) as emulator:
        api = PicpikShop(tmp_path / "api", emulator)
        for shop in (local, api):
            shop.folder.mkdir(exist_ok=True)
            for seed, name in enumerate(("a.png", "商品 图.jpg", "b.png", "c.webp")):
                shop.picture(f"images/{name}", seed)
            shop.manifest(manifest)
        local.write_job()
        assert local.run() == 0 and api.run() == 0
        assert emulator.billed == 4
    files = local.files("cutouts", "masks")
    assert len(files) == 7 and f"cutouts/{file_name('images/商品 图')}.png" in files
    assert api.files("cutouts", "masks") == files
    assert {r["backend"] for r in api.rows().values()} == {"picpik"}


FAULTS = (
    *("RemoveBackground:http_429", "RemoveBackground:gateway", "RemoveBackground:ret_code"),
    *("RemoveBackground:answer_lost", "RemoveBackground:truncated_json"),
    *("RemoveBackground:wrong_uuid", "RemoveBackground:reset_midbody", "reset", "delay"),
    *(
        "ListTasksDetails:http_429_after",
        "ListTasksDetails:http_500",
        "ListTasksDetails:wrong_uuid",
    ),
    *(
        "ListTasksDetails:truncated_json",
        "ListTasksDetails:huge_answer",
        "task_stuck",
        "task_error",
    ),
    *("result_500", "result_reset", "result_expired", "result_redirect", "result_huge"),
    *("result_html", "result_truncated", "result_wrong_size", "result_delay"),
)


def test_faults_of_every_kind_lose_no_row_and_bill_none_twice(
    picpik: Callable[..., PicpikShop],
) -> None:
    settings = {"task_timeout": 6.0, "max_result_bytes": 1_000_000, "retry_codes": [150]}
    # Few of those that make the client go slower: the benchmark has them all at 20 %.
    slow = (
        "RemoveBackground:http_429",
        "ListTasksDetails:http_429_after",
        "RemoveBackground:ret_code",
    )
    faults = dict.fromkeys(FAULTS, 0.06) | dict.fromkeys(slow, 0.02)
    shop = picpik(60, settings, faults=faults, seed=5, delay_seconds=0.1, retry_after=0)
    assert shop.run("--yes") == 3
    check_every_row(shop, 60)
    assert len(shop.emulator.faults.struck) >= 12
    codes = {row["error_code"] for row in shop.rows().values()}
    assert codes >= {None, "submit_unknown"} and len(codes) >= 5

    # The second run, on a better day: unknown and failed ones are bought anew, nothing else is.
    before, billed = shop.rows(), shop.emulator.billed
    shop.emulator.faults = Faults({})
    shop.set(**{**settings, "task_timeout": 3.0}, resubmit_unknown=True)
    shop.run("--yes")
    rows = shop.rows()
    assert {row["error_code"] for row in rows.values()} <= {None, "task_timeout", "task_expired"}
    anew = [
        id
        for id, row in before.items()
        if row["error_code"] in ("submit_unknown", "task_failed", "api_unavailable")
    ]
    assert shop.emulator.billed - billed == len(anew)
    again = {id for id, row in rows.items() if RESUBMITTED in row["flags"]}
    assert again == {id for id, row in before.items() if row["error_code"] == "submit_unknown"}
    assert summary(shop)["resubmitted"] == len(again)


@pytest.mark.parametrize(("resubmit", "times"), [(True, 2), (False, 1)])
def test_killed_and_started_again_nothing_is_lost_or_silently_bought_twice(
    tmp_path: Path, resubmit: bool, times: int
) -> None:
    count = 16
    # Answers come late, so that kills find submissions on their way.
    late = {"faults": {"RemoveBackground:answer_late": 0.5}, "late_seconds": 0.3}
    options = {"task_seconds": 0.1, "slots": 4, **late}
    settings = {"tasks_in_flight": 4, "resubmit_unknown": resubmit}
    with running_emulator(**options) as emulator:
        shop = PicpikShop(tmp_path / "shop", emulator, **settings)
        shop.fill(count)
        kills = run_with_kills(shop, times, seed=11 + resubmit)
        rows, cut_off = shop.rows(), sum(kills.cut_off)
        assert len(rows) == count
        submissions = emulator.submissions
        if resubmit:
            assert kills.status == 0
            assert {row["status"] for row in rows.values()} == {"done"}
            flagged = [row for row in rows.values() if RESUBMITTED in row["flags"]]
            assert sum(row["attempts"] - 1 for row in rows.values()) == cut_off
            assert (len(flagged) > 0) == (cut_off > 0)
            assert summary(shop)["resubmitted"] == len(flagged)
        else:
            failed = [row for row in rows.values() if row["status"] == "failed"]
            assert [row["error_code"] for row in failed] == ["submit_unknown"] * cut_off
            flagged = failed
        doubted = {row["source_sha256"] for row in flagged}
        for row in rows.values():
            sha256 = row["source_sha256"]
            if row["status"] == "done":
                task = emulator.tasks[row["task_uid"]]
                assert (task.sha256, task.request_uuid) == (sha256, row["request_uuid"])
            if sha256 not in doubted:
                assert submissions[sha256] == 1
        assert emulator.billed <= count + cut_off
        if resubmit:
            assert not list(shop.entries())  # the ledger keeps no task that is collected
            killed, cutouts = shop.facts(), written(shop)
            shop.out.rename(tmp_path / "killed")
            assert shop.run("--yes") == 0
            assert shop.facts() == killed and written(shop) == cutouts


def test_another_rendition_over_finished_rows_buys_nothing(
    picpik: Callable[..., PicpikShop],
) -> None:
    shop = picpik(12, {"max_tasks": 12})
    assert shop.run("--yes") == 0
    before, requests = shop.rows(), dict(shop.emulator.requests)
    cutouts = shop.files("cutouts", "masks")
    job = yaml.safe_load(shop.job.read_text())
    job["output"]["renditions"] = [{"name": "front", "format": "jpeg", "canvas": 40}]
    shop.job.write_text(yaml.safe_dump(job))
    assert shop.run() == 0  # nothing is to be bought, so nothing is asked
    rows = shop.rows()
    for id, row in rows.items():
        (made,) = row["renditions"]
        assert not made["error"] and (shop.out / made["uri"]).stat().st_size == made["bytes"]
        assert row["task_uid"] == before[id]["task_uid"] and row["credits"] == 1
        assert row["fingerprint"] == before[id]["fingerprint"]
    assert len(rows) == 12 and len(list((shop.out / "renditions/front").rglob("*.jpg"))) == 12
    assert shop.emulator.billed == 12 and shop.files("cutouts", "masks") == cutouts
    # The next run asks for the keys, and for nothing else.
    now = dict(shop.emulator.requests)
    assert now == {**requests, "ListRunningTasks": requests["ListRunningTasks"] + 1}
    assert summary(shop)["credits"] == 0 and summary(shop)["finished_before"] == 12


def test_parameters_that_the_api_never_sees_buy_nothing_again(
    picpik: Callable[..., PicpikShop],
) -> None:
    shop = picpik(2)
    jpeg = shop.picture("images/j.jpg", 5)
    shop.manifest(f"image,keep_shadow\nimages/p0.png,\nimages/p1.png,yes\n{jpeg},\n")
    assert shop.run("--yes") == 0
    before, cutouts = shop.rows(), shop.files("cutouts", "masks")
    job = yaml.safe_load(shop.job.read_text())
    job["output"]["renditions"] = [{"name": "front", "canvas": 40, "shadow": "keep"}]
    job["matting"] = {"keep_shadow": True}
    shop.job.write_text(yaml.safe_dump(job))
    for _ in range(2):
        assert shop.run("--yes") == 0
        for id, row in shop.rows().items():
            assert row["fingerprint"] == before[id]["fingerprint"]
            assert not row["renditions"][0]["error"], "the cutout is as good as any"
        assert shop.emulator.billed == 3 and shop.files("cutouts", "masks") == cutouts
    # a picture without an alpha has none that counts
    shop.manifest(f"image,own_alpha\n{jpeg},ignore\n")
    assert shop.run("--yes") == 0
    assert shop.emulator.billed == 3


def test_wrong_keys_stop_the_job_with_one_line_before_anything(
    picpik: Callable[..., PicpikShop], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = picpik(2)
    (shop.folder / "private_key").write_text("wrong-key-wrong-key")
    assert shop.run("--yes") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "refused the keys" in err and "wrong-key" not in err
    assert not shop.out.exists()
    assert set(shop.emulator.requests) == {"ListRunningTasks"}


def test_check_counts_the_tasks_and_buys_nothing(
    picpik: Callable[..., PicpikShop], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = picpik(4)
    # one row twice under another id, one whose image is missing, one that cannot be parsed
    with shop.manifest((shop.folder / "manifest.csv").read_text()).open("a") as file:
        file.write("images/nowhere.png\n../" + shop.folder.name + "/images/p0.png\n")
    assert shop.run("--check") == 1  # the last row says nothing new
    assert "to submit  4 images" in capsys.readouterr().out
    assert set(shop.emulator.requests) == {"ListRunningTasks"}
    shop.set(max_tasks=3)
    shop.run("--check")
    assert "to submit  3 images" in capsys.readouterr().out
    assert shop.run("--yes") == 3
    assert shop.emulator.billed == 3
    shop.set()
    shop.run("--check")
    assert "to submit  1 images" in capsys.readouterr().out
    shop.run("--check", "--fresh")
    assert "to submit  4 images" in capsys.readouterr().out
    assert shop.emulator.billed == 3


def test_what_is_to_be_paid_for_is_asked_first(
    picpik: Callable[..., PicpikShop],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = picpik(3, {"confirm_over": 2})
    assert shop.run() == 1  # no terminal, no --yes
    assert "3 images would be submitted" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "n")
    assert shop.run() == 1
    assert len(asked) == 1 and shop.emulator.billed == 0
    monkeypatch.setattr("builtins.input", lambda text: "y")
    assert shop.run() == 0
    assert shop.emulator.billed == 3
    result = summary(shop)
    assert result["credits"] == 3
    assert "credits    3" in capsys.readouterr().out
    # all is finished: nothing to ask; but with --fresh there is
    monkeypatch.setattr("builtins.input", lambda text: "n")
    assert shop.run() == 0
    assert shop.run("--fresh") == 1
    assert shop.emulator.billed == 3 and summary(shop)["credits"] == 0


def test_progress_tells_the_credits_of_this_run(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path / "progress"), "now")
    progress.total(4)
    for run_id, credits in ((None, 3), ("before", 5), (None, None), (None, 4)):
        progress.row(Row("a", "a.png", "done", credits=credits, run_id=run_id))
    look = FileReader(progress)
    seen = look()
    assert seen == look() and (seen.rows, seen.total, seen.before) == (4, 4, 1)
    assert ProgressBar(look, quiet=True).pace(seen).endswith(", 7 credits")


def test_throttled_seconds_reach_beams_counter(picpik: Callable[..., PicpikShop]) -> None:
    shop = picpik(8)
    backend = PicpikBackend(
        str(shop.out),
        public_key=f"${{file:{shop.folder}/public_key}}",
        private_key=f"${{file:{shop.folder}/private_key}}",
        endpoint=shop.emulator.endpoint,
        requests_per_second=5.0,
    )
    rows = [Row(str(n), str(shop.folder / f"images/p{n}.png")) for n in range(8)]
    options = beam.options.pipeline_options.PipelineOptions(
        ["--runner=FnApiRunner", "--direct_num_workers=1", "--direct_running_mode=in_memory"]
    )
    pipeline = beam.Pipeline(options=options)
    (
        pipeline
        | beam.Create(rows, reshuffle=False)
        | ReadImages()
        | RemoveBackground(backend)
        | beam.Map(lambda picture: picture.row)
    )
    result = pipeline.run()
    result.wait_until_finish()
    named = beam.metrics.MetricsFilter().with_name("cumulativeThrottlingSeconds")
    (counter,) = result.metrics().query(named)["counters"]
    assert counter.committed >= 2


def unwrapped(data: bytes) -> Iterator[bytes]:
    """Some bytes as they are, and as Beam's pickler may have packed them."""
    yield data
    with contextlib.suppress(ValueError):
        packed = base64.b64decode(data, validate=True)
        yield packed
        for decompress in (bz2.decompress, zlib.decompress):
            with contextlib.suppress(OSError, zlib.error, ValueError):
                yield decompress(packed)


def payloads(proto: Any) -> Iterator[bytes]:
    """Every bytes field of a pipeline's proto, also those within payloads."""
    from apache_beam.portability.api import beam_runner_api_pb2

    yield proto.SerializeToString()
    for transform in proto.components.transforms.values():
        yield from unwrapped(transform.spec.payload)
        with contextlib.suppress(Exception):
            pardo = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            yield from unwrapped(pardo.do_fn.payload)


SECRET = "PRIVATE-4711-do-not-tell"


def proto_of(shop: PicpikShop, arguments: list[str]) -> tuple[Any, Any]:
    from alphabeam.pipelines.catalogue import Catalogue
    from alphabeam.pipelines.engines import pipeline_options, threads_of
    from alphabeam.pipelines.job_file import load_job

    job = load_job(str(shop.job))
    options = pipeline_options(job, arguments)
    pipeline = beam.Pipeline(options=options)
    pipeline | Catalogue(job, "run", threads_of(job))
    return pipeline, options


def test_the_private_key_is_in_no_graph_option_log_or_file(
    picpik: Callable[..., PicpikShop],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = {"RemoveBackground:truncated_json": [0], "task_error": [1], "result_html": [2]}
    shop = picpik(5, private_key=SECRET, public_key="public-key-4711", faults=faults)
    monkeypatch.setenv("PICPIK_SECRET", SECRET)
    shop.set(private_key="${env:PICPIK_SECRET}")
    caplog.set_level(logging.DEBUG)
    assert shop.run("--yes", "-vv") == 3
    assert len({row["error_code"] for row in shop.rows().values()}) == 4
    assert sum(1 for record in caplog.records if record.levelno == logging.DEBUG) > 10
    assert SECRET not in caplog.text
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    files = [path for path in shop.out.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".parquet", ".jsonl", ".png"}
    assert list(shop.entries())
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in json.dumps(list(shop.rows().values()), default=str)

    pipeline, options = proto_of(shop, [])
    found = list(payloads(pipeline.to_runner_api()))
    assert any(b"PICPIK_SECRET" in data for data in found)  # the search does see what is there
    assert not any(SECRET.encode() in data for data in found)
    assert SECRET not in str(options.get_all_options())


def test_the_private_key_is_in_no_dataflow_job_description(
    picpik: Callable[..., PicpikShop], monkeypatch: pytest.MonkeyPatch
) -> None:
    apiclient = pytest.importorskip(
        "apache_beam.runners.dataflow.internal.apiclient",
        reason="a Dataflow job description needs alphabeam[dataflow]",
        exc_type=ImportError,
    )
    if not hasattr(apiclient, "Environment"):
        pytest.skip("a Dataflow job description needs alphabeam[dataflow]")
    shop = picpik(2, private_key=SECRET, public_key="public-key-4711")
    monkeypatch.setenv("PICPIK_SECRET", SECRET)
    shop.set(private_key="${env:PICPIK_SECRET}")
    cloud = ["--project=none", "--region=nowhere", "--temp_location=gs://none/temp"]
    pipeline, _ = proto_of(shop, [])
    proto = pipeline.to_runner_api(
        default_environment=beam.transforms.environments.DockerEnvironment("none")
    )
    options = beam.options.pipeline_options.PipelineOptions([*cloud, "--job_name=alphabeam"])
    options.view_as(beam.options.pipeline_options.GoogleCloudOptions).staging_location = "gs://none"
    job = apiclient.Job(options, proto)
    environment = apiclient.Environment([], options, "2", "gs://none/pipeline.pb", proto, "hash")
    description = str(job.proto) + str(environment.proto) + str(options.get_all_options())
    assert "alphabeam" in description and "gs://none/pipeline.pb" in description
    assert SECRET not in description
    staged = list(payloads(proto))  # what Dataflow stages beside the description
    assert any(b"PICPIK_SECRET" in data for data in staged)
    assert not any(SECRET.encode() in data for data in staged)


def test_a_job_that_was_killed_goes_on_with_its_budget(
    picpik: Callable[..., PicpikShop], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = picpik(5, {"max_tasks": 2}, faults={"task_stuck": 1.0})
    process = shop.start()
    entries = shop.out / "ledger/tasks"
    # Billed is not enough: the kill could come before the ledger has the TaskUIDs.
    while process.poll() is None:
        known = [json.loads(path.read_bytes())["task_uid"] for path in entries.glob("*.json")]
        if sum(map(bool, known)) == 2:
            break
        time.sleep(0.02)
    process.kill()
    process.communicate()
    shop.emulator.faults = Faults({})
    for task in list(shop.emulator.tasks.values()):
        task.fate = ""
    assert shop.run("--yes") == 3
    assert shop.emulator.billed == 2
    assert summary(shop)["errors"] == {"budget_spent": 3}
    assert shop.run("--yes") == 3, "the one before came to its end, so this one has a new budget"
    assert shop.emulator.billed == 4
