"""Networks: loading, verifying, feeding, and what the errors say."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from alphabeam.transforms.matting import (
    MattingCore,
    ModelError,
    Network,
    Preprocessing,
    load_model,
    models,
)
from alphabeam.transforms.matting.models import EMBEDDED, embedded
from tests.conftest import tiny_onnx

PLAIN = {"input_size": 64, "multiple": 32}
SHARED = Path(os.environ.get("ALPHABEAM_SHARED", Path(__file__).parents[3] / "shared"))


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_onnx())
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((100, 200), (32, 64)), ((200, 100), (64, 32)), ((64, 64), (64, 64)), ((10, 1000), (1, 64))],
)
def test_letterbox_keeps_the_aspect_and_cuts_the_padding(tiny, shape, expected):
    network = load_model(tiny, preprocessing=PLAIN)
    alpha = network.predict(np.zeros((*shape, 3), np.uint8))
    assert alpha.shape == expected and alpha.dtype == np.float32
    assert alpha.min() > 0.99, "black is subject to this network, the padding no part of it"


@pytest.mark.parametrize(("grey", "sizes"), [(255, [64]), (140, [64, 80])])
def test_an_uncertain_network_infers_again(tiny, monkeypatch, grey, sizes):
    """Dark is subject to this network; it is undecided about grey."""
    image = np.full((256, 256, 3), 255, np.uint8)
    image[40:120, 40:120] = 0
    image[140:240, 140:240] = grey
    network = load_model(tiny, preprocessing=PLAIN)
    asked = []
    infer = network.infer

    def recording(rgb, size):
        asked.append(size)
        return infer(rgb, size)

    monkeypatch.setattr(network, "infer", recording)
    alpha = network.predict(image)
    assert asked == sizes and alpha.shape == (64, 64)
    assert alpha[20, 20] > 0.99 and 0.7 < alpha[47, 47] + (grey == 255) < 1.1


def test_stretch_makes_a_square(tiny):
    network = load_model(tiny, preprocessing={**PLAIN, "layout": "stretch"})
    assert network.predict(np.zeros((100, 200, 3), np.uint8)).shape == (64, 64)


def test_dark_is_subject_where_it_is(tiny):
    image = np.full((128, 128, 3), 255, np.uint8)
    image[32:64, 64:96] = 0
    alpha = load_model(tiny, preprocessing=PLAIN).predict(image)
    assert alpha[18:30, 34:46].min() > 0.9 and alpha[:14].max() < 0.1


def test_minmax_does_not_amplify_an_empty_image(tiny):
    network = load_model(tiny, preprocessing={**PLAIN, "output": "minmax"})
    empty = np.full((64, 64, 3), 250, np.uint8)
    empty[:32] = 245
    assert network.predict(empty).max() < 0.1
    full = np.full((64, 64, 3), 250, np.uint8)
    full[16:48, 16:48] = 0
    assert network.predict(full).max() == pytest.approx(1, abs=1e-6)
    assert MattingCore(network).remove(empty).flags == ("empty",)


def test_mean_std_and_maximum(tiny):
    grey = np.full((64, 64, 3), 51, np.uint8)
    plain = load_model(tiny, preprocessing=PLAIN).predict(grey)
    own_maximum = load_model(tiny, preprocessing={**PLAIN, "scale": "max"}).predict(grey)
    shifted = load_model(tiny, preprocessing={**PLAIN, "mean": [-0.8] * 3}).predict(grey)
    assert plain.min() > 0.99 and own_maximum.max() < 0.01 and shifted.max() < 0.01
    spread = load_model(tiny, preprocessing={**PLAIN, "std": [0.2] * 3}).predict(grey)
    assert spread.max() < 0.01


def test_threads_change_no_bit(tiny):
    image = np.random.default_rng(3).integers(0, 256, (90, 70, 3), np.uint8)
    one = load_model(tiny, preprocessing=PLAIN).predict(image)
    two = load_model(tiny, preprocessing=PLAIN, threads=2).predict(image)
    assert np.array_equal(one, two)


def test_pickle_loads_the_model_again(tiny):
    network = load_model(tiny, preprocessing=PLAIN)
    data = pickle.dumps(network)
    assert len(data) < 2000
    again = pickle.loads(data)
    image = np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8)
    assert np.array_equal(again.predict(image), network.predict(image))
    assert (again.name, again.sha256, again.input_size) == ("tiny", sha256(tiny), 64)


def test_json_beside_the_file_says_the_preprocessing(tiny):
    tiny.with_suffix(".json").write_text(json.dumps({**PLAIN, "scale": 255, "licence": "MIT"}))
    assert load_model(tiny).preprocessing == Preprocessing(64)
    tiny.with_suffix(".json").write_text(json.dumps({"input_size": 65}))
    with pytest.raises(ModelError, match=r"tiny\.json: input_size: 65 is no multiple of 32"):
        load_model(tiny)


def test_unknown_preprocessing_says_what_to_give(tiny):
    with pytest.raises(ModelError, match="preprocessing is unknown; give one") as caught:
        load_model(tiny)
    assert "tiny.json" in one_line(caught)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "input_size: missing"),
        ({"input_size": 0}, "input_size: a whole number"),
        ({"input_size": True}, "input_size: a whole number"),
        ({"input_size": 64, "layout": "tile"}, "layout: 'tile' is not one of letterbox, stretch"),
        ({"input_size": 64, "std": [1, 0, 1]}, "std: three numbers"),
        ({"input_size": 64, "mean": [1]}, "mean: three numbers"),
        ({"input_size": 64, "scale": 3}, "scale: '3.0' is not one of 255, max"),
        ({"input_size": 64, "output": "rgb"}, "output: 'rgb' is not one of"),
    ],
)
def test_bad_preprocessing(values, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_mapping(values)


def test_wrong_sha256_and_threads(tiny):
    assert load_model(tiny, sha256=sha256(tiny).upper(), preprocessing=PLAIN)
    with pytest.raises(ModelError, match="does not have the SHA-256 00"):
        load_model(tiny, sha256="00", preprocessing=PLAIN)
    with pytest.raises(ValueError, match="threads: a whole number of at least 1"):
        load_model(tiny, preprocessing=PLAIN, threads=0)


def test_not_a_model(tmp_path):
    path = tmp_path / "not.onnx"
    path.write_text("<html>")
    with pytest.raises(ModelError, match=r"not\.onnx is not a usable ONNX file") as caught:
        load_model(path, preprocessing=PLAIN)
    one_line(caught)
    with pytest.raises(ModelError, match=r"no such file, and not one of catalogue, u2net"):
        load_model("catalog")


@pytest.mark.parametrize("model", ["u2netp", "https://user:hunter2@h/m.onnx?token=hidden"])
def test_what_has_to_be_downloaded_says_how(model):
    with pytest.raises(ModelError, match=r"load it with alphabeam\.transforms\.models") as caught:
        MattingCore(model)
    assert "hunter2" not in one_line(caught) and "hidden" not in one_line(caught)


@pytest.mark.parametrize("name", ["catalogue", "refiner"])
def test_embedded_models_are_verified(tmp_path, monkeypatch, name):
    assert embedded(name).is_file()
    for suffix in (".onnx", ".json"):
        data = (EMBEDDED / f"{name}{suffix}").read_bytes()
        (tmp_path / f"{name}{suffix}").write_bytes(data)
    for other in EMBEDDED.iterdir():
        if other.stem != name:
            (tmp_path / other.name).write_bytes(other.read_bytes())
    monkeypatch.setattr(models, "EMBEDDED", tmp_path)
    assert embedded(name) == tmp_path / f"{name}.onnx"
    with (tmp_path / f"{name}.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match=f"model {name}: .* is damaged; install alphabeam again"):
        MattingCore()
    (tmp_path / f"{name}.json").unlink()
    with pytest.raises(ModelError, match=f"model {name}: .* is missing; install alphabeam again"):
        embedded(name)


def test_the_embedded_model_sees_subjects_and_empty_images():
    core = MattingCore()
    assert core.model_name == "catalogue" and len(core.model_sha256) == 64
    empty = core.remove(np.full((300, 400, 3), 225, np.uint8))
    assert empty.coverage < 0.01
    image = np.full((300, 400, 3), 235, np.uint8)
    image[80:240, 140:260] = (150, 40, 30)
    found = core.remove(image)
    assert found.coverage == pytest.approx(160 * 120 / (300 * 400), rel=0.15)


@pytest.mark.slow
def test_u2netp_by_its_file_name():
    path = SHARED / "models" / "u2netp.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}; set ALPHABEAM_SHARED")
    network = load_model(path)
    assert isinstance(network, Network) and network.preprocessing.scale == "max"
    assert network.sha256 == "4fa6fa29b2a50795cbf3f2079ce78fa0e43c8d2c76cda1a62b2dac6a32dadfe5"
    assert network.predict(np.full((60, 90, 3), 200, np.uint8)).max() < 0.5


def test_contradictory_inferences_are_not_averaged(tiny, monkeypatch):
    """The first is kept: its input size is the one that the network was trained at."""
    network = load_model(tiny, preprocessing=PLAIN)
    first = np.zeros((64, 64), np.float32)
    first[16:48, 16:48] = 1
    first[24:34, 24:34] = 0.7  # enough for a second inference
    lost, close = np.where(first > 0, np.float32(1), np.float32(0.6)), np.ceil(first)
    for second, believed in ((lost, first), (close, (first + close) / 2)):
        answers = iter([first, second])
        monkeypatch.setattr(network, "infer", lambda rgb, size, answers=answers: next(answers))
        np.testing.assert_array_equal(network.predict(np.zeros((64, 64, 3), np.uint8)), believed)
