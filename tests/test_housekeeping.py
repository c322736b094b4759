"""What a team expects of a job that runs every night over a folder that people use."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Shop
from tests.forked import JobProcess

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FillShop = Callable[..., Shop]


@pytest.mark.parametrize(
    ("manifest", "output"),
    [
        ("photos/**/*", "photos/out"),
        ("photos/**/*.*", "photos/deep/out"),
        ("photos", "photos/out"),
        ("photos/", "photos"),  # into the folder of the images itself
        ("photos/**/*", "photos"),
        ("link/**/*", "photos/out"),  # the same folder by another name
        ("photos/**/*", "link/out"),
        ("photos/**/*", "file://{folder}/photos/out"),
        ("file://{folder}/photos/**/*", "photos/out"),
    ],
)
def test_an_output_among_the_images_stays_out_of_them(
    shop: Shop, manifest: str, output: str
) -> None:
    """Three nights, with a row that fails: as many rows each time."""
    for number in range(2):
        shop.picture(f"photos/p{number}.png", number)
    (shop.folder / "photos" / "broken.jpg").write_bytes(b"")
    (shop.folder / "link").symlink_to(shop.folder / "photos")
    folder = output.format(folder=shop.folder)
    shop.out = shop.folder / folder.removeprefix("file://")
    shop.write_job(
        manifest.format(folder=shop.folder), input={"format": "glob"}, output={"directory": folder}
    )
    counts = []
    for _ in range(3):
        assert shop.run() == 3
        counts.append(len(shop.rows()))
    assert counts == [3, 3, 3]
    assert (shop.out / "summary.json").exists() and (shop.out / "failures.jsonl").exists()


def test_a_glob_follows_links_and_leaves_litter_out(shop: Shop) -> None:
    for name in ("photos/a.png", "elsewhere/b.png", "photos/._a.png", "photos/.thumbnails/a.png",
                 "photos/@eaDir/a.png", "photos/__MACOSX/a.png", "photos/.hidden.png"):  # fmt: skip
        shop.picture(name)
    (shop.folder / "photos" / "linked").symlink_to(shop.folder / "elsewhere")
    (shop.folder / "photos" / "round").symlink_to(shop.folder / "photos")
    (shop.folder / "elsewhere" / "back").symlink_to(shop.folder / "photos")
    for manifest in ("photos/", "photos/**/*.png"):
        shop.write_job(manifest, input={"format": "glob"})
        assert shop.run() == 0
        assert {Path(row["image"]).name for row in shop.rows().values()} == {"a.png", "b.png"}
    shop.write_job("photos/.*", input={"format": "glob"})
    assert shop.run() == 0
    assert {Path(row["image"]).name for row in shop.rows().values()} == {"._a.png", ".hidden.png"}
    # a list that names such a file means it
    shop.manifest("image\nphotos/._a.png\nphotos/@eaDir/a.png\n")
    shop.write_job()
    assert shop.run() == 0 and len(shop.rows()) == 2


def test_a_glob_that_matches_nothing_is_refused_unless_that_is_right(
    filled_shop: FillShop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = filled_shop(1)
    shop.write_job("images/*.png")
    assert shop.run() == 0
    before = shop.rows()
    (shop.folder / "images" / "p0.png").rename(shop.folder / "p0.png")
    assert shop.run() == 1
    assert "no image matches; check the pattern" in capsys.readouterr().err
    assert shop.rows() == before
    assert shop.run("--set", "input.allow_empty=true") == 0
    assert shop.rows() == {}


def prove(shop: Shop) -> None:
    """Each output has the size and the digest that the metadata gives it."""
    for row in shop.rows().values():
        for kind in ("cutout", "mask"):
            data = (shop.out / row[kind]).read_bytes()
            assert row[f"{kind}_bytes"] == len(data)
            assert row[f"{kind}_sha256"] == hashlib.sha256(data).hexdigest()


def test_the_metadata_has_size_and_digest_of_every_output(filled_shop: FillShop) -> None:
    """Also of those that a later run copies under another name or encodes anew."""
    shop = filled_shop(2)
    assert shop.run() == 0
    prove(shop)
    shop.manifest("image,id\nimages/p0.png,one\nimages/p1.png,images/p1\nimages/p1.png,two\n")
    assert shop.run() == 0
    prove(shop)
    assert shop.run("--set", "output.cutout_format=webp") == 0
    assert {Path(row["cutout"]).suffix for row in shop.rows().values()} == {".webp"}
    prove(shop)


def test_a_damaged_output_is_not_copied(filled_shop: FillShop) -> None:
    """Of the same size, so that only the digest tells; it is found when the bytes are read."""
    shop = filled_shop(2)
    assert shop.run() == 0
    old = {name: row["run_id"] for name, row in shop.rows().items()}
    cutout = shop.out / shop.rows()["images/p0"]["cutout"]
    whole = cutout.read_bytes()
    cutout.write_bytes(whole[:-20] + bytes(20))
    shop.manifest("image,id\nimages/p0.png,one\nimages/p1.png,two\n")
    assert shop.run() == 0
    rows = shop.rows()
    assert (shop.out / rows["one"]["cutout"]).read_bytes() == whole
    assert rows["one"]["run_id"] not in old.values() and rows["two"]["run_id"] in old.values()
    prove(shop)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
@pytest.mark.parametrize("arguments", [(), ("--check",), ("-vv",)])
def test_a_reader_that_leaves_is_no_failure(
    filled_shop: FillShop, stream: str, arguments: tuple[str, ...]
) -> None:
    """``run.py job.yaml | head -1``, and with ``2>&1``."""
    shop = filled_shop(2)
    (shop.folder / "images" / "p1.png").write_bytes(b"")
    unread = ("stdout", "stderr") if stream == "both" else (stream,)
    done = JobProcess(str(shop.job), *arguments, unread=unread)
    shown = "".join(done.communicate(timeout=120))
    assert done.returncode == (0 if "--check" in arguments else 3), shown
    assert "Broken" not in shown and "Traceback" not in shown
    if "--check" not in arguments:
        assert len(shop.rows()) == 2 and (shop.out / "summary.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("arguments", ["--help", "models"])
def test_head_of_a_long_text(arguments: str) -> None:
    done = subprocess.run(
        f"{sys.executable} {ROOT / 'run.py'} {arguments} | head -c 10; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
