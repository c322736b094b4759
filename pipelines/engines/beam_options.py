"""Beam's options: which there are, and how they are written on a command line."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

__all__ = ["arguments_of", "known_options"]


@functools.cache
def _options() -> dict[str, bool]:
    """All options of this Beam without dashes, and whether each is a flag."""
    found = _Collector()
    for cls in _subclasses(PipelineOptions):
        if "_add_argparse_args" in vars(cls):
            cls._add_argparse_args(found)
    return found.options


def known_options() -> frozenset[str]:
    """The names of all options of this Beam, without dashes."""
    return frozenset(_options())


def arguments_of(options: Mapping[str, Any]) -> list[str]:
    """Options by name as arguments.

    Args:
        options: True gives the bare option, or its value true; False and None none; a list the
            option several times; a mapping its JSON.

    >>> arguments_of({"labels": ["a=1", "b=2"], "streaming": True, "dry_run": True})
    ['--labels=a=1', '--labels=b=2', '--streaming', '--dry_run=true']
    """
    return [argument for name, value in options.items() for argument in _argument(name, value)]


def _argument(name: str, value: Any) -> Iterator[str]:
    if value is True:
        yield f"--{name}" if _options().get(name, True) else f"--{name}=true"
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _argument(name, item)
    elif isinstance(value, Mapping):
        yield f"--{name}={json.dumps(value, sort_keys=True)}"
    elif value is not None and value is not False:
        yield f"--{name}={value}"


class _Collector:
    """A parser for Beam's classes, which keeps the options' names.

    Attributes:
        options: By name; whether each stands without a value.
    """

    def __init__(self) -> None:
        self.options: dict[str, bool] = {}

    def add_argument(self, *names: str, action: Any = "store", **_: Any) -> None:
        flag = action in ("store_true", "store_false")
        self.options.update({name.lstrip("-"): flag for name in names if name.startswith("--")})

    def add_value_provider_argument(self, *names: str, **given: Any) -> None:
        self.add_argument(*names, **given)

    def add_mutually_exclusive_group(self, **_: Any) -> _Collector:
        return self

    add_argument_group = add_mutually_exclusive_group

    def set_defaults(self, **_: Any) -> None:
        pass


def _subclasses(cls: type) -> Iterator[Any]:
    one: type
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)
