"""One step of a run as it was at a moment: what it was given, what it gave, what it said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.observe.eventline import Newer, event_to_json
from aiworkflow.observe.inspection import head_of, output_of, view_of
from aiworkflow.observe.moment import unknown_step
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine import Ref
    from aiworkflow.engine.carried import Json
    from aiworkflow.observe.inspection import Reader, StepView
    from aiworkflow.observe.moment import Moment
    from aiworkflow.plan.graph import Plan


@record
class Detail:
    """A step at a moment.

    Attributes:
        arguments: what it was given: `with` or `prompt`, `context`, names of `env`, and of the
            secrets in `secret_env`; None while nothing was rendered.
        undo: what taking it back would be given, likewise.
        spec: what people are shown of its last wait; None without one.
        output: the whole; of a group, made of its steps'.
        sees: the values of `state` as it sees them.
        log: of its last attempt that wrote one.
    """

    moment: Moment
    status: str
    last: int
    view: StepView
    title: str
    kind: str
    arguments: Mapping[str, Json] | None
    undo: Mapping[str, Json] | None
    spec: Json
    output: Json
    sees: Mapping[str, Json]
    log: str

    def to_json(self) -> dict[str, Json]:
        """As `runs inspect --step --json` prints it."""
        step = self.view.to_json()
        for beginning in ("output_start", "output_bytes"):
            step.pop(beginning, None)
        step.update(
            title=self.title,
            kind=self.kind,
            output=self.output,
            arguments=dict(self.arguments) if self.arguments is not None else None,
            undo_arguments=dict(self.undo) if self.undo is not None else None,
            wait=self.spec,
            state=dict(self.sees),
            log=self.log,
        )
        return {
            **head_of(self.moment, self.status, self.last),
            "step": step,
            "events_before": [event_to_json(seq, one) for seq, one in self.moment.before],
        }


def inspect_step(
    moment: Moment, plan: Plan, reader: Reader, step: str, *, status: str, last: int, log: str
) -> Detail:
    """Look at one step of a run at a moment.

    Raises:
        UsageError: the run has no such step there.
    """
    one = moment.state.instances.get(step)
    if one is None or not step:
        raise unknown_step(moment, step)
    planned = plan.nodes.get(one.node)
    tally = moment.tallies.get(step)
    return Detail(
        moment=moment,
        status=status,
        last=last,
        view=view_of(one, tally, reader),
        title=planned.title if planned is not None else "",
        kind=str(planned.kind) if planned is not None else "",
        arguments=given_at(one.arguments_seq, reader),
        undo=given_at(one.undo_seq, reader),
        spec=_load_at(tally.asked, "spec", reader) if tally is not None and tally.asked else None,
        output=output_of(one, plan, reader),
        sees=moment.state.scope(one).values,
        log=log,
    )


def given_at(seq: int, reader: Reader) -> dict[str, Json] | None:
    """The arguments that an event holds; of variables only the names."""
    if not seq:
        return None
    found = _load_at(seq, "arguments", reader)
    if found is None:  # a tool's own way back
        found = _load_at(seq, "undo", reader)
    if not isinstance(found, dict):
        return None
    shown = dict(found)
    for names in ("env", "secret_env"):
        if isinstance(layer := shown.get(names), dict):
            shown[names] = [*layer]
    return shown


def _load_at(seq: int, what: str, reader: Reader) -> Json:
    event = reader.event(seq)
    ref: Ref | None = None if isinstance(event, Newer) else getattr(event, what, None)
    return reader.load(ref) if ref is not None else None
