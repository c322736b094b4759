"""A bank of pictures as one file of some 45 MB, to be taken to a machine with a GPU.

Colours are stored as WebP, alphas and shadows as PNG. What is drawn by the recipe itself is left
out, and drawn anew by `bank.add_drawn`.
"""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import zipfile
from typing import Any

import cv2
import numpy as np

from .pieces import Bank, Cutout, Picture

__all__ = ["read_bank", "write_bank"]

_QUALITY = {"cutouts": 84, "pictures": 80, "textures": 78, "scenes": 66}


def _coloured(bgr: np.ndarray, quality: int) -> bytes:
    return cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


def _plane(grey: np.ndarray) -> bytes:
    return cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def _opened(file: bytes) -> np.ndarray:
    image: np.ndarray | None = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None  # `write_bank` encoded it
    return image


def write_bank(bank: Bank, target: pathlib.Path, scenes: int = 600, textures: int = 900) -> None:
    """Writes a bank.

    Args:
        bank: What to write.
        target: The file.
        scenes: At most so many of its scenes, evenly picked; the empty ones are all kept.
        textures: At most so many of its textures.
    """
    index: dict[str, Any] = {"cutouts": [], "pictures": []}
    with zipfile.ZipFile(target, "w") as file:
        for pool, cutouts in bank.cutouts.items():
            for n, cutout in enumerate(cutouts):
                name, top = f"cutouts/{pool}/{n}", cutout.levels[0]
                file.writestr(f"{name}.webp", _coloured(top[..., :3], _QUALITY["cutouts"]))
                file.writestr(f"{name}.png", _plane(top[..., 3]))
                if cutout.shadow is not None:
                    shadow = np.rint(cutout.shadow / 8).astype(np.uint8)  # 32 shades do
                    file.writestr(f"{name}.shadow.png", _plane(shadow))
                index["cutouts"].append([pool, n, cutout.shadow is not None, *cutout.origin])
        for pool, pictures in bank.pictures.items():
            for n, picture in enumerate(pictures):
                name = f"pictures/{pool}/{n}"
                file.writestr(f"{name}.webp", _coloured(picture.bgr, _QUALITY["pictures"]))
                file.writestr(f"{name}.png", _plane(picture.alpha))
                if picture.trust is not None:
                    file.writestr(f"{name}.trust.png", _plane(picture.trust))
                index["pictures"].append([pool, n, picture.trust is not None])
        for kind, images, most in (
            ("textures", bank.textures, textures),
            ("scenes", bank.scenes, scenes),
            ("empties", bank.empties, len(bank.empties)),
        ):
            every = range(len(images))
            if len(images) > most:
                every = np.linspace(0, len(images) - 1, most).astype(int).tolist()
            quality = _QUALITY.get(kind, _QUALITY["scenes"])
            for n, at in enumerate(every):
                file.writestr(f"{kind}/{n}.webp", _coloured(images[at], quality))
            index[kind] = len(every)
        file.writestr("index.json", json.dumps(index))


def read_bank(path: pathlib.Path) -> Bank:
    """Reads what `write_bank` wrote: the bank without the pools that are drawn."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(files.pop("index.json"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        images = dict(zip(files, pool.map(_opened, files.values()), strict=True))
    cutouts: dict[str, list[Cutout]] = {}
    for kind, n, shaded, x, y in index["cutouts"]:
        name = f"cutouts/{kind}/{n}"
        top = np.dstack([images[f"{name}.webp"], images[f"{name}.png"]])
        half = cv2.resize(top, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        shadow = None
        if shaded:
            shadow = np.minimum(images[f"{name}.shadow.png"].astype(np.uint16) * 8, 255)
            shadow = shadow.astype(np.uint8)
        cutouts.setdefault(kind, []).append(Cutout((top, half), shadow, (x, y)))
    pictures: dict[str, list[Picture]] = {}
    for kind, n, trusted in index["pictures"]:
        name = f"pictures/{kind}/{n}"
        trust = images[f"{name}.trust.png"] if trusted else None
        picture = Picture(images[f"{name}.webp"], images[f"{name}.png"], trust)
        pictures.setdefault(kind, []).append(picture)
    flat = {
        kind: [images[f"{kind}/{n}.webp"] for n in range(index[kind])]
        for kind in ("textures", "scenes", "empties")
    }
    return Bank(cutouts, pictures, **flat)
