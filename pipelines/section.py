"""`Section`: what every part of the job file's schema has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Section"]

_TRUTHS = {"yes": True, "on": True, "no": False, "off": False}


class Section(BaseModel):
    """A mapping of the job file: unknown keys are refused, and nothing is changed after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True
    )

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
