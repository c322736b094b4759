"""alphabeam in Beam YAML: transforms whose arguments are plain text, numbers and mappings.

``providers.yaml`` beside this file names them; a pipeline includes it. Its path is printed by
``python -m alphabeam.pipelines.beam_yaml``. The mappings are sections of the job file, with the
same checks.

Not for Python pipelines: those use the classes of `alphabeam`.
"""

# No postponed annotations: Beam YAML makes the schema of each configuration from them.

import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import apache_beam as beam

from alphabeam.pipelines.catalogue import (
    Catalogue,
    allow_of,
    backend_of,
    limits_of,
    manifest_of,
    output_of,
)
from alphabeam.pipelines.engines import threads_of
from alphabeam.pipelines.job import Job
from alphabeam.pipelines.job_file import JobFileError, parse_job
from alphabeam.transforms.cutouts import WriteCutouts
from alphabeam.transforms.images import ReadImages
from alphabeam.transforms.ledger import Finished, SkipFinished
from alphabeam.transforms.manifest import ReadManifest
from alphabeam.transforms.metadata import WriteMetadata
from alphabeam.transforms.remove_background import RemoveBackground

__all__ = [
    "PROVIDERS",
    "catalogue",
    "read_images",
    "read_manifest",
    "remove_background",
    "skip_finished",
    "write_cutouts",
    "write_metadata",
]

PROVIDERS = Path(__file__).with_name("providers.yaml")
_NOWHERE = "memory://nowhere"  # stands for what a transform does not use


def catalogue(
    input: Mapping[str, Any],
    output: Mapping[str, Any],
    backend: Optional[Mapping[str, Any]] = None,
    matting: Optional[Mapping[str, Any]] = None,
    storage: Optional[Mapping[str, Any]] = None,
    run_id: Optional[str] = None,
) -> beam.PTransform:
    """A whole job in one step: reads a manifest, writes cutouts, masks and metadata.

    Gives one row with the counts of what was done, after everything is in place.

    Args:
        input: The job file's section `input`, such as `{manifest: gs://shop/manifest.csv}`.
        output: The job file's section `output`, such as `{directory: gs://shop/out}`.
        backend: The job file's section `backend`.
        matting: The job file's section `matting`.
        storage: The job file's section `storage`.
        run_id: This run's name; made of the time if it is not given.
    """
    job = _job(input=input, output=output, backend=backend, matting=matting, storage=storage)
    name = run_id or f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    return Catalogue(job, name, threads_of(job), redistribute=True)


catalogue._yaml_requires_inputs = False  # type: ignore[attr-defined]  # as Beam YAML asks


def read_manifest(
    manifest: str,
    format: str = "auto",
    columns: Optional[Mapping[str, str]] = None,
    matting: Optional[Mapping[str, Any]] = None,
    storage: Optional[Mapping[str, Any]] = None,
) -> beam.PTransform:
    """Reads a manifest into rows: pending ones, and failed ones that say what is wrong.

    Args:
        manifest: A path or a URL.
        format: `csv`, `tsv`, `jsonl`, `parquet`, `list` or `glob`; `auto` goes by the name.
        columns: The manifest's own names for `image` and `id`.
        matting: The job file's section `matting`.
        storage: The job file's section `storage`.
    """
    section = {"manifest": manifest, "format": format, "columns": columns or {}}
    return ReadManifest(manifest_of(_job(input=section, matting=matting, storage=storage)))


def skip_finished(
    output: str,
    backend: Optional[Mapping[str, Any]] = None,
    allow: Sequence[str] = ("default",),
    storage: Optional[Mapping[str, Any]] = None,
) -> beam.PTransform:
    """Marks as done the rows that an earlier run into the same output finished.

    Args:
        output: The output's folder.
        backend: The job file's section `backend`.
        allow: Where rows may be read from, as the job file's `input.allow`.
        storage: The job file's section `storage`.
    """
    section = {"manifest": "none.csv", "allow": [*allow]}
    job = _job(input=section, output={"directory": output}, backend=backend, storage=storage)
    return SkipFinished(output_of(job), backend_of(job), allow=allow_of(job))


def read_images(
    allow: Sequence[str] = ("default",),
    max_pixels: int = 100_000_000,
    max_bytes: int = 100_000_000,
    storage: Optional[Mapping[str, Any]] = None,
) -> beam.PTransform:
    """Fetches the images of pending rows.

    Args:
        allow: Where rows may be read from, as the job file's `input.allow`.
        max_pixels: Largest width times height of an image.
        max_bytes: Largest encoded image in bytes.
        storage: The job file's section `storage`.
    """
    section = {
        "manifest": "none.csv",
        "allow": [*allow],
        "max_pixels": max_pixels,
        "max_bytes": max_bytes,
    }
    job = _job(input=section, storage=storage)
    return ReadImages(
        limits_of(job),
        threads=job.input.threads,
        storage_options=job.storage,
        allow=allow_of(job),
    )


def remove_background(
    backend: Optional[Mapping[str, Any]] = None,
    output: Optional[str] = None,
    storage: Optional[Mapping[str, Any]] = None,
) -> beam.PTransform:
    """Removes backgrounds by the local model, by the PICPIK API, or by both.

    Args:
        backend: The job file's section `backend`, such as `{model: isnet-general-use}`,
            `{kind: picpik, max_credits: 100}` or `{kind: cascade, picpik: {max_tasks: 50}}`.
        output: The output's folder; `kind: picpik` and `kind: cascade` keep there what they have
            bought.
        storage: The job file's section `storage`.
    """
    kind = (backend or {}).get("kind")
    if kind in ("picpik", "cascade") and not output:
        raise ValueError(
            f"RemoveBackground: output is missing; kind: {kind} keeps there what it has bought"
        )
    if (backend or {}).get("at_most") is not None:
        raise ValueError(
            "RemoveBackground: backend.at_most: a share of the rows needs their number, which "
            "only a whole job knows (Catalogue); set picpik.max_tasks in its place"
        )
    job = _job(output={"directory": output or _NOWHERE}, backend=backend, storage=storage)
    return RemoveBackground(backend_of(job))


def write_cutouts(
    output: str,
    cutout_format: str = "png",
    names: str = "safe",
    metadata: str = "keep",
    storage: Optional[Mapping[str, Any]] = None,
) -> beam.PTransform:
    """Encodes and writes each picture's cutout and mask.

    Args:
        output: The output's folder.
        cutout_format: `png`, or lossless `webp`.
        names: `safe` or `keep`, as the job file's `output.names`.
        metadata: `keep` or `drop`, as the job file's `output.metadata`.
        storage: The job file's section `storage`.
    """
    section = {
        "directory": output,
        "cutout_format": cutout_format,
        "names": names,
        "metadata": metadata,
    }
    written = output_of(_job(output=section, storage=storage))
    return WriteCutouts(written, finished=Finished(written))


def write_metadata(
    output: str, run_id: str, storage: Optional[Mapping[str, Any]] = None
) -> beam.PTransform:
    """Writes rows as a Parquet dataset, and the failed ones as a manifest to run again.

    Args:
        output: The output's folder.
        run_id: This run's name, part of a folder's name.
        storage: The job file's section `storage`.
    """
    return WriteMetadata(output_of(_job(output={"directory": output}, storage=storage)), run_id)


def _job(**sections: Any) -> Job:
    """A job of some of its sections, checked like a job file.

    Raises:
        ValueError: Something in them is wrong; each line is one complaint.
    """
    given = {"input": {"manifest": "none.csv"}, "output": {"directory": _NOWHERE}}
    given |= {name: _plain(value) for name, value in sections.items() if value is not None}
    try:
        return parse_job(json.dumps(given), "pipeline.yaml")
    except JobFileError as error:
        # The lines and columns of a generated text would only confuse.
        lines = [re.sub(r"^pipeline\.yaml:\d+:\d+: ", "", line) for line in str(error).splitlines()]
        raise ValueError("\n".join(lines)) from None


def _plain(value: Any) -> Any:
    """A value without what Beam YAML adds: the lines on which things stand."""
    if isinstance(value, Mapping):
        return {
            str(name): _plain(item)
            for name, item in value.items()
            if not (str(name).startswith("__") and str(name).endswith("__"))
        }
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
