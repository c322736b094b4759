"""The samples: every preset's renditions of them pass the validator, and a ready-made job runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from alphabeam.pipelines.command import main
from alphabeam.transforms.images import decode
from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.renditions import Subject, preset_names, render, rendition_of
from alphabeam.transforms.renditions.compose import compose
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.renditions.subject import box_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
IMAGES = sorted((ROOT / "samples" / "images").glob("*.jpg"))


@pytest.fixture(scope="module")
def core() -> MattingCore:
    return MattingCore("catalogue")


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_a_presets_rendition_of_a_sample_keeps_its_rules(path: Path, core: MattingCore) -> None:
    matte = core.remove(decode(path.read_bytes()))
    assert matte.rgba is not None
    subject = Subject(matte.rgba)
    # A third of the presets for each sample: so each preset has five samples or six.
    for name in preset_names()[IMAGES.index(path) % 3 :: 3]:
        made = render(subject, rendition_of({"preset": name}), name="00012345678905.jpg")
        assert [str(one) for one in made.violations] == [], name
    # And its box is where it was asked for, in pixels that nobody has encoded.
    for canvas in (400, "300x500", "4:3"):
        rendition = Rendition(name="a", canvas=canvas, max_side=None, upscale=8)
        composed = compose(rendition, subject)
        height, width = composed.pixels.shape[:2]
        visible = box_of(compose(_transparent(rendition), subject).pixels[..., 3])
        assert visible is not None
        left, top, right, bottom = visible
        assert abs(max((right - left) / width, (bottom - top) / height) - 0.85) * width <= 2
        assert abs((left + right) - width) <= 2 and abs((top + bottom) - height) <= 2
        # On white and on nothing the faintest row may fall on either side of 2 %.
        assert max(abs(a - b) for a, b in zip(composed.box, visible, strict=True)) <= 1
        left, top, right, bottom = composed.box
        away = np.ones((height, width), np.uint8)
        away[top:bottom, left:right] = 0
        assert (composed.pixels[away > 0] == 255).all()
        assert cv2.countNonZero(away) > 0


def _transparent(rendition: Rendition) -> Rendition:
    return Rendition(
        name="a",
        canvas=rendition.canvas,
        upscale=rendition.upscale,
        format="png",
        background="transparent",
    )


def test_the_ready_made_job_runs_on_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = yaml.safe_load((ROOT / "configs" / "packshots.yaml").read_text(encoding="utf-8"))
    rows = (ROOT / "samples" / "manifest.csv").read_text(encoding="utf-8").splitlines()[:4]
    manifest = "\n".join(rows).replace("images/", f"{ROOT}/samples/images/")
    (tmp_path / "manifest.csv").write_text(manifest + "\n", encoding="utf-8")
    job["input"]["manifest"], job["output"]["directory"] = "manifest.csv", "out"
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    assert main([str(tmp_path / "job.yaml"), "--quiet"]) == 0
    assert len([p for p in (tmp_path / "out/renditions").rglob("*") if p.is_file()]) == 12
    assert len((tmp_path / "out/index/csv-00000.csv").read_text().splitlines()) == 13
    capsys.readouterr()
    assert main(["lint", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == "6 files: 0 violations in 0 of them\n"
