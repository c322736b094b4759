"""The text of URIs: taking them apart, joining them, and showing them without secrets.

A URI is a local path (``out/a.png``, ``~/a.png``, ``/data/a.png``), ``file://``, any other
``protocol://`` that fsspec knows, or a chain of them (``zip://a.png::s3://bucket/batch.zip``).
What follows the protocol is a *name*, not an escaped URL: ``#``, ``?``, ``%20`` and ``[`` are plain
characters everywhere but in ``http(s)://``.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.redaction import redact

__all__ = [
    "Link",
    "chain",
    "has_magic",
    "identity",
    "is_local",
    "join",
    "parent",
    "quoted_url",
    "redact",
    "resolve",
]

ALIAS_PREFIX = "fsspec+"  # Beam's own name for a protocol; meaningless elsewhere, and so allowed

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.\-]+)://")  # two letters at least: C:\ is a drive

ARCHIVES = frozenset({"zip", "tar", "libarchive"})
CACHES = frozenset({"simplecache", "filecache", "blockcache", "cached"})
_CHAINING = ARCHIVES | CACHES

# protocols whose name begins right after ``://``, without a host, bucket or container
_WITHOUT_AUTHORITY = _CHAINING | {"memory", "webdav", "file", "local"}


class Link(NamedTuple):
    """One link of a chain: the protocol (``file`` for plain paths) and what follows ``://``."""

    protocol: str
    rest: str
    plain: bool = False  # written as a bare path, without ``file://``

    @property
    def authority(self) -> str:
        """The host, bucket or container; empty for protocols that have none."""
        return "" if self.protocol in _WITHOUT_AUTHORITY else self.rest.partition("/")[0]

    @property
    def name(self) -> str:
        """The name below the authority."""
        return self.rest if self.protocol in _WITHOUT_AUTHORITY else self.rest.partition("/")[2]

    @property
    def root(self) -> str:
        """The text that stands before every name of this store."""
        if self.protocol in ("file", "local"):
            slash = "/" if self.rest.startswith("/") else ""
            return slash if self.plain else f"{self.protocol}://{slash}"
        return f"{self.protocol}://" + (f"{self.authority}/" if self.authority else "")

    def __str__(self) -> str:
        return self.rest if self.plain else f"{self.protocol}://{self.rest}"


def chain(uri: str) -> tuple[Link, ...]:
    """Takes a URI apart, outermost link first; a URI that is no chain has one link.

    ``::`` separates links only after a protocol that wraps another one (archives, caches), so that
    it stays a plain part of any other name.

    Raises:
        RowError: INVALID_URI, if the URI is empty, holds a NUL, or ends in a wrapping protocol.
    """
    if not uri or "\0" in uri:
        raise RowError(ErrorCode.INVALID_URI, f"{uri!r} is no URI; give a path or a URL")
    text = uri.removeprefix(ALIAS_PREFIX)
    links: list[Link] = []
    while True:
        head, separator, tail = text.partition("::")
        if head in _CHAINING and separator:
            links.append(Link(head, ""))
            text = tail
            continue
        match = _SCHEME.match(text)
        protocol = match.group(1).lower() if match else ""
        if protocol in _CHAINING:
            if not tail:
                raise RowError(
                    ErrorCode.INVALID_URI,
                    f"{redact(uri)} names no store; write {protocol}://NAME::STORE",
                )
            links.append(Link(protocol, head[len(protocol) + 3 :]))
            text = tail
            continue
        if match:
            links.append(Link(protocol, text[match.end() :]))
        else:
            path = os.path.expanduser(text) if text.startswith("~") else text
            links.append(Link("file", path, plain=True))
        return tuple(links)


def _named(links: tuple[Link, ...]) -> int:
    """The link that holds the object's name: the first that is no mere cache."""
    return next(i for i, link in enumerate(links) if link.protocol not in CACHES or link.rest)


def spell(links: tuple[Link, ...]) -> str:
    """The URI of a chain."""
    return "::".join(
        link.protocol if link.protocol in CACHES and not link.rest else str(link) for link in links
    )


def _with_name(uri: str, links: tuple[Link, ...], segments: list[str]) -> str:
    at = _named(links)
    link = links[at]
    name = link.root + "/".join(segments)
    if not segments and link.authority:
        name = name.rstrip("/")
    rest = name if link.plain else name[len(link.protocol) + 3 :]
    text = spell(
        (*links[:at], link._replace(rest=rest or ("." if link.plain else "")), *links[at + 1 :])
    )
    return ALIAS_PREFIX + text if uri.startswith(ALIAS_PREFIX) else text


def _segments(link: Link) -> list[str]:
    name = link.name.partition("?")[0] if link.protocol in ("http", "https") else link.name
    segments = name.split("/")
    if link.protocol in ("file", "local") and name.startswith("/"):
        segments = segments[1:]
    while segments and segments[-1] == "":
        segments.pop()
    return [] if link.plain and segments == ["."] else segments


def join(folder: str, *names: str) -> str:
    """The URI of a name below a folder; in an archive, of a name inside it.

    >>> join("zip://photos::s3://bucket/batch.zip", "a.jpg")
    'zip://photos/a.jpg::s3://bucket/batch.zip'
    """
    links = chain(folder)
    below = [segment for name in names for segment in name.strip("/").split("/") if segment]
    return _with_name(folder, links, _segments(links[_named(links)]) + below)


def parent(uri: str) -> str:
    """The folder of an object; the root is its own parent."""
    links = chain(uri)
    return _with_name(uri, links, _segments(links[_named(links)])[:-1])


def resolve(base_folder: str, relative_uri: str) -> str:
    """What ``relative_uri`` means in a manifest that lies in ``base_folder``.

    URLs and absolute local paths stay as they are; ``/name`` is the server's root below ``http``.
    ``.`` and ``..`` are taken out as text.

    Raises:
        RowError: INVALID_URI, if ``..`` leads out of the store.
    """
    links = chain(relative_uri)
    base = chain(base_folder)
    link = base[_named(base)]
    if not links[-1].plain or len(links) > 1:
        return relative_uri
    rooted = relative_uri.startswith("/")
    if relative_uri.startswith("~") or (rooted and link.protocol not in ("http", "https")):
        return links[0].rest
    segments = [] if rooted else _segments(link)
    for segment in relative_uri.split("/"):
        if segment in ("", "."):
            continue
        if segment != "..":
            segments.append(segment)
        elif segments and segments[-1] != "..":
            segments.pop()
        elif link.plain and not link.rest.startswith("/"):
            segments.append("..")
        elif link.protocol not in ("file", "local"):
            raise RowError(
                ErrorCode.INVALID_URI,
                f"{relative_uri!r} leads out of {redact(base_folder)}; give the whole URI",
            )
    return _with_name(base_folder, base, segments)


def is_local(uri: str) -> bool:
    """Whether a URI is a path on this machine's own disks."""
    links = chain(uri)
    return len(links) == 1 and links[0].protocol in ("file", "local")


def has_magic(name: str) -> bool:
    """Whether a name holds one of the wildcards ``*``, ``?`` and ``[``."""
    return any(character in name for character in "*?[")


def quoted_url(url: str) -> str:
    """An HTTP URL as it is sent: what is not allowed in one is quoted, what is quoted stays.

    A ``%`` that no two hexadecimal digits follow is a plain one. ``#`` begins a fragment, which is
    not sent.
    """
    scheme, _, rest = url.partition("://")
    rest = rest.partition("#")[0]
    authority, _, name = rest.partition("/")
    if not authority.isascii():
        authority = authority.encode("idna").decode()
    name = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", name)
    name = quote(name, safe="%/?:@!$&'()*+,;=~-._[]|")
    return f"{scheme}://{authority}/{name}"


def identity(uri: str) -> str:
    """The URI without what changes when it is signed anew, or is asked for by another user.

    Two URIs of one identity name one object. Left out are ``user:password@``, a fragment, and the
    parameters of signatures: AWS (``X-Amz-*``; ``AWSAccessKeyId``, ``Signature``, ``Expires``),
    Google (``X-Goog-*``, ``GoogleAccessId``), CloudFront (``Key-Pair-Id``, ``Policy``), Alibaba and
    Tencent (``x-oss-*``, ``OSSAccessKeyId``, ``q-*``), and Azure's shared access signatures
    (``sig`` and what goes with it). The other parameters stay, in their order.

    >>> identity("https://cdn.example/a.jpg?w=90&X-Amz-Date=1&X-Amz-Signature=ab")
    'https://cdn.example/a.jpg?w=90'

    Raises:
        RowError: INVALID_URI, as for :func:`chain`.
    """
    links = chain(uri)
    bare = spell(tuple(_unsigned(link) for link in links))
    return ALIAS_PREFIX + bare if uri.startswith(ALIAS_PREFIX) else bare


_SIGNED_PREFIXES = ("x-amz-", "x-goog-", "x-oss-", "q-sign-", "q-ak", "q-key-time", "q-header-list",
                    "q-url-param-list", "q-signature")  # fmt: skip
_SIGNED = frozenset({"awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "key-pair-id"})
# Plain words that belong to a signature only beside one.
_BESIDE_SIGNATURE = frozenset({"signature", "expires", "policy", "hash-algorithm"})
_BESIDE_SIG = frozenset(
    {
        "sig", "se", "sp", "sv", "st", "spr", "sr", "ss", "srt", "sip", "si", "sdd", "ses",
        "skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid",
        "rscc", "rscd", "rsce", "rscl", "rsct",
    }
)  # fmt: skip


def _unsigned(link: Link) -> Link:
    host, slash, name = link.rest.partition("/")
    if link.authority:
        host = host.rpartition("@")[2]
    if link.protocol not in ("http", "https"):
        return link._replace(rest=host + slash + name)
    name = name.partition("#")[0]
    path, question, query = name.partition("?")
    parts = [part for part in query.split("&") if part]
    names = [unquote(part.partition("=")[0]).lower() for part in parts]
    dropped = set(_SIGNED)
    if "signature" in names:
        dropped |= _BESIDE_SIGNATURE
    if "sig" in names:
        dropped |= _BESIDE_SIG
    kept = [
        part
        for part, name in zip(parts, names, strict=True)
        if name not in dropped and not name.startswith(_SIGNED_PREFIXES)
    ]
    query = question + "&".join(kept) if kept else ""
    return link._replace(rest=f"{host.lower()}{slash}{path}{query}")


def secrets_in(uri: str) -> list[str]:
    """The pieces of a URI that ``redact`` hides, longest first."""
    found = re.findall(r"://[^/@:\s]*:([^/@\s]+)@", uri)
    for link in chain(uri):
        if link.protocol in ("http", "https"):
            query = urlsplit(str(link)).query
            found += [query, *(part.partition("=")[2] for part in query.split("&"))]
    return sorted({piece for piece in found if len(piece) > 3}, key=len, reverse=True)
