"""A stand-in for Dataflow: takes jobs over REST, and runs each as fresh VMs would.

A job's staged files are read from the store. What they say is installed into a new environment,
which has the dependencies of this one and no alphabeam, and a worker pool in it runs the graph with
nothing of the launcher's. A job that reads an image (``sdk_container_image``) gets an environment
with alphabeam in it, and nothing is installed. Jobs with the same files to install have the same
machines, which keep nothing of a job: its workers are processes of its own.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from alphabeam.transforms import storage
from tests.engines.workers import Pool, environment, install, pool

_TIME = "2026-11-26T00:00:00.000Z"


class Machines:
    """Worker pools, each in an environment that was made of what a job has staged.

    Args:
        folder: Where the environments lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pools: dict[str, Pool] = {}
        self._running = ExitStack()
        self._lock = threading.Lock()

    def of(self, staged: Path, *, image: bool) -> Pool:
        """The pool for a job that has staged these files, or that reads an image."""
        given = hashlib.sha256(b"image" if image else b"")
        for path in sorted(staged.iterdir()):
            if path.name.startswith("requirements") or path.suffix == ".whl":
                given.update(path.name.encode() + path.read_bytes())
        key = given.hexdigest()
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._started(self._folder / key[:12], staged, image)
        return self._pools[key]

    def _started(self, folder: Path, staged: Path, image: bool) -> Pool:
        programs = environment(folder, alphabeam=image)
        if (staged / "requirements.txt").exists():
            extra = (staged / "extra_packages.txt").read_text().split()
            install(programs, "-r", staged / "requirements.txt", *(staged / name for name in extra))
        return self._running.enter_context(pool(programs))

    def stop(self) -> None:
        """Ends them all."""
        self._running.close()


class Service:
    """The jobs, and the store that they are staged in.

    Attributes:
        jobs: Each as it was submitted, by id.
        states: Of each.
        messages: Of each, with their importance.
        pools: The workers of jobs that run.
        staged: Names of what each job staged.
    """

    def __init__(self, options: storage.StorageOptions, machines: Machines) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.states: dict[str, str] = {}
        self.messages: dict[str, list[tuple[str, str]]] = {}
        self.metrics: dict[str, list[dict[str, Any]]] = {}
        self.pools: dict[str, Pool] = {}
        self.staged: dict[str, list[str]] = {}
        self.endpoint = ""
        self._options = options
        self._machines = machines

    def create(self, job: dict[str, Any]) -> str:
        """Takes a job, and runs it on a thread."""
        id = f"2026-11-26_{len(self.jobs)}"
        self.jobs[id], self.states[id] = job, "PENDING"
        self.messages[id], self.metrics[id] = [], []
        threading.Thread(target=self._run, args=(id,), daemon=True).start()
        return id

    def cancel(self, id: str) -> None:
        """Ends a job and its workers."""
        self.states[id] = "CANCELLED"
        if id in self.pools:
            self.pools[id].kill()

    def _run(self, id: str) -> None:
        with tempfile.TemporaryDirectory(prefix="vm-") as folder:
            try:
                self._run_in(id, Path(folder))
            except BaseException:
                self.messages[id].append(("JOB_MESSAGE_ERROR", traceback.format_exc()))
                self._end(id, "FAILED")

    def _end(self, id: str, state: str) -> None:
        if self.states[id] != "CANCELLED":
            self.states[id] = state

    def _run_in(self, id: str, folder: Path) -> None:
        given = self.jobs[id]["environment"]["sdkPipelineOptions"]["options"]
        read = storage.read(given["pipelineUrl"], options=self._options)
        graph = beam_runner_api_pb2.Pipeline.FromString(read)
        (docker,) = graph.components.environments.values()
        staged = folder / "staged"
        staged.mkdir()
        for artifact in docker.dependencies:
            name = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(
                artifact.role_payload
            ).staged_name
            url = beam_runner_api_pb2.ArtifactUrlPayload.FromString(artifact.type_payload).url
            (staged / name).write_bytes(storage.read(url, options=self._options))
        self.staged[id] = sorted(path.name for path in staged.iterdir())
        workers = self._machines.of(staged, image=bool(given.get("sdk_container_image")))
        self.pools[id] = workers
        docker.urn = common_urns.environments.EXTERNAL.urn
        docker.payload = beam_runner_api_pb2.ExternalPayload(
            endpoint={"url": workers.address}
        ).SerializeToString()
        del docker.dependencies[:]
        if self.states[id] == "CANCELLED":
            return
        self.states[id] = "RUNNING"
        runner = FnApiRunner()
        runner._num_workers = min(2, int(given.get("max_num_workers", 1)))
        result = runner.run_via_runner_api(graph, PipelineOptions([]))
        result.wait_until_finish()
        counters = result.metrics().query()["counters"]
        self.metrics[id] = [
            {
                "name": {
                    "origin": "user",
                    "name": one.key.metric.name,
                    "context": {"namespace": one.key.metric.namespace, "step": one.key.step},
                },
                "scalar": one.result,
            }
            for one in counters
        ]
        self._end(id, str(result.state))


def _handler(service: Service) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def reply(self, value: Any, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def body(self) -> Any:
            return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def shown(self, id: str) -> dict[str, Any]:
            return {
                "id": id,
                "name": service.jobs[id].get("name"),
                "projectId": "my-project",
                "location": "europe-west1",
                "currentState": f"JOB_STATE_{service.states[id]}",
                "createTime": _TIME,
            }

        def do_POST(self) -> None:
            self.reply(self.shown(service.create(self.body())))

        def do_PUT(self) -> None:
            id = self.path.partition("/jobs/")[2].partition("?")[0]
            if self.body().get("requestedState") in ("JOB_STATE_CANCELLED", 5):
                service.cancel(id)
            self.reply(self.shown(id))

        def do_GET(self) -> None:
            found = re.search(r"/jobs/([^/?]+)(/messages|/metrics)?", self.path)
            if found is None or found[1] not in service.jobs:
                error = {"code": 404, "message": "no such job", "status": "NOT_FOUND"}
                self.reply({"error": error}, 404)
            elif found[2] == "/messages":
                self.reply(
                    {
                        "jobMessages": [
                            {
                                "id": f"{number:06d}",
                                "time": _TIME,
                                "messageText": text,
                                "messageImportance": importance,
                            }
                            for number, (importance, text) in enumerate(service.messages[found[1]])
                        ]
                    }
                )
            elif found[2] == "/metrics":
                self.reply({"metrics": service.metrics[found[1]]})
            else:
                self.reply(self.shown(found[1]))

    return Handler


@contextmanager
def running_service(options: storage.StorageOptions, machines: Machines) -> Iterator[Service]:
    """A service on a port of loopback."""
    service = Service(options, machines)
    handler = _handler(service)
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        service.endpoint = f"http://localhost:{server.server_port}"
        yield service
        deadline = time.monotonic() + 60
        while "RUNNING" in service.states.values() and time.monotonic() < deadline:
            time.sleep(0.2)
        server.shutdown()
        for workers in service.pools.values():  # also of jobs that were cancelled
            workers.kill()
