"""A model of the user's own on its way to the workers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from alphabeam.pipelines.engines.base import EngineError, local_model
from alphabeam.transforms import storage
from alphabeam.transforms.matting.models import file_digest
from alphabeam.transforms.matting.network import load_model

if TYPE_CHECKING:
    from alphabeam.pipelines.job import Job

__all__ = ["with_uploaded_model"]


def with_uploaded_model(job: Job, folder: str) -> Job:
    """Brings a job's model file to a store, once.

    It lies there under its SHA-256 and its own name, which is part of the rows' fingerprints. What
    it wants of its input becomes a setting of the job.

    Args:
        job: The job.
        folder: Where models are kept, in a store that the workers reach.

    Returns:
        The job with the model's URL and digest; the same job if its model is no local file.

    Raises:
        EngineError: The file is not there.
        RowError: The store refuses.
    """
    model, local = local_model(job), job.local_backend
    if model is None or local is None:
        return job
    place = ".".join((*job.place_of("local"), "model"))
    path = Path(model)
    if not path.is_file():
        raise EngineError(f"{place}: {model}: no such file")
    sha256 = file_digest(path).removeprefix("sha256:")
    if local.model_sha256 not in (None, sha256):
        raise EngineError(f"{place}: {model} has the SHA-256 {sha256}, not the one given")
    uri = storage.join(folder, sha256, path.name)
    if not storage.exists(uri, options=job.storage):
        storage.put(uri, path.read_bytes(), options=job.storage)
    # What a JSON file beside it says, or the registry by its name, the workers cannot see.
    network = load_model(path, preprocessing=local.preprocessing)
    preprocessing = asdict(network.preprocessing)
    return job.with_local_backend(
        local.model_copy(
            update={"model": uri, "model_sha256": sha256, "preprocessing": preprocessing}
        )
    )
