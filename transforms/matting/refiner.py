"""A tiny learned refiner: what closed-form matting gets wrong, mended from examples.

A convolutional network of some 80 000 weights looks at the picture, the trimap, the alpha so
far and smooth fills of both sides' colours, and answers what to add to alpha. It was trained on
synthetic scenes with exact alpha; it runs on the unknown band only.
"""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from alphabeam.transforms.matting.prior import ramp
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN

__all__ = ["Refiner"]

_FILE = Path(__file__).with_name("models") / "refiner.onnx"
_TILE = 128
_HALO = 12  # pixels around a tile that its result depends on to speak of
_DECIDED = np.float32(0.02)  # alpha this near to 0 or 1, and so its neighbours, is left alone
_NEAR = np.ones((7, 7), np.uint8)
# Where alpha explains the picture to less than the first, in colours farther apart than the second
# (root of the sum over the channels, 0..1; from where it begins to where it is so), it stays.
_EXPLAINED = (0.03, 0.015)
_FAR_APART = (0.2, 0.4)


class Refiner:
    """The refiner's session. May be shared by threads; pickles without it."""

    def __init__(self, path: Path = _FILE) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._session: ort.InferenceSession | None = None

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return type(self), (self.path,)

    def refine(
        self,
        image: NDArray[np.uint8],
        trimap: NDArray[np.uint8],
        alpha: NDArray[np.float32],
        fore: NDArray[np.float32],
        back: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Mend alpha in the unknown band, where it is unsure.

        Args:
            image: uint8 HxWx3.
            trimap: uint8 HxW.
            alpha: float32 HxW, 0..1, the alpha so far.
            fore: float32 hxwx3, 0..1, the foreground's colours filled in, at any fraction 1/2**k
                of the size (rounded up).
            back: The background's, likewise.

        Returns:
            float32 HxW, 0..1; ``alpha`` where the trimap knows.
        """
        session = self._get()
        height, width = trimap.shape
        step = 1
        while -(-height // step) > fore.shape[0] or -(-width // step) > fore.shape[1]:
            step *= 2
        out = alpha.copy()
        band = (trimap == UNKNOWN).view(np.uint8)
        unsure = band & (np.abs(alpha - np.float32(0.5)) < 0.5 - _DECIDED).view(np.uint8)
        unsure = cv2.dilate(unsure, _NEAR) & band
        for y in range(0, height, _TILE):
            for x in range(0, width, _TILE):
                here = unsure[y : y + _TILE, x : x + _TILE]
                bx, by, bw, bh = cv2.boundingRect(here)
                if bw == 0:
                    continue
                # The tile grows to whole cells of the fills and of the network's stride.
                cell = max(step, 4)
                top = max(y + by - _HALO, 0) // cell * cell
                left = max(x + bx - _HALO, 0) // cell * cell
                bottom = min(y + by + bh + _HALO, height)
                right = min(x + bx + bw + _HALO, width)
                h, w = bottom - top, right - left
                features = np.zeros((1, 12, -(-h // 4) * 4, -(-w // 4) * 4), np.float32)
                view = features[0, :, :h, :w]
                known = trimap[top:bottom, left:right]
                view[0:3] = image[top:bottom, left:right].transpose(2, 0, 1)
                view[0:3] *= np.float32(1 / 255)
                view[3] = known == FOREGROUND
                view[4] = known == BACKGROUND
                view[5] = alpha[top:bottom, left:right]
                for first, fill in ((6, fore), (9, back)):
                    view[first : first + 3] = _enlarge(fill, step, left, top, h, w)
                (mended,) = session.run(None, {"features": features})
                values = mended[0, 0, :h, :w]
                values += _explained(view) * (view[5] - values)
                inner = np.s_[y + by - top : y + by - top + bh, x + bx - left : x + bx - left + bw]
                where = here[by : by + bh, bx : bx + bw] > 0
                values = np.clip(values[inner], 0, 1)
                np.copyto(out[y + by : y + by + bh, x + bx : x + bx + bw], values, where=where)
        return out

    def _get(self) -> ort.InferenceSession:
        with self._lock:
            if self._session is None:
                options = ort.SessionOptions()
                options.intra_op_num_threads = 1
                options.inter_op_num_threads = 1
                options.use_deterministic_compute = True
                options.log_severity_level = 3
                options.enable_cpu_mem_arena = False
                options.enable_mem_pattern = False
                self._session = ort.InferenceSession(
                    str(self.path), options, providers=["CPUExecutionProvider"]
                )
            return self._session


def _explained(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where the alpha so far is what the picture shows: float32 HxW, 0..1.

    On plain colours closed-form matting is exact; the refiner, which has learnt from pictures that
    are hardly ever so plain, would only make a soft edge sharper.
    """
    image, alpha, fore, back = features[:3], features[5], features[6:9], features[9:12]
    apart = fore - back
    missed = ((image - back - alpha * apart) ** 2).sum(axis=0)
    missed = np.sqrt(np.maximum(cv2.blur(missed, (7, 7)), 0))
    apart = np.sqrt((apart**2).sum(axis=0))
    return ramp(missed, *_EXPLAINED) * ramp(apart, *_FAR_APART)


def _enlarge(
    fill: NDArray[np.float32], step: int, left: int, top: int, height: int, width: int
) -> NDArray[np.float32]:
    """A part of the fill at full size, 3xheightxwidth."""
    x, y = left // step, top // step
    part = fill[y : y + -(-height // step), x : x + -(-width // step)]
    if step > 1:
        size = (part.shape[1] * step, part.shape[0] * step)
        part = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    return part[:height, :width].transpose(2, 0, 1)
