"""Which hosts a workflow may talk to: `allow: network`, and addresses that no name may lead to."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where clouds hand out credentials to whoever asks from within, beside all of link-local.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)


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

    That is so for addresses that are link-local or serve cloud credentials, unless `allow: network`
    has the address itself. A name that is allowed is not enough: who owns the name chooses where it
    leads.
    """
    found = _address(address)
    if found is None:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if not (found.is_link_local or found in _METADATA):
        return False
    return not any(_split(entry)[0] == str(found) for entry in network)


def _covers(entry: str, host: Host) -> bool:
    name, port = _split(entry)
    if port is not None and port != host.port:
        return False
    if name.startswith("*."):
        if _address(host.name) is not None:
            return False  # numbers have nothing below them
        return host.name.endswith(name[1:]) and len(host.name) > len(name) - 1
    return host.name == name


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
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
