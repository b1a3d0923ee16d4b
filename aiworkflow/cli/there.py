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
    "agents compare": ("judge",),
    "tools list": ("server",),
    "tools show": (),
    "tools call": (),
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
    "repos sync": (),
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

_LEAVE: Final = "leave out --server (and AIWORKFLOW_SERVER) to do it on this machine"
_FILES: Final = ("it works on files of a project on this machine", _LEAVE)
_BEGINS: Final = ("it begins a process on this machine", _LEAVE)
_TOKENS: Final = (
    "who may come to a server is decided on its machine",
    "do it there, in the server's project: aiworkflow token …",
)
_KEEPING: Final = (
    "what is kept is looked after where it is kept",
    "do it on the server's machine, in its project",
)

HERE: Final[Mapping[str, tuple[str, str]]] = {
    "init": _FILES,
    "bundle graph": ("it reads a bundle here", "what it does: aiworkflow bundle info BUNDLE"),
    "bundle test": _FILES,
    "bundle lock": _FILES,
    "bundle diff": _FILES,
    "workflow create": _FILES,
    "runs wake": ("a server wakes its runs by itself", "see them: aiworkflow runs list"),
    "runs import": _KEEPING,
    "serve": _BEGINS,
    "worker": _BEGINS,
    "queue worker": _BEGINS,
    "schedule start": _BEGINS,
    "watch start": _BEGINS,
    "webhook start": _BEGINS,
    "cost diff": _FILES,
    "agents bench": (
        "it asks a task of its own, and a server starts its own bundles only",
        "run one of them with each: aiworkflow agents compare BUNDLE --agents A,B",
    ),
    "token create": _TOKENS,
    "token list": _TOKENS,
    "token revoke": _TOKENS,
    "repos add": (
        "repos.yaml is a file of the server's project, and goes by its git",
        "add it there; it counts from the next sweep on",
    ),
    "journal backup": _KEEPING,
    "journal restore": _KEEPING,
    "journal prune": _KEEPING,
    "journal migrate": _KEEPING,
    "cache clear": _KEEPING,
}
"""What cannot: why, and the way out."""

ANYWHERE: Final = frozenset({"version", "explain", "schema"})
"""What is the same everywhere."""


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
    if words in ANYWHERE:
        return words
    if words not in THERE:
        why, way_out = HERE[words]
        raise UsageError(f"`{words}` cannot be done at a server: {why}", hint=way_out)
    for name in (*THERE[words], "project", "journal_fallback"):
        if given.get(name):
            option = name if name == "journal" else f"--{name.replace('_', '-')}"
            raise UsageError(f"`{words}` with {option} cannot be done at a server", hint=_LEAVE)
    return words
