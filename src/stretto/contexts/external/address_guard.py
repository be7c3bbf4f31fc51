"""Where the program goes when somebody else names the address: not into the house it stands in.

A name is resolved once, every address that it has is looked at, and the connection goes to one of
those: a name that answers differently the second time changes nothing. An address that holds
another one (IPv4 in IPv6 in its five forms) is judged by both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final
from urllib.parse import SplitResult, urlsplit

from stretto.contexts.core.errors import AddressRefused, InvalidOption

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host, as text; raises OSError."""

SCHEMES: Final = {"http": 80, "https": 443}
PORTS: Final = frozenset({80, 443, 8080, 8443})
LONGEST_URL: Final = 2048

_NOT_PUBLIC: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *(
            "168.63.129.16/32",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
        ),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        *("::/96", "64:ff9b:1::/48", "100::/63", "2001::/23", "2001:db8::/32", "3fff::/20"),
        *("5f00::/16", "fc00::/7", "fe80::/9", "ff00::/8"),
    )
)
"""Of the special-purpose registries of IANA (RFC 6890 and later), all that is not global;
and the address under which Azure answers its machines."""

_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL that may be asked, if its addresses may be; ``path`` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the header Host has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == SCHEMES[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGuard:
    """``allowed`` are networks that are not public and may be asked nonetheless, on any port."""

    allowed: tuple[Network, ...] = field(default=())

    def target(self, url: str) -> Target:
        """By its form alone, without asking anybody. Raises AddressRefused."""
        parts = _split(url)
        if parts.username is not None or parts.password is not None:
            raise AddressRefused("An address that is called names no user and no password.")
        host, port = _host(parts), _port(parts)
        if port not in PORTS and not self.allowed:
            ports = ", ".join(str(one) for one in sorted(PORTS))
            raise AddressRefused(f"An address that is called has one of the ports {ports}.")
        query = f"?{parts.query}" if parts.query else ""
        return Target(scheme=parts.scheme, host=host, port=port, path=f"{parts.path or '/'}{query}")

    def addresses(self, target: Target, resolve: Resolve) -> tuple[Address, ...]:
        """Those to connect to; all of them were looked at. Raises AddressRefused when one of them
        is not allowed, and OSError when there are none."""
        found = tuple(dict.fromkeys(_address(text) for text in resolve(target.host, target.port)))
        if not found:
            raise OSError(f"{target.host} has no address")
        for address in found:
            self.check(address, port=target.port)
        return found

    def check(self, address: Address, *, port: int) -> None:
        """Raises AddressRefused."""
        if any(address in network for network in self.allowed):
            return
        if port not in PORTS:
            raise AddressRefused(f"The port {port} is not called.")
        for one in held_in(address):
            if any(one in network for network in _NOT_PUBLIC if network.version == one.version):
                raise AddressRefused(
                    "The address does not lie in the public network. If it is meant, name its "
                    "network in STRETTO_OUTGOING_ALLOW."
                )


def networks(text: str) -> tuple[Network, ...]:
    """Of a list with commas. Raises InvalidOption.

    >>> networks("10.1.0.0/16, ::1")
    (IPv4Network('10.1.0.0/16'), IPv6Network('::1/128'))
    """
    try:
        return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())
    except ValueError as cause:
        raise InvalidOption(f"{text[:80]!r} is not a list of networks: {cause}.") from cause


def held_in(address: Address) -> tuple[Address, ...]:
    """The address, and the one of IPv4 that it carries, however it does: mapped (RFC 4291), 6to4
    (RFC 3056), Teredo (RFC 4380), NAT64 (RFC 6052). A mapped one is nothing but the other."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address, address.sixtofour)
    if address.teredo is not None:
        return (address, *address.teredo)
    if address in _NAT64:
        return (address, IPv4Address(int(address) & 0xFFFFFFFF))
    return (address,)


def _split(url: str) -> SplitResult:
    if len(url) > LONGEST_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise AddressRefused(
            f"An address that is called has at most {LONGEST_URL} ASCII characters, without spaces "
            "and backslashes."
        )
    try:
        parts = urlsplit(url)
    except ValueError as cause:
        raise AddressRefused("The address cannot be read.") from cause
    if parts.scheme not in SCHEMES:
        raise AddressRefused("An address that is called begins with https:// or http://.")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host or "%" in host or ("[" in parts.netloc and ":" not in host):
        raise AddressRefused("The address names no host.")
    return host


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or SCHEMES[parts.scheme]
    except ValueError as cause:
        raise AddressRefused("The address has a port that does not exist.") from cause


def _address(text: str) -> Address:
    """Without the interface that a link-local one may name."""
    return ip_address(text.partition("%")[0])
