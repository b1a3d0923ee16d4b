"""The calls that the agent of a step makes: each stands in the journal before it is made, and after.

Theory. A call is an attempt like that of a tool step, at `review/call[3]`: its intent is durable before
its effect begins, its end before the agent hears of it. Its key follows from the run, the step's visit,
its number and what is called with what; so a call that is made again after a crash has the key it had.

An attempt of the step goes on where an earlier one of the same visit broke off. What was said is handed
to the agent (`so_far`): calls that were answered are not made again, all others of the last turn are
made. An agent that begins anew instead, and asks for what was called before, is answered from the
journal, once for each such call.

A failure is an answer to the agent, as is a refusal. A call whose outcome is unknown is no answer: the
attempt is ended there, and goes on when the call is settled.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, NoReturn, cast

from aiworkflow.agents.contract import Message, ToolCall, ToolResult, ToolSpec
from aiworkflow.agents.talk import talk_from_json, talk_to_json
from aiworkflow.bundle.workflow import ToolCall as Operated
from aiworkflow.engine import REPEATABLE, Failure, idempotency_key
from aiworkflow.engine import events as ev
from aiworkflow.engine.said import Said
from aiworkflow.errors import AIWorkflowError
from aiworkflow.expr import ObjectOf, Property, json_schema
from aiworkflow.journal import Fenced
from aiworkflow.records import record
from aiworkflow.runtime.asks import Asks
from aiworkflow.runtime.patience import NOT_NOW, patiently
from aiworkflow.runtime.values import digest_of
from aiworkflow.steps.contract import Outcome, StepError
from aiworkflow.steps.output import check_output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import TypeAlias

    from aiworkflow.clock import Clock
    from aiworkflow.engine import Instance
    from aiworkflow.engine.carried import Json, Ref
    from aiworkflow.engine.events import Event
    from aiworkflow.engine.reply import Reply
    from aiworkflow.plan.graph import Node
    from aiworkflow.runtime.asks import Board
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.runtime.values import Values
    from aiworkflow.steps.contract import Handed, Ports, Work

    Note: TypeAlias = Callable[[Event], Awaitable[None]]
    """Takes a fact; what it gives is awaited by who must know that it is durable."""
    Make: TypeAlias = Callable[[Work, Ports], Awaitable[Outcome]]


@dataclasses.dataclass(slots=True)
class _Known:
    """A call of this visit that the journal knows.

    Attributes:
        number: in its path; `attempt` how often it was begun.
        status: as in the journal: a call that `succeeded` or `failed` was answered.
        end: seq of the event with its output, 0 for none.
    """

    number: int
    attempt: int
    status: str
    key: str
    tool: str
    arguments: Mapping[str, Json]
    end: int = 0
    error: Failure | None = None
    replies: Sequence[Reply] = ()


@record
class Around:
    """What the calls of a run are made with.

    Attributes:
        check: raises StepError when the budgets let no more be asked.
        board: the open questions of attempts under way.
    """

    clock: Clock
    values: Values
    masking: Masking
    note: Note
    make: Make
    check: Callable[[], None]
    board: Board


class AgentCalls:
    """The calls of one attempt; made in the task of the attempt, which it may have to end.

    Args:
        instance: of the step, as it is when the attempt begins.
        work, ports: of the step's attempt.
    """

    def __init__(self, instance: Instance, work: Work, ports: Ports, around: Around) -> None:
        self._work = work
        self._ports = ports
        self._around = around
        self._node = work.node
        self._handed: dict[str, tuple[ToolSpec, Node]] = {
            name: (_spec(name, node), node) for name, node in work.node.handed.items()
        }
        self._number = instance.called
        self._said = instance.said
        self._turn: list[Message] = []
        self._made: set[str] = set()
        self._known = [self._recall(call) for call in instance.calls]
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._under_way = self._asking = 0
        self.doubtful: Failure | None = None
        self.is_parked = False

    def _recall(self, call: Instance) -> _Known:
        given = self._around.values.arguments(call.arguments_seq)
        return _Known(
            number=int(call.path.rpartition("[")[2].rstrip("]")),
            attempt=call.attempt,
            status=call.status,
            key=call.key,
            tool=call.tool,
            arguments=cast("dict[str, Json]", given.get("with", {})),
            end=call.seq,
            error=call.error,
            replies=call.replies,
        )

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the agent may call."""
        return tuple(spec for spec, _ in self._handed.values())

    def hand(self, more: Sequence[Handed]) -> None:
        """There is more that it may call."""
        self._handed.update({one.spec.name: (one.spec, one.node) for one in more})

    def _operation(self, name: str) -> Node | None:
        found = self._handed.get(name)
        return found[1] if found is not None else None

    def check(self) -> None:
        """Whether another call may be asked for.

        Raises:
            StepError: `budget`: nothing is left to tell the agent what it comes to.
        """
        self._around.check()

    # -- what was said ----------------------------------------------------------------------------

    def said(self, message: Message) -> None:
        """The agent asks for calls; kept with the intent of the first of them.

        Raises:
            StepError: `budget`: nothing is left to tell it what they come to.
        """
        self.check()
        self._turn = [message]
        self._made = set()

    def heard(self, call: ToolCall, result: ToolResult) -> None:
        """The agent knows what a call came to; one that was not made was refused by its adapter."""
        if call.id not in self._made:
            self._turn.append(Message("tool", results={call.id: result}))
            self._keep_turn()

    def _keep_turn(self) -> None:
        """Tell what was said and is not in the journal yet, in one append with what comes next."""
        if self._turn:
            masked = self._around.masking.mask_json(talk_to_json(self._turn))
            said = Said(self._now(), *self._whose, self._around.values.ref(masked))
            self._around.note(said)
            self._turn = []

    async def so_far(self) -> tuple[Message, ...]:
        """What was said since the prompt by earlier attempts of this visit, up to the last turn."""
        turns: list[tuple[Message, dict[str, ToolResult]]] = []
        for seq in self._said:
            for message in talk_from_json(self._around.values.said(seq)):
                if message.role == "tool":  # refused, and so not among the calls
                    turns[-1][1].update(message.results)
                else:
                    turns.append((message, {}))
        found: list[Message] = []
        for message, refused in turns:
            results = {
                call.id: refused[call.id] if call.id in refused else await self(call)
                for call in message.calls
            }
            found += [message, Message("tool", results=results)]
        return tuple(found)

    # -- calls ------------------------------------------------------------------------------------

    async def __call__(self, call: ToolCall) -> ToolResult:
        """Make a call, unless the journal knows what it came to. Never raises for what a tool does."""
        self._made.add(call.id)
        self._keep_turn()
        node = self._operation(call.name)
        if node is None:
            known = ", ".join(self._handed) or "none"
            text = f"there is no tool `{call.name}`; tools are: {known}"
            return ToolResult(text, is_error=True)
        masked = self._around.masking.mask_json(dict(call.arguments))
        arguments = cast("dict[str, Json]", masked)
        known_call = self._take(call.name, arguments)
        if known_call is not None:
            return await self._again(known_call)
        self._number += 1
        path = self._path(self._number)
        what = digest_of([call.name, arguments])
        key = idempotency_key(self._work.run, f"{path}\n{what}", self._work.visit)
        new = _Known(self._number, 0, "pending", key, call.name, arguments)
        given: dict[str, Json] = {"uses": call.name, "with": arguments, "id": call.id}
        return await self._make(new, node, self._around.values.ref(given))

    def _take(self, name: str, arguments: Mapping[str, Json]) -> _Known | None:
        """A call of an earlier attempt that this is: the same operation with the same arguments."""
        for known in self._known:
            if known.tool == name and dict(known.arguments) == dict(arguments):
                self._known.remove(known)
                return known
        return None

    async def _again(self, known: _Known) -> ToolResult:
        if known.status == "succeeded":
            return self._shown(self._around.values.output(known.end))
        if known.status == "failed":
            return _refused(known.error)
        node = self._operation(known.tool)
        if node is None:
            return ToolResult(f"there is no tool `{known.tool}` any more", is_error=True)
        return await self._make(known, node, None)

    async def _make(self, call: _Known, node: Node, given: Ref | None) -> ToolResult:
        self._under_way += 1
        try:
            return await self._attempt(call, node, given)
        finally:
            self._under_way -= 1
            self._look_whether_all_ask()

    async def _attempt(self, call: _Known, node: Node, given: Ref | None) -> ToolResult:
        path = self._path(call.number)
        attempt = call.attempt + 1
        await self._begin(call, node, given, path, attempt)
        began = self._around.clock.monotonic()
        outcome: Outcome | None = None
        error: Failure | None = None
        status = "succeeded"
        is_repeatable = str(node.effect) in REPEATABLE
        work = self._of_call(call, node, path, attempt)
        asks = self._asks(call, path)
        ports = dataclasses.replace(self._ports, ask=asks)
        try:
            made = await patiently(lambda: self._around.make(work, ports), lambda: False)
            check_output(made.output)
            outcome = made
        except asyncio.CancelledError:
            if asks.is_parked:
                self._end(path, attempt, "waiting", began=began)
            else:
                is_harmless = is_repeatable or asks.is_open
                self._cut_off(path, attempt, began, is_repeatable=is_harmless)
            raise
        except (*NOT_NOW, Fenced):
            raise  # the run stops here; what became of the call is for the next driver to say
        except StepError as failed:
            status = "in_doubt" if failed.in_doubt and not is_repeatable else "failed"
            error = Failure(failed.kind, failed.message, failed.process_exit, path, failed.hint)
        except AIWorkflowError as failed:
            status, error = "failed", Failure(failed.code, failed.message, None, path, failed.hint)
        except Exception as bug:  # noqa: BLE001  a call ends as a step does
            status = "failed" if is_repeatable else "in_doubt"
            error = Failure("bug", f"{type(bug).__name__}: {bug}", step=path)
        error = self._masked(error)
        if status == "in_doubt":
            self._doubt(path, attempt, error, began)
            await self._break_off()
        if outcome is None:
            await self._end(path, attempt, status, error=error, began=began)
            return _refused(error)
        output = self._around.masking.mask_json(outcome.output)
        try:
            output_ref, undo = await patiently(
                lambda: self._keep(call, node, outcome, output), lambda: False
            )
        except asyncio.CancelledError:
            self._cut_off(path, attempt, began, is_repeatable=is_repeatable)
            raise
        await self._end(path, attempt, status, output_ref, undo=undo, began=began)
        return self._shown(output)

    def _asks(self, call: _Known, path: str) -> Asks:
        """What the call asks of people; its step waits for them as soon as no other call goes on."""
        return Asks(
            path,
            self._node.id,
            self._work.path,
            self._work.visit,
            call.replies,
            board=self._around.board,
            clock=self._around.clock,
            values=self._around.values,
            masking=self._around.masking,
            note=self._around.note,
            break_off=self._park,
            around=self._ports.ask.bounds if self._ports.ask is not None else None,
        )

    def _park(self) -> None:
        self._asking += 1
        self._look_whether_all_ask()

    def _look_whether_all_ask(self) -> None:
        if self._asking and self._asking == self._under_way and not self.is_parked:
            self.is_parked = True
            self._task.cancel()

    def _cut_off(self, path: str, attempt: int, began: float, *, is_repeatable: bool) -> None:
        """The attempt is ended while it is called."""
        if is_repeatable:
            error = Failure("cancelled", "cancelled", step=path)
            self._end(path, attempt, "cancelled", error=error, began=began)
        else:
            text = "cancelled while it was called; whether it had its effect is not known"
            self._doubt(path, attempt, Failure("cancelled", text, step=path), began)

    def _doubt(self, path: str, attempt: int, error: Failure | None, began: float) -> None:
        self._end(path, attempt, "in_doubt", error=error, began=began)
        self.doubtful = self.doubtful or error

    async def _begin(
        self, call: _Known, node: Node, given: Ref | None, path: str, attempt: int
    ) -> None:
        """Wait until the intent is durable."""
        intent = self._around.note(
            ev.Started(
                self._now(),
                path,
                self._node.id,
                self._work.path,
                self._work.visit,
                attempt,
                str(node.effect),
                call.key,
                given,
                role="call",
                tool=call.tool,
            )
        )
        try:
            await intent
        except asyncio.CancelledError:
            error = Failure("cancelled", "cancelled before it was begun", step=path)
            self._end(path, attempt, "cancelled", error=error)
            raise

    async def _keep(
        self, call: _Known, node: Node, outcome: Outcome, output: Json
    ) -> tuple[Ref, Ref | None]:
        way_back = outcome.undo or _way_back(node, call.arguments, output)
        undo = None if way_back is None else self._around.values.ref(dict(way_back))
        return self._around.values.ref(output), undo

    async def _break_off(self) -> NoReturn:
        """End the attempt: its agent can be told nothing true of this call."""
        self._task.cancel()
        await asyncio.Event().wait()
        raise AssertionError("the attempt has ended")

    def _end(
        self,
        path: str,
        attempt: int,
        status: str,
        output: Ref | None = None,
        *,
        error: Failure | None = None,
        undo: Ref | None = None,
        began: float | None = None,
    ) -> Awaitable[None]:
        clock = self._around.clock
        seconds = round(clock.monotonic() - began, 6) if began is not None else 0.0
        return self._around.note(
            ev.Ended(
                self._now(),
                path,
                self._work.visit,
                attempt,
                status,
                output,
                error,
                seconds=seconds,
                undo=undo,
            )
        )

    def _of_call(self, call: _Known, node: Node, path: str, attempt: int) -> Work:
        """A call as an attempt of a tool step."""
        work = self._work
        return dataclasses.replace(
            work,
            path=path,
            attempt=attempt,
            key=call.key,
            node=node,
            effect=node.effect,
            arguments=call.arguments,
            context={**work.context, "with": dict(call.arguments)},
            own=work.own.beside(f".call{call.number}"),
            secret_env={},
            timeout_s=node.timeout_s,
            agent=None,
        )

    def _path(self, number: int) -> str:
        return f"{self._work.path}/call[{number}]"

    @property
    def _whose(self) -> tuple[str, int, int]:
        return self._work.path, self._work.visit, self._work.attempt

    def _now(self) -> float:
        return self._around.clock.now().timestamp()

    def _masked(self, error: Failure | None) -> Failure | None:
        if error is None:
            return None
        mask = self._around.masking.mask_message
        hint = mask(error.hint) if error.hint else None
        return dataclasses.replace(error, message=mask(error.message), hint=hint)

    def _shown(self, output: Json) -> ToolResult:
        """An output as the agent is told; no more of it than a prompt may have."""
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        limit = self._ports.limit("prompt")
        if len(text) * 4 > limit and len(data := text.encode()) > limit:
            text = data[:limit].decode("utf-8", "ignore")
            text += f"\n… cut after {limit:,} of {len(data):,} bytes"
        return ToolResult(text)


def _refused(error: Failure | None) -> ToolResult:
    if error is None:
        return ToolResult("it failed", is_error=True)
    text = f"{error.message} ({error.hint})" if error.hint else error.message
    return ToolResult(text, is_error=True)


def _spec(name: str, node: Node) -> ToolSpec:
    operation = node.operation
    assert operation is not None
    fields = operation.inputs or ()
    schema = ObjectOf({one.name: Property(one.schema, not one.required) for one in fields})
    document = json_schema(schema)
    properties = cast("dict[str, dict[str, Json]]", document["properties"])
    for one in fields:
        if one.description:
            properties[one.name]["description"] = one.description
    return ToolSpec(name, operation.description or f"The operation `{name}`.", document)


def _way_back(node: Node, given: Mapping[str, Json], output: Json) -> Mapping[str, Json] | None:
    """The call of a tool's own undo: what it takes are fields of the output, else arguments."""
    back = node.undo
    if back is None or back.operation is None or not isinstance(back.action, Operated):
        return None
    fields = output if isinstance(output, dict) else {}
    found: dict[str, Json] = {}
    for one in back.operation.inputs or ():
        if one.name in fields:
            found[one.name] = fields[one.name]
        elif one.name in given:
            found[one.name] = given[one.name]
        elif one.required:
            return None
    return {"uses": back.action.name, "with": found}
