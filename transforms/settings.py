"""One definition of a setting: its type, default, bounds and meaning.

A settings class is a frozen dataclass whose fields are made by `setting`. From it come the checks
of its own constructor, the job file's schema, the manifest's columns, the row's fields, the Arrow
types and the tables of the documentation.

    @dataclass(frozen=True)
    class Example:
        erode_size: int = setting(15, "Least width of the band, pixels.", low=0, high=40)

        def __post_init__(self) -> None:
            check_settings(self)
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

__all__ = ["Setting", "check_settings", "setting", "settings_of"]

_T = TypeVar("_T")
_KEY = "alphabeam"


@dataclass(frozen=True)
class _Bounds:
    meaning: str
    low: float | None
    high: float | None
    above: float | None
    pattern: str | None
    api: str | None
    listed: bool
    late: bool


@dataclass(frozen=True)
class Setting:
    """One field of a settings class.

    Attributes:
        name: The field's name.
        type: Its type, such as ``int``, ``float | None`` or ``Literal["auto", "on"]``.
        default: Its default.
        meaning: One or two sentences for its user.
        low: Least value; None for no bound.
        high: Greatest value.
        above: A bound that the value must be above.
        pattern: A regular expression that a text must match.
        api: The PICPIK API's name for it; None if the API does not know it.
        listed: Whether a job file may set it.
        late: It came after the first fingerprints were made: only another value than its default
            is part of one.
    """

    name: str
    type: Any
    default: Any
    meaning: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    pattern: str | None = None
    api: str | None = None
    listed: bool = True
    late: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a ``Literal``; empty for every other type."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()

    @property
    def bounds(self) -> str:
        """The accepted values in a few words, for tables; empty where the type says it all."""
        if self.choices:
            return ", ".join(self.choices)
        if self.type is bool:
            return "true, false"
        if self.low is not None and self.high is not None:
            return f"{self.low:g}..{self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        if self.above is not None:
            return f"above {self.above:g}" + (f", to {self.high:g}" if self.high else "")
        return ""

    def check(self, value: Any) -> None:
        """Checks a value against type and bounds.

        Raises:
            ValueError: The message starts with the setting's name.
        """
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{self.name}: {value!r} is not one of {', '.join(self.choices)}")
            return
        allowed = typing.get_args(self.type) or (self.type,)
        if value is None and type(None) in allowed:
            return
        if isinstance(value, str) and str in allowed:  # a text beside a number: `fit`, `5%`
            return
        if bool in allowed and not isinstance(value, bool):
            raise ValueError(f"{self.name}: true or false is needed, got {value!r}")
        if int in allowed and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"{self.name}: a whole number is needed, got {value!r}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if float in allowed and not number:
            raise ValueError(f"{self.name}: a number is needed, got {value!r}")
        if not number:
            return
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            raise ValueError(f"{self.name}: {value} is outside {self.low:g}..{self.high:g}")
        if self.low is not None and value < self.low:
            raise ValueError(f"{self.name}: {value} must be at least {self.low:g}")
        if self.high is not None and value > self.high:
            raise ValueError(f"{self.name}: {value} must be at most {self.high:g}")
        if self.above is not None and value <= self.above:
            raise ValueError(f"{self.name}: {value} must be above {self.above:g}")


def setting(
    default: _T,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    pattern: str | None = None,
    api: str | None = None,
    listed: bool = True,
    late: bool = False,
    repr: bool = True,
    hash: bool | None = None,
) -> _T:
    """A dataclass field with what its users need to know; see `Setting` for the arguments."""
    bounds = _Bounds(meaning, low, high, above, pattern, api, listed, late)
    return dataclasses.field(default=default, metadata={_KEY: bounds}, repr=repr, hash=hash)


@functools.cache
def settings_of(cls: Any) -> tuple[Setting, ...]:
    """The settings of a class, in the order of its fields."""
    types = typing.get_type_hints(cls)
    return tuple(
        Setting(
            field.name, types[field.name], field.default, **dataclasses.asdict(field.metadata[_KEY])
        )
        for field in dataclasses.fields(cls)
        if _KEY in field.metadata
    )


def check_settings(instance: Any) -> None:
    """Checks every setting of an instance; to be called in ``__post_init__``.

    Raises:
        ValueError: The first value that is out of bounds; the message starts with its name.
    """
    for one in settings_of(instance.__class__):
        one.check(getattr(instance, one.name))
