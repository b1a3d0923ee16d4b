"""Trying webhooks out: what an event would do, sending it signed to a server, sending one again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlencode

from aiworkflow.client.inputs import check_inputs
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.records import record
from aiworkflow.triggers.contract import Occurrence
from aiworkflow.triggers.starting import inputs_of
from aiworkflow.triggers.webhook.accept import Given, named
from aiworkflow.triggers.webhook.events import event_of
from aiworkflow.triggers.webhook.payload import Unreadable, read_body, safe_headers
from aiworkflow.triggers.webhook.posting import post
from aiworkflow.triggers.webhook.recent import recent
from aiworkflow.triggers.webhook.route import Route
from aiworkflow.triggers.webhook.samples import sample
from aiworkflow.triggers.webhook.sign import sign
from aiworkflow.trust.secrets import EnvironmentSecrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.webhook import Verify
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.triggers.catalogue import Catalogue
    from aiworkflow.triggers.contract import Armed
    from aiworkflow.triggers.webhook.posting import Sent

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_IDS_IN_BODY: Final = {"stripe": ("id",), "slack": ("event_id", "trigger_id")}
_NO_SECRET: Final = "whsec_" + "A" * 32  # of every form; nothing is verified with it
_OWN: Final = frozenset({
    "host", "content-length", "content-type", "connection", "transfer-encoding", "ce-id",
    "i-twilio-idempotency-token", "idempotency-key", "webhook-id", "x-github-delivery",
    "x-gitlab-event-uuid", "x-request-uuid", "x-shopify-webhook-id",
})  # fmt: skip


@record
class Event:
    """An event to be tried.

    Attributes:
        headers: that say what it is; not those that sign it.
        kind: type of the body.
        delivery: its id.
    """

    body: bytes
    headers: Mapping[str, str]
    kind: str
    delivery: str


def entry_of(catalogue: Catalogue, bundle: str) -> Armed:
    """The webhook of a bundle; of several, one is named as `BUNDLE/webhook.2`.

    Raises:
        UsageError: it has none, or several.
    """
    every = catalogue.armed("webhook")
    found = [one for one in every if one.name == bundle] or [
        one for one in every if one.bundle == bundle or one.bundle.endswith(f"/{bundle}")
    ]
    if len(found) == 1:
        return found[0]
    named_ = ", ".join(f"`{one.name}`" for one in (found or every))
    problem = next(
        (text for label, text in catalogue.problems.items() if label.endswith(bundle)), ""
    )
    if problem:
        raise UsageError(f"`{bundle}` cannot be used: {problem}")
    if found:
        raise UsageError(f"`{bundle}` has several webhooks: {named_}", hint="give one of these")
    raise UsageError(
        f"there is no webhook of `{bundle}`",
        hint=f"webhooks here: {named_}" if named_ else "add `on: {webhook: …}` to its frontmatter",
    )


def event_to_try(armed: Armed, name: str, payload: bytes | None, delivery: str) -> Event:
    """An event of the kind that an entry takes: with the body given, or a sample.

    Raises:
        UsageError: there is no sample of such an event.
    """
    scheme = cast("Verify", armed.trigger.values["verify"]).scheme
    events = cast("list[str]", armed.trigger.values.get("events", []))
    first = next((one for one in events if "*" not in one), "")
    wanted, _, action = (
        (name or first).partition(".") if scheme == "github" else (name or first, "", "")
    )
    event = wanted or ("push" if scheme == "github" else "test")
    body = payload if payload is not None else sample(scheme, event, action, delivery)
    headers = {
        "github": {"x-github-event": event},
        "gitlab": {"x-gitlab-event": event},
        "bitbucket": {"x-event-key": event},
        "shopify": {"x-shopify-topic": event},
    }.get(scheme, {})
    kind = _JSON if body[:1] in {b"{", b"["} else _FORM if b"=" in body else _JSON
    return Event(body, headers, kind, delivery)


def event_again(client: Client, delivery: str, new_id: str) -> tuple[str, Event]:
    """An event that was delivered, and the entry that took it, by the id of `webhook list`.

    Args:
        new_id: what it is sent with; "" for the id that it had.

    Raises:
        UsageError: there is none, several, or nothing of its body was kept.
    """
    found = [one for one in recent(client.journal) if str(one["id"]).startswith(delivery)]
    if len(found) != 1 or not delivery:
        what = "several deliveries begin with" if len(found) > 1 else "there is no delivery"
        raise UsageError(f"{what} `{delivery}`", hint="list them: aiworkflow webhook list")
    one = found[0]
    kind = str(one.get("kind") or _JSON)
    if "run" in one:
        first = json.loads(client.journal.record(str(one["run"]), 1).payload)
        trigger = cast("dict[str, Json]", first["trigger"])
        body, headers = _written(trigger["body"], kind), trigger["headers"]
    elif "body" in one:
        body, headers = str(one["body"]).encode(), one.get("headers")
    else:
        raise UsageError(
            f"nothing of the body of delivery `{one['id']}` was kept",
            hint="a stranger's is not, nor one of more than 64 KiB that started no run",
        )
    told = headers if isinstance(headers, dict) else {}
    kept = {name: str(value) for name, value in told.items() if name not in _OWN}
    id_ = new_id or str(one.get("delivery") or new_id)
    return str(one["route"]), Event(body, kept, kind, id_)


def renamed(armed: Armed, event: Event) -> Event:
    """An event as one of its own: of senders that write its id into the body, with its new id there."""
    scheme = cast("Verify", armed.trigger.values["verify"]).scheme
    try:
        body = read_body(event.body, event.kind)
    except Unreadable:
        return event
    if scheme not in _IDS_IN_BODY or not isinstance(body, dict):
        return event
    ids = {name: event.delivery for name in _IDS_IN_BODY[scheme] if name in body}
    return replace(event, body=_written({**body, **ids}, event.kind))


def _written(body: Json, kind: str) -> bytes:
    """A body as it may have come."""
    if body is None:
        return b""
    if kind.partition(";")[0].strip().lower() == _FORM:
        is_flat = isinstance(body, dict) and all(map(_is_field, body.values()))
        fields = body if is_flat else {"payload": json.dumps(body, ensure_ascii=False)}
        return urlencode(cast("dict[str, Json]", fields), doseq=True).encode()
    if isinstance(body, str) and "json" not in kind:
        return body.encode()
    return json.dumps(body, ensure_ascii=False).encode()


def _is_field(value: Json) -> bool:
    """Whether a form can hold it, under one name."""
    if isinstance(value, list):
        return len(value) > 1 and all(isinstance(one, str) for one in value)
    return isinstance(value, str)


# -- what it would do ------------------------------------------------------------------------------


def would(client: Client, catalogue: Catalogue, armed: Armed, event: Event) -> dict[str, Json]:
    """What an event would do, as plain data; nothing is sent and nothing started."""
    route = Route(armed, lambda _: _NO_SECRET)
    found: dict[str, Json] = {"route": armed.name, "path": route.path, "matches": False}
    try:
        body = read_body(event.body, event.kind)
    except Unreadable as error:
        return {**found, "why": str(error)}
    headers = {**event.headers, "content-type": event.kind}
    data: dict[str, Json] = {
        "path": route.path,
        "query": {},
        "headers": safe_headers(headers, route.telling),
        "body": body,
    }
    now = client.project.clock.now().timestamp()
    known = replace(event_of(route.verify, headers, body), delivery=event.delivery)
    try:
        named_event, trigger = named(route, Given(headers, data, event.body, now), known)
        found |= {"event": named_event.name, "action": named_event.action}
        why = route.why_not(named_event, trigger)
        problems = route.problems(body)
        if why or problems:
            return {**found, "why": why or "schema", "problems": [*problems]}
        if not route.starts:
            return {**found, "matches": True, "inputs": None}
        inputs = inputs_of(armed, Occurrence("", now, trigger), trigger)
        new = catalogue.new_run(armed)
        return {
            **found,
            "matches": True,
            "inputs": check_inputs(new.plan.name, new.plan.inputs, inputs),
        }
    except AIWorkflowError as error:
        return {**found, "why": error.message}


# -- sending ---------------------------------------------------------------------------------------


def send(client: Client, armed: Armed, event: Event, server: str, certificate: str = "") -> Sent:
    """Send an event, signed as its sender does, to a server that runs.

    Args:
        server: where it is: `http://127.0.0.1:8080`, or `unix:/path`.
        certificate: file with the certificate that it is known by, whatever its name; "" for one that
            somebody vouches for.

    Raises:
        SecretMissing: it cannot be signed here. UnavailableError: no server answers.
        UsageError: `server` is no URL, or only a certificate can show who sends.
    """
    project = client.project
    verify = cast("Verify", armed.trigger.values["verify"])
    secret = EnvironmentSecrets(project.environ).get(verify.secrets[0]) if verify.secrets else ""
    at = project.clock.now().timestamp()
    address = "http://localhost" if server.startswith("unix:") else server.rstrip("/")
    url = address + str(armed.trigger.values["path"])
    signed = sign(
        verify, secret, event.body, url=url, at=at, delivery=event.delivery, content_type=event.kind
    )
    headers = {"idempotency-key": event.delivery, **event.headers, **signed.headers}
    return post(signed.url, event.body, headers, server, certificate)
