"""`--server URL`: commands that are done otherwise at a server than on this machine.

Each takes what stood on the command line, by the names of the command's own parameters, and gives the
exit status. All other commands that can be done at a server are the same there: its client has the
interface of the local one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.cli.calling import say_tools, tools_table
from aiworkflow.cli.checking import bundle_table, info_text
from aiworkflow.cli.given import overrides, pairs, read_inputs
from aiworkflow.cli.out import Out
from aiworkflow.cli.recording import is_case
from aiworkflow.cli.running import drive
from aiworkflow.cli.where import Where
from aiworkflow.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiworkflow.client.client import Client
    from aiworkflow.client.run import Run
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.client import RemoteClient

    Given = Mapping[str, object]
    Findings = list[dict[str, Json]]


def run_there(given: Given) -> int:
    """Start a run at the server and follow it there."""
    record = _text(given, "record") or None
    if record and is_case(record):
        raise UsageError(
            "a case is recorded on the machine that runs it",
            hint="name a folder for the run's record (`--record DIR/`), or leave out --server",
        )
    texts = pairs(_texts(given, "inputs"), "--input")
    inputs = read_inputs(_text(given, "inputs_file") or None)
    chosen = overrides(_text(given, "agent") or None, _texts(given, "settings"))

    async def start(client: Client) -> Run:
        there = cast("RemoteClient", client)
        return await there.start(
            _text(given, "bundle"),
            inputs,
            texts=texts,
            overrides=chosen,
            name=_text(given, "name"),
            breaks=_texts(given, "breaks"),
            agreed=given.get("yes") is True,
        )

    return drive(Where(None).connect(), start, _out(given), record=record)


def bundles_there(given: Given) -> int:
    """Print the server's bundles."""
    return _list(_out(given), "bundles")


def workflows_there(given: Given) -> int:
    """Print the server's workflows."""
    return _list(_out(given), "workflows")


def _list(out: Out, word: str) -> int:
    with Where(None).remote() as client:
        shown = cast("Findings", client.views.bundles()["bundles"])
    out.object({word: shown})
    if not out.json:
        out.result(bundle_table(shown) if shown else f"the server's project has no {word}")
    return EXIT_OK


def validate_there(given: Given) -> int:
    """Print what is wrong with a bundle of the server."""
    out, bundle, form = _out(given), _text(given, "bundle"), _text(given, "output")
    if form not in {"text", "json"}:
        raise UsageError(f"findings of a server are not printed as {form}", hint="use text or json")
    with Where(None).remote() as client:
        found = client.views.validity(bundle)
    if out.json or form == "json":
        out.json = True
        out.object(found)
        return EXIT_OK if found["valid"] else EXIT_USAGE
    out.findings(cast("Findings", found["diagnostics"]))
    if found["valid"]:
        out.say(f"{out.paint('✓', 'green')} {bundle} is valid")
    return EXIT_OK if found["valid"] else EXIT_USAGE


def info_there(given: Given) -> int:
    """Print what a bundle of the server takes, does and may touch."""
    out = _out(given)
    with Where(None).remote() as client:
        about = client.views.bundle(_text(given, "bundle"))
    out.object(about)
    if not out.json:
        out.result(info_text(about, out))
    return EXIT_OK


def document_there(given: Given) -> int:
    """Print the document of a workflow of the server."""
    out = _out(given)
    with Where(None).remote() as client:
        found = client.views.document(_text(given, "workflow"))
    out.object(found)
    out.result(str(found["document"]))
    return EXIT_OK


def journal_there(given: Given) -> int:
    """Print what is wrong with the server's journal."""
    out = _out(given)
    with Where(None).remote() as client:
        found = client.views.journal()
    out.object(found)
    for one in cast("Findings", found["findings"]):
        out.result(f"{out.paint('✗', 'red')} {one['text']}")
    if found["ok"]:
        out.say(f"{out.paint('✓', 'green')} all is whole: {found['runs']} runs")
    return EXIT_OK if found["ok"] else EXIT_FAILED


def tools_there(given: Given) -> int:
    """Print the tools that the server's workflows can use; its MCP servers are not asked."""
    out = _out(given)
    with Where(None).remote() as client:
        found = client.views.tools(_bundle(given))
    out.object({**found, "servers": []})
    if not out.json:
        out.result(tools_table(cast("Findings", found["tools"])))
    return EXIT_OK


def tool_there(given: Given) -> int:
    """Print what a tool there takes, gives and touches."""
    name = _text(given, "tool")
    if name.startswith("mcp:"):
        raise UsageError(
            "MCP servers of a server are not asked from elsewhere",
            hint=f"ask where it runs, in its project: aiworkflow tools show {name}",
        )
    with Where(None).remote() as client:
        say_tools(client.views.tool(name, _bundle(given)), _out(given))
    return EXIT_OK


def _bundle(given: Given) -> str | None:
    return _text(given, "bundle") or None


INSTEAD: Final[Mapping[str, Callable[[Given], int]]] = {
    "run": run_there,
    "bundle run": run_there,
    "bundle list": bundles_there,
    "bundle validate": validate_there,
    "bundle info": info_there,
    "workflow list": workflows_there,
    "workflow show": document_there,
    "journal check": journal_there,
    "tools list": tools_there,
    "tools show": tool_there,
}
"""By the words of a command, what is done in its place."""


def _out(given: Given) -> Out:
    return Out(
        as_json=given.get("as_json") is True,
        verbose=given.get("verbose") is True,
        quiet=given.get("quiet") is True,
    )


def _text(given: Given, name: str) -> str:
    found = given.get(name)
    return found if isinstance(found, str) else ""


def _texts(given: Given, name: str) -> list[str]:
    found = given.get(name)
    return [str(one) for one in found] if isinstance(found, list | tuple) else []
