"""URLs as they may be shown: without passwords, signatures and tokens, in one short line."""

from __future__ import annotations

import re
from urllib.parse import unquote

from alphabeam.transforms.secret_refs import is_secret_name

__all__ = [
    "end_of_user",
    "has_secrets",
    "is_secret_parameter",
    "is_signature",
    "parameter_name",
    "redact",
    "without_secrets",
]

_LONGEST = 300  # characters of one URL in a message; a presigned one may have thousands

_SIGNATURE_PREFIXES = (
    "x-amz-", "x-goog-", "x-oss-", "x-cos-", "q-sign-", "q-ak", "q-key-time", "q-header-list",
    "q-url-param-list", "q-signature",
)  # fmt: skip
_SIGNATURE_NAMES = frozenset(
    {"awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "key-pair-id", "security-token"}
)
# Names that say less, and hold a secret in a URL all the same.
_SECRET_PARAMETERS = frozenset(
    {"policy", "sessionid", "jsessionid", "phpsessid", "hdnts", "hdnea", "hdntl", "auth", "sig",
     "sas", "jwt", "hmac", "pwd", "md5"}
)  # fmt: skip
# All of the patterns take time by a text's length alone: a cell of a manifest, and what a server
# says, may be megabytes of one letter. So a run of letters is looked through from its start, and
# not from each letter; a lookahead's group is never tried in another length.
#
# Values that tell themselves: ``key=`` names an object as often as it holds a secret.
_SECRET_VALUE = re.compile(
    r"AIza[\w-]{30,}|(?<![\w-])(?=([\w-]+))(?=\1\.)[\w-]*?eyJ[\w-]|(AKIA|ASIA)[0-9A-Z]{16}"
)

# ``=`` and what stands before a parameter, as they are and quoted once or more.
_EQUALS = r"(?:=|%(?:25)*3D)"
_DELIMITER = r"(?:;|%(?:25)*(?:3F|26|3B|23))"
_END = r"%(?:25)*(?:3F|26|3B|23|2F|3D)"
_VALUE = r"(?:(?!%(?:25)*(?:3F|26|3B|23|2F))[^&;/?#\s'\"<>])*"
_QUERY_VALUE = r"[^&;#\s'\"<>]*"  # where a slash ends nothing
# A name's letters may be quoted too: ``X%2DAmz%2DSignature``.
_PAIR = re.compile(
    rf"(?P<before>(?P<query>[?&#])|{_DELIMITER}|^|(?<=[\s/'\"(,]))"
    rf"(?P<name>(?:[\w.~$+-]|(?!{_END})(?=(?P<quoted>%(?:25)*[2-7][0-9A-F]))(?P=quoted)){{1,80}}?)"
    rf"(?P<equals>{_EQUALS})(?P<value>(?(query){_QUERY_VALUE}|{_VALUE}))",
    re.IGNORECASE,
)
# Up to the next link of a chain; an IPv6 host has ``::`` too, but no protocol behind it.
_URL = re.compile(
    r"(?<![A-Za-z0-9.+-])([0-9.+-]*)"
    r"([A-Za-z][A-Za-z0-9.+-]*://(?:(?!::[A-Za-z][A-Za-z0-9.+-]*://)\S)*)"
)
_MARK = re.compile(r"[?#]")
_SOFT_MARK = re.compile(r";|%(?:25)*(?:3F|23|26|3B)", re.IGNORECASE)
_EQUALS_SIGN = re.compile(_EQUALS, re.IGNORECASE)
_CLOSING = "'\")]},.:;"  # of the sentence that the URL is in
_BEARER = re.compile(r"\b((?:Bearer|Basic)\s+)[\w+/=.~-]{12,}", re.IGNORECASE)
_JWT = re.compile(
    r"(?<![\w-])(?=(?P<run>[\w-]+))(?=(?P=run)\.[\w-])"
    r"(?P<before>[\w-]*?)\beyJ[\w-]{8,}\.[\w-]+(\.[\w-]*)?"
)


def redact(text: str) -> str:
    """A URL, or a line of text with URLs in it, as it may be shown.

    >>> redact("https://me:secret@shop.example/a.jpg?X-Amz-Signature=abc")
    'https://***@shop.example/a.jpg?***'

    No value of an HTTP query is shown, since a presigned URL carries its signature there.
    """
    text = _URL.sub(lambda found: found[1] + _shown(found[2]), text)
    if "=" in text or "%" in text:
        text = _PAIR.sub(_hidden, text)
    text = _JWT.sub(r"\g<before>***", _BEARER.sub(r"\1***", text))
    return text if text.isprintable() else repr(text)[1:-1]


def _shown(url: str) -> str:
    scheme, _, rest = url.partition("://")
    http = scheme.lower().endswith(("http", "https"))
    end = end_of_user(rest)
    if end:
        user, colon, _ = rest[: end - 1].partition(":")
        shown = "***" if http else f"{user}:***" if colon else user
        rest = f"{shown}@{rest[end:]}"
    if http:
        query = _query_of(rest)
        if query and not rest.startswith("***", query):  # what is redacted already stays
            closing = max(query, len(rest.rstrip(_CLOSING)))
            rest = f"{rest[:query]}***{rest[closing:]}"
    url = f"{scheme}://{rest}"
    if len(url) <= _LONGEST:
        return url
    return f"{url[: _LONGEST * 2 // 3]}…{url[-_LONGEST // 3 :]}"


def _query_of(rest: str) -> int:
    """Where the query of an HTTP URL begins, behind its mark; 0 if it has none.

    A ``;`` or a quoted mark begins one too, if a ``=`` stands behind it in the same part of the
    path.
    """
    start = 0
    for part in rest.split("/"):
        end = start + len(part)
        mark = _MARK.search(rest, start, end)
        soft = _SOFT_MARK.search(rest, start, mark.start() if mark else end)
        if soft and _EQUALS_SIGN.search(rest, soft.end(), end):
            return soft.end()
        if mark:
            return mark.end()
        start = end + 1
    return 0


def _hidden(found: re.Match[str]) -> str:
    if not _is_secret(found):
        return found.group()
    return f"{found['before']}{found['name']}{found['equals']}***"


def end_of_user(rest: str) -> int:
    """How much of a URL behind its ``://`` is ``user:password@``; 0 if it has none.

    A password with a ``/``, ``?`` or ``#`` in it, which ought to be quoted, is found by what is no
    port.
    """
    authority = re.match(r"[^/?#]*", rest)
    assert authority is not None
    end = authority.group().rfind("@") + 1
    if end or authority.group().startswith("["):
        return end
    no_port = re.match(r"[^/?#:]*:(?!\d+([/?#]|$)|/|$)", rest)
    return rest.rfind("@") + 1 if no_port else 0


def parameter_name(text: str) -> str:
    """A parameter's name in lower case, however often it is quoted."""
    for _ in range(4):
        plain = unquote(text)
        if plain == text:
            break
        text = plain
    return text.lower()


def is_signature(name: str) -> bool:
    """Whether a parameter of that name can only belong to a signature.

    Args:
        name: As :func:`parameter_name` gives it.
    """
    return name in _SIGNATURE_NAMES or name.startswith(_SIGNATURE_PREFIXES)


def is_secret_parameter(name: str, value: str = "") -> bool:
    """Whether a parameter of a URL holds a secret, or what belongs to one.

    Args:
        name: As :func:`parameter_name` gives it.
        value: What it has, quoted or not.
    """
    if is_signature(name) or name in _SECRET_PARAMETERS:
        return True
    return is_secret_name(name, certain=True) or bool(_SECRET_VALUE.search(value))


def has_secrets(name: str) -> bool:
    """Whether the part of a URL behind its host has parameters that hold secrets."""
    return any(map(_is_secret, _PAIR.finditer(name)))


def without_secrets(name: str) -> str:
    """The part of a URL behind its host without the parameters that hold secrets.

    >>> without_secrets("a.jpg?w=90&token=abc;v=2")
    'a.jpg?w=90;v=2'
    """

    def drop(found: re.Match[str]) -> str:
        if not _is_secret(found):
            return found.group()
        return "?" if found["before"] == "?" else ""

    left = _PAIR.sub(drop, name)
    if left == name:
        return name
    return re.sub(r"\?[&;]", "?", left).rstrip("?")


def _is_secret(found: re.Match[str]) -> bool:
    return is_secret_parameter(parameter_name(found["name"]), found["value"])
