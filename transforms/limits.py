"""What is refused before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAX_PIXELS", "Limits"]

# Pillow refuses over 178 956 970 pixels by itself (twice its MAX_IMAGE_PIXELS); ours stay under.
MAX_PIXELS = 178_000_000


@dataclass(frozen=True)
class Limits:
    """What is refused before it is decoded.

    Attributes:
        max_pixels: Largest width times height, up to 178 million.
        max_bytes: Largest encoded size in bytes.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 100_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= MAX_PIXELS:
            raise ValueError(f"max_pixels: {self.max_pixels} is outside 1..{MAX_PIXELS}")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes: {self.max_bytes} must be at least 1")
