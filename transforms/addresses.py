"""IP addresses: what a request to one reaches, however the address is written.

Two parts follow URLs that somebody else wrote: stores, for the images of a manifest, and the API's
client, for results. What each of them allows is its own affair; what an address is, is said here.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Literal

__all__ = ["METADATA_NAMES", "Address", "Kind", "kind_of", "parsed", "unwrapped"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Kind = Literal["ordinary", "loopback", "link-local", "metadata"]

# The metadata services of clouds, which give a machine's credentials to whoever asks from it.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google, Azure, Oracle, DigitalOcean …
        "169.254.170.2",  # AWS ECS
        "169.254.170.23",  # AWS EKS
        "169.254.0.23",  # Tencent
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
    )
)
METADATA_NAMES = frozenset(
    {
        *("metadata", "metadata.google.internal", "metadata.goog", "metadata.tencentyun.com"),
        *("instance-data", "instance-data.ec2.internal"),
    }
)
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")  # Linux takes 0.0.0.0 for this machine


def parsed(host: str) -> Address | None:
    """The address that a host is, in any spelling that the system takes; None for a name.

    >>> [str(parsed(host)) for host in ("127.0.0.1", "2130706433", "0x7f.1", "[::1]")]
    ['127.0.0.1', '127.0.0.1', '127.0.0.1', '::1']
    """
    text = host.strip("[]").partition("%")[0]
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    if not text or text[-1].isspace() or not text[0].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text.rstrip(".")))
    except (OSError, ValueError):
        return None


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries (mapped, compatible, 6to4, NAT64), or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    carries = any(address in network for network in _NAT64) or (
        address in _COMPATIBLE and int(address) > 1
    )
    if inner is None and carries:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def kind_of(address: Address) -> Kind:
    """What a request to an address reaches.

    Returns:
        ``metadata`` for a cloud's metadata service, ``loopback`` for this machine, ``link-local``
        for its cable (and multicast), ``ordinary`` for all others, private ones too.
    """
    if address in _METADATA:
        return "metadata"
    address = unwrapped(address)
    if address in _METADATA:
        return "metadata"
    if address.is_loopback or address.is_unspecified or address in _THIS_NETWORK:
        return "loopback"
    return "link-local" if address.is_link_local or address.is_multicast else "ordinary"
