"""Loads what samples are made of into memory."""

from __future__ import annotations

import multiprocessing
import pathlib

import cv2
import numpy as np

from .goods import draw_loop, draw_pack
from .labels import Label, read_labels, refine
from .models3d import CUTOUTS, SHADOWS
from .objects import draw_object
from .pieces import Bank, Cutout, Picture
from .sources import Sources, held_out, read_picture

__all__ = [
    "add_drawn",
    "build_bank",
    "find_renders",
    "load_cutout",
    "load_label",
    "load_model_view",
    "load_render",
]

_SIZE = 480


def _shrink(image: np.ndarray, size: int = _SIZE) -> np.ndarray:
    k = size / max(image.shape[:2])
    return image if k >= 1 else cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)


def load_cutout(path: pathlib.Path) -> Cutout | None:
    """Reads a cut-out with alpha of its own.

    Saleor's alpha holds a soft shadow under the product, which never reaches 200; it is dropped.
    """
    bgra = read_picture(path, cv2.IMREAD_UNCHANGED)
    alpha = bgra[..., 3].astype(np.float32) / 255
    if path.parent.name == "saleor":
        alpha = np.clip((alpha - 0.8) / 0.2, 0, 1)
    return Cutout.make(bgra[..., :3], alpha)


def load_label(path: pathlib.Path, labels: pathlib.Path) -> tuple[Picture, np.ndarray]:
    """Reads a photo and its label: the picture, and its alpha as float32 in 0..1."""
    bgr = _shrink(read_picture(path))
    raw = read_picture(labels / path.parent.name / f"{path.stem}.png", cv2.IMREAD_GRAYSCALE)
    p = raw.astype(np.float32) / 255
    alpha = refine(bgr, p)
    p = cv2.resize(p, bgr.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    trust = np.where((p > 0.08) & (p < 0.92), 64, 255).astype(np.uint8)
    return Picture(bgr, np.rint(alpha * 255).astype(np.uint8), trust), alpha


def find_renders(folder: pathlib.Path | None, out: bool = False) -> list[pathlib.Path]:
    """The renders' pictures that have a truth, of the training or the held-out side."""
    if folder is None:
        return []
    return [
        path
        for path in sorted((folder / "images").glob("*.jpg"))
        if (folder / "truth" / f"{path.stem}.png").exists() and held_out(path.stem, 10) == out
    ]


def load_render(path: pathlib.Path) -> Picture:
    """Reads a render and its exact alpha."""
    truth = path.parents[1] / "truth" / f"{path.stem}.png"
    alpha = read_picture(truth, cv2.IMREAD_GRAYSCALE)
    return Picture(_shrink(read_picture(path)), _shrink(alpha))


def load_model_view(path: pathlib.Path) -> Cutout | None:
    """Reads a view that `models3d` drew, with its shadow."""
    bgra = read_picture(path, cv2.IMREAD_UNCHANGED)
    shadow = read_picture(path.parents[1] / SHADOWS / path.name, cv2.IMREAD_GRAYSCALE)
    alpha = bgra[..., 3].astype(np.float32) / 255
    return Cutout.make(bgra[..., :3], alpha, shadow=shadow)


def _makes_a_cutout(label: Label) -> bool:
    return label.soft < 0.15 and label.border < 0.01 and label.area > 0.05


def build_bank(
    sources: Sources,
    labels: pathlib.Path,
    renders: pathlib.Path | None,
    out: bool = False,
    views: pathlib.Path | None = None,
) -> Bank:
    """Builds the bank of one side of the split, without what the recipe draws (`add_drawn`).

    Args:
        sources: The side's paths.
        labels: Folder of the teacher's labels.
        renders: Folder of renders with ``images`` and ``truth``, or None.
        out: Whether this is the held-out side (which side of the renders to take).
        views: Folder that `models3d` filled, or None.
    """
    known = {label.photo: label for label in read_labels(labels)}
    cutouts: dict[str, list[Cutout]] = {
        pool: [] for pool in ("exact", "photos", "renders", "models")
    }
    pictures: dict[str, list[Picture]] = {}

    def keep(pool: str, cutout: Cutout | None) -> None:
        if cutout is not None:
            cutouts[pool].append(cutout)

    for path in sources.cutouts:
        keep("exact", load_cutout(path))
    for path in sources.photos:
        label = known.get(f"{path.parent.name}/{path.name}")
        if label is None or not label.is_sure:
            continue
        picture, alpha = load_label(path, labels)
        pictures.setdefault(path.parent.name, []).append(picture)
        if _makes_a_cutout(label):
            keep("photos", Cutout.make(picture.bgr, alpha))
    for path in find_renders(renders, out):
        picture = load_render(path)
        pictures.setdefault("renders", []).append(picture)
        alpha = picture.alpha.astype(np.float32) / 255
        if max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) < 0.1:
            keep("renders", Cutout.make(picture.bgr, alpha))
    for path in sorted((views / CUTOUTS).glob("*.png")) if views else ():
        keep("models", load_model_view(path))
    textures = [read_picture(path) for path in sources.textures]
    scenes: list[np.ndarray] = []
    empties: list[np.ndarray] = []
    for path in sources.scenes:
        label = known.get(f"{path.parent.name}/{path.name}")
        if label is not None and label.area < 0.01:
            empties.append(read_picture(path))
        # In one of 150 somebody holds something into the picture: leave out those that are known.
        if label is None or not label.is_sure:
            scenes.append(read_picture(path))
    return Bank(cutouts, pictures, textures, scenes, empties)


def add_drawn(bank: Bank, seed: int, count: int = 400, workers: int = 1) -> None:
    """Draws objects, packs and loops into a bank; what is drawn does not depend on `workers`.

    Args:
        bank: Where to; its textures are drawn onto them.
        seed: Of the dice.
        count: How many objects; a fifth as many packs, and as many loops.
        workers: Processes that draw.
    """
    global _textures
    _textures = bank.textures  # a forked process has them without being sent them
    jobs = [(seed, number) for number in range(count // 5)]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for drawn in pool.imap(_draw, jobs):
            for name, cutout in drawn:
                if cutout is not None:
                    bank.cutouts.setdefault(name, []).append(cutout)


_textures: list[np.ndarray] = []


def _draw(job: tuple[int, int]) -> list[tuple[str, Cutout | None]]:
    cv2.setNumThreads(0)
    rng = np.random.default_rng(job)
    kinds = [("drawn", draw_object)] * 5 + [("packs", draw_pack), ("loops", draw_loop)]
    return [(name, draw(rng, _textures)) for name, draw in kinds]
