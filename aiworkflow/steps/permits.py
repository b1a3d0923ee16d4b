"""What the agent of a step may do by itself: from the workflow and the settings to its task."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.agents.contract import AgentError
from aiworkflow.agents.permit import ALLOW, ASK, DENY, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.agents import AgentConfig
    from aiworkflow.agents.contract import PermissionRequest, Permit
    from aiworkflow.steps.contract import Ports, Work


def permitted(work: Work, config: AgentConfig, ports: Ports, *, may_edit: bool) -> Permit:
    """What answers the requests of a step's agent; each request and its answer is in the log."""
    said = cast("Mapping[str, str]", config.program.get("permit") or {})
    allow = work.node.allow or work.allow
    policy = Policy(
        work.project,
        work.cwd,
        may_edit,
        allow.paths,
        allow.network,
        said.get("read", ALLOW),
        said.get("edit", ALLOW),
        said.get("execute", DENY),
    )

    async def permit(request: PermissionRequest) -> bool:
        verdict = policy.decide(request)
        about = request.command or ", ".join(request.paths) or request.title
        if request.kind != "read" or verdict.word != ALLOW:
            because = f": {verdict.reason}" if verdict.reason else ""
            ports.log(f"\n[{verdict.word}: {request.kind} {about[:300]}{because}]\n")
        if verdict.word == ASK:
            raise _unasked(config.name, request, about)
        return verdict.word == ALLOW

    return permit


def _unasked(agent: str, request: PermissionRequest, about: str) -> AgentError:
    kind = request.kind if request.kind in {"read", "edit", "execute"} else "execute"
    kind = "edit" if request.kind == "delete" else kind
    return AgentError(
        "permission",
        f"`{agent}` asks to {_VERBS.get(request.kind, 'do')} {about[:300]}, and a person is to say"
        " whether it may",
        hint=f"allow it with `agents: {{{agent}: {{permit: {{{kind}: allow}}}}}}` in config.yaml",
    )


_VERBS = {"read": "read", "edit": "edit", "delete": "delete", "execute": "run", "fetch": "fetch"}
