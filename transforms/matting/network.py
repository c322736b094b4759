"""The segmentation network: an ONNX file behind one method, ``predict``."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from alphabeam.transforms.matting.models import (
    EMBEDDED,
    REGISTRY,
    ModelError,
    embedded,
    file_digest,
)
from alphabeam.transforms.matting.preprocessing import Preprocessing
from alphabeam.transforms.matting.session import DeviceError, open_session
from alphabeam.transforms.pixels import shrunk
from alphabeam.transforms.redaction import redact

__all__ = ["Network", "Predictor", "intersection_over_union", "load_model", "outline_distance"]

# Networks with a "minmax" output are stretched to 0..1, but only if they span at least this much.
# On an image without a subject a U2-Net answers faint noise; stretching would make it a subject.
_LEAST_SPAN = 0.5

# A second inference at a larger input size, where the first is uncertain. Uncertain: alpha is
# within 0.1..0.9, farther than _OUTLINE from the outline (in the network's pixels), for more than
# _UNCERTAIN_SHARE of the subject's area.
_OUTLINE = 3
_UNCERTAIN_SHARE = 0.02
_SECOND_SCALE = 1.25  # of the input size
# The two are averaged if their subjects overlap by more than this (intersection over union).
# Otherwise the first is kept: its size is the one that the network was trained at. Measured on 18
# such images: mean error .092 for the first, .162 for the second; see docs/matting.md.
_LEAST_AGREEMENT = 0.8


class Predictor(Protocol):
    """What :class:`~alphabeam.transforms.matting.MattingCore` needs of a network."""

    def predict(self, rgb: NDArray[np.uint8]) -> NDArray[Any]:
        """Coarse alpha of an RGB image (uint8 HxWx3).

        Returns:
            hxw at any resolution: uint8 0..255, or float32 0..1.
        """
        ...


class Network:
    """An ONNX segmentation model, its preprocessing, and a session to run it.

    Threads may share an instance. A pickle holds the path, not the session: the copy opens the
    model file again where it is unpickled.

    Args:
        path: A local ONNX file with one input Nx3xHxW. Its first output is alpha.
        preprocessing: How pixels become the network's input.
        name: What messages and metadata call the model; the file's name if None.
        threads: Threads within one inference.
        device: Where it runs, one of `session.DEVICES`.

    Attributes:
        name: The model's name.
        sha256: Hex digest of the ONNX file.
        preprocessing: See :class:`Preprocessing`.
        input_size: The network's input side in pixels.

    Raises:
        ModelError: The file is not a usable ONNX model, or the device is not here.
        ValueError: ``threads`` is not a positive whole number.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        preprocessing: Preprocessing,
        *,
        name: str | None = None,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads: a whole number of at least 1 is needed, got {threads!r}")
        self.path = Path(path)
        self.preprocessing = preprocessing
        self.name = name or self.path.stem
        self.threads = threads
        self.device = device
        self.sha256 = file_digest(self.path).partition(":")[2]
        self._lock = threading.Lock()
        self._session: ort.InferenceSession | None = None
        # A night on which nothing has changed needs no network, and an open one is some 60 MB. The
        # embedded file is known to be whole; with any other, it is better to know at once.
        if self.path.parent != EMBEDDED or device not in ("auto", "cpu"):
            self._opened()

    @property
    def input_size(self) -> int:
        """Side of the network's input in pixels."""
        return self.preprocessing.input_size

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (
            str(self.path),
            self.preprocessing,
            self.name,
            self.threads,
            self.device,
        )

    def predict(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Coarse alpha of an image.

        Where the first inference is uncertain, a second one at 1.25 times the input size follows,
        and the two are averaged if they agree. Only networks that accept any input size and answer
        with probabilities get the second one.

        Args:
            rgb: uint8 HxWx3, RGB.

        Returns:
            float32 hxw, 0..1, at the network's resolution: with the image's aspect ratio if the
            layout is ``letterbox`` (padding is cut off), otherwise square.

        Raises:
            ModelError: The inference failed, or its output is not one alpha of the input's size.
        """
        alpha = self.infer(rgb, self.input_size)
        if not self.takes_any_size or not _is_uncertain(alpha):
            return alpha
        second = self.infer(rgb, round(self.input_size * _SECOND_SCALE))
        second = _resize(second, alpha.shape[1], alpha.shape[0])
        if intersection_over_union(alpha, second) <= _LEAST_AGREEMENT:
            return alpha
        return (alpha + second) * np.float32(0.5)

    @property
    def takes_any_size(self) -> bool:
        """Whether inputs of other sizes are answered as well, and with probabilities."""
        how = self.preprocessing
        return how.layout == "letterbox" and how.output == "probability" and self._fixed is None

    def infer(self, rgb: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
        """One inference.

        Args:
            rgb: uint8 HxWx3, RGB.
            size: Longer side of the input, pixels.

        Returns:
            float32 hxw, 0..1, as from `predict`.

        Raises:
            ModelError: As from `predict`.
        """
        session = self._opened()
        tensor, (height, width) = self._to_tensor(rgb, size)
        try:
            (raw,) = session.run([self._output], {self._input: tensor})
        except Exception as error:
            raise ModelError(f"model {self.name}: inference failed ({_brief(error)})") from None
        raw = np.asarray(raw, np.float32)
        if raw.ndim == 3:
            raw = raw[:, None]
        if raw.ndim != 4 or raw.shape[2:] != tensor.shape[2:]:
            raise ModelError(
                f"model {self.name}: output of shape {raw.shape} for input {tensor.shape}; "
                "one alpha of the input's size is needed"
            )
        return self._to_alpha(np.nan_to_num(raw[0, 0, :height, :width], nan=0.0))

    def _opened(self) -> ort.InferenceSession:
        """The session, opened on first use."""
        with self._lock:
            if self._session is None:
                self._session = self._open()
            return self._session

    def _open(self) -> ort.InferenceSession:
        try:
            session = open_session(self.path, self.threads, self.device)
        except DeviceError as error:
            raise ModelError(str(error)) from None
        except Exception as error:
            raise ModelError(
                f"model {self.name}: {self.path} is not a usable ONNX file ({_brief(error)})"
            ) from None
        first = session.get_inputs()[0]
        self._input = first.name
        self._output = session.get_outputs()[0].name
        shape = first.shape
        if len(shape) != 4:
            raise ModelError(
                f"model {self.name}: input {first.name} has shape {shape}, Nx3xHxW is needed"
            )
        height, width = shape[2:]
        self._fixed = (height, width) if isinstance(height, int) and height > 0 else None
        return session

    def _to_alpha(self, alpha: NDArray[Any]) -> NDArray[np.float32]:
        """The network's output, hxw, as alpha: float32 hxw, 0..1."""
        if self.preprocessing.output == "logit":
            alpha = 1 / (1 + np.exp(-np.clip(alpha, -30, 30)))
        elif self.preprocessing.output == "minmax":
            low, high = float(alpha.min()), float(alpha.max())
            alpha = (alpha - low) / max(high - low, _LEAST_SPAN)
        return np.ascontiguousarray(np.clip(alpha, 0, 1), np.float32)

    def _to_tensor(
        self, rgb: NDArray[np.uint8], size: int
    ) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """The network's input, 1x3xHxW, and the height and width of the image within it."""
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
        if full != inner:
            small = cv2.copyMakeBorder(
                small, 0, full[0] - inner[0], 0, full[1] - inner[1], cv2.BORDER_REPLICATE
            )
        tensor = np.empty((1, 3, *full), np.float32)
        for plane, mean, std, out in zip(
            cv2.split(small), how.mean, how.std, tensor[0], strict=True
        ):
            np.multiply(plane, np.float32(1 / divisor), out=out)
            out -= np.float32(mean)
            out /= np.float32(std)
        return tensor, inner


def load_model(
    name_or_path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    threads: int = 1,
    device: str = "cpu",
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
) -> Network:
    """Loads a network from an embedded model or a file.

    A file's preprocessing is the one given, else what a JSON file of the same name beside it
    says, else that of the registered model of the same name.

    Args:
        name_or_path: ``catalogue``, the embedded model, or the path of an ONNX file. For public
            models' names and for URLs see `alphabeam.transforms.models.load_model`.
        sha256: Hex digest that the file must have.
        threads: Threads within one inference.
        device: Where it runs: ``cpu``, ``cuda`` and so on, see `backend.device`.
        preprocessing: What the network wants, see :class:`Preprocessing`.

    Returns:
        The network, ready to run.

    Raises:
        ModelError: No such file, wrong digest, unknown preprocessing, or not an ONNX file.
        ValueError: A value of the preprocessing or ``threads`` is out of bounds.
    """
    asked = os.fspath(name_or_path)
    model = REGISTRY.get(asked)
    if model is not None and not model.url:
        path = embedded(model.name)
    else:
        path = Path(asked).expanduser()
        if model is not None or "://" in asked or not path.is_file():
            raise ModelError(_not_a_file(asked))
    if sha256 and file_digest(path) != f"sha256:{sha256.lower()}":
        raise ModelError(f"model {asked}: {path} does not have the SHA-256 {sha256}")
    if isinstance(preprocessing, Mapping):
        preprocessing = Preprocessing.from_mapping(dict(preprocessing))
    name = path.stem
    how = preprocessing or _known_preprocessing(path, name)
    return Network(path, how, name=name, threads=threads, device=device)


def _not_a_file(asked: str) -> str:
    """What to say of a model that is no file here."""
    if asked in REGISTRY or "://" in asked:
        return (
            f"model {redact(asked)}: it has to be downloaded; "
            "load it with alphabeam.transforms.models.load_model"
        )
    return f"model {asked}: no such file, and not one of {', '.join(REGISTRY)}"


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


def _rebuild(
    path: str, preprocessing: Preprocessing, name: str, threads: int, device: str
) -> Network:
    return Network(path, preprocessing, name=name, threads=threads, device=device)


def pixel_side(seen: tuple[int, ...], answered: tuple[int, ...]) -> float:
    """Side of one pixel of an answer, in pixels of what was seen: of these shapes, height first."""
    return max(seen[0] / answered[0], seen[1] / answered[1])


def outline_distance(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of each pixel from the outline, where alpha crosses one half.

    Args:
        alpha: float32 hxw, 0..1.

    Returns:
        float32 hxw, in pixels, between pixel centres: at least 1.
    """
    inside = (alpha > 0.5).astype(np.uint8)
    distance: NDArray[np.float32] = np.maximum(
        cv2.distanceTransform(inside, cv2.DIST_L2, 5),
        cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5),
    )
    return distance


def _is_uncertain(alpha: NDArray[np.float32]) -> bool:
    """Whether the network is undecided about more than its outline."""
    undecided = (alpha > 0.1) & (alpha < 0.9) & (outline_distance(alpha) > _OUTLINE)
    return bool(np.count_nonzero(undecided) > _UNCERTAIN_SHARE * np.count_nonzero(alpha > 0.5))


def intersection_over_union(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Of the subjects (alpha over one half) of two answers; 1 if neither has one."""
    a, b = one > 0.5, other > 0.5
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def _resize(image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """Resizes by area averages if both sides shrink, bilinearly otherwise."""
    if image.shape[0] >= height and image.shape[1] >= width:
        return shrunk(image, width, height)
    resized: NDArray[Any] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized


def _brief(error: BaseException) -> str:
    """An error's message in one line of at most 160 characters."""
    return " ".join(str(error).split())[:160]
