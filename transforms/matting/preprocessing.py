"""How an image becomes a network's input, and its output alpha."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

__all__ = ["Preprocessing"]

Layout = Literal["letterbox", "stretch"]
Scale = Literal["255", "max"]
Output = Literal["probability", "logit", "minmax"]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input, and its output alpha.

    Attributes:
        input_size: Side of the network's input in pixels (the longer one, if letterboxed).
        multiple: Both sides of the input are multiples of it.
        layout: ``letterbox`` keeps the aspect ratio and pads right and below by repeating the
            last pixel; ``stretch`` resizes every image to a square.
        mean: Subtracted from the channels R, G, B after scaling.
        std: Divides the channels after that.
        scale: ``255`` divides pixels by 255; ``max`` by the image's own maximum, as U2-Net does.
        output: ``probability`` is used as it is; ``logit`` goes through a sigmoid; ``minmax`` is
            stretched to 0..1, by at most a factor of two, so that an empty image stays empty.

    Raises:
        ValueError: A value is out of bounds; the message starts with the field's name.
    """

    input_size: int
    multiple: int = 32
    layout: Layout = "letterbox"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: Scale = "255"
    output: Output = "probability"

    def __post_init__(self) -> None:
        for name in ("input_size", "multiple"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 8192:
                raise ValueError(f"{name}: a whole number in 1..8192 is needed, got {value!r}")
        if self.input_size % self.multiple:
            raise ValueError(f"input_size: {self.input_size} is no multiple of {self.multiple}")
        for name in ("mean", "std"):
            triple = tuple(float(v) for v in getattr(self, name))
            if len(triple) != 3 or (name == "std" and min(triple) <= 0):
                raise ValueError(f"{name}: three numbers (std: above 0) are needed, got {triple!r}")
            object.__setattr__(self, name, triple)
        for name, kind in (("layout", Layout), ("scale", Scale), ("output", Output)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ValueError(f"{name}: {value!r} is not one of {', '.join(get_args(kind))}")

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Preprocessing:
        """Reads the values from a JSON or YAML mapping; unknown keys are ignored.

        Args:
            values: Holds at least ``input_size``; ``scale`` may be a number.

        Returns:
            The preprocessing.

        Raises:
            ValueError: ``input_size`` is missing, or a value is out of bounds.
        """
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        if "input_size" not in known:
            raise ValueError("input_size: missing from the model's preprocessing")
        if isinstance(known.get("scale"), (int, float)):  # 255, 255.0 and 1/255 all mean 255
            number = float(known["scale"])
            known["scale"] = "255" if number in (255.0, 1 / 255) else str(number)
        return cls(**known)
