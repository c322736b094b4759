"""The learned refiner: corrects what closed-form matting gets wrong, as learnt from examples.

A convolutional network of some 80 000 weights, ``models/refiner.onnx``, trained on synthetic scenes
with exact alpha (training/README.md, "The refiner"). It predicts alpha from 12 channels: the
image, the trimap's two known regions, alpha so far, and the smooth fills of both sides' colours. It
sees 24 pixels around each, and runs on the unknown band only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.models import embedded
from alphabeam.transforms.matting.ramp import ramp
from alphabeam.transforms.matting.session import open_session
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["Refiner"]

_TILE = 128
# Overlap of the tiles. Measured: all of the 24 pixels gain .3 % of SAD for half of the time again;
# 8 pixels lose 6 % where alpha is uncertain over a whole tile. See docs/matting.md.
_HALO = 12
_STRIDE = 4  # of the network: sides of its input are multiples
# Alpha within _DECIDED of 0 or 1 is left alone, except near uncertain pixels.
_DECIDED = np.float32(0.02)
_NEAR = np.ones((7, 7), np.uint8)
# Alpha so far stays where it explains the image: ramps over the residual of the mixture, from the
# first value (not explained) to the second, and over the distance of the two sides' colours.
# Both are Euclidean, in RGB of 0..1. Measured on a disc in noise; see docs/matting.md.
_EXPLAINED = (0.03, 0.015)
_FAR_APART = (0.2, 0.4)


class Refiner:
    """The refiner and its session, opened on first use. Threads may share an instance.

    A pickle holds the path, not the session.

    Args:
        path: The ONNX file.
        device: Where it runs, one of `session.DEVICES`.
    """

    def __init__(self, path: Path | None = None, device: str = "cpu") -> None:
        self.path = path or embedded("refiner")
        self.device = device
        self._lock = threading.Lock()
        self._session: ort.InferenceSession | None = None

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.device)

    def refine(
        self,
        image: NDArray[np.uint8],
        trimap: NDArray[np.uint8],
        alpha: NDArray[np.float32],
        fore: NDArray[np.float32],
        back: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Corrects alpha in the unknown band, where it is uncertain.

        Args:
            image: uint8 HxWx3, RGB.
            trimap: uint8 HxW.
            alpha: float32 HxW, 0..1, alpha so far.
            fore: float32 hxwx3, 0..1, the foreground's colours filled in; at full size, or at
                1/2**k of it (rounded up).
            back: float32 hxwx3, 0..1, the background's, likewise.

        Returns:
            float32 HxW, 0..1; ``alpha`` where the trimap is known.
        """
        session = self._get()
        step = _step(trimap.shape, fore.shape)
        out = alpha.copy()
        uncertain = _uncertain(trimap, alpha)
        for tile in _tiles(uncertain, max(step, _STRIDE)):
            features = _features(image, trimap, alpha, fore, back, step, tile)
            height, width = tile.bottom - tile.top, tile.right - tile.left
            (answer,) = session.run(None, {"features": features})
            values = answer[0, 0, :height, :width]
            seen = features[0, :, :height, :width]
            values += _explained(seen) * (seen[5] - values)
            rows, columns = tile.inner
            inner = values[
                rows.start - tile.top : rows.stop - tile.top,
                columns.start - tile.left : columns.stop - tile.left,
            ]
            np.copyto(out[tile.inner], np.clip(inner, 0, 1), where=uncertain[tile.inner] > 0)
        return out

    def _get(self) -> ort.InferenceSession:
        with self._lock:
            if self._session is None:
                self._session = open_session(self.path, device=self.device)
            return self._session


class _Tile(NamedTuple):
    """A tile's pixels that are written, and the box around them that the network sees."""

    inner: tuple[slice, slice]
    left: int
    top: int
    right: int
    bottom: int


def _step(shape: tuple[int, ...], fill_shape: tuple[int, ...]) -> int:
    """Pixels of the level per pixel of the fills, a power of two."""
    step = 1
    while -(-shape[0] // step) > fill_shape[0] or -(-shape[1] // step) > fill_shape[1]:
        step *= 2
    return step


def _uncertain(trimap: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Unknown pixels with an undecided alpha, and unknown ones near those: uint8 HxW of 0, 1."""
    band = (trimap == UNKNOWN).view(np.uint8)
    undecided = band & (np.abs(alpha - np.float32(0.5)) < 0.5 - _DECIDED).view(np.uint8)
    uncertain: NDArray[np.uint8] = cv2.dilate(undecided, _NEAR) & band
    return uncertain


def _tiles(uncertain: NDArray[np.uint8], cell: int) -> Iterator[_Tile]:
    """Tiles that contain uncertain pixels.

    Args:
        uncertain: uint8 HxW, not 0 where alpha is to be refined.
        cell: The left and top of what the network sees are multiples of it, so that the fills'
            pixels and the network's strides are whole.
    """
    height, width = uncertain.shape
    for y in range(0, height, _TILE):
        for x in range(0, width, _TILE):
            bx, by, bw, bh = cv2.boundingRect(uncertain[y : y + _TILE, x : x + _TILE])
            if bw == 0:
                continue
            left, top = x + bx, y + by
            yield _Tile(
                np.s_[top : top + bh, left : left + bw],
                max(left - _HALO, 0) // cell * cell,
                max(top - _HALO, 0) // cell * cell,
                min(left + bw + _HALO, width),
                min(top + bh + _HALO, height),
            )


def _features(
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    fore: NDArray[np.float32],
    back: NDArray[np.float32],
    step: int,
    tile: _Tile,
) -> NDArray[np.float32]:
    """The network's input for one tile, float32 1x12xhxw, zero-padded to whole strides."""
    height, width = tile.bottom - tile.top, tile.right - tile.left
    here = np.s_[tile.top : tile.bottom, tile.left : tile.right]
    padded = (-(-height // _STRIDE) * _STRIDE, -(-width // _STRIDE) * _STRIDE)
    features = np.zeros((1, 12, *padded), np.float32)
    view = features[0, :, :height, :width]
    view[0:3] = image[here].transpose(2, 0, 1)
    view[0:3] *= np.float32(1 / 255)
    view[3] = trimap[here] == FOREGROUND
    view[4] = trimap[here] == BACKGROUND
    view[5] = alpha[here]
    for first, fill in ((6, fore), (9, back)):
        view[first : first + 3] = _enlarge(fill, step, tile.left, tile.top, height, width)
    return features


def _explained(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well alpha so far explains the image: float32 HxW, 0..1.

    On plain colours closed-form matting is exact. The refiner has learnt from images that are
    hardly ever so plain, and would only sharpen a soft edge.

    Args:
        features: float32 12xHxW, the network's input.
    """
    image, alpha, fore, back = features[:3], features[5], features[6:9], features[9:12]
    apart = fore - back
    rest = alpha * apart
    rest += back
    rest -= image
    residual = cv2.blur(np.einsum("cyx,cyx->yx", rest, rest), (7, 7))
    distance = np.einsum("cyx,cyx->yx", apart, apart)
    explained = ramp(np.sqrt(np.maximum(residual, 0, out=residual)), *_EXPLAINED)
    explained *= ramp(np.sqrt(distance), *_FAR_APART)
    return explained


def _enlarge(
    fill: NDArray[np.float32], step: int, left: int, top: int, height: int, width: int
) -> NDArray[np.float32]:
    """A part of a fill at full size, float32 3 x height x width."""
    x, y = left // step, top // step
    part = fill[y : y + -(-height // step), x : x + -(-width // step)]
    if step > 1:
        size = (part.shape[1] * step, part.shape[0] * step)
        part = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    return part[:height, :width].transpose(2, 0, 1)
