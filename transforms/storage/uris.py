"""The text of URIs: taking them apart, joining them, and showing them without secrets.

A URI is a local path (``out/a.png``, ``~/a.png``, ``/data/a.png``), ``file://``, any other
``protocol://`` that fsspec knows, or a chain of them (``zip://a.png::s3://bucket/batch.zip``).
A picture inside a Parquet file is a chain too, see `alphabeam.transforms.storage.embedded`.
What follows the protocol is a *name*, not an escaped URL: ``#``, ``?``, ``%20`` and ``[`` are plain
characters everywhere but in ``http(s)://``.
"""

from __future__ import annotations

import functools
import os
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from alphabeam.transforms.errors import ErrorCode, RowError
from alphabeam.transforms.redaction import (
    end_of_user,
    has_secrets,
    is_signature,
    parameter_name,
    redact,
    without_secrets,
)
from alphabeam.transforms.storage.capabilities import capabilities

__all__ = [
    "Link",
    "canonical",
    "chain",
    "has_magic",
    "has_secret",
    "identity",
    "is_local",
    "join",
    "normalized",
    "parent",
    "public",
    "quoted_url",
    "redact",
    "resolve",
]

ALIAS_PREFIX = "fsspec+"  # Beam's own name for a protocol; meaningless elsewhere, and so allowed

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.\-]+)://")  # two letters at least: C:\ is a drive

ARCHIVES = frozenset({"zip", "tar", "libarchive"})
CACHES = frozenset({"simplecache", "filecache", "blockcache", "cached"})
_CHAINING = ARCHIVES | CACHES | {"parquet"}

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


@functools.lru_cache(maxsize=4096)  # each row's URI is taken apart a dozen times
def chain(uri: str) -> tuple[Link, ...]:
    """Takes a URI apart, outermost link first; a URI that is no chain has one link.

    ``::`` separates links only after a protocol that wraps another one (archives, caches), so that
    it stays a plain part of any other name.

    Raises:
        RowError: INVALID_URI, if the URI is empty, holds a NUL, or ends in a wrapping protocol.
    """
    if not uri or "\0" in uri:
        raise RowError(ErrorCode.INVALID_URI, f"'{redact(uri)}' is no URI; give a path or a URL")
    text = uri.removeprefix(ALIAS_PREFIX)
    links: list[Link] = []
    while True:
        head, separator, tail = text.partition("::")
        if head in ARCHIVES | CACHES and separator:
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
    below = [segment for name in names for segment in name.strip("/").split("/") if segment]
    if not below:
        links = chain(folder)
        return _with_name(folder, links, _segments(links[_named(links)]))
    before, behind = _around(folder)
    return f"{before}{'/'.join(below)}{behind}"


@functools.lru_cache(maxsize=64)  # rows share a few folders
def _around(folder: str) -> tuple[str, str]:
    """What stands before and behind a name below a folder."""
    links = chain(folder)
    mark = "\0"  # no URI contains it
    text = _with_name(folder, links, [*_segments(links[_named(links)]), mark])
    before, _, behind = text.partition(mark)
    return before, behind


def parent(uri: str) -> str:
    """The folder of an object; the root is its own parent."""
    links = chain(uri)
    return _with_name(uri, links, _segments(links[_named(links)])[:-1])


# A relative name without protocol, query, ``.``, ``..`` and empty segments: the usual one.
_PLAIN_NAME = re.compile(r"(?!\.{1,2}(?:/|$))[\w.-]+(?:/(?!\.{1,2}(?:/|$))[\w.-]+)*$", re.ASCII)


def resolve(base_folder: str, relative_uri: str) -> str:
    """What ``relative_uri`` means in a manifest that lies in ``base_folder``.

    URLs and absolute local paths stay as they are; ``/name`` is the server's root below ``http``.
    ``.`` and ``..`` are taken out as text.

    Raises:
        RowError: INVALID_URI, if ``..`` leads out of the store.
    """
    if _PLAIN_NAME.match(relative_uri):
        before, behind = _around(base_folder)
        return f"{before}{relative_uri}{behind}"
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
                f"'{redact(relative_uri)}' leads out of {redact(base_folder)}; give the whole URI",
            )
    return _with_name(base_folder, base, segments)


def canonical(uri: str) -> str:
    """One spelling of a URI, to compare places: local paths without links, protocols' usual names.

    >>> canonical("s3a://bucket/a.jpg")
    's3://bucket/a.jpg'
    """
    *outer, link = chain(uri)
    if link.protocol in ("file", "local"):
        path = os.path.abspath(link.rest)
        if link.rest.endswith("/"):
            path = _without_links(path).rstrip("/") + "/"
        else:  # a link to a file is a name of its own
            folder, name = os.path.split(path)
            path = os.path.join(_without_links(folder), name)
        return spell((*outer, Link("file", path, plain=True)))
    usual = link.protocol if link.protocol == "https" else capabilities(link.protocol).protocols[0]
    return spell((*outer, link._replace(protocol=usual)))


@functools.lru_cache(maxsize=4096)
def _without_links(folder: str) -> str:
    return os.path.realpath(folder)


def normalized(folder: str) -> str:
    """A folder's URI as listings spell it: what is below it begins with that and a slash.

    >>> normalized("memory:///shop/out")
    'memory://shop/out'
    """
    links = chain(folder)
    at = _named(links)
    link = links[at]
    rest = link.rest
    if link.protocol in ("file", "local"):
        rest = os.path.abspath(rest)
    elif not link.authority:
        rest = rest.lstrip("/")
    return spell((*links[:at], link._replace(rest=rest), *links[at + 1 :]))


def is_local(uri: str) -> bool:
    """Whether a URI is a path on this machine's own disks."""
    if _is_absolute(uri):
        return True
    links = chain(uri)
    return len(links) == 1 and links[0].protocol in ("file", "local")


def _is_absolute(uri: str) -> bool:
    """Whether it is an absolute path, which is no chain, as most local rows have it."""
    return uri.startswith("/") and "\0" not in uri


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
    if _is_absolute(uri):
        return uri
    links = chain(uri)
    bare = spell(tuple(_unsigned(link) for link in links))
    return ALIAS_PREFIX + bare if uri.startswith(ALIAS_PREFIX) else bare


# Plain words that belong to a signature only beside one.
_BESIDE_SIGNATURE = frozenset({"signature", "expires", "policy", "hash-algorithm"})
_BESIDE_SIG = frozenset(
    {
        "sig", "se", "sp", "sv", "st", "spr", "sr", "ss", "srt", "sip", "si", "sdd", "ses",
        "skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid",
        "rscc", "rscd", "rsce", "rscl", "rsct",
    }
)  # fmt: skip


def public(uri: str) -> str:
    """The URI's :func:`identity`, without whatever else in it is a secret (``token=``, ``sig=``).

    It may name files and stand in metadata. Two URIs that differ in a token alone are one here, so
    it tells no objects apart.

    Raises:
        RowError: INVALID_URI, as for :func:`chain`.
    """
    links = chain(identity(uri))
    bare = spell(
        tuple(
            link
            if link.protocol in _WITHOUT_AUTHORITY
            else link._replace(rest=without_secrets(link.rest))
            for link in links
        )
    )
    return ALIAS_PREFIX + bare if uri.startswith(ALIAS_PREFIX) else bare


def _unsigned(link: Link) -> Link:
    rest = link.rest
    if link.authority and not capabilities(link.protocol).buckets:  # abfs://CONTAINER@ACCOUNT
        rest = rest[end_of_user(rest) :]
    if link.protocol not in ("http", "https"):
        return link._replace(rest=rest)
    host, slash, name = rest.partition("/")
    name = name.partition("#")[0]
    path, question, query = name.partition("?")
    parts = re.split(r"([&;])", query)  # with what separates them
    names = [parameter_name(part.partition("=")[0]) for part in parts[::2]]
    dropped: frozenset[str] = frozenset()
    if "signature" in names:
        dropped |= _BESIDE_SIGNATURE
    if "sig" in names:
        dropped |= _BESIDE_SIG
    kept = ""
    for number, name in enumerate(names):
        if parts[2 * number] and name not in dropped and not is_signature(name):
            separator = parts[2 * number - 1] if kept else ""
            kept += separator + parts[2 * number]
    query = question + kept if kept else ""
    return link._replace(rest=f"{host.lower()}{slash}{path}{query}")


def has_secret(uri: str) -> bool:
    """Whether a URI has a password, a signature or a token in it."""
    for link in chain(uri):
        if link.protocol in _WITHOUT_AUTHORITY:
            continue
        user = link.rest[: end_of_user(link.rest)]
        http = link.protocol in ("http", "https")
        if ":" in user or (http and user) or has_secrets(link.rest[len(user) :]):
            return True
    return False


def secrets_in(uri: str) -> list[str]:
    """The pieces of a URI that ``redact`` hides, as they are and unquoted, longest first."""
    found: list[str] = []
    for link in chain(uri):
        user = link.rest[: end_of_user(link.rest)].rstrip("@")
        password = user.partition(":")[2] or (user if link.protocol in ("http", "https") else "")
        found.append(password)
        if link.protocol in ("http", "https"):
            query = link.rest.partition("?")[2]
            found += [query, *(part.partition("=")[2] for part in re.split("[&;#]", query))]
            found.append(link.rest.partition("#")[2])
    found += [unquote(piece) for piece in found]
    return sorted({piece for piece in found if len(piece) > 3}, key=len, reverse=True)
