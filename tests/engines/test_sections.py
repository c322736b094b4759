"""The engine sections: what they become for Beam, and which of their mistakes are seen early."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apache_beam import version

from alphabeam.pipelines.check import probe
from alphabeam.pipelines.engines import (
    DataflowEngine,
    EngineError,
    FlinkEngine,
    pipeline_options,
    threads_of,
)
from alphabeam.pipelines.engines.beam_options import arguments_of, known_options
from alphabeam.pipelines.engines.machines import machine
from alphabeam.pipelines.engines.models import with_uploaded_model
from alphabeam.pipelines.job import Job
from alphabeam.pipelines.job_file import JobFileError, load_job, parse_job
from tests.conftest import Shop

CONFIGS = Path(__file__).parents[2] / "configs"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PLACES = "input:\n  manifest: gs://shop/m.csv\noutput:\n  directory: gs://shop/out\n"
ENGINES = {
    "dataflow": "kind: dataflow\n  project: my-project\n  region: europe-west1\n"
    "  staging: gs://shop/staging\n  workers: 20",
    "flink": "kind: flink\n  master: flink:8081\n  parallelism: 4\n"
    "  environment: docker://shop/alphabeam",
    "portable": "kind: portable\n  job_endpoint: jobs:8099\n  environment: external://pool:50000",
}


def job_text(kind: str, more: str = "", places: str = PLACES) -> str:
    lines = "".join(f"  {line}\n" for line in more.splitlines())
    return f"{places}engine:\n  {ENGINES[kind]}\n{lines}"


def job(kind: str, more: str = "", places: str = PLACES) -> Job:
    return parse_job(job_text(kind, more, places), "/jobs/summer shoes.yaml")


def complaints(kind: str, more: str = "", places: str = PLACES) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        job(kind, more, places)
    return str(caught.value).splitlines()


def options(kind: str, more: str = "", *beam_arguments: str) -> dict[str, Any]:
    made = pipeline_options(job(kind, more), beam_arguments)
    return dict(made.get_all_options(drop_default=True, retain_unknown_options=True))


def test_dataflow_in_beams_words() -> None:
    found = options("dataflow", "service_account: a@b.c\nlabels: {team: shoes}")
    assert found["runner"] == "DataflowRunner"
    assert (found["project"], found["region"]) == ("my-project", "europe-west1")
    assert found["job_name"] == "alphabeam-summer-shoes"
    assert found["staging_location"] == "gs://shop/staging/staging"
    assert found["temp_location"] == "gs://shop/staging/temp"
    assert (found["max_num_workers"], found["machine_type"]) == (20, "n2-standard-4")
    assert "no_use_multiple_sdk_containers" in found["experiments"], "one process per VM"
    assert found["service_account_email"] == "a@b.c"
    assert "team=shoes" in found["labels"] and "alphabeam-job=summer-shoes" in found["labels"]
    assert "use_public_ips" not in found and "sdk_container_image" not in found


def test_threads_are_those_of_the_machine_that_works() -> None:
    """0 means all cores of wherever the process is; never this machine's."""
    assert threads_of(job("dataflow")) == (0, 0)
    one_each = "processes: 0\npixels_in_flight: 32000000"
    assert threads_of(job("dataflow", one_each)) == (1, 1)
    assert threads_of(job("flink", "threads: 3")) == (3, 3)
    found = options("dataflow", one_each)
    assert "no_use_multiple_sdk_containers" not in found["experiments"]


def test_flink_and_portable_in_beams_words() -> None:
    found = options("flink", "version: '1.20'")
    assert (found["runner"], found["flink_master"]) == ("FlinkRunner", "flink:8081")
    assert found["parallelism"] == 4
    assert found.get("flink_version", "1.20") == "1.20", "which the lowest Beam does not know"
    assert (found["environment_type"], found["environment_config"]) == ("DOCKER", "shop/alphabeam")
    found = options("portable")
    assert (found["runner"], found["job_endpoint"]) == ("PortableRunner", "jobs:8099")
    assert (found["environment_type"], found["environment_config"]) == ("EXTERNAL", "pool:50000")
    text = job_text("portable").replace("external://pool:50000", "process:///opt/boot")
    made = pipeline_options(parse_job(text)).get_all_options()
    assert made["environment_config"] == '{"command": "/opt/boot"}'


def test_beams_own_options_win() -> None:
    more = "options: {machine_type: c3-standard-4, experiments: [a], num_workers: 3}"
    found = options("dataflow", more, "--max_num_workers=7")
    assert found["machine_type"] == "c3-standard-4"
    assert (found["num_workers"], found["max_num_workers"]) == (3, 7)
    assert {"a", "no_use_multiple_sdk_containers"} <= set(found["experiments"]), "lists add up"


def test_options_of_a_job_server_are_passed_on() -> None:
    found = options("flink", "options: {checkpointing_interval: 60000}")
    assert found["checkpointing_interval"] in (60000, "60000")


def test_all_of_beams_options_are_known() -> None:
    assert {"max_num_workers", "flink_master", "sdk_location", "experiments"} <= known_options()
    assert "no_such_option" not in known_options()


# What is wrong, in which section, and what the only line of the complaint says.
MISTAKES: list[tuple[str, str, str, str]] = [
    ("dataflow", "manifest: /data/m.csv", "2:3: input.manifest", "stores only: give gs://BUCKET"),
    ("dataflow", "directory: out", "4:3: output.directory", "/jobs/out is on this machine"),
    ("dataflow", "workers: 20->", "5:1: engine.workers", "is missing; it has no default"),
    ("dataflow", "options: {max_worker: 3}", "engine.options.max_worker", "no such option"),
    ("dataflow", "options: {max_num_worker: 3}", "max_num_worker", "did you mean 'max_num_work"),
    ("dataflow", "options: {s3_secret_access_key: '${env:A:-b}'}", "secret_access", "a secret"),
    ("dataflow", "options: {runner: FlinkRunner}", "engine.options.runner", "engine.kind says"),
    ("dataflow", "staging: s3://shop/x", "engine.staging", "should match pattern '^gs://"),
    ("dataflow", "image: gcr.io/x/beam_python3.9_sdk:2.40.0", "engine.image", "Python 3.9, and th"),
    ("dataflow", f"image: shop/alphabeam:py{HERE}-beam2.40.0", "engine.image", "it has Beam 2.40"),
    ("dataflow", "machine_type: e2-highcpu-2", "11:3: engine.machine_type", "need 3.5 GB; set"),
    ("dataflow", "machine_type: n2-highmem-8\nprocesses: 0\npixels_in_flight: 300000000",
     "engine.machine_type", "has 64 GB, and 8 process(es)"),
    ("dataflow", "public_ips: no", "engine.public_ips", "cannot install packages; give engine.ima"),
    ("dataflow", "packages: [missing-1.0-py3-none-any.whl]", "engine.packages.0", "no such file"),
    ("dataflow", "packages: ['a b c']", "engine.packages.0", "is no requirement; write NAME==VER"),
    ("dataflow", "image: a/b\npackages: [x==1]", "engine.packages", "install them into the image"),
    ("dataflow", "labels: {Team: Shoes}", "engine.labels.Team", "lower-case letters, digits"),
    ("dataflow", "storage: {s3: {secret: '${env:S3_SECRET}'}}", "storage.s3.secret",
     "${env:S3_SECRET} is resolved on the workers, which have neither"),
    ("flink", "version: '1.1'", "engine.version", "has job servers for Flink 1.1"),
    ("flink", "master: flink:8081->", "5:1: engine.master", "is missing: HOST:PORT of the JobMan"),
    ("flink", "job_server_jar: /none.jar", "engine.job_server_jar", "/none.jar: no such file"),
    ("flink", "directory: /data/out", "output.directory", "name under engine.mounts the folder"),
    ("flink", "model: /data/own.onnx", "backend.model", "/data/own.onnx is on this machine"),
    ("flink", "wait: no", "engine.wait", "would end with its launcher; give engine.job_endpoint"),
    ("flink", "options: {paralelism: 3}", "engine.options.paralelism", "did you mean 'parallelism"),
    ("portable", "environment: pool:50000", "engine.environment", "should match pattern"),
    ("portable", "environment: docker://x/beam_python3.8_sdk", "engine.environment", "Python 3.8"),
    ("portable", "job_endpoint: jobs", "engine.job_endpoint", "should match pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "wrong", "where", "says"), MISTAKES)
def test_each_mistake_is_one_line(
    kind: str, wrong: str, where: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from alphabeam.pipelines.command import main

    text = _broken(kind, wrong)
    with pytest.raises(JobFileError) as caught:
        parse_job(text, "/jobs/shoes.yaml")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("/jobs/shoes.yaml:") and where in line and says in line, line
    (tmp_path / "job.yaml").write_text(text)
    assert main([str(tmp_path / "job.yaml"), "--check"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def _broken(kind: str, wrong: str) -> str:
    """A job file with one thing wrong in it."""
    name = wrong.partition(":")[0]
    if wrong.endswith("->"):
        return job_text(kind).replace(f"\n  {wrong[:-2]}", "")
    if name in ("manifest", "directory"):
        lines = PLACES.splitlines(keepends=True)
        places = "".join(
            f"  {wrong}\n" if line.strip().startswith(name) else line for line in lines
        )
        return job_text(kind, places=places)
    if name == "model":
        return job_text(kind, places=f"backend:\n  {wrong}\n{PLACES}")
    if name == "storage":
        return f"{job_text(kind)}{wrong}\n"
    lines = job_text(kind).splitlines()
    if any(line.strip().startswith(f"{name}:") for line in lines[5:]):
        return "".join(
            f"  {wrong}\n" if line.strip().startswith(f"{name}:") else f"{line}\n" for line in lines
        )
    return job_text(kind, wrong)


def test_what_is_no_mistake() -> None:
    image = f"shop/alphabeam:0.2-py{HERE}-beam{version.__version__}"
    more = f"image: {image}\npublic_ips: no\nlabels: {{team: shoes_2}}\nmachine_type: own-type-1"
    secret = "storage: {s3: {secret: '${env:S3_SECRET}'}}\n"
    parse_job(job_text("dataflow", more) + secret)  # an image may provide it
    parse_job(job_text("dataflow") + secret.replace("env:S3_SECRET", "gcp-secret:projects/p/secrets"
              "/s/versions/latest"))  # fmt: skip
    job("dataflow", places=f"backend: {{model: /data/own.onnx}}\n{PLACES}")  # it is brought there
    mounted = PLACES.replace("gs://shop", "/mnt/shop")
    assert job("flink", "mounts: [/mnt]", mounted).input.manifest == "/mnt/shop/m.csv"
    assert complaints("flink", "mounts: [/mn]", mounted)
    assert job("portable", "options: {any_of_its: 1}").engine.remote


@pytest.mark.parametrize("name", ["dataflow", "flink", "portable"])
def test_the_config_of_each_engine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_job(str(CONFIGS / f"{name}.yaml"))
    assert made.engine.kind == name
    assert pipeline_options(made).get_all_options()["runner"]


def test_machine_types() -> None:
    assert machine("n1-standard-1") == (1, 3.75)
    assert machine("n2d-highmem-16") == (16, 128)
    assert machine("custom-4-8192") == (4, 8)
    assert machine("e2-small") == (2, 2)
    assert machine("mystery-9") is None


def test_check_says_what_dataflow_would_cost() -> None:
    engine = job("dataflow").engine
    assert isinstance(engine, DataflowEngine)
    assert engine.images_at_once(job("dataflow")) == 80
    assert engine.dollars_per_hour() == pytest.approx(20 * (4 * 0.056 + 16 * 0.003557))
    assert next(engine.lines(job("dataflow"))) == (
        "dataflow: at most 20 x n2-standard-4 (4 cores, 16 GB), one process per VM"
    )


def test_staging_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from alphabeam.pipelines.engines import dataflow
    from alphabeam.transforms.errors import ErrorCode, RowError

    def refuse(uri: str, data: bytes, **_: Any) -> None:
        raise RowError(ErrorCode.ACCESS_DENIED, f"cannot write {uri}")

    monkeypatch.setattr(dataflow.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(dataflow.storage, "put", refuse)
    with pytest.raises(
        EngineError, match=r"engine\.staging: cannot be written: cannot write gs://"
    ):
        probe(job("dataflow"))


def test_a_job_server_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from alphabeam.pipelines.engines import portable

    monkeypatch.setattr(portable, "_PATIENCE_S", 0.2)
    text = job_text("portable").replace("jobs:8099", "localhost:9")
    with pytest.raises(EngineError, match="no job server answers at localhost:9; start one"):
        probe(parse_job(text))


def test_a_model_is_brought_to_the_store_once(
    filled_shop: Callable[..., Shop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alphabeam.pipelines.catalogue import backend_of
    from alphabeam.transforms import storage

    shop = filled_shop(1)
    here = load_job(str(shop.job))
    puts = []
    put = storage.put
    monkeypatch.setattr(storage, "put", lambda uri, *a, **k: puts.append(uri) or put(uri, *a, **k))
    there = with_uploaded_model(here, "memory://staging/models")
    assert with_uploaded_model(here, "memory://staging/models") == there
    (uri,) = puts
    assert (
        uri
        == there.backend.model
        == f"memory://staging/models/{there.backend.model_sha256}/tiny.onnx"
    )
    cores = [backend_of(one).core() for one in (here, there)]
    assert len({core.model_sha256 for core in cores}) == 1
    assert len({(core.model_name, str(core.network.preprocessing)) for core in cores}) == 1, (
        "the rows have the same fingerprints"
    )
    cascade = Job.model_validate(
        {
            "input": {"manifest": "m.csv"},
            "output": {"directory": "out"},
            "backend": {"kind": "cascade", "local": {"model": here.backend.model}},
        }
    )
    assert with_uploaded_model(cascade, "memory://staging/models").local_backend == there.backend
    embedded = here.model_copy(
        update={"backend": here.backend.model_copy(update={"model": "catalogue"})}
    )
    assert with_uploaded_model(embedded, "memory://staging/models") is embedded


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("flink", "backend.local.model: /jobs/own/net.onnx is on this machine"),
        ("dataflow", "backend.picpik.private_key: ${env:PICPIK_PRIVATE_KEY} is resolved on the"),
    ],
)
def test_a_cascades_model_and_keys_must_be_within_reach(kind: str, says: str) -> None:
    text = job_text(kind) + (
        "backend:\n  kind: cascade\n  local: {model: ./own/net.onnx}\n"
        "  picpik: {public_key: '${gcp-secret:projects/p/secrets/k/versions/1}'}\n"
    )
    with pytest.raises(JobFileError) as caught:
        parse_job(text, "/jobs/x.yaml")
    (line,) = str(caught.value).splitlines()
    assert says in line


def test_flink_is_a_job_api_engine() -> None:
    engine = job("flink").engine
    assert isinstance(engine, FlinkEngine) and not engine.keeps_running()
    assert job("portable").engine.record(job("portable")) == {"job_endpoint": "jobs:8099"}


def test_options_as_beams_parser_wants_them() -> None:
    given = {"a": None, "b": False, "labels": ["x=1"], "streaming": True, "dry_run": True}
    assert arguments_of(given) == ["--labels=x=1", "--streaming", "--dry_run=true"]
