"""`Section`: what every part of the job file's schema has in common."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Section", "described"]

_TRUTHS = {"yes": True, "on": True, "no": False, "off": False}


class Section(BaseModel):
    """A mapping of the job file: unknown keys are refused, and nothing is changed after reading."""

    # Not with `use_attribute_docstrings`, which looks for the source of each class where it is
    # made: most of a second at each start, for texts that the schema alone has; see `described`.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _words_for_truth(cls, values: Any) -> Any:
        """Takes what YAML 1.1 reads as true and false, where that is wanted."""
        if not isinstance(values, dict):
            return values
        truths = {name for name, field in cls.model_fields.items() if field.annotation is bool}
        return {
            name: _TRUTHS.get(value.lower(), value)
            if name in truths and isinstance(value, str)
            else value
            for name, value in values.items()
        }


def described(schema: dict[str, Any], top: type[Section]) -> dict[str, Any]:
    """A JSON schema of sections in which each setting has the text that stands below it.

    Args:
        schema: Of ``top``, as pydantic makes it.
        top: The section.
    """
    sections = {one.__name__: one for one in _all_below(Section)}
    for name, section in {top.__name__: schema, **schema.get("$defs", {})}.items():
        texts = _texts_of(top if section is schema else sections[name])
        fields = section["properties"]
        for key, field in fields.items():
            if key in texts and "description" not in field:
                fields[key] = dict(sorted({**field, "description": texts[key]}.items()))
    return schema


def _all_below(section: type[Section]) -> Iterator[type[Section]]:
    for one in section.__subclasses__():
        yield from _all_below(one)
        yield one


def _texts_of(section: type[Section]) -> dict[str, str]:
    """The text below each setting of a class, and of those that it inherits from."""
    texts: dict[str, str] = {}
    for one in reversed(section.__mro__):
        if not issubclass(one, Section):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
        except OSError:  # made by `create_model`, with its texts
            continue
        assert isinstance(tree.body[0], ast.ClassDef)
        body = tree.body[0].body
        for field, text in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                texts[field.target.id] = inspect.cleandoc(text.value.value)
    return texts
