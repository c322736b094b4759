"""The README's examples do what they say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from alphabeam.pipelines.command import _parser
from alphabeam.pipelines.job_file import load_job, parse_job
from alphabeam.transforms.metadata import SCHEMA
from tests.conftest import Shop

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example(start: str) -> str:
    """The code block that begins with a text."""
    (block,) = (
        b for b in re.findall(r"```\w*\n(.*?)```", README, re.DOTALL) if b.startswith(start)
    )
    return block


@pytest.mark.slow
def test_five_lines_in_another_pipeline(shop: Shop, tmp_path: Path) -> None:
    shop.picture("a.png")
    shop.manifest("image,sku\na.png,17\nnone.png,18\n")
    code = example("import apache_beam as beam")
    code = code.replace("samples/manifest.csv", str(shop.folder / "manifest.csv"))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=tmp_path)
    table = ds.dataset(tmp_path / "out/mine/metadata").to_table()
    assert table.schema.names == SCHEMA.names
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows["a"]["status"] == "done" and (tmp_path / "out/mine" / rows["a"]["cutout"]).exists()
    assert rows["none"]["error_code"] == "not_found"


@pytest.mark.slow
def test_three_lines_in_a_notebook() -> None:
    code = example("from alphabeam import MattingCore")
    given = "import sys, numpy as np\nimage = np.full((60, 80, 3), 200, np.uint8)\n"
    code += "\nassert matte.alpha.shape == (60, 80)\nassert 'apache_beam' not in sys.modules"
    subprocess.run([sys.executable, "-c", given + code], check=True, timeout=120, cwd=ROOT)


def test_the_job_is_complete() -> None:
    job = parse_job(example("# yaml-language-server"), "job.yaml")
    assert job.input.manifest == "s3://shop/manifest.csv"


def test_the_command_line_takes_what_is_shown() -> None:
    commands = [
        shlex.split(line, comments=True)
        for line in example(".venv/bin/python run.py job.yaml --check").splitlines()
    ]
    assert len(commands) >= 4
    for command in commands:
        _parser().parse_args(command[2:])


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_ready_made_jobs_are_valid_and_name_the_schema(path: Path) -> None:
    load_job(str(path))
    assert path.read_text().startswith("# yaml-language-server: $schema=job.schema.json\n")


def test_every_page_that_is_linked_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_ci_runs_the_two_commands_of_the_first_screen() -> None:
    function = re.search(r"^readme_command\(\).*$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert function
    for name, end in (("run", "run.py configs/samples.yaml"), ("test", "-m pytest")):
        script = f"{function[0]}\nreadme_command {name}"
        shown = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
        assert shown.stdout.strip().endswith(end)
        assert shown.stdout.strip() in README
