"""What workers that have only Beam are brought: a wheel of this alphabeam, pinned versions."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from alphabeam.pipelines.engines import EngineError, code
from alphabeam.pipelines.job_file import parse_job
from tests.engines.workers import bare, environment, install

ROOT = Path(__file__).parents[2]


def sources() -> set[str]:
    """Every file of the package, whose folders are links in ``src``."""
    top = ROOT / "src" / "alphabeam"
    folders = [path for path in top.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(folders) > 1
    found = {f"alphabeam/{path.name}" for path in top.iterdir() if path.is_file()}
    for folder in folders:
        found |= {
            f"alphabeam/{folder.name}/{path.relative_to(folder.resolve()).as_posix()}"
            for path in folder.resolve().rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    wheel = Path(code.make_wheel(tmp_path))
    assert wheel.name == f"alphabeam-{metadata.version('alphabeam')}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (record,) = (name for name in archive.namelist() if name.endswith("/RECORD"))
        lines = list(csv.reader(io.StringIO(archive.read(record).decode())))
        for name, digest, _ in lines:
            if name != record:
                sha256 = base64.urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest())
                assert digest == "sha256=" + sha256.decode().rstrip("=")
    assert names == sources()
    assert "alphabeam/transforms/matting/models/catalogue.onnx" in names


@pytest.mark.slow
def test_the_same_code_is_the_same_wheel(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        digests.add(Path(code.make_wheel(tmp_path / name)).read_bytes())
    assert len(digests) == 1


def test_versions_are_this_machines() -> None:
    lines = code.requirements([])
    pins = dict(line.split("==") for line in lines)
    for package in ("numpy", "onnxruntime", "opencv-python-headless", "pyarrow", "pillow"):
        assert pins[package] == metadata.version(package)
    assert "apache-beam" not in pins and "alphabeam" not in pins and "grpcio" not in pins
    assert "pytest" not in pins, "an extra that nobody asked for"
    assert lines == sorted(lines, key=lambda line: line.split("==")[0])


def test_extras_are_those_of_the_jobs_own_uris() -> None:
    def extras(manifest: str, output: str, more: str = "") -> list[str]:
        text = f"input: {{manifest: '{manifest}'}}\noutput: {{directory: '{output}'}}\n{more}"
        return [one for one in code.extras_of(parse_job(text)) if one != "http"]

    assert extras("/m.csv", "/out") == []
    assert extras("gs://a/m.csv", "gs://a/out") == ["gcs"]
    assert extras("s3://a/m.csv", "abfs://a/out") == ["azure", "s3"]
    assert extras("gs://a/m.csv", "gs://a/out", "storage: {s3: {anon: true}}") == ["gcs", "s3"]
    assert extras("zip://m.csv::sftp://host/a.zip", "gs://a/out") == ["gcs", "sftp"]


def test_a_store_whose_library_is_missing_here_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.distribution

    def without(name: str) -> metadata.Distribution:
        if name == "s3fs":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(code.metadata, "distribution", without)
    with pytest.raises(EngineError, match=r"^s3fs is not installed here, .*pip install s3fs"):
        code.requirements(["s3"])


@pytest.mark.slow
def test_further_packages_go_along(tmp_path: Path) -> None:
    pytest.importorskip("gcsfs", reason="the job's store needs it")
    own = tmp_path / "own-1.0-py3-none-any.whl"
    own.write_bytes(b"a wheel")
    (tmp_path / "staged").mkdir()
    job = parse_job("input: {manifest: gs://a/m.csv}\noutput: {directory: gs://a/out}\n")
    staged = code.stage(job, tmp_path / "staged", ["some-package==1.5", str(own)])
    assert staged.packages[1:] == [own.name]
    assert "some-package==1.5" in (tmp_path / "staged" / staged.requirements).read_text()
    assert sorted(path.name for path in (tmp_path / "staged").iterdir()) == sorted(
        [staged.requirements, *staged.packages]
    )


@pytest.mark.slow
def test_an_installed_alphabeam_is_brought_like_a_checkout(tmp_path: Path) -> None:
    """From site-packages the same wheel comes as from the checkout that it was installed from."""
    pytest.importorskip("pip")
    wheel = Path(code.make_wheel(tmp_path))
    programs = environment(tmp_path / "environment", wheel)
    (tmp_path / "again").mkdir()
    source = (
        "import sys, alphabeam; from pathlib import Path\n"
        "from alphabeam.pipelines.engines.code import make_wheel, requirements\n"
        "assert Path(sys.prefix) in Path(alphabeam.__file__).parents, alphabeam.__file__\n"
        f"make_wheel(Path({str(tmp_path / 'again')!r}))\n"
        "print('\\n'.join(requirements([])))\n"
    )
    done = subprocess.run(
        [str(programs / "python"), "-c", source],
        capture_output=True, text=True, env=bare(programs), cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()
    lines = code.requirements([])
    assert done.stdout.split() == lines
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    install(programs, "-r", tmp_path / "requirements.txt")  # all are there, in these versions
