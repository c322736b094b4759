"""The whole job, from one store to another, with two worker processes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import fsspec
import pyarrow.dataset
import pytest
import yaml
from PIL import Image

from alphabeam.transforms import storage
from tests.storage import servers
from tests.storage.conftest import Stores

pytestmark = pytest.mark.slow

SAMPLES = servers.REPOSITORY / "samples"


@pytest.mark.parametrize(("source", "target"), [("s3", "azure"), ("gcs", "sftp")])
def test_from_store_to_store(source: str, target: str, stores: Stores, tmp_path: Path) -> None:
    if source == "gcs" and not servers.FULL:
        pytest.skip("only with ALPHABEAM_STORES_FULL=1: takes half a minute")
    photos = sorted((SAMPLES / "images").glob("*.jpg"))[: None if servers.FULL else 3]
    if not photos:
        pytest.skip("samples/images is not there")
    read, write = stores[source], stores[target]
    folder = storage.join(read.root, "job")
    lines = ["id,image"]
    for path in photos:
        buffer = io.BytesIO()
        image = Image.open(path)
        image.thumbnail((1024, 1024) if servers.FULL else (256, 256))
        image.save(buffer, "JPEG")
        name = f"photo #{path.stem}+ä.jpg"
        uri = storage.join(folder, "photos", name)
        storage.put(uri, buffer.getvalue(), options=read.options)
        lines.append(f"{path.stem},photos/{name}")
    lines.append("gone,photos/gone.jpg")
    manifest = storage.join(folder, "manifest.csv")
    storage.put(manifest, "\n".join(lines).encode(), options=read.options)
    output = storage.join(write.root, "job", source)
    secrets = tmp_path / "secrets"
    job = {
        "input": {"manifest": manifest},
        "output": {"directory": output},
        "engine": {"kind": "local", "processes": 2},
        "max_failures": 1,
        "storage": {
            **servers.references(read.options, secrets),
            **servers.references(write.options, secrets),
        },
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job, allow_unicode=True))
    done = subprocess.run(
        [sys.executable, "run.py", str(tmp_path / "job.yaml"), "--quiet"],
        capture_output=True,
        text=True,
        cwd=servers.REPOSITORY,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    for secret in secrets.glob("*[gt]"):  # connection strings, and S3's secret
        assert secret.read_text() not in told

    protocol = output.partition("://")[0]
    place = output.partition("://")[2]
    if protocol == "sftp":
        host, _, place = place.partition("/")
        address, _, port = host.partition(":")
        options = {"host": address, "port": int(port), **write.options["sftp"]}
        place = "/" + place
    else:
        options = dict(write.options[protocol])
    fs = fsspec.filesystem(protocol, skip_instance_cache=True, **options)
    parts = [name for name in fs.find(f"{place}/metadata") if name.endswith(".parquet")]
    table = pyarrow.dataset.dataset(parts, filesystem=fs, format="parquet").to_table()
    rows = {row["id"]: row for row in table.to_pylist()}
    assert set(rows) == {*(path.stem for path in photos), "gone"}
    assert rows["gone"]["status"] == "failed" and rows["gone"]["error_code"] == "not_found"
    for path in photos:
        row = rows[path.stem]
        assert row["status"] == "done", json.dumps(row, default=str)
        cutout = storage.read(storage.resolve(output, row["cutout"]), options=write.options)
        assert Image.open(io.BytesIO(cutout)).mode == "RGBA"


def test_an_unreliable_store(tmp_path: Path) -> None:
    """A store that fails 10 % of its requests and stalls 1 %: each row ends with a right status."""
    pytest.importorskip("aiohttp")
    photos = sorted((SAMPLES / "images").glob("*.jpg"))
    if not photos:
        pytest.skip("samples/images is not there")
    small = []
    for path in photos:
        image = Image.open(path)
        image.thumbnail((160, 160))
        small.append(str(tmp_path / path.name))
        image.save(small[-1])
    port = servers.free_port()
    script = str(Path(__file__).with_name("http_server.py"))
    stop = servers.launch([sys.executable, script, str(port), *small], port)
    try:
        names = [*(f"photo-{i}" for i in range(100 if servers.FULL else 30)), "missing-1"]
        lines = [f"http://127.0.0.1:{port}/unreliable/{name}" for name in names]
        (tmp_path / "manifest.txt").write_text("\n".join(lines) + "\n")
        job = {
            "input": {
                "manifest": str(tmp_path / "manifest.txt"),
                "format": "list",
                "allow": ["http://127.0.0.1"],
            },
            "output": {"directory": str(tmp_path / "out")},
            "storage": {"http": {"timeout": 1}},
            "max_failures": 1,
        }
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        done = subprocess.run(
            [sys.executable, "run.py", str(tmp_path / "job.yaml"), "--quiet"],
            capture_output=True,
            text=True,
            cwd=servers.REPOSITORY,
        )
    finally:
        stop()
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    parts = [str(path) for path in (tmp_path / "out" / "metadata").rglob("*.parquet")]
    rows = pyarrow.dataset.dataset(parts, format="parquet").to_table().to_pylist()
    assert len(rows) == len(names)
    for row in rows:
        wanted = ("failed", "not_found") if "missing" in row["image"] else ("done", None)
        assert (row["status"], row["error_code"] or None) == wanted, row["error_message"]
