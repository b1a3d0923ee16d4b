"""`--server URL`: which commands can be done at a server, and with which options not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

THERE: Final[Mapping[str, Sequence[str]]] = {
    "run": ("batch", "locked", "dry_run", "force", "detach"),
    "bundle run": ("batch", "locked", "dry_run", "force", "detach"),
    "bundle list": (),
    "bundle validate": (),
    "bundle info": ("settings",),
    "workflow list": ("templates",),
    "workflow show": (),
    "runs list": (),
    "runs show": (),
    "runs inspect": (),
    "runs diff": (),
    "runs log": (),
    "runs watch": (),
    "runs resume": (),
    "runs undo": (),
    "runs fork": (),
    "runs answer": (),
    "runs continue": (),
    "runs signal": (),
    "runs cancel": (),
    "runs resolve": (),
    "runs export": ("also",),
    "approvals list": (),
    "approvals show": (),
    "approvals approve": (),
    "approvals reject": (),
    "cost report": (),
    "doctor": ("reset_breaker", "ask_servers"),
    "journal check": ("journal",),
    "agents list": (),
    "agents check": (),
    "agents show": (),
    "agents choose": (),
    "agents report": (),
    "tools list": ("server",),
    "tools show": (),
    "schedule list": (),
    "schedule info": (),
    "schedule next": (),
    "schedule pause": (),
    "schedule resume": (),
    "schedule run": (),
    "watch list": (),
    "watch test": (),
    "webhook list": (),
    "webhook test": ("url",),
    "webhook replay": ("url",),
    "queue publish": ("url", "wait"),
    "queue status": ("url",),
    "queue purge": ("url",),
    "queue dead list": ("url",),
    "queue dead retry": ("url",),
    "queue dead drop": ("url",),
    "repos list": (),
    "sweep start": (),
    "sweep list": (),
    "sweep show": (),
    "sweep resume": (),
    "sweep retry-failed": (),
    "sweep undo": (),
    "workers list": (),
    "workers drain": (),
}
"""What can be done at a server, and the options that cannot."""

_ANYWHERE: Final = frozenset({"version", "explain", "schema"})


def check_command(path: str, given: Mapping[str, object]) -> str:
    """Whether a command can be done at a server, with these options.

    Args:
        path: the words of the command, with the program's name.

    Returns:
        The words of the command, without the program's name.

    Raises:
        UsageError: it cannot.
    """
    words = path.partition(" ")[2]
    if words in _ANYWHERE:
        return words
    here = "leave out --server (and AIWORKFLOW_SERVER) to do it on this machine"
    if words not in THERE:
        raise UsageError(f"`{words}` cannot be done at a server", hint=here)
    for name in (*THERE[words], "project", "journal_fallback"):
        if given.get(name):
            option = name if name == "journal" else f"--{name.replace('_', '-')}"
            raise UsageError(f"`{words}` with {option} cannot be done at a server", hint=here)
    return words
