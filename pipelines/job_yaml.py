"""The YAML of job files: read as people read it, bounded, and with the places of its keys."""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["JobFileError", "Location", "Positions", "dotted", "load_yaml", "parse_yaml", "said_of"]

Location = tuple[str | int, ...]

_MOST_LEVELS = 50  # a job file has six; what walks over its values recurses
_MOST_FROM_ALIASES = 10_000  # nodes; ten lines of aliases of aliases can stand for billions


class JobFileError(Exception):
    """The job file or a ``--set`` is wrong; each line of the message is one complaint."""


class _BoundError(yaml.MarkedYAMLError):
    """It is YAML, and more of it than a job file may be."""


class _Loader(yaml.SafeLoader):
    """YAML as its version 1.2 and as people read it; YAML 1.1, which PyYAML knows, errs.

    There ``010`` is 8, ``1:30`` is 90, ``no`` is false also where a name is wanted, ``1e3`` is a
    text and ``2024-01-01`` a date. Here they are 10, a text, a text, 1000 and a text.

    What is nested deeply, or stands for very much by its aliases, is refused before any value is
    made of it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._from_aliases = 0
        # Of each node that is complete: how many nodes it stands for, and how many levels.
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        self._level += 1
        if self._level > _MOST_LEVELS:
            raise _too_deep(mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is None:
            return None
        if not isinstance(event, yaml.AliasEvent):
            below = [self._sizes[child] for child in _children(node)]
            self._sizes[node] = (
                1 + sum(nodes for nodes, _ in below),
                1 + max((levels for _, levels in below), default=0),
            )
        elif node not in self._sizes:
            raise _BoundError(problem="an alias refers to what it is part of", problem_mark=mark)
        else:
            nodes, levels = self._sizes[node]
            self._from_aliases += nodes
            if self._from_aliases > _MOST_FROM_ALIASES:
                raise _BoundError(
                    problem=f"the aliases stand for over {_MOST_FROM_ALIASES} values",
                    problem_mark=mark,
                )
            if self._level + levels > _MOST_LEVELS:
                raise _too_deep(mark)
        return node


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _too_deep(mark: Any) -> _BoundError:
    return _BoundError(problem=f"nested too deeply: over {_MOST_LEVELS} levels", problem_mark=mark)


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0].endswith((":null", ":merge"))]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_TYPES = {
    "bool": ("tTfF", r"true|True|TRUE|false|False|FALSE"),
    "int": ("-+0123456789", r"[-+]?(0x[0-9a-fA-F]+|[0-9][0-9_]*)"),
    "float": (
        "-+.0123456789",
        r"[-+]?(([0-9][0-9_]*)?\.[0-9]+|[0-9][0-9_]*\.?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    ),
}
for _name, (_first, _pattern) in _TYPES.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), list(_first)
    )


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    return int(text, 16 if "x" in text else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


def load_yaml(text: str) -> Any:
    """The value of a YAML document.

    Raises:
        yaml.YAMLError: It is none; nested too deeply; or its aliases stand for too much.
        ValueError: A value is none of its type.
    """
    return yaml.load(text, _Loader)


def said_of(error: Exception) -> str:
    """What is wrong, without what a parser quotes of the file: an unquoted ``*x`` may be secret."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return "not YAML: broken"
    reason = ", ".join(part for part in (error.context, error.problem) if part) or "broken"
    reason = re.sub(r"(alias|tag|tag handle|anchor) (['\"]).*\2", r"\1", reason)
    return reason if isinstance(error, _BoundError) else f"not YAML: {reason}"


def parse_yaml(text: str, name: str, positions: Positions) -> dict[str, Any]:
    """The mapping that a job file is.

    Args:
        text: The file's.
        name: The file's, for messages.
        positions: Learns where everything stands.

    Raises:
        JobFileError: It is none.
    """
    try:
        node = yaml.compose(text, _Loader)
        values = load_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise JobFileError(f"{where}: {said_of(error)}") from None
    except yaml.YAMLError as error:
        raise JobFileError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:  # a number of thousands of digits; a tag that does not fit
        reason = str(error).splitlines()[0]
        raise JobFileError(f"{name}: not YAML: {reason}; put the value into quotes") from None
    if not isinstance(values, dict):
        raise JobFileError(
            f"{name}:1:1: a job file is a mapping with 'input' and 'output'; this one is "
            + ("empty" if values is None else type(values).__name__)
        )
    assert node is not None
    positions.add(node)
    return values


def dotted(location: Location) -> str:
    """A place in the job file as messages say it: ``input.manifest``."""
    return ".".join(str(part) for part in location) or "job"


class Positions:
    """Where every key and value of a job file stands.

    Args:
        name: The file's, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._marks: dict[Location, str] = {}

    def add(self, node: yaml.Node, location: Location = ()) -> None:
        """Takes a document's nodes.

        Raises:
            JobFileError: A key is given twice.
        """
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                below = (*location, key.value)
                if below in self._marks:
                    raise JobFileError(
                        f"{self._mark(key.start_mark)}: {dotted(below)}: stands here a second "
                        f"time, first at {self._marks[below]}; leave one out"
                    )
                self._marks[below] = self._mark(key.start_mark)
                self.add(value, below)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._marks[(*location, index)] = self._mark(item.start_mark)
                self.add(item, (*location, index))

    def set(self, location: Location, origin: str) -> None:
        """Says that what stands at a place, all of it, was given elsewhere."""
        size = len(location)
        self._marks = {
            place: mark for place, mark in self._marks.items() if place[:size] != location
        }
        for depth in range(1, len(location) + 1):
            self._marks.setdefault(location[:depth], origin)
        self._marks[location] = origin

    def of(self, location: Location) -> str:
        """Where the location stands, or the nearest thing around it."""
        for depth in range(len(location), 0, -1):
            if location[:depth] in self._marks:
                return self._marks[location[:depth]]
        return f"{self._name}:1:1"

    def _mark(self, mark: yaml.Mark) -> str:
        return f"{self._name}:{mark.line + 1}:{mark.column + 1}"
