"""The wheel and the sdist: what they hold, and that they live beside other people's packages.

A Beam repository often has folders of its own called `transforms` and `pipelines`. An installed
alphabeam must neither shadow them nor be shadowed by them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
SHIPPED = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "run.py")
FOLDERS = ("configs", "pipelines", "presets", "src", "transforms")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(importlib.util.find_spec(tool) for tool in ("build", "pip", "setuptools")),
        reason="needs pip, and build and setuptools from the extra 'test'",
    ),
]


def call(*command: str | Path, cwd: Path) -> str:
    """Runs a command without network; shows what it wrote if it fails."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PIP_NO_INDEX"] = "1"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built, symbolic links kept: nothing is built in the original."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in SHIPPED:
        shutil.copy(ROOT / name, copy)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignore)
    return copy


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel, and the sdist as Beam's `--setup_file` makes it for its workers."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.stager import Stager

    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel")
    call(*build, "-o", folder, checkout, cwd=folder)
    (wheel,) = folder.glob("*.whl")

    options = PipelineOptions([f"--setup_file={checkout / 'pyproject.toml'}"])
    Stager.create_job_resources(options, str(folder), log_submission_env_dependencies=False)
    (sdist,) = folder.glob("*.tar.gz")
    return {"sdist": sdist, "wheel": wheel}


def sources(folder: Path) -> set[str]:
    """Every file of the package, as it is to be installed."""
    found = {"alphabeam/__init__.py", "alphabeam/py.typed"}
    for top in ("pipelines", "transforms"):
        found |= {
            f"alphabeam/{path.relative_to(folder).as_posix()}"
            for path in (folder / top).rglob("*")
            if path.suffix == ".py"
            or path.parent.name in ("models", "pages")
            or path.name == "providers.yaml"
        }
    found |= {f"alphabeam/presets/{path.name}" for path in (folder / "presets").glob("*.yaml")}
    return {name for name in found if "__pycache__" not in name}


def test_the_wheel_holds_one_package_and_all_of_it(built: dict[str, Path], checkout: Path) -> None:
    names = set(zipfile.ZipFile(built["wheel"]).namelist())
    installed = {name for name in names if name.split("/")[0] == "alphabeam"}
    assert installed == sources(checkout)
    assert "alphabeam/transforms/matting/models/catalogue.onnx" in installed
    version = metadata.version("alphabeam")
    others = {tuple(name.split("/")[:2]) for name in names - installed}
    assert {first for first, _ in others} == {
        f"alphabeam-{version}.data",
        f"alphabeam-{version}.dist-info",
    }
    configs = {p.name for p in (checkout / "configs").iterdir()}
    assert {name.rsplit("/", 1)[1] for name in names if "/share/alphabeam/configs/" in name} == (
        configs
    )


def test_the_sdist_holds_the_package_and_no_link(built: dict[str, Path], checkout: Path) -> None:
    with tarfile.open(built["sdist"]) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    names = {member.name.split("/", 1)[1] for member in members if "/" in member.name}
    assert {f"src/{name}" for name in sources(checkout)} <= names
    assert {"run.py", "LICENSE", "README.md"} <= names
    assert not any(name.startswith("tests") for name in names)


USE = """
import sys, pathlib
import numpy as np
import transforms, pipelines, transforms.theirs
assert transforms.OWNER == pipelines.OWNER == "somebody else", transforms.__file__
assert transforms.theirs.OWNER == "somebody else"

import alphabeam
from alphabeam import MattingCore, ReadManifest, RemoveBackground
assert pathlib.Path(sys.prefix) in pathlib.Path(alphabeam.__file__).parents, alphabeam.__file__
assert ReadManifest.__module__.startswith("alphabeam.transforms.")
for name in alphabeam.__all__:
    getattr(alphabeam, name)
import alphabeam.pipelines.catalogue
assert sys.modules["transforms"].OWNER == "somebody else"

matte = MattingCore("catalogue").remove(np.load("picture.npy"))
assert matte.alpha[30, 40] > 200 and matte.alpha[2, 2] < 50
print(alphabeam.__version__)
"""


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_works_beside_folders_of_the_same_names(
    built: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wheel = built["wheel"]
    if kind == "sdist":  # what pip does with one, only with the setuptools that is here
        pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
        call(*pip, "wheel", "--no-deps", "--no-build-isolation", built["sdist"], cwd=tmp_path)
        (wheel,) = tmp_path.glob("*.whl")
    call(
        *(sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", python),
        *("install", "--no-deps", wheel),
        cwd=tmp_path,
    )
    # The dependencies come from the environment of this test; a path in a .pth file is only a
    # path, so that this environment's own (editable) alphabeam does not come along.
    purelib = next(environment.glob("lib*/**/site-packages"))
    theirs = Path(np.__file__).parent.parent
    (purelib / "dependencies.pth").write_text(f"{theirs}\n", encoding="utf-8")

    foreign = tmp_path / "their-repository"
    for name in ("transforms", "pipelines"):
        (foreign / name).mkdir(parents=True)
        (foreign / name / "__init__.py").write_text('OWNER = "somebody else"\n', encoding="utf-8")
    (foreign / "transforms/theirs.py").write_text('OWNER = "somebody else"\n', encoding="utf-8")
    (foreign / "main.py").write_text(USE, encoding="utf-8")
    picture = np.full((60, 80, 3), 250, np.uint8)
    picture[15:45, 20:60] = (120, 30, 40)
    np.save(foreign / "picture.npy", picture)
    assert call(python, "main.py", cwd=foreign).strip() == metadata.version("alphabeam")
