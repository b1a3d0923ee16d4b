"""What the agent of a step may do by itself: from the workflow and the settings to its task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiworkflow.agents.contract import AgentError
from aiworkflow.agents.permit import ALLOW, ASK, DENY, Policy
from aiworkflow.settings.units import duration
from aiworkflow.steps.inquiry import APPROVE, Inquiry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.agents import AgentConfig
    from aiworkflow.agents.contract import PermissionRequest, Permit
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.steps.contract import Ports, Work
    from aiworkflow.steps.inquiry import Inquire


def permitted(work: Work, config: AgentConfig, ports: Ports, *, may_edit: bool) -> Permit:
    """What answers the requests of a step's agent; each request and its answer is in the log."""
    said = cast("Mapping[str, Json]", config.program.get("permit") or {})
    allow = work.node.allow or work.allow
    policy = Policy(
        work.project,
        work.cwd,
        may_edit,
        allow.paths,
        allow.network,
        str(said.get("read", ALLOW)),
        str(said.get("edit", ALLOW)),
        str(said.get("execute", DENY)),
    )

    turn = asyncio.Lock()

    async def permit(request: PermissionRequest) -> bool:
        async with turn:  # while a person is asked, nothing else is granted
            return await decided(request)

    async def decided(request: PermissionRequest) -> bool:
        verdict = policy.decide(request)
        about = _about(request)
        if request.kind != "read" or verdict.word != ALLOW:
            because = f": {verdict.reason}" if verdict.reason else ""
            ports.log(f"\n[{verdict.word}: {request.kind} {about}{because}]\n")
        if verdict.word == ASK:
            if ports.ask is None:
                raise _unasked(config.name, request)
            return await _ask(ports.ask, config, request, said, ports)
        return verdict.word == ALLOW

    return permit


async def _ask(
    ask: Inquire,
    config: AgentConfig,
    request: PermissionRequest,
    said: Mapping[str, Json],
    ports: Ports,
) -> bool:
    """Whether a person grants a request. Raises AgentError: nobody has said anything in time."""
    shown: dict[str, Json] = {
        "kind": request.kind,
        "command": request.command,
        "paths": list(request.paths),
        "changes": request.changes,
    }
    by = said.get("by")
    people = by if isinstance(by, list) else [by] if by else []
    held: dict[str, Json] = {"agent": config.label, "id": request.session}
    told = await ask(
        Inquiry(
            APPROVE,
            f"agent `{config.name}` asks",
            f"May `{config.name}` {_VERBS.get(request.kind, 'do')} {_about(request)}?",
            request={name: value for name, value in shown.items() if value},
            by=tuple(str(one) for one in people),
            expires_s=duration(said["expires"]) if "expires" in said else None,
            held=held if request.session else None,
        )
    )
    if told.verdict == "expire":
        text = f"nobody said in time whether `{config.name}` may {request.kind} {_about(request)}"
        raise AgentError("expired", text)
    why = f": {told.comment}" if told.comment else ""
    word = "approved" if told.verdict == "approve" else "rejected"
    ports.log(f"\n[{word} by {told.actor}{why}]\n")
    return told.verdict == "approve"


def _about(request: PermissionRequest) -> str:
    return (request.command or ", ".join(request.paths) or request.title)[:300]


def _unasked(agent: str, request: PermissionRequest) -> AgentError:
    kind = request.kind if request.kind in {"read", "edit", "execute"} else "execute"
    kind = "edit" if request.kind == "delete" else kind
    return AgentError(
        "permission",
        f"`{agent}` asks to {_VERBS.get(request.kind, 'do')} {_about(request)}, and a person is to"
        " say whether it may",
        hint=f"allow it with `agents: {{{agent}: {{permit: {{{kind}: allow}}}}}}` in config.yaml",
    )


_VERBS = {"read": "read", "edit": "edit", "delete": "delete", "execute": "run", "fetch": "fetch"}
