"""Image libraries that print on the terminal by themselves are told not to.

What is wrong with a picture is its row's error. Said from C, it would be without the row's name.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
from contextlib import suppress
from pathlib import Path

import PIL

__all__ = ["silence"]


def silence() -> None:
    """Silences libtiff's errors, in Pillow, and the loggers of tifffile and of Pillow's TIFF."""
    for name in ("tifffile", "PIL.TiffImagePlugin"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
    # Pillow silences warnings only. Its wheels bring a library of their own; where it is linked
    # in (on Windows) or the system's, there is nothing here that would find it.
    package = Path(PIL.__file__).parent
    for folder in (package.parent / "pillow.libs", package / ".dylibs"):
        for library in folder.glob("libtiff*"):
            with suppress(OSError, AttributeError):
                ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)
