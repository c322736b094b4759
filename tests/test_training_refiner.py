"""The refiner's recipe: scenes, what the core makes of them, and, where torch is, the training."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))  # training/ is not installed

from alphabeam.transforms.matting.alpha import Bands, refine_alpha
from alphabeam.transforms.matting.refiner import Refiner
from training.objects import draw_object
from training.pieces import Picture
from training.refiner.examples import PLANES, features, make_example, measure, write_examples
from training.refiner.material import Material, networks
from training.refiner.scenes import MARGIN, draw_scene

SHIPPED = Refiner().path


@pytest.fixture(scope="module")
def material() -> Material:
    rng = np.random.default_rng(4)

    def pictures(cells: int) -> list[np.ndarray]:
        grids = [rng.integers(0, 256, (cells, cells, 3), np.uint8) for _ in range(4)]
        return [cv2.resize(grid, (160, 120), interpolation=cv2.INTER_CUBIC) for grid in grids]

    drawn = [draw_object(rng, pictures(9), 128) for _ in range(4)]
    return Material(
        [cutout for cutout in drawn if cutout is not None], pictures(4), pictures(12), pictures(30)
    )


@pytest.fixture(scope="module")
def folder(material, tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("examples")
    write_examples(folder, 6, 0, material)
    return folder


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("*.npy"))


def test_a_scene_depends_on_seed_and_number_alone(material):
    one, again, other = (draw_scene(3, number, material) for number in (5, 5, 6))
    for name in ("image", "trimap", "alpha"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert one.image.shape != other.image.shape or not np.array_equal(one.image, other.image)


@pytest.mark.slow
def test_the_trimap_agrees_with_the_alpha_and_is_cut_to_its_band(material):
    for number in range(12):
        scene = draw_scene(0, number, material)
        assert scene.image.dtype == scene.trimap.dtype == scene.alpha.dtype == np.uint8
        assert scene.image.shape == (*scene.trimap.shape, 3)
        assert set(np.unique(scene.trimap)) == {0, 128, 255}
        assert scene.alpha[scene.trimap == 255].min() >= 200
        assert scene.alpha[scene.trimap == 0].max() <= 40
        left, top, width, height = cv2.boundingRect((scene.trimap == 128).astype(np.uint8))
        assert left <= MARGIN and top <= MARGIN
        assert min(scene.trimap.shape) >= 96
        assert scene.trimap.shape[1] - left - width <= MARGIN
        assert scene.trimap.shape[0] - top - height <= MARGIN


@pytest.mark.slow
def test_a_network_draws_the_trimap_of_some_as_in_a_job(material):
    seen = dataclasses.replace(material, networks=networks()[::2])
    scenes = [draw_scene(1, number, seen) for number in range(10)]
    by_network = [scene for scene in scenes if scene.coarse is not None]
    assert 1 <= len(by_network) < 10
    for scene in by_network:
        known = scene.trimap != 128
        wrong = np.abs(scene.alpha.astype(int) - scene.trimap)[known] > 64
        assert wrong.sum() <= 0.05 * np.count_nonzero(~known)  # 0.03 of the whole scene's
        # Where it is surely subject the network said so: its alpha lies where the picture does.
        size = scene.trimap.shape
        said = scene.coarse.sample(scene.coarse.alpha, 0, 0, 1, size)
        assert said[scene.trimap == 255].min() > 0.8
        assert said[scene.trimap == 0].max() < 0.2
        assert make_example(scene).shape == (12, *size)


@pytest.mark.slow
def test_what_stands_for_a_part_of_a_large_picture_is_solved_at_a_smaller_size(material):
    limits = [draw_scene(0, number, material).limits for number in range(20)]
    assert Bands(sharp=0) in limits
    small = [limit for limit in limits if limit.coarsest < Bands.coarsest / 2]
    assert small and all(limit.solved < Bands.solved / 2 for limit in small)
    assert {limit.refined for limit in limits} == {Bands.refined}


@pytest.mark.slow
def test_scenes_show_renders_where_there_are_any(material):
    alpha = np.zeros((240, 300), np.uint8)
    cv2.circle(alpha, (150, 120), 70, 255, -1, cv2.LINE_AA)
    bgr = np.where(alpha[..., None] > 127, (0, 0, 255), (0, 255, 0)).astype(np.uint8)
    of_renders = dataclasses.replace(material, renders=[Picture(bgr, alpha)])
    green = 0
    for number in range(24):
        scene = draw_scene(2, number, of_renders)
        outside = scene.image[scene.trimap == 0].astype(int)
        green += bool((outside[:, 1] - outside[:, 0]).min() > 150)
    assert 2 <= green <= 14


@pytest.mark.slow
def test_features_are_what_the_core_gives_its_refiner(material, monkeypatch):
    """Every tile the refiner cuts is found again in the example's features, to their 8 bits."""
    scene = draw_scene(0, 1, material)
    ours = features(make_example(scene))
    seen: list[np.ndarray] = []

    class Session:
        def run(self, names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            seen.append(feed["features"][0].copy())
            return [feed["features"][:, 5:6]]

    monkeypatch.setattr(Refiner, "_get", lambda self: Session())
    refine_alpha(scene.image, scene.trimap, refiner=Refiner(), limits=scene.limits)
    assert len(seen) > 3
    picture = np.ascontiguousarray(ours[:3].transpose(1, 2, 0))
    found = 0
    for tile in seen:
        inner = tile[:, 4:-8, 4:-8]  # the border of a tile may be padding
        if inner[:3].std() < 0.02:
            continue  # plain: found anywhere
        patch = np.ascontiguousarray(inner[:3].transpose(1, 2, 0))
        _, _, (x, y), _ = cv2.minMaxLoc(cv2.matchTemplate(picture, patch, cv2.TM_SQDIFF))
        part = ours[:, y : y + inner.shape[1], x : x + inner.shape[2]]
        np.testing.assert_allclose(part[:6], inner[:6], atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(part[6:], inner[6:], atol=0.01)
        found += 1
    assert found > 3


@pytest.mark.slow
def test_examples_are_not_made_twice(folder, material, tmp_path):
    again = tmp_path / "again"
    first = write_examples(again, 2, 0, material)
    first[0].write_bytes(b"kept")
    write_examples(again, 3, 0, material)
    assert first[0].read_bytes() == b"kept"
    assert [path.name for path in files(again)] == ["00000.npy", "00001.npy", "00002.npy"]
    for path in files(again)[1:]:
        np.testing.assert_array_equal(np.load(path), np.load(folder / path.name))


def test_the_shipped_refiner_mends_unseen_made_up_scenes(folder):
    before, after = measure(None, files(folder)), measure(Refiner(), files(folder))
    assert 0 < after["difference"] < before["difference"]


def test_measure_is_of_the_band_alone(folder, tmp_path):
    planes = np.load(files(folder)[0])
    band = planes[3] == 128
    planes[4] = planes[11] // 2 + 60
    planes[4][~band] = 77  # wrong, but none of the refiner's business
    np.save(tmp_path / "a.npy", planes)
    off = (planes[4].astype(float) - planes[11])[band] / 255
    error = measure(None, [tmp_path / "a.npy"])
    assert error["difference"] == pytest.approx(np.abs(off).mean(), rel=1e-5)
    assert error["square"] == pytest.approx((off**2).mean(), rel=1e-5)


def test_the_recipe_builds_the_shipped_file(folder, tmp_path):
    """The shipped weights, put into the recipe's network and exported, answer the same."""
    torch, onnx = pytest.importorskip("torch"), pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    from training.refiner.export import export
    from training.refiner.network import RefinerNet

    stored = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(str(SHIPPED)).graph.initializer
        if tensor.name.endswith((".weight", ".bias"))
    ]
    net = RefinerNet()
    names = list(net.state_dict())
    assert [tuple(x.shape) for x in net.state_dict().values()] == [x.shape for x in stored]
    net.load_state_dict({k: torch.tensor(v) for k, v in zip(names, stored, strict=True)})
    export(net, tmp_path / "refiner.onnx")
    ours, theirs = (
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for path in (tmp_path / "refiner.onnx", SHIPPED)
    )
    for one, other in zip(
        (*ours.get_inputs(), *ours.get_outputs()),
        (*theirs.get_inputs(), *theirs.get_outputs()),
        strict=True,
    ):
        assert (one.name, one.shape, one.type) == (other.name, other.shape, other.type)
    x = features(np.load(files(folder)[0]))[None, :, :88, :64]
    np.testing.assert_allclose(
        ours.run(None, {"features": x})[0], theirs.run(None, {"features": x})[0], atol=1e-4
    )


def test_an_untrained_network_changes_nothing(folder):
    torch = pytest.importorskip("torch")
    from training.refiner.network import RefinerNet

    planes = np.load(files(folder)[0])[None, :, :96, :96]
    x = torch.from_numpy(features(planes))
    with torch.no_grad():
        alpha = RefinerNet()(x)
    np.testing.assert_array_equal(alpha.numpy(), planes[:, PLANES["alpha"]] / np.float32(255))


def test_a_stopped_run_goes_on_as_if_it_had_not_been(folder, tmp_path):
    torch = pytest.importorskip("torch")
    from training.refiner.train import Plan, train

    torch.set_num_threads(1)
    paths = files(folder)
    plan = Plan(steps=6, batch=2, side=48)
    whole = train(paths[:4], paths[4:], plan, tmp_path / "whole")
    with pytest.raises(TimeoutError, match="run again"):
        train(paths[:4], paths[4:], plan, tmp_path / "stopped", minutes=0, every=0)
    lines = (tmp_path / "stopped" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["step"] == 1
    resumed = train(paths[:4], paths[4:], plan, tmp_path / "stopped")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    assert whole.head.bias.abs().max() > 0
    with pytest.raises(ValueError, match="another --work"):
        train(paths[:4], paths[4:], Plan(steps=7, batch=2, side=48), tmp_path / "stopped")
