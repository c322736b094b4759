"""Opens ONNX Runtime sessions, all with the same options."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

__all__ = ["open_session"]


def open_session(path: Path, threads: int = 1) -> ort.InferenceSession:
    """Opens an ONNX file for inference on the CPU.

    Args:
        path: A local ONNX file.
        threads: Threads within one inference.

    Returns:
        The session. It may be shared by threads, but not pickled.
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
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
