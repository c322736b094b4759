"""What there is to learn from, and what is kept aside.

The split is made before anything else and depends on file names and picture content only: every
near-duplicate of a held-out picture is held out with it, and so is every near-duplicate of the
full-size photos in ``data/photos``, which are a test set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib

import cv2
import numpy as np

__all__ = [
    "Sources",
    "find_shared",
    "find_sources",
    "fingerprint",
    "group_duplicates",
    "held_out",
    "read_picture",
]

_WHOLLY_HELD_OUT = ("otel", "gcp_boutique")
_HELD_OUT_PERCENT = 12
# The shared photos are few and precious, except for the garments, of which there are thousands.
_SOURCES = (
    "spree", "eshop_ai", "azure", "sylius", "apc", "otel", "gcp_boutique", "bagisto", "clothing",
)  # fmt: skip
_DUPLICATE_BITS = 10


@dataclasses.dataclass(frozen=True)
class Sources:
    """Paths of one side of the split (training, or held out).

    Attributes:
        photos: Real photos, to be labelled by the teacher, the rare sources first.
        cutouts: RGBA product cut-outs with their own alpha.
        textures: Surface textures.
        scenes: Cluttered shop scenes.
    """

    photos: list[pathlib.Path]
    cutouts: list[pathlib.Path]
    textures: list[pathlib.Path]
    scenes: list[pathlib.Path]


def find_shared() -> pathlib.Path:
    """The folder of shared data: ``$ALPHABEAM_SHARED``, else the one beside the repository."""
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared"
    return pathlib.Path(os.environ.get("ALPHABEAM_SHARED", beside))


def held_out(key: str, percent: int = _HELD_OUT_PERCENT) -> bool:
    """Whether `key` falls into the held-out `percent`, by its SHA-1."""
    return int(hashlib.sha1(key.encode()).hexdigest()[:8], 16) % 100 < percent


def read_picture(path: pathlib.Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Reads a picture as OpenCV does, BGR.

    Args:
        path: The file.
        flags: One of OpenCV's ``IMREAD_`` modes.

    Raises:
        ValueError: OpenCV cannot read it.
    """
    picture: np.ndarray | None = cv2.imread(str(path), flags)
    if picture is None:
        raise ValueError(f"{path} is no readable picture: remove or replace it")
    return picture


def fingerprint(path: pathlib.Path) -> np.ndarray:
    """A difference hash of the picture, of the alpha alone where it has one: 144 bits as bool."""
    if path.suffix == ".png":
        grey = read_picture(path, cv2.IMREAD_UNCHANGED)[..., -1]
    else:
        grey = read_picture(path, cv2.IMREAD_REDUCED_GRAYSCALE_4)
    small = cv2.resize(grey, (13, 12), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits: np.ndarray = (np.diff(small, axis=1) > 2).ravel()
    return bits


def group_duplicates(prints: np.ndarray, bits: int = _DUPLICATE_BITS) -> np.ndarray:
    """Groups pictures whose fingerprints differ in at most `bits` bits, transitively.

    Args:
        prints: N x B bool, one fingerprint a row.
        bits: Largest Hamming distance between near-duplicates.

    Returns:
        N ints: for each picture the least index in its group.
    """
    signs = prints.astype(np.float32) * 2 - 1
    near = signs @ signs.T >= prints.shape[1] - 2 * bits
    group = np.arange(len(prints))
    while True:
        # Each picture takes the least group of its neighbours until nothing moves.
        least = np.where(near, group[None, :], len(group)).min(axis=1)
        if np.array_equal(least, group):
            return group
        group = least


def find_sources(shared: pathlib.Path) -> tuple[Sources, Sources]:
    """Splits the shared data.

    Args:
        shared: The shared folder, which holds ``data/train`` and ``data/photos``.

    Returns:
        The training side and the held-out side.

    Raises:
        FileNotFoundError: There is no training data in `shared`.
    """
    train = shared / "data" / "train"
    if not train.is_dir():
        raise FileNotFoundError(
            f"no training data in {train}: set ALPHABEAM_SHARED to the folder that holds data/train"
        )
    names = ("photos", "cutouts", "textures", "scenes")
    sides: dict[str, tuple[list[pathlib.Path], list[pathlib.Path]]]
    sides = {name: ([], []) for name in names}
    tests = sorted((shared / "data" / "photos").glob("*.*"))
    for source in _SOURCES:
        paths = sorted((train / "photos" / source).glob("*.*"))
        prints = np.stack([fingerprint(path) for path in [*tests, *paths]])
        # A flat picture has next to no bits set, so that it would be everyone's duplicate.
        flat = prints.sum(axis=1) < _DUPLICATE_BITS
        prints[flat] = np.random.default_rng(0).random((flat.sum(), 144)) > 0.5
        groups = group_duplicates(prints)[len(tests) :]
        seen: dict[int, int] = {}
        for path, group in zip(paths, groups, strict=True):
            seen[group] = seen.get(group, 0) + 1
            if group < len(tests) or source in _WHOLLY_HELD_OUT:
                out = True
            else:
                out = held_out(f"{source}/{paths[group - len(tests)].name}")
            if seen[group] <= 2:  # a third shot of the same teaches nothing new
                sides["photos"][out].append(path)
    for name, folder in (
        ("cutouts", "cutouts/saleor"),
        ("cutouts", "cutouts/solidus"),
        ("textures", "backgrounds/ambientcg"),
        ("scenes", "backgrounds/grocery"),
    ):
        paths = sorted((train / folder).glob("*.*"))
        groups = np.arange(len(paths))
        if name == "cutouts":  # one product in several colours: all on the same side
            groups = group_duplicates(np.stack([fingerprint(path) for path in paths]))
        for path, group in zip(paths, groups, strict=True):
            sides[name][held_out(f"{folder}/{paths[group].stem}")].append(path)
    train_side, out_side = (
        Sources(**{name: side[i] for name, side in sides.items()}) for i in (0, 1)
    )
    return train_side, out_side
