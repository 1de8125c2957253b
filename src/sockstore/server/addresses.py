"""Find the address of a client, with and without proxies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from sockstore.base.errors import InvalidOption

__all__ = [
    "Address",
    "Network",
    "client_address",
    "group_of",
    "is_trusted",
    "read_address",
    "trusted_networks",
]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

FORWARDED_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*')
MOST_HOPS = 32
"""Hops that are read, from the last one backwards."""

IPV6_PREFIX = 64
"""The least that a provider gives one customer, so it counts as one address."""


def trusted_networks(proxies: Iterable[str]) -> tuple[Network, ...]:
    """Check the option `trusted_proxies`.

    Args:
        proxies: Addresses such as ``"10.0.0.7"``, or networks such as ``"10.0.0.0/8"``.

    Raises:
        InvalidOption: If one of them is neither.
    """
    if isinstance(proxies, str):
        raise InvalidOption("trusted_proxies", proxies, "give a list of addresses")
    networks = []
    for proxy in proxies:
        try:
            networks.append(ip_network(proxy))
        except ValueError:
            raise InvalidOption(
                "trusted_proxies", proxy, "give an address or a network such as 10.0.0.0/8"
            ) from None
    return tuple(networks)


def is_trusted(address: Address | None, trusted: tuple[Network, ...]) -> bool:
    """Whether an address is that of a trusted proxy."""
    return address is not None and any(address in network for network in trusted)


def read_address(text: str | None) -> Address | None:
    """Read an address of a socket or a header; return None if the text is not an address.

    Args:
        text: Such as ``192.0.2.1``, ``192.0.2.1:4711``, ``[2001:db8::1]:4711`` or ``fe80::1%eth0``.
    """
    text = (text or "").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(
    peer: str | None, headers: Mapping[str, Sequence[str]], trusted: tuple[Network, ...]
) -> Address | None:
    """Return the client of a request: the last address that is not a trusted proxy.

    Earlier addresses were written by untrusted hops. A hop that hides its address counts as the
    proxy that reported it.

    Args:
        peer: The address of the TCP connection.
        headers: The values of each header of the request, by its name in lower case.
        trusted: The trusted proxies.

    Returns:
        The address; None if there is none, as with a Unix socket.

    Raises:
        ValueError: If ``Forwarded`` (RFC 7239) and ``X-Forwarded-For`` name different clients: a
            proxy sets one of them and forwards the other as the client wrote it.
    """
    address = read_address(peer)
    if not is_trusted(address, trusted):
        return address
    claims = {
        _last_untrusted(address, split(",".join(headers[name])), trusted)
        for name, split in (("forwarded", _forwarded), ("x-forwarded-for", _listed))
        if name in headers
    }
    if len(claims) > 1:
        raise ValueError("Forwarded and X-Forwarded-For name different clients")
    return claims.pop() if claims else address


def group_of(address: Address) -> Network | None:
    """Return what an address counts as: an IPv6 /64 is one; None for loopback, not counted."""
    if address.is_loopback:
        return None
    prefix = IPV6_PREFIX if isinstance(address, IPv6Address) else address.max_prefixlen
    return ip_network((address, prefix), strict=False)


def _last_untrusted(
    proxy: Address | None, hops: list[Address | None], trusted: tuple[Network, ...]
) -> Address | None:
    for hop in hops[: -MOST_HOPS - 1 : -1]:
        if hop is None:
            return proxy
        proxy = hop
        if not is_trusted(hop, trusted):
            return hop
    return proxy


def _listed(value: str) -> list[Address | None]:
    return [read_address(hop) for hop in value.split(",")]


def _forwarded(value: str) -> list[Address | None]:
    """Read the field ``for`` of each hop; None for a hop without one or with an invalid one."""
    hops: list[Address | None] = []
    at = 0
    hop: Address | None = None
    while at <= len(value):
        pair = FORWARDED_PAIR.match(value, at)
        if pair is not None:
            name, text = pair.groups()
            if name.lower() == "for":
                hop = read_address(re.sub(r"\\(.)", r"\1", text.strip('"')))
            at = pair.end()
        if at >= len(value) or value[at] == ",":
            hops.append(hop)
            hop = None
        elif value[at] != ";":
            # Invalid: the hops before it cannot be separated.
            hops.append(None)
            at = value.find(",", at)
            if at < 0:
                break
            hop = None
        at += 1
    return hops
