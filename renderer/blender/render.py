"""The two renders of a picture: the photograph, and the exact alpha of what is for sale.

Both use the same camera and pixel filter. In the second the products alone shine, and everything
else is cut out of the film, so that its alpha is the products' exact coverage of every pixel.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renderer.blender import materials
from renderer.blender.studio import compose
from renderer.catalogue import Sample
from renderer.random_pictures import draw_picture, draw_quality

__all__ = ["render_samples", "render_training"]

Pixels = NDArray[np.uint8]

_SAMPLE_JPEG_QUALITY = 88
# Seeds of training pictures start here: run `seed` has a hundred thousand of its own.
_FIRST_SEED, _SEEDS_A_RUN = 1_000_000, 100_000


def render_samples(samples: Sequence[Sample], threads: int, scale: float, out: Path) -> None:
    """Renders samples.

    Args:
        samples: What to render.
        threads: How many threads to use.
        scale: Of the pictures' sides; other than 1 renders fewer light paths, for a preview.
        out: The folder to write `images` and `truth` to.
    """
    for sample in samples:
        start = time.monotonic()
        subject = compose(sample.picture, scale)
        picture = _photograph(32 if scale == 1 else 10, threads, bounces=10, noise=0.03)
        alpha = _truth(subject, 256 if scale == 1 else 32, threads)
        _save(out, sample.id, picture, alpha, _SAMPLE_JPEG_QUALITY)
        print(f"{sample.id}: {time.monotonic() - start:.0f} s", flush=True)


def render_training(
    count: int, seed: int, size: int, out: Path, threads: int, glass: float, sets: float
) -> None:
    """Renders pictures that are none of the samples; goes on where an earlier run ended.

    Args:
        count: How many.
        seed: Of the run; each run's pictures are others.
        size: Side of a square of a picture's area, pixels.
        out: The folder to write `images` and `truth` to.
        threads: How many threads to use.
        glass: Share of the products, 0..1, that are glassware.
        sets: Share of the pictures, 0..1, of two or three of a kind.
    """
    for index in range(count):
        stem = f"{seed:04d}-{index:05d}"
        if (out / "images" / f"{stem}.jpg").exists():
            continue
        own_seed = _FIRST_SEED + seed * _SEEDS_A_RUN + index
        subject = compose(draw_picture(own_seed, size, glass, sets))
        # Light passes four surfaces of a glass before it meets what stands behind it.
        picture = _photograph(5, threads, bounces=8 if glass else 4, noise=0.1)
        alpha = _truth(subject, 32, threads)
        if not 0.01 < float((alpha > 127).mean()) < 0.9:
            print(f"{stem}: product not well in the frame, left out", flush=True)
            continue
        _save(out, stem, picture, alpha, draw_quality(own_seed))


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


def _rendered(scene: bpy.types.Scene) -> Pixels:
    """Renders and returns the picture, RGBA, h x w x 4."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "render.png"
        scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGBA"))


def _photograph(samples: int, threads: int, bounces: int, noise: float) -> Pixels:
    """The picture as a camera sees it: RGB, h x w x 3."""
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


def _truth(subject: Iterable[bpy.types.Object], samples: int, threads: int) -> Pixels:
    """The subject's coverage of every pixel, 0..255, h x w. Leaves the scene changed."""
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


def _save(folder: Path, stem: str, picture: Pixels, alpha: Pixels, quality: int) -> None:
    for name in ("images", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(alpha).save(folder / "truth" / f"{stem}.png", optimize=True)
    Image.fromarray(picture).save(
        folder / "images" / f"{stem}.jpg", quality=quality, optimize=True, subsampling=0
    )
