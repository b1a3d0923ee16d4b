"""An agent over an API: asks, makes the calls the model wants, checks its answer, asks again."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from aiworkflow.agents.api.http import connect, look
from aiworkflow.agents.api.protocols import PROTOCOLS
from aiworkflow.agents.api.turn import Query, Turn, believed, most, strictly
from aiworkflow.agents.api.wire import Wire
from aiworkflow.agents.contract import (
    Ability,
    AgentError,
    Answer,
    AskedAgain,
    Called,
    Consumed,
    Emit,
    Message,
    Standing,
    Task,
    TextDelta,
    ToolCall,
    ToolResult,
    Turned,
    Used,
)
from aiworkflow.agents.fitting import WRAPPED, fitting, misfit
from aiworkflow.agents.usage import UntrueError, untrue
from aiworkflow.expr import check, json_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.agents.api.clients import Clients
    from aiworkflow.agents.api.http import Connection
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

_MOST_CALLS: Final = 64
_FOREIGN: Final = (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError)


class ApiAgent:
    """One configured model over one of the protocols.

    Args:
        key: for the server; "" where none is needed.
        clients: HTTP clients shared with others; None for one of each task's own.
    """

    def __init__(self, config: AgentConfig, key: str, clients: Clients | None = None) -> None:
        self.config = config
        self._clients = clients
        self._key = key.strip()  # of a file, a key comes with its newline
        self._protocol = PROTOCOLS[config.api]

    @property
    def name(self) -> str:
        """`name/model`, as it stands in records."""
        return self.config.label

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do; whether a model can see is the model's."""
        return frozenset({Ability.STRUCTURED, Ability.TOOLS, Ability.VISION, Ability.SESSIONS})

    async def check(self) -> Standing:
        """Look whether the server answers, and which models it lists."""
        path, field, name = self._protocol.models
        config = self.config
        if not self._is_sendable():
            return Standing(self._unsendable().message)
        standing, listed = await look(config.url, self._headers(), path, config.key_variable)
        found = listed.get(field) if isinstance(listed, dict) else None
        models = tuple(
            str(one[name]).removeprefix("models/")  # Gemini's own form
            for one in (found if isinstance(found, list) else ())
            if isinstance(one, dict) and isinstance(one.get(name), str)
        )
        problem = standing.problem
        if models and config.api == "ollama" and config.model is not None:
            known = {*models, *(one.removesuffix(":latest") for one in models)}
            if config.model not in known:
                problem = f"there is no model `{config.model}`; run `ollama pull {config.model}`"
        return Standing(problem, standing.version, models, standing.seconds)

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task.

        Raises:
            AgentError: see the contract.
        """
        config = self.config
        if not self._is_sendable():
            raise self._unsendable()
        key = config.key_variable
        async with connect(config.url, self._headers(), key, self._clients) as connection:
            return await _Exchange(self, task, emit, connection).run()

    async def ask(self, connection: Connection, query: Query, timeout_s: float, emit: Emit) -> Turn:
        """One turn. Raises AgentError, also for what breaks on an answer that is nonsense."""
        config = self.config
        sent, received = connection.sent, connection.received

        def bound() -> Consumed:
            return most(connection.sent - sent, connection.received - received, config.max_tokens)

        def delta(text: str) -> None:
            if text:
                emit(TextDelta(text))

        try:
            turn = await self._protocol.ask(config, connection, query, timeout_s, delta)
            consumed = believed(turn.consumed, bound())
        except AgentError as error:
            try:
                error.consumed = believed(error.consumed, bound())
            except UntrueError:
                error.consumed = bound()
            raise
        except UntrueError as error:
            raise untrue(self.name, error, bound()) from None
        except _FOREIGN as error:
            raise AgentError(
                "bad_output",
                f"what `{self.name}` sent does not follow the protocol `{config.api}`:"
                f" {type(error).__name__} {str(error)[:100]}",
                hint="check `api:` and `url:` of the agent",
            ) from error
        return Turn(
            turn.text,
            str(turn.model)[:200],
            str(turn.stop_reason)[:200],
            consumed,
            turn.calls,
            turn.broken,
            turn.kept,
        )

    def _is_sendable(self) -> bool:
        """Whether the key can stand in a header: what refuses it there would quote it."""
        return self._key.isascii() and (not self._key or self._key.isprintable())

    def _unsendable(self) -> AgentError:
        return AgentError(
            "auth",
            f"the key in {self.config.key_variable} holds signs that no key has",
            hint="set it again, on one line and without quotes",
        )

    def _headers(self) -> dict[str, str]:
        return {**self._protocol.headers(self._key), **self.config.headers}


class _Exchange:
    """One task: a conversation that grows by turns until there is an answer."""

    def __init__(self, agent: ApiAgent, task: Task, emit: Emit, connection: Connection) -> None:
        self._agent = agent
        self._task = task
        self._emit = emit
        self._connection = connection
        self._tools = {one.name: one for one in task.tools}
        self._wire = Wire(task.tools, agent.config.provider)
        self._wanted = fitting(task.schema).asked if task.schema is not None else None
        self._document = json_schema(self._wanted) if self._wanted is not None else None
        prompt = _prompt(task, self._document)
        self._said = [Message("user", prompt, files=task.files), *task.so_far]
        self._kept: dict[str, Mapping[str, Any]] = {
            self._wire.id(call.id): cast("Mapping[str, Any]", call.kept[agent.name])
            for message in task.so_far
            for call in message.calls
            if agent.name in call.kept
        }
        self._consumed = Consumed()
        self._ends = None if task.timeout_s is None else time.monotonic() + task.timeout_s

    async def run(self) -> Answer:
        """Turns until the answer fits. Raises AgentError, with all that was consumed."""
        try:
            return await self._run()
        except AgentError as error:
            error.consumed = self._consumed + error.consumed
            raise

    async def _run(self) -> Answer:
        again = 0
        is_correction = False
        for number in range(1, self._task.max_turns + 1):
            turn = await self._turn(is_correction=is_correction)
            if turn.calls:
                if number == self._task.max_turns:
                    break  # nobody would see what they come to
                is_correction = False
                await self._call(turn)
                continue
            if self._wanted is None:
                if turn.text.strip():
                    return self._answer(turn, None, number)
                if len(self._said) == 1:
                    raise AgentError("bad_output", f"`{self._agent.name}` gave an empty answer")
                # after calls some models think that all is said; what was done must not be done again
                value, problems = None, ["it is empty"]
            else:
                value, problems = _read(turn, self._wanted, self._task.schema)
            if not problems:
                return self._answer(turn, value, number)
            again += 1
            reason = "; ".join(problems[:5])
            if again > self._task.asks:
                raise AgentError(
                    "bad_output",
                    f"the answer of `{self._agent.name}` does not fit after {again} tries: {reason}",
                    hint="make the prompt clearer about what is wanted, or the schema wider",
                )
            self._emit(AskedAgain(reason))
            is_correction = True
            asked = _correction(problems, is_object=self._wanted is not None)
            self._said += [Message("assistant", turn.text or "(nothing)"), asked]
        raise AgentError(
            "limit",
            f"`{self._agent.name}` has not come to an answer within {self._task.max_turns} turns",
            hint="ask for less in one step, or give it fewer tools",
        )

    async def _turn(self, *, is_correction: bool) -> Turn:
        history = self._task.history
        query = Query(
            tuple(self._wire.message(one) for one in (*history, *self._said)),
            len(history),
            self._wire.tools(self._task.tools),
            self._document,
            is_correction,
            self._kept,
        )
        wait = min(self._agent.config.timeout_s, self._left())
        turn = await self._agent.ask(self._connection, query, wait, self._emit)
        self._consumed += turn.consumed
        self._emit(Used(self._consumed))
        return turn

    async def _call(self, turn: Turn) -> None:
        """Make the calls of a turn, all at once, and add what they came to to the conversation."""
        calls = tuple(self._with_kept(one, turn) for one in turn.calls)
        self._kept.update({self._wire.id(one): kept for one, kept in turn.kept.items()})
        results: dict[str, ToolResult] = {}
        self._emit(Turned(Message("assistant", turn.text, calls)))

        async def make(call: ToolCall, number: int) -> None:
            self._emit(Called(call))
            result = self._refusal(call, turn.broken.get(call.id))
            if number >= _MOST_CALLS:
                text = f"more than {_MOST_CALLS} calls at once; call it again in the next turn"
                result = ToolResult(text, is_error=True)
            if result is None:
                result = await self._task.call(call)
            results[call.id] = result
            self._emit(Called(call, result))

        try:
            async with self._task.bounds.within(None if self._ends is None else self._left()):
                try:
                    async with asyncio.TaskGroup() as group:
                        for number, call in enumerate(calls):
                            group.create_task(make(call, number))
                except BaseExceptionGroup as errors:
                    raise errors.exceptions[0] from None
        except TimeoutError:
            open_calls = ", ".join(f"`{one.name}`" for one in calls if one.id not in results)
            raise AgentError(
                "timeout", f"the time was up while {open_calls} was called", in_doubt=True
            ) from None
        self._said += [
            Message("assistant", turn.text, calls),
            Message("tool", results={call.id: results[call.id] for call in calls}),
        ]

    def _with_kept(self, call: ToolCall, turn: Turn) -> ToolCall:
        found, kept = self._wire.call(call), turn.kept.get(call.id)
        return replace(found, kept={self._agent.name: dict(kept)}) if kept else found

    def _refusal(self, call: ToolCall, broken: str | None) -> ToolResult | None:
        """Why a call is not made, in words for the model; None where it is made."""
        spec = self._tools.get(call.name)
        if spec is None:
            known = ", ".join(self._wire.of(name) for name in self._tools) or "none"
            return ToolResult(f"there is no tool `{call.name}`; tools are: {known}", is_error=True)
        if broken is not None:
            return ToolResult(
                f"the arguments are not one JSON object: {broken[:200]}", is_error=True
            )
        problem = misfit(spec.parameters, call.arguments)
        return ToolResult(problem, is_error=True) if problem else None

    def _left(self) -> float:
        if self._ends is None:
            return self._agent.config.timeout_s
        return max(0.001, self._ends + self._task.bounds.waited_s - time.monotonic())

    def _answer(self, turn: Turn, value: Json, turns: int) -> Answer:
        return Answer(
            turn.text,
            turn.model,
            self._consumed,
            value,
            turn.stop_reason,
            turns,
            (*self._said, Message("assistant", turn.text)),
        )


def _correction(problems: list[str], *, is_object: bool) -> Message:
    wanted = "the JSON schema" if is_object else "what was asked for"
    form = "with the corrected JSON object only" if is_object else "in words"
    listed = "\n".join(f"- {problem}" for problem in problems)
    return Message("user", f"Your answer does not fit {wanted}:\n{listed}\nAnswer again {form}.")


def _prompt(task: Task, document: Mapping[str, Json] | None) -> str:
    if document is None:
        return task.prompt
    begin = "Answer in the end" if task.tools else "Answer"
    # said in words too: not every server enforces the schema it is given
    return (
        f"{task.prompt}\n\n{begin} with one JSON object that fits this JSON schema, and nothing else:\n"
        f"{json.dumps(document, ensure_ascii=False)}"
    )


def _read(turn: Turn, wanted: Schema, original: Schema | None) -> tuple[Json, list[str]]:
    text = turn.text.strip()
    if text.startswith("```"):
        text = text.split("\n", 1)[-1].rsplit("```", 1)[0]
    try:
        value = cast("Json", strictly(text))
    except (ValueError, RecursionError) as error:
        return None, [f"it is no JSON: {error}"]
    problems = [str(problem) for problem in check(wanted, value)]
    if wanted is not original and not problems:
        value = cast("dict[str, Any]", value)[WRAPPED]
    return value, problems
