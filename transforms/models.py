"""Models that are not embedded: fetched once through a store, verified, kept in a cache.

>>> from alphabeam.transforms.models import load_model
>>> from alphabeam.transforms.matting import MattingCore
>>> core = MattingCore(load_model("catalogue"))  # or "u2netp", a path, any store's URL

``alphabeam.transforms.matting`` itself opens files and the embedded models, and needs none of this.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.matting import REGISTRY, ModelError, Network, Preprocessing
from alphabeam.transforms.matting import load_model as load_file
from alphabeam.transforms.matting.models import embedded, file_digest
from alphabeam.transforms.storage import StorageOptions
from alphabeam.transforms.storage.faults import too_large

__all__ = ["cache_folder", "cached_path", "fetch", "load_model"]

MAX_BYTES = 2 << 30  # of a model by URL; onnx files themselves end there
_CHUNK = 1 << 20


def load_model(
    name_or_url: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    threads: int = 1,
    device: str = "cpu",
    cache: str | os.PathLike[str] | None = None,
    accept_license: bool = False,
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
    options: StorageOptions | None = None,
) -> Network:
    """Loads a network by name, path or URL; downloads it once if it must be.

    Args:
        name_or_url: A name of `alphabeam.transforms.matting.REGISTRY`, a path, or the URL of an
            ONNX file in any store.
        sha256: Hex digest that the file must have.
        threads: Threads within one inference.
        device: Where it runs: ``cpu``, ``cuda`` and so on, see `backend.device`.
        cache: Folder for downloads; None for :func:`cache_folder`.
        accept_license: Needed for models whose licence forbids commercial use.
        preprocessing: What the network wants; see `alphabeam.transforms.matting.load_model`.
        options: Options per protocol, for a URL.

    Returns:
        The network, ready to run.

    Raises:
        ModelError: Unknown name, no such file, wrong digest, refused licence, failed download,
            unknown preprocessing, or not an ONNX file.
        ValueError: A value of the preprocessing or ``threads`` is out of bounds.
    """
    asked = os.fspath(name_or_url)
    model = REGISTRY.get(asked)
    if model is not None and not (model.commercial or accept_license):
        raise ModelError(
            f"model {model.name}: its licence is {model.licence}, not for commercial use; "
            "set accept_license: true if your use is allowed"
        )
    path = asked
    if model is not None and model.url:
        most = (model.megabytes + 1) * 1_100_000  # megabytes are rounded
        digests = [f"sha256:{model.sha256}", *([f"md5:{model.md5}"] if model.md5 else [])]
        target = cached_path(model.name, cache)
        path = str(fetch(model.url, target, *digests, label=model.name, max_bytes=most))
        preprocessing = preprocessing or model.preprocessing
    elif model is None and "://" in asked:
        digests = [f"sha256:{sha256.lower()}"] if sha256 else []
        path = str(fetch(asked, cached_path(asked, cache), *digests, options=options))
    network = load_file(
        path, sha256=sha256, threads=threads, device=device, preprocessing=preprocessing
    )
    if model is None and "://" in asked:
        network.name = _stem(asked)
    return network


def cache_folder() -> Path:
    """Where downloaded models are kept.

    Returns:
        ``$ALPHABEAM_CACHE``, else ``alphabeam/models`` in the user's cache folder as the system has
        it (``~/.cache`` on Linux, or ``$XDG_CACHE_HOME``). It need not exist yet.
    """
    if own := os.environ.get("ALPHABEAM_CACHE"):
        return Path(own).expanduser()
    return platformdirs.user_cache_path("alphabeam", appauthor=False) / "models"


def cached_path(name_or_url: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Where a model lies, or would lie once downloaded.

    Args:
        name_or_url: A name of the registry, or a URL. However the URL is signed, the path is the
            same.
        cache: The cache's folder; None for :func:`cache_folder`.

    Returns:
        A local path; ask ``.exists()`` whether it is there.
    """
    folder = Path(cache).expanduser() if cache is not None else cache_folder()
    model = REGISTRY.get(name_or_url)
    if model is not None:
        return folder / f"{model.name}.onnx" if model.url else embedded(model.name)
    identity = storage.identity(name_or_url)
    return (
        folder / f"{_stem(name_or_url)}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.onnx"
    )


def _stem(url: str) -> str:
    """The file's name in a URL, without its extension."""
    return Path(urlsplit(storage.public(url).split("::")[0]).path.rstrip("/")).stem[:100] or "model"


def fetch(
    url: str,
    target: Path,
    *digests: str,
    label: str | None = None,
    max_bytes: int = MAX_BYTES,
    options: StorageOptions | None = None,
) -> Path:
    """Brings a model file into the cache, whole and verified.

    A file that is already there is verified by the first of the digests. One that is downloaded
    must have all of them; it is downloaded beside its target and renamed, so that a reader never
    sees a part of it.

    Args:
        url: A URL of any store.
        target: The file in the cache.
        *digests: ``md5:<hex>`` or ``sha256:<hex>``, the strongest first; none to take the file as
            it comes.
        label: How messages call the model; the URL if None.
        max_bytes: A larger file is refused.
        options: Options per protocol.

    Returns:
        ``target``.

    Raises:
        ModelError: It cannot be downloaded, is too large, or its digest is another one.
    """
    shown = storage.redact(url)
    label = label or shown
    expected = f" ({digests[0]})" if digests else ""
    if target.exists():
        if digests and not _has(target, digests[0]):
            raise ModelError(
                f"model {label}: {target} is not the published file{expected}; "
                "delete it to download it again"
            )
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise ModelError(
            f"model {label}: cannot write to {target.parent} ({error.strerror}); "
            "set ALPHABEAM_CACHE to a writable folder"
        ) from None
    try:
        try:
            with os.fdopen(handle, "wb") as sink:
                _download(url, sink, max_bytes, options)
        except RowError as error:
            raise ModelError(
                f"model {label}: {error.message}; on an offline machine put the file of {shown}"
                f"{expected} at {target}"
            ) from None
        except OSError as error:
            raise ModelError(f"model {label}: cannot write {part} ({error.strerror})") from None
        for digest in digests:
            if not _has(Path(part), digest):
                found = file_digest(Path(part), digest.partition(":")[0])
                raise ModelError(
                    f"model {label}: {shown} gave a file of digest {found}, "
                    f"expected {digest}; try again, or correct the digest"
                )
        os.replace(part, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
    return target


def _has(file: Path, digest: str) -> bool:
    return file_digest(file, digest.partition(":")[0]) == digest


def _download(url: str, sink: Any, max_bytes: int, options: StorageOptions | None) -> None:
    size = 0
    with storage.open_input(url, options=options) as source:
        while block := source.read(_CHUNK):
            size += len(block)
            if size > max_bytes:
                raise too_large(url, max_bytes)
            sink.write(block)
