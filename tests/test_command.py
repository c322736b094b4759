"""The command line: exit statuses, --check, the summary, one-line errors."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alphabeam.pipelines.command import main
from tests.conftest import Shop
from tests.forked import JobProcess

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FillShop = Callable[..., Shop]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Any:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip


def test_a_good_job_in_a_process_of_its_own(filled_shop: FillShop) -> None:
    shop = filled_shop(3)
    done = command(str(shop.job))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("job: 3 rows: 3 done, 0 failed; ")
    assert lines[0].endswith(" images/s")
    assert f"  cutouts    {shop.out}/cutouts" in lines
    assert "WARNING" not in done.stderr and "Traceback" not in done.stderr
    assert "\n\n" not in done.stderr


def test_help_is_quick_and_says_the_statuses() -> None:
    done = command("--help")
    assert done.returncode == 0
    for text in ("--check", "--set", "--fresh", "-v", "0  all rows are done", "failures.jsonl",
                 "3  the job finished, and more rows failed"):  # fmt: skip
        assert text in done.stdout
    code = "import alphabeam.pipelines.command, sys; print('apache_beam' in sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert loaded.stdout.strip() == "False", "--help does not wait for Beam"


@pytest.mark.parametrize(
    "arguments", [[], ["--nonsense"], ["a.yaml", "b.yaml"], ["a.yaml", "--set"]]
)
def test_a_wrong_command_line_is_2(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: run.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lnit", "folder"], "no job file and no command 'lnit'; did you mean 'lint'?"),
        (["Report", "out"], "did you mean 'report'?"),
        (["work"], "commands are lint, models, presets, report, sheet, template"),
    ],
)
def test_a_command_that_there_is_not(arguments: list[str], says: str, capsys: Any) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("run.py: there is ") and says in line


def test_a_wrong_job_file_is_2(filled_shop: FillShop, capsys: Any) -> None:
    shop = filled_shop(1, input={"formt": "csv"})
    assert shop.run() == 2
    assert capsys.readouterr().err == (
        f"{shop.job}:7:3: input.formt: extra inputs are not permitted (did you mean 'format'?)\n"
    )
    assert main([str(shop.folder / "none.yaml")]) == 2
    assert "job file: cannot read" in capsys.readouterr().err
    assert shop.run("--set", "input={manifest: m.csv}", "--set", "matting.erode_size=41") == 2
    assert capsys.readouterr().err.startswith("--set matting.erode_size: matting.erode_size: ")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("input.manifest=none.csv", "none.csv"),
        ("backend.model=nonsense", "model nonsense: no such file, and not one of catalogue, u2net"),
        ("backend.model=none/none.onnx", "none/none.onnx: no such file"),
        ("backend.model=bria-rmbg", "not for commercial use; set accept_license: true"),
        (f"backend.model_sha256={'f' * 64}", "does not have the SHA-256 ffff"),
        ("output.directory=http://localhost:1/out", "cannot write http://localhost:1/out"),
        ("storage={s3: {key: '${env:NOT_SET_X}'}}", "the environment variable NOT_SET_X is not"),
        ("storage={s3: {endpoint_url: '${NOT_SET_X}'}}", "no reference; write ${env:NAME}"),
    ],
)
def test_a_job_that_cannot_begin_is_1_and_one_line(
    filled_shop: FillShop, capsys: Any, settings: str, says: str
) -> None:
    shop = filled_shop(1)
    for more in ((), ("--check",)):
        assert shop.run("--set", settings, *more) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("job: ") and says in line, line
    assert not (shop.out / "metadata").exists()


def test_max_failures_decides_between_0_and_3(filled_shop: FillShop, capsys: Any) -> None:
    shop = filled_shop(3)
    (shop.folder / "images/p1.png").unlink()
    assert shop.run() == 3
    out = capsys.readouterr().out
    assert "3 rows: 2 done, 1 failed" in out
    assert "  not_found            1 failed" in out
    assert f"  failures   {shop.out}/failures.jsonl" in out
    summary = json.loads((shop.out / "summary.json").read_text())
    assert summary["status"] == "too_many_failures"
    assert shop.run("--set", "max_failures=1") == 0
    assert "(2 of them by an earlier run)" in capsys.readouterr().out
    summary = json.loads((shop.out / "summary.json").read_text())
    assert summary["status"] == "succeeded"
    assert (summary["rows"], summary["done"], summary["failed"]) == (3, 2, 1)
    assert summary["finished_before"] == 2
    assert summary["errors"] == {"not_found": 1}
    assert summary["outputs"]["metadata"].endswith(summary["run_id"])
    assert Path(summary["outputs"]["metadata"]).is_dir()
    assert summary["environment"]["cores"] >= 1 and summary["seconds"] > 0


def test_check_does_everything_short_of_working(
    filled_shop: FillShop, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUSH", "the-secret-itself")
    shop = filled_shop(5, storage={"s3": {"secret": "${env:HUSH}"}})
    assert shop.run("--check") == 0
    captured = capsys.readouterr()
    text = captured.out
    for part in (
        "secret     ${env:HUSH}: found",
        f"manifest   {shop.folder}/manifest.csv: csv, 5 rows",
        "columns    image: 'image'; id: from the image's path",
        "model      tiny (sha256 ",
        f"output     {shop.out}: may be written",
        "engine     local: 1 process(es) of 2 matting thread(s)",
        "80 x 60 png",
        "estimate   about ",
    ):
        assert part in text, part
    assert "the-secret-itself" not in text + captured.err
    assert [path for path in shop.out.rglob("*") if path.is_file()] == []


def test_check_says_how_many_rows_are_finished(filled_shop: FillShop, capsys: Any) -> None:
    shop = filled_shop(3)
    assert shop.run() == 0
    for arguments, said in (((), True), (("--fresh",), False)):
        capsys.readouterr()
        assert shop.run("--check", *arguments) == 0
        assert ("finished   3 rows by earlier runs" in capsys.readouterr().out) is said


def test_check_shows_bad_rows_and_goes_on_to_a_good_one(shop: Shop, capsys: Any) -> None:
    shop.picture("b.png")
    shop.manifest("Bild,erode_size\na.png,41\nb.png,3\n")
    shop.write_job(max_failures=1)
    assert shop.run("--check") == 0
    text = capsys.readouterr().out
    assert "columns    image: 'Bild'; id: from the image's path\n" in text
    assert "a bad row: invalid_parameter: line 2: erode_size: 41 is outside 0..40\n" in text
    assert "b.png: 80 x 60 png" in text


def test_check_fails_where_the_bad_rows_are_more_than_may_fail(shop: Shop, capsys: Any) -> None:
    shop.picture("b.png")
    shop.manifest("image,erode_size\n" + "a.png,41\n" * 11 + "b.png,3\n")
    shop.write_job(max_failures=10)
    assert shop.run("--check") == 1
    told = capsys.readouterr()
    assert told.out.count("a bad row") == 1, "eleven rows have one reason"
    assert "line 2: erode_size: 41 is outside 0..40 (and 10 more)\n" in told.out
    assert "b.png: 80 x 60 png" in told.out
    assert told.err == (
        "job: 11 of the first 12 rows will fail, and max_failures is 10: the run will end with 3\n"
    )


def test_check_says_once_that_a_column_is_missing(shop: Shop, capsys: Any) -> None:
    shop.manifest("image,note\na.png,x\nb.png,y\n")
    shop.write_job(
        output={"directory": "out", "renditions": [{"name": "web", "file": "{sku}-{Note}"}]}
    )
    assert shop.run("--check") == 1
    told = capsys.readouterr().out
    assert (
        "  rendition web: its file is named by the column 'sku', and the manifest has none; it has "
        "'image', 'note'\n"
    ) in told
    assert told.count("'sku'") == 2 and "has no value there (and 1 more)" in told


def test_check_fails_where_none_of_the_first_rows_is_good(shop: Shop, capsys: Any) -> None:
    shop.manifest("image,erode_size\na.png,41\nb.png,-1\n")
    shop.write_job()
    assert shop.run("--check") == 1
    told = capsys.readouterr()
    assert "a bad row: invalid_parameter: line 3: erode_size: -1 is outside 0..40" in told.out
    assert told.err == "job: no good row among the first ones, so no image was tried\n"


def test_check_of_an_empty_manifest(shop: Shop, capsys: Any) -> None:
    shop.manifest("image\n")
    shop.write_job()
    assert shop.run("--check") == 1
    assert "the manifest has no rows" in capsys.readouterr().err
    assert shop.run() == 0
    assert "0 rows: 0 done, 0 failed" in capsys.readouterr().out


def test_quiet_and_verbose(filled_shop: FillShop) -> None:
    shop = filled_shop(1)
    quiet = JobProcess(str(shop.job), "--quiet")
    assert (quiet.wait(120), quiet.communicate()[1]) == (0, "")
    verbose = JobProcess(str(shop.job), "-v")
    assert verbose.wait(120) == 0
    assert "INFO" in verbose.communicate()[1]


def test_secrets_are_never_shown(
    filled_shop: FillShop, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUSH", "the-secret-itself")
    shop = filled_shop(2, storage={"s3": {"secret": "${env:HUSH}"}})
    (shop.folder / "images/p0.png").unlink()
    assert shop.run("-v") == 3
    captured = capsys.readouterr()
    assert "the-secret-itself" not in captured.out + captured.err
    for path in shop.out.rglob("*"):
        assert not path.is_file() or b"the-secret-itself" not in path.read_bytes(), path


def test_models_are_listed() -> None:
    code = (
        "import sys; from alphabeam.pipelines.command import main; status = main(['models']);"
        "sys.exit(status or ('apache_beam' in sys.modules and 'the list waits for Beam'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert "catalogue" in out and "u2netp" in out and "needs accept_license: true" in out


def test_beam_options_behind_two_dashes(filled_shop: FillShop) -> None:
    shop = filled_shop(2)
    assert main([str(shop.job), "--quiet", "--", "--direct_runner_bundle_repeat=2"]) == 0
    assert len(shop.rows()) == 2


def test_a_worker_that_is_gone_is_said_in_plain_words() -> None:
    from alphabeam.pipelines.command import _reason

    beams = "Channel closed prematurely.\nTraceback (most recent call last):\n  File x\nE: y"
    assert _reason(RuntimeError(beams)).startswith("a worker process ended: it was killed, or ran")
