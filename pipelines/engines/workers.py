"""The environment of a portable engine's workers: how it is said, and Beam's options for it.

``docker://IMAGE[:TAG]`` is a container, with alphabeam in the image; ``external://HOST:PORT`` a
worker pool that runs there; ``process:///path/of/boot`` a program that every machine has, which
starts a worker; ``loopback`` this process, for trials.
"""

from __future__ import annotations

import os
from typing import Any, Literal, cast

from alphabeam.pipelines.engines.images import wrong_versions

__all__ = ["PATTERN", "below", "environment_options", "wrong_environment"]

PATTERN = r"^(docker://\S+|external://[^/\s]+:\d+|process:///\S+|loopback)$"

_Scheme = Literal["docker", "external", "process", "loopback"]


def environment_options(environment: str) -> dict[str, Any]:
    """Beam's options for an environment."""
    scheme, rest = _split(environment)
    if scheme == "loopback":
        return {"environment_type": "LOOPBACK"}
    config: Any = {"command": rest} if scheme == "process" else rest
    return {"environment_type": scheme.upper(), "environment_config": config}


def wrong_environment(environment: str) -> str | None:
    """What is wrong with an environment, as far as its text tells."""
    scheme, rest = _split(environment)
    if scheme == "docker" and (wrong := wrong_versions(rest)):
        return f"{wrong}; use an image of this launcher's versions"
    return None


def below(path: str, folders: list[str]) -> bool:
    """Whether a local path lies in one of some folders."""
    absolute = os.path.abspath(path.removeprefix("file://"))
    return any(
        os.path.commonpath([absolute, folder]) == folder
        for folder in (os.path.abspath(os.path.expanduser(one)) for one in folders)
    )


def _split(environment: str) -> tuple[_Scheme, str]:
    scheme, _, rest = environment.partition("://")
    return cast(_Scheme, scheme), rest
