"""The one row that flows from the manifest to the metadata.

``ReadManifest`` makes a `Row`, each step fills in what it knows, and ``WriteMetadata`` writes it:
there is no second type to convert to. A row that has failed stays in the same stream and later
steps pass it on unchanged, so that a linear pipeline loses nothing.

Only rows cross a shuffle. Pixels and encoded images travel as a `Picture`. It has no coder on
purpose: it lives between two fused steps only.
"""

# No postponed annotations and no `X | None` here: Beam reads a NamedTuple's annotations as they
# stand, and takes either for `Any`, which it pickles. A test holds every field to a plain type.

import collections
import functools
import hashlib
import json
import logging
import time
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Optional, TypeVar

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from alphabeam.transforms.errors import ErrorCode, RowError, is_out_of_memory
from alphabeam.transforms.limits import Limits
from alphabeam.transforms.parameters import PARAMETERS, Box, MattingParameters
from alphabeam.transforms.redaction import redact
from alphabeam.transforms.storage.uris import identity
from alphabeam.transforms.tags import Tags

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "DONE",
    "FAILED",
    "FAILURE_COLUMNS",
    "KEPT_LOCAL",
    "PENDING",
    "RENDITION_FAILED",
    "RESUBMITTED",
    "MadeRendition",
    "Picture",
    "Row",
    "local_task_uid",
    "now",
]

PENDING = "pending"
DONE = "done"
FAILED = "failed"

# The flag of a row whose task was submitted again, though an earlier one may have been billed.
RESUBMITTED = "resubmitted"

# The flag of a row whose local result was kept though it is doubtful: the API gave no other. The
# error code of the reason follows it.
KEPT_LOCAL = "kept_local"

# The flag of a row one of whose renditions could not be made; the next run tries again.
RENDITION_FAILED = "rendition_failed"

# What failures.jsonl says of a row beside the manifest's own columns. `ReadManifest` drops them.
FAILURE_COLUMNS = ("error_line", "error_stage", "error_code", "error_message")

# Any fixed UUID serves; request UUIDs derive from it and must never change between releases.
_NAMESPACE = uuid.UUID("5a9b3c1e-6f0d-5e0b-9d36-0a1f6b7c2d84")
_logger = logging.getLogger(__name__)

_BASE32HEX = "0123456789abcdefghijklmnopqrstuv"


_R = TypeVar("_R")


def _with_parameters(cls: type[_R]) -> type[_R]:
    """Adds a field for each matting parameter to a NamedTuple class, in front of ``model``.

    The parameters are defined in `alphabeam.transforms.parameters` alone. Beam reads the fields of
    a NamedTuple from its annotations, so the class is made anew with all of them.
    """
    given: Any = cls
    at = given._fields.index("model")
    names = [*given._fields[:at], *(p.name for p in PARAMETERS), *given._fields[at:]]
    types = {**given.__annotations__, **{p.name: _field_type(p.type) for p in PARAMETERS}}
    defaults = {**given._field_defaults, **{p.name: p.default for p in PARAMETERS}}
    namedtuple: Any = collections.namedtuple  # mypy wants the fields as literals
    made = namedtuple(
        given.__name__,
        names,
        defaults=[defaults[name] for name in names if name in defaults],
        module=given.__module__,
    )
    for name, member in vars(given).items():
        if name not in vars(made) or name in ("__doc__", "__qualname__"):
            setattr(made, name, member)
    made.__annotations__ = {name: types[name] for name in names}
    return typing.cast("type[_R]", made)


def _field_type(declared: Any) -> Any:
    """A parameter's type as Beam's schemas know it: text for choices, a sequence for a box."""
    if typing.get_origin(declared) is Literal:
        return str
    if declared == Optional[Box]:
        return Optional[Sequence[int]]
    return declared


class MadeRendition(NamedTuple):
    """A rendition of a row's cutout, as the metadata says it.

    Attributes:
        name: The rendition's, in the job.
        preset: The channel whose rules it follows; empty if none.
        uri: Name of its file relative to the output; empty if it could not be made.
        width: Pixels; 0 if it could not be made.
        height: Likewise.
        bytes: Size of the file.
        sha256: SHA-256 of the file, hex.
        box: The subject's box in it: left, top, right, bottom.
        scale: Of the subject, against its source.
        quality: 1..100; None where the format is without loss.
        flags: What a person should look at.
        violations: The rules of its preset that it breaks.
        error: Why it could not be made; empty if it was.
        key: What makes it the same rendition: the row's fingerprint and the settings.
        run_id: The run that made it.
    """

    name: str
    preset: str = ""
    uri: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    sha256: str = ""
    box: Sequence[int] = ()
    scale: float = 0.0
    quality: Optional[int] = None
    flags: Sequence[str] = ()
    violations: Sequence[str] = ()
    error: str = ""
    key: str = ""
    run_id: str = ""


@_with_parameters
class Row(NamedTuple):
    """One image, from manifest to metadata.

    `alphabeam.transforms.metadata` explains every column. The matting parameters are fields too,
    between ``source_version`` and ``model``; read them as ``row.parameters``.
    """

    id: str
    image: str
    status: str = PENDING
    line: int = 0
    backend: str = ""
    task_uid: str = ""
    request_uuid: str = ""
    cutout: Optional[str] = None
    mask: Optional[str] = None
    cutout_bytes: Optional[int] = None
    cutout_sha256: Optional[str] = None
    mask_bytes: Optional[int] = None
    mask_sha256: Optional[str] = None
    width: Optional[int] = None
    height: Optional[int] = None
    source_format: Optional[str] = None
    source_bytes: Optional[int] = None
    source_sha256: Optional[str] = None
    source_version: Optional[str] = None
    model: Optional[str] = None
    model_sha256: Optional[str] = None
    subject_box: Optional[Sequence[int]] = None
    coverage: Optional[float] = None
    phash: Optional[str] = None
    backdrop: Optional[str] = None
    confidence: Optional[float] = None
    local_confidence: Optional[float] = None
    doubts: Sequence[str] = ()
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
    quick_key: Optional[str] = None
    run_id: Optional[str] = None
    finished_at: Optional[Timestamp] = None
    renditions: Sequence[MadeRendition] = ()
    extra: Mapping[str, str] = {}

    @classmethod
    def of(cls, row: Any) -> "Row":
        """The row itself, or the `Row` of what a runner has decoded by the schema alone.

        A worker that decodes rows before it has imported this module knows their schema, not this
        class, and gives values with the same fields and none of the methods. So do steps of Beam
        SQL and Beam YAML.
        """
        if isinstance(row, cls):
            return row
        return cls(**{name: getattr(row, name) for name in cls._fields if hasattr(row, name)})

    @property
    def parameters(self) -> MattingParameters:
        """The row's matting parameters as one value."""
        values = {p.name: getattr(self, p.name) for p in PARAMETERS}
        if values["box"] is not None:
            values["box"] = tuple(values["box"])
        return MattingParameters(**values)

    def with_parameters(self, parameters: MattingParameters) -> "Row":
        """This row with other matting parameters."""
        return self._replace(**{p.name: getattr(parameters, p.name) for p in PARAMETERS})

    def failed(self, stage: str, error: BaseException) -> "Row":
        """This row as a failure of ``stage``; an unforeseen exception becomes ``internal``."""
        if isinstance(error, RowError):
            code, message = error.code, error.message
        elif is_out_of_memory(error):
            code = ErrorCode.OUT_OF_MEMORY
            message = (
                "there was too little memory for this image; lower engine.pixels_in_flight or "
                "engine.threads, refuse such images by input.max_pixels, or use a larger machine"
            )
        else:
            _logger.error("row %s: unforeseen error in %s", self.id, stage, exc_info=error)
            code, message = ErrorCode.INTERNAL, f"{type(error).__name__}: {error}"
        return self._replace(
            status=FAILED,
            error_stage=stage,
            error_code=code.value,
            error_message=redact(" ".join(message.split()))[:1000],
            finished_at=now(),
        )

    def fingerprinted(
        self, backend: str, model: str | None, model_sha256: str | None, method: str = ""
    ) -> "Row":
        """This row with the two keys under which its result is found again.

        The *fingerprint* is what makes the result the same result: the source's bytes, by their
        SHA-256, the parameters, the backend, the model's digest and the method beside it. It is
        None until the source is read. The *quick key* saves the read: it has the URI without
        signatures and users, and the version that the store gives, in place of the bytes. It is
        None where the store gives no version. Neither depends on the row's id or on its place in
        the manifest.
        """
        own = tuple(getattr(self, p.name) for p in PARAMETERS)
        try:
            work = _work(backend, model_sha256, method, own)
        except TypeError:  # a box may be a list
            work = _work.__wrapped__(backend, model_sha256, method, own)
        fingerprint = _key(["content", self.source_sha256], work) if self.source_sha256 else None
        quick = None
        if self.source_version:
            # The same as the fingerprint of version 0.1, whose ledgers are found by it.
            quick = _key([identity(self.image), self.source_version], work)
        task_uid = local_task_uid(fingerprint) if backend == "local" and fingerprint else ""
        return self._replace(
            backend=backend,
            model=model,
            model_sha256=model_sha256,
            fingerprint=fingerprint,
            quick_key=quick,
            request_uuid=str(uuid.uuid5(_NAMESPACE, fingerprint)) if fingerprint else "",
            task_uid=self.task_uid or task_uid,
        )


_FIRST = sorted(p.name for p in PARAMETERS if not p.late)
_LATE = sorted((p.name, p.default) for p in PARAMETERS if p.late)


_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@functools.lru_cache(maxsize=256)  # most rows of a manifest have the same
def _work(
    backend: str, model_sha256: Optional[str], method: str, parameters: tuple[Any, ...]
) -> str:
    """What is done to a source, as a part of the keys: JSON, without the bracket before it."""
    values = {p.name: value for p, value in zip(PARAMETERS, parameters, strict=True)}
    work: list[Any] = [backend, model_sha256, method, [values[name] for name in _FIRST]]
    # A parameter that came later changes no fingerprint while it has its default.
    late = [[name, values[name]] for name, default in _LATE if values[name] != default]
    if late:
        work.append(late)
    return _encode(work)[1:]


def _key(source: list[Any], work: str) -> str:
    text = f"{_encode(source)[:-1]},{work}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


beam.coders.registry.register_coder(MadeRendition, beam.coders.RowCoder)
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


@dataclass
class Picture:
    """An image on its way through one fused stage.

    Attributes:
        row: What is known of it so far.
        data: The source's bytes, encoded; dropped once the backend is done with them.
        limits: Within which they are decoded.
        alpha: The result's mask, uint8, H x W; None before the backend, and where it failed.
        tags: What the source says beside its pixels.
        rgba: The result's cutout, uint8, H x W x 4, straight alpha; None where only the mask was
            asked for.
        preview: The source made small, uint8, h x w x 3, for the report; None before the backend.
    """

    row: Row
    data: bytes = b""
    limits: Limits = Limits()
    tags: Tags = Tags()
    alpha: "np.ndarray | None" = None
    rgba: "np.ndarray | None" = None
    preview: "np.ndarray | None" = None
