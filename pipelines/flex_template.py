"""A Flex template of Dataflow: `run.py template` writes it.

The template is one JSON file that names an image and the parameters that it takes. Dataflow starts
a container of that image for each launch, whose program is `alphabeam.pipelines.flex_launch`. So
who starts jobs needs no Python, and a scheduler can do it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.redaction import redact

__all__ = ["PARAMETERS", "Parameter", "specification", "write"]


class Parameter(NamedTuple):
    """What a launch may say."""

    name: str
    label: str
    help: str
    regex: str
    setting: str = ""  # of the job file; none for the file itself
    optional: bool = True


_ANY_URI = r"^[a-z][a-z0-9+.-]*://\S+$"
PARAMETERS = (
    Parameter(
        "job",
        "Job file",
        "URI of the job file, such as gs://my-bucket/jobs/shoes.yaml. It has engine.kind: dataflow "
        "with project, region, staging and workers, and names everything by full URIs.",
        _ANY_URI,
        optional=False,
    ),
    Parameter(
        "manifest",
        "Manifest",
        "URI of the manifest, in place of the job file's input.manifest.",
        _ANY_URI,
        "input.manifest",
    ),
    Parameter(
        "output",
        "Output folder",
        "URI of the output's folder, in place of the job file's output.directory.",
        _ANY_URI,
        "output.directory",
    ),
    Parameter(
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
                for one in PARAMETERS
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
