"""Who is at the other end of a connection, believing a proxy only where the settings say so."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Protocol

_NETWORK_BITS = {4: 24, 6: 48}

FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Real-Ip")


class Headers(Protocol):
    """Anything that headers can be asked of."""

    def get(self, name: str, default: str, /) -> str:
        """One header's value, or `default`."""
        ...


def client_address(peer: str | None, headers: Headers, trusted: Sequence[str]) -> str:
    """The client's address: the peer's, or what a trusted proxy says (the rightmost hop that is not trusted)."""
    address = peer or "unknown"
    if not _within(address, trusted):
        return address
    for hop in reversed([part.strip() for part in headers.get("X-Forwarded-For", "").split(",") if part.strip()]):
        address = hop
        if not _within(hop, trusted):
            break
    return address


def network_of(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network around a client's address: the /24 of an IPv4 address, the /48 of an IPv6 one; None for neither."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return ipaddress.ip_network((parsed, _NETWORK_BITS[parsed.version]), strict=False)


def is_local(peer: str | None, headers: Headers, trusted: Sequence[str]) -> bool:
    """Whether this is a program on the same machine, and surely not somebody behind a proxy on it."""
    if trusted or any(headers.get(name, "") for name in FORWARDING):
        return False
    try:
        return ipaddress.ip_address(peer or "").is_loopback
    except ValueError:
        return False


def _within(address: str, networks: Sequence[str]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)
