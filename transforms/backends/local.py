"""The local backend: the matting core of `alphabeam.transforms.matting`, one session a process."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
from apache_beam.utils.shared import Shared

from alphabeam.transforms.backends.settings import LocalSettings
from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.images import decode_fully
from alphabeam.transforms.matting import BoxOutsideError, MattingCore, ModelError, Preprocessing
from alphabeam.transforms.models import load_model
from alphabeam.transforms.rows import Picture, Row
from alphabeam.transforms.storage import StorageOptions
from alphabeam.transforms.thumbnails import preview_of

__all__ = ["LocalBackend", "remove_locally"]

# Part of every fingerprint: raise it when the core gives other results for the same model, and
# finished images are done again.
_REVISION = 19


@dataclass(frozen=True)
class LocalBackend(LocalSettings):
    """The local matting core; `LocalSettings` has what a job file may set.

    Attributes:
        threads: Images at work at once in one process; 0 for as many as cores.
        pixels_in_flight: Most pixels of decoded images in one process at once. The core needs
            about 12 bytes for each byte of the image, so 64 million are about 2 GB.
        storage_options: Options per protocol, for a model by URL.
    """

    threads: int = 0
    pixels_in_flight: int = 64_000_000
    storage_options: StorageOptions | None = field(default=None, hash=False)
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    @property
    def depth(self) -> int:
        """Images in the step's bounded pool; 0 for twice the threads."""
        return 0

    @property
    def throttled_seconds(self) -> float:
        """Nothing holds the local backend back."""
        return 0.0

    @property
    def second(self) -> None:
        """No other backend follows."""

    def core(self) -> MattingCore:
        """The core of this process, built on first use: one ONNX session, whoever asks.

        Raises:
            ModelError: The model cannot be had.
        """
        core: MattingCore = self._shared.acquire(self._load)
        return core

    def _load(self) -> MattingCore:
        network = load_model(
            self.model,
            sha256=self.model_sha256,
            accept_license=self.accept_license,
            preprocessing=self.preprocessing,
            device=self.device,
            options=self.storage_options,
        )
        return MattingCore(network, quality=self.quality)

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its result by this backend has."""
        return _fingerprinted(row, self.core())

    def open(self) -> Callable[[Picture], Picture]:
        """What does the work on this worker; called once a process and step."""
        # The step's own threads fill the cores; OpenCV's on top of them would only contend.
        cv2.setNumThreads(1)
        core = self.core()
        return lambda picture: remove_locally(picture, core)


def remove_locally(picture: Picture, core: MattingCore) -> Picture:
    """Removes one picture's background with the local core.

    Args:
        picture: A pending one, with its bytes.
        core: The core.

    Returns:
        The same picture with its result and without its bytes, or with its row failed.
    """
    row = _fingerprinted(picture.row, core)
    stage = "read"
    began = time.perf_counter()
    try:
        source = decode_fully(picture.data, picture.limits)
        decoded = time.perf_counter()
        row = row._replace(read_ms=(row.read_ms or 0) + 1000 * (decoded - began))
        stage, began = "remove", decoded
        try:
            matte = core.remove(source.pixels, row.parameters)
        except BoxOutsideError as error:
            raise RowError(ErrorCode.BOX_OUTSIDE, str(error)) from None
        except ModelError as error:
            raise RowError(ErrorCode.MODEL_FAILED, str(error)) from None
        picture.alpha, picture.rgba = matte.alpha, matte.rgba
        picture.preview = preview_of(source.pixels)
        row = row._replace(
            subject_box=matte.subject_box,
            coverage=float(matte.coverage),
            confidence=float(matte.confidence),
            flags=(*source.flags, *matte.flags),
            remove_ms=1000 * (time.perf_counter() - began),
            attempts=row.attempts + 1,
        )
    except Exception as error:
        row = row.failed(stage, error)
    picture.row, picture.data = row, b""
    return picture


def _fingerprinted(row: Row, core: MattingCore) -> Row:
    method = _method(getattr(core.network, "preprocessing", None))
    return row.fingerprinted("local", core.model_name, core.model_sha256, method)


@functools.lru_cache(maxsize=8)
def _method(preprocessing: Preprocessing | None) -> str:
    return f"{_REVISION} {preprocessing}"
