"""Labels for the real photos: two teachers' mean, kept only where both are sure and agree."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .sources import read_picture

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Label", "Teachers", "label_photos", "read_labels", "refine"]

_SIZE = 320
_CATALOGUE_SIZE, _MULTIPLE = 416, 32
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclasses.dataclass(frozen=True)
class Label:
    """What the teachers said of one photo.

    Attributes:
        photo: Path of the photo, ``source/name``.
        peak: Largest probability, 0..1; small in an empty picture.
        area: Share of pixels that are subject.
        soft: Unsure pixels (0.1 < p < 0.9) over subject pixels.
        border: Share of the border that is subject.
        swing: Mean difference between the two flips over the subject's area, of the teacher that
            varies more.
        agreement: Intersection over union of the teachers' masks.
    """

    photo: str
    peak: float
    area: float
    soft: float
    border: float
    swing: float
    agreement: float

    @property
    def is_sure(self) -> bool:
        """Whether the label is good enough to learn from."""
        return (
            self.peak > 0.9
            and 0.02 < self.area < 0.85
            and self.soft < 0.35
            and self.border < 0.4
            and self.swing < 0.08
            and self.agreement > 0.9
        )


class Teachers:
    """U²-Net-p and a `catalogue` file: each flip-averaged, neither min-max stretched."""

    def __init__(self, u2netp: pathlib.Path, catalogue: pathlib.Path) -> None:
        """Opens the sessions, each on one thread."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._u2netp, self._catalogue = (
            onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            for model in (u2netp, catalogue)
        )

    def __call__(self, photo: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Predicts the subject of `photo`.

        Args:
            photo: H x W x 3 uint8, BGR.

        Returns:
            320 x 320 float32 probability, the `swing` and the `agreement`.
        """
        answers, swings = [], []
        for look in (self._look_u2netp, self._look_catalogue):
            p = np.stack([look(photo), look(photo[:, ::-1])[:, ::-1]])
            answers.append(p.mean(axis=0))
            swings.append(float(np.abs(p[0] - p[1]).sum() / max(answers[-1].sum(), 1)))
        one, other = (p > 0.5 for p in answers)
        agreement = float((one & other).sum() / max((one | other).sum(), 1))
        return np.mean(answers, axis=0), max(swings), agreement

    def _look_u2netp(self, photo: np.ndarray) -> np.ndarray:
        rgb = cv2.resize(photo, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)[..., ::-1]
        x = (rgb / np.float32(max(rgb.max(), 1)) - _MEAN) / _STD
        return _run(self._u2netp, x)

    def _look_catalogue(self, photo: np.ndarray) -> np.ndarray:
        k = _CATALOGUE_SIZE / max(photo.shape[:2])
        h, w = (max(round(side * k), 1) for side in photo.shape[:2])
        rgb = cv2.resize(photo, (w, h), interpolation=cv2.INTER_AREA)[..., ::-1]
        below, right = -h % _MULTIPLE, -w % _MULTIPLE
        rgb = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
        p = _run(self._catalogue, rgb / np.float32(255))[:h, :w]
        fitted: np.ndarray = cv2.resize(p, (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)
        return fitted


def _run(session: onnxruntime.InferenceSession, x: np.ndarray) -> np.ndarray:
    """The first answer (H x W float32) to one picture, H x W x 3."""
    batch = np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32)
    names = [session.get_outputs()[0].name]
    answer: np.ndarray = session.run(names, {session.get_inputs()[0].name: batch})[0][0, 0]
    return answer


def describe(photo: str, p: np.ndarray, swing: float, agreement: float) -> Label:
    """Sums up one prediction `p` (float32, 0..1)."""
    subject = max((p > 0.5).sum(), 1)
    border = np.concatenate([p[0], p[-1], p[:, 0], p[:, -1]])
    return Label(
        photo=photo,
        peak=round(float(p.max()), 4),
        area=round(float((p > 0.5).mean()), 4),
        soft=round(float(((p > 0.1) & (p < 0.9)).sum() / subject), 4),
        border=round(float((border > 0.5).mean()), 4),
        swing=round(swing, 4),
        agreement=round(agreement, 4),
    )


def label_photos(
    photos: Iterable[pathlib.Path],
    teachers: Teachers,
    folder: pathlib.Path,
    seconds: float = math.inf,
) -> int:
    """Labels photos until done or `seconds` have passed; labels already there are kept.

    Each label is an 8-bit grey PNG of 320 x 320 in ``folder/source/name.png``; what is known of
    them is in ``folder/labels.jsonl``, one a line.

    Returns:
        How many labels the folder holds now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "labels.jsonl"
    known = {label.photo for label in read_labels(folder)}
    end = time.monotonic() + seconds
    for path in photos:
        name = f"{path.parent.name}/{path.name}"
        if name in known:
            continue
        if time.monotonic() > end:
            break
        p, swing, agreement = teachers(read_picture(path))
        target = folder / path.parent.name / f"{path.stem}.png"
        target.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(target), np.rint(p * 255).astype(np.uint8))
        with index.open("a") as lines:
            lines.write(json.dumps(dataclasses.asdict(describe(name, p, swing, agreement))) + "\n")
        known.add(name)
    return len(known)


def read_labels(folder: pathlib.Path) -> list[Label]:
    """The labels made so far, in the order in which they were made."""
    index = folder / "labels.jsonl"
    if not index.exists():
        return []
    return [Label(**json.loads(line)) for line in index.read_text().splitlines()]


def refine(photo: np.ndarray, p: np.ndarray, radius: int = 5, eps: float = 3e-4) -> np.ndarray:
    """Draws the teachers' soft edge onto the photo's own edge.

    A colour-guided filter (He et al., 2013, with a grey guide) at the photo's size, then a
    steeper ramp, since the teachers blur by several pixels what is a hard edge in the photo.

    Args:
        photo: H x W x 3 uint8.
        p: h x w float32 in 0..1, of any size.
        radius: Half the filter's window, pixels.
        eps: Least variance that counts as an edge, of values in 0..1.

    Returns:
        H x W float32 in 0..1.
    """
    h, w = photo.shape[:2]
    p = cv2.resize(p, (w, h), interpolation=cv2.INTER_LINEAR)
    guide = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY).astype(np.float32) / 255
    k = (2 * radius + 1, 2 * radius + 1)
    mean_i, mean_p = cv2.blur(guide, k), cv2.blur(p, k)
    a = (cv2.blur(guide * p, k) - mean_i * mean_p) / (
        cv2.blur(guide * guide, k) - mean_i * mean_i + eps
    )
    q = cv2.blur(a, k) * guide + cv2.blur(mean_p - a * mean_i, k)
    steep: np.ndarray = np.clip((q - 0.5) * 2 + 0.5, 0, 1)
    return steep
