"""The one row that flows from the manifest to the metadata.

A `Row` is made by ``ReadManifest``, filled in by each step, and is at last the metadata's row:
there is no second type to convert to. A row that has failed rides along in the same stream,
untouched by later steps, so that a linear pipeline loses nothing.

Only rows cross a shuffle. Pixels and encoded images travel as a `Picture`, which has no coder on
purpose and lives between two fused steps only.
"""

# No postponed annotations and no `X | None` here: Beam reads a NamedTuple's annotations as they
# stand, and takes either for `Any`, which it pickles. A test holds every field to a plain type.

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Optional

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.parameters import MattingParameters

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DONE", "FAILED", "PENDING", "Picture", "Row", "local_task_uid"]

PENDING = "pending"
DONE = "done"
FAILED = "failed"

# Any fixed UUID serves; request UUIDs derive from it and must never change between releases.
_NAMESPACE = uuid.UUID("5a9b3c1e-6f0d-5e0b-9d36-0a1f6b7c2d84")
_BASE32HEX = "0123456789abcdefghijklmnopqrstuv"


class Row(NamedTuple):
    """One image, from manifest to metadata. See `alphabeam.transforms.metadata` for the columns."""

    id: str
    image: str
    status: str = PENDING
    line: int = 0
    backend: str = ""
    task_uid: str = ""
    request_uuid: str = ""
    cutout: Optional[str] = None
    mask: Optional[str] = None
    width: Optional[int] = None
    height: Optional[int] = None
    source_format: Optional[str] = None
    source_bytes: Optional[int] = None
    source_sha256: Optional[str] = None
    source_version: Optional[str] = None
    box: Optional[Sequence[int]] = None
    erode_size: int = 15
    foreground_threshold: int = 240
    background_threshold: int = 15
    hair_optimization: str = "auto"
    only_mask: bool = False
    keep_shadow: bool = False
    model: Optional[str] = None
    model_sha256: Optional[str] = None
    subject_box: Optional[Sequence[int]] = None
    coverage: Optional[float] = None
    confidence: Optional[float] = None
    flags: Sequence[str] = ()
    credits: Optional[int] = None
    read_ms: Optional[float] = None
    remove_ms: Optional[float] = None
    write_ms: Optional[float] = None
    attempts: int = 0
    error_stage: Optional[str] = None
    error_code: Optional[str] = None
    error_message: Optional[str] = None
    fingerprint: Optional[str] = None
    run_id: Optional[str] = None
    finished_at: Optional[Timestamp] = None
    extra: Mapping[str, str] = {}

    @property
    def parameters(self) -> MattingParameters:
        """The row's matting parameters as one value."""
        box = None if self.box is None else tuple(self.box)
        return MattingParameters(
            box=box,  # type: ignore[arg-type]
            erode_size=self.erode_size,
            foreground_threshold=self.foreground_threshold,
            background_threshold=self.background_threshold,
            hair_optimization=self.hair_optimization,  # type: ignore[arg-type]
            only_mask=self.only_mask,
            keep_shadow=self.keep_shadow,
        )

    def failed(self, stage: str, error: BaseException) -> "Row":
        """This row as a failure of ``stage``; an unforeseen exception becomes ``internal``."""
        if isinstance(error, RowError):
            code, message = error.code, error.message
        else:
            code, message = ErrorCode.INTERNAL, f"{type(error).__name__}: {error}"
        return self._replace(
            status=FAILED,
            error_stage=stage,
            error_code=code.value,
            error_message=" ".join(message.split())[:1000],
            finished_at=now(),
        )

    def fingerprinted(
        self, backend: str, model: str | None, model_sha256: str | None, method: str = ""
    ) -> "Row":
        """This row with what makes its result the same result, and the ids derived from it.

        The fingerprint covers the URI, the source's version, the parameters, the backend, the
        model's digest and the method beside it; the position in the manifest and the row's id do
        not matter.
        """
        parameters = self.parameters
        identity = [
            self.image,
            self.source_version,
            backend,
            model_sha256,
            method,
            [getattr(parameters, name) for name in sorted(parameters.__slots__)],
        ]
        text = json.dumps(identity, ensure_ascii=True, separators=(",", ":"))
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self._replace(
            backend=backend,
            model=model,
            model_sha256=model_sha256,
            fingerprint=fingerprint,
            request_uuid=str(uuid.uuid5(_NAMESPACE, fingerprint)),
            task_uid=self.task_uid or (local_task_uid(fingerprint) if backend == "local" else ""),
        )


beam.coders.registry.register_coder(Row, beam.coders.RowCoder)


def now() -> Timestamp:
    """The wall clock, to the microsecond."""
    return Timestamp(micros=time.time_ns() // 1000)


def local_task_uid(fingerprint: str) -> str:
    """A TaskUID of PICPIK's form for work done locally: the same work, the same TaskUID.

    Returns:
        20 lower-case base32hex characters.
    """
    number = int.from_bytes(hashlib.sha256(f"task:{fingerprint}".encode()).digest(), "big")
    return "".join(_BASE32HEX[number >> 5 * i & 31] for i in range(20))


@dataclass(slots=True)
class Picture:
    """An image on its way through one fused stage.

    Attributes:
        row: What is known of it so far.
        data: The source's bytes, encoded; dropped once the backend is done with them.
        alpha: The result's mask, uint8, H x W; None before the backend, and where it failed.
        rgba: The result's cutout, uint8, H x W x 4, straight alpha; None where only the mask was
            asked for.
    """

    row: Row
    data: bytes = b""
    alpha: "np.ndarray | None" = None
    rgba: "np.ndarray | None" = None
