"""What each step does to the outside, what it is given, and whether that is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.builtins import BUILTINS
from aiworkflow.bundle.workflow import (
    AgentCall,
    Allow,
    Assign,
    Child,
    Effect,
    Group,
    Operation,
    Script,
    Step,
    ToolCall,
    Workflow,
)
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import Expression, references
from aiworkflow.records import record
from aiworkflow.settings.layers import covers

if TYPE_CHECKING:
    from aiworkflow.diagnostics import Place, Report

RANK: Final = {effect: number for number, effect in enumerate(Effect)}
WRITES: Final = frozenset({Effect.IDEMPOTENT, Effect.WRITE, Effect.DESTRUCTIVE})


@record
class Reach:
    """What a step can do to the outside.

    Attributes:
        operation: of a tool call, declared or built in; None where it is unknown.
        writes: the operations it needs `allow.write` for.
    """

    effect: Effect
    operation: Operation | None = None
    secrets: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def is_dangerous(self) -> bool:
        """Whether text from outside must not steer it: it has a secret, a host, or writes."""
        return bool(self.secrets or self.network) or self.effect in WRITES


def worst(effects: list[Effect]) -> Effect:
    """The worst of some classes; `read` for none."""
    return max(effects, key=RANK.__getitem__, default=Effect.READ)


def secret_names(env: object) -> dict[str, str]:
    """Environment variable → secret, for values that are `{{ secrets.NAME }}`."""
    found: dict[str, str] = {}
    if not isinstance(env, dict):
        from collections.abc import Mapping

        env = dict(env) if isinstance(env, Mapping) else {}
    for key, value in env.items():
        if isinstance(value, Expression):
            for reference in references(value):
                if reference.path[0] == "secrets" and len(reference.path) == 2:
                    found[key] = str(reference.path[1])
    return found


class Effects:
    """Works out the reach of the steps of one workflow, and reports what is not allowed."""

    def __init__(self, workflow: Workflow, report: Report) -> None:
        self.workflow = workflow
        self.report = report
        self.inherited = secret_names(workflow.env)

    def reach(self, step: Step, outer_env: dict[str, str]) -> Reach:
        """The reach of a step that holds no others.

        Args:
            outer_env: secrets that outer layers of `env` hand down: variable → secret.
        """
        secrets = {**self.inherited, **outer_env, **secret_names(step.env)}
        match step.action:
            case Script():
                allow = step.allow or self.workflow.allow
                derived = Effect.WRITE if allow or secrets else Effect.READ
                found = Reach(
                    step.effect or derived, None, tuple(dict.fromkeys(secrets.values())), (), ()
                )
                return self._checked(step, found)
            case ToolCall():
                return self._checked(step, self._tool(step, step.action, secrets))
            case AgentCall(tools=tools):
                return Reach(step.effect or (Effect.WRITE if tools else Effect.READ))
            case Assign():
                return Reach(Effect.READ)
            case Group():
                return Reach(step.effect or Effect.READ)
            case Child():
                return Reach(step.effect or Effect.WRITE)
            case _:
                return Reach(step.effect or Effect.READ)

    # -- tools ------------------------------------------------------------------------------------

    def _tool(self, step: Step, call: ToolCall, env: dict[str, str]) -> Reach:
        from_env = tuple(dict.fromkeys(env.values()))
        if call.server is not None:
            return Reach(step.effect or Effect.DESTRUCTIVE, None, from_env, (), (call.name,))
        place = step.where.get("uses", step.place)
        tool = BUILTINS.get(call.tool) or self.workflow.tools.get(call.tool)
        if tool is None:
            known = [*self.workflow.tools, *BUILTINS]
            hint = did_you_mean(call.tool, known) or f"tools are {', '.join(known)}"
            self.report.error("AW110", place, f"there is no tool `{call.tool}`", hint)
            return Reach(Effect.READ)
        if not tool.operations:  # tools.yaml is silent
            allow = step.allow or self.workflow.allow
            effect = step.effect or (Effect.WRITE if allow else Effect.READ)
            return Reach(effect, None, from_env, (), (call.name,) if effect in WRITES else ())
        operation = tool.operation(call.operation)
        if operation is None:
            self._no_operation(call, list(tool.operations), place)
            return Reach(Effect.READ)
        self._check_arguments(step, call, operation)
        effect = operation.effect or (
            Effect.WRITE
            if self.workflow.allow or operation.network or operation.secrets
            else Effect.READ
        )
        if step.effect is not None:
            if RANK[step.effect] < RANK[effect] and operation.effect is not None:
                self.report.error(
                    "AW701",
                    step.where["effect"],
                    f"`{call.name}` is declared as `{effect}`, and a step cannot make it less",
                    f"remove `effect`, or change it in tools.yaml: `effect: {step.effect}`",
                )
            effect = step.effect
        secrets = tuple(dict.fromkeys((*from_env, *operation.secrets)))
        network = operation.network or self._literal_host(step, call)
        paths = ("path",) if call.tool == "file" and effect in WRITES else ()
        writes = (call.name,) if effect in WRITES and not paths else ()
        return Reach(effect, operation, secrets, network, writes, paths)

    def _no_operation(self, call: ToolCall, known: list[str], place: Place) -> None:
        verbs = [verb for verb in known if verb]
        if call.operation:
            hint = did_you_mean(call.operation, verbs)
            listed = f"it has {', '.join(verbs)}" if verbs else f"write `uses: {call.tool}`"
            self.report.error(
                "AW111", place, f"`{call.tool}` has no operation `{call.operation}`", hint or listed
            )
        else:
            self.report.error(
                "AW111",
                place,
                f"`{call.tool}` has several operations",
                f"name one of {', '.join(verbs)}: `uses: {call.tool}.{verbs[0]}`",
            )

    def _check_arguments(self, step: Step, call: ToolCall, operation: Operation) -> None:
        if operation.inputs is None:
            return
        known = {field.name: field for field in operation.inputs}
        for name in call.arguments:
            if name not in known:
                place = step.where.get(f"with.{name}@") or step.place
                hint = did_you_mean(name, known) or f"it takes {', '.join(known) or 'none'}"
                self.report.error("AW112", place, f"`{call.name}` has no argument `{name}`", hint)
        for name, field in known.items():
            if field.required and name not in call.arguments:
                place = step.where.get("uses") or step.place
                self.report.error(
                    "AW113",
                    place,
                    f"`{call.name}` needs the argument `{name}`",
                    f"add `{name}:` below `with`",
                )

    @staticmethod
    def _literal_host(step: Step, call: ToolCall) -> tuple[str, ...]:
        if call.tool != "http":
            return ()
        url = step.action.arguments.get("url") if isinstance(step.action, ToolCall) else None
        if not isinstance(url, str) or "://" not in url:
            return ("*",)
        rest = url.split("://", 1)[1]
        return (rest.split("/", 1)[0].rpartition("@")[2],)

    # -- what is allowed --------------------------------------------------------------------------

    def _checked(self, step: Step, reach: Reach) -> Reach:
        allow = self.workflow.allow
        if step.allow is not None:
            self._check_narrower(step, step.allow, allow)
            allow = step.allow
        place = step.where.get("uses") or step.place
        for name in reach.writes:
            if not any(covers(one, name) for one in allow.write):
                self.report.error(
                    "AW702",
                    place,
                    f"`{name}` writes, and `allow.write` does not name it",
                    f"add it to the frontmatter: `allow: {{write: [{name}]}}`",
                )
        for host in reach.network:
            if host == "*":
                fits = bool(allow.network)
            else:
                fits = any(covers(one, host) for one in allow.network)
            if not fits:
                shown = "a host" if host == "*" else f"`{host}`"
                self.report.error(
                    "AW703",
                    place,
                    f"this step talks to {shown}, which `allow.network` does not name",
                    "add it to the frontmatter: `allow: {network: [host]}`",
                )
        for secret in reach.secrets:
            if secret not in allow.secrets:
                self.report.error(
                    "AW704",
                    place,
                    f"this step is given the secret `{secret}`, which `allow.secrets` does not name",
                    f"add it to the frontmatter: `allow: {{secrets: [{secret}]}}`",
                )
        if reach.paths and not allow.paths:
            self.report.error(
                "AW705",
                place,
                "this step writes files, and `allow.paths` names no place for them",
                'add it to the frontmatter: `allow: {paths: ["out/**"]}`',
            )
        return reach

    def _check_narrower(self, step: Step, own: Allow, outer: Allow) -> None:
        for kind in ("write", "network", "secrets", "paths"):
            for one in getattr(own, kind):
                if not any(covers(wide, one) for wide in getattr(outer, kind)):
                    place = step.where.get(f"allow.{kind}") or step.place
                    self.report.error(
                        "AW706",
                        place,
                        f"a step's `allow` can only narrow: `{one}` is not allowed",
                        f"allow it in the frontmatter, under `allow.{kind}`",
                    )
