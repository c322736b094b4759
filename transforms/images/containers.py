"""What is read of files made of ISO boxes: AVIF, HEIF, JPEG 2000."""

from __future__ import annotations

from alphabeam.transforms.images.colour import profile_of_codes

__all__ = ["jpeg2000_profile", "nclx_profile"]


def nclx_profile(data: bytes) -> bytes | None:
    """The profile of the colours that an AVIF or HEIF names by code points; None for sRGB.

    The first ``colr`` box of that kind is the picture's own; those of a gain map come later.

    Raises:
        RowError: ``unsupported_image``: an HDR picture.
    """
    at = data.find(b"colrnclx")
    if at < 0 or at + 14 > len(data):
        return None
    primaries = int.from_bytes(data[at + 8 : at + 10], "big")
    transfer = int.from_bytes(data[at + 10 : at + 12], "big")
    return profile_of_codes(primaries, transfer)


def jpeg2000_profile(data: bytes) -> bytes | None:
    """The ICC profile in a JP2's ``colr`` box; None if it has none."""
    limit = data.find(b"jp2c")
    at = data.find(b"colr", 0, limit if limit > 0 else len(data))
    if at < 4 or data[at + 4 : at + 5] not in (b"\2", b"\3"):
        return None
    return data[at + 7 : at - 4 + int.from_bytes(data[at - 4 : at], "big")] or None
