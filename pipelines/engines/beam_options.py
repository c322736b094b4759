"""Beam's options: which there are, and how they are written on a command line."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

__all__ = ["arguments_of", "known_options"]


@functools.cache
def known_options() -> frozenset[str]:
    """The names of all options of this Beam, without dashes."""
    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    for cls in _subclasses(PipelineOptions):
        if "_add_argparse_args" in vars(cls):
            cls._add_argparse_args(_Tolerant(parser))
    return frozenset(
        name.removeprefix("--") for action in parser._actions for name in action.option_strings
    )


def arguments_of(options: Mapping[str, Any]) -> list[str]:
    """Options by name as arguments.

    Args:
        options: True gives the bare option, False and None none, a list the option several times,
            a mapping its JSON.

    >>> arguments_of({"streaming": False, "labels": ["a=1", "b=2"], "dry_run": True})
    ['--labels=a=1', '--labels=b=2', '--dry_run']
    """
    return [argument for name, value in options.items() for argument in _argument(name, value)]


def _argument(name: str, value: Any) -> Iterator[str]:
    if value is True:
        yield f"--{name}"
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _argument(name, item)
    elif isinstance(value, Mapping):
        yield f"--{name}={json.dumps(value, sort_keys=True)}"
    elif value is not None and value is not False:
        yield f"--{name}={value}"


class _Tolerant:
    """A parser for Beam's classes, which give arguments of their own parser's methods."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser

    def add_argument(self, *names: str, **_: Any) -> None:
        self._parser.add_argument(*names, action="store_true")

    def add_value_provider_argument(self, *names: str, **_: Any) -> None:
        self.add_argument(*names)

    def add_mutually_exclusive_group(self, **_: Any) -> _Tolerant:
        return self

    add_argument_group = add_mutually_exclusive_group

    def set_defaults(self, **_: Any) -> None:
        pass


def _subclasses(cls: type) -> Iterator[Any]:
    one: type
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)
