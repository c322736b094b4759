"""What each kind of store can do, as data. A new store is one more line here.

Every protocol that is not named can be read, and nothing more: nobody has shown that it never
leaves half an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Capabilities", "Creating", "Writing", "capabilities", "spellings"]


class Writing(Enum):
    """How a store comes by a whole object."""

    NONE = "none"  # not written to
    LOCAL = "local"  # a temporary file in the same folder, fsync, rename
    PUT = "put"  # one request stores the whole object, or none of it
    RENAME = "rename"  # a temporary name in the same folder, then a rename


class Creating(Enum):
    """How a store is asked for an object that must not be there yet; see ``creating.create``."""

    NONE = "none"
    LINK = "link"  # a hard link from a temporary file, which fails if the name is taken
    CONDITION = "condition"  # a condition on the request
    RENAME = "rename"  # a rename that fails if the name is taken
    CLAIM = "claim"  # a claim with a nonce, read back; the store itself decides nothing


@dataclass(frozen=True)
class Capabilities:
    """One kind of store.

    Attributes:
        protocols: The names it goes by, the usual one first.
        writing: How it comes by a whole object.
        creating: How it comes by an object that must not be there yet.
        flat: One listing gives all objects below a prefix, and folders are only names.
        buckets: Names begin with a bucket or container, which may be missing.
        slow_copy: A copy may be unfinished when the store says that it is done.
        package: What ``pip install`` needs; empty if nothing, or if it is not known.
    """

    protocols: tuple[str, ...]
    writing: Writing = Writing.NONE
    creating: Creating = Creating.NONE
    flat: bool = False
    buckets: bool = False
    slow_copy: bool = False
    package: str = ""


def _object_store(
    *protocols: str,
    creating: Creating = Creating.CONDITION,
    package: str = "",
    slow_copy: bool = False,
) -> Capabilities:
    return Capabilities(
        protocols,
        Writing.PUT,
        creating,
        flat=True,
        buckets=True,
        slow_copy=slow_copy,
        package=package,
    )


_STORES = (
    Capabilities(("file", "local"), Writing.LOCAL, Creating.LINK),
    Capabilities(("memory",), Writing.PUT, Creating.CONDITION, flat=True),
    _object_store("s3", "s3a", package="alphabeam[s3]"),
    _object_store("gs", "gcs", package="alphabeam[gcs]"),
    _object_store("abfs", "az", "abfss", package="alphabeam[azure]", slow_copy=True),
    _object_store("oci", creating=Creating.CLAIM),
    _object_store("oss", creating=Creating.CLAIM),
    Capabilities(("sftp", "ssh"), Writing.RENAME, Creating.RENAME, package="alphabeam[sftp]"),
    Capabilities(("ftp",), Writing.RENAME, Creating.CLAIM),
    Capabilities(("webdav",), Writing.RENAME, Creating.CLAIM, package="webdav4"),
    Capabilities(("http", "https"), package="alphabeam[http]"),
    Capabilities(("adl",), package="alphabeam[azure]"),
    Capabilities(("smb",), package="smbprotocol"),
    Capabilities(("libarchive",), package="libarchive-c"),
)
_BY_PROTOCOL = {protocol: store for store in _STORES for protocol in store.protocols}


def capabilities(protocol: str) -> Capabilities:
    """What the stores behind a protocol can do."""
    return _BY_PROTOCOL.get(protocol) or Capabilities((protocol,))


def spellings(protocol: str) -> tuple[str, ...]:
    """A protocol's names, this one first: ``gs``, ``gcs``."""
    names = capabilities(protocol).protocols
    return (protocol, *(name for name in names if name != protocol))
