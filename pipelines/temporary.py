"""A run's temporary folder, which a later run removes if this one is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alphabeam.transforms.processes import is_gone, this_process

__all__ = ["temporary_folder"]

_PREFIX = "alphabeam-"
_OWNER = "owner"


@contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder for the time of the ``with``, in which this process and its children make theirs.

    A process that is killed removes nothing, so those of this machine's dead runs are removed
    first, with what Beam has left in them.
    """
    for owner in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}"):
        with suppress(OSError, ValueError):  # another user's, or no longer there
            if is_gone(owner.read_text(encoding="utf-8")):
                shutil.rmtree(owner.parent, ignore_errors=True)
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
        (Path(folder) / _OWNER).write_text(this_process(), encoding="utf-8")
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before[0]
            if before[1] is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before[1]
