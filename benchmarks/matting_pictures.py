"""Draws the pictures of docs/matting.md: the steps, and what every parameter does.

    python benchmarks/matting_pictures.py docs/images

All of them are cut from the project's samples by the embedded model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from alphabeam.transforms.images import decode  # noqa: E402
from alphabeam.transforms.matting import MattingCore  # noqa: E402
from alphabeam.transforms.matting.coarse import coarse_alpha  # noqa: E402
from alphabeam.transforms.matting.trimap import make_trimap  # noqa: E402
from alphabeam.transforms.parameters import MattingParameters  # noqa: E402

MAGENTA = (235, 110, 160)
HEIGHT = 300


def sample(name: str) -> np.ndarray:
    """A sample, RGB uint8."""
    return decode((ROOT / "samples" / "images" / f"{name}.jpg").read_bytes())[..., :3]


def over(rgba: np.ndarray, background: tuple[int, int, int] = MAGENTA) -> np.ndarray:
    """A cutout on a background, RGB uint8."""
    alpha = rgba[..., 3:] / np.float32(255)
    return (rgba[..., :3] * alpha + np.float32(background) * (1 - alpha)).round().astype(np.uint8)


def strip(
    cells: list[tuple[str, np.ndarray]], part: tuple[float, ...] = (0, 0, 1, 1)
) -> np.ndarray:
    """Pictures side by side with their names, each cut to a part (left, top, right, bottom)."""
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


def pictures(core: MattingCore) -> dict[str, np.ndarray]:
    """Every picture by its name."""

    def cut(name: str, **params: object) -> np.ndarray:
        matte = core.remove(sample(name), MattingParameters(**params))
        return over(matte.rgba)

    def each(name: str, key: str, values: tuple[object, ...]) -> list[tuple[str, np.ndarray]]:
        return [(f"{key}: {value}", cut(name, **{key: value})) for value in values]

    vase = sample("vase")
    coarse = coarse_alpha(core.network, vase)
    matte = core.remove(vase)
    band = make_trimap(coarse.full(), 240, 15, max(15, round(4 * coarse.pixel)))
    steps = [
        ("picture", vase), ("coarse alpha", coarse.full()), ("trimap", band),
        ("alpha", matte.alpha), ("cutout", over(matte.rgba)),
    ]  # fmt: skip
    teddy = core.remove(sample("teddy")).rgba
    backgrounds = [("picture", sample("teddy"))]
    backgrounds += [
        (name, over(teddy, background))
        for name, background in (
            ("on white", (255, 255, 255)),
            ("on black", (0, 0, 0)),
            ("on magenta", (255, 0, 255)),
        )
    ]
    mills = sample("mills")
    box = (310, 60, 600, 760)
    framed = cv2.rectangle(mills.copy(), box[:2], box[2:], (255, 0, 255), 4)
    boxed = core.remove(mills, MattingParameters(box=box)).rgba
    thresholds = [
        (
            f"foreground {fore}, background {back}",
            cut("tumbler", foreground_threshold=fore, background_threshold=back),
        )
        for fore, back in ((240, 15), (140, 15), (240, 120))
    ]
    only = core.remove(sample("sandals"), MattingParameters(only_mask=True))
    return {
        "steps": strip(steps),
        "teddy": strip(backgrounds),
        "erode_size": strip(each("cushion", "erode_size", (0, 15, 40)), (0.05, 0.1, 0.45, 0.5)),
        "thresholds": strip(thresholds, (0.1, 0.1, 0.9, 0.9)),
        "hair_optimization": strip(
            each("teddy", "hair_optimization", ("off", "auto", "on")), (0.15, 0.05, 0.65, 0.45)
        ),
        "box": strip([("box", framed), ("without", cut("mills")), ("with", over(boxed))]),
        "only_mask": strip([("picture", sample("sandals")), ("only_mask: true", only.alpha)]),
        "keep_shadow": strip(
            [("picture", sample("handbag")), *each("handbag", "keep_shadow", (False, True))]
        ),
    }


def main() -> None:
    """Draws them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="catalogue")
    options = parser.parse_args()
    for name, picture in pictures(MattingCore(options.model)).items():
        target = options.folder / f"matting-{name}.jpg"
        cv2.imwrite(
            str(target), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82]
        )
        print(target)


if __name__ == "__main__":
    main()
