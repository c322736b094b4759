"""What training pictures show: patterns, hard shadows, goods, and models with their shadows."""

from __future__ import annotations

import json
import pathlib
import struct
import sys

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))  # training/ is not installed

from training import families, goods, meshes, models3d, patterns, pieces, placing, shadows, sources


def dice(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(numbers)


def surfaces() -> list[np.ndarray]:
    return [dice(7, i).integers(0, 256, (64, 64, 3), np.uint8) for i in range(3)]


def square(side: int = 96, shadow: np.ndarray | None = None) -> pieces.Cutout:
    bgr = np.full((side, side, 3), (30, 60, 200), np.uint8)
    alpha = np.zeros((side, side), np.float32)
    alpha[side // 4 : -side // 4, side // 4 : -side // 4] = 1
    return pieces.Cutout.make(bgr, alpha, shadow=shadow)


@pytest.mark.parametrize("kind", patterns.PATTERNS)
def test_a_pattern_has_its_colours_and_is_always_the_same(kind):
    palette = [np.array(colour, float) for colour in ([20, 20, 20], [240, 240, 240], [0, 0, 255])]
    one, again = (patterns.draw_pattern(dice(3), kind, surfaces(), palette) for _ in range(2))
    assert one.dtype == np.uint8 and one.shape == (384, 384, 3)
    np.testing.assert_array_equal(one, again)
    assert one.std() > 1


@pytest.mark.parametrize("kind", patterns.PATTERNS)
def test_a_repeat_wraps(kind):
    """Across its border a repeat changes no more than it does within."""
    palette = patterns.draw_palette(dice(1))
    tile = patterns.draw_pattern(dice(4), kind, [], palette).astype(float)
    for axis in (0, 1):
        steps = np.abs(np.diff(np.concatenate([tile, tile.take([0], axis)], axis), axis=axis))
        means = steps.mean(axis=(1 - axis, 2))
        assert means[-1] <= means[:-1].max() + 1


def test_palettes_share_the_subjects_colours():
    own = np.array([[11.0, 222.0, 33.0]])
    near = [
        any(np.abs(colour - own).max() < 25 for colour in patterns.draw_palette(dice(i), own))
        for i in range(60)
    ]
    assert 0.2 < np.mean(near) < 0.8


def test_a_floor_gets_finer_with_distance():
    checks = np.kron([[0, 255], [255, 0]], np.ones((192, 192))).astype(np.uint8)
    tile = np.dstack([checks] * 3)
    finer = 0
    for i in range(10):
        floor = patterns.look_at(dice(i), tile, 96, 96, floor=True)[..., 0]
        changes = (np.abs(np.diff(floor, axis=1)) > 40).sum(axis=1)
        finer += changes[:32].sum() >= changes[-32:].sum()
    assert finer >= 8


def test_patterned_backgrounds_are_pictures():
    for i in range(12):
        picture = patterns.draw_patterned(dice(i), surfaces(), 64, 96)
        assert picture.shape == (64, 96, 3) and picture.dtype == np.float32
        assert np.isfinite(picture).all()


def test_the_suns_shadows_are_crisp_and_attached():
    alpha = np.zeros((160, 160), np.float32)
    alpha[50:110, 60:100] = 1
    crisp = attached = 0
    for i in range(24):
        sun = shadows.Sun.draw(dice(i), 160)
        shadow = sun.shadow(alpha)
        assert shadow.shape == alpha.shape and shadow.min() >= 0 and shadow.max() <= 1.001
        lit = sun.cast(np.full((160, 160, 3), 200, np.float32), shadow)
        assert lit.max() <= 200.01 and lit.min() >= 0
        beyond = shadow * (1 - alpha)
        if (beyond > 0.5).sum() < 20:
            continue
        soft = ((shadow > 0.1) & (shadow < 0.9)).sum() / (shadow > 0.5).sum()
        crisp += soft < 0.3
        attached += (beyond > 0.5)[cv2.dilate(alpha, np.ones((5, 5))) > 0].any()
    assert crisp >= 12 and attached >= 12


def test_a_known_shadow_is_the_one_that_is_cast():
    known = np.zeros((64, 64), np.float32)
    known[40:50, 10:60] = 1
    sun = shadows.Sun("floor", 0.5, 0.3, (0.1, 0.1), 0.3, False, np.full(3, 0.4, np.float32))
    assert np.abs(sun.shadow(np.ones((64, 64), np.float32), known) - known).mean() < 0.02


def test_shadows_fall_in_from_outside():
    shares = [shadows.draw_foreign(dice(i), [square()], 64, 96).mean() for i in range(30)]
    assert 0.02 < np.mean(shares) < 0.9
    assert len(set(shares)) > 20


def test_a_cutout_takes_its_shadow_along():
    shadow = np.zeros((96, 96), np.uint8)
    shadow[72:80, 24:72] = 255  # right below the square
    cutout = square(96, shadow)
    for i in range(12):
        _, alpha, fallen = placing.place(dice(i), cutout, 128, 128, (0.3, 0.5), truncate=False)
        near = cv2.dilate((alpha > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert (fallen > 0.5).any() and near[fallen > 0.8].mean() > 0.4
        assert alpha[fallen > 0.9].mean() < 0.2


def test_copies_stand_apart():
    for i in range(12):
        bgr, alpha, shadow = placing.spread(dice(i), square(), 160, 160)
        assert bgr.shape == (160, 160, 3) and shadow is None
        count, _ = cv2.connectedComponents((alpha > 0.5).astype(np.uint8))
        assert 3 <= count <= 8, "the background and two to seven squares"


def test_what_a_loop_encloses_is_background():
    enclosed = 0
    for i in range(16):
        cutout = goods.draw_loop(dice(i), surfaces(), 128)
        alpha = cutout.levels[0][..., 3]
        assert (alpha > 127).mean() < 0.5
        free = cv2.copyMakeBorder((alpha < 60).astype(np.uint8), 1, 1, 1, 1, 0, value=1)
        count, _, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
        enclosed += count > 2 and np.sort(stats[1:, 4])[-2] > 0.05 * alpha.size
    assert enclosed >= 9


def test_packs_and_covers_are_all_subject():
    for i in range(8):
        cutout = goods.draw_pack(dice(i), surfaces(), 96)
        alpha = cutout.levels[0][..., 3]
        count, _ = cv2.connectedComponents((alpha < 128).astype(np.uint8)[1:-1, 1:-1])
        assert (alpha > 127).mean() > 0.3 and count < 7  # no holes, corners at most
        picture, alpha = goods.draw_cover(dice(i), surfaces(), 80, 64)
        assert picture.shape == (80, 64, 3) and alpha.mean() > 0.75


def test_families_of_models_are_never_split():
    names = ["apple", "beaker-tall", "beaker-wide", "cup-and-saucer", "dice", "fork", "lemon",
             "plum", "tea-set", "teapot"]  # fmt: skip
    out, train = families.held_out_models(names), families.train_models(names)
    assert sorted(out + train) == names and out
    assert not {families.family_of(n) for n in out} & {families.family_of(n) for n in train}


def glb(path: pathlib.Path) -> pathlib.Path:
    """A unit cube without normals or textures, standing on y = 0."""
    at = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([[a, b, c, a, c, d] for a, b, c, d in quads], np.uint16)
    blob = at.tobytes() + faces.tobytes()
    about = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 8, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 36, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": at.nbytes},
            {"buffer": 0, "byteOffset": at.nbytes, "byteLength": faces.nbytes},
        ],
        "buffers": [{"byteLength": len(blob)}],
    }
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(blob))
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    path.write_bytes(head + chunks + struct.pack("<I4s", len(blob), b"BIN\0") + blob)
    return path


def test_a_model_is_drawn_with_the_shadow_that_it_throws(tmp_path):
    mesh = meshes.read_glb(glb(tmp_path / "cube.glb"))
    assert mesh.corners.shape == (12, 3, 3)
    around = models3d.Surroundings.make(np.ones((32, 64, 3), np.float32))
    for i in range(4):
        stood = meshes.split_large(models3d.set_down(mesh, 0.4), 0.2)
        assert stood.corners.min() >= -0.8 and abs(stood.corners[..., 2].min()) < 1e-5
        assert np.linalg.norm(stood.corners - np.roll(stood.corners, 1, 1), axis=2).max() < 0.21
        bgra, shadow = models3d.draw_view(dice(i), stood, around, 96)
        assert bgra.shape == (96, 96, 4) and shadow.shape == (96, 96)
        solid = bgra[..., 3] > 127
        assert 0.1 < solid.mean() < 0.3 and (shadow[~solid] > 127).sum() > 30
        count, _ = cv2.connectedComponents((solid | (shadow > 127)).astype(np.uint8))
        assert count == 2  # the shadow begins where the cube stands


def test_shared_models_can_be_read():
    folder = sources.find_shared() / "data" / "train" / "models3d"
    if not folder.is_dir():
        pytest.skip("no shared 3D models: set ALPHABEAM_SHARED")
    mesh = meshes.read_glb(folder / "enamel-mug.glb")
    assert len(mesh.corners) > 100 and any(texture is not None for texture in mesh.textures)
    assert np.isfinite(mesh.corners).all() and mesh.material.max() < len(mesh.textures)
