"""What `quality.py` reports: figures, the tables of docs/quality.md, and its pictures."""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["RESULTS", "draw", "draw_examples", "measured", "tables", "write"]

RESULTS = pathlib.Path("benchmarks") / "quality.json"
"""Where the figures lie, from the repository's root."""

_PAGE = pathlib.Path("docs") / "quality.md"
_BEGIN, _END = "<!-- measured: quality -->\n", "<!-- end -->\n"
_REVIEW = (1.0, 1.5, 2.0, 3.0)  # times as many as are wrong
_BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
_DRAWS = 400  # of the bootstrap
# What is always so of such a scene says nothing of its result.
_NEUTRAL = frozenset({"several_subjects", "touches_border", "tiny_subject", "nearly_empty"})

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
Image = NDArray[np.uint8]


class _Record(Protocol):
    @property
    def family(self) -> str: ...

    @property
    def iou(self) -> float: ...

    @property
    def flags(self) -> list[str]: ...


class _Scene(Protocol):
    @property
    def picture(self) -> Image: ...


def auroc(scores: Vector, wrong: Mask) -> float:
    """The chance that a wrong result has a lower confidence than a right one."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    bad, good = int(wrong.sum()), int((~wrong).sum())
    if not bad or not good:
        return float("nan")
    return float(1 - (rank[wrong].sum() - bad * (bad + 1) / 2) / (bad * good))


def _found(scores: Vector, wrong: Mask, times: float) -> float:
    """The share of the wrong ones among the lowest ``times`` as many."""
    first = np.argsort(scores, kind="stable")[: round(times * int(wrong.sum()))]
    return float(wrong[first].sum() / max(int(wrong.sum()), 1))


def _interval(scores: Vector, wrong: Mask) -> list[float]:
    """95 % of the areas of samples drawn with replacement."""
    rng = np.random.default_rng(21)
    drawn = [rng.integers(0, len(scores), len(scores)) for _ in range(_DRAWS)]
    areas = [auroc(scores[pick], wrong[pick]) for pick in drawn]
    return [round(float(v), 3) for v in np.nanquantile(areas, (0.025, 0.975))]


def _reliability(scores: Vector, right: Mask) -> list[list[float]]:
    """For each range of confidences: its bounds, how many, their mean, and how many are right."""
    rows = []
    for low, high in itertools.pairwise(_BINS):
        here = (scores >= low) & ((scores < high) | (high == 1))
        count = int(here.sum())
        if count:
            rows.append(
                [low, high, count, round(scores[here].mean(), 3), round(right[here].mean(), 3)]
            )
    return rows


def measured(
    records: Sequence[_Record], right: Mask, scores: dict[str, Vector], low: float
) -> dict[str, Any]:
    """The figures of the half that is reported on.

    Args:
        records: Its records.
        right: Which of them are right.
        scores: Their confidences, by how they are made.
        low: Under which one is flagged.
    """
    wrong, far = ~right, np.array([one.iou < 0.9 for one in records])
    ways = {}
    for name, values in scores.items():
        reliability = _reliability(values, right)
        ways[name] = {
            "auroc": round(auroc(values, wrong), 3),
            "interval": _interval(values, wrong),
            "auroc of IoU < .9": round(auroc(values, far), 3),
            "found": {str(times): round(_found(values, wrong, times), 3) for times in _REVIEW},
            "reliability": reliability,
            "calibration error": round(
                sum(row[2] * abs(row[3] - row[4]) for row in reliability) / len(records), 3
            ),
        }
    fast = scores["fast"]
    doubtful = fast < low
    flagged = doubtful | np.array([not _NEUTRAL.issuperset(one.flags) for one in records])
    shares = {
        name: {
            "low_confidence": round(float(doubtful[which].mean()), 3),
            "any flag": round(float(flagged[which].mean()), 3),
        }
        for name, which in (("IoU < .9", far), ("wrong", wrong), ("right", right))
    }
    families = {}
    for family in dict.fromkeys(one.family for one in records):
        here = np.array([one.family == family for one in records])
        families[family] = {
            "scenes": int(here.sum()),
            "wrong": int(wrong[here].sum()),
            "expected": round(float((1 - fast[here]).sum()), 1),
            "flagged": int((doubtful & wrong & here).sum()),
        }
    return {
        "scenes": len(records),
        "wrong": int(wrong.sum()),
        "IoU < .9": int(far.sum()),
        "low": low,
        "ways": ways,
        "flags": shares,
        "families": families,
    }


_NAMES = {
    "decided": "how decided the network is, the confidence until now",
    "fast": "`quality: fast`",
    "thorough": "`quality: thorough`",
}


def tables(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    ways = results["ways"]
    lines = [
        f"Fitted on {results['fitted on']} scenes, judged on {results['scenes']} others, of which "
        f"{results['wrong']} results are wrong and {results['IoU < .9']} have an IoU under .9; "
        f"model `{results['model']}`, SHA-256 `{results['sha256'][:12]}…`.",
        "",
        "| confidence | AUROC, wrong or right (95 %) | AUROC, IoU under .9 "
        "| found by reviewing 1, 1.5, 2 times as many as are wrong | calibration error |",
        "|---|---|---|---|---|",
    ]
    for name, way in ways.items():
        low, high = way["interval"]
        found = ", ".join(f"{way['found'][times]:.0%}" for times in ("1.0", "1.5", "2.0"))
        error = "no probability" if name == "decided" else f"{way['calibration error']:.3f}"
        lines.append(
            f"| {_NAMES[name]} | {way['auroc']:.3f} ({low:.3f} to {high:.3f}) "
            f"| {way['auroc of IoU < .9']:.3f} | {found} | {error} |"
        )
    lines += [
        "",
        "| confidence (`fast`) | results | mean | right |",
        "|---|---|---|---|",
        *(
            f"| {low:g} to {high:g} | {count} | {mean:.2f} | {share:.0%} |"
            for low, high, count, mean, share in ways["fast"]["reliability"]
        ),
        "",
        f"| results | flagged `low_confidence` (under {results['low']:g}) | any telling flag |",
        "|---|---|---|",
        *(
            f"| {name} | {row['low_confidence']:.0%} | {row['any flag']:.0%} |"
            for name, row in results["flags"].items()
        ),
        "",
        "| scenes | number | wrong | expected by the confidence | wrong ones flagged "
        "`low_confidence` |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {row['scenes']} | {row['wrong']} | {row['expected']:.1f} "
            f"| {row['flagged']} |"
            for name, row in results["families"].items()
        ),
    ]
    return "\n".join(lines) + "\n"


def write(results: dict[str, Any], root: pathlib.Path) -> None:
    """Keeps the figures, and puts the tables into the page."""
    (root / RESULTS).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = (root / _PAGE).read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    text = f"{before}{_BEGIN}\n{tables(results)}\n{_END}{after}"
    (root / _PAGE).write_text(text, encoding="utf-8")


# --- pictures ------------------------------------------------------------------------------------

_SIDE, _MARGIN = 360, 46
_BLUE, _ORANGE, _GREY = (180, 90, 20), (20, 110, 230), (150, 150, 150)  # BGR


def _axes(across: str, up: str) -> Image:
    picture = np.full((_SIDE + 2 * _MARGIN, _SIDE + 2 * _MARGIN, 3), 255, np.uint8)
    corner, other = (_MARGIN, _MARGIN), (_MARGIN + _SIDE, _MARGIN + _SIDE)
    for tick in range(1, 5):
        at = _MARGIN + tick * _SIDE // 5
        cv2.line(picture, (at, _MARGIN), (at, _MARGIN + _SIDE), (235, 235, 235), 1)
        cv2.line(picture, (_MARGIN, at), (_MARGIN + _SIDE, at), (235, 235, 235), 1)
    cv2.rectangle(picture, corner, other, _GREY, 1)
    for tick in range(6):
        at = tick * _SIDE // 5
        _say(picture, f"{tick / 5:g}", (_MARGIN + at - 8, _MARGIN + _SIDE + 16))
        _say(picture, f"{tick / 5:g}", (_MARGIN - 28, _MARGIN + _SIDE - at + 4))
    _say(picture, across, (_MARGIN + 60, _MARGIN + _SIDE + 36))
    _say(picture, up, (_MARGIN - 28, _MARGIN - 14))
    return picture


def _say(
    picture: Image, text: str, at: tuple[int, int], colour: tuple[int, int, int] = (40, 40, 40)
) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def _point(across: float, up: float) -> tuple[int, int]:
    return round(_MARGIN + across * _SIDE), round(_MARGIN + (1 - up) * _SIDE)


def _curve(picture: Image, across: Vector, up: Vector) -> None:
    line = np.array([_point(x, y) for x, y in zip(across, up, strict=True)], np.int32)
    cv2.polylines(picture, [line], False, _BLUE, 2, cv2.LINE_AA)


def draw(results: dict[str, Any], scores: Vector, right: Mask, folder: pathlib.Path) -> None:
    """Draws reliability diagram, ROC curve and review curve of ``fast``, side by side in a PNG."""
    reliability = _axes("confidence", "share that is right")
    cv2.line(reliability, _point(0, 0), _point(1, 1), _GREY, 1, cv2.LINE_AA)
    points = [(row[3], row[4], row[2]) for row in results["ways"]["fast"]["reliability"]]
    for (a, b, _), (c, d, _) in itertools.pairwise(points):
        cv2.line(reliability, _point(a, b), _point(c, d), _BLUE, 2, cv2.LINE_AA)
    for across, up, count in points:
        cv2.circle(reliability, _point(across, up), 4, _BLUE, -1, cv2.LINE_AA)
        _say(reliability, str(count), (_point(across, up)[0] + 6, _point(across, up)[1] + 14))
    order = np.argsort(scores, kind="stable")
    found, alarms = (
        np.concatenate([[0], np.cumsum(which[order])]) / max(int(which.sum()), 1)
        for which in (~right, right)
    )
    roc = _axes("share of the right ones flagged", "share of the wrong ones found")
    cv2.line(roc, _point(0, 0), _point(1, 1), _GREY, 1, cv2.LINE_AA)
    _curve(roc, alarms, found)
    _say(roc, f"AUROC {results['ways']['fast']['auroc']:.3f}", _point(0.5, 0.1))
    review = _axes(
        "share of the results reviewed, the lowest first", "share of the wrong ones found"
    )
    _curve(review, np.linspace(0, 1, len(found)), found)
    share = 1.5 * (~right).mean()
    cv2.line(review, _point(share, 0), _point(share, 1), _ORANGE, 1, cv2.LINE_AA)
    _say(review, "1.5 x as many as are wrong", (_point(share, 0)[0] + 6, _SIDE), _ORANGE)
    cv2.imwrite(str(folder / "quality-curves.png"), np.hstack([reliability, roc, review]))


def draw_examples(cells: Sequence[tuple[_Scene, Image, str]], target: pathlib.Path) -> None:
    """A sheet of wrong results: picture, and cutout on magenta, with confidence and IoU."""
    side, drawn = 190, []
    for scene, alpha, said in cells:
        weight = alpha[..., None].astype(np.float32) / 255
        laid = np.array((190, 60, 190)) + weight * (scene.picture - np.array((190.0, 60, 190)))
        pair = []
        for one in (scene.picture, np.rint(laid).astype(np.uint8)):
            k = side / max(one.shape[:2])
            small = cv2.resize(one, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
            cell = np.full((side, side, 3), 255, np.uint8)
            cell[: small.shape[0], : small.shape[1]] = small[:side, :side]
            pair.append(cell)
        both = cv2.cvtColor(np.hstack(pair), cv2.COLOR_RGB2BGR)
        label = np.full((20, both.shape[1], 3), 255, np.uint8)
        _say(label, said, (4, 14))
        framed = np.vstack([both, label])
        drawn.append(cv2.copyMakeBorder(framed, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=(255,) * 3))
    rows = [np.hstack(drawn[i : i + 3]) for i in range(0, len(drawn) - len(drawn) % 3, 3)]
    cv2.imwrite(str(target), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])
