"""Confidence: made of evidence, monotone, tied to its model; and second looks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from alphabeam.transforms.matting import MattingCore, ModelError
from alphabeam.transforms.matting.calibration import Calibration, calibration_of
from alphabeam.transforms.matting.coarse import CoarseAlpha
from alphabeam.transforms.matting.evidence import Evidence, Looks, evidence_of
from alphabeam.transforms.matting.models import EMBEDDED
from alphabeam.transforms.matting.network import load_model
from alphabeam.transforms.matting.quality import Findings, flags, solid_removed_share

Image = NDArray[np.uint8]


def embedded() -> Calibration:
    found = calibration_of(load_model("catalogue"))
    assert found is not None, "run `python benchmarks/quality.py fit` for a new model"
    return found


def vase(side: int = 256) -> tuple[Image, Image]:
    """A dark thing with a neck on white, and its alpha; the same in a mirror."""
    alpha = np.zeros((side, side), np.uint8)
    cv2.circle(alpha, (side // 2, side * 5 // 8), side // 4, 255, -1, cv2.LINE_AA)
    cv2.rectangle(alpha, (side * 7 // 16, side // 8), (side * 9 // 16, side // 2), 255, -1)
    alpha = np.maximum(alpha, alpha[:, ::-1])
    weight = alpha[..., None].astype(np.float32) / 255
    picture = 245 + weight * (np.array((60.0, 90, 120)) - 245)
    return np.rint(picture).astype(np.uint8), alpha


class Says:
    """A network that gives one answer for the picture, and another one mirrored."""

    def __init__(self, alpha: Image, mirrored: Image | None = None) -> None:
        self.answers = [alpha] if mirrored is None else [alpha, mirrored]
        self.calls = 0

    def predict(self, rgb: Image) -> NDArray[Any]:
        alpha = self.answers[self.calls % len(self.answers)]
        self.calls += 1
        wide = (rgb.shape[0] - alpha.shape[0]) // 2
        return cv2.copyMakeBorder(alpha, wide, wide, wide, wide, cv2.BORDER_CONSTANT)


def confidence(picture: Image, truth: Image, alpha: Image) -> float:
    coarse = CoarseAlpha(truth.astype(np.float32) / 255, (0, 0, *truth.shape[::-1]), truth.shape)
    return embedded().confidence(evidence_of(picture, alpha, coarse))


def test_the_embedded_calibration_is_of_the_embedded_model() -> None:
    about = json.loads((EMBEDDED / "catalogue.quality.json").read_text(encoding="utf-8"))
    model = json.loads((EMBEDDED / "catalogue.json").read_text(encoding="utf-8"))
    assert about["sha256"] == model["sha256"], (
        "the model is another one: run `python benchmarks/quality.py fit`, and `report`"
    )
    made = Calibration.from_mapping(about)
    assert made.steps[0] and made.steps[1] and 0 < made.low < 1


def test_more_evidence_never_raises_a_confidence() -> None:
    made, rng = embedded(), np.random.default_rng(3)
    for _ in range(100):
        evidence = Evidence(*rng.exponential(0.05, len(Evidence._fields)).tolist())
        looks = Looks(*rng.exponential(0.05, len(Looks._fields)).tolist())
        fast, thorough = made.confidence(evidence), made.confidence(evidence, looks)
        assert 0 <= fast <= 1 and 0 <= thorough <= 1
        for name in Evidence._fields:
            worse = evidence._replace(**{name: getattr(evidence, name) + rng.uniform(0, 0.5)})
            assert made.confidence(worse) <= fast and made.confidence(worse, looks) <= thorough
        for name in Looks._fields:
            other = looks._replace(**{name: getattr(looks, name) + rng.uniform(0, 0.5)})
            assert made.confidence(evidence, other) <= thorough
    none = Evidence(*[0.0] * len(Evidence._fields))
    assert made.confidence(none) > 0.9 > 0.2 > made.confidence(Evidence(*[9.0] * len(none)))


def test_a_result_that_lost_a_part_is_less_sure() -> None:
    picture, truth = vase()
    whole = confidence(picture, truth, truth)
    headless = truth.copy()
    headless[:100] = 0
    holed = truth.copy()
    cv2.circle(holed, (128, 170), 20, 0, -1)
    fattened = cv2.dilate(truth, np.ones((31, 31), np.uint8))
    for worse in (headless, holed, fattened):
        assert confidence(picture, truth, worse) < whole - 0.05


def test_what_the_network_lost_is_seen_in_the_picture() -> None:
    """The result agrees with the network; only the picture says that something was left out."""
    picture, truth = vase()
    part = truth.copy()
    part[:110] = 0
    whole, lost = confidence(picture, truth, truth), confidence(picture, part, part)
    assert 1 - lost > 5 * (1 - whole)


def test_an_outline_without_an_edge_is_less_sure() -> None:
    picture, truth = vase()
    faint = np.rint(245 + (picture.astype(np.float32) - 245) * 0.03).astype(np.uint8)
    assert 1 - confidence(faint, truth, truth) > 2 * (1 - confidence(picture, truth, truth))


def test_evidence_does_not_depend_on_the_size_of_the_picture() -> None:
    picture, truth = vase(256)
    coarse = truth.astype(np.float32) / 255
    found = []
    for scale in (1, 4):
        side = 256 * scale
        large, alpha = (cv2.resize(one, (side, side)) for one in (picture, truth))
        found.append(
            evidence_of(large, alpha, CoarseAlpha(coarse, (0, 0, side, side), (side, side)))
        )
    assert np.allclose(found[0], found[1], atol=0.05)


def test_thorough_looks_twice_more_and_changes_no_pixel() -> None:
    picture, truth = vase()
    fast, thorough = Says(truth), Says(truth)
    one = MattingCore(fast, calibration=embedded()).remove(picture)
    other = MattingCore(thorough, calibration=embedded(), quality="thorough").remove(picture)
    assert (fast.calls, thorough.calls) == (1, 3)
    assert one.looks is None and other.looks is not None
    assert np.array_equal(one.alpha, other.alpha)


def test_an_answer_that_changes_when_mirrored_is_less_sure() -> None:
    picture, truth = vase()
    part = truth.copy()
    part[:128] = 0
    matte = [
        MattingCore(network, calibration=embedded(), quality="thorough").remove(picture)
        for network in (Says(truth), Says(truth, part))
    ]
    assert matte[0].looks is not None and matte[0].looks.mirrored < 0.02
    assert matte[1].looks is not None and matte[1].looks.mirrored_part > 0.1
    assert matte[1].confidence < matte[0].confidence


def test_nothing_visible_is_surely_wrong() -> None:
    picture, truth = vase()
    matte = MattingCore(Says(np.zeros_like(truth)), calibration=embedded()).remove(picture)
    assert (matte.confidence, matte.evidence) == (0.0, None)
    assert matte.flags == ("empty", "low_confidence")


@pytest.mark.slow
def test_a_network_of_ones_own_has_todays_confidence(tmp_path: Path) -> None:
    for name in ("catalogue.onnx", "catalogue.json"):
        shutil.copy(EMBEDDED / name, tmp_path / name.replace("catalogue", "own"))
    assert calibration_of(load_model(tmp_path / "own.onnx")) is None
    about = json.loads((EMBEDDED / "catalogue.quality.json").read_text(encoding="utf-8"))
    beside = tmp_path / "own.quality.json"
    beside.write_text(json.dumps(about))
    assert calibration_of(load_model(tmp_path / "own.onnx")) == embedded()
    beside.write_text(json.dumps({**about, "sha256": "0" * 64}))
    assert calibration_of(load_model(tmp_path / "own.onnx")) is None
    matte = MattingCore(tmp_path / "own.onnx").remove(vase()[0])
    assert matte.evidence is None and matte.confidence > 0.5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"low": 2}, "low: a number of 0..1 is needed, got 2"),
        ({"fast": {}}, "fast: KeyError"),
        ({"fast": {"bias": 0, "steps": {"colour": [[1, 1]]}}}, "no such evidence: colour"),
        ({"fast": {"bias": 0, "steps": {"mirrored": [[1, 1]]}}}, "no such evidence: mirrored"),
        ({"thorough": {"bias": 0, "steps": {"weak": [[1, -1]]}}}, "weights at least 0"),
        ({"thorough": {"bias": 0, "steps": {"weak": [[0, 1]]}}}, "knots are above 0"),
    ],
)
def test_a_broken_calibration_is_told_in_one_line(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    for name in ("catalogue.onnx", "catalogue.json"):
        shutil.copy(EMBEDDED / name, tmp_path / name.replace("catalogue", "own"))
    about = json.loads((EMBEDDED / "catalogue.quality.json").read_text(encoding="utf-8"))
    (tmp_path / "own.quality.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(ModelError, match="no calibration of a confidence") as caught:
        MattingCore(tmp_path / "own.onnx")
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_quality_has_two_values() -> None:
    with pytest.raises(ValueError, match="quality: 'best' is not one of fast, thorough"):
        MattingCore(quality="best")  # type: ignore[arg-type]


@pytest.mark.parametrize(("opened", "told"), [((9, 9), True), ((1, 90), False), ((3, 3), False)])
def test_a_patch_that_was_opened_is_told_from_a_rough_outline(
    opened: tuple[int, int], told: bool
) -> None:
    network = np.zeros((200, 200), np.float32)
    network[30:170, 30:170] = 1
    alpha = np.rint(network * 255).astype(np.uint8)
    alpha[60 : 60 + opened[0], 60 : 60 + opened[1]] = 40
    share = solid_removed_share(network, alpha)
    assert 0 < share == pytest.approx(81 / 19_600, rel=0.02) if told else share <= 0.001
    assert ("part_removed" in flags(alpha, 1.0, Findings(solid_removed=share))) is told
