"""Confidence as a probability: what `evidence` says, weighed as `benchmarks/quality.py` has learnt.

The weights lie beside the model that they were learnt for, as ``NAME.quality.json``. They hold for
that file alone, so they are looked up by its SHA-256; a network of one's own has none, unless its
file has such a JSON file beside it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphabeam.transforms.matting.evidence import Evidence, Looks
from alphabeam.transforms.matting.models import ModelError

__all__ = ["Calibration", "calibration_of"]

Steps = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Calibration:
    """Logistic weights, none of them negative: more evidence never raises the confidence.

    Each piece of evidence counts by ``weight * min(value / knot, 1)``, summed over its knots. A
    confidence is ``1 / (1 + exp(bias + sum))``.

    Attributes:
        bias: Without and with second looks.
        steps: Knots and weights by the name of the evidence, without and with second looks.
        low: The confidence under which a result has the flag ``low_confidence``.
    """

    bias: tuple[float, float]
    steps: tuple[Steps, Steps]
    low: float

    def confidence(self, evidence: Evidence, looks: Looks | None = None) -> float:
        """The probability, 0..1, that a result is right.

        Right is an intersection over union of at least .95 with the truth, and no part of over
        .5 % of the subject wrongly removed or kept.
        """
        values: dict[str, float] = evidence._asdict()
        if looks is not None:
            values |= looks._asdict()
        which = 0 if looks is None else 1
        score = self.bias[which]
        for name, steps in self.steps[which].items():
            score += sum(weight * min(values[name] / knot, 1.0) for knot, weight in steps)
        return 1 / (1 + math.exp(min(score, 700.0)))

    @classmethod
    def from_mapping(cls, about: dict[str, Any]) -> Calibration:
        """Reads what a JSON file says.

        Raises:
            ValueError: Something is missing, of another type, or negative.
        """
        known = ({*Evidence._fields}, {*Evidence._fields, *Looks._fields})
        read: list[tuple[float, Steps]] = []
        for which, part in enumerate(("fast", "thorough")):
            try:
                bias = float(about[part]["bias"])
                steps = {
                    str(name): [(float(knot), float(weight)) for knot, weight in pairs]
                    for name, pairs in about[part]["steps"].items()
                }
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{part}: {error!r}") from None
            if unknown := {*steps} - known[which]:
                raise ValueError(f"{part}: no such evidence: {min(unknown)}")
            if not all(k > 0 and w >= 0 for pairs in steps.values() for k, w in pairs):
                raise ValueError(f"{part}: knots are above 0, and weights at least 0")
            read.append((bias, steps))
        low = about.get("low")
        if not isinstance(low, (int, float)) or not 0 <= low <= 1:
            raise ValueError(f"low: a number of 0..1 is needed, got {low!r}")
        (fast, fast_steps), (thorough, thorough_steps) = read
        return cls((fast, thorough), (fast_steps, thorough_steps), float(low))


def calibration_of(network: object) -> Calibration | None:
    """The calibration of a network's file; None if there is none for this very file.

    Raises:
        ModelError: The file beside it is no calibration.
    """
    path: Path | None = getattr(network, "path", None)
    if path is None:
        return None
    beside = path.with_suffix(".quality.json")
    try:
        about = json.loads(beside.read_text(encoding="utf-8"))
        if about.get("sha256") != getattr(network, "sha256", None):
            return None
        return Calibration.from_mapping(about)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{beside}: no calibration of a confidence: {error}") from None
