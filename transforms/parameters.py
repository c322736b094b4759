"""The matting parameters, as the PICPIK API names them and the local core understands them.

One frozen value that flows from the manifest to whichever backend does the work. It knows
nothing of Beam, ONNX or HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["Box", "HairOptimization", "MattingParameters"]

Box = tuple[int, int, int, int]
HairOptimization = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class MattingParameters:
    """What a user may say about one image.

    Attributes:
        box: The main object's box in pixels of the upright image: left, top, right, bottom;
            right and bottom exclusive. None means the whole picture.
        erode_size: Least width of the unknown band, in pixels of the image, 0..40.
        foreground_threshold: Coarse alpha above it is surely subject, 0..255.
        background_threshold: Coarse alpha below it is surely background, 0..255.
        hair_optimization: ``on`` solves a wide band, ``off`` a thin one, ``auto`` decides
            per image.
        only_mask: Produce the mask alone, no cutout.
        keep_shadow: Local backend only: keep contact shadows as black with alpha.

    Raises:
        ValueError: A value is out of bounds; the message starts with the field's name.
    """

    box: Box | None = None
    erode_size: int = 15
    foreground_threshold: int = 240
    background_threshold: int = 15
    hair_optimization: HairOptimization = "auto"
    only_mask: bool = False
    keep_shadow: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (
            ("erode_size", 0, 40),
            ("foreground_threshold", 0, 255),
            ("background_threshold", 0, 255),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{name}: a whole number is needed, got {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{name}: {value} is outside {low}..{high}")
        if self.background_threshold >= self.foreground_threshold:
            raise ValueError(
                f"background_threshold: {self.background_threshold} must be under "
                f"foreground_threshold {self.foreground_threshold}"
            )
        if self.hair_optimization not in get_args(HairOptimization):
            raise ValueError(
                f"hair_optimization: {self.hair_optimization!r} is not one of auto, on, off"
            )
        if self.box is not None:
            if len(self.box) != 4 or any(
                isinstance(v, bool) or not isinstance(v, int) for v in self.box
            ):
                raise ValueError(
                    f"box: four whole numbers left,top,right,bottom are needed, got {self.box!r}"
                )
            left, top, right, bottom = self.box
            if left < 0 or top < 0 or right <= left or bottom <= top:
                raise ValueError(
                    f"box: {self.box!r} is empty or negative; "
                    "left < right and top < bottom are needed"
                )
