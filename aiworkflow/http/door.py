"""Who may come in: the host that is meant, the page that asks, the token that is shown, how often."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from aiworkflow.http.problem import RequestRefused
from aiworkflow.http.route import Caller
from aiworkflow.trust.tokens import SCOPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.http.context import Context
    from aiworkflow.http.route import Route

_OWN_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SCHEME: Final = "bearer "
_OF_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def check_host(context: Context, headers: Mapping[str, str]) -> None:
    """Whether this server is meant, and whether no page of another one asks in a browser.

    A name that somebody else owns can be made to lead to this machine. On the loopback only its own
    names are answered, so that a page in a browser here cannot come in by such a name.

    Raises:
        RequestRefused: another host is meant, or another origin asks.
    """
    host = headers.get("host", "").lower()
    name = _name_of(host)
    known = context.hosts | _OWN_NAMES
    if (context.is_local or context.hosts) and name not in known:
        raise RequestRefused(
            "wrong-host",
            "this server does not go by the name in the request",
            hint="use localhost, or name the host in `serve.hosts`",
        )
    origin = headers.get("origin", "")
    if origin and origin.partition("://")[2].lower() != host:
        raise RequestRefused("foreign-origin", "pages of other origins are not answered")


def who_asks(context: Context, route: Route, headers: Mapping[str, str], address: str) -> Caller:
    """Who asks, and whether they may ask that.

    Raises:
        RequestRefused: a token is needed, or is good for nothing, or for other things; or somebody asks
            too often.
    """
    shown = headers.get("authorization", "")
    if not route.scope:
        return Caller("", (), address)
    if not shown:
        if context.must_show or context.tokens.are_there():
            raise _unauthorized("this needs a token")
        if any(name in headers for name in _OF_PROXIES):
            raise _unauthorized("a proxy brings this, perhaps for others than this machine")
        caller = Caller(context.client.project.actor, SCOPES, address)
    else:
        caller = _of_token(context, shown, address)
    now = context.client.project.clock.monotonic()
    wait = context.asking.take(f"token {caller.actor}" if caller.token else address, now)
    if wait:
        raise RequestRefused("too-many", "too many requests", hint="ask less often", retry_s=wait)
    # roles of people, which narrow what a token may do in which bundle, are looked at here
    if not caller.may(route.scope):
        raise RequestRefused(
            "forbidden",
            f"the token `{caller.actor}` is not for that: it takes the scope `{route.scope}`",
            hint=f"make one: aiworkflow token create NAME --scope {route.scope}",
        )
    return caller


def _of_token(context: Context, shown: str, address: str) -> Caller:
    token = None
    if shown[: len(_SCHEME)].lower() == _SCHEME:
        token = context.tokens.find(shown[len(_SCHEME) :].strip())
    if token is None:  # whoever has a good one is let in: behind a proxy all have one address
        wait = context.failing.take(address, context.client.project.clock.monotonic())
        if wait:
            raise RequestRefused("too-many", "too many wrong tokens", retry_s=wait)
        raise _unauthorized("the token is not known, or its time is over")
    return Caller(token.name, token.scopes, address, token.digest)


def _unauthorized(text: str) -> RequestRefused:
    return RequestRefused(
        "unauthorized", text, hint="send `Authorization: Bearer …`; see aiworkflow token create"
    )


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether only this machine can come by this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
