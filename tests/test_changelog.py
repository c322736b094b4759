"""The version is raised when what a user has on disk changes its meaning."""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from pathlib import Path

from alphabeam.transforms.metadata.schema import SCHEMA
from alphabeam.transforms.output import Output
from alphabeam.transforms.rows import Row

ROOT = Path(__file__).parent.parent

# What outputs look like: raise the version and write a line in CHANGELOG.md, then a line here.
FORMATS = {
    "0.2.0": "8339e49c87f8d4ef",
}


def digest_of_formats() -> str:
    """A digest of a fingerprint, of the metadata's columns and of where an output's files lie."""
    row = Row(
        id="a", image="s3://shop/a.jpg", source_version="v1", source_sha256="5", box=(1, 2, 30, 40)
    )
    done = row.fingerprinted("local", "catalogue", "00" * 32, "1")
    output = Output("memory://out")
    names = [
        *(output.cutout("a"), output.mask("a"), output.summary, output.failures),
        *(output.part("run", 0), output.marker("run"), output.group("run", "0")),
        *(output.earlier("run", 0), output.task("f"), output.lease(1), output.passing("run", "0")),
    ]
    columns = [(field.name, str(field.type)) for field in SCHEMA]
    return hashlib.sha256(
        repr(
            [done.fingerprint, done.quick_key, done.request_uuid, done.task_uid, columns, names]
        ).encode()
    ).hexdigest()[:16]


def test_the_version_has_its_lines_in_the_changelog() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE)
    assert found
    headings = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == found[1], "CHANGELOG.md begins with another version"
    assert metadata.version("alphabeam") == found[1], "install anew: pip install -e ."


def test_what_changes_outputs_raises_the_version() -> None:
    version = metadata.version("alphabeam")
    assert FORMATS.get(version) == digest_of_formats(), (
        "the fingerprint, the metadata's columns or the output's paths have changed: raise the "
        "version in pyproject.toml, say so in CHANGELOG.md, and add a line to FORMATS"
    )
