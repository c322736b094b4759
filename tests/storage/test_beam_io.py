"""Beam's own IO on fsspec's stores: in process, in two processes, through a worker pool."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.io import fileio
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import environments

from alphabeam.transforms import beam_io, storage
from alphabeam.transforms.beam_io import FsspecPath, filesystem, output
from alphabeam.transforms.errors import ErrorCode, RowError
from tests.storage import servers
from tests.storage.conftest import Stores

pytestmark = pytest.mark.slow

SECRETS = {"ALPHABEAM_TEST_S3": "testing-secret", "ALPHABEAM_TEST_AZURE": ""}
STORES = {"s3": "fsspec+s3", "azure": "fsspec+abfs", "sftp": "fsspec+sftp", "memory": "memory"}
SCHEMA = pa.schema([("name", pa.string()), ("length", pa.int64())])
ROWS = [{"name": f"shoe {i}", "length": i} for i in range(20)]


@pytest.fixture(params=list(STORES))
def folder(
    request: pytest.FixtureRequest, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A folder as Beam is to be given it; its store's secrets are in the environment."""
    store = stores[request.param]
    options: dict[str, dict[str, Any]] = {
        name: dict(given) for name, given in store.options.items()
    }
    if "s3" in options:
        monkeypatch.setenv("ALPHABEAM_TEST_S3", options["s3"]["secret"])
        options["s3"]["secret"] = "${env:ALPHABEAM_TEST_S3}"
        monkeypatch.setenv("ALPHABEAM_TEST_S3_KEY", options["s3"]["key"])
        options["s3"]["key"] = "${env:ALPHABEAM_TEST_S3_KEY}"
    if "abfs" in options:
        monkeypatch.setenv("ALPHABEAM_TEST_AZURE", options["abfs"]["connection_string"])
        options["abfs"]["connection_string"] = "${env:ALPHABEAM_TEST_AZURE}"
    scheme = STORES[request.param]
    beam_io.register(store.root.partition("://")[0], options=options)
    uri = storage.join(store.root, "beam", request.node.name.replace("[", "-").rstrip("]"))
    yield f"{scheme}://{uri.partition('://')[2]}"
    storage.delete(storage.list(uri, options=store.options), options=store.options)


def write_and_read(runner: Any, options: PipelineOptions, folder: str, wrap: Any) -> None:
    """All five of Beam's transforms, in two pipelines."""
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        rows = pipeline | beam.Create(ROWS) | beam.Reshuffle()
        rows | "Parquet" >> beam.io.WriteToParquet(
            wrap(f"{folder}/rows"), SCHEMA, file_name_suffix=".parquet", num_shards=2
        )
        lines = rows | beam.Map(lambda row: row["name"])
        lines | "Text" >> beam.io.WriteToText(
            wrap(f"{folder}/lines"), file_name_suffix=".txt.gz", num_shards=2
        )
    names = [row["name"] for row in ROWS]
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        read = pipeline | "Parquet" >> beam.io.ReadFromParquet(wrap(f"{folder}/rows*.parquet"))
        assert_that(read, equal_to(ROWS), label="Rows")
        read = pipeline | "Text" >> beam.io.ReadFromText(wrap(f"{folder}/lines*"))
        assert_that(read, equal_to(names), label="Lines")
        read = (
            pipeline | beam.Create([wrap(f"{folder}/lines-*-of-*.gz")]) | beam.io.ReadAllFromText()
        )
        assert_that(read, equal_to(names), label="AllLines")
        paths = (
            pipeline
            | "Match" >> fileio.MatchFiles(wrap(f"{folder}/*"))
            | beam.Map(lambda found: str(found.path).rpartition("/")[2])
        )
        shards = [
            *(f"rows-0000{i}-of-00002.parquet" for i in range(2)),
            *(f"lines-0000{i}-of-00002.txt.gz" for i in range(2)),
        ]
        assert_that(paths, equal_to(shards), label="Paths")


def test_in_process(folder: str) -> None:
    write_and_read(FnApiRunner(), PipelineOptions([]), folder, str)
    assert len(FileSystems.match([f"{folder}/**"])[0].metadata_list) == 4, "something was left"


def skip_if_not_shared(folder: str) -> None:
    if folder.startswith("memory"):
        pytest.skip("each process has a memory:// of its own")
    if not (servers.FULL or folder.startswith("fsspec+s3")):
        pytest.skip("only with ALPHABEAM_STORES_FULL=1: takes half a minute")


def test_in_two_processes(folder: str) -> None:
    """The local runner tells its worker processes no options, so the path has to bring them."""
    skip_if_not_shared(folder)
    arguments = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    write_and_read(FnApiRunner(), PipelineOptions(arguments), folder, beam_io.beam_path)


_PLUGIN = """
import json, os
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.io.filesystems import FileSystems
os.environ["ALPHABEAM_TEST_TOKEN"] = "hunter22"
sdk_worker_main.create_harness(os.environ, dry_run=True)
system = FileSystems.get_filesystem("fsspec+webdav://folder/a")
from alphabeam.transforms.storage.connections import options_of
print(json.dumps(options_of("webdav", system._options)))
"""


def test_plugin_and_options_of_a_portable_worker() -> None:
    """What Flink's and Dataflow's workers do with the pipeline's options when they start."""
    options = {
        "beam:option:beam_plugins:v1": ["alphabeam.transforms.beam_io"],
        "beam:option:fsspec_options:v1": {
            "webdav": {"base_url": "http://h", "password": "${env:ALPHABEAM_TEST_TOKEN}"}
        },
    }
    done = subprocess.run(
        [sys.executable, "-c", _PLUGIN],
        capture_output=True,
        text=True,
        cwd=servers.REPOSITORY,
        env={
            **os.environ,
            "PIPELINE_OPTIONS": json.dumps(options),
            "CONTROL_API_SERVICE_DESCRIPTOR": 'url: "localhost:1"',
        },
    )
    assert done.returncode == 0, done.stderr[-2000:]
    given = json.loads(done.stdout)
    assert given == {"base_url": "http://h", "password": "hunter22"}


@pytest.fixture
def worker_pool(folder: str) -> Iterator[str]:
    skip_if_not_shared(folder)
    port = servers.free_port()
    command = [
        sys.executable,
        "-m",
        "apache_beam.runners.worker.worker_pool_main",
        f"--service_port={port}",
    ]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    env = {
        "PYTHONPATH": str(servers.REPOSITORY / "src"),
        "PATH": path,
    }  # it runs whatever `python` is
    stop = servers.launch(command, port, env=env)
    yield f"localhost:{port}"
    stop()


def test_in_a_worker_pool(folder: str, worker_pool: str) -> None:
    """The pool was started by hand, and knows nothing of plugins or options."""
    runner = FnApiRunner(default_environment=environments.ExternalEnvironment(worker_pool))
    write_and_read(runner, PipelineOptions([]), folder, beam_io.beam_path)


def test_operations(folder: str) -> None:
    """Beam's file system interface, as its sinks use it."""
    first, second = f"{folder}/a b#1.txt", f"{folder}/deep/c.txt"
    FileSystems.mkdirs(folder)
    for path in (first, second):
        with FileSystems.create(path) as file:
            file.write(b"0123456789")
    assert FileSystems.exists(first) and not FileSystems.exists(f"{folder}/none")
    with FileSystems.open(first) as file:
        file.seek(4)
        assert file.read(2) == b"45"
    found = FileSystems.match([f"{folder}/*", f"{folder}/**", first, f"{folder}/none"])
    assert [[str(m.path) for m in result.metadata_list] for result in found] == [
        [first],
        [first, second],
        [first],
        [],
    ]
    assert found[0].metadata_list[0].size_in_bytes == 10
    moved = f"{folder}/moved/d.txt"
    FileSystems.mkdirs(f"{folder}/moved")
    FileSystems.rename([first], [moved])
    FileSystems.rename([first], [moved])  # a bundle that is tried again
    FileSystems.copy([moved], [f"{folder}/moved/e.txt"])
    assert not FileSystems.exists(first)
    assert FileSystems.last_updated(moved) > 1.6e9
    with pytest.raises(BeamIOError) as caught:
        FileSystems.rename([f"{folder}/none"], [f"{folder}/some"])
    assert "not_found" in str(caught.value.exception_details)
    FileSystems.delete([f"{folder}/moved", second])
    assert FileSystems.match([f"{folder}/**"])[0].metadata_list == []
    assert FileSystems.join(folder, "a", "b") == f"{folder}/a/b"
    assert FileSystems.split(first) == (folder, "a b#1.txt")


def test_an_unfinished_output_leaves_nothing() -> None:
    beam_io.register("memory")
    path = "memory://unfinished/a.txt"
    with pytest.raises(ZeroDivisionError), FileSystems.create(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert not FileSystems.exists(path)
    dropped = FileSystems.create(path)
    dropped.write(b"half")
    del dropped
    gc.collect()
    assert not FileSystems.exists(path)


def test_a_large_output_goes_through_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    beam_io.register("memory")
    monkeypatch.setattr(output, "_IN_MEMORY", 1000)
    with FileSystems.create("memory://large/a.bin") as file:
        for _ in range(100):
            file.write(os.urandom(100))
        assert file.tell() == 10_000
    assert FileSystems.match(["memory://large/a.bin"])[0].metadata_list[0].size_in_bytes == 10_000


def test_secrets_are_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHABEAM_TEST_S3", "hunter22")
    monkeypatch.setattr(filesystem._registered, "options", {})
    beam_io.register("s3", options={"s3": {"secret": "${env:ALPHABEAM_TEST_S3}"}})
    pickled = pickle.dumps(beam_io.beam_path("fsspec+s3://b/a"))
    assert b"hunter22" not in pickled and b"ALPHABEAM_TEST_S3" in pickled
    assert type(pickle.loads(pickled)) is FsspecPath
    with pytest.raises(RowError) as caught:
        beam_io.register("s3", options={"s3": {"secret": "hunter22"}})
    assert caught.value.code is ErrorCode.INVALID_PARAMETER
    assert "hunter22" not in caught.value.message


_TAKE_OVER = """
import sys
from apache_beam.io.filesystems import FileSystems
from alphabeam.transforms.beam_io import register
register("s3")
print(type(FileSystems.get_filesystem("s3://b/a")).__module__.split(".")[0])
register("s3", "azfs", take_over=True)
print(type(FileSystems.get_filesystem("s3://b/a")).__module__.split(".")[0])
print(type(FileSystems.get_filesystem("azfs://b/a")).__module__.split(".")[0])
print(type(FileSystems.get_filesystem("/a")).__module__.split(".")[0])
"""


def test_take_over() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TAKE_OVER],
        capture_output=True,
        text=True,
        cwd=servers.REPOSITORY,
        check=True,
    )
    assert done.stdout.split() == ["apache_beam", "alphabeam", "alphabeam", "apache_beam"]


def test_unknown_protocol() -> None:
    with pytest.raises(RowError) as caught:
        beam_io.register("s4")
    assert caught.value.code is ErrorCode.INVALID_URI
