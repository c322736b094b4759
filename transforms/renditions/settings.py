"""What a rendition is: one class of settings, and the small texts in it that have a meaning.

A rendition is a picture made from a cutout: on a canvas, over a background, in a format. Every
setting is one number or one text, so that a job file, a preset and a command line can all give it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from alphabeam.transforms.renditions.background import Background, parse_background
from alphabeam.transforms.settings import check_settings, setting, settings_of

__all__ = [
    "ALIGNMENTS",
    "MOST_PIXELS",
    "EXTENSIONS",
    "Canvas",
    "Length",
    "Margins",
    "Rendition",
    "parse_canvas",
    "parse_length",
    "parse_margins",
]

Align = Literal[
    "center",
    "top",
    "bottom",
    "left",
    "right",
    "top-left",
    "top-right",
    "bottom-left",
    "bottom-right",
    "baseline",
]
ALIGNMENTS: tuple[str, ...] = Align.__args__  # type: ignore[attr-defined]
Format = Literal["jpeg", "png", "webp", "avif", "tiff"]
EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif", "tiff": "tif"}
_LARGEST_SIDE = {"jpeg": 65_535, "png": 65_535, "webp": 16_383, "avif": 16_384, "tiff": 65_535}
MOST_PIXELS = 100_000_000
"""Of a canvas whose size is asked for: composing takes some ten bytes for each."""
_NO_ALPHA = ("jpeg",)
_LOSSY = ("jpeg", "webp", "avif")

_DEFAULT_FILL = 0.85


class Length(NamedTuple):
    """A length on a canvas: a share of it, or pixels.

    Attributes:
        pixels: Pixels of the rendition.
        share: Of the side of the canvas that it lies along, 0..1.
    """

    pixels: float = 0.0
    share: float = 0.0

    def of(self, side: float) -> float:
        """The length in pixels, given the side's."""
        return self.pixels + self.share * side


class Margins(NamedTuple):
    """Lengths that stay free on each side of a canvas."""

    top: Length = Length()
    right: Length = Length()
    bottom: Length = Length()
    left: Length = Length()


class Canvas(NamedTuple):
    """What a canvas goes by.

    Attributes:
        kind: ``pixels``, ``ratio``, ``fit`` (to the subject) or ``source`` (as the source).
        width: In pixels, or as a part of a ratio; 0 for the other kinds.
        height: Likewise.
    """

    kind: Literal["pixels", "ratio", "fit", "source"]
    width: float = 0
    height: float = 0

    @property
    def most_side(self) -> int:
        """Of a ratio: the most pixels of the longer side."""
        sides = self.width, self.height
        return int((MOST_PIXELS * max(sides) / min(sides)) ** 0.5)


@dataclass(frozen=True)
class Rendition:
    """A picture to be made of every cutout.

    Raises:
        ValueError: A value is out of bounds; the message starts with the setting's name.
    """

    name: str = setting(
        "",
        "What the rendition is called; the preset's name if empty. Letters, digits, `.`, `_`, `-`.",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$",
    )
    preset: str = setting(
        "",
        "A channel whose rules it follows, such as `amazon-main`; `run.py presets` lists them. "
        "What is set beside it goes before the preset's.",
    )
    content: Literal["product", "mask"] = setting(
        "product", "`mask`: the alpha as a grey picture, in place of the product."
    )
    format: Format = setting("jpeg", "What it is encoded as.")
    quality: int | None = setting(
        None,
        "Of JPEG, WebP and AVIF; 90 if neither it nor max_bytes is set. 100 makes WebP lossless.",
        low=1,
        high=100,
    )
    max_bytes: int | None = setting(
        None,
        "Most bytes of a file: it gets the best quality under them, up to `quality` if that is "
        "set.",
        low=1_000,
    )
    canvas: int | str = setting(
        "1:1",
        "`2000` or `1801x2600` pixels, up to 100 million in all; a ratio such as `1:1`, of which "
        "the subject's own resolution makes pixels; `fit` to the subject; `source` as the source "
        "is framed.",
    )
    min_side: int | None = setting(
        None, "Least pixels of the canvas's longer side, where it is a ratio.", low=1, high=65_535
    )
    max_side: int | None = setting(
        None,
        "Most pixels of the canvas's longer side, where it is a ratio, `fit` or `source`.",
        low=1,
        high=65_535,
    )
    fill: float | None = setting(
        None,
        "Share of the canvas that the subject takes in the direction in which it is longer, next "
        "to the canvas. 0.85 if no margin is set.",
        above=0,
        high=1,
    )
    margin: int | float | str = setting(
        "",
        "What stays free at the sides, as in CSS: one to four lengths in pixels or percent, such "
        "as `5%` or `40 40 80`. Percent are of the canvas's width at left and right, of its height "
        "above and below.",
    )
    align: Align = setting(
        "center",
        "Where the subject is put in the room that it has. `baseline`: as `bottom`, but it stands "
        "on the lowest row that is a tenth as wide as the subject, so that a lace or a label "
        "beneath lifts nothing.",
    )
    upscale: float | str = setting(
        "never", "How much larger than in its source the subject may become: `never`, or 1 to 8."
    )
    background: str = setting(
        "white",
        "`transparent`; a colour (`white`, `'#f4f4f4'`); `linear-gradient(white, '#ddd')` from top "
        "to bottom, or `radial-gradient(…)` from the middle; or an image's path or URL.",
    )
    shadow: Literal["none", "keep", "contact", "drop"] = setting(
        "none",
        "`keep`: the natural one, which `matting.keep_shadow` finds; `contact`: a soft one under "
        "the subject; `drop`: the subject's own shape, displaced.",
    )
    shadow_opacity: float = setting(0.35, "Of `contact` and `drop`.", low=0, high=1)
    shadow_blur: int | float | str = setting(
        "2%", "How soft they are: pixels, or percent of the subject's longer extent."
    )
    shadow_offset: int | float | str = setting(
        "", "To the right and down, such as `1% 2%`; by default none, and `0 1.5%` for `drop`."
    )
    sharpen: float = setting(
        0.0, "How much fine detail is raised after resampling; 0.5 is moderate.", low=0, high=3
    )
    dpi: int | None = setting(None, "The resolution that the file states.", low=1, high=9_600)
    icc: Literal["srgb", "none"] = setting(
        "srgb", "The colour profile in the file. Its colours are sRGB in any case."
    )
    file: str = setting(
        "{id}",
        "The file's name without extension: `{id}`, `{rendition}`, and any column of the "
        "manifest, such as `{sku}`.",
    )
    folder: str = setting(
        "{rendition}", "Its folder under renditions/ in the output; made as `file` is."
    )

    def __post_init__(self) -> None:
        check_settings(self)
        for one in settings_of(Rendition):
            value = getattr(self, one.name)
            if one.pattern and not re.match(one.pattern, value):
                raise ValueError(f"{one.name}: {value!r} is not of the form {one.pattern}")
        canvas = parse_canvas(self.canvas)
        margins, background = self.margins, self.parsed_background
        _ = self.upscale_limit, self.blur, self.offset
        largest = _LARGEST_SIDE[self.format]
        if max(canvas.width, canvas.height) > largest and canvas.kind == "pixels":
            raise ValueError(f"canvas: {self.format} has at most {largest} pixels a side")
        if canvas.kind == "pixels" and canvas.width * canvas.height > MOST_PIXELS:
            raise ValueError(
                f"canvas: {canvas.width} x {canvas.height} pixels are over {MOST_PIXELS}"
            )
        if canvas.kind == "ratio" and (self.min_side or 0) > canvas.most_side:
            raise ValueError(
                f"min_side: a canvas of {self.canvas} with it has over {MOST_PIXELS} pixels"
            )
        if canvas.kind in ("fit", "source") and self.fill is not None:
            raise ValueError(f"fill: it is of no use with canvas: {canvas.kind}")
        if canvas.kind == "source" and margins is not None:
            raise ValueError("margin: it is of no use with canvas: source")
        if canvas.kind != "ratio" and self.min_side is not None:
            raise ValueError("min_side: it is for a canvas that is a ratio")
        if canvas.kind == "pixels" and self.max_side is not None:
            raise ValueError("max_side: it is of no use with a canvas in pixels")
        if (self.min_side or 0) > (self.max_side or largest):
            raise ValueError(f"min_side: {self.min_side} is over max_side {self.max_side}")
        if background.is_transparent and self.format in _NO_ALPHA and self.content == "product":
            raise ValueError(
                f"background: {self.format} cannot be transparent; use png, webp, avif or tiff"
            )
        for name in ("quality", "max_bytes"):
            if getattr(self, name) is not None and self.format not in _LOSSY:
                raise ValueError(f"{name}: {self.format} is without loss, and has none")
        if self.content == "mask" and self.shadow != "none":
            raise ValueError("shadow: a mask has none")

    @property
    def extension(self) -> str:
        """Of its files, without a point."""
        return EXTENSIONS[self.format]

    @property
    def largest_side(self) -> int:
        """Most pixels a side that its format can hold."""
        return _LARGEST_SIDE[self.format]

    @property
    def parsed_background(self) -> Background:
        """The background as a value."""
        return parse_background(self.background)

    @property
    def margins(self) -> Margins | None:
        """The margins as a value; None if none are set."""
        return parse_margins(self.margin)

    @property
    def filled(self) -> float:
        """The most that the subject may take of each side of the canvas, 0..1."""
        if self.fill is not None:
            return self.fill
        return _DEFAULT_FILL if self.margins is None else 1.0

    @property
    def upscale_limit(self) -> float:
        """The largest scale, at least 1."""
        if self.upscale == "never":
            return 1.0
        if isinstance(self.upscale, str) or not 1 <= self.upscale <= 8:
            raise ValueError(f"upscale: 'never' or a number 1..8 is needed, got {self.upscale!r}")
        return float(self.upscale)

    @property
    def blur(self) -> Length:
        """The shadow's softness."""
        return parse_length("shadow_blur", self.shadow_blur)

    @property
    def offset(self) -> tuple[Length, Length]:
        """The shadow's displacement to the right and down."""
        if self.shadow_offset == "":
            return Length(), Length(share=0.015 if self.shadow == "drop" else 0)
        parts = str(self.shadow_offset).split()
        if len(parts) not in (1, 2):
            raise ValueError(
                f"shadow_offset: one or two lengths are needed, got {self.shadow_offset!r}"
            )
        lengths = [parse_length("shadow_offset", part, negative=True) for part in parts]
        return (lengths[0], lengths[1]) if len(lengths) == 2 else (Length(), lengths[0])


def parse_canvas(value: int | str) -> Canvas:
    """A canvas from what a job file says.

    Raises:
        ValueError: It is none; the message starts with ``canvas:``.
    """
    if isinstance(value, int):
        value = str(value)
    text = value.strip().lower()
    if text in ("fit", "source"):
        return Canvas("fit" if text == "fit" else "source")
    if found := re.fullmatch(r"(\d{1,5})(?:\s*[x\u00d7]\s*(\d{1,5}))?(?:\s*px)?", text):
        width, height = int(found[1]), int(found[2] or found[1])
        if width and height:
            return Canvas("pixels", width, height)
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*[:/]\s*(\d+(?:\.\d+)?)", text):
        ratio = float(found[1]), float(found[2])
        if min(ratio) > 0 and max(ratio) / min(ratio) <= 50:
            return Canvas("ratio", *ratio)
    raise ValueError(
        f"canvas: {value!r} is no canvas; write 2000, 1801x2600, a ratio such as 3:4, fit or source"
    )


def parse_length(name: str, value: float | str, *, negative: bool = False) -> Length:
    """A length from what a job file says: ``40``, ``40px`` or ``5%``.

    Args:
        name: The setting's name, for the message.
        value: What it says.
        negative: Whether it may be below 0.

    Raises:
        ValueError: It is no length.
    """
    found = re.fullmatch(r"(-?\d{1,5}(?:\.\d+)?|-?\.\d+)(px|%)?", str(value).strip().lower())
    if not found or (found[1].startswith("-") and not negative):
        raise ValueError(f"{name}: {value!r} is no length; write 40, 40px or 5%")
    number = float(found[1])
    return Length(share=number / 100) if found[2] == "%" else Length(number)


def parse_margins(value: float | str) -> Margins | None:
    """Margins from one to four lengths, in CSS's order; None for an empty text.

    Raises:
        ValueError: They are none, or leave no room; the message starts with ``margin:``.
    """
    parts = str(value).split()
    if not parts:
        return None
    if len(parts) > 4:
        raise ValueError(f"margin: one to four lengths are needed, got {value!r}")
    lengths = [parse_length("margin", part) for part in parts]
    top = lengths[0]
    right = lengths[1] if len(lengths) > 1 else top
    bottom = lengths[2] if len(lengths) > 2 else top
    left = lengths[3] if len(lengths) > 3 else right
    if left.share + right.share >= 1 or top.share + bottom.share >= 1:
        raise ValueError(f"margin: {value!r} leaves no room for the subject")
    return Margins(top, right, bottom, left)
