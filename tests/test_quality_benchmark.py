"""``benchmarks/quality.py``: its halves share no product, it judges right, its page is current."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The benchmark, with the repository alone."""
    monkeypatch.setenv("ALPHABEAM_SHARED", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("quality", "quality_report", "quality_scenes", "damage"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import quality
    import quality_scenes

    monkeypatch.setattr(quality_scenes, "_DRAWN", 5)
    return quality


def test_scenes_of_the_repository_alone_are_true_and_halves_share_no_product(
    quality: ModuleType,
) -> None:
    scenes = quality.quality_scenes
    for family in scenes.FAMILIES:
        one, other = (scenes.make(scenes.Job(family, 1, 0)) for _ in range(2))
        if family in ("garments", "renders", "3D models", "photos"):
            assert one is None, "these need material that is not here"
            continue
        assert one.picture.dtype == one.alpha.dtype == np.uint8
        assert one.picture.shape == (*one.alpha.shape, 3) and one.alpha.max() == 255
        assert np.array_equal(one.picture, other.picture), "a job gives the same scene"
    first, second = (set(scenes._pieces(half).samples) for half in (0, 1))
    assert first and second and not first & second


def test_a_result_is_judged_by_its_overlap_and_by_its_parts(quality: ModuleType) -> None:
    truth = np.zeros((400, 400), np.uint8)
    cv2.circle(truth, (200, 200), 120, 255, -1, cv2.LINE_AA)
    scene = quality.Truth(np.zeros((400, 400, 3), np.uint8), truth)

    def right(alpha: np.ndarray) -> bool:
        errors = quality.judged(scene, alpha)
        return bool(quality.is_right(quality.Record("a", 1, 0, *errors, [], 1.0, None, None)))

    assert right(truth)
    holed, beside, thin = truth.copy(), truth.copy(), cv2.erode(truth, np.ones((9, 9)))
    cv2.circle(holed, (200, 200), 12, 0, -1)
    cv2.circle(beside, (30, 30), 12, 255, -1)
    assert not right(holed) and not right(beside), "parts of 1 %"
    assert not right(thin), "the overlap"
    holed = truth.copy()
    cv2.circle(holed, (200, 200), 6, 0, -1)
    assert right(holed), "a part of .25 %"


def test_a_fit_finds_what_tells_wrong_results(quality: ModuleType) -> None:
    rng = np.random.default_rng(0)
    records = []
    for number in range(400):
        weak, noise = rng.exponential(0.1), rng.exponential(0.1)
        wrong = rng.random() < min(1, 4 * weak)
        evidence = dict.fromkeys(quality.Evidence._fields, 0.0) | {"weak": weak, "busy": noise}
        looks = dict.fromkeys(quality.Looks._fields, 0.0)
        iou = 0.5 if wrong else 1.0
        records.append(quality.Record("a", 0, number, iou, 0, 0, [], 1.0, evidence, looks))
    about = quality.fitted(records)
    total = {name: sum(w for _, w in pairs) for name, pairs in about["fast"]["steps"].items()}
    assert total["weak"] > 5 * total.get("busy", 0)
    made = quality.Calibration.from_mapping(about)
    scores = np.array([quality.confidence_of(made, one, thorough=False) for one in records])
    right = np.array([quality.is_right(one) for one in records])
    measured = quality.quality_report.measured(records, right, {"fast": scores}, made.low)
    assert measured["ways"]["fast"]["auroc"] > 0.8
    assert measured["ways"]["fast"]["calibration error"] < 0.1
    assert measured["flags"]["right"]["low_confidence"] == pytest.approx(0.1, abs=0.02)


def test_the_page_has_the_figures_of_the_model_that_is_shipped(quality: ModuleType) -> None:
    report = quality.quality_report
    results = json.loads((ROOT / report.RESULTS).read_text(encoding="utf-8"))
    model = json.loads((ROOT / "transforms/matting/models/catalogue.json").read_text("utf-8"))
    assert results["sha256"] == model["sha256"], "run benchmarks/quality.py fit, and report"
    page = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    assert report.tables(results) in page, "run `python benchmarks/quality.py report`"
