"""The job file's schema: every setting, its default, its bounds.

``python -m alphabeam.pipelines.job`` writes the JSON schema, which editors and CI read, to
``configs/job.schema.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from alphabeam.transforms.parameters import HairOptimization, MattingParameters

__all__ = ["Job", "schema_text"]

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "configs" / "job.schema.json"


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

    preprocessing: dict[str, Any] | None = None
    """What a model of your own wants: input_size, multiple, layout, mean, std, scale, output."""


_KEY_PATTERN = r"^\$\{(env|file):[^}]+\}$"


class PicpikBackend(_Section):
    """The signed PICPIK API."""

    kind: Literal["picpik"]
    """`picpik`: every image is sent to the API, and paid for."""

    endpoint: str = Field("https://api.picpik.ai", pattern="^https?://")
    """The API's URL; `https://api.picpikai.com` for China."""

    public_key: str = Field("${env:PICPIK_PUBLIC_KEY}", pattern=_KEY_PATTERN)
    """A reference: `${env:NAME}` or `${file:/path}`. A key itself is refused."""

    private_key: str = Field("${env:PICPIK_PRIVATE_KEY}", pattern=_KEY_PATTERN)
    """A reference, resolved on the worker; it stands in no log, graph or option."""

    max_concurrency: int = Field(16, ge=1, le=256)
    """Requests at one time, per process."""

    tasks_in_flight: int = Field(64, ge=1, le=1024)
    """Images submitted or waited for at one time, per process."""

    requests_per_second: float | None = Field(None, gt=0)
    """Ceiling of API requests of the whole job."""

    task_timeout: float = Field(600, gt=0, le=86_400)
    """Seconds to wait for one task. One that is late is collected by the next run."""

    connect_timeout: float = Field(10, gt=0, le=600)
    """Seconds."""

    read_timeout: float = Field(60, gt=0, le=600)
    """Seconds without a byte."""

    max_upload_bytes: int = Field(10_000_000, ge=10_000)
    """Larger images are encoded again before they are sent."""

    max_result_bytes: int = Field(134_217_728, ge=10_000)
    """Larger results are refused."""

    retry_codes: list[int] = []
    """RetCodes that are transient; the vendor publishes no list."""

    allowed_hosts: list[str] = []
    """Hosts that results may come from, beside the API's own domain."""

    resubmit_unknown: bool = False
    """Submit again what may have been bought without its TaskUID being known."""

    max_credits: int | None = Field(None, ge=0)
    """Stop submitting once this run's tasks have cost as much. Tasks that have not ended yet count
    at the highest price seen, and the first task alone shows the price."""

    max_tasks: int | None = Field(None, ge=0)
    """Most tasks to submit in one run."""

    confirm_over: int = Field(50, ge=0)
    """A job with more rows to submit asks on a terminal, or needs --yes."""

    ca_bundle: str | None = None
    """PEM file of the authorities to trust."""


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


def _with_kind(section: Any) -> Any:
    """Fills in the default kind, which a discriminated union does not do by itself."""
    if isinstance(section, dict) and "kind" not in section:
        return {"kind": "local", **section}
    return section


class Job(_Section):
    """An alphabeam job. `input.manifest` and `output.directory` alone make a complete one."""

    name: str = ""
    """What the summary calls the job; the file's name if empty."""

    input: Input
    backend: Annotated[LocalBackend | PicpikBackend, Field(discriminator="kind")] = LocalBackend()
    matting: Matting = Matting()
    output: Output
    engine: LocalEngine = LocalEngine()

    storage: dict[str, dict[str, Any]] = {}
    """Options for fsspec by protocol, for example `s3: {endpoint_url: …}`. Secrets are given as
    `${env:NAME}` or `${file:/path}`, and resolved on the worker."""

    max_failures: int = Field(0, ge=0)
    """More failed rows than this, and the exit status is 3."""

    @field_validator("backend", mode="before")
    @classmethod
    def _default_backend(cls, value: Any) -> Any:
        return _with_kind(value)


def schema_text() -> str:
    """The JSON schema of the job file, as it is committed."""
    schema = Job.model_json_schema()
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)
        + "\n"
    )


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
