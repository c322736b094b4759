"""Scenes with exact alpha for `quality.py`: varied, in two halves that share no product.

What the repository has by itself is enough: the samples' cut-outs, which no model was trained on,
and drawn things. Where ``$ALPHABEAM_SHARED`` has training data, the cut-outs, surfaces and shops'
scenes that `training.sources` holds out are used too, and the photos of alphamatting.com in the
half that is reported on. Folders of renders (`python -m renderer training`) and of what
`scenes3d.py` rendered may be given; of these too only what is held out is used.
"""

from __future__ import annotations

import functools
import hashlib
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "benchmarks")]

import damage  # noqa: E402

from training import bank as banks  # noqa: E402
from training import sources  # noqa: E402
from training.backgrounds import draw_background, studio_colour  # noqa: E402
from training.compose import compose, develop  # noqa: E402
from training.goods import draw_loop, draw_pack  # noqa: E402
from training.objects import draw_object  # noqa: E402
from training.patterns import draw_patterned  # noqa: E402
from training.pieces import Bank, Cutout, draw_from  # noqa: E402
from training.placing import place  # noqa: E402
from training.shadows import Sun, cast_soft  # noqa: E402
from training.surfaces import tint, vitrify, whiten  # noqa: E402

__all__ = ["FAMILIES", "Job", "Truth", "jobs", "make", "rank", "use_folders"]

Image = NDArray[np.uint8]
Rng = np.random.Generator

_SIDE = 640  # longer side, pixels
_DRAWN = 80  # objects drawn a half, and a fifth as many packs and loops
_SURFACES = 24
_DRAW = {"drawn": draw_object, "packs": draw_pack, "loops": draw_loop}
_SHAPES = ((640, 640), (640, 512), (512, 640))
_WORN = frozenset({"0011", "0012", "0017", "0038", "0055"})  # held-out cut-outs that are garments
_POOLS = {
    "samples": 0.3, "renders": 0.25, "exact": 0.2, "drawn": 0.12, "packs": 0.08, "loops": 0.05
}  # fmt: skip


class Job(NamedTuple):
    """One scene of the set: its family, its half (0 to fit, 1 to report) and its number."""

    family: str
    half: int
    number: int


class Truth(NamedTuple):
    """A picture, uint8 HxWx3 RGB, and its alpha, uint8 HxW."""

    picture: Image
    alpha: Image


class _Half(NamedTuple):
    """What one half's scenes are made of."""

    bank: Bank
    garments: list[Cutout]
    products: list[Image]  # uint8 RGBA, as `damage` takes them
    samples: list[str]
    files: dict[str, list[tuple[pathlib.Path, pathlib.Path]]]  # pictures and truths, by family


def _surface(half: int, number: int) -> Image:
    """A pattern to paint drawn things with, where there are no photos of surfaces."""
    rng = np.random.default_rng([92, half, number])
    return np.asarray(np.clip(draw_patterned(rng, [], 128, 128), 0, 255), np.uint8)


def _is_second(name: str) -> bool:
    """Into which half a product falls, by its name."""
    return bool(int(hashlib.sha1(name.encode()).hexdigest()[:8], 16) & 1)


_folders: tuple[list[pathlib.Path], pathlib.Path | None] = ([], None)


def use_folders(renders: list[pathlib.Path], scenes: pathlib.Path | None) -> None:
    """Says where renders are, and what `scenes3d.py` wrote; to be called before any other."""
    global _folders
    _folders = (renders, scenes)


def _files(half: int) -> dict[str, list[tuple[pathlib.Path, pathlib.Path]]]:
    """Pictures with their truths beside them, by family."""
    renders, scenes = _folders
    found: dict[str, list[tuple[pathlib.Path, pathlib.Path]]] = {}
    found["renders"] = [
        (path, path.parents[1] / "truth" / f"{path.stem}.png")
        for folder in renders
        for path in banks.find_renders(folder, out=True)
        if _is_second(path.stem) == bool(half)
    ]
    if scenes is not None:
        found["3D models"] = [
            (scenes / "images" / path.name, path)
            for path in sorted((scenes / "truth").glob("*.png"))
            if _is_second(path.stem.rsplit("-", 2)[0].split("-", 2)[-1]) == bool(half)
        ]
    folder = sources.find_shared() / "data" / "matting"
    if half:  # they may be used to judge, and not to fit
        found["photos"] = [
            (path, folder / "alpha" / path.name)
            for path in sorted((folder / "image").glob("*.png"))
            if (folder / "alpha" / path.name).exists()
        ]
    return found


@functools.cache
def _held_out() -> sources.Sources | None:
    shared = sources.find_shared()
    if not (shared / "data" / "train").is_dir():
        return None
    return sources.find_sources(shared)[1]


@functools.cache
def _pieces(half: int) -> _Half:
    """Loads what a half is made of; once a process."""
    truths = sorted((_ROOT / "samples" / "truth").glob("*.png"))
    mine = [path.stem for index, path in enumerate(truths) if index % 2 == half]
    exact: list[Cutout] = []
    garments: list[Cutout] = []
    textures: list[Image] = []
    scenes: list[Image] = []
    out = _held_out()
    if out is not None:
        for path in out.cutouts:
            if _is_second(path.stem) == bool(half) and (one := banks.load_cutout(path)):
                (garments if path.stem in _WORN else exact).append(one)
        textures = [sources.read_picture(path) for path in out.textures[half::2]]
        scenes = [sources.read_picture(path) for path in out.scenes[half::2]]
    painted = textures or [_surface(half, number) for number in range(_SURFACES)]
    bank = Bank({"exact": exact + garments}, {}, textures, scenes, [])
    for number in range(_DRAWN):
        for pool, draw in _DRAW.items():
            if number % 5 == 0 or pool == "drawn":
                drawn = draw(np.random.default_rng([91, half, number]), painted)
                if drawn is not None:
                    bank.cutouts.setdefault(pool, []).append(drawn)
    products = []
    for name in mine:
        rgba = damage.cutout_of(name)
        if rgba is None:
            continue
        products.append(rgba)
        bgra = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)
        cutout = Cutout.make(bgra[..., :3], bgra[..., 3].astype(np.float32) / 255)
        if cutout is not None:
            bank.cutouts.setdefault("samples", []).append(cutout)
    files = _files(half)
    for path, truth in files["renders"]:
        alpha = sources.read_picture(truth, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        whole = max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) < 0.1
        if whole and (one := Cutout.make(sources.read_picture(path), alpha)) is not None:
            bank.cutouts.setdefault("renders", []).append(one)
    return _Half(bank, garments, products, mine, files)


# --- families ------------------------------------------------------------------------------------


def _shape(rng: Rng) -> tuple[int, int]:
    return _SHAPES[int(rng.integers(len(_SHAPES)))]


def _truth(bgr: NDArray[np.uint8], alpha: NDArray[np.float32]) -> Truth:
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    return Truth(rgb, np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8))


def _weighted(pieces: _Half) -> Bank:
    """The bank with every pool under a name that `compose` draws from."""
    pools = pieces.bank.cutouts
    named = {
        "exact": pools.get("exact", []),
        "models": pools.get("samples", []),
        "renders": pools.get("renders", []),
        "drawn": pools.get("drawn", []),
        "packs": pools.get("packs", []),
        "loops": pools.get("loops", []),
    }
    return Bank(named, {}, pieces.bank.textures, pieces.bank.scenes, [])


def composed(rng: Rng, pieces: _Half, _: int) -> Truth:
    """As in training: any background and light, one product or several, props, prints, glass."""
    return _truth(*compose(rng, _weighted(pieces), *_shape(rng)))


def garments(rng: Rng, pieces: _Half, _: int) -> Truth | None:
    """Composed of garments alone."""
    if not pieces.garments:
        return None
    bank = Bank({"exact": pieces.garments}, {}, pieces.bank.textures, pieces.bank.scenes, [])
    return _truth(*compose(rng, bank, *_shape(rng)))


def _on(
    rng: Rng,
    pieces: _Half,
    picture: NDArray[np.float32],
    reach: tuple[float, float] = (0.5, 0.95),
    *,
    cut: bool = False,
    light: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]] | None = None,
    surface: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
    | None = None,
) -> Truth:
    """One product on a background."""
    cutout = draw_from(rng, pieces.bank.cutouts, _POOLS)
    h, w = picture.shape[:2]
    bgr, alpha, _ = place(rng, cutout, h, w, reach, truncate=cut)
    colours = tint(rng, bgr)
    if surface is not None:
        colours = surface(colours, alpha)
    below = cast_soft(rng, picture, alpha) if light is None else light(picture, alpha)
    return _truth(develop(rng, below + alpha[..., None] * (colours - below), gentle=True), alpha)


def studio(rng: Rng, pieces: _Half, _: int) -> Truth:
    """One product on white, grey or a colour, with a soft shadow: what most shops have."""
    return _on(rng, pieces, draw_background(rng, [], [], *_shape(rng)))


def cut_off(rng: Rng, pieces: _Half, _: int) -> Truth:
    """The same, cut off by the frame."""
    return _on(rng, pieces, draw_background(rng, [], [], *_shape(rng)), (0.7, 1.0), cut=True)


def white_on_white(rng: Rng, pieces: _Half, _: int) -> Truth:
    """A white product on white."""
    white = np.full(3, rng.uniform(236, 256))
    picture = draw_background(rng, [], [], *_shape(rng), white)
    return _on(rng, pieces, picture, surface=lambda colours, _: whiten(rng, colours))


def glass(rng: Rng, pieces: _Half, _: int) -> Truth:
    """A product of clear glass, or half of it."""
    picture = draw_background(rng, pieces.bank.textures, [], *_shape(rng))
    return _on(
        rng, pieces, picture, surface=lambda colours, alpha: vitrify(rng, colours, alpha, picture)
    )


def hard_shadows(rng: Rng, pieces: _Half, _: int) -> Truth:
    """A product in the sun."""
    h, w = _shape(rng)
    picture = draw_background(rng, pieces.bank.textures, [], h, w)
    sun = Sun.draw(rng, max(h, w))
    return _on(
        rng, pieces, picture, light=lambda below, alpha: sun.cast(below, sun.shadow(alpha, None))
    )


def patterned(rng: Rng, pieces: _Half, _: int) -> Truth:
    """A product on tiles, planks, stripes or a printed cloth."""
    return _on(rng, pieces, draw_patterned(rng, pieces.bank.textures, *_shape(rng)))


def flat_shapes(rng: Rng, _: _Half, __: int) -> Truth:
    """A card or a chip: one even colour on another."""
    h, w = _shape(rng)
    picture = draw_background(rng, [], [], h, w, studio_colour(rng))
    big = np.zeros((h, w), np.uint8)
    middle = (int(rng.uniform(0.35, 0.65) * w), int(rng.uniform(0.35, 0.65) * h))
    size = int(min(h, w) * rng.uniform(0.12, 0.33))
    if rng.random() < 0.5:
        cv2.circle(big, middle, size, 255, -1, cv2.LINE_AA)
    else:
        other = int(size * rng.uniform(0.4, 1))
        a, b = (middle[0] - size, middle[1] - other), (middle[0] + size, middle[1] + other)
        cv2.rectangle(big, a, b, 255, -1)
    colour = rng.uniform(0, 255, 3)
    while np.abs(colour - picture.mean(axis=(0, 1))).max() < 30:
        colour = rng.uniform(0, 255, 3)
    alpha = big.astype(np.float32) / 255
    picture = picture + alpha[..., None] * (colour - picture)
    drawn = develop(rng, picture.astype(np.float32))
    return _truth(drawn, alpha.astype(np.float32))


def samples(_: Rng, pieces: _Half, number: int) -> Truth | None:
    """The samples themselves."""
    if number >= len(pieces.samples):
        return None
    name = pieces.samples[number]
    (path,) = (_ROOT / "samples" / "images").glob(f"{name}.*")
    alpha = sources.read_picture(_ROOT / "samples" / "truth" / f"{name}.png", cv2.IMREAD_GRAYSCALE)
    bgr = sources.read_picture(path)
    return Truth(np.ascontiguousarray(bgr[..., ::-1]), np.asarray(alpha, np.uint8))


def _of_files(family: str) -> Callable[[Rng, _Half, int], Truth | None]:
    """Whole pictures with their truth."""

    def read(_: Rng, pieces: _Half, number: int) -> Truth | None:
        files = pieces.files.get(family, [])
        if number >= len(files):
            return None
        picture, truth = files[number]
        alpha = sources.read_picture(truth, cv2.IMREAD_UNCHANGED)
        alpha = alpha if alpha.ndim == 2 else alpha[..., -1 if alpha.shape[2] == 4 else 0]
        bgr = sources.read_picture(picture)
        if bgr.shape[:2] != alpha.shape:
            bgr = cv2.resize(bgr, alpha.shape[1::-1], interpolation=cv2.INTER_AREA)
        return Truth(np.ascontiguousarray(bgr[..., ::-1]), np.ascontiguousarray(alpha))

    return read


def _of_damage(kind: str) -> Callable[[Rng, _Half, int], Truth]:
    """A kind of `damage.py`, brought to this set's size."""

    def draw(rng: Rng, pieces: _Half, _: int) -> Truth:
        scene = damage.KINDS[kind](rng, pieces.products)
        size = (_SIDE, _SIDE)
        small = cv2.resize(scene.picture, size, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(scene.alpha, size, interpolation=cv2.INTER_AREA)
        return Truth(np.asarray(small, np.uint8), np.asarray(alpha, np.uint8))

    draw.__doc__ = damage.KINDS[kind].__doc__
    return draw


FAMILIES: dict[str, tuple[Callable[[Rng, _Half, int], Truth | None], int]] = {
    "composed": (composed, 200),
    "studio": (studio, 100),
    "white on white": (white_on_white, 40),
    "glass": (glass, 30),
    "hard shadows": (hard_shadows, 40),
    "patterned": (patterned, 50),
    "cut off": (cut_off, 25),
    "flat shapes": (flat_shapes, 20),
    "garments": (garments, 30),
    "layouts": (_of_damage("layouts"), 40),
    "loops": (_of_damage("loops"), 20),
    "reflections": (_of_damage("reflections"), 20),
    "swatches": (_of_damage("swatches"), 8),
    "covers": (_of_damage("covers"), 8),
    "samples": (samples, 9),
    "renders": (_of_files("renders"), 40),
    "3D models": (_of_files("3D models"), 40),
    "photos": (_of_files("photos"), 14),
}
"""What draws a family's scenes, and how many there are in each half."""


def jobs(share: float = 1.0) -> list[Job]:
    """All scenes of the set, or a share of each family's."""
    return [
        Job(family, half, number)
        for half in (0, 1)
        for family, (_, count) in FAMILIES.items()
        for number in range(max(1, round(count * share)))
    ]


def rank(job: Job) -> float:
    """How far into its family a scene is, 0..1."""
    return job.number / FAMILIES[job.family][1]


def make(job: Job) -> Truth | None:
    """Draws a scene: always the same one for a job.

    Returns:
        None where what it is made of is not there, or nothing of the product is in the frame.
    """
    family = [*FAMILIES].index(job.family)
    rng = np.random.default_rng([21, family, job.half, job.number])
    scene = FAMILIES[job.family][0](rng, _pieces(job.half), job.number)
    if scene is None or (scene.alpha > 127).mean() < 0.005:
        return None
    return scene
