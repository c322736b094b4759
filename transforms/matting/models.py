"""Public models by name: where they are, what they may be used for, and the cache.

URLs, MD5 sums and preprocessing are those that the rembg project publishes with its releases;
licences are those of the models' own repositories.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from alphabeam.transforms.matting.preprocessing import Preprocessing

__all__ = [
    "EMBEDDED",
    "REGISTRY",
    "ModelError",
    "RegisteredModel",
    "cache_folder",
    "cached_path",
    "fetch",
]

EMBEDDED = Path(__file__).with_name("models")

_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/"
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_U2NET = Preprocessing(320, 32, "stretch", scale="max", output="minmax", **_IMAGENET)
_ISNET = Preprocessing(
    1024, 32, "stretch", _IMAGENET["mean"], (1.0, 1.0, 1.0), scale="max", output="minmax"
)
_BIREFNET = Preprocessing(1024, 32, "stretch", scale="max", output="logit", **_IMAGENET)
_RMBG = Preprocessing(1024, 32, "stretch", scale="max", output="minmax", **_IMAGENET)


class ModelError(ValueError):
    """A model cannot be had or used; the message is one line that says how to mend it."""


@dataclass(frozen=True)
class RegisteredModel:
    """A model that is known by name.

    Attributes:
        name: What a job file calls it.
        url: Where it is downloaded from; empty for the embedded one.
        digest: ``md5:...`` or ``sha256:...`` of the file; empty for the embedded one.
        megabytes: Size of the file, rounded.
        licence: The weights' licence, as their authors state it.
        commercial: Whether that licence allows commercial use.
        preprocessing: None for the embedded model, whose JSON file says it.
        about: One line on what it is good for.
    """

    name: str
    url: str
    digest: str
    megabytes: int
    licence: str
    commercial: bool
    preprocessing: Preprocessing | None
    about: str


def _public(
    name: str,
    file: str,
    digest: str,
    megabytes: int,
    licence: str,
    preprocessing: Preprocessing,
    about: str,
    commercial: bool = True,
) -> RegisteredModel:
    return RegisteredModel(
        name, _RELEASE + file, digest, megabytes, licence, commercial, preprocessing, about
    )


REGISTRY: dict[str, RegisteredModel] = {
    model.name: model
    for model in (
        RegisteredModel(
            "catalogue", "", "", 5, "Apache-2.0", True, None, "our own, embedded; catalogue photos"
        ),
        _public(
            "u2net",
            "u2net.onnx",
            "md5:60024c5c889badc19c04ad937298a77b",
            176,
            "Apache-2.0",
            _U2NET,
            "general salient objects",
        ),
        _public(
            "u2netp",
            "u2netp.onnx",
            "md5:8e83ca70e441ab06c318d82300c84806",
            5,
            "Apache-2.0",
            _U2NET,
            "the small U2-Net",
        ),
        _public(
            "u2net_human_seg",
            "u2net_human_seg.onnx",
            "md5:c09ddc2e0104f800e3e1bb4652583d1f",
            176,
            "Apache-2.0",
            _U2NET,
            "people",
        ),
        _public(
            "silueta",
            "silueta.onnx",
            "md5:55e59e0d8062d2f5d013f4725ee84782",
            44,
            "Apache-2.0",
            _U2NET,
            "U2-Net, cut down to a quarter",
        ),
        _public(
            "isnet-general-use",
            "isnet-general-use.onnx",
            "md5:fc16ebd8b0c10d971d3513d564d01e29",
            179,
            "Apache-2.0",
            _ISNET,
            "fine structures, 1024 px",
        ),
        _public(
            "birefnet-general",
            "BiRefNet-general-epoch_244.onnx",
            "md5:7a35a0141cbbc80de11d9c9a28f52697",
            973,
            "MIT",
            _BIREFNET,
            "the most accurate here, and the slowest",
        ),
        _public(
            "birefnet-general-lite",
            "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx",
            "md5:4fab47adc4ff364be1713e97b7e66334",
            224,
            "MIT",
            _BIREFNET,
            "BiRefNet with a small backbone",
        ),
        _public(
            "birefnet-portrait",
            "BiRefNet-portrait-epoch_150.onnx",
            "md5:c3a64a6abf20250d090cd055f12a3b67",
            973,
            "MIT",
            _BIREFNET,
            "people and hair",
        ),
        _public(
            "bria-rmbg",
            "bria-rmbg-2.0.onnx",
            "sha256:5b486f08200f513f460da46dd701db5fbb47d79b4be4b708a19444bcd4e79958",
            1024,
            "CC-BY-NC-4.0",
            _RMBG,
            "RMBG 2.0 of BRIA AI; non-commercial use only",
            commercial=False,
        ),
    )
}


def cache_folder() -> Path:
    """Where downloaded models are kept.

    Returns:
        ``$ALPHABEAM_CACHE``, else ``$XDG_CACHE_HOME/alphabeam/models``, else
        ``~/.cache/alphabeam/models``. It need not exist yet.
    """
    if own := os.environ.get("ALPHABEAM_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "alphabeam" / "models"


def cached_path(name_or_url: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Where a model lies, or would lie once downloaded.

    Args:
        name_or_url: A name of the registry, or a URL.
        cache: The cache's folder; None for :func:`cache_folder`.

    Returns:
        A local path; ask ``.exists()`` whether it is there.
    """
    folder = Path(cache).expanduser() if cache is not None else cache_folder()
    model = REGISTRY.get(name_or_url)
    if model is not None:
        return (folder if model.url else EMBEDDED) / f"{model.name}.onnx"
    bare = name_or_url.split("?", 1)[0].rstrip("/")
    stem = Path(bare.rsplit("/", 1)[-1]).stem or "model"
    return folder / f"{stem}-{hashlib.sha256(name_or_url.encode()).hexdigest()[:12]}.onnx"


def fetch(url: str, target: Path, digest: str = "", *, label: str | None = None) -> Path:
    """Have a model file in the cache, whole and verified.

    The file is checked also when it is already there. It is downloaded beside its target and
    renamed, so that a reader never sees a part of it.

    Args:
        url: Any fsspec URL.
        target: The file in the cache.
        digest: ``md5:<hex>`` or ``sha256:<hex>``; empty to take the file as it comes.
        label: How messages call the model; the URL if None.

    Returns:
        ``target``.

    Raises:
        ModelError: It cannot be downloaded, or its digest is another one.
    """
    label = label or _without_secrets(url)
    expected = f" ({digest})" if digest else ""
    if target.exists():
        if digest and file_digest(target, digest.partition(":")[0]) != digest:
            raise ModelError(
                f"model {label}: {target} is not the published file{expected}; "
                "delete it to download it again"
            )
        return target
    try:
        import fsspec

        target.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except (ImportError, OSError) as error:
        raise ModelError(
            f"model {label}: cannot write to {target.parent} ({_brief(error)}); "
            f"set ALPHABEAM_CACHE to a writable folder"
        ) from None
    try:
        try:
            with os.fdopen(handle, "wb") as sink, fsspec.open(url, "rb") as source:
                while chunk := source.read(1 << 20):
                    sink.write(chunk)
        except Exception as error:
            raise ModelError(
                f"model {label}: cannot be downloaded from {_without_secrets(url)} "
                f"({_brief(error, url)}); on an offline machine put that file{expected} at {target}"
            ) from None
        if digest and (found := file_digest(Path(part), digest.partition(":")[0])) != digest:
            raise ModelError(
                f"model {label}: {_without_secrets(url)} gave a file of digest {found}, "
                f"expected {digest}; try again, or mend the digest"
            )
        os.replace(part, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
    return target


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file, as ``algorithm:hex``.

    Raises:
        ModelError: The algorithm is neither md5 nor sha256.
    """
    if algorithm not in ("md5", "sha256"):
        raise ModelError(f"digest {algorithm!r}: only md5 and sha256 are known")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f"{algorithm}:{digest.hexdigest()}"


def _without_secrets(url: str) -> str:
    """The URL without user, password and query, for messages."""
    bare = url.split("?", 1)[0]
    scheme, separator, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + host.rsplit("@", 1)[-1] + slash + path if separator else bare


def _brief(error: BaseException, url: str = "") -> str:
    """The error in a few words; its type alone where its text might tell a secret of the URL."""
    if "?" in url or "@" in url:
        return type(error).__name__
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
