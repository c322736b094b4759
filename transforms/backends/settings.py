"""What a job file may set of each backend: type, default, bounds and meaning, said once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alphabeam.transforms.matting.quality import Quality
from alphabeam.transforms.matting.session import Device
from alphabeam.transforms.settings import setting

__all__ = ["CascadeSettings", "Doubt", "LocalSettings", "PicpikSettings"]

_KEY = r"^\$\{(env|file|gcp-secret):[^}]+\}$"


@dataclass(frozen=True)
class LocalSettings:
    """Settings of the local matting core."""

    model: str = setting(
        "catalogue", "`catalogue` is the embedded one; or a public model's name, a path, or a URL."
    )
    model_sha256: str | None = setting(
        None, "What the model file must hash to, in hex.", pattern="^[0-9a-f]{64}$"
    )
    accept_license: bool = setting(
        False, "Say true for a model whose licence forbids commercial use."
    )
    device: Device = setting(
        "auto",
        "Where networks run; `auto` is a GPU where ONNX Runtime was built for one, else the CPU.",
    )
    quality: Quality = setting(
        "fast",
        "`thorough` looks at each picture twice more, for a surer confidence: two more runs of the "
        "network, the same cutout. Rows that are finished keep theirs.",
    )
    preprocessing: Mapping[str, Any] | None = setting(
        None,
        "What a model of your own wants: input_size, multiple, layout, mean, std, scale, output.",
        hash=False,
    )


@dataclass(frozen=True, kw_only=True)
class PicpikSettings:
    """Settings of the signed PICPIK API."""

    endpoint: str = setting(
        "https://api.picpik.ai",
        "The API's URL; `https://api.picpikai.com` for China.",
        pattern="^https?://",
    )
    public_key: str = setting(
        "${env:PICPIK_PUBLIC_KEY}",
        "A reference: `${env:NAME}`, `${file:/path}` or `${gcp-secret:projects/…}`. A key itself "
        "is refused.",
        pattern=_KEY,
        repr=False,
    )
    private_key: str = setting(
        "${env:PICPIK_PRIVATE_KEY}",
        "A reference, resolved on the worker; it appears in no log, graph or option.",
        pattern=_KEY,
        repr=False,
    )
    max_concurrency: int = setting(16, "Requests at one time, per process.", low=1, high=256)
    tasks_in_flight: int = setting(
        64, "Images submitted or waited for at one time, per process.", low=1, high=1024
    )
    requests_per_second: float | None = setting(
        None, "Ceiling of API requests of the whole job, shared by its processes.", above=0
    )
    task_timeout: float = setting(
        600.0,
        "Seconds to wait for one task. One that is late is collected by the next run.",
        above=0,
        high=86_400,
    )
    connect_timeout: float = setting(10.0, "Seconds.", above=0, high=600)
    read_timeout: float = setting(60.0, "Seconds without a byte.", above=0, high=600)
    request_timeout: float = setting(
        300.0,
        "Seconds, the most that one request of the API may take, upload and answer included.",
        above=0,
        high=3600,
    )
    max_upload_bytes: int = setting(
        10_000_000, "Larger images are encoded again before they are sent.", low=10_000
    )
    max_result_bytes: int = setting(134_217_728, "Larger results are refused.", low=10_000)
    retry_codes: tuple[int, ...] = setting(
        (), "RetCodes that are transient; the vendor publishes no list."
    )
    allowed_hosts: tuple[str, ...] = setting(
        (), "Hosts that results may come from, beside the API's own domain."
    )
    resubmit_unknown: bool = setting(
        False, "Submit again what may have been bought without its TaskUID being known."
    )
    max_credits: int | None = setting(
        None,
        "Stop submitting once this run's tasks, in all its processes, have cost as much. Tasks "
        "that have not ended yet count at the highest price seen, and the first task alone shows "
        "the price.",
        low=0,
    )
    max_tasks: int | None = setting(
        None, "Most tasks to submit in one run, in all its processes.", low=0
    )
    ca_bundle: str | None = setting(None, "PEM file of the authorities to trust.")


# The local core's flags, but for `own_alpha` and `whole`: these are never bought.
Doubt = Literal[
    "empty",
    "nearly_empty",
    "touches_border",
    "several_subjects",
    "component_dropped",
    "part_removed",
    "reflection_removed",
    "shadow_removed",
    "fills_frame",
    "low_confidence",
    "very_soft",
    "tiny_subject",
]


@dataclass(frozen=True, kw_only=True)
class CascadeSettings:
    """Settings of the cascade: which local results are bought from the API instead."""

    below: float = setting(
        0.6, "A local result whose confidence is lower is doubtful.", low=0, high=1
    )
    flags: tuple[Doubt, ...] = setting(
        ("empty", "part_removed", "component_dropped", "fills_frame"),
        "A local result with one of these flags is doubtful, however high its confidence.",
    )
    at_most: str | None = setting(
        None,
        "Most tasks to submit in one run, as a share of the manifest's rows, such as `10%`; "
        "beside `picpik.max_tasks` and `picpik.max_credits`.",
        pattern=r"^\s*(100|\d{1,2}(\.\d+)?)\s*%\s*$",
    )
