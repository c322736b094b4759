"""What a Flex template's image runs: reads a job file from a store, hands the job to Dataflow."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence

from alphabeam.pipelines.command import main
from alphabeam.pipelines.flex_template import PARAMETERS
from alphabeam.transforms import storage
from alphabeam.transforms.errors import RowError
from alphabeam.transforms.redaction import redact

__all__ = ["launch"]


def launch(arguments: Sequence[str] | None = None) -> int:
    """Runs a launch: what Dataflow starts in a container of the image.

    Args:
        arguments: The parameters, and options of Dataflow's own, as ``--name=value``.

    Returns:
        The exit status, as of ``run.py``.
    """
    parser = argparse.ArgumentParser(prog="flex_launch", allow_abbrev=False)
    for one in PARAMETERS:
        parser.add_argument(f"--{one.name}", required=not one.optional)
    parser.add_argument("--sdk_container_image")
    options, of_beam = parser.parse_known_args(arguments)
    settings = ["engine.wait=false"]  # the container is gone before the job runs
    settings += [
        f"{one.setting}={value if value.isdigit() else json.dumps(value)}"
        for one in PARAMETERS
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
