"""Devices: which execution providers are asked for, and what is said where there are none."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from alphabeam.transforms.matting import MattingCore, ModelError
from alphabeam.transforms.matting.session import DEVICES, DeviceError, open_session, providers_of
from tests.matting.scenes import disc

CPU = "CPUExecutionProvider"
NAMES = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}


def with_providers(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [*names, CPU])


def test_auto_is_a_gpu_where_onnx_runtime_was_built_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_providers(monkeypatch, "TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert providers_of("auto") == ["CUDAExecutionProvider", CPU]
    with_providers(monkeypatch, "OpenVINOExecutionProvider")
    assert providers_of("auto") == [CPU]
    assert providers_of("openvino") == ["OpenVINOExecutionProvider", CPU]
    assert providers_of("cpu") == [CPU]


@pytest.mark.parametrize("device", sorted(NAMES))
def test_a_device_that_is_not_here_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    with_providers(monkeypatch)
    with pytest.raises(ModelError, match=f"no '{device}'; install .* in place of onnx") as caught:
        MattingCore(device=device)
    assert "\n" not in str(caught.value)


def test_every_device_has_a_provider() -> None:
    assert {*NAMES, "auto", "cpu"} == set(DEVICES)
    with pytest.raises(DeviceError, match="'gpu' is not one of auto, cpu, cuda"):
        providers_of("gpu")


def test_a_device_without_its_driver_is_no_silent_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Fallen:
        """As ONNX Runtime opens a session where the driver is missing."""

        def __init__(self, *_: object, **__: object) -> None: ...

        def get_providers(self) -> list[str]:
            return [CPU]

    with_providers(monkeypatch, "CUDAExecutionProvider")
    monkeypatch.setattr(ort, "InferenceSession", Fallen)
    with pytest.raises(DeviceError, match="driver"):
        open_session(tmp_path / "model.onnx", device="cuda")
    assert open_session(tmp_path / "model.onnx", device="auto").get_providers() == [CPU]


def test_a_pickled_core_opens_on_its_device_again(monkeypatch: pytest.MonkeyPatch) -> None:
    core = MattingCore(device="auto")
    assert pickle.loads(pickle.dumps(core)).network.device == "auto"


@pytest.mark.parametrize("device", sorted(NAMES))
def test_masks_of_every_device_are_those_of_the_cpu(device: str) -> None:
    if NAMES[device] not in ort.get_available_providers():
        pytest.skip(f"the installed ONNX Runtime has no {device}")
    try:
        core = MattingCore(device=device)
    except ModelError as error:
        pytest.skip(str(error))
    image, _ = disc()
    there, here = (one.remove(image).alpha.astype(int) for one in (core, MattingCore()))
    assert np.abs(there - here).max() <= 1
