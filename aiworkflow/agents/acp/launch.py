"""From a configuration to a command line, an environment and a HOME."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

from aiworkflow.agents.acp.profiles import PROFILES, Profile
from aiworkflow.agents.contract import AgentError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Surroundings

_PASSED_ON: Final = ("PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR")
_PLACE: Final = re.compile(r"\{(model|url|key|home|provider|tools)\}")


@record
class Launch:
    """How a program is begun for one task.

    Attributes:
        scratch: an empty folder, for tasks that have none of their own.
        has_model: whether the command line or the environment already chooses the model.
        cached, reads: as in `Profile`.
        server: the MCP server with the step's tools, to be told by the protocol; "" for none.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    scratch: Path
    auth: str
    has_model: bool
    cached: bool | None
    reads: bool
    hint: str
    server: str = ""


def launch(config: AgentConfig, key: str, around: Surroundings, server: str = "") -> Launch:
    """How the program is begun. Makes its folders.

    Args:
        server: the MCP server with the step's tools; "" for none.

    Raises:
        AgentError: `not_found`: the program is not installed.
    """
    profile = profile_of(config.program)
    own = bool(key or config.url) and profile.is_known
    home = around.scratch / "home"
    known = {
        "model": config.model or "",
        "url": config.url,
        "key": key,
        "home": str(home) if own else "",
        "provider": "gateway" if config.url else "",
        "tools": json.dumps(server)[1:-1],  # it stands within JSON
    }
    given = cast("Mapping[str, str]", config.program.get("env") or {})
    words = [*profile.command, *(profile.model if config.model else ())]
    words += profile.tools if server else ()
    variables = {**profile.env, **given}
    env = {name: around.environ[name] for name in _PASSED_ON if name in around.environ}
    if own:
        env["HOME"] = str(home)
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
            env.pop(name, None)
    env.update(_filled(variables, known))
    scratch = around.scratch / "empty"
    scratch.mkdir(parents=True, exist_ok=True)
    if own:
        _write(home, _filled(profile.files, known))
    argv = [found for word in words if (found := _fill(word, known)) is not None]
    program = shutil.which(argv[0], path=env.get("PATH"))
    if program is None:
        raise _not_there(config.name, argv[0], profile)
    filled = [text for text in (*words, *variables.values()) if _fill(text, known) is not None]
    return Launch(
        (program, *argv[1:]),
        env,
        scratch,
        profile.auth if key else "",
        any("{model}" in text for text in filled),
        profile.cached,
        profile.reads,
        f"look at `key:` of agent `{config.name}`, or log in with `{argv[0]}` by hand",
        "" if profile.tools else server,
    )


def missing(name: str, program: Mapping[str, Any], environ: Mapping[str, str]) -> AgentError | None:
    """What is not installed of all that an agent needs; None where everything is."""
    if find_spec("acp") is None:
        return AgentError(
            "not_found",
            "agents over the Agent Client Protocol need the package `agent-client-protocol`",
            hint="pip install 'aiworkflow-bundles[agents]'",
        )
    profile = profile_of(program)
    word = profile.command[0]
    if not _PLACE.search(word) and shutil.which(word, path=environ.get("PATH")) is None:
        return _not_there(name, word, profile)
    return None


def _not_there(name: str, program: str, profile: Profile) -> AgentError:
    hint = f"install it: {profile.hint}" if profile.hint else "install it, or mend `command`"
    return AgentError(
        "not_found", f"agent `{name}` needs `{program}`, which is not there", hint=hint
    )


def profile_of(program: Mapping[str, Any]) -> Profile:
    """The profile that a configuration names, or spells out."""
    found = PROFILES.get(str(program.get("profile")))
    if found is not None:
        return found
    command = program.get("command") or ()
    return Profile(tuple(str(word) for word in command), is_known=False)


def _filled(texts: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    found = ((name, _fill(text, known)) for name, text in texts.items())
    return {name: text for name, text in found if text is not None}


def _fill(text: str, known: Mapping[str, str]) -> str | None:
    """A text with what is known put in; None where something of it is not."""
    if any(not known[name] for name in _PLACE.findall(text)):
        return None
    return _PLACE.sub(lambda match: known[match[1]], text)


def _write(home: Path, files: Mapping[str, str]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
