"""Which addresses of the network messages and pings may be sent to."""

from __future__ import annotations

import ipaddress
from typing import Final

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits.  Source: RFC 6052."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def why_not(host: str, *, allow_private: bool) -> str:
    """Why nothing may be sent to a numeric address; empty for one that may, and for what is no numeric address."""
    try:
        address = _meant(ipaddress.ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        return ""
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return "link-local, multicast and unspecified addresses are never sent to"
    if not allow_private and not address.is_global:
        return "the coordinator's settings allow public addresses only (`[notifications] allow_private`)"
    return ""


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
