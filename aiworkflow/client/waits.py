"""Open waits of a project's runs, and answering them: consents, answers, outside events.

An answer is one transaction on the journal: the wait is open and has not expired, the answer is
appended, the run's next driver is woken. It never folds the run.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, TypedDict, cast

from aiworkflow.client.inputs import AnswerInvalid, check_inputs, check_value
from aiworkflow.engine import decode, encode
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Inline, Ref, Stored
from aiworkflow.errors import RefusedError, UsageError
from aiworkflow.journal import Append, Closed, Conflict, Journal, Register, RegisterWrite, Require
from aiworkflow.plan import field_from_json
from aiworkflow.records import record
from aiworkflow.runtime.values import Values, json_bytes
from aiworkflow.runtime.waits import WAIT, WAKE, closing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aiworkflow.bundle.workflow import Field
    from aiworkflow.client.project import Project
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.consents import Consents


class _Row(TypedDict):
    """The register of an open wait."""

    kind: str
    visit: int
    seq: int
    opened: float
    by: list[str]
    quorum: int
    event: str | None
    voters: list[str]


class _Spec(TypedDict, total=False):
    """What is shown of it."""

    title: str
    message: str
    fields: list[object]
    uses: str
    request: Json
    may_decline: bool
    hidden: list[str]


CONSENT = frozenset({"approve", "gate"})
_TRIES = 20


@record
class OpenWait:
    """Something a run waits for.

    Attributes:
        kind: `approve` (a step waits for consent), `gate`, `ask`, `timer` or `event`.
        message: what people are shown.
        by: roles and people who may answer; empty for anyone.
        quorum: how many must agree; `voters` have already.
        fields: of an `ask`: what is asked for.
        event: of an `event`: its name.
        arguments: of an `approve`: what the step would be given, or its agent would do.
        may_decline: of an `ask`: whether to answer nothing is an answer.
        hidden: fields whose values are called like secrets.
        opened, due: seconds since the epoch; `due` None for no end.
    """

    run: str
    step: str
    kind: str
    visit: int
    title: str
    message: str
    opened: float
    by: tuple[str, ...] = ()
    quorum: int = 1
    voters: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    event: str | None = None
    uses: str | None = None
    arguments: Json = None
    due: float | None = None
    may_decline: bool = False
    hidden: tuple[str, ...] = ()
    version: int = field(default=0, repr=False)
    row: Mapping[str, Json] = field(default_factory=dict, repr=False)

    @property
    def id(self) -> str:
        """How it is named on the command line: run and step."""
        return f"{self.run}/{self.step}"


def named(waits: Sequence[OpenWait], run: str, step: str, what: str) -> OpenWait:
    """The one of a run's open waits that is meant.

    Args:
        step: the step that waits; "" where the run has only one.
        what: what is waited for, in a word.

    Raises:
        UsageError: none is open there, or several are.
    """
    found = [wait for wait in waits if wait.step == step] if step else waits
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"`{wait.id}`" for wait in waits)
    if found:
        raise UsageError(f"run {run} waits for several: {listed}", hint="name one of them")
    where = f"step `{step}` of run {run}" if step else f"run {run}"
    hint = f"open here: {listed}" if waits else f"look at it: aiworkflow runs show {run}"
    raise UsageError(f"{where} waits for no {what}", hint=hint)


class Waits:
    """The open waits of a project.

    Args:
        find: the full id of a run, given as a person writes it.
        consents: which steps of a run ask people.
    """

    def __init__(
        self,
        journal: Journal,
        project: Project,
        find: Callable[[str], str],
        consents: Callable[[str], Consents],
    ) -> None:
        self._journal = journal
        self._project = project
        self._find = find
        self._consents = consents

    # -- looking ----------------------------------------------------------------------------------

    def open(self, run: str = "", kinds: Collection[str] = ()) -> list[OpenWait]:
        """Open waits, the oldest run first; of one run, or of all."""
        prefix = f"{self._find(run)}/" if run else ""
        found = [self._read(row) for row in self._journal.registers(WAIT, prefix)]
        return [wait for wait in found if not kinds or wait.kind in kinds]

    def _read(self, row: Register) -> OpenWait:
        run, _, step = row.key.partition("/")
        data = cast("_Row", json.loads(row.value))
        opened = decode(self._journal.record(run, data["seq"]).payload)
        assert isinstance(opened, ev.Opened)
        values = Values(self._journal, run, inline_bytes=0)
        spec = cast("_Spec", values.load(opened.spec) or {})
        return OpenWait(
            run=run,
            step=step,
            kind=data["kind"],
            visit=data["visit"],
            title=spec.get("title", ""),
            message=spec.get("message", ""),
            opened=data["opened"],
            by=tuple(data["by"]),
            quorum=data["quorum"],
            voters=tuple(data["voters"]),
            fields=tuple(field_from_json(one) for one in spec.get("fields", ())),
            event=data["event"],
            uses=spec.get("uses"),
            arguments=spec.get("request") or values.load(opened.arguments),
            due=opened.due,
            may_decline=spec.get("may_decline", False),
            hidden=tuple(spec.get("hidden", ())),
            version=row.version,
            row=cast("Mapping[str, Json]", data),
        )

    def one(self, reference: str, kinds: Collection[str], what: str) -> OpenWait:
        """The wait that `RUN/STEP`, or a run that has only one such, names.

        Raises:
            UsageError: none is open there, or several are.
        """
        run, _, step = reference.partition("/")
        full = self._find(run)
        return named(self.open(full, kinds), full, step, what)

    # -- answering --------------------------------------------------------------------------------

    def approve(self, reference: str, *, comment: str = "") -> OpenWait:
        """Agree. The run goes on once enough people have.

        Raises:
            UsageError: nothing is open there. RefusedError: it is for somebody else.
        """
        return self._vote(reference, "approve", comment)

    def reject(self, reference: str, *, comment: str = "") -> OpenWait:
        """Refuse: the step fails with the kind `rejected`. Raises as `approve`."""
        return self._vote(reference, "reject", comment)

    def answer(
        self,
        reference: str,
        given: Mapping[str, Json],
        texts: Mapping[str, str] | None = None,
    ) -> OpenWait:
        """Answer an `ask`; what is given is checked against its fields.

        Raises:
            InputsInvalid: with every problem; nothing is written. Also as `approve`.
        """
        wait = self.one(reference, {"ask"}, "answer")
        self._check_person(wait)
        values = check_inputs(wait.step, wait.fields, given, texts or {}, invalid=AnswerInvalid)
        self._close(wait, "answer", values)
        return wait

    def decline(self, reference: str, *, cancel: bool = False) -> OpenWait:
        """Answer nothing to what a step's server asks.

        Args:
            cancel: neither yes nor no: the question is put away.

        Raises:
            UsageError: an `ask` of the workflow's own needs its answer. Also as `approve`.
        """
        wait = self.one(reference, {"ask"}, "answer")
        self._check_person(wait)
        if not wait.may_decline:
            raise UsageError(
                f"`{wait.id}` cannot be declined: the workflow asks, and goes on with the answer",
                hint=f"answer it, or end the run: aiworkflow runs cancel {wait.run}",
            )
        self._close(wait, "cancel" if cancel else "decline", None)
        return wait

    def signal(self, run: str, event: str, data: Json = None) -> OpenWait:
        """Deliver an outside event to the step of a run that waits for it.

        Raises:
            UsageError: no step waits for an event of that name, or no journal can hold what comes
                with it.
        """
        check_value(f"what comes with event `{event}`", data)
        full = self._find(run)
        waits = self.open(full, {"event"})
        for wait in waits:
            if wait.event == event:
                self._close(wait, "signal", data)
                return wait
        names = ", ".join(f"`{wait.event}`" for wait in waits) or "none"
        raise UsageError(
            f"run {full} waits for no event `{event}` (it waits for: {names})",
            hint=f"look at it: aiworkflow runs show {full}",
        )

    def go_on(self, reference: str, how: str = "continue") -> OpenWait:
        """Let a run go on from a breakpoint.

        Args:
            how: `continue`, `step` (stop again before the next step) or `skip` (leave this one out).

        Raises:
            UsageError: the run has stopped at no breakpoint there. RefusedError: a step of a run
                asks, or people would not be asked what the workflow has them asked.
        """
        wait = self.one(reference, {"break"}, "breakpoint")
        self._check_person(wait)
        if how == "skip":
            self._check_skip(wait)
        self._close(wait, how, None)
        return wait

    def _check_skip(self, wait: OpenWait) -> None:
        opened = decode(self._journal.record(wait.run, cast("_Row", wait.row)["seq"]).payload)
        assert isinstance(opened, ev.Opened)
        asking = self._consents(wait.run).within(opened.node)
        if asking:
            raise RefusedError(
                f"`{wait.step}` cannot be left out: people are asked there, at `{asking}`",
                hint=f"let it go on, and have them answer: aiworkflow runs continue {wait.id}",
            )

    def _vote(self, reference: str, verdict: str, comment: str) -> OpenWait:
        for _ in range(_TRIES):
            wait = self.one(reference, CONSENT, "approval")
            self._check_person(wait)
            actor = self._project.actor
            if actor in wait.voters and verdict == "approve":
                raise UsageError(
                    f"`{actor}` has approved `{wait.id}` already",
                    hint=f"{wait.quorum} people must agree; so far: {', '.join(wait.voters)}",
                )
            voters = [*wait.voters, actor]
            is_over = verdict == "reject" or len(voters) >= wait.quorum
            row = None if is_over else json.dumps({**wait.row, "voters": voters})
            write = RegisterWrite(WAIT, wait.id, row, wait.version, wait.due)
            try:
                self._send(wait, verdict, None, comment, [write])
            except Conflict:
                continue  # somebody voted at the same moment
            return wait
        raise UsageError(f"too many people answer `{reference}` at once", hint="try again")

    def _close(self, wait: OpenWait, verdict: str, data: Json) -> None:
        try:
            self._send(wait, verdict, data, "", closing(wait.id, wait.event, wait.version))
        except Conflict as conflict:
            raise UsageError(
                f"somebody else has answered `{wait.id}` already",
                hint=f"look at it: aiworkflow runs show {wait.run}",
            ) from conflict

    def _send(
        self,
        wait: OpenWait,
        verdict: str,
        data: Json,
        comment: str,
        writes: Sequence[RegisterWrite],
    ) -> None:
        now = self._project.clock.now().timestamp()
        ref: Ref | None = None
        blobs: Sequence[str] = ()
        if data is not None:
            content = json_bytes(data)
            if len(content) > 32 * 1024 or wait.hidden:
                digest = self._journal.blobs.put(content)
                ref, blobs = Stored(digest, len(content)), (digest,)
            else:
                ref = Inline(data)
        actor = self._project.actor
        event = ev.Answered(now, wait.step, wait.visit, verdict, actor, ref, comment)
        append = Append(
            id=self._project.ids.token(),
            run=wait.run,
            events=[encode(event)],
            requires=[Require(WAIT, wait.id, now)],
            registers=[*writes, RegisterWrite(WAKE, wait.run, "{}")],
            blobs=blobs,
        )
        try:
            self._journal.append_now(append)
        except Closed as closed:
            raise UsageError(
                f"`{wait.id}` is no longer open: it was answered, or its time is over",
                hint=f"look at it: aiworkflow runs show {wait.run}",
            ) from closed

    # -- who --------------------------------------------------------------------------------------

    def _check_person(self, wait: OpenWait) -> None:
        """Who answers must be one of those who were asked.

        Raises:
            RefusedError: it is for somebody else, or a step of a run tries to answer.
        """
        if self._project.environ.get("AIWORKFLOW_KEY"):
            raise RefusedError(
                "a step of a run cannot answer for a person",
                hint=f"answer `{wait.id}` from a terminal of your own",
            )
        actor, roles = self._project.actor, self._project.roles
        if self._is_for(wait, actor):
            return
        listed = ", ".join(f"`{one}`" for one in wait.by)
        role = next((one for one in wait.by if one in roles), wait.by[0])
        raise RefusedError(
            f"`{actor}` may not answer `{wait.id}`: it is for {listed}",
            hint="you are who your token, AIWORKFLOW_ACTOR or your login says; who has a role is in "
            f".aiworkflow/config.yaml: `roles: {{{role}: [{actor}]}}`",
        )

    def _is_for(self, wait: OpenWait, actor: str) -> bool:
        roles = self._project.roles
        return not wait.by or actor in wait.by or any(actor in roles.get(it, ()) for it in wait.by)

    def is_mine(self, wait: OpenWait) -> bool:
        """Whether whoever asks can still answer: it is for them, and they have not agreed to it yet."""
        actor = self._project.actor
        is_person = not self._project.environ.get("AIWORKFLOW_KEY")
        return is_person and self._is_for(wait, actor) and actor not in wait.voters
