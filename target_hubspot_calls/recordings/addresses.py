"""Which IP addresses a recording may be fetched from.

Pure: judges addresses, resolves none. Python's own `is_global` calls several tunnels, multicast
and cloud-internal addresses global, so it has the last word and not the first.
"""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address


class Reach(IntEnum):
    """Who is behind an address: nobody we may ask, this network, or the public internet."""

    NEVER = 0
    PRIVATE = 1
    PUBLIC = 2


_PRIVATE_V4 = tuple(
    IPv4Network(text) for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
_PRIVATE_V6 = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
# 192.0.0.0/24 is for protocols, 192.88.99.0/24 for 6to4 relays; Azure answers its virtual machines
# at 168.63.129.16 (Microsoft Learn, "What is IP address 168.63.129.16?").
_NEVER_V4 = tuple(IPv4Network(t) for t in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"))
# Special purpose, and a documentation range younger than some Pythons (IANA registry, RFC 9637).
_NEVER_V6 = (IPv6Network("2001::/23"), IPv6Network("3fff::/20"))
_GLOBAL_UNICAST = IPv6Network("2000::/3")

# Networks whose addresses stand for an IPv4 address, and how far right of it they go on.
_EMBEDDING = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)


def reach_of(address: IPAddress) -> Reach:
    """Who is behind the address, with an IPv4 address inside an IPv6 one taken out first."""
    if isinstance(address, IPv4Address):
        return _reach_of_v4(address)
    embedded = _embedded_v4(address)
    if embedded is not None:
        return _reach_of_v4(embedded)
    if any(address in network for network in _PRIVATE_V6):
        return Reach.PRIVATE
    usable = address in _GLOBAL_UNICAST and not any(address in network for network in _NEVER_V6)
    return Reach.PUBLIC if usable and address.is_global else Reach.NEVER


def _reach_of_v4(address: IPv4Address) -> Reach:
    if any(address in network for network in _PRIVATE_V4):
        return Reach.PRIVATE
    if address.is_multicast or any(address in network for network in _NEVER_V4):
        return Reach.NEVER
    return Reach.PUBLIC if address.is_global else Reach.NEVER


def _embedded_v4(address: IPv6Address) -> IPv4Address | None:
    for network, bits_after in _EMBEDDING:
        if address in network:
            return IPv4Address((int(address) >> bits_after) & 0xFFFFFFFF)
    return None
