"""From a scene to what the refiner sees of it, kept in files.

The matting core itself does all but the last step; its refiner notes what it is asked to refine. So
the network learns on exactly what it will be given.
"""

from __future__ import annotations

import pathlib

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting.alpha import refine_alpha
from alphabeam.transforms.matting.refiner import Refiner
from alphabeam.transforms.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN

from .material import Material
from .scenes import Scene, draw_scene

__all__ = ["PLANES", "features", "make_example", "measure", "write_examples"]

PLANES = {
    "image": slice(0, 3),
    "trimap": slice(3, 4),
    "alpha": slice(4, 5),
    "fore": slice(5, 8),
    "back": slice(8, 11),
    "truth": slice(11, 12),
}
"""Which of an example's 12 planes hold what."""


class _Noting(Refiner):
    """Keeps what it was last asked to refine: a wide band is refined on two levels."""

    def __init__(self, first: Refiner | None) -> None:
        super().__init__()
        self._first = first

    def refine(
        self,
        image: NDArray[np.uint8],
        trimap: NDArray[np.uint8],
        alpha: NDArray[np.float32],
        fore: NDArray[np.float32],
        back: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        self.asked = image, trimap, alpha, fore, back
        return alpha if self._first is None else self._first.refine(*self.asked)


def _bytes(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    return rounded


def make_example(scene: Scene, first: Refiner | None = None) -> NDArray[np.uint8]:
    """Runs the core up to the refiner's last pass.

    Args:
        scene: A scene, cut to its band as ``draw_scene`` does.
        first: The refiner that does the passes before it; None for none.

    Returns:
        12 x H x W uint8, as in ``PLANES``: picture, trimap, alpha so far, both sides' colours at
        full size, and the true alpha.
    """
    noting = _Noting(first)
    refine_alpha(scene.image, scene.trimap, scene.coarse, refiner=noting, limits=scene.limits)
    image, trimap, alpha, fore, back = noting.asked
    if trimap.shape != scene.trimap.shape:
        raise ValueError(
            f"the core refines {trimap.shape} of a scene of {scene.trimap.shape}: cut scenes to "
            "their band and keep the band small enough to be refined at full size"
        )
    height, width = trimap.shape
    step = 1
    while -(-height // step) > fore.shape[0] or -(-width // step) > fore.shape[1]:
        step *= 2

    def full(fill: np.ndarray) -> np.ndarray:
        size = (fill.shape[1] * step, fill.shape[0] * step)
        enlarged: np.ndarray = cv2.resize(fill, size, interpolation=cv2.INTER_LINEAR)
        return enlarged[:height, :width]

    planes = [image, trimap[..., None], _bytes(alpha)[..., None]]
    planes += [_bytes(full(fore)), _bytes(full(back)), scene.alpha[..., None]]
    return np.ascontiguousarray(np.concatenate(planes, axis=2).transpose(2, 0, 1))


def features(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The network's input: picture, sure subject and background, alpha so far, both sides' colours.

    Args:
        planes: ... x 12 x H x W uint8, examples or crops of them.

    Returns:
        ... x 12 x H x W float32, 0..1.
    """
    trimap = planes[..., PLANES["trimap"], :, :]
    scaled = planes.astype(np.float32) / 255
    return np.concatenate(
        [
            scaled[..., PLANES["image"], :, :],
            (trimap == FOREGROUND).astype(np.float32),
            (trimap == BACKGROUND).astype(np.float32),
            scaled[..., PLANES["alpha"], :, :],
            scaled[..., PLANES["fore"], :, :],
            scaled[..., PLANES["back"], :, :],
        ],
        axis=-3,
    )


def write_examples(
    folder: pathlib.Path,
    count: int,
    seed: int,
    material: Material,
    first: Refiner | None = None,
) -> list[pathlib.Path]:
    """Makes examples 0 to ``count`` - 1, those that are not there yet.

    Args:
        folder: Where they go.
        count: How many.
        seed: Of the scenes.
        material: What scenes are made of.
        first: As in :func:`make_example`.

    Returns:
        Their files, each a ``.npy`` of 12 x H x W uint8, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.npy" for number in range(count)]
    for number, path in enumerate(paths):
        if path.exists():
            continue
        with (part := path.with_suffix(".part")).open("wb") as file:
            np.save(file, make_example(draw_scene(seed, number, material), first))
        part.replace(path)
        if number % 50 == 0:
            print(f"{folder.name}: example {number} of {count}", flush=True)
    return paths


def measure(refiner: Refiner | None, paths: list[pathlib.Path]) -> dict[str, float]:
    """Error in the unknown bands of examples, refined the way the core does it.

    Args:
        refiner: The refiner; None to measure alpha as it was before.
        paths: Files of examples.

    Returns:
        ``difference``, the mean absolute one, and ``square``, the mean squared one, over all
        unknown pixels; alpha in 0..1.
    """
    errors = []
    for path in paths:
        planes = np.load(path)
        image, fore, back = (
            np.ascontiguousarray(planes[PLANES[name]].transpose(1, 2, 0))
            for name in ("image", "fore", "back")
        )
        trimap, alpha, truth = (
            np.ascontiguousarray(planes[PLANES[name]][0]) for name in ("trimap", "alpha", "truth")
        )
        alpha, fore, back, truth = (
            x.astype(np.float32) / np.float32(255) for x in (alpha, fore, back, truth)
        )
        if refiner is not None:
            alpha = refiner.refine(image, trimap, alpha, fore, back)
        errors.append((alpha - truth)[trimap == UNKNOWN])
    error = np.concatenate(errors)
    return {"difference": float(np.abs(error).mean()), "square": float((error**2).mean())}
