"""Files that break Amazon's rules, each in one way, and who must catch it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from alphabeam.transforms.renditions.compose import compose
from alphabeam.transforms.renditions.encoding import encode, srgb_profile
from alphabeam.transforms.renditions.settings import Rendition
from alphabeam.transforms.renditions.subject import Subject
from tests.renditions.subjects import product

Pixels = NDArray[np.uint8]


class Wrong(NamedTuple):
    """A wrong file.

    Attributes:
        kind: What is wrong with it.
        rule: Who must catch it.
        name: Its name.
        data: Its bytes.
    """

    kind: str
    rule: str
    name: str
    data: bytes


def packshot(seed: int = 2, **settings: Any) -> Pixels:
    """The pixels of a right one."""
    given = {"canvas": 1000, "fill": 0.88, "upscale": 8, **settings}
    return compose(Rendition(name="a", **given), Subject(product(seed))).pixels


def saved(pixels: Pixels, form: str = "JPEG", **options: Any) -> bytes:
    """A file of any kind."""
    sink = io.BytesIO()
    if form == "JPEG":
        options = {"quality": 92, "subsampling": 0, **options}
    Image.fromarray(pixels).save(sink, form, **options)
    return sink.getvalue()


def changed(change: Callable[[Pixels], Any], **settings: Any) -> bytes:
    """A JPEG of a right one's pixels that were changed."""
    pixels = packshot(**settings)
    got = change(pixels)
    return saved(pixels if got is None else got)


def wrong_files() -> list[Wrong]:
    """Thirty kinds, and more."""
    pixels = packshot()
    subject = (pixels < 250).any(2)
    near = cv2.dilate(subject.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    rim = near & ~subject

    def painted(where: Any, value: Any) -> Pixels:
        out = pixels.copy()
        out[where] = value
        return out

    gradient = np.linspace(255, 240, 1000).astype(np.uint8)[:, None, None]
    corner = np.zeros((1000, 1000), bool)
    corner[:40, :40] = True
    frame = np.zeros((1000, 1000), bool)
    frame[:3] = frame[-3:] = frame[:, :3] = frame[:, -3:] = True
    border = np.zeros((1000, 1000), bool)
    border[20:24, 20:980] = border[976:980, 20:980] = True
    border[20:980, 20:24] = border[20:980, 976:980] = True
    rgba = np.dstack([pixels, np.where(subject, 255, 0).astype(np.uint8)])
    adobe = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    good = encode(pixels, Rendition(name="a", quality=92)).data
    noise = np.random.default_rng(1)
    dust = np.zeros((1000, 1000), bool)
    dust[30:33, 500:503] = True
    tail = np.clip(255 - 40 * np.exp(-(((np.arange(1000) - 960) / 60.0) ** 2)), 0, 255)
    floor = painted(~subject, np.broadcast_to(tail[:, None, None], (1000, 1000, 3))[~subject])
    soft_grey = painted(rim, (0, 160, 60))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return [
        Wrong("background 254 all over", "white", "a.jpg", saved(painted(~near, 254))),
        Wrong("background 250 all over", "white", "a.jpg", saved(painted(~near, 250))),
        Wrong("background light grey", "white", "a.jpg", saved(painted(~subject, 240))),
        Wrong("background warm white", "white", "a.jpg", saved(painted(~near, (255, 253, 249)))),
        Wrong("background a gradient", "white", "a.jpg",
              saved(np.where(subject[..., None], pixels, gradient).astype(np.uint8))),
        Wrong("background noise of one level", "white", "a.jpg",
              saved(painted(~near, noise.integers(252, 256, (1000, 1000, 3))[~near]))),
        Wrong("one corner off white", "white", "a.jpg", saved(painted(corner & ~near, 252))),
        Wrong("a dark frame", "white", "a.jpg", saved(painted(frame, 40))),
        Wrong("a thin border within", "white", "a.jpg", saved(painted(border, 253))),
        Wrong("a grain of dust", "white", "a.jpg", saved(painted(dust, 90))),
        Wrong("one edge column 251", "white", "a.png",
              saved(painted((slice(None), slice(0, 1)), 251), "PNG")),
        Wrong("one pixel 254", "white", "a.png", saved(painted((5, 5), 254), "PNG")),
        Wrong("a shadow on the ground", "white", "a.jpg", saved(floor)),
        Wrong("black background", "white", "a.jpg", saved(painted(~subject, 0))),
        Wrong("a green rim", "no_fringe", "a.jpg", saved(soft_grey)),
        Wrong("subject too small", "fill_min", "a.jpg", saved(packshot(fill=0.6))),
        Wrong("subject just too small", "fill_min", "a.jpg", saved(packshot(fill=0.83))),
        Wrong("no subject at all", "fill_min", "a.jpg",
              saved(np.full((1000, 1000, 3), 255, np.uint8))),
        Wrong("subject cut at the left", "inside", "a.jpg",
              saved(np.pad(pixels[:, 300:], ((0, 0), (0, 300), (0, 0)), constant_values=255))),
        Wrong("subject cut below", "inside", "a.jpg",
              saved(np.pad(pixels[:700], ((300, 0), (0, 0), (0, 0)), constant_values=255))),
        Wrong("too few pixels", "longest_min", "a.jpg", saved(packshot(canvas=900))),
        Wrong("too many pixels", "longest_max", "a.jpg",
              saved(np.full((16, 10_008, 3), 255, np.uint8))),
        Wrong("WebP", "formats", "a.webp", saved(pixels, "WEBP", lossless=True)),
        Wrong("AVIF", "formats", "a.avif", saved(pixels, "AVIF", quality=99)),
        Wrong("grey", "modes", "a.jpg", saved(grey)),
        Wrong("CMYK", "modes", "a.jpg", _cmyk(pixels)),
        Wrong("palette", "modes", "a.gif", saved(pixels, "GIF")),
        Wrong("transparent", "opaque", "a.png", saved(rgba, "PNG")),
        Wrong("another profile", "profiles", "a.jpg", saved(pixels, icc_profile=adobe)),
        Wrong("a broken profile", "profiles", "a.jpg", saved(pixels, icc_profile=b"x" * 200)),
        Wrong("too many bytes", "bytes_max", "a.tif",
              saved(np.tile(pixels, (2, 2, 1)), "TIFF", icc_profile=srgb_profile())),
        Wrong("a PNG named as JPEG", "extension", "a.jpg", saved(pixels, "PNG")),
        Wrong("cut off", "readable", "a.jpg", good[: len(good) // 2]),
        Wrong("text", "readable", "a.jpg", b"<html>not found</html>"),
        Wrong("empty", "readable", "a.jpg", b""),
    ]  # fmt: skip


def _cmyk(pixels: Pixels) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(sink, "JPEG", quality=92)
    return sink.getvalue()
