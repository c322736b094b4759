"""The job file's schema: every setting, its default, its bounds.

``python -m pipelines.job`` writes the JSON schema, which editors and CI read, to
``configs/job.schema.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from transforms.parameters import HairOptimization, MattingParameters

__all__ = ["Job", "schema_text"]

SCHEMA_FILE = Path(__file__).parent.parent / "configs" / "job.schema.json"


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True
    )


class Input(_Section):
    """What is read."""

    manifest: str = Field(min_length=1)
    """The manifest: a path relative to the job file, or any fsspec URL; for a glob, the pattern."""

    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "list", "glob"] = "auto"
    """The manifest's format; `auto` goes by the name."""

    max_pixels: int = Field(100_000_000, ge=1, le=178_000_000)
    """Largest width times height of an image; larger ones fail before they are decoded."""

    max_bytes: int = Field(100_000_000, ge=1, le=2_000_000_000)
    """Largest encoded image in bytes."""

    threads: int = Field(16, ge=1, le=256)
    """Images fetched at once, per process."""


class LocalBackend(_Section):
    """The local matting core."""

    kind: Literal["local"] = "local"
    """`local`: an ONNX model on the machines that run the job."""

    model: str = "catalogue"
    """`catalogue` is the embedded one; or a public model's name, a path, or a URL."""

    model_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """What the model file must hash to."""

    accept_license: bool = False
    """Say true for a model whose licence forbids commercial use."""


class Matting(_Section):
    """The matting parameters of rows that do not say their own."""

    erode_size: int = Field(15, ge=0, le=40)
    """Least width of the band whose alpha is solved for, pixels."""

    foreground_threshold: int = Field(240, ge=0, le=255)
    """Coarse alpha above it is surely subject."""

    background_threshold: int = Field(15, ge=0, le=255)
    """Coarse alpha below it is surely background."""

    hair_optimization: HairOptimization = "auto"
    """`on` solves a wide band, `off` a thin one, `auto` decides per image."""

    only_mask: bool = False
    """Write the mask alone, no cutout."""

    keep_shadow: bool = False
    """Keep contact shadows, as black with alpha."""

    @field_validator("hair_optimization", mode="before")
    @classmethod
    def _yaml_on_off(cls, value: Any) -> Any:
        # YAML 1.1 reads a bare on or off as a boolean.
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> Matting:
        self.parameters()
        return self

    def parameters(self) -> MattingParameters:
        """The section as the transforms take it."""
        return MattingParameters(**self.model_dump())


class Output(_Section):
    """What is written, and where."""

    directory: str = Field(min_length=1)
    """A path relative to the job file, or any fsspec URL. It will hold cutouts/, masks/,
    metadata/, ledger/, summary.json and failures.jsonl."""

    cutout_format: Literal["png", "webp"] = "png"
    """`webp` is without loss too; smaller, and several times slower to write."""


class LocalEngine(_Section):
    """One machine."""

    kind: Literal["local"] = "local"
    """`local`: this machine, by Beam's FnApiRunner."""

    processes: int = Field(0, ge=0, le=256)
    """Worker processes; 0 for one for every 8 cores. Each holds the model once."""

    threads: int = Field(0, ge=0, le=256)
    """Images matted at once per process; 0 for cores divided by processes."""

    pixels_in_flight: int = Field(64_000_000, ge=1_000_000)
    """Bounds memory: most decoded pixels at work per process. 64 million take about 2 GB."""


class Job(_Section):
    """An alphabeam job. `input.manifest` and `output.directory` alone make a complete one."""

    name: str = ""
    """What the summary calls the job; the file's name if empty."""

    input: Input
    backend: LocalBackend = LocalBackend()
    matting: Matting = Matting()
    output: Output
    engine: LocalEngine = LocalEngine()

    storage: dict[str, dict[str, Any]] = {}
    """Options for fsspec by protocol, for example `s3: {endpoint_url: …}`. Secrets are given as
    `${env:NAME}` or `${file:/path}`, and resolved on the worker."""

    max_failures: Annotated[int, Field(ge=0)] = 0
    """More failed rows than this, and the exit status is 3."""


def schema_text() -> str:
    """The JSON schema of the job file, as it is committed."""
    schema = Job.model_json_schema()
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)
        + "\n"
    )


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
