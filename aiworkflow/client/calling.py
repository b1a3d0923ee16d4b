"""Calling a tool by hand: a workflow of one step, which goes the way of all others."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.bundle.workflow import Effect, Json
from aiworkflow.client.tools import ask_servers, declared, find_tool, server_settings
from aiworkflow.diagnostics import Severity
from aiworkflow.errors import RefusedError, UsageError
from aiworkflow.expr import coerce
from aiworkflow.tools.mcp.lock import LOCK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.client.project import Checked, Project
    from aiworkflow.client.tools import Offered

_NAME = "tools-call"


class CallNotAgreed(RefusedError):
    """A call of a tool writes, and nobody agreed to it; nothing was started."""

    code = "call-not-agreed"

    def __init__(self, tool: Offered) -> None:
        claim = f" (its server says: {tool.claimed})" if tool.claimed else ""
        super().__init__(
            f"`{tool.name}` counts as `{tool.effect}`{claim}, and nobody agreed to the call",
            hint="agree beforehand: --yes, or agreed=True from Python",
        )


async def prepared_call(
    project: Project,
    name: str,
    arguments: Mapping[str, Json],
    texts: Mapping[str, str],
    *,
    bundle: str | Path | Checked | None,
    agreed: bool,
) -> Checked:
    """A workflow of one step, which calls a tool.

    Args:
        texts: arguments as text, turned into the types that the tool declares.
        bundle: with the tools and servers of this one, too.
        agreed: to a call that writes.

    Raises:
        UsageError: there is no such operation, or an argument is of another type.
        CallNotAgreed: it writes. BundleInvalid: the bundle has errors.
    """
    checked = project.check(bundle) if isinstance(bundle, str | Path) else bundle
    if checked is not None:
        checked.without_errors()
    tool = await _found(project, name, checked)
    given = dict(arguments) | {one: _value_of(text, one, tool) for one, text in texts.items()}
    if not agreed and tool.effect != "read":
        raise CallNotAgreed(tool)
    called = _call_of(project, tool, given, checked if tool.origin != "built in" else None)
    _check_arguments(called, tool)
    return called


def _check_arguments(called: Checked, tool: Offered) -> None:
    """Say what is wrong with a call in its own words: who makes it has never seen the workflow of it.

    Raises:
        UsageError: the arguments are not those of the tool.
    """
    found = [
        one
        for one in called.report.sorted()
        if one.severity is Severity.ERROR and one.place.path.endswith(".md")
    ]
    if not found:
        return
    # AW7…: what follows of a mistake, and not the mistake
    texts = [one.message for one in found if not one.code.startswith("AW7")]
    if not texts and tool.name.startswith("http."):
        texts = ["`url` names no host"]
    if texts:
        raise UsageError(
            "; ".join(texts), hint=f"see what it takes: aiworkflow tools show {tool.name}"
        )


def _as_data(value: Json) -> Json:
    """An argument as it stands in a workflow: what looks like a template there is the text itself."""
    if isinstance(value, str) and "{{" in value:
        return f"{{{{ {json.dumps(value, ensure_ascii=False)} }}}}"
    if isinstance(value, list):
        return [_as_data(one) for one in value]
    if isinstance(value, dict):
        return {name: _as_data(one) for name, one in value.items()}
    return value


async def _found(project: Project, name: str, checked: Checked | None) -> Offered:
    known = declared(checked)
    if name.startswith("mcp:"):
        servers = server_settings(project, checked)
        known, asked = await ask_servers(project, servers, [name[4:].partition("/")[0]])
        for server in asked:
            if server.state == "fails":
                raise UsageError(server.text, hint=server.hint)
    for one in find_tool(known, name):
        if one.name == name:
            return one
    raise UsageError(
        f"`{name}` has several operations", hint=f"see them: aiworkflow tools show {name}"
    )


def _call_of(
    project: Project, tool: Offered, arguments: Mapping[str, Json], checked: Checked | None
) -> Checked:
    """A workflow of one step, which is the call: it may do what the call needs, and nothing else.

    Args:
        checked: the bundle that the tool is of, if it is of one.
    """
    from aiworkflow.client.builder import WorkflowBuilder

    allow = _needs(tool, arguments, project, checked)
    written = WorkflowBuilder(
        _NAME, description=f"A call of {tool.name} by hand.", allow=cast("Json", allow)
    )
    as_data = {name: _as_data(value) for name, value in arguments.items()}
    written.tool("call", tool.name, as_data).output("output", "{{ steps.call.output }}")
    built = written.build()
    if checked is None or checked.workflow is None:
        return dataclasses.replace(project.check(built), label=f"call of {tool.name}")
    files = [file for file in checked.workflow.files if not file.path.endswith(".md")]
    with tempfile.TemporaryDirectory(prefix="aiworkflow-") as folder:
        root = Path(folder).resolve() / _NAME
        for file in files:
            path = root / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        for path in (root / "tests", root / "prompts"):
            shutil.rmtree(path, ignore_errors=True)
        root.mkdir(exist_ok=True)
        lock = Path(checked.workflow.root) / LOCK
        if lock.is_file():
            (root / LOCK).write_bytes(lock.read_bytes())
        (root / "workflow.md").write_text(built.document, encoding="utf-8")
        for one in (*checked.workflow.tools.values(),):
            (root / one.path).chmod(0o755)
        return dataclasses.replace(project.check(root), label=f"call of {tool.name}")


def _needs(
    tool: Offered, arguments: Mapping[str, Json], project: Project, checked: Checked | None
) -> dict[str, list[str]]:
    """What the call must be allowed."""
    from urllib.parse import urlsplit

    network = list(tool.network)
    if tool.name.startswith("http."):
        network.append(urlsplit(str(arguments.get("url", ""))).netloc.rpartition("@")[2])
    if tool.name.startswith("mcp:"):
        server = server_settings(project, checked)[tool.name[4:].partition("/")[0]]
        network += [urlsplit(server.url).netloc.rpartition("@")[2]] if server.url else []
    needs = {
        "write": [tool.name] if tool.name != "file.write" else [],
        "network": [one for one in network if one],
        "secrets": list(tool.secrets),
        "paths": [],
    }
    if tool.name in {"file.write", "git.worktree"}:
        needs["paths"] = [str(arguments.get("path", ""))]
    if tool.effect is Effect.READ and not tool.name.startswith("mcp:"):
        needs["write"] = []
    return {kind: names for kind, names in needs.items() if names}


def _value_of(text: str, name: str, tool: Offered) -> Json:
    """An argument of a command line in the type that the tool declares; text where it does not.

    Raises:
        UsageError: it is none of that type.
    """
    for one in tool.fields or ():
        if one.name == name:
            try:
                return coerce(one.schema, text)
            except ValueError as error:
                raise UsageError(f"--{name}: {error}") from error
    about = (tool.inputs or {}).get("properties")
    said = about.get(name) if isinstance(about, dict) else None
    if tool.fields is not None or (isinstance(said, dict) and said.get("type") == "string"):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return cast("Json", found)
