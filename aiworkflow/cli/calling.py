"""Tools from the command line: listing, showing, and calling one as a run of one step."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, cast

from aiworkflow.errors import EXIT_FAILED, EXIT_OK, RefusedError, UsageError
from aiworkflow.jsontext import NotJson, strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.calling import CallNotAgreed
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked, Project
    from aiworkflow.client.run import Run
    from aiworkflow.client.tools import Asked, Offered
    from aiworkflow.engine.carried import Json

_MARKS = {"answers": ("✓", "green"), "fails": ("✗", "red"), "not asked": ("·", "dim")}


def list_tools(bundle: str | None, servers: Sequence[str], folder: str | None, out: Out) -> int:
    """Print the tools there are, and which MCP servers answer."""
    from aiworkflow.client.tools import declared
    from aiworkflow.steady import steady

    project, checked = _opened(bundle, folder)
    tools = [] if servers else declared(checked)
    offered, asked = _asked(project, checked, servers)
    tools += offered
    listed = [one.in_list() for one in tools]
    out.object({"tools": listed, "servers": [one.to_json() for one in asked]})
    if not out.json:
        if listed:
            out.result(tools_table(listed))
        for one in asked:
            mark, style = _MARKS[one.state]
            more = f": {one.text}" if one.text else f", {one.tools} tools"
            line = f"server {one.name} ({one.origin}) {one.state}{more}"
            out.note(f"{out.paint(mark, style, err=True)} {steady(line)}")
    failed = any(one.state == "fails" for one in asked)
    return EXIT_FAILED if failed and servers else EXIT_OK


def show_tool(name: str, bundle: str | None, folder: str | None, out: Out) -> int:
    """Print all there is to know of a tool."""
    project, checked = _opened(bundle, folder)
    say_tools({"tools": [one.to_json() for one in _found(name, project, checked)]}, out)
    return EXIT_OK


def say_tools(about: Mapping[str, Json], out: Out) -> None:
    """Print all there is to know of tools."""
    out.object(about)
    if not out.json:
        tools = cast("list[dict[str, Json]]", about["tools"])
        out.result("\n\n".join("\n".join(_lines(one, out)) for one in tools))


def tools_table(tools: Sequence[Mapping[str, Json]]) -> str:
    """Tools in lines."""
    from aiworkflow.cli.show import table
    from aiworkflow.steady import one_line

    rows = [
        (
            str(one["name"]),
            str(one["effect"]),
            str(one["from"]),
            one_line(str(one["description"]).strip().partition("\n")[0]),
        )
        for one in tools
    ]
    return table(rows, ("TOOL", "EFFECT", "FROM", "DESCRIPTION"))


def call_tool(
    name: str,
    given: str | None,
    words: Sequence[str],
    bundle: str | None,
    agreed: bool,
    where: Where,
    out: Out,
) -> int:
    """Call a tool, as a run of one step."""
    from aiworkflow.cli.running import drive
    from aiworkflow.client.calling import CallNotAgreed

    arguments, texts = _arguments(given, words)

    async def start(client: Client) -> Run:
        try:
            return await client.call_tool(
                name, arguments, texts=texts, bundle=bundle, agreed=agreed
            )
        except CallNotAgreed as refused:
            _agree(refused, {**arguments, **texts}, out)
            return await client.call_tool(name, arguments, texts=texts, bundle=bundle, agreed=True)

    return drive(where.connect(), start, out)


def _opened(bundle: str | None, folder: str | None) -> tuple[Project, Checked | None]:
    from aiworkflow.app import open_project

    project = open_project(folder)
    return project, None if bundle is None else project.check(bundle).without_errors()


def _asked(
    project: Project, checked: Checked | None, names: Sequence[str]
) -> tuple[list[Offered], list[Asked]]:
    import asyncio

    from aiworkflow.client.tools import ask_servers, server_settings

    servers = server_settings(project, checked)
    if not servers and not names:
        return [], []
    return asyncio.run(ask_servers(project, servers, names))


def _found(name: str, project: Project, checked: Checked | None) -> list[Offered]:
    from aiworkflow.client.tools import declared, find_tool

    if not name.startswith("mcp:"):
        return find_tool(declared(checked), name)
    tools, asked = _asked(project, checked, [name[4:].partition("/")[0]])
    for one in asked:
        if one.state == "fails":
            raise UsageError(one.text, hint=one.hint)
    return find_tool(tools, name)


def _arguments(given: str | None, words: Sequence[str]) -> tuple[dict[str, Json], dict[str, str]]:
    """Arguments as data, and as text."""
    found: dict[str, Json] = {}
    texts: dict[str, str] = {}
    if given is not None:
        try:
            said = strict_json(sys.stdin.read() if given == "-" else given)
        except NotJson as error:
            raise UsageError(f"--with takes a JSON object: {error}") from error
        if not isinstance(said, dict):
            raise UsageError(
                "--with takes a JSON object", hint="""such as --with '{"path": "."}'"""
            )
        found.update(said)
    for word in words:
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or not name:
            raise UsageError(f"`{word}` is no argument", hint="write --name=value, or --with JSON")
        texts[name] = text
    return found, texts


def _agree(refused: CallNotAgreed, arguments: Mapping[str, Json], out: Out) -> None:
    """See to it that somebody agrees to a call that writes.

    Raises:
        RefusedError: nobody did.
    """
    from aiworkflow.cli.prompting import is_terminal
    from aiworkflow.steady import steady

    if not is_terminal(out):
        raise refused
    shown = steady(json.dumps(arguments, ensure_ascii=False))
    sys.stderr.write(f"{refused.message}: {shown}\ncall it? [y]es, Enter for no: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise RefusedError("the tool was not called")


def _lines(one: Mapping[str, Json], out: Out) -> list[str]:
    from aiworkflow.steady import steady

    lines = [f"  {line}" for line in str(one["description"]).splitlines()] + [""]
    lines.append(f"  from     {one['from']}")
    claim, claimed = "", one["claimed"]
    if claimed is not None and claimed != one["effect"]:
        claim = f"  (the server claims `{claimed}`; it counts when `effect` in config.yaml says so)"
    lines.append(f"  effect   {one['effect']}{claim}")
    if one["network"]:
        lines.append(f"  hosts    {', '.join(cast('list[str]', one['network']))}")
    if one["secrets"]:
        lines.append(f"  secrets  {', '.join(cast('list[str]', one['secrets']))}")
    inputs = cast("Mapping[str, Json] | None", one["inputs"])
    about = (inputs or {}).get("properties")
    needed = (inputs or {}).get("required")
    if inputs is None:
        lines.append("  takes    it does not say")
    elif isinstance(about, dict) and about:
        lines.append("  takes")
        for name, schema in about.items():
            mark = "" if isinstance(needed, list) and name in needed else "?"
            lines.append(f"    {name}{mark}: {_short(schema)}")
    else:
        lines.append("  takes    nothing")
    return [out.paint(steady(str(one["name"])), "bold"), *(steady(line) for line in lines)]


def _short(schema: Json) -> str:
    if not isinstance(schema, dict):
        return "any"
    kind = schema.get("type") or schema.get("enum") or "any"
    said = str(schema.get("description") or "")
    text = kind if isinstance(kind, str) else json.dumps(kind, ensure_ascii=False)
    return f"{text}  {said}".rstrip()
