"""Which hosts a workflow may talk to: `allow: network`, and addresses that no name may lead to."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    _Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds hand out credentials to whoever asks from within, beside all of link-local.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
# Prefixes of IPv6 that stand for an IPv4 address, which is their last 32 bits: IPv4-compatible and
# IPv4-mapped (RFC 4291), IPv4-translated (RFC 2765), NAT64 (RFC 6052).
_ENDS_IN_IPV4 = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
# RFC 8215: whoever uses it chooses how long its prefix is
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_LOCAL_NAT64_BITS = (48, 56, 64)


@record
class Host:
    """A host and port that a request goes to; the name in lower case, without a final dot."""

    name: str
    port: int

    def __str__(self) -> str:
        """As it stands in a URL."""
        shown = f"[{self.name}]" if ":" in self.name else self.name
        return f"{shown}:{self.port}"


def is_allowed(host: Host, network: Sequence[str]) -> bool:
    """Whether an entry covers a host: `host` (any port), `host:port`, `*.host` (below `host`)."""
    return any(_covers(entry, host) for entry in network)


def is_forbidden_address(address: str, network: Sequence[str]) -> bool:
    """Whether a connection to this address must not be used, whatever name led to it.

    That is so for addresses that are link-local or serve cloud credentials, in whatever form, unless
    `allow: network` has the address itself. A name that is allowed is not enough: who owns the name
    chooses where it leads.
    """
    forbidden = {one for one in _meant(address) if one.is_link_local or one in _METADATA}
    if not forbidden:
        return False
    named = {one for entry in network for one in _meant(_split(entry)[0])}
    return not forbidden <= named


def _meant(text: str) -> Iterator[_Address]:
    """An address, and the IPv4 addresses that a network may take it for; nothing for a name."""
    found = _address(text)
    if found is None:
        return
    yield found
    if isinstance(found, ipaddress.IPv4Address):
        return
    bits = int(found)
    if any(found in one for one in (*_ENDS_IN_IPV4, _LOCAL_NAT64)):
        yield ipaddress.IPv4Address(bits & 0xFFFFFFFF)
    if found in _LOCAL_NAT64:  # bits 64 to 71 belong to no address
        without = (bits >> 64 << 56) | (bits & ((1 << 56) - 1))
        for length in _LOCAL_NAT64_BITS:
            yield ipaddress.IPv4Address(without >> (120 - length - 32) & 0xFFFFFFFF)
    if found.sixtofour is not None:
        yield found.sixtofour
    if found.teredo is not None:
        yield from found.teredo


def _covers(entry: str, host: Host) -> bool:
    name, port = _split(entry)
    if port is not None and port != host.port:
        return False
    if name.startswith("*."):
        if _address(host.name) is not None:
            return False  # numbers have nothing below them
        return host.name.endswith(name[1:]) and len(host.name) > len(name) - 1
    return host.name == name


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text.split("%", 1)[0])
    except ValueError:
        return None


def _split(entry: str) -> tuple[str, int | None]:
    """Name and port of an entry; an IPv6 address with a port stands in brackets."""
    bare = entry.strip().lower()
    if bare.startswith("["):
        name, _, rest = bare[1:].partition("]")
        port = rest.removeprefix(":")
    elif bare.count(":") == 1:
        name, _, port = bare.partition(":")
    else:
        name, port = bare, ""
    if port and not port.isdecimal():
        return "", None  # nothing has this name
    return name.removesuffix("."), int(port) if port else None
