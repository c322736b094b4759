"""Makes a row's renditions and writes them: with its cutout, or later from the stored one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alphabeam.transforms import counts
from alphabeam.transforms.errors import ErrorCode, RowError, is_out_of_memory
from alphabeam.transforms.output import Output
from alphabeam.transforms.redaction import redact
from alphabeam.transforms.renditions.plan import Planned, Renditions
from alphabeam.transforms.renditions.render import FLAGS, render
from alphabeam.transforms.renditions.subject import Subject
from alphabeam.transforms.rows import RENDITION_FAILED, MadeRendition, Row

__all__ = ["OpenRenditions", "is_complete"]

_logger = logging.getLogger(__name__)
_OURS = frozenset((*FLAGS, RENDITION_FAILED))


def is_complete(row: Row, renditions: Renditions) -> bool:
    """Whether the metadata says that all that a row is to get has been made."""
    try:
        planned = renditions.plan(row)
    except RowError:
        return False
    return _all_made(planned, row.renditions)


def _all_made(planned: Sequence[Planned], made: Sequence[MadeRendition]) -> bool:
    return len(planned) == len(made) and all(
        one.is_made(other) for one, other in zip(planned, made, strict=True)
    )


class OpenRenditions:
    """What makes renditions in one process.

    A rendition that cannot be made costs no row: what was matted stays finished. Its record says
    why, the row has the flag ``rendition_failed``, and the next run tries again.

    Args:
        renditions: The job's.
        output: The job's output.
        run_id: The run's name.
    """

    def __init__(self, renditions: Renditions, output: Output, run_id: str) -> None:
        self._renditions = renditions
        self._output = output
        self._run_id = run_id
        self._backgrounds = renditions.backgrounds()

    def make(self, row: Row, rgba: NDArray[np.uint8] | None, alpha: NDArray[np.uint8]) -> Row:
        """A finished row with all its renditions.

        Args:
            row: The row.
            rgba: Its cutout, uint8 HxWx4, straight alpha; None where only the mask was made.
            alpha: Its mask, uint8 HxW.
        """
        try:
            planned = self._due(row)
        except RowError as error:
            return self._without(row, error)
        return self._made(row, planned, {}, rgba, alpha)

    def complete(self, row: Row) -> Row:
        """A finished row with what was missing of its renditions made from its stored cutout.

        Returns:
            The row itself if nothing was missing.
        """
        try:
            planned = self._due(row)
            there = self._there(planned, row.renditions)
            if _is_whole(planned, there, row):
                return row
            rgba = alpha = None
            if len(there) < len(planned):
                rgba, alpha = self._stored(row)
        except Exception as error:
            return self._without(row, error)
        return self._made(row, planned, there, rgba, alpha)

    def has_all(self, row: Row) -> bool:
        """Whether `complete` would give a row itself."""
        try:
            planned = self._due(row)
            return _is_whole(planned, self._there(planned, row.renditions), row)
        except Exception:  # which `complete` meets too, and says why
            return False

    def _due(self, row: Row) -> tuple[Planned, ...]:
        """What a row is to get: nothing, where nothing is visible that could be shown."""
        planned = self._renditions.plan(row)
        return () if "empty" in row.flags else planned

    def _there(
        self, planned: Sequence[Planned], made: Sequence[MadeRendition]
    ) -> dict[str, MadeRendition]:
        """Records of what was made before, and is in the store in the size that it had."""
        found: dict[str, MadeRendition] = {}
        for one in planned:
            record = next((other for other in made if one.is_made(other)), None)
            if record is None:
                continue
            try:
                size = self._output.size_of(record.uri)
            except RowError as error:
                if error.code is not ErrorCode.NOT_FOUND:
                    raise
                continue
            if size in (None, record.bytes):
                found[record.name] = record
        return found

    def _stored(self, row: Row) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]:
        """The cutout, if there is one, and the mask of a finished row."""
        name, sha256 = row.cutout, row.cutout_sha256
        if name is None:
            name, sha256 = row.mask, row.mask_sha256
        assert name is not None
        data = self._output.read(self._output.uri(name))
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            raise RowError(
                ErrorCode.NOT_FOUND,
                f"{name} is not what was written: delete it, and the next run makes it again",
            )
        pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if row.cutout is None:
            return None, pixels
        rgba = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
        return rgba, rgba[..., 3]

    def _made(
        self,
        row: Row,
        planned: Sequence[Planned],
        there: dict[str, MadeRendition],
        rgba: NDArray[np.uint8] | None,
        alpha: NDArray[np.uint8] | None,
    ) -> Row:
        subjects: dict[bool, Subject] = {}
        records: list[MadeRendition] = []
        for one in planned:
            record = there.get(one.rendition.name)
            if record is None:
                assert alpha is not None
                record = self._one(one, rgba, alpha, subjects)
                if record.error:
                    _logger.warning("row %s: rendition %s: %s", row.id, record.name, record.error)
            records.append(record)
        return _flagged(row._replace(renditions=tuple(records)))

    def _one(
        self,
        planned: Planned,
        rgba: NDArray[np.uint8] | None,
        alpha: NDArray[np.uint8],
        subjects: dict[bool, Subject],
    ) -> MadeRendition:
        rendition = planned.rendition
        record = MadeRendition(
            rendition.name, rendition.preset, key=planned.key, run_id=self._run_id
        )
        try:
            shadow = rendition.shadow == "keep"
            if shadow not in subjects:
                if rgba is None:
                    rgba = np.dstack([np.zeros((*alpha.shape, 3), np.uint8), alpha])
                subjects[shadow] = Subject(rgba, shadow=shadow)
            image = self._backgrounds.pixels(rendition.parsed_background.uri)
            made = render(subjects[shadow], rendition, image, planned.name)
            self._output.put(self._output.uri(planned.name), made.data)
        except Exception as error:
            return record._replace(error=_reason(error))
        counts.add("renditions_written", 1)
        counts.add("bytes_written", len(made.data))
        return record._replace(
            uri=planned.name,
            width=made.width,
            height=made.height,
            bytes=len(made.data),
            sha256=hashlib.sha256(made.data).hexdigest(),
            box=made.box,
            scale=made.scale,
            quality=made.quality,
            flags=made.flags,
            violations=tuple(map(str, made.violations)),
        )

    def _without(self, row: Row, error: Exception) -> Row:
        """A finished row none of whose renditions can be made."""
        reason = _reason(error)
        _logger.warning("row %s: no renditions: %s", row.id, reason)
        return _flagged(
            row._replace(
                renditions=tuple(
                    MadeRendition(one.name, one.preset, error=reason, run_id=self._run_id)
                    for one in self._renditions.renditions
                )
            )
        )


def _is_whole(planned: Sequence[Planned], there: Mapping[str, MadeRendition], row: Row) -> bool:
    return len(there) == len(planned) and _all_made(planned, row.renditions)


def _flagged(row: Row) -> Row:
    """The row with the flags of its renditions, and none of earlier ones."""
    flags = [flag for flag in row.flags if flag not in _OURS]
    found = {flag for one in row.renditions for flag in one.flags}
    if any(one.error for one in row.renditions):
        found.add(RENDITION_FAILED)
    return row._replace(flags=(*flags, *sorted(found)))


def _reason(error: Exception) -> str:
    """One line; of what was not foreseen, its kind too."""
    if isinstance(error, RowError):
        text = error.message
    elif is_out_of_memory(error):
        text = "there was too little memory for it"
    elif isinstance(error, ValueError):
        text = str(error)
    else:
        _logger.error("unforeseen error in a rendition", exc_info=error)
        text = f"{type(error).__name__}: {error}"
    return redact(" ".join(text.split()))[:500]
