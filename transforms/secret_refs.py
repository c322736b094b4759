"""References to secrets: what stands in the graph instead of a key, resolved on the worker.

``${env:NAME}`` reads an environment variable, ``${env:NAME:-default}`` one with a default, and
``${file:/path}`` a file without its last line break. A reference may be part of a longer text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["SecretError", "references", "resolve"]

_REFERENCE = re.compile(r"\$\{(env|file):([^}:]+?)(?::-([^}]*))?\}")
# What was surely meant for a reference, such as ${NAME}: it must not be used as the secret itself.
_MISTAKE = re.compile(r"\$\{(?!(?:env|file):[^}:]+?(?::-[^}]*)?\})(\w*)")


class SecretError(ValueError):
    """A reference that cannot be resolved; the message names it, never its value."""


def references(value: Any) -> list[str]:
    """All references in a value: a text, or a mapping or list with texts in it."""
    if isinstance(value, str):
        return [match.group(0) for match in _REFERENCE.finditer(value)]
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in references(item)]
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in references(item)]
    return []


def resolve(value: Any) -> Any:
    """The value with every reference in it replaced by what it refers to.

    Args:
        value: A text, or a mapping or list with texts in it; anything else is returned as it is.

    Returns:
        A new value of the same form.

    Raises:
        SecretError: A variable is not set and has no default, a file cannot be read, or a
            ``${`` begins no reference.
    """
    if isinstance(value, str):
        if mistake := _MISTAKE.search(value):
            raise SecretError(
                f"{mistake.group(0)}…: no reference; write ${{env:NAME}}, "
                "${env:NAME:-default} or ${file:/path}"
            )
        return _REFERENCE.sub(_replacement, value)
    if isinstance(value, Mapping):
        return {key: resolve(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item) for item in value]
    return value


def _replacement(match: re.Match[str]) -> str:
    kind, name, default = match.groups()
    if kind == "env":
        found = os.environ.get(name, default)
        if found is None:
            raise SecretError(
                f"{match.group(0)}: the environment variable {name} is not set; "
                f"export it, or write ${{env:{name}:-default}}"
            )
        return found
    try:
        with open(os.path.expanduser(name), encoding="utf-8") as file:
            return file.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SecretError(f"{match.group(0)}: the file cannot be read: {reason}") from None
