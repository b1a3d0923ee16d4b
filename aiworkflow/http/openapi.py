"""The description of the API, OpenAPI 3.1, made of the table of routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow import __version__
from aiworkflow.http.schemas import COMPONENTS, ref
from aiworkflow.http.table import HEALTH, TABLE

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.route import Route

API: Final = "/api/v1"

_ALWAYS: Final = (400, 401, 403, 421, 429, 500, 503)
_WORDS: Final = {
    400: "The request is not what it must be.",
    401: "A token is needed, or the one that was shown is good for nothing.",
    403: "The token is not for that, or a policy refuses it.",
    404: "There is nothing of this name.",
    409: "It cannot be done as things stand.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The request is for another host.",
    422: "The bundle, the inputs, or the Idempotency-Key cannot be used.",
    429: "Too many requests; `Retry-After` says when there may be more.",
    500: "The server has failed; `id` finds the reason in its log.",
    503: "The journal does not answer, or the server goes down; `Retry-After` may say when.",
}


def openapi() -> dict[str, Json]:
    """The whole description."""
    paths: dict[str, dict[str, Json]] = {}
    for route in TABLE:
        paths.setdefault(API + route.path, {})[route.method.lower()] = _operation(route)
    for route in HEALTH:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aiworkflow",
            "version": __version__,
            "summary": "Runs of AI workflows: start, follow, answer, steer.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {path: dict(operations) for path, operations in paths.items()},
        "components": {
            "schemas": dict(COMPONENTS),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Made by `aiworkflow token create`; not needed on the loopback "
                    "while there is none.",
                }
            },
        },
    }


def operation_id(route: Route) -> str:
    """A name of the operation, for programs that make code of the description."""
    words = [word.strip("{}") for word in route.path.split("/") if word]
    return "_".join([route.method.lower(), *words])


def _operation(route: Route) -> dict[str, Json]:
    found: dict[str, Json] = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [route.path.split("/")[1]],
    }
    scope = f"Takes a token with the scope `{route.scope}`." if route.scope else ""
    text = " ".join(filter(None, (route.doc, scope)))
    if text:
        found["description"] = text
    if not route.scope:
        found["security"] = []
    parameters = _parameters(route)
    if parameters:
        found["parameters"] = parameters
    if route.body is not None:
        content: Json = {"application/json": {"schema": route.body}}
        found["requestBody"] = {"required": bool(route.body.get("required")), "content": content}
    found["responses"] = _responses(route)
    return found


def _parameters(route: Route) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in route.names
    ]
    found += [
        {
            "name": one.name,
            "in": "query",
            **({"required": True} if one.is_needed else {}),
            "description": one.doc,
            "schema": one.schema(),
        }
        for one in route.query
    ]
    if route.starts:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same request with the same key is done once.",
                "schema": {"type": "string", "maxLength": 255},
            }
        )
    if route.stream:
        found.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "The last event that was seen.",
                "schema": {"type": "string"},
            }
        )
    return found


def _responses(route: Route) -> dict[str, Json]:
    content: dict[str, Json] = {"application/json": {"schema": route.gives}}
    if route.binary:
        content = {"application/octet-stream": {}}
    if route.stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    found: dict[str, Json] = {str(route.status): {"description": "Done.", "content": content}}
    if route.starts:
        words = "It was done before, with this key."
        found["200"] = {"description": words, "content": content}
    if not route.scope:
        for status in route.errors:
            found[str(status)] = {"description": "Not ready.", "content": content}
        return found
    for status in sorted(problem_statuses(route)):
        problem: Json = {"application/problem+json": {"schema": ref("Problem")}}
        found[str(status)] = {"description": _WORDS[status], "content": problem}
    return found


def problem_statuses(route: Route) -> set[int]:
    """The statuses of the problems that a route can have."""
    found = {*_ALWAYS, *route.errors}
    keys = (route.body or {}).get("properties")
    if route.names or route.usage == 404 or (isinstance(keys, dict) and "bundle" in keys):
        found.add(404)
    if any(one.name in {"bundle", "run"} for one in route.query):
        found.add(404)
    if route.body is not None:
        found |= {413, 415}
    return found
