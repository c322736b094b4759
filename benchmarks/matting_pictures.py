"""Draws the figures of docs/matting.md: the stages, and the effect of every parameter.

    python benchmarks/matting_pictures.py docs/images

All show the project's samples and the embedded model.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from alphabeam.transforms.images import decode  # noqa: E402
from alphabeam.transforms.matting import MattingCore  # noqa: E402
from alphabeam.transforms.matting.coarse import coarse_alpha  # noqa: E402
from alphabeam.transforms.matting.trimap import make_trimap  # noqa: E402
from alphabeam.transforms.parameters import MattingParameters  # noqa: E402
from alphabeam.transforms.pixels import composite_over  # noqa: E402

MAGENTA = (235, 110, 160)
HEIGHT = 300  # of every figure, pixels

Image = NDArray[np.uint8]  # HxW, HxWx3 (RGB) or HxWx4 (straight RGBA)


def sample(name: str) -> Image:
    """A sample, RGB."""
    return decode((ROOT / "samples" / "images" / f"{name}.jpg").read_bytes())[..., :3]


def cutout(core: MattingCore, image: Image, params: MattingParameters | None = None) -> Image:
    """The cutout of an image, straight RGBA."""
    rgba = core.remove(image, params).rgba
    assert rgba is not None  # only with only_mask
    return rgba


def strip(cells: list[tuple[str, Image]], part: tuple[float, ...] = (0, 0, 1, 1)) -> Image:
    """Images side by side with their names below.

    Args:
        cells: Names and images.
        part: Left, top, right, bottom of the part to show, as fractions of the size.
    """
    drawn = []
    for name, cell in cells:
        h, w = cell.shape[:2]
        left, top, right, bottom = (round(s * n) for s, n in zip(part, (w, h, w, h), strict=True))
        cell = cell[top:bottom, left:right]
        if cell.ndim == 2:
            cell = cv2.cvtColor(cell, cv2.COLOR_GRAY2RGB)
        size = (round(cell.shape[1] * HEIGHT / cell.shape[0]), HEIGHT)
        how = cv2.INTER_AREA if cell.shape[0] > HEIGHT else cv2.INTER_CUBIC
        cell = cv2.copyMakeBorder(
            cv2.resize(cell, size, interpolation=how), 0, 24, 0, 4, 0, value=(255,) * 3
        )
        cv2.putText(
            cell, name, (4, HEIGHT + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA
        )
        drawn.append(cell)
    return np.hstack(drawn)


def figures(core: MattingCore) -> dict[str, Image]:
    """Every figure by its name."""

    def cut(name: str, params: MattingParameters | None = None) -> Image:
        return composite_over(cutout(core, sample(name), params), MAGENTA)

    def each(name: str, key: str, values: tuple[Any, ...]) -> list[tuple[str, Image]]:
        defaults = MattingParameters()
        return [(f"{key}: {v}", cut(name, replace(defaults, **{key: v}))) for v in values]

    vase = sample("vase")
    coarse = coarse_alpha(core.network, vase)
    band = make_trimap(coarse.full(), 240, 15, max(15, round(4 * coarse.pixel)))
    stages = [
        ("image", vase), ("coarse alpha", coarse.full()), ("trimap", band),
        ("alpha", core.remove(vase).alpha), ("cutout", cut("vase")),
    ]  # fmt: skip
    teddy = cutout(core, sample("teddy"))
    backgrounds = [("image", sample("teddy"))]
    backgrounds += [
        (name, composite_over(teddy, background))
        for name, background in (
            ("on white", (255, 255, 255)),
            ("on black", (0, 0, 0)),
            ("on magenta", (255, 0, 255)),
        )
    ]
    mills = sample("mills")
    box = (310, 60, 600, 760)
    framed = cv2.rectangle(mills.copy(), box[:2], box[2:], (255, 0, 255), 4)
    boxed = cut("mills", MattingParameters(box=box))
    thresholds = [
        (
            f"foreground {fore}, background {back}",
            cut(
                "tumbler",
                MattingParameters(foreground_threshold=fore, background_threshold=back),
            ),
        )
        for fore, back in ((240, 15), (140, 15), (240, 120))
    ]
    only = core.remove(sample("sandals"), MattingParameters(only_mask=True))
    return {
        "steps": strip(stages),
        "teddy": strip(backgrounds),
        "erode_size": strip(each("cushion", "erode_size", (0, 15, 40)), (0.05, 0.1, 0.45, 0.5)),
        "thresholds": strip(thresholds, (0.1, 0.1, 0.9, 0.9)),
        "hair_optimization": strip(
            each("teddy", "hair_optimization", ("off", "auto", "on")), (0.15, 0.05, 0.65, 0.45)
        ),
        "box": strip([("box", framed), ("without", cut("mills")), ("with", boxed)]),
        "only_mask": strip([("image", sample("sandals")), ("only_mask: true", only.alpha)]),
        "keep_shadow": strip(
            [("image", sample("handbag")), *each("handbag", "keep_shadow", (False, True))]
        ),
    }


def main() -> None:
    """Draws all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="catalogue")
    options = parser.parse_args()
    for name, picture in figures(MattingCore(options.model)).items():
        target = options.folder / f"matting-{name}.jpg"
        cv2.imwrite(
            str(target), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82]
        )
        print(target)


if __name__ == "__main__":
    main()
