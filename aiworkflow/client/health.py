"""What `doctor` looks at: this machine, this project, and how to mend what is wrong."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

from aiworkflow.errors import AIWorkflowError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.client.client import Client

_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
_OLDEST = (3, 11)


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@record
class Check:
    """One thing looked at.

    Attributes:
        name: what was looked at, in a word or two.
        text: what was found.
        fix: what to do; None where nothing is wrong.
    """

    name: str
    state: State
    text: str
    fix: str | None = None


def examine(client: Client) -> Iterator[Check]:
    """Everything that can keep a run from going well here. Opens no connection to the outside."""
    yield from _machine(client)
    yield from _project(client)
    yield from _journal(client)
    yield from _agents(client)


def _machine(client: Client) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST:
        yield Check("python", State.PROBLEM, version, "use Python 3.11 or newer")
    else:
        yield Check("python", State.OK, version)
    path = client.project.environ.get("PATH")
    git = shutil.which("git", path=path)
    if git is None:
        yield Check(
            "git",
            State.WARNING,
            "not found",
            "install git: runs then note commits, and git.* works",
        )
    else:
        yield Check("git", State.OK, git)
    yield from _interpreters(client, path)
    bubblewrap = shutil.which("bwrap", path=path)
    yield Check(
        "sandbox",
        State.OK,
        f"scripts are not put into one by this version; bubblewrap {bubblewrap or 'is not installed'}",
    )


def _interpreters(client: Client, path: str | None) -> Iterator[Check]:
    from aiworkflow.diagnostics import Report

    commands = client.project.layered(Report()).options().interpreters
    for language, command in sorted(commands.items()):
        program = command.split()[0]
        found = shutil.which(program, path=path)
        name = f"interpreter {language}"
        if found is not None:
            yield Check(name, State.OK, found)
        else:
            yield Check(
                name,
                State.WARNING,
                f"`{program}` is not on the PATH",
                f"install it, or set `interpreters: {{{language}: …}}` in config.yaml",
            )


def _project(client: Client) -> Iterator[Check]:
    from aiworkflow.bundle import list_bundles
    from aiworkflow.diagnostics import Report

    project = client.project
    how = {"git": "its git repository", ".aiworkflow": "its .aiworkflow folder"}
    by = how.get(project.location.by, "the current folder; make it a project: aiworkflow init")
    yield Check("project", State.OK, f"{project.root} (by {by})")
    report = Report()
    try:
        project.layered(report)
    except AIWorkflowError as error:
        yield Check("settings", State.PROBLEM, error.message, error.hint)
        return
    if report.has_errors:
        first = report.sorted()[0]
        yield Check("settings", State.PROBLEM, f"{first.place}: {first.message}", first.hint)
    elif project.strangers:
        listed = ", ".join(project.strangers)
        yield Check(
            "settings", State.WARNING, f"these variables are no settings: {listed}", "unset them"
        )
    else:
        yield Check("settings", State.OK, "config files and variables can be read")
    broken = [
        found.name for found in list_bundles(project.root) if not project.check(found.path).is_valid
    ]
    if broken:
        yield Check(
            "bundles",
            State.PROBLEM,
            f"invalid: {', '.join(broken)}",
            f"see what is wrong: aiworkflow bundle validate {broken[0]}",
        )
    else:
        count = len(list_bundles(project.root))
        yield Check("bundles", State.OK, f"{count} in bundles/, all valid")


def _journal(client: Client) -> Iterator[Check]:
    state = client.project.folders.state
    if not (state / "journal.db").exists():
        yield Check("journal", State.OK, "none yet; it is made by the first run")
        return
    try:
        health = client.journal.health()
        running = client.runs(status=["running"], limit=50).runs
        interrupted = [row.run for row in running if not client.is_driven(row.run)]
    except AIWorkflowError as error:
        yield Check("journal", State.PROBLEM, error.message, error.hint)
        return
    if health.problems:
        yield Check(
            "journal",
            State.PROBLEM,
            f"{health.location}: {health.problems[0]}",
            "restore it from a backup, or move it away to begin a new one",
        )
    else:
        size = health.size_bytes / 1_000_000
        text = f"{health.location}: {health.runs} runs, {health.events} events, {size:.1f} MB"
        yield Check("journal", State.OK, text)
    if interrupted:
        yield Check(
            "interrupted runs",
            State.WARNING,
            ", ".join(interrupted[:5]),
            f"go on with one: aiworkflow runs resume {interrupted[0]}",
        )


def _agents(client: Client) -> Iterator[Check]:
    from aiworkflow.agents import PROGRAMS, agent_problem, found_programs
    from aiworkflow.bundle.workflow import AgentSpec
    from aiworkflow.diagnostics import Report

    environ = client.project.environ
    settings = client.project.layered(Report())
    for name, variable in _KEYS.items():
        if environ.get(variable):
            yield Check(f"agent {name}", State.OK, f"{variable} is set")
        else:
            yield Check(f"agent {name}", State.OK, f"not set up: {variable} is not set")
    agents, _ = settings.get("agents")
    named = agents if isinstance(agents, dict) else {}
    for name in sorted(named):
        problem = agent_problem(AgentSpec(name), named, environ)
        if problem is None:
            yield Check(f"agent {name}", State.OK, "usable")
        else:
            what, _, fix = problem.partition("; ")
            yield Check(f"agent {name}", State.PROBLEM, what, fix or "see config.yaml")
    programs = found_programs(environ.get("PATH"))
    for name, where in programs.items():
        if where is not None:
            about = PROGRAMS[name].partition(":")[0]
            note = "" if name == "ollama" else "; steps cannot use it in this version"
            yield Check(f"program {name}", State.OK, f"{about} at {where}{note}")
