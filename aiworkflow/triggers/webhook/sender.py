"""Whose request it is, as limits count it: the address of the sender, behind whatever stands before.

A proxy has one address for all senders: counted by that, one stranger could have all others refused. So
the requests of known proxies are counted by what they say of the sender, in the last entry of
`X-Forwarded-For` that is no proxy itself; where they say nothing, by nothing.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

USUAL: Final = ("127.0.0.0/8", "::1/128")
"""Who is a proxy where nothing else is said: this machine itself."""

_MOST_HOPS: Final = 20


class Senders:
    """Tells senders apart.

    Args:
        proxies: networks whose addresses are those of proxies: `10.0.0.0/8`.

    Raises:
        UsageError: one of them is no network.
    """

    def __init__(self, proxies: Sequence[str] = USUAL) -> None:
        try:
            self._proxies = [ip_network(one, strict=False) for one in proxies]
        except ValueError as error:
            raise UsageError(
                f"`serve.webhooks.proxies`: {error}",
                hint="write networks such as `10.0.0.0/8`, or single addresses",
            ) from error
        self._known = lru_cache(maxsize=4096)(self._look_at)

    def of(self, peer: str, pairs: Sequence[tuple[bytes, bytes]]) -> str:
        """What a request counts for; "" where that is not known.

        Args:
            peer: the address that the connection comes from; "" for a Unix socket.
            pairs: the headers.
        """
        name, is_proxy = self._known(peer)
        if not is_proxy:
            return name
        said = [value.decode("latin-1") for key, value in pairs if key == b"x-forwarded-for"]
        for hop in reversed(",".join(said).split(",")[-_MOST_HOPS:]):
            name, is_proxy = self._known(hop.strip()[:60])
            if name and not is_proxy:
                return name
        return ""

    def _look_at(self, address: str) -> tuple[str, bool]:
        """An address as it is counted, "" for none that is known; and whether it is a proxy's."""
        try:
            found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        except ValueError:
            return "", not address
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if any(found in network for network in self._proxies):
            return "", True
        if isinstance(found, IPv6Address):  # within a network anyone has any number of them
            return str(IPv6Network((found, 64), strict=False)), False
        return str(found), False
