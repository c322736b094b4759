"""What a result loses of a product, or keeps of the background: with a flag, and in silence.

    python benchmarks/damage.py [--count 100] [--seed 0] [--model catalogue] [--worst out/damage]

Makes scenes with exact alpha from the samples' cut-outs and from drawn things, runs the matting
core on each, and prints for each kind: products lost (of which less than half is left), scenes in
which over 0.1 % of a product is removed or over 0.5 % of its area is added, and how many of these
have no flag. The same seed makes the same scenes. ``--worst`` writes the worst scenes as PNG:
picture, and result on magenta.

Kinds: *layouts* of two to seven products on an even background; *single* products; thin closed
*loops*; round *faces* within a rim, such as plates and pans; *reflections* in a glossy table;
*swatches* and *covers* that fill the frame, which count as right if they are whole or have the flag
``fills_frame``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms.matting import MattingCore
from alphabeam.transforms.matting.foreground import straight_alpha

__all__ = ["KINDS", "Outcome", "Scene", "cutout_of", "judge", "main"]

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SIDE = 900
_LOST = 0.5  # of a product's alpha, at least, must be left
_REMOVED, _KEPT = 0.001, 0.005
_EDGE = 5  # pixels along an outline in which errors are the matting benchmarks' business
# What is always so of such a scene says nothing about damage.
_NO_WARNING = frozenset({"several_subjects", "touches_border", "tiny_subject", "nearly_empty"})

Image = NDArray[np.uint8]
Rng = np.random.Generator


class Scene(NamedTuple):
    """A picture, uint8 HxWx3, its true alpha, and each product's own, uint8 HxW."""

    picture: Image
    alpha: Image
    products: list[Image]


class Outcome(NamedTuple):
    """What became of a scene: shares by the products' area, 0..1, and the result's flags."""

    lost: int
    removed: float
    kept: float
    flags: tuple[str, ...]

    @property
    def damaged(self) -> bool:
        """Whether a person ought to see it."""
        return self.lost > 0 or self.removed > _REMOVED or self.kept > _KEPT

    @property
    def flagged(self) -> bool:
        """Whether a flag says so."""
        return not _NO_WARNING.issuperset(self.flags)


def judge(scene: Scene, alpha: Image, flags: tuple[str, ...]) -> Outcome:
    """Compares a result with the truth, away from the outlines.

    Args:
        scene: The scene.
        alpha: uint8 HxW, the result.
        flags: The result's.
    """
    square = np.ones((2 * _EDGE + 1,) * 2, np.uint8)
    inside = cv2.erode(scene.alpha, square) > 250
    outside = cv2.dilate(scene.alpha, square) < 5
    area = max(int(np.count_nonzero(scene.alpha > 127)), 1)
    lost = sum(
        float(np.minimum(alpha, product).sum()) < _LOST * float(product.sum())
        for product in scene.products
    )
    removed = np.count_nonzero(inside & (alpha < 64)) / area
    kept = np.count_nonzero(outside & (alpha > 191)) / area
    return Outcome(lost, removed, kept, flags)


# --- scenes


def _cutouts() -> list[Image]:
    """The samples' products: uint8 RGBA, cut to their boxes."""
    names = [truth.stem for truth in sorted((SAMPLES / "truth").glob("*.png"))]
    return [rgba for name in names if (rgba := cutout_of(name)) is not None]


def cutout_of(name: str) -> Image | None:
    """A sample's product: uint8 RGBA, cut to its box; None if the frame cuts it."""
    (picture,) = (SAMPLES / "images").glob(f"{name}.*")
    alpha = _read(SAMPLES / "truth" / f"{name}.png", cv2.IMREAD_GRAYSCALE)
    rgb = cv2.cvtColor(_read(picture, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    x, y, w, h = cv2.boundingRect((alpha > 12).view(np.uint8))
    if x == 0 or y == 0 or x + w == alpha.shape[1] or y + h == alpha.shape[0]:
        return None
    rgba = straight_alpha(np.asarray(rgb, np.uint8), alpha)
    return np.ascontiguousarray(rgba[y : y + h, x : x + w])


def _read(path: Path, flags: int) -> Image:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise SystemExit(f"{path}: no picture")
    return np.ascontiguousarray(picture, np.uint8)


def _studio(rng: Rng) -> NDArray[np.float32]:
    """An even background: white, grey or a colour, with some fall-off and a camera's noise."""
    kind = rng.random()
    if kind < 0.4:
        colour = np.full(3, rng.uniform(238, 255))
    elif kind < 0.7:
        colour = np.full(3, rng.uniform(90, 238))
    else:
        colour = rng.uniform(40, 235, 3)
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    light = 1 + rng.uniform(0, 0.05) * down + rng.uniform(-0.03, 0.03) * across
    noise = rng.normal(0, rng.uniform(0, 1.5), (SIDE, SIDE, 1))
    return np.asarray(np.minimum(colour * light[..., None], 255) + noise, np.float32)


def _sized(rng: Rng, rgba: Image, side: float) -> Image:
    scale = side / max(rgba.shape[:2])
    size = (max(1, round(rgba.shape[1] * scale)), max(1, round(rgba.shape[0] * scale)))
    colours = rgba.astype(np.float32)
    colours[..., :3] *= colours[..., 3:] / 255  # premultiplied
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(colours, size, interpolation=how)
    small[..., :3] /= np.maximum(small[..., 3:], 1) / 255
    if rng.random() < 0.5:
        small = small[:, ::-1]
    return np.asarray(np.clip(np.rint(small), 0, 255), np.uint8)


def _lay(picture: NDArray[np.float32], rgba: Image, left: int, top: int) -> Image:
    """Lays a product on a picture, in place; gives its alpha at the picture's size."""
    height, width = rgba.shape[:2]
    here = np.s_[top : top + height, left : left + width]
    weight = rgba[..., 3:].astype(np.float32) / 255
    picture[here] += weight * (rgba[..., :3] - picture[here])
    alpha = np.zeros(picture.shape[:2], np.uint8)
    alpha[here] = rgba[..., 3]
    return alpha


def _scene(picture: NDArray[np.float32], products: list[Image]) -> Scene:
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    for product in products:
        alpha = np.maximum(alpha, product)
    return Scene(np.clip(np.rint(picture), 0, 255).astype(np.uint8), alpha, products)


def layouts(rng: Rng, cutouts: list[Image]) -> Scene:
    """Two to seven products, the same or different ones, in the cells of a grid."""
    picture = _studio(rng)
    count = int(rng.integers(2, 8))
    grid = 2 if count <= 4 else 3
    same = rng.random() < 0.4
    first = int(rng.integers(len(cutouts)))
    products = []
    for cell in rng.permutation(grid * grid)[:count]:
        rgba = cutouts[first if same else int(rng.integers(len(cutouts)))]
        small = _sized(rng, rgba, SIDE / grid * rng.uniform(0.45, 0.85))
        room = SIDE // grid - np.array(small.shape[:2])
        top, left = (np.array(divmod(cell, grid)) * (SIDE // grid)) + rng.integers(0, room + 1)
        products.append(_lay(picture, small, int(left), int(top)))
    return _scene(picture, products)


def single(rng: Rng, cutouts: list[Image]) -> Scene:
    """One product."""
    picture = _studio(rng)
    small = _sized(rng, cutouts[int(rng.integers(len(cutouts)))], SIDE * rng.uniform(0.5, 0.85))
    room = SIDE - np.array(small.shape[:2])
    return _scene(picture, [_lay(picture, small, int(room[1] // 2), int(room[0] // 2))])


def loops(rng: Rng, _: list[Image]) -> Scene:
    """A hoop, a frame or a necklace, flat or shiny, 0.3 to 2.5 % of the side wide."""
    picture = _studio(rng)
    big = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    width = max(2, round(2 * SIDE * rng.uniform(0.003, 0.025)))
    middle, reach = SIDE, int(2 * SIDE * rng.uniform(0.15, 0.38))
    kind = rng.integers(3)
    if kind == 0:
        axes = (reach, int(reach * rng.uniform(0.5, 1)))
        cv2.ellipse(big, (middle, middle), axes, 0, 0, 360, 255, width, cv2.LINE_AA)
    elif kind == 1:
        corner = (middle - reach, middle - int(reach * rng.uniform(0.5, 1)))
        other = (2 * middle - corner[0], 2 * middle - corner[1])
        cv2.rectangle(big, corner, other, 255, width, cv2.LINE_AA)
    else:
        t = np.linspace(0, 2 * np.pi, 240)
        wave = 1 + 0.12 * np.sin(2 * t + rng.uniform(0, 6)) + 0.08 * np.sin(3 * t)
        points = np.stack([middle + reach * wave * np.cos(t), middle + reach * wave * np.sin(t)], 1)
        cv2.polylines(big, [points.round().astype(np.int32)], True, 255, width, cv2.LINE_AA)
    alpha = cv2.resize(big, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    colour = rng.uniform(20, 190, 3)
    shine = 1 + rng.choice((0, 0.3)) * np.sin(np.arange(SIDE) / 40)[:, None, None]
    weight = alpha[..., None].astype(np.float32) / 255
    picture += weight * (np.clip(colour * shine, 0, 255) - picture)
    return _scene(picture, [alpha])


def faces(rng: Rng, _: list[Image]) -> Scene:
    """A plate, a pan or a mirror: a round pale face, shaded and domed or flat, within a rim."""
    picture = _studio(rng)
    middle = (SIDE // 2, SIDE // 2)
    radius = int(SIDE * rng.uniform(0.2, 0.4))
    axes = (radius, int(radius * rng.choice((1, rng.uniform(0.6, 1)))))
    rim = max(3, int(radius * rng.uniform(0.02, 0.25)))
    whole, face = (np.zeros((2 * SIDE, 2 * SIDE), np.uint8) for _ in range(2))
    for plane, less in ((whole, 0), (face, rim)):
        size = (2 * (axes[0] - less), 2 * (axes[1] - less))
        cv2.ellipse(plane, (2 * middle[0], 2 * middle[1]), size, 0, 0, 360, 255, -1, cv2.LINE_AA)
    if rng.random() < 0.4:  # a pan has a handle
        start, end = (
            (2 * middle[0] + 2 * axes[0] - rim, 2 * middle[1]),
            (2 * SIDE - 60, 2 * SIDE // 2),
        )
        cv2.line(whole, start, end, 255, max(12, 2 * rim), cv2.LINE_AA)
    whole, face = (
        cv2.resize(plane, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for plane in (whole, face)
    )
    down, across = (np.indices((SIDE, SIDE)) - SIDE / 2) / radius
    pale = rng.uniform(150, 250) * rng.uniform(0.94, 1, 3)
    light = 1 + rng.choice((0, 0.06)) * (across + down)
    light -= rng.choice((0, 0.25)) * np.clip(down**2 + across**2, 0, 1)
    for plane, colour in ((whole, rng.uniform(20, 170, 3)), (face, pale)):
        weight = plane[..., None].astype(np.float32) / 255
        shaded = np.clip(colour * light[..., None], 0, 255)
        picture += weight * (shaded.astype(np.float32) - picture)
    return _scene(picture, [whole])


def reflections(rng: Rng, cutouts: list[Image]) -> Scene:
    """A product on a glossy table, its image fading away below it."""
    picture = _studio(rng)
    rgba = _sized(rng, cutouts[int(rng.integers(len(cutouts)))], SIDE * rng.uniform(0.35, 0.5))
    height, width = rgba.shape[:2]
    left, top = (SIDE - width) // 2, max(10, SIDE // 2 - height)
    image = rgba[::-1][: SIDE - top - height].astype(np.float32)
    strength, reach = rng.uniform(0.2, 0.6), height * rng.uniform(0.6, 1)
    image[..., 3] *= strength * np.clip(1 - np.arange(len(image)) / reach, 0, 1)[:, None]
    _lay(picture, np.rint(image).astype(np.uint8), left, top + height)
    return _scene(picture, [_lay(picture, rgba, left, top)])


def _whole(picture: NDArray[np.float32]) -> Scene:
    return _scene(picture, [np.full((SIDE, SIDE), 255, np.uint8)])


def swatches(rng: Rng, _: list[Image]) -> Scene:
    """Woven cloth that fills the frame."""
    down, across = np.indices((SIDE, SIDE))
    step = int(rng.integers(6, 20))
    threads = np.where((down // step + across // step) % 2, 1.0, rng.uniform(0.7, 0.9))
    threads *= 1 + 0.06 * np.sin(down * 2 * np.pi / step) + 0.06 * np.sin(across * 2 * np.pi / step)
    picture = rng.uniform(50, 220, 3) * threads[..., None]
    picture += rng.normal(0, rng.uniform(1, 5), picture.shape)
    return _whole(picture.astype(np.float32))


_TITLES = ("THE LONG", "ROAD HOME", "A SUMMER", "IN BERLIN", "COOKING", "FOR FOUR", "OCEANS")


def covers(rng: Rng, _: list[Image]) -> Scene:
    """A book's cover, edge to edge: one colour, two lines of lettering, a figure."""
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    picture[:] = rng.integers(20, 140, 3)
    ink, figure = (rng.integers(low, 256, 3).tolist() for low in (170, 60))
    for row in range(2):
        text, face = str(rng.choice(_TITLES)), cv2.FONT_HERSHEY_DUPLEX
        cv2.putText(picture, text, (70, 200 + 140 * row), face, 3.4, ink, 9, cv2.LINE_AA)
    where = (int(rng.integers(250, 650)), int(rng.integers(560, 720)))
    cv2.circle(picture, where, int(rng.integers(70, 150)), figure, -1, cv2.LINE_AA)
    noisy = picture + rng.normal(0, 1, picture.shape)
    return _whole(noisy.astype(np.float32))


KINDS: dict[str, Callable[[Rng, list[Image]], Scene]] = {
    kind.__name__: kind for kind in (layouts, single, loops, reflections, swatches, covers, faces)
}


def main() -> None:
    """Makes the scenes, measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="scenes of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="catalogue", help="a name, or the path of an ONNX file")
    parser.add_argument("--kinds", nargs="*", default=[*KINDS], choices=[*KINDS])
    parser.add_argument("--worst", type=Path, help="folder for pictures of the worst scenes")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    core, cutouts = MattingCore(options.model), _cutouts()
    print("| kind | scenes | products lost | part removed, in silence ", end="")
    print("| background kept, in silence |\n|---|---|---|---|---|")
    for kind in options.kinds:
        number = [*KINDS].index(kind)  # a kind's scenes are the same, whichever are asked for
        bad: list[tuple[float, str, Scene, Image]] = []
        outcomes = []
        for index in range(options.count):
            scene = KINDS[kind](np.random.default_rng([options.seed, number, index]), cutouts)
            matte = core.remove(scene.picture)
            outcome = judge(scene, matte.alpha, matte.flags)
            outcomes.append(outcome)
            if outcome.damaged:
                weight = outcome.removed + outcome.kept + outcome.lost + (not outcome.flagged)
                bad.append((weight, f"{kind}-{index}", scene, matte.alpha))
        print(_line(kind, outcomes), flush=True)
        if options.worst:
            bad.sort(key=lambda entry: -entry[0])
            _write(options.worst, bad[:12])


def _line(kind: str, outcomes: list[Outcome]) -> str:
    lost = sum(outcome.lost for outcome in outcomes)
    removed = [o for o in outcomes if o.removed > _REMOVED or o.lost]
    kept = [o for o in outcomes if o.kept > _KEPT]
    silent = [sum(not o.flagged for o in group) for group in (removed, kept)]
    return (
        f"| {kind} | {len(outcomes)} | {lost} | {len(removed)}, {silent[0]} "
        f"| {len(kept)}, {silent[1]} |"
    )


def _write(folder: Path, scenes: list[tuple[float, str, Scene, Image]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for _, name, scene, alpha in scenes:
        weight = alpha[..., None].astype(np.float32) / 255
        laid = np.array((255, 0, 255)) + weight * (scene.picture - np.array((255.0, 0, 255)))
        both = np.hstack([scene.picture, np.rint(laid).astype(np.uint8)])
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(both, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
