"""Render the sample catalogue, or other pictures like it for training.

    python samples/recipe/render.py samples [--only ID ...]
    python samples/recipe/render.py training --count 400 --seed 1 --size 320 --out DIR

Every picture is rendered twice with the same camera and pixel filter: once as a photograph, and
once with the product alone, shining, everything else cut out of the film, whose alpha is the
product's exact coverage of every pixel.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import bpy
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))

import materials
from catalogue import SAMPLES, compose, compose_at_random

__all__ = ["main", "photograph", "truth"]

HERE = Path(__file__).resolve().parent.parent


def _cycles(samples: int, threads: int, bounces: int) -> bpy.types.Scene:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.threads_mode = "FIXED"
    scene.render.threads = threads
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.seed = 0
    cycles.pixel_filter_type = "BLACKMAN_HARRIS"
    cycles.filter_width = 1.5
    cycles.max_bounces = cycles.transmission_bounces = bounces
    cycles.diffuse_bounces = min(bounces, 3)
    cycles.glossy_bounces = min(bounces, 4)
    cycles.transparent_max_bounces = 8
    cycles.use_denoising = False
    cycles.use_adaptive_sampling = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.compression = 5
    scene.render.use_file_extension = True
    return scene


def _rendered(scene: bpy.types.Scene) -> np.ndarray:
    """Render and return the picture, RGBA, uint8 (h x w x 4)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "render.png"
        scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGBA"))


def photograph(samples: int, threads: int, bounces: int, noise: float) -> np.ndarray:
    """The picture as a camera sees it: RGB, uint8 (h x w x 3)."""
    scene = _cycles(samples, threads, bounces)
    cycles = scene.cycles
    cycles.adaptive_threshold = noise
    cycles.adaptive_min_samples = min(samples, 12)
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.denoising_prefilter = "ACCURATE" if noise < 0.05 else "FAST"
    cycles.sample_clamp_indirect = 6.0
    scene.render.film_transparent = False
    scene.view_settings.view_transform = "Khronos PBR Neutral"
    return _rendered(scene)[..., :3]


def truth(subject: Iterable[bpy.types.Object], samples: int, threads: int) -> np.ndarray:
    """The subject's coverage of every pixel: uint8 (h x w). Leaves the scene changed."""
    scene = _cycles(samples, threads, bounces=0)
    # Only the pixels of the outline vary, so only they are sampled beyond the least.
    scene.cycles.adaptive_threshold = 0.001
    scene.cycles.adaptive_min_samples = samples // 4
    scene.render.film_transparent = True
    scene.view_settings.view_transform = "Raw"
    scene.view_layers[0].material_override = materials.flat()
    scene.world = None
    chosen = {obj.name for obj in subject}
    for obj in scene.objects:
        if obj.type == "LIGHT":
            obj.hide_render = True
        else:
            obj.is_holdout = obj.name not in chosen
    return _rendered(scene)[..., 3]


def _save(folder: Path, stem: str, picture: np.ndarray, alpha: np.ndarray, quality: int) -> None:
    for name in ("images", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(alpha).save(folder / "truth" / f"{stem}.png", optimize=True)
    Image.fromarray(picture).save(
        folder / "images" / f"{stem}.jpg", quality=quality, optimize=True, subsampling=0
    )


def render_samples(only: list[str], threads: int, draft: float, out: Path) -> None:
    """Render the catalogue, or the samples named in `only`; `draft` < 1 renders them smaller."""
    for sample in SAMPLES:
        if only and sample.id not in only:
            continue
        start = time.monotonic()
        subject = compose(sample, draft)
        picture = photograph(sample.samples if draft == 1 else 10, threads, 10, 0.03)
        alpha = truth(subject, 256 if draft == 1 else 32, threads)
        _save(out, sample.id, picture, alpha, 88)
        print(f"{sample.id}: {time.monotonic() - start:.0f} s", flush=True)
    write_manifest(out)


def write_manifest(out: Path) -> None:
    """List the samples that have been rendered."""
    with open(out / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "image", "title", "category", "ground"])
        for sample in SAMPLES:
            if (out / "images" / f"{sample.id}.jpg").exists():
                image = f"images/{sample.id}.jpg"
                table.writerow([sample.id, image, sample.title, sample.category, sample.ground])


def render_training(
    count: int, seed: int, size: int, out: Path, threads: int, glass: float, sets: float
) -> None:
    """Render `count` pictures that are none of the samples, resuming where an earlier run ended."""
    for index in range(count):
        stem = f"{seed:04d}-{index:05d}"
        if (out / "images" / f"{stem}.jpg").exists():
            continue
        subject, quality = compose_at_random(1_000_000 + seed * 100_000 + index, size, glass, sets)
        # Light passes four surfaces of a glass before it meets what stands behind it.
        picture = photograph(5, threads, 8 if glass else 4, 0.1)
        alpha = truth(subject, 32, threads)
        if not 0.01 < float((alpha > 127).mean()) < 0.9:
            print(f"{stem}: product not well in the frame, left out", flush=True)
            continue
        _save(out, stem, picture, alpha, quality)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    commands = parser.add_subparsers(dest="command", required=True)
    samples = commands.add_parser("samples", help="the committed catalogue")
    samples.add_argument("--only", nargs="*", default=[], metavar="ID")
    samples.add_argument(
        "--draft", type=float, default=1.0, help="scale of the pictures, for looks"
    )
    samples.add_argument("--out", type=Path, default=HERE)
    training = commands.add_parser("training", help="other pictures, at random")
    training.add_argument("--count", type=int, required=True)
    training.add_argument("--seed", type=int, required=True)
    training.add_argument(
        "--size", type=int, default=320, help="side of a square of the same area, pixels"
    )
    training.add_argument("--glass", type=float, default=0.0, help="share of it that is glassware")
    training.add_argument(
        "--sets", type=float, default=0.0, help="share of it that shows two or three of a kind"
    )
    training.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "samples":
        render_samples(arguments.only, arguments.threads, arguments.draft, arguments.out)
    else:
        a = arguments
        render_training(a.count, a.seed, a.size, a.out, a.threads, a.glass, a.sets)


if __name__ == "__main__":
    main()
