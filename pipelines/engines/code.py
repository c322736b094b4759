"""What brings this launcher's alphabeam to workers that have only Beam.

A wheel is made of the package as it is imported here, from a checkout or from site-packages, and a
requirements file pins what it needs to the versions that are installed here. So a worker computes
what this machine would compute, to the bit.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import alphabeam
from alphabeam.pipelines.engines.base import EngineError

if TYPE_CHECKING:
    from alphabeam.pipelines.job import Job

__all__ = ["Code", "extras_of", "make_wheel", "requirements", "stage", "version_of"]

# The extra that brings fsspec's library for a protocol.
_EXTRAS = {
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
    "az": "azure",
    "gcs": "gcs",
    "gs": "gcs",
    "http": "http",
    "https": "http",
    "s3": "s3",
    "s3a": "s3",
    "sftp": "sftp",
    "ssh": "sftp",
}
_LINUX = {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file, so that the same code is the same wheel


class Code(NamedTuple):
    """Files for the workers, as names in the folder that the job is submitted from.

    Attributes:
        requirements: A requirements file.
        packages: The wheel of alphabeam, and further ones.
    """

    requirements: str
    packages: list[str]


def stage(job: Job, folder: Path, packages: Iterable[str] = ()) -> Code:
    """Puts what the workers install into a folder.

    Args:
        job: The job, whose URIs say which extras it needs.
        folder: An empty folder.
        packages: Further requirements, and paths of wheels.

    Raises:
        EngineError: alphabeam, or what the job needs, is not installed here.
    """
    wheels = [make_wheel(folder)]
    further = []
    for package in packages:
        path = Path(package).expanduser()
        if path.is_file():
            wheels.append(shutil.copy(str(path), str(folder)))
        else:
            further.append(package)
    lines = [*requirements(extras_of(job)), *further]
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Code("requirements.txt", [os.path.basename(wheel) for wheel in wheels])


def version_of(package: str) -> str:
    """The version of an installed package.

    Raises:
        EngineError: It is not installed.
    """
    return _distribution(package).version


def make_wheel(folder: Path) -> str:
    """Makes a wheel of alphabeam as it is imported here; gives its path."""
    distribution = _distribution("alphabeam")
    stem = f"alphabeam-{distribution.version}"
    info = f"{stem}.dist-info"
    path = folder / f"{stem}-py3-none-any.whl"
    generator = "Wheel-Version: 1.0\nGenerator: alphabeam\nRoot-Is-Purelib: true\nTag: py3-none-any"
    # What setuptools leaves beside a checkout has the other name.
    metadata_of = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    about = {
        f"{info}/METADATA": metadata_of.encode(),
        f"{info}/WHEEL": f"{generator}\n".encode(),
    }
    record = []
    with zipfile.ZipFile(path, "w") as archive:

        def add(name: str, data: bytes) -> None:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(data)}")

        for name, file in _package_files():
            add(name, file.read_bytes())
        for name, data in about.items():
            add(name, data)
        record.append(f"{info}/RECORD,,")
        add(f"{info}/RECORD", ("\n".join(record) + "\n").encode())
    return str(path)


def _package_files() -> Iterator[tuple[str, Path]]:
    """The files of the package, and their names in it; a checkout's links are followed."""
    (top,) = alphabeam.__path__
    found = []
    for folder, folders, files in os.walk(top, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in files:
            path = Path(folder, name)
            found.append((f"alphabeam/{path.relative_to(top).as_posix()}", path))
    return iter(sorted(found))


def extras_of(job: Job) -> list[str]:
    """The extras that the stores in the job's own URIs need."""
    uris = [job.input.manifest, job.output.directory]
    if job.local_backend is not None:
        uris.append(job.local_backend.model)
    uris += [entry for entry in job.input.allow if entry != "default"]
    protocols = set(job.storage)
    for uri in uris:
        for part in str(uri).split("::"):
            protocols.add(urlsplit(part).scheme if "://" in part else part)
    found = {_EXTRAS[protocol] for protocol in protocols if protocol in _EXTRAS}
    if "http" not in found and _is_installed("aiohttp"):
        found.add("http")  # rows may name pictures by URL, whatever the manifest's store is
    return sorted(found)


def requirements(extras: Iterable[str]) -> list[str]:
    """What alphabeam needs on a worker that has Beam, pinned to what is installed here.

    Args:
        extras: Extras of alphabeam.

    Returns:
        Lines such as ``numpy==2.3.1``, sorted. Beam and what it brings are left out: a worker has
        them, in versions that fit.

    Raises:
        EngineError: Something is not installed here, so that its version cannot be said.
    """
    beam = _closure(["apache-beam[gcp]"], missing_is_wrong=False)
    own = [
        one
        for one in _requirements_of("alphabeam", extras)
        if canonicalize_name(one.name) != "apache-beam"
    ]
    direct = {canonicalize_name(one.name) for one in own}
    pinned = {
        name: version
        for name, version in _closure(map(str, own)).items()
        if name in direct or name not in beam
    }
    return [f"{name}=={version}" for name, version in sorted(pinned.items())]


def _closure(names: Iterable[str], *, missing_is_wrong: bool = True) -> dict[str, str]:
    """Packages and all that they need, by normalized name, with their versions here."""
    found: dict[str, str] = {}
    waiting = [Requirement(name) for name in names]
    done: set[tuple[str, str]] = set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        for extra in ("", *one.extras):
            if (name, extra) in done:
                continue
            done.add((name, extra))
            try:
                found[name] = version_of(name)
            except EngineError:
                if missing_is_wrong:
                    raise
                break
            waiting += _requirements_of(name, [extra] if extra else [])
    return found


def _requirements_of(package: str, extras: Iterable[str]) -> list[Requirement]:
    """What a package itself needs on Linux, where the workers run."""
    texts = _distribution(package).requires or []
    wanted = []
    for one in map(Requirement, texts):
        places = [{**_LINUX, "extra": extra} for extra in ("", *extras)]
        if one.marker is None or any(one.marker.evaluate(place) for place in places):
            one.marker = None
            wanted.append(one)
    return wanted


def _is_installed(package: str) -> bool:
    try:
        version_of(package)
    except EngineError:
        return False
    return True


def _distribution(package: str) -> metadata.Distribution:
    try:
        return metadata.distribution(package)
    except metadata.PackageNotFoundError:
        raise EngineError(
            f"{package} is not installed here, and the workers are to have this machine's "
            f"version; pip install {package}, or give engine.image"
        ) from None
