"""``RemoveBackground``: picks the backend, and fills in each picture's matte.

The work itself is elsewhere: `transforms.matting` for the local backend, `transforms.picpik` for
the API. Both take a `Picture` and give it back with its matte, or with its row failed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import apache_beam as beam
import cv2
from apache_beam.utils.shared import Shared

from transforms.errors import ErrorCode, RowError
from transforms.images import Limits, decode
from transforms.overlap import OverlappedDoFn
from transforms.records import PENDING, Picture, Row

if TYPE_CHECKING:
    from transforms.matting import MattingCore

__all__ = ["LocalBackend", "RemoveBackground", "remove_locally"]


@dataclass(frozen=True)
class LocalBackend:
    """The local matting core.

    Attributes:
        model: A registered model's name (``catalogue`` is the embedded one), a path or a URL.
        sha256: What the model file must hash to, in hex.
        accept_license: Needed for models whose licence forbids commercial use.
        threads: Images at work at once in one process; 0 for as many as cores.
        pixels_in_flight: Most pixels of decoded images in one process at once. The core needs
            about 12 bytes for each byte of the image, so 64 million are about 2 GB.
    """

    model: str = "catalogue"
    sha256: str | None = None
    accept_license: bool = False
    threads: int = 0
    pixels_in_flight: int = 64_000_000
    _shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def core(self) -> MattingCore:
        """The core of this process, built on first use: one ONNX session, whoever asks.

        Raises:
            ModelError: The model cannot be had.
        """
        return self._shared.acquire(self._load)

    def _load(self) -> MattingCore:
        from transforms.matting import MattingCore

        return MattingCore(
            self.model, sha256=self.sha256, accept_license=self.accept_license, threads=1
        )

    def fingerprinted(self, row: Row) -> Row:
        """The row with the fingerprint that its result by this backend has."""
        core = self.core()
        return row.fingerprinted("local", core.model_name, core.model_sha256)


def remove_locally(picture: Picture, core: MattingCore, limits: Limits | None = None) -> Picture:
    """Removes one picture's background with the local core.

    Args:
        picture: A pending one, with its bytes.
        core: The core.
        limits: What not to decode.

    Returns:
        The same picture with its matte and without its bytes and pixels, or with its row failed.
    """
    row = picture.row.fingerprinted("local", core.model_name, core.model_sha256)
    stage = "read"
    began = time.perf_counter()
    try:
        pixels = decode(picture.data, limits)
        picture.data = b""
        decoded = time.perf_counter()
        row = row._replace(read_ms=(row.read_ms or 0) + 1000 * (decoded - began))
        stage, began = "remove", decoded
        _check_box(row.box, row.width or 0, row.height or 0)
        matte = core.remove(pixels, row.parameters)
        picture.matte = matte
        row = row._replace(
            subject_box=matte.subject_box,
            coverage=float(matte.coverage),
            confidence=float(matte.confidence),
            flags=tuple(matte.flags),
            remove_ms=1000 * (time.perf_counter() - began),
            attempts=row.attempts + 1,
        )
    except Exception as error:
        row = row.failed(stage, error)
    picture.row, picture.data, picture.pixels = row, b"", None
    return picture


def _check_box(box: object, width: int, height: int) -> None:
    if not isinstance(box, (list, tuple)):
        return
    left, top, right, bottom = box
    if left >= width or top >= height:
        raise RowError(
            ErrorCode.BOX_OUTSIDE,
            f"the box {left},{top},{right},{bottom} lies outside the {width} x {height} picture",
        )


class RemoveBackground(beam.PTransform):
    """Removes backgrounds: `Picture` in, `Picture` with its matte out, in order.

    Pictures whose row has failed or is done pass through.

    Args:
        backend: Who does the work; by default the embedded model on this machine.
        limits: What not to decode; the same as given to ``ReadImages``.
    """

    def __init__(
        self, backend: LocalBackend | None = None, *, limits: Limits | None = None
    ) -> None:
        super().__init__()
        self._backend = backend or LocalBackend()
        self._limits = limits or Limits()

    def expand(self, pictures: beam.PCollection) -> beam.PCollection:
        """Builds the step."""
        return pictures | "Matting" >> beam.ParDo(_RemoveLocallyFn(self._backend, self._limits))


class _RemoveLocallyFn(OverlappedDoFn):
    def __init__(self, backend: LocalBackend, limits: Limits) -> None:
        super().__init__(threads=backend.threads, capacity=backend.pixels_in_flight)
        self._backend = backend
        self._limits = limits
        self._core: MattingCore | None = None

    def setup(self) -> None:
        # This step's own threads fill the cores; OpenCV's on top of them would only contend.
        cv2.setNumThreads(1)
        self._core = self._backend.core()
        super().setup()

    def weigh(self, picture: Picture) -> int:
        if picture.row.status != PENDING:
            return 0
        return (picture.row.width or 0) * (picture.row.height or 0)

    def work(self, picture: Picture) -> Picture:
        if picture.row.status != PENDING:
            return picture
        assert self._core is not None
        return remove_locally(picture, self._core, self._limits)
