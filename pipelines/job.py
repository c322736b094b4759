"""The job file's schema: every setting, its default, its bounds.

``python -m alphabeam.pipelines.reference`` writes the JSON schema, which editors and CI read, to
``configs/job.schema.json``.
"""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator

from alphabeam.pipelines.engines import DataflowEngine, FlinkEngine, LocalEngine, PortableEngine
from alphabeam.pipelines.section import Section, described
from alphabeam.transforms.backends.settings import (
    CascadeSettings,
    LocalSettings,
    PicpikSettings,
)
from alphabeam.transforms.manifest import Manifest
from alphabeam.transforms.parameters import MattingParameters
from alphabeam.transforms.renditions import Rendition, rendition_of
from alphabeam.transforms.renditions.plan import Renditions
from alphabeam.transforms.secret_refs import inline_secrets
from alphabeam.transforms.settings import settings_of

__all__ = [
    "SCHEMA_FILE",
    "InlineSecretError",
    "Job",
    "RenditionSection",
    "SettingError",
    "schema_text",
]

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "configs" / "job.schema.json"


class InlineSecretError(ValueError):
    """``storage`` holds a secret itself; the message and ``path`` say where, not what it is."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        super().__init__(
            "a secret is given by reference, ${env:NAME} or ${file:/path}, never itself; not as "
            "a default either"
        )


class SettingError(ValueError):
    """A setting within a section is wrong: ``path`` says which, the message begins with it."""

    def __init__(self, text: str) -> None:
        name, _, reason = text.partition(": ")
        self.path: tuple[str | int, ...] = tuple(
            int(part) if part.isdigit() else part for part in name.split(".")
        )
        super().__init__(reason)


def _section_of(cls: type) -> type[Section]:
    """A section with the settings of a settings class; see `alphabeam.transforms.settings`."""
    fields: dict[str, Any] = {
        one.name: (
            _field_type(one.type),
            Field(
                [*one.default] if isinstance(one.default, tuple) else one.default,
                description=one.meaning,
                ge=one.low,
                le=one.high,
                gt=one.above,
                pattern=one.pattern,
            ),
        )
        for one in settings_of(cls)
        if one.listed
    }
    return create_model(cls.__name__, __base__=Section, **fields)


def _field_type(declared: Any) -> Any:
    """YAML has lists where a settings class, which is hashable, has tuples."""
    if typing.get_origin(declared) is tuple:
        return list[typing.get_args(declared)[0]]  # type: ignore[misc]
    return declared


class Input(Section):
    """What is read."""

    manifest: str = Field(min_length=1)
    """The manifest: a path relative to the job file, or any fsspec URL; a folder or a pattern for
    several part files; for a glob, the pattern of the images."""

    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "list", "glob"] = "auto"
    """The manifest's format; `auto` goes by the name."""

    delimiter: str = Field("auto", pattern=r"^(auto|tab|[^\"\r\n])$")
    """What separates a CSV's fields: one character, `tab`, or `auto` for what its header or
    its line `sep=;` shows."""

    encoding: str = "auto"
    """A text manifest's encoding as Python names it (`utf-8`, `cp1252`, `shift_jis` …); `auto` for
    what its content shows."""

    columns: dict[Literal["image", "id"], str] = {}
    """The manifest's own names for `image` and `id`, such as `{image: Foto 2, id: SKU}`; needed
    only where the names are not known, or several are."""

    max_pixels: int = Field(100_000_000, ge=1, le=178_000_000)
    """Largest width times height of an image; larger ones fail before they are decoded."""

    max_bytes: int = Field(100_000_000, ge=1, le=2_000_000_000)
    """Largest encoded image in bytes."""

    max_decode_seconds: float = Field(60, gt=0, le=86_400)
    """An image whose decoding would take longer, by an estimate from its header, fails."""

    damaged: Literal["fail", "flag"] = "fail"
    """An image whose data are damaged or missing in part fails; or, if it is a JPEG or a PNG, what
    is left of it is taken, with the flag `damaged_source`."""

    threads: int = Field(16, ge=1, le=256)
    """Images fetched at once, per process."""

    read_timeout: float = Field(600, gt=0, le=86_400)
    """Seconds in which an image must be fetched, with all retries and waits; or its row fails."""

    allow: list[str] = ["default"]
    """The places that rows may read from: `default`, protocols (`s3`, `file`), hosts
    (`https://cdn.example.com`, `https://*.example.com`; without a port, every port), buckets and
    folders (`s3://photos/shoes`, `./photos`). `default` stands for every store if the manifest is
    a local file; else for the manifest's own store, `http` and `https`, and for no local files.
    This machine (loopback), link-local addresses and a cloud's metadata service are read from only
    if they are listed by name, such as `http://127.0.0.1:8000`."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        Manifest("m.csv", encoding=value)
        return value

    allow_empty: bool = False
    """Take a manifest without rows for right, though the last run's had some."""


_LocalFields: Any = _section_of(LocalSettings)


class LocalBackend(_LocalFields):
    """The local matting core."""

    kind: Literal["local"] = "local"
    """`local`: an ONNX model on the machines that run the job."""


_PicpikFields: Any = _section_of(PicpikSettings)


class Api(_PicpikFields):
    """The signed PICPIK API as a part of another backend."""

    confirm_over: int = Field(50, ge=0)
    """A job with more rows to submit asks on a terminal, or needs --yes."""


class PicpikBackend(Api):
    """The signed PICPIK API."""

    kind: Literal["picpik"]
    """`picpik`: every image is sent to the API, and paid for."""


_CascadeFields: Any = _section_of(CascadeSettings)


class CascadeBackend(_CascadeFields):
    """The local core first, and the PICPIK API for what is doubtful."""

    kind: Literal["cascade"]
    """`cascade`: every image is matted here; doubtful results are bought from the API."""

    local: LocalBackend = LocalBackend()
    """The settings of `kind: local`."""

    picpik: Api = Api()
    """The settings of `kind: picpik`."""


_MattingFields: Any = _section_of(MattingParameters)


class Matting(_MattingFields):
    """The matting parameters of rows that do not say their own."""

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


_RenditionFields: Any = _section_of(Rendition)


class RenditionSection(_RenditionFields):
    """A picture to be made of every cutout; see the page on renditions."""

    @field_validator("format", mode="before")
    @classmethod
    def _no_psd(cls, value: Any) -> Any:
        if value == "psd":
            raise ValueError(
                "psd is not written: no library that is kept up writes layer masks well; take tiff "
                "or png with background: transparent, which editors open as a layer"
            )
        return value

    @field_validator("background", mode="before")
    @classmethod
    def _no_comment(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("a # begins a comment in YAML: put '#ffffff' into quotes")
        return value

    @model_validator(mode="after")
    def _right(self) -> RenditionSection:
        try:
            self.rendition()
        except ValueError as error:
            raise SettingError(str(error)) from None
        return self

    def rendition(self) -> Rendition:
        """The section as the transforms take it, with its preset's settings."""
        return rendition_of(self.model_dump(exclude_unset=True))


class Output(Section):
    """What is written, and where."""

    directory: str = Field(min_length=1)
    """A path relative to the job file, or any fsspec URL. It will hold cutouts/, masks/,
    renditions/, metadata/, report/, ledger/, summary.json and failures.jsonl."""

    cutout_format: Literal["png", "webp"] = "png"
    """`webp` is without loss too; smaller, and several times slower to write."""

    names: Literal["safe", "keep"] = "safe"
    """How files are named after ids: `safe` in ASCII letters, digits, `.`, `_` and `-`; `keep`
    leaves letters of every script and spaces, for stores that can take them."""

    metadata: Literal["keep", "drop"] = "keep"
    """What of the sources' EXIF and XMP cutouts bear: `keep` keeps it, made neutral (upright,
    sRGB, without thumbnail, maker's notes and place); with `drop` none. Resolution is always
    kept."""

    report: bool = True
    """Write report/, a site to look through the results with; it needs no server. Thumbnails take
    about 8 ms of CPU time and 14 KB a row."""

    product: str = ""
    """The manifest's column that names a product, such as `sku`. The report flags pictures of one
    product whose scale or background differs from the others'; the index brings them together."""

    renditions: list[RenditionSection] = []
    """Pictures to be made of every cutout, for sales channels; see the page on renditions. Another
    one over finished rows is made from their stored cutouts."""

    index: Literal["none", "csv", "shopify", "magento", "akeneo"] = "none"
    """A list of what was written, in index/, in the columns that a shop system's import takes."""

    index_url: str = ""
    """What stands before the files' names in the index: the public address of the output, or a
    folder in the shop system. Shopify's import needs an address."""

    index_columns: list[str] = []
    """Columns of the manifest that the index has too; `csv` has all."""

    index_renditions: list[str] = []
    """The renditions that the index lists, by name, the main picture's first. By default all, but
    masks in `csv` alone."""

    @model_validator(mode="after")
    def _told_apart(self) -> Output:
        self.all_renditions()
        if self.index == "shopify" and not self.index_url.startswith(("http://", "https://")):
            raise SettingError(
                "index_url: Shopify fetches pictures: give the public address of the output, such "
                "as https://cdn.example.com/shop"
            )
        names = [one.name for one in self.renditions]
        for name in self.index_renditions:
            if name not in names:
                raise SettingError(
                    f"index_renditions: there is no rendition {name!r}; there are "
                    f"{', '.join(names) or 'none'}"
                )
        return self

    def indexed_renditions(self) -> tuple[str, ...]:
        """The names of the renditions that the index lists, in order."""
        if self.index_renditions:
            return tuple(self.index_renditions)
        masks = self.index == "csv"
        return tuple(one.name for one in self.all_renditions() if masks or one.content != "mask")

    def all_renditions(self) -> tuple[Rendition, ...]:
        """The renditions as the transforms take them."""
        made = tuple(one.rendition() for one in self.renditions)
        try:
            Renditions(made)
        except ValueError as error:
            raise SettingError(f"renditions.{error}") from None
        return made


def _with_kind(section: Any) -> Any:
    """Fills in the default kind, which a discriminated union does not do by itself."""
    if isinstance(section, dict) and "kind" not in section:
        return {"kind": "local", **section}
    return section


class Job(Section):
    """An alphabeam job. `input.manifest` and `output.directory` alone make a complete one."""

    name: str = ""
    """What the summary calls the job; the file's name if empty."""

    input: Input
    backend: Annotated[
        LocalBackend | PicpikBackend | CascadeBackend, Field(discriminator="kind")
    ] = LocalBackend()
    matting: Matting = Matting()
    output: Output
    engine: Annotated[
        LocalEngine | DataflowEngine | FlinkEngine | PortableEngine, Field(discriminator="kind")
    ] = LocalEngine()

    storage: dict[str, dict[str, Any]] = {}
    """Options for fsspec by protocol, for example `s3: {endpoint_url: …}`. Secrets are given as
    `${env:NAME}` or `${file:/path}`, and resolved on the worker; a secret itself is refused."""

    max_failures: int = Field(0, ge=0)
    """More failed rows than this, and the exit status is 3."""

    notify: str = Field("", pattern=r"^(https?://\S+)?$")
    """A URL that gets the summary as JSON when the job ends, however it ends. One with a secret in
    it is given as `${env:NAME}` or `${file:/path}`."""

    @property
    def local_backend(self) -> LocalBackend | None:
        """The settings of the local core, if the job has it."""
        backend = self.backend
        if isinstance(backend, CascadeBackend):
            return backend.local
        return backend if isinstance(backend, LocalBackend) else None

    @property
    def api(self) -> Api | None:
        """The settings of the API, if the job has it."""
        backend = self.backend
        if isinstance(backend, CascadeBackend):
            return backend.picpik
        return backend if isinstance(backend, Api) else None

    def place_of(self, part: Literal["local", "picpik"]) -> tuple[str, ...]:
        """Where the settings of a backend stand in the file."""
        return ("backend", part) if self.backend.kind == "cascade" else ("backend",)

    def with_local_backend(self, local: LocalBackend) -> Job:
        """The job with other settings of the local core."""
        backend = self.backend
        if isinstance(backend, CascadeBackend):
            return self.model_copy(update={"backend": backend.model_copy(update={"local": local})})
        return self.model_copy(update={"backend": local})

    @field_validator("backend", "engine", mode="before")
    @classmethod
    def _default_kind(cls, value: Any) -> Any:
        return _with_kind(value)

    @field_validator("storage")
    @classmethod
    def _references_alone(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for path in inline_secrets(value):
            raise InlineSecretError(path)
        return value


def schema_text() -> str:
    """The JSON schema of the job file, as it is committed."""
    schema = described(Job.model_json_schema(), Job)
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)
        + "\n"
    )
