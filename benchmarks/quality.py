"""What a confidence is worth: fitted on one half of a set with exact truth, judged on the other.

    python benchmarks/quality.py fit      # writes the weights beside the model
    python benchmarks/quality.py report   # writes docs/quality.md's tables and pictures

Both first make, matt and measure what scenes they lack (`quality_scenes.py` says of what), in two
processes, and go on where they were stopped: some 15 minutes of CPU in all. ``--share 0.1`` takes a
tenth of the scenes. Started again with another model, everything is done again for that model.

A result is *right* if its intersection over union with the truth is at least .95, and if no
connected part of over .5 % of the product is wrongly removed, or kept of the background, away from
the outline. Fitting is logistic regression without negative weights, in numpy.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pathlib
import sys
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "benchmarks")]

import quality_report  # noqa: E402
import quality_scenes  # noqa: E402
from quality_scenes import Job, Truth  # noqa: E402

from alphabeam.transforms.matting import MattingCore  # noqa: E402
from alphabeam.transforms.matting.calibration import Calibration  # noqa: E402
from alphabeam.transforms.matting.evidence import Evidence, Looks  # noqa: E402

__all__ = ["Record", "fitted", "is_right", "judged", "main"]

Vector = NDArray[np.float64]

_IOU, _PART = 0.95, 0.005
_EDGE = 5 / 900  # of the longer side: errors as near to the outline are no part's
_KNOTS = (0.3, 0.7, 0.95)  # quantiles of what is above 0
_RIDGE, _LASSO = 0.005, 0.001
_STEPS = 4000
# Accidents that such a set hardly has, and that nobody wants to see at a high confidence: knots and
# least weights. A part cut away costs these in any case.
_LEAST = {"removed": ((0.005, 1.0), (0.05, 1.0)), "left": ((0.02, 0.5), (0.2, 0.5))}
_GOOD_FLAGGED = 0.1  # of right results, at most, have `low_confidence`
_NEUTRAL = Calibration((0.0, 0.0), ({}, {}), 0.0)  # so that a core collects evidence


class Record(NamedTuple):
    """What became of a scene.

    Attributes:
        family: The scene's.
        half: 0 to fit, 1 to report.
        number: The scene's.
        iou: Intersection over union with the truth.
        removed: The largest part wrongly removed, by the product's area.
        kept: The largest part wrongly kept.
        flags: The result's, without ``low_confidence``.
        decided: The confidence that a network without calibration has.
        evidence: By name; None where nothing is visible.
        looks: Likewise.
    """

    family: str
    half: int
    number: int
    iou: float
    removed: float
    kept: float
    flags: list[str]
    decided: float
    evidence: dict[str, float] | None
    looks: dict[str, float] | None


def is_right(record: Record) -> bool:
    """Whether a result is what the confidence is the probability of."""
    return record.iou >= _IOU and max(record.removed, record.kept) <= _PART


def judged(scene: Truth, alpha: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Intersection over union, and the largest parts wrongly removed and kept, by the area."""
    said, true = alpha > 127, scene.alpha > 127
    union = np.count_nonzero(said | true)
    reach = 2 * max(1, round(max(alpha.shape) * _EDGE)) + 1
    square = np.ones((reach, reach), np.uint8)
    inside = cv2.erode(scene.alpha, square, borderType=cv2.BORDER_REPLICATE) > 250
    outside = cv2.dilate(scene.alpha, square) < 5
    area = max(int(np.count_nonzero(true)), 1)
    parts = []
    for wrong in (inside & (alpha < 64), outside & (alpha > 191)):
        _, _, stats, _ = cv2.connectedComponentsWithStats(wrong.view(np.uint8))
        parts.append(float(stats[1:, cv2.CC_STAT_AREA].max(initial=0)) / area)
    return (float(np.count_nonzero(said & true) / union) if union else 1.0), parts[0], parts[1]


# --- collecting ----------------------------------------------------------------------------------

_core: MattingCore | None = None


def _begin(renders: list[pathlib.Path], scenes: pathlib.Path | None) -> None:
    global _core
    cv2.setNumThreads(1)
    quality_scenes.use_folders(renders, scenes)
    _core = MattingCore("catalogue", quality="thorough", calibration=_NEUTRAL)


def _measure(job: Job) -> Record | None:
    """Makes, mattes and judges a scene; None if there is no such scene here."""
    assert _core is not None
    scene = quality_scenes.make(job)
    if scene is None:
        return None
    matte = _core.remove(scene.picture)
    evidence = matte.evidence and {k: round(v, 6) for k, v in matte.evidence._asdict().items()}
    looks = matte.looks and {k: round(v, 6) for k, v in matte.looks._asdict().items()}
    decided = 1 - evidence["undecided"] if evidence else 0.0
    iou, removed, kept = (round(value, 6) for value in judged(scene, matte.alpha))
    flags, decided = list(matte.flags), round(decided, 6)
    return Record(*job, iou, removed, kept, flags, decided, evidence, looks)


def collect(options: argparse.Namespace, halves: tuple[int, ...]) -> list[Record]:
    """The records of some halves; what an earlier run has measured is not done again."""
    digest = MattingCore("catalogue").model_sha256
    file = options.work / f"{digest[:16]}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    known: dict[Job, Record | None] = {}
    if file.exists():
        for line in file.read_text().splitlines():
            job, record = json.loads(line)
            known[Job(*job)] = None if record is None else Record(*record)
    wanted = [job for job in quality_scenes.jobs(options.share) if job.half in halves]
    # A run that is stopped has some of every family.
    missing = sorted((job for job in wanted if job not in known), key=quality_scenes.rank)
    if missing:
        print(f"{len(missing)} scenes to measure, {len(wanted) - len(missing)} known", flush=True)
        given = (options.renders, options.scenes)
        with (
            multiprocessing.get_context("spawn").Pool(options.processes, _begin, given) as pool,
            file.open("a") as lines,
        ):
            for done, (job, record) in enumerate(
                zip(missing, pool.imap(_measure, missing), strict=True), 1
            ):
                lines.write(json.dumps([job, record]) + "\n")
                lines.flush()
                known[job] = record
                if done % 50 == 0:
                    print(f"{done} of {len(missing)}", flush=True)
    records = [known[job] for job in wanted]
    absent = {job.family for job in wanted} - {one.family for one in records if one is not None}
    for family in sorted(absent):
        print(f"no {family}: what they are made of is not here", file=sys.stderr)
    return [record for record in records if record is not None]


# --- fitting -------------------------------------------------------------------------------------


def _values(records: list[Record], names: tuple[str, ...]) -> Vector:
    rows = [{**(one.evidence or {}), **(one.looks or {})} for one in records]
    return np.array([[row[name] for name in names] for row in rows])


def _knots(values: Vector) -> list[float]:
    """Where a piece of evidence counts in full: quantiles of what there is of it."""
    present = values[values > 1e-9]
    if len(present) < 8:
        return []
    return sorted({float(f"{value:.4g}") for value in np.quantile(present, _KNOTS)})


def _logistic(basis: Vector, wrong: Vector, least: Vector) -> tuple[Vector, float]:
    """Weights, none below its least, and a bias: accelerated projected gradient (Nesterov)."""
    count = len(basis)
    weights, bias = least, 0.0
    ahead, bias_ahead, momentum = weights, bias, 1.0
    step = 1 / (
        0.25 * np.linalg.norm(np.column_stack([basis, np.ones(count)]), 2) ** 2 / count + _RIDGE
    )
    for _ in range(_STEPS):
        off = 1 / (1 + np.exp(-(basis @ ahead + bias_ahead))) - wrong
        gradient = basis.T @ off / count + _RIDGE * ahead + _LASSO
        new, new_bias = np.maximum(ahead - step * gradient, least), bias_ahead - step * off.mean()
        after = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / after * (new - weights)
        bias_ahead = new_bias + (momentum - 1) / after * (new_bias - bias)
        weights, bias, momentum = new, float(new_bias), after
    return weights, bias


def _part(records: list[Record], names: tuple[str, ...]) -> dict[str, Any]:
    values = _values(records, names)
    knots = {
        name: [knot for knot, _ in _LEAST[name]] if name in _LEAST else _knots(values[:, i])
        for i, name in enumerate(names)
    }
    columns = [
        np.minimum(values[:, i] / knot, 1) for i, name in enumerate(names) for knot in knots[name]
    ]
    wrong = np.array([not is_right(one) for one in records], float)
    least = [
        weight
        for name in names
        for weight in ([w for _, w in _LEAST[name]] if name in _LEAST else [0.0] * len(knots[name]))
    ]
    weights, bias = _logistic(np.column_stack(columns), wrong, np.array(least))
    left = iter(weights)
    steps = {
        name: [
            [knot, round(float(weight), 4)] for knot, weight in zip(knots[name], left, strict=False)
        ]
        for name in names
    }
    return {
        "bias": round(bias, 4),
        "steps": {
            name: kept for name, pairs in steps.items() if (kept := [p for p in pairs if p[1] > 0])
        },
    }


def fitted(records: list[Record]) -> dict[str, Any]:
    """A calibration as its file says it, without the model's name and digest."""
    visible = [one for one in records if one.evidence is not None]
    about: dict[str, Any] = {
        "fast": _part(visible, Evidence._fields),
        "thorough": _part(visible, (*Evidence._fields, *Looks._fields)),
        "low": 0.5,
    }
    made = Calibration.from_mapping(about)
    right = [confidence_of(made, one, thorough=False) for one in visible if is_right(one)]
    about["low"] = round(float(np.quantile(right, _GOOD_FLAGGED)), 2)
    return about


def confidence_of(calibration: Calibration, record: Record, *, thorough: bool) -> float:
    """The confidence that the core gives such a result."""
    if record.evidence is None:
        return 0.0
    looks = Looks(**record.looks) if thorough and record.looks is not None else None
    return calibration.confidence(Evidence(**record.evidence), looks)


def fit(options: argparse.Namespace) -> None:
    """Fits on the first half, and writes the file beside the model."""
    records = collect(options, (0,))
    core = MattingCore("catalogue")
    path = pathlib.Path(core.network.path).with_suffix(".quality.json")  # type: ignore[attr-defined]
    about = {
        "model": core.model_name,
        "sha256": core.model_sha256,
        "made by": "python benchmarks/quality.py fit",
        "scenes": len(records),
        "right": sum(is_right(one) for one in records),
        **fitted(records),
    }
    path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: fitted on {len(records)} scenes, {about['right']} of them right")


def report(options: argparse.Namespace) -> None:
    """Judges on the second half, and writes the documentation's tables and pictures."""
    records = collect(options, (1,))
    core = MattingCore("catalogue")
    path = pathlib.Path(core.network.path).with_suffix(".quality.json")  # type: ignore[attr-defined]
    about = json.loads(path.read_text(encoding="utf-8"))
    if about["sha256"] != core.model_sha256:
        sys.exit(f"{path} is of another model: run benchmarks/quality.py fit first")
    made = Calibration.from_mapping(about)
    right = np.array([is_right(one) for one in records])
    scores = {
        "decided": np.array([one.decided for one in records]),
        "fast": np.array([confidence_of(made, one, thorough=False) for one in records]),
        "thorough": np.array([confidence_of(made, one, thorough=True) for one in records]),
    }
    results = quality_report.measured(records, right, scores, made.low)
    results |= {"model": about["model"], "sha256": about["sha256"], "fitted on": about["scenes"]}
    quality_report.write(results, _ROOT)
    quality_report.draw(results, scores["fast"], right, _ROOT / "docs" / "images")
    if not options.no_examples:
        _begin(options.renders, options.scenes)
        assert _core is not None
        order = np.argsort(-scores["fast"])
        worst = [int(i) for i in order if not right[i]][:6]
        lowest = [int(i) for i in order[::-1] if not right[i]][:6]
        cells = []
        for i in (*worst, *lowest):
            scene = quality_scenes.make(Job(*records[i][:3]))
            assert scene is not None
            said = f"{scores['fast'][i]:.2f}, IoU {records[i].iou:.2f}"
            cells.append((scene, _core.remove(scene.picture).alpha, said))
        quality_report.draw_examples(cells, _ROOT / "docs" / "images" / "quality-examples.jpg")
    print(quality_report.tables(results))


def main() -> None:
    """Collects, fits or reports."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("collect", "fit", "report"))
    parser.add_argument("--share", type=float, default=1.0, help="of the scenes")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=pathlib.Path, default=_ROOT / "out" / "quality")
    parser.add_argument("--renders", type=pathlib.Path, nargs="*", default=[], help="folders")
    parser.add_argument("--scenes", type=pathlib.Path, help="what scenes3d.py rendered")
    parser.add_argument(
        "--no-examples", action="store_true", help="leave out the sheet of examples"
    )
    options = parser.parse_args()
    if options.command == "collect":
        collect(options, (0, 1))
    else:
        {"fit": fit, "report": report}[options.command](options)


if __name__ == "__main__":
    main()
