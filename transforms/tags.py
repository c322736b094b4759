"""`Tags`: what a picture file says beside its pixels, as far as it goes out again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["Tags"]


@dataclass(frozen=True)
class Tags:
    """What a file says beside its pixels; of an upright sRGB picture.

    Attributes:
        dpi: Resolution across and down, in pixels per inch.
        exif: An EXIF block, without a marker.
        xmp: An XMP packet.
        icc: A colour profile; None where the file names sRGB otherwise, or nothing.
    """

    dpi: tuple[float, float] | None = None
    exif: bytes | None = field(default=None, repr=False)
    xmp: bytes | None = field(default=None, repr=False)
    icc: bytes | None = field(default=None, repr=False)

    def kept(self, metadata: Literal["keep", "drop"]) -> Tags:
        """These tags, or the resolution alone."""
        return self if metadata == "keep" else replace(self, exif=None, xmp=None)
