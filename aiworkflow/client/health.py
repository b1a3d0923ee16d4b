"""What `doctor` looks at: this machine, the project, its journal and agents; and how to fix each."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from aiworkflow.agents import CLI_PROGRAMS, agent_problem, found_programs
from aiworkflow.agents.providers import PROVIDERS, provider_of
from aiworkflow.bundle.workflow import AgentSpec
from aiworkflow.client.fleet import without_worker
from aiworkflow.client.health_check import Check, CheckStatus
from aiworkflow.client.health_check import absent as _absent
from aiworkflow.client.health_check import ok as _ok
from aiworkflow.client.health_check import problem as _problem
from aiworkflow.client.health_check import warning as _warning
from aiworkflow.client.health_servers import server_checks
from aiworkflow.client.health_tls import tls_checks
from aiworkflow.client.health_tracked import tracked_checks
from aiworkflow.client.unknown import unknown_bundles
from aiworkflow.diagnostics import Report
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import LOST_END
from aiworkflow.settings.options import INTERPRETERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json

_OLDEST_PYTHON: Final = (3, 11)
_OLDEST_GIT: Final = (2, 25)
_LARGE_JOURNAL: Final = 2_000_000_000  # bytes
_REACHABLE_S: Final = 0.5

# What every other machine has too; without the rest only those languages are missing.
_EXPECTED: Final = ("bash", "sh", "python")
# program → what it is good for
_OPTIONAL: Final = {"dot": "draws what `bundle graph --format dot` prints (Graphviz)"}


def examine(client: Client, *, ask: bool = False) -> list[Check]:
    """Look at everything; changes nothing, and asks no server but those of agents on this machine.

    Args:
        ask: begin and ask the MCP servers of config.yaml, too.
    """
    checks = [_python(), _git(client), _project(client)]
    report = Report()
    try:
        client.project.strata(report)
    except AIWorkflowError as error:  # a variable; without it nothing below can be known
        return [*checks, _sandbox(client), _problem("settings", error.message, error.hint)]
    checks += _settings(client, report)
    checks += tracked_checks(client.project)
    checks += _journal(client)
    checks += _interpreters(client)
    checks.append(_sandbox(client))
    checks += _optional(client)
    checks += _agents(client)
    checks += server_checks(client.project, ask=ask)
    checks += _tls(client)
    checks += _breakers(client)
    return checks


# -- machine --------------------------------------------------------------------------------------


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < _OLDEST_PYTHON:
        return _problem("python", f"Python {version} is too old", "install Python 3.11 or newer")
    return _ok("python", f"Python {version}, {sys.executable}")


def _which(client: Client, program: str) -> str | None:
    return shutil.which(program, path=client.project.environ.get("PATH"))


def _git(client: Client) -> Check:
    import re
    import subprocess

    found = _which(client, "git")
    if found is None:
        return _warning(
            "git",
            "not found: runs do not note the commit, and the `git` tool cannot be used",
            "install git",
        )
    try:
        said = subprocess.run(
            [found, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return _problem("git", f"{found} does not run: {error}", "install git again")
    match = re.search(r"(\d+)\.(\d+)", said)
    if match and (int(match[1]), int(match[2])) < _OLDEST_GIT:
        return _warning("git", f"{said} is older than 2.25", "install a newer git")
    return _ok("git", f"{said}, {found}")


def _interpreters(client: Client) -> Iterator[Check]:
    try:
        known = client.project.layered(Report()).options().interpreters
    except AIWorkflowError:  # said by the check of the settings
        known = INTERPRETERS
    seen: set[str] = set()
    for language, command in known.items():
        program = (command.split() or [""])[0]
        is_own = INTERPRETERS.get(language) != command
        if program in seen and not is_own:
            continue
        seen.add(program)
        name = f"interpreter {language}"
        found = _which(client, program)
        if found is not None:
            yield _ok(name, f"{command}  ({found})")
        elif is_own or language in _EXPECTED:
            fix = (
                f"install it, or name another under `interpreters: {{{language}: …}}` in "
                ".aiworkflow/config.yaml"
            )
            make = _problem if is_own else _warning
            yield make(name, f"`{program}` is not on the PATH", fix)
        else:
            yield _warning(
                name,
                f"`{program}` is not on the PATH; steps in {language} cannot run",
                f"install {program}, if a bundle needs it",
            )


def _sandbox(client: Client) -> Check:
    found = _which(client, "bwrap")
    where = f"bubblewrap is at {found}" if found else "bubblewrap is not installed"
    return _absent("sandbox", f"not used by this version: steps run as you; {where}")


def _optional(client: Client) -> Iterator[Check]:
    for program, use in _OPTIONAL.items():
        found = _which(client, program)
        if found is not None:
            yield _ok(f"optional {program}", f"{found}: {use}")
        else:
            yield _absent(f"optional {program}", f"not installed: {use}")


# -- project --------------------------------------------------------------------------------------


def _project(client: Client) -> Check:
    location = client.project.location
    how = {
        "git": "the git repository around this folder",
        ".aiworkflow": "the folder that has .aiworkflow",
        "directory": "this folder: neither git nor .aiworkflow was found",
    }[location.by]
    text = f"{location.root}  ({how})"
    if location.worktree != location.root:
        text += f"; working tree {location.worktree}"
    existing = location.state if location.state.exists() else location.root
    if not os.access(existing, os.W_OK):
        fix = f"chmod u+w {existing}; where the disk is read-only: run in a copy of the project"
        return _problem("project", f"{existing} cannot be written to: nothing can run here", fix)
    if location.by == "directory":
        return _warning("project", text, "make it a project: aiworkflow init")
    return _ok("project", text)


def _settings(client: Client, report: Report) -> Iterator[Check]:
    from aiworkflow.settings.locate import user_config

    project = client.project
    files = [project.location.config, user_config(project.environ)]
    there = [str(path) for path in files if path.exists()]
    errors = [found for found in report.sorted() if found.severity == "error"]
    for found in errors:
        yield _problem(
            "settings",
            f"{found.place}: {found.message} [{found.code}]",
            found.hint or f"see: aiworkflow explain {found.code}",
        )
    for name in project.strangers:
        yield _warning("settings", f"the variable {name} sets nothing", "unset it, or correct it")
    if not errors:
        try:
            project.layered(Report()).options()
        except AIWorkflowError as error:
            yield _problem("settings", error.message, error.hint)
            return
        for one in unknown_bundles(project):
            yield _warning("settings", f"{one.place}: {one.text}", one.fix)
        yield _ok("settings", ", ".join(there) or "no config.yaml; the defaults hold")


def _lost_end(client: Client) -> Iterator[Check]:
    said = client.journal.register(LOST_END, "wal")
    if said is not None:
        day = datetime.fromtimestamp(json.loads(said.value)["at"], tz=UTC).date()
        yield _warning(
            "journal",
            f"its end was found damaged on {day}: what was written last is lost, perhaps runs that had "
            "just begun",
            "look at the disk, and for runs that are missing; "
            "those that go on look, or ask, whether a step was done",
        )


def _journal(client: Client) -> Iterator[Check]:
    from aiworkflow.journal.open import journal_exists, place_shown

    project = client.project
    state = project.folders.state
    try:
        where, *others = project.journals()
        if where == "memory":
            yield _warning("journal", "in memory: no run outlives its process", "set another")
            return
        yield from _next_journals(client, others)
        if not journal_exists(where, state, ids=project.ids):
            yield _ok("journal", f"none yet; the first run makes it in {place_shown(where, state)}")
            return
        health = client.journal.health()
    except AIWorkflowError as error:
        yield _problem("journal", error.message, error.hint)
        return
    runs = "1 run" if health.runs == 1 else f"{health.runs} runs"
    text = f"{health.location}: {_size(health.size_bytes)}, {runs}, {health.events} events"
    if health.problems:
        yield _problem(
            "journal",
            f"{text}; {'; '.join(health.problems)}",
            "see what is wrong: aiworkflow journal check; then: aiworkflow journal restore BACKUP",
        )
        return
    yield from _lost_end(client)
    if health.size_bytes > _LARGE_JOURNAL:
        yield _warning(
            "journal", text, "remove old runs: aiworkflow journal prune --older-than 30d"
        )
    else:
        yield _ok("journal", text)
    yield from _left_over(client)


def _has_journal(client: Client) -> bool:
    """Whether there is one: to look is no reason to make it."""
    from aiworkflow.journal.open import journal_exists

    project = client.project
    return journal_exists(project.journals()[0], project.folders.state, ids=project.ids)


def _next_journals(client: Client, others: Sequence[str]) -> Iterator[Check]:
    """The journals that only `--journal-fallback` uses."""
    from aiworkflow.journal.open import journal_exists, place_shown

    project = client.project
    for where in others:
        text = f"{place_shown(where, project.folders.state)}, only with --journal-fallback"
        try:
            there = journal_exists(where, project.folders.state, ids=project.ids)
        except AIWorkflowError as error:
            yield _warning("next journal", f"{text}: {error.message}", error.hint)
        else:
            yield _ok("next journal", text if there else f"{text}; none there yet")


def _left_over(client: Client) -> Iterator[Check]:
    rows = client.runs(status=["running"], limit=1000).runs
    others = client.kept.imported()
    left = [row for row in rows if row.run not in others and not client.is_driven(row.run)]
    for row in left[:10]:
        undone = client.run(row.run).progress().is_being_undone  # to cancel that would help nobody
        yield _warning(
            "interrupted run",
            f"{row.run} of {row.bundle} was interrupted{' while it was taken back' * undone}",
            f"aiworkflow runs resume {row.run}"
            + ("" if undone else f"   (or: aiworkflow runs cancel {row.run})"),
        )
    if len(left) > 10:
        yield _warning(
            "interrupted run",
            f"{len(left) - 10} more runs were interrupted",
            "aiworkflow runs list --status running",
        )
    waiting = client.runs(status=["waiting"], limit=1000).runs
    if waiting:
        yield _ok("waiting runs", f"{len(waiting)}; see: aiworkflow runs list --status waiting")
    for labels, count in sorted(without_worker(client).items()):
        runs = "a run waits" if count == 1 else f"{count} runs wait"
        yield _warning(
            "labels",
            f"{runs} for a worker with {', '.join(f'`{one}`' for one in labels)}, and none has",
            f"where that is: aiworkflow worker --labels {','.join(labels)}",
        )


def _size(size: int) -> str:
    for unit, one in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)):
        if size >= one:
            return f"{size / one:.1f} {unit}"
    return f"{size} bytes"


# -- agents ---------------------------------------------------------------------------------------


def _agents(client: Client) -> Iterator[Check]:
    project = client.project
    environ = project.environ
    yield from _keys(environ)
    programs = found_programs(environ.get("PATH"))
    yield _ollama(environ, is_installed=programs["ollama"] is not None)
    yield from _programs(programs, environ)
    settings = project.layered(Report())
    given, _ = settings.get("agents")
    agents = cast("Mapping[str, Json]", given) if isinstance(given, dict) else {}
    for name, about in agents.items():
        model = about.get("model") if isinstance(about, dict) else None
        # a model may come from the workflow, so its absence is none of the agent's faults
        found = _usable(
            f"agent {name}", "", AgentSpec(name, None if model else "MODEL"), agents, environ
        )
        silent = _silent(about, environ) if found.status is CheckStatus.OK else None
        yield found if silent is None else _warning(f"agent {name}", silent, "start its server")
    default, origin = settings.get("agent")
    named: Sequence[Json] = default if isinstance(default, list) else [default] if default else []
    for text in named:
        name, _, model = str(text).partition("/")
        about = f"{text} ({origin}): "
        yield _usable("default agent", about, AgentSpec(name, model or None), agents, environ)


def _keys(environ: Mapping[str, str]) -> Iterator[Check]:
    """The keys of providers, those that are not there in one line."""
    missing = []
    for one in PROVIDERS.values():
        if environ.get(one.key_variable):
            yield _ok(f"agent {one.name}", f"{one.key_variable} is set")
        elif not one.is_open:
            missing.append(one.key_variable)
    if missing:
        yield _absent("optional keys", f"not set: {', '.join(missing)}")


def _programs(programs: Mapping[str, str | None], environ: Mapping[str, str]) -> Iterator[Check]:
    """The programs that are agents, with their versions; those that are missing in one line."""
    from aiworkflow.agents.cli.versions import versions

    there = {
        name: where
        for name, one in CLI_PROGRAMS.items()
        if (where := programs.get(one)) is not None
    }
    for name, version in versions(there, environ).items():
        where = there[name]
        if version:
            yield _ok(f"program {CLI_PROGRAMS[name]}", f"{version}: {where}; `agent: {name}`")
        else:
            yield _warning(
                f"program {CLI_PROGRAMS[name]}",
                f"{where} does not tell its version",
                f"look what it says: {CLI_PROGRAMS[name]} --version",
            )
    missing = [name for name in CLI_PROGRAMS if name not in there]
    if missing:
        yield _absent("optional agents", f"not installed: {', '.join(missing)}")


def _breakers(client: Client) -> Iterator[Check]:
    """Whoever is left alone for now; a journal that cannot be read was said above."""
    from aiworkflow.runtime.breakers import moment

    try:
        rows = client.kept.open_breakers() if _has_journal(client) else []
    except AIWorkflowError:
        return
    for key, breaker, left_s in rows:
        assert breaker.since is not None
        then = f"it is tried again in {left_s:.0f} s" if left_s else "the next attempt tries it"
        yield _warning(
            f"breaker {key}",
            f"open since {moment(breaker.since)}, after: {breaker.reason}; {then}",
            f"close it at once: aiworkflow doctor --reset-breaker {key}",
        )


def _tls(client: Client) -> Iterator[Check]:
    """The files of the server's TLS; settings that cannot be read were said above."""
    try:
        yield from tls_checks(client.project)
    except AIWorkflowError:
        return


def _usable(
    name: str, about: str, spec: AgentSpec, agents: Mapping[str, Json], environ: Mapping[str, str]
) -> Check:
    problem = agent_problem(spec, agents, environ)
    if problem is None:
        return _ok(name, f"{about}can be used")
    what, _, fix = problem.partition("; ")
    return _problem(name, f"{about}{what}", fix or None)


def _ollama(environ: Mapping[str, str], *, is_installed: bool) -> Check:
    """Ollama needs no key; where it is set up, whether it answers is all there is to know."""
    if not is_installed and not environ.get("OLLAMA_HOST"):
        return _absent("agent ollama", "not installed, and OLLAMA_HOST is not set")
    url = environ.get("OLLAMA_HOST") or "127.0.0.1:11434"
    reason = _unreachable(url, 11434)
    if reason is not None:
        return _warning(
            "agent ollama", f"{url} does not answer: {reason}", "start it: ollama serve"
        )
    return _ok("agent ollama", f"{url} answers")


def _silent(about: Json, environ: Mapping[str, str]) -> str | None:
    """Which addresses of an agent on this machine do not answer; other machines are not asked."""
    if not isinstance(about, dict) or not isinstance(api := about.get("api"), str):
        return None
    url, provider = about.get("url"), provider_of(api)
    urls = [str(one) for one in (url if isinstance(url, list) else [url] if url else [])]
    if not urls and provider is not None:
        urls = [provider.address(environ)]
    said = []
    for one in urls:
        reason = _unreachable(one, 80) if _is_here(one) else None
        if reason is not None:
            said.append(f"{one} does not answer: {reason}")
    return "; ".join(said) or None


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _unreachable(url: str, port: int) -> str | None:
    """Why nobody answers at an address; None where somebody does."""
    import socket

    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        address = (parts.hostname or "127.0.0.1", parts.port or port)
        with socket.create_connection(address, timeout=_REACHABLE_S):
            return None
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
