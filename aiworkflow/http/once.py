"""Idempotency keys: a key of a caller names one request, and what that begins has the key's name.

A key is claimed before anything is begun. Whoever comes with it again, or at the same time, meets the
claim: the same request goes on to what has that name, so it is begun once, whatever was lost between;
another request is refused.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from aiworkflow.http.problem import RequestRefused
from aiworkflow.runtime.submit import claim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Json
    from aiworkflow.http.route import Asked


def claimed(asked: Asked, what: str) -> str:
    """The name of what a request begins; "" for a request without a key.

    Args:
        what: is asked for, as its route says.

    Raises:
        RequestRefused: the key was used for another request.
    """
    if not asked.key:
        return ""
    name = f"api\n{asked.caller.actor}\n{asked.key}"
    request = digest_of({"asked": what, **asked.path, "body": dict(asked.body)})
    if claim(asked.client.runtime, f"claim\n{name}", request) != request:
        raise other_request()
    return hashlib.sha256(name.encode()).hexdigest()


def digest_of(request: Mapping[str, Json]) -> str:
    """What tells a request from others."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def other_request() -> RequestRefused:
    """The error of a key that was used before."""
    return RequestRefused(
        "other-request",
        "this Idempotency-Key was used for another request",
        hint="take a new key for a new request",
    )
