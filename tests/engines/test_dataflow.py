"""Whole jobs on a stand-in for Dataflow: from `gs://` to `gs://`, by what was staged alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from apache_beam import version
from apache_beam.portability.api import beam_runner_api_pb2

from alphabeam.pipelines.flex_launch import launch
from alphabeam.transforms import storage
from tests.conftest import encoded, product, tiny_onnx
from tests.engines.dataflow_service import Machines, Service, running_service
from tests.storage import servers

pytest.importorskip("google.cloud.dataflow", reason="needs the extra 'dataflow'")
pytest.importorskip("pip", reason="the workers' environment is made with pip")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc"),
]

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("dataflow_job.json")


class Cloud:
    """A store, Dataflow, and a launcher's folder.

    Args:
        folder: The launcher's.
        root: A folder of the store.
        options: What reaches the store.
        service: Dataflow.
    """

    def __init__(
        self, folder: Path, root: str, options: storage.StorageOptions, service: Service
    ) -> None:
        self.folder = folder
        self.root = root
        self.options = options
        self.service = service
        self.out = f"{root}/out"
        self.job = folder / "summer shoes.yaml"

    def fill(self, count: int) -> None:
        lines = ["image"]
        for number in range(count):
            lines.append(f"images/p{number}.png")
            self.put(lines[-1], encoded(product(number)))
        self.put("manifest.csv", "\n".join(lines).encode())

    def put(self, name: str, data: bytes) -> None:
        storage.put(f"{self.root}/{name}", data, options=self.options)

    def write(self, model: Path | None = None, **engine: Any) -> None:
        options = {
            "dataflow_endpoint": self.service.endpoint,
            "no_auth": True,
            **engine.pop("options", {}),
        }
        job: dict[str, Any] = {
            "input": {"manifest": f"{self.root}/manifest.csv"},
            "output": {"directory": self.out},
            "engine": {
                "kind": "dataflow",
                "project": "my-project",
                "region": "europe-west1",
                "staging": f"{self.root}/staging",
                "workers": 1,
                "options": options,
                **engine,
            },
            "storage": {name: dict(given) for name, given in self.options.items()},
        }
        if model is not None:
            job["backend"] = {"model": str(model)}
        self.job.write_text(yaml.safe_dump(job))

    def run(self, *arguments: str) -> int:
        from alphabeam.pipelines.command import main

        return main([str(self.job), "--quiet", *arguments])

    def names(self, folder: str) -> list[str]:
        uris = storage.list(f"{self.root}/{folder}", options=self.options)
        return [uri.removeprefix(f"{self.root}/") for uri in uris]

    def read(self, name: str) -> bytes:
        return storage.read(f"{self.root}/{name}", options=self.options)

    def summary(self) -> dict[str, Any]:
        return json.loads(self.read("out/summary.json"))

    def outputs(self) -> dict[str, bytes]:
        names = [*self.names("out/cutouts"), *self.names("out/masks")]
        return {name: self.read(name) for name in names}


@pytest.fixture(scope="module")
def store() -> Iterator[servers.Store]:
    try:
        running = servers.start_gcs()
    except servers.MissingServerError as reason:
        pytest.skip(f"no gcs server: {reason}")
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    os.environ["STORAGE_EMULATOR_HOST"] = running.options["gs"]["endpoint_url"]
    yield running
    if before is None:
        del os.environ["STORAGE_EMULATOR_HOST"]
    else:
        os.environ["STORAGE_EMULATOR_HOST"] = before
    running.stop()


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    running = Machines(tmp_path_factory.mktemp("machines"))
    yield running
    running.stop()


@pytest.fixture
def cloud(
    store: servers.Store, machines: Machines, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Cloud]:
    root = f"{store.root}/{re.sub(r'[^a-z]+', '-', request.node.name)}"
    with running_service(store.options, machines) as service:
        yield Cloud(tmp_path, root, store.options, service)


@pytest.fixture
def own_model(tmp_path: Path) -> Path:
    """A model of the user's own, with what it wants in a file beside it."""
    (tmp_path / "own.onnx").write_bytes(tiny_onnx())
    (tmp_path / "own.json").write_text(json.dumps({"input_size": 64}))
    return tmp_path / "own.onnx"


def test_a_job_by_what_was_staged_alone(
    cloud: Cloud, own_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fill(12)
    cloud.write(own_model, workers=3)
    assert cloud.run("--check") == 0
    assert "dataflow: at most 3 x n2-standard-4" in capsys.readouterr().out
    assert not cloud.service.jobs and not cloud.names("staging"), "--check leaves nothing"
    assert cloud.run() == 0
    assert capsys.readouterr().out.startswith("summer shoes: 12 rows: 12 done, 0 failed; ")
    (id,) = cloud.service.jobs
    staged = cloud.service.staged[id]
    assert [name for name in staged if name.endswith(".whl")] and "requirements.txt" in staged
    assert not [name for name in staged if "submission" in name]
    assert cloud.summary()["done"] == cloud.summary()["metrics"]["rows_done"] == 12
    assert len(cloud.names("staging/models")) == 1

    there = cloud.outputs()
    text = cloud.job.read_text()
    cloud.job.write_text(text[: text.index("engine:")] + text[text.index("input:") :])
    assert cloud.run("--fresh", "--set", f"output.directory={cloud.root}/again") == 0
    cloud_out = {name.replace("again/", "out/"): cloud.read(name) for folder in ("cutouts", "masks")
                 for name in cloud.names(f"again/{folder}")}  # fmt: skip
    assert len(there) == 24 and cloud_out == there, "the same to the bit"
    assert cloud.run() == 0
    assert cloud.summary()["finished_before"] == 12, "gone on with on another engine"


def test_the_samples(cloud: Cloud) -> None:
    for name in ("mug", "vase", "wheel"):
        cloud.put(f"{name}.jpg", (ROOT / "samples" / "images" / f"{name}.jpg").read_bytes())
    cloud.put("manifest.csv", b"image\nmug.jpg\nvase.jpg\nwheel.jpg\n")
    cloud.write()
    assert cloud.run() == 0
    assert len(cloud.outputs()) == 6


def test_with_an_image_nothing_is_staged(cloud: Cloud, own_model: Path) -> None:
    here = f"py{sys.version_info.major}.{sys.version_info.minor}-beam{version.__version__}"
    cloud.fill(3)
    cloud.write(own_model, image=f"shop/alphabeam:{here}", public_ips=False)
    assert cloud.run() == 0
    (job,) = cloud.service.jobs.values()
    (staged,) = cloud.service.staged.values()
    assert staged == []
    (worker_pool,) = job["environment"]["workerPools"]
    assert worker_pool["workerHarnessContainerImage"] == f"shop/alphabeam:{here}"
    assert worker_pool["ipConfiguration"] in ("WORKER_IP_PRIVATE", 2)


def test_the_job_that_dataflow_is_given(
    cloud: Cloud, own_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, labels and sizes; no secret, and no path of the launcher's."""
    monkeypatch.setenv("HUSH", "the-secret-itself")
    cloud.fill(1)
    cloud.write(
        own_model,
        labels={"team": "shoes"},
        service_account="cutter@my-project.iam.gserviceaccount.com",
        subnetwork="regions/europe-west1/subnetworks/inner",
        workers=3,
        wait=False,
    )
    job = yaml.safe_load(cloud.job.read_text())
    job["storage"]["s3"] = {"secret": "${gcp-secret:projects/my-project/secrets/s3/versions/1}"}
    cloud.job.write_text(yaml.safe_dump(job))
    monkeypatch.setenv("SECRET_MANAGER_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.setattr("alphabeam.pipelines.check.resolve", lambda value, _: value)
    assert cloud.run() == 0
    (id,) = cloud.service.jobs
    given = cloud.service.jobs[id]
    text = json.dumps(given)
    graph = storage.read(
        given["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"], options=cloud.options
    )
    # Beam names its own files; where the environment lies in the checkout, these are in it.
    payloads = [one.replace(sys.prefix.encode(), b"") for one in (graph, *_payloads(graph))]
    for hidden in ("the-secret-itself", str(cloud.folder), str(ROOT), os.environ["HOME"] + "/"):
        assert hidden not in text
        assert not [one for one in payloads if hidden.encode() in one], hidden
    if os.environ.get("ALPHABEAM_GOLDEN"):  # set it to write the file anew
        GOLDEN.write_text(json.dumps(_normalized(given, cloud), indent=1, sort_keys=True) + "\n")
    assert _normalized(given, cloud) == json.loads(GOLDEN.read_text())
    assert cloud.run("--cancel") == 0


def _payloads(graph: bytes) -> list[bytes]:
    """What is pickled and compressed in a graph."""
    import base64
    import bz2
    import contextlib
    import zlib

    found = []
    pipeline = beam_runner_api_pb2.Pipeline.FromString(graph)
    for transform in pipeline.components.transforms.values():
        payload = transform.spec.payload
        for part in re.findall(rb"[A-Za-z0-9+/=]{60,}", payload):
            with contextlib.suppress(Exception):
                data = base64.b64decode(part)
                for opened in (bz2.decompress, zlib.decompress):
                    with contextlib.suppress(Exception):
                        found.append(opened(data))
    assert found, "the functions of the graph were found"
    return found


def _normalized(job: dict[str, Any], cloud: Cloud) -> dict[str, Any]:
    """A job without what differs from run to run."""
    text = json.dumps(job, sort_keys=True)
    for value, name in (
        (cloud.root.removeprefix("gs://"), "ROOT"),
        (cloud.service.endpoint, "ENDPOINT"),
        (version.__version__, "BEAM"),
        (f"python{sys.version_info.major}.{sys.version_info.minor}", "PYTHON"),
        (f"Python {sys.version_info.major}.{sys.version_info.minor}", "PYTHON"),
        (f"alphabeam-{metadata.version('alphabeam')}-py3", "alphabeam-VERSION-py3"),
    ):
        text = text.replace(value, name)
    text = re.sub(r"\d{10}\.\d+|\d{14,}[-\d]*", "TIME", text)
    job = json.loads(text)
    options = job["environment"]["sdkPipelineOptions"].pop("options")
    job["environment"].pop("sdkPipelineOptions")
    kept = ("extra_packages", "requirements_file", "labels", "job_name", "max_num_workers")
    job["options"] = {name: options.get(name) for name in kept}
    job["labels"]["alphabeam"] = "VERSION"
    job["options"]["labels"] = sorted(
        re.sub(r"^alphabeam=.*", "alphabeam=VERSION", label) for label in options["labels"]
    )
    for image in job["environment"]["workerPools"][0]["sdkHarnessContainerImages"]:
        del image["capabilities"]  # Beam's own
    for name in ("clientRequestId", "steps", "pipelineDescription", "createTime"):
        job.pop(name, None)
    return job


def test_detach_status_a_second_start_and_the_end(
    cloud: Cloud, own_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fill(30)
    cloud.write(own_model, wait=False)
    assert cloud.run() == 0
    (id,) = cloud.service.jobs
    assert capsys.readouterr().out.startswith(f"summer shoes: submitted as {id}; --status ")
    assert cloud.run("--status") == 0
    assert re.match(r"summer shoes: (pending|running) on dataflow, job ", capsys.readouterr().out)
    assert cloud.run() == 1
    assert f"job {id} of " in capsys.readouterr().err
    assert cloud.run("--prune") == 1
    assert "--prune comes after the run's end" in capsys.readouterr().err
    _until(lambda: cloud.service.states[id] == "DONE")
    assert (cloud.summary()["done"], cloud.summary()["metrics"]) == (30, {}), "by the last step"
    assert cloud.run("--wait") == 0
    assert "30 rows: 30 done" in capsys.readouterr().out
    assert cloud.summary()["metrics"]["rows_done"] == 30
    assert cloud.run("--status") == 0
    assert "30 of 30 rows: 30 done" in capsys.readouterr().out


def test_cancel_and_go_on(
    cloud: Cloud, own_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fill(20)
    cloud.write(own_model, wait=False)
    assert cloud.run() == 0
    _until(lambda: "RUNNING" in cloud.service.states.values())
    assert cloud.run("--cancel") == 0
    assert capsys.readouterr().out.endswith(" is cancelled\n")
    assert "out/summary.json" not in cloud.names("out")
    assert cloud.run("--wait") == 1
    assert "was cancelled before it was done; start it again" in capsys.readouterr().err
    cloud.write(own_model)
    assert cloud.run() == 0
    assert cloud.summary()["done"] == 20


def test_a_failed_worker_is_said_in_one_line(
    cloud: Cloud, own_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fill(2)
    cloud.write(own_model, packages=["no-such-package-as-this==1.0"])
    assert cloud.run() == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("summer shoes: ") and "no-such-package-as-this" in line, line
    assert cloud.run("--status") == 0
    assert "failed on dataflow" in capsys.readouterr().out
    cloud.write(own_model)
    assert cloud.run() == 0, "the lease of a job that failed is free"


def test_a_template_and_a_dry_run(
    cloud: Cloud, own_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fill(1)
    cloud.write(own_model, options={"template_location": f"{cloud.root}/template.json"})
    assert cloud.run() == 0
    assert "was written, and nothing runs; it is for one run" in capsys.readouterr().out
    assert json.loads(cloud.read("template.json"))["name"] == "alphabeam-summer-shoes"
    cloud.write(own_model, options={"dry_run": True})
    assert cloud.run() == 0
    assert "a dry run: the graph was built, and nothing was submitted" in capsys.readouterr().out
    assert not cloud.service.jobs


def test_a_flex_template_launches_jobs(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    """As the container does it: the graph is written where Dataflow asks for it, and run by it."""
    here = f"py{sys.version_info.major}.{sys.version_info.minor}-beam{version.__version__}"
    cloud.fill(2)
    cloud.write()
    job = yaml.safe_load(cloud.job.read_text())
    job["engine"]["options"] = {"dataflow_endpoint": cloud.service.endpoint, "no_auth": True}
    job["input"]["manifest"], job["output"]["directory"] = "gs://none/m.csv", "gs://none/out"
    cloud.put("jobs/shoes.yaml", yaml.safe_dump(job).encode())
    given = [
        "--runner=DataflowRunner", "--project=my-project", "--region=europe-west1",
        "--job_name=launched", f"--template_location={cloud.root}/graph.json",
        f"--staging_location={cloud.root}/staging", f"--temp_location={cloud.root}/temp",
        f"--sdk_container_image=shop/alphabeam:{here}",
    ]  # fmt: skip
    ours = [
        f"--job={cloud.root}/jobs/shoes.yaml", f"--manifest={cloud.root}/manifest.csv",
        f"--output={cloud.out}", "--workers=2",
    ]  # fmt: skip
    assert launch([*given, *ours]) == 0, capsys.readouterr().err
    assert "was written, and nothing runs" in capsys.readouterr().out
    assert not cloud.service.jobs
    graph = json.loads(cloud.read("graph.json"))
    assert graph["name"] == "launched"
    assert graph["environment"]["workerPools"][0]["autoscalingSettings"]["maxNumWorkers"] == 2
    id = cloud.service.create(graph)
    _until(lambda: cloud.service.states[id] in ("DONE", "FAILED"))
    assert cloud.summary()["done"] == 2
    assert cloud.service.staged[id] == []
    assert launch([*given, f"--job={cloud.root}/jobs/none.yaml"]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_ctrl_c_leaves_the_job_running(cloud: Cloud, own_model: Path) -> None:
    cloud.fill(20)
    cloud.write(own_model)
    launcher = subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), str(cloud.job), "--quiet"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    _until(lambda: "RUNNING" in cloud.service.states.values() or launcher.poll() is not None)
    launcher.send_signal(signal.SIGTERM)
    _, err = launcher.communicate(timeout=120)
    assert launcher.returncode == 130 and "left running as 2026-" in err, err
    assert cloud.run("--wait") == 0


def _until(true: Any, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
