"""The segmentation network: an ONNX file behind one method, ``predict``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from alphabeam.transforms.matting.models import (
    REGISTRY,
    ModelError,
    cached_path,
    fetch,
    file_digest,
)
from alphabeam.transforms.matting.preprocessing import Preprocessing

__all__ = ["Network", "Predictor", "load_model", "outline_distance"]

# An output that spans less than this is not stretched to the full range: where a U2-Net sees no
# subject its answer is faint noise, and stretching would make a subject of it.
_LEAST_STRETCH = 0.5
# A network wavers if, this far from its own outline (its pixels), it is undecided about this share
# of its subject; it then looks again at this many times its size.
_OUTLINE = 3
_WAVERING = 0.02
_CLOSER = 1.25
_CONTRADICTION = 0.8  # intersection over union of what it takes for the subject


class Predictor(Protocol):
    """What :class:`~alphabeam.transforms.matting.MattingCore` asks of a network."""

    def predict(self, rgb: NDArray[np.uint8]) -> NDArray[Any]:
        """Coarse alpha of an RGB image, uint8 0..255 or float32 0..1, at any resolution."""
        ...


class Network:
    """An ONNX segmentation model, its preprocessing, and a session to run it.

    May be shared by threads. Pickling keeps the recipe, not the session: the copy loads the
    model again where it arrives.

    Attributes:
        name: The registry's name, or the file's without extension.
        sha256: Hex digest of the ONNX file.
        preprocessing: See :class:`Preprocessing`.
        input_size: The network's input side in pixels.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        preprocessing: Preprocessing,
        *,
        name: str | None = None,
        threads: int = 1,
    ) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads: a whole number of at least 1 is needed, got {threads!r}")
        self.path = Path(path)
        self.preprocessing = preprocessing
        self.name = name or self.path.stem
        self.threads = threads
        self.sha256 = file_digest(self.path).partition(":")[2]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        # One process holds many images of many sizes: an arena would keep the largest for ever.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # Waiting threads would burn the cores that decoding and encoding need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            raise ModelError(
                f"model {self.name}: {self.path} is not a usable ONNX file ({reason})"
            ) from None
        first = self._session.get_inputs()[0]
        self._input = first.name
        self._output = self._session.get_outputs()[0].name
        shape = first.shape
        if len(shape) != 4:
            raise ModelError(
                f"model {self.name}: input {first.name} has shape {shape}, Nx3xHxW is needed"
            )
        height, width = shape[2:]
        self._fixed = (height, width) if isinstance(height, int) and height > 0 else None

    @property
    def input_size(self) -> int:
        """Side of the network's input in pixels."""
        return self.preprocessing.input_size

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (str(self.path), self.preprocessing, self.name, self.threads)

    def predict(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Coarse alpha of an image.

        A model that takes pictures of any size and answers with probabilities looks twice, the
        second time closer, where it wavers; its two answers are averaged, unless they contradict
        each other: then the closer one has lost the subject for its texture as often as not, and
        errs further when it does.

        Args:
            rgb: uint8 HxWx3, RGB.

        Returns:
            float32 hxw, 0..1, at the network's resolution and with the image's aspect ratio if
            the layout is ``letterbox`` (the padding is cut off), else square.

        Raises:
            ModelError: The network failed or gave something that is no alpha.
        """
        how = self.preprocessing
        alpha = self._look(rgb, how.input_size)
        free = how.layout == "letterbox" and self._fixed is None and how.output == "probability"
        if free and _wavers(alpha):
            again = self._look(rgb, round(how.input_size * _CLOSER))
            again = _resize(again, alpha.shape[1], alpha.shape[0])
            if _agreement(alpha, again) > _CONTRADICTION:
                return (alpha + again) * np.float32(0.5)
        return alpha

    def _look(self, rgb: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
        """The network's answer at one size of its input."""
        tensor, (height, width) = self._tensor(rgb, size)
        try:
            (raw,) = self._session.run([self._output], {self._input: tensor})
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            raise ModelError(f"model {self.name}: inference failed ({reason})") from None
        raw = np.asarray(raw, np.float32)
        if raw.ndim == 3:
            raw = raw[:, None]
        if raw.ndim != 4 or raw.shape[2:] != tensor.shape[2:]:
            raise ModelError(
                f"model {self.name}: output of shape {raw.shape} for input {tensor.shape}; "
                "one alpha of the input's size is needed"
            )
        alpha = np.nan_to_num(raw[0, 0, :height, :width], nan=0.0)
        if self.preprocessing.output == "logit":
            alpha = 1 / (1 + np.exp(-np.clip(alpha, -30, 30)))
        elif self.preprocessing.output == "minmax":
            low, high = float(alpha.min()), float(alpha.max())
            alpha = (alpha - low) / max(high - low, _LEAST_STRETCH)
        return np.ascontiguousarray(np.clip(alpha, 0, 1), np.float32)

    def _tensor(
        self, rgb: NDArray[np.uint8], size: int
    ) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """The network's input 1x3xHxW, and the part of it (height, width) that is picture."""
        how = self.preprocessing
        height, width = rgb.shape[:2]
        if how.layout == "stretch":
            full = inner = self._fixed or (size, size)
        else:
            scale = size / max(height, width)
            inner = (max(1, round(height * scale)), max(1, round(width * scale)))
            step = how.multiple
            full = self._fixed or (-(-inner[0] // step) * step, -(-inner[1] // step) * step)
        small = _resize(rgb, inner[1], inner[0])
        divisor = 255.0 if how.scale == "255" else max(float(small.max()), 1e-6)
        pixels = small.astype(np.float32)
        pixels *= np.float32(1 / divisor)
        pixels -= np.asarray(how.mean, np.float32)
        pixels /= np.asarray(how.std, np.float32)
        if full != inner:
            pixels = cv2.copyMakeBorder(
                pixels, 0, full[0] - inner[0], 0, full[1] - inner[1], cv2.BORDER_REPLICATE
            )
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]), inner


def load_model(
    name_or_url: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    threads: int = 1,
    cache: str | os.PathLike[str] | None = None,
    accept_license: bool = False,
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
) -> Network:
    """Load a network by name, path or URL; download it once if it must be.

    A file's preprocessing is the one given, else what a JSON file of the same name beside it
    says, else that of the registered model of the same name.

    Args:
        name_or_url: A name of `alphabeam.transforms.matting.models.REGISTRY`, a local path, or
            any fsspec URL of an ONNX file.
        sha256: Hex digest that the file must have.
        threads: Threads within one inference.
        cache: Folder for downloads; None for the user's cache folder.
        accept_license: Needed for models whose licence forbids commercial use.
        preprocessing: What the network wants, see :class:`Preprocessing`.

    Returns:
        The network, ready to run.

    Raises:
        ModelError: Unknown name, no such file, wrong digest, refused licence, failed download,
            unknown preprocessing, or not an ONNX file.
        ValueError: A value of the preprocessing or ``threads`` is out of bounds.
    """
    asked = os.fspath(name_or_url)
    model = REGISTRY.get(asked)
    if model is not None:
        if not (model.commercial or accept_license):
            raise ModelError(
                f"model {model.name}: its licence is {model.licence}, not for commercial use; "
                "set accept_license: true if your use is allowed"
            )
        path = cached_path(model.name, cache)
        if model.url:
            fetch(model.url, path, model.digest, label=model.name)
        elif not path.exists():
            raise ModelError(f"model {model.name}: {path} is missing; install alphabeam again")
    elif "://" in asked:
        path = fetch(asked, cached_path(asked, cache), f"sha256:{sha256.lower()}" if sha256 else "")
    else:
        path = Path(asked).expanduser()
        if not path.is_file():
            known = ", ".join(REGISTRY)
            raise ModelError(f"model {asked}: no such file, and not one of {known}")
    if sha256 and file_digest(path) != f"sha256:{sha256.lower()}":
        raise ModelError(f"model {asked}: {path} does not have the SHA-256 {sha256}")
    if isinstance(preprocessing, Mapping):
        preprocessing = Preprocessing.from_mapping(dict(preprocessing))
    name = model.name if model else Path(asked.split("?", 1)[0]).stem
    return Network(
        path, preprocessing or _known_preprocessing(path, name), name=name, threads=threads
    )


def _known_preprocessing(path: Path, name: str) -> Preprocessing:
    beside = path.with_suffix(".json")
    if beside.is_file():
        try:
            return Preprocessing.from_mapping(json.loads(beside.read_text(encoding="utf-8")))
        except (ValueError, AttributeError, OSError) as error:
            raise ModelError(f"model {name}: {beside}: {error}") from None
    model = REGISTRY.get(name)
    if model is not None and model.preprocessing is not None:
        return model.preprocessing
    raise ModelError(
        f"model {name}: its preprocessing is unknown; give one (input_size, mean, std, ...) "
        f"or put it at {beside}"
    )


def _rebuild(path: str, preprocessing: Preprocessing, name: str, threads: int) -> Network:
    return Network(path, preprocessing, name=name, threads=threads)


def outline_distance(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far, in pixels, each lies from where alpha (float32 hxw) crosses a half: float32 hxw."""
    inside = (alpha > 0.5).astype(np.uint8)
    return np.maximum(
        cv2.distanceTransform(inside, cv2.DIST_L2, 5),
        cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5),
    )


def _wavers(alpha: NDArray[np.float32]) -> bool:
    """Whether the network is undecided about more than its outline."""
    undecided = (alpha > 0.1) & (alpha < 0.9) & (outline_distance(alpha) > _OUTLINE)
    return bool(np.count_nonzero(undecided) > _WAVERING * np.count_nonzero(alpha > 0.5))


def _agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Intersection over union of two answers' subjects; 1 if neither sees one."""
    a, b = one > 0.5, other > 0.5
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def _resize(rgb: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """Resize without aliasing, whichever way each side goes."""
    shrinks = rgb.shape[0] >= height and rgb.shape[1] >= width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(rgb, (width, height), interpolation=how)
