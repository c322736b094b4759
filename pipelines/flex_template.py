"""A Flex template of Dataflow: `run.py template` writes it, and its image starts jobs with it.

The template is one JSON file that names an image and the parameters that it takes. Dataflow starts
a container of that image for each launch. Its program is this module, which reads the job file from
a store, builds the job and hands it to Dataflow. So who starts jobs needs no Python, and a
scheduler can do it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.redaction import redact

__all__ = ["launch", "specification", "write"]


class _Parameter(NamedTuple):
    """What a launch may say."""

    name: str
    label: str
    help: str
    regex: str
    setting: str = ""  # of the job file; none for the file itself
    optional: bool = True


_ANY_URI = r"^[a-z][a-z0-9+.-]*://\S+$"
_PARAMETERS = (
    _Parameter(
        "job",
        "Job file",
        "URI of the job file, such as gs://my-bucket/jobs/shoes.yaml. It has engine.kind: dataflow "
        "with project, region, staging and workers, and names everything by full URIs.",
        _ANY_URI,
        optional=False,
    ),
    _Parameter(
        "manifest",
        "Manifest",
        "URI of the manifest, in place of the job file's input.manifest.",
        _ANY_URI,
        "input.manifest",
    ),
    _Parameter(
        "output",
        "Output folder",
        "URI of the output's folder, in place of the job file's output.directory.",
        _ANY_URI,
        "output.directory",
    ),
    _Parameter(
        "workers",
        "Most VMs",
        "Most VMs at one time, in place of the job file's engine.workers.",
        "^[1-9][0-9]*$",
        "engine.workers",
    ),
)


def specification(image: str) -> dict[str, Any]:
    """What the template's file holds: Dataflow's container specification.

    Args:
        image: The image that the repository's Dockerfile makes, with its tag. Its workers run it
            too.
    """
    return {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": {
            "name": "alphabeam",
            "description": f"Removes the backgrounds of a catalogue of images; alphabeam "
            f"{metadata.version('alphabeam')}.",
            "parameters": [
                {
                    "name": one.name,
                    "label": one.label,
                    "helpText": one.help,
                    "regexes": [one.regex],
                    "isOptional": one.optional,
                    "paramType": "TEXT",
                }
                for one in _PARAMETERS
            ],
        },
        "defaultEnvironment": {"sdkContainerImage": image},
    }


def write(arguments: Sequence[str]) -> int:
    """Runs ``template``: writes the template's file.

    Args:
        arguments: Behind the word itself.

    Returns:
        The exit status: 0, or 1 with one line that says what is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="run.py template", description="Write a Flex template for Dataflow."
    )
    parser.add_argument("to", metavar="URI", help="where to, such as gs://my-bucket/alphabeam.json")
    parser.add_argument("--image", required=True, help="the image that docs/engines.md has built")
    options = parser.parse_args(arguments)
    text = json.dumps(specification(options.image), indent=1) + "\n"
    try:
        storage.put(options.to, text.encode())
    except RowError as error:
        print(f"template: {redact(error.message)}", file=sys.stderr)
        return 1
    print(f"template: {options.to}")
    return 0


def launch(arguments: Sequence[str] | None = None) -> int:
    """Runs a launch: what Dataflow starts in a container of the image.

    Args:
        arguments: The parameters, and options of Dataflow's own, as ``--name=value``.

    Returns:
        The exit status, as of ``run.py``.
    """
    from alphabeam.pipelines.command import main

    parser = argparse.ArgumentParser(prog="flex_template", allow_abbrev=False)
    for one in _PARAMETERS:
        parser.add_argument(f"--{one.name}", required=not one.optional)
    parser.add_argument("--sdk_container_image")
    options, of_beam = parser.parse_known_args(arguments)
    settings = ["engine.wait=false"]  # the container is gone before the job runs
    settings += [
        f"{one.setting}={value if value.isdigit() else json.dumps(value)}"
        for one in _PARAMETERS
        if one.setting and (value := getattr(options, one.name))
    ]
    if options.sdk_container_image:
        settings.append(f"engine.image={json.dumps(options.sdk_container_image)}")
    with tempfile.TemporaryDirectory(prefix="alphabeam-") as folder:
        path = os.path.join(folder, options.job.rstrip("/").rpartition("/")[2])
        try:
            data = storage.read(options.job, max_bytes=1_000_000)
        except RowError as error:
            print(f"job: {redact(error.message)}", file=sys.stderr)
            return 1
        with open(path, "wb") as file:
            file.write(data)
        given = [part for one in settings for part in ("--set", one)]
        return main([path, "--quiet", *given, "--", *of_beam])


if __name__ == "__main__":
    sys.exit(launch())
