"""What the name of a container image tells of the Beam and the Python in it."""

from __future__ import annotations

import platform
import re

from apache_beam import version

__all__ = ["wrong_versions"]

# Beam's own images, and the tags that docs/engines.md recommends for ours: py3.11-beam2.77.0.
_PYTHON = re.compile(r"(?:beam_python|[:._-]py(?:thon)?)(\d+\.\d+)")
_BEAM = re.compile(r"beam_python\d+\.\d+_sdk:(\d+\.\d+\.\d+)|[:._-]beam-?(\d+\.\d+\.\d+)")


def wrong_versions(image: str) -> str | None:
    """What in an image cannot work with this launcher, as far as its name tells.

    Args:
        image: With its tag.

    Returns:
        The versions there and here; None where the name says nothing against it.
    """
    here = ".".join(platform.python_version_tuple()[:2])
    python, beam = _PYTHON.search(image), _BEAM.search(image)
    wrong = []
    if python and python[1] != here:
        wrong.append(f"it has Python {python[1]}, and this is {here}")
    found = next(filter(None, beam.groups()), None) if beam else None
    if found and found != version.__version__:
        wrong.append(f"it has Beam {found}, and this is {version.__version__}")
    return "; ".join(wrong) or None
