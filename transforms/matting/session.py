"""Opens ONNX Runtime sessions, all with the same options, on the device that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import onnxruntime as ort

__all__ = ["DEVICES", "Device", "DeviceError", "open_session", "providers_of"]

Device = Literal["auto", "cpu", "cuda", "tensorrt", "openvino", "coreml", "directml"]
"""Where networks run; ``auto`` is a GPU where ONNX Runtime was built for one, else the CPU."""

DEVICES: tuple[str, ...] = get_args(Device)

_CPU = "CPUExecutionProvider"
_PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
_PACKAGES = {
    "tensorrt": "onnxruntime-gpu and TensorRT",
    "cuda": "onnxruntime-gpu",
    "openvino": "onnxruntime-openvino",
    "coreml": "onnxruntime for macOS",
    "directml": "onnxruntime-directml",
}
# Not TensorRT, which prepares each size of picture for minutes, nor Core ML, which computes in 16
# bits: these are for those who ask for them. OpenVINO is a CPU's too, and asked for likewise.
_AUTO = ("cuda", "directml")


class DeviceError(ValueError):
    """ONNX Runtime, as it is installed here, has no such device."""


def providers_of(device: str) -> list[str]:
    """The execution providers to open a session with, the preferred one first.

    Args:
        device: One of :data:`DEVICES`.

    Returns:
        ONNX Runtime's names; the CPU's is the last, for what the others cannot compute.

    Raises:
        DeviceError: There is no such device, or the installed ONNX Runtime was not built for it.
    """
    if device not in DEVICES:
        raise DeviceError(f"device: {device!r} is not one of {', '.join(DEVICES)}")
    available = ort.get_available_providers()
    if device == "auto":
        found = [_PROVIDERS[name] for name in _AUTO if _PROVIDERS[name] in available]
        return [*found, _CPU]
    if device == "cpu":
        return [_CPU]
    if _PROVIDERS[device] not in available:
        raise DeviceError(
            f"device: the installed ONNX Runtime has no {device!r}; install {_PACKAGES[device]} in "
            "place of onnxruntime, or say device: auto"
        )
    return [_PROVIDERS[device], _CPU]


def open_session(path: Path, threads: int = 1, device: str = "cpu") -> ort.InferenceSession:
    """Opens an ONNX file for inference.

    Args:
        path: A local ONNX file.
        threads: Threads within one inference on the CPU.
        device: One of :data:`DEVICES`.

    Returns:
        The session. It may be shared by threads, but not pickled.

    Raises:
        DeviceError: As :func:`providers_of`; or the device cannot be used, for want of a driver.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors only
    # A process sees images of many sizes. An arena would keep the memory of the largest for ever.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Spinning threads would take the cores that decoding and encoding need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = providers_of(device)
    session = ort.InferenceSession(str(path), options, providers=providers)
    # Where a driver is missing, ONNX Runtime goes on with the CPU and says so in its log only.
    if device not in ("auto", "cpu") and session.get_providers()[0] != providers[0]:
        raise DeviceError(f"device: {device!r} cannot be used here; is its driver installed?")
    return session
