"""One-step workflows: ask an agent, run some code; built, checked, planned and run like any other.

What is asked, and what code is given, are inputs: data, never templates or Markdown. A conversation is
kept in the journal: its name leads to the last run, whose inputs hold what was said before.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from aiworkflow.client.builder import WorkflowBuilder
from aiworkflow.errors import FailedError, UsageError
from aiworkflow.journal import RegisterWrite, UnknownRun
from aiworkflow.records import record
from aiworkflow.runtime.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.client.builder import BuiltWorkflow
    from aiworkflow.client.client import Client
    from aiworkflow.client.result import RunResult
    from aiworkflow.client.run import OnEvent
    from aiworkflow.engine.carried import Json

CHAT: Final = "chat"
"""The space of registers; keys are names of conversations, values the run that went on with it last."""

_STEP: Final = "it"
_NAME: Final = re.compile(r"[\w .@+-]{1,100}")
_LANGUAGE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+#-]*")
_MOST_SAID: Final = 60_000  # characters of a conversation that are sent again
_TALK: Final = (
    "{% for said in inputs.before %}{{ said.who }}: {{ said.text }}\n\n{% endfor %}"
    "{% if inputs.before %}user: {% endif %}{{ inputs.message }}"
)


class StepFailed(FailedError):
    """The one step of a workflow did not succeed.

    Attributes:
        result: what the run came to.
    """

    code = "step-failed"

    def __init__(self, what: str, result: RunResult) -> None:
        self.result = result
        error = result.error
        why = f": {error.message}" if error is not None else ""
        super().__init__(
            f"{what} {result.status}{why}",
            hint=(error.hint if error is not None else None)
            or f"look closer: aiworkflow runs show {result.run}",
        )


@record
class Reply:
    """What came of one step.

    Attributes:
        output: the agent's answer, or what the code printed: a text, or data.
        run: id of the run, as in `runs show`.
        agent: who answered; None for code.
        cost_usd: US dollars; None where the price is not known, or nothing was paid for.
    """

    output: Json
    run: str
    agent: str | None
    cost_usd: float | None
    seconds: float

    @property
    def text(self) -> str:
        """The output as text; data as JSON."""
        if isinstance(self.output, str):
            return self.output
        return json.dumps(self.output, ensure_ascii=False)

    def __str__(self) -> str:
        return self.text


async def chat(
    client: Client,
    message: str,
    *,
    agent: str | None = None,
    session: str | None = None,
    on_event: OnEvent | None = None,
    **settings: Json,
) -> Reply:
    """Ask an agent; see `Client.chat`."""
    _check_message(message)
    before = _said_before(client, session) if session is not None else []
    built = _agent_step("chat", _TALK, agent, settings, "before")
    inputs: dict[str, Json] = {"message": message, "before": [*before]}
    reply = await _run(client, built, inputs, "the chat", on_event)
    if session is not None:
        client.journal.put([RegisterWrite(CHAT, session, json.dumps({"run": reply.run}))])
    return reply


async def vision(
    client: Client,
    message: str,
    images: Sequence[str | Path],
    *,
    agent: str | None = None,
    on_event: OnEvent | None = None,
    **settings: Json,
) -> Reply:
    """Ask an agent about images; see `Client.vision`."""
    _check_message(message)
    if not images:
        raise UsageError("there is no image to look at", hint="give paths within the project")
    paths: list[Json] = [_within(client, image) for image in images]
    files: list[Json] = ["{{ inputs.images }}"]
    step: dict[str, Json] = {"files": files, **settings}
    built = _agent_step("vision", "{{ inputs.message }}", agent, step, "images")
    inputs: dict[str, Json] = {"message": message, "images": paths}
    return await _run(client, built, inputs, "looking at the images", on_event)


async def execute(
    client: Client,
    code: str,
    *,
    language: str = "python",
    inputs: Mapping[str, Json] | None = None,
    on_event: OnEvent | None = None,
    **settings: Json,
) -> Reply:
    """Run some code; see `Client.execute`."""
    if not _LANGUAGE.fullmatch(language):
        raise UsageError(
            f"`{language}` is no name of a language", hint="for example python, bash or node"
        )
    if not code.strip():
        raise UsageError("there is no code to run")
    allow = settings.pop("allow", None)
    head: dict[str, Json] = {"allow": allow} if allow is not None else {}
    builder = WorkflowBuilder("execute", description="", **head)
    for name in inputs or {}:
        builder.input(name, "any")
    built = builder.script(_STEP, code, language=language, **settings).build()
    return await _run(client, built, inputs or {}, "the code", on_event)


def _agent_step(
    name: str, prompt: str, agent: str | None, settings: Mapping[str, Json], *lists: str
) -> BuiltWorkflow:
    """A workflow of one step that an agent does."""
    builder = WorkflowBuilder(name).input("message")
    for one in lists:
        builder.input(one, "any")
    if agent is not None:
        settings = {"agent": agent, **settings}
    return builder.agent(_STEP, prompt, **settings).build()


async def _run(
    client: Client,
    built: BuiltWorkflow,
    inputs: Mapping[str, Json],
    what: str,
    on_event: OnEvent | None,
) -> Reply:
    run = await client.start(built, inputs, on_event=on_event)
    result = await run.result()
    if result.status != "succeeded":
        raise StepFailed(what, result)
    step = result.steps[_STEP]
    return Reply(step.output, result.run, step.agent, step.cost_usd, result.seconds)


def _within(client: Client, image: str | Path) -> str:
    """An image's path as steps read it: a step reads nothing outside the project."""
    root = client.project.root
    path = (root / image).absolute()
    if not path.is_relative_to(root):
        raise UsageError(
            f"`{image}` is not in the project", hint=f"copy it to somewhere below {root}"
        )
    return path.relative_to(root).as_posix()


def _check_message(message: str) -> None:
    if not message.strip():
        raise UsageError("there is nothing to ask", hint="give a message")


# -- conversations --------------------------------------------------------------------------------


def _said_before(client: Client, session: str) -> list[Json]:
    """What was said in a conversation, the newest that fit; nothing in one that begins."""
    if not _NAME.fullmatch(session):
        raise UsageError(
            f"`{session[:50]}` is no name of a conversation",
            hint="take 1 to 100 letters, digits, spaces and . @ + - _",
        )
    found = client.journal.register(CHAT, session)
    if found is None:
        return []
    run = str(json.loads(found.value)["run"])
    try:
        first = json.loads(client.journal.record(run, 1).payload)
    except UnknownRun:  # it was pruned, and what was said with it
        return []
    said: list[Json] = []
    inputs = _inputs_of(client, run, first)
    before = inputs.get("before")
    if isinstance(before, list):
        said += before
    said.append({"who": "user", "text": inputs["message"]})
    said.append({"who": "assistant", "text": _answer(client, run)})
    return _newest(said)


def _inputs_of(client: Client, run: str, first: Mapping[str, Json]) -> dict[str, Json]:
    from aiworkflow.engine.codec import ref_from_json

    found = Values(client.journal, run, inline_bytes=0).load(ref_from_json(first["inputs"]))
    return found if isinstance(found, dict) else {}


def _answer(client: Client, run: str) -> str:
    output = client.run(run).look().steps[_STEP].output
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)


def _newest(said: list[Json]) -> list[Json]:
    """The end of a conversation that is not too long, beginning with what the user said."""
    size, kept = 0, len(said)
    while kept >= 2:
        pair = sum(len(str(one["text"])) for one in said[kept - 2 : kept] if isinstance(one, dict))
        if size + pair > _MOST_SAID:
            break
        size, kept = size + pair, kept - 2
    return said[kept:]
