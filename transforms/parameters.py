"""The matting parameters: the one place that defines them.

`MattingParameters` is the value that flows from the manifest to whichever backend does the work.
Each field is written with `setting`. Everything else that knows the parameters is derived from
`PARAMETERS`: the section ``matting`` of the job file, the manifest's columns, the fields of `Row`,
the columns of the metadata, the record of a failure, the API's field names and the table in the
documentation. This module imports no Beam, no ONNX Runtime and no HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alphabeam.transforms.settings import Setting, check_settings, setting, settings_of

__all__ = ["PARAMETERS", "Box", "HairOptimization", "MattingParameters", "OwnAlpha"]

Box = tuple[int, int, int, int]
HairOptimization = Literal["auto", "on", "off"]
OwnAlpha = Literal["keep", "refine", "ignore"]
_LARGEST_SIDE = 2**31 - 1  # what the metadata's int32 columns hold


@dataclass(frozen=True, slots=True)
class MattingParameters:
    """What a user may say about one image.

    Raises:
        ValueError: A value is out of bounds; the message starts with the field's name.
    """

    box: Box | None = setting(
        None,
        "The main object's box in pixels of the upright image: left, top, right, bottom; right "
        "and bottom are exclusive. Everything outside is background.",
        api="Box",
        listed=False,  # one box for all images of a job makes no sense
    )
    erode_size: int = setting(
        15,
        "Least width of the band whose alpha is solved for, in pixels of the image.",
        low=0,
        high=40,
        api="ErodeSize",
    )
    foreground_threshold: int = setting(
        240,
        "Coarse alpha above it is surely foreground.",
        low=0,
        high=255,
        api="ForegroundThreshold",
    )
    background_threshold: int = setting(
        15,
        "Coarse alpha below it is surely background.",
        low=0,
        high=255,
        api="BackgroundThreshold",
    )
    hair_optimization: HairOptimization = setting(
        "auto",
        "`on` solves a wide band, `off` a thin one, `auto` decides per image.",
        api="HairOptimization",
    )
    only_mask: bool = setting(False, "Write the mask alone, no cutout.", api="OnlyMask")
    keep_shadow: bool = setting(
        False, "Keep contact shadows, as black with alpha. Local backend only."
    )
    own_alpha: OwnAlpha = setting(
        "keep",
        "What the alpha is for that a picture comes with: `keep` takes it as the result, `refine` "
        "lets the backend cut out more, `ignore` passes over it. Where all of the picture is "
        "opaque, the backend decides.",
        late=True,
    )

    remove_background: bool = setting(
        True,
        "`false` says that all of the picture is the product (a swatch, a cover, wallpaper): it "
        "is opaque everywhere, nothing is cut out, and nothing is bought. A box still bounds it.",
        late=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.background_threshold >= self.foreground_threshold:
            raise ValueError(
                f"background_threshold: {self.background_threshold} must be under "
                f"foreground_threshold {self.foreground_threshold}"
            )
        if self.box is not None:
            _check_box(self.box)

    def api_fields(self) -> dict[str, object]:
        """The values under the PICPIK API's names; a parameter without a value is left out."""
        return {
            one.api: list(value) if isinstance(value, tuple) else value
            for one in PARAMETERS
            if one.api and (value := getattr(self, one.name)) is not None
        }


def _check_box(box: Box) -> None:
    if len(box) != 4 or any(isinstance(v, bool) or not isinstance(v, int) for v in box):
        raise ValueError(f"box: four whole numbers left,top,right,bottom are needed, got {box!r}")
    left, top, right, bottom = box
    if left < 0 or top < 0 or right <= left or bottom <= top:
        raise ValueError(
            f"box: {box!r} is empty or negative; left < right and top < bottom are needed"
        )
    if max(box) > _LARGEST_SIDE:
        raise ValueError(f"box: {box!r} is larger than any image; the most is {_LARGEST_SIDE}")


PARAMETERS: tuple[Setting, ...] = settings_of(MattingParameters)
