"""What is refused before it is decoded, and what is done with damage and slow sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MAX_PIXELS", "Limits"]

# Pillow refuses over 178 956 970 pixels by itself (twice its MAX_IMAGE_PIXELS); ours stay under.
MAX_PIXELS = 178_000_000


@dataclass(frozen=True)
class Limits:
    """What is refused.

    Attributes:
        max_pixels: Largest width times height, up to 178 million.
        max_bytes: Largest encoded size in bytes.
        max_decode_seconds: A picture whose decoding would take longer, by an estimate from its
            header, is refused.
        damaged: ``fail`` refuses a picture whose data are damaged or missing in part; ``flag``
            takes what is left of a JPEG or PNG.
        read_timeout: Seconds in which a source must be there, with all retries and waits.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 100_000_000
    max_decode_seconds: float = 60.0
    damaged: Literal["fail", "flag"] = "fail"
    read_timeout: float = 600.0

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= MAX_PIXELS:
            raise ValueError(f"max_pixels: {self.max_pixels} is outside 1..{MAX_PIXELS}")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes: {self.max_bytes} must be at least 1")
        if self.max_decode_seconds <= 0:
            raise ValueError(f"max_decode_seconds: {self.max_decode_seconds} must be above 0")
        if self.read_timeout <= 0:
            raise ValueError(f"read_timeout: {self.read_timeout} must be above 0")
        if self.damaged not in ("fail", "flag"):
            raise ValueError(f"damaged: {self.damaged!r} is not one of fail, flag")
