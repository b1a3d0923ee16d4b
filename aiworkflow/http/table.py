"""The table of routes: all that the API can be asked, in the order of its description.

A room that adds to the API has its rows in a list of its own, which is added to `TABLE`.
"""

from __future__ import annotations

from typing import Final

from aiworkflow.http import bundles, machine, runs, steering
from aiworkflow.http.route import Param, Route
from aiworkflow.http.schemas import (
    ANY_MAP,
    ANYTHING,
    CURSOR,
    FLAG,
    MAYBE_TEXT,
    STATUSES,
    TEXT,
    TEXTS,
    gives,
    listed,
    ref,
    takes,
)
from aiworkflow.http.table_sweeps import SWEEPS
from aiworkflow.http.table_triggers import TRIGGERS

_NAMES = listed(TEXT)
_STEP = Param("step", "Path of a step.")
_WAIT = takes(step=TEXT, comment=TEXT)

_RUNS: Final = (
    Route("POST", "/runs", "run", runs.start, "Start a run.", ref("Started"),
          doc="It is durable when this answers, and driven as soon as a worker is free. The same "
          "Idempotency-Key gives the same run, whoever sends it again and when (for 14 days).",
          body=takes("bundle", bundle=TEXT, inputs=ANY_MAP, texts=TEXTS, name=TEXT, agent=TEXT,
                     breaks=_NAMES, agreed=FLAG),
          status=202, starts=True, errors=(409, 422)),
    Route("GET", "/runs", "read", runs.list_, "List runs, newest first.",
          gives("runs next", runs=listed(ref("RunRow")), next=MAYBE_TEXT),
          query=(Param("status", "Only runs with this status.", "strings", choices=STATUSES),
                 Param("bundle", "Only runs of this bundle."),
                 Param("limit", "How many.", "integer", 20, 1, 1000),
                 Param("before", "`next` of the page before.", form=CURSOR))),
    Route("GET", "/runs/{run}", "read", runs.show, "Show a run: its steps, outputs, errors, cost.",
          ref("Run")),
    Route("GET", "/runs/{run}/status", "read", runs.status, "Say where a run stands.",
          ref("Standing"), doc="Costs little; does not read its events."),
    Route("GET", "/runs/{run}/outputs", "read", runs.outputs, "Give the outputs of a run.",
          gives("run status outputs error", run=TEXT, status=ref("Status"), outputs=ANY_MAP,
                error={"type": ["object", "null"]})),
    Route("GET", "/runs/{run}/events", "read", runs.events, "Give the events of a run.",
          gives("run events next at_rest", run=TEXT, events=listed(ref("Event")),
                next={"type": ["integer", "null"]}, at_rest=FLAG),
          doc="With `Accept: text/event-stream` they come as they become durable, until the run is "
          "at rest; then `event: end`. `Last-Event-ID` goes on after that event.",
          query=(Param("after", "Only events after this one.", "integer", 0, 0, 1_000_000_000),
                 Param("limit", "How many; of a page.", "integer", 200, 1, 1000),
                 Param("raw", "As they stand in the journal.", "boolean")),
          stream=True),
    Route("GET", "/runs/{run}/log", "read", runs.log, "Give the log of a step, or the run's record.",
          gives("run", run=TEXT, step=TEXT, log=TEXT, record=TEXT), query=(_STEP,)),
    Route("GET", "/runs/{run}/plan", "read", runs.plan, "Describe the plan in force in a run.",
          gives("run steps", run=TEXT, name=TEXT, steps=listed(ANY_MAP))),
    Route("GET", "/runs/{run}/inspect", "read", runs.inspect,
          "Show the whole state of a run, or of a step, at any point.", ANY_MAP,
          query=(Param("at", "As it was after this event, or when this step came to rest."), _STEP,
                 Param("limit", "How many of each list.", "integer", 1000, 1, 100_000),
                 Param("after", "Steps after this one."),
                 Param("events", "How many events around.", "integer", 5, 0, 10_000))),
    Route("GET", "/runs/{run}/waits", "read", runs.waits, "List all that a run waits for.",
          gives("waits", waits=listed(ref("Approval")))),
    Route("GET", "/runs/{run}/diff/{other}", "read", runs.difference, "Compare two runs.", ANY_MAP),
    Route("GET", "/runs/{run}/blobs/{digest}", "read", runs.blob,
          "Give content that an event of a run refers to.", ANYTHING, binary=True),
    Route("GET", "/runs/{run}/export", "read", runs.export,
          "Give a run as a file that another project can import.", ANYTHING, binary=True,
          query=(Param("without_children", "Leave out the runs that it called.", "boolean"),)),
    Route("POST", "/runs/{run}/cancel", "run", steering.cancel, "Stop a run.",
          gives("run cancelling", run=TEXT, cancelling=FLAG), body=takes(reason=TEXT),
          status=202, usage=409, errors=(409,)),
    Route("POST", "/runs/{run}/resume", "run", steering.resume, "Go on with a run where it stopped.",
          ref("Started"),
          body=takes(take_over=FLAG, adopt=FLAG, on=TEXT,
                     budget=takes(usd={"type": "number"}, tokens={"type": "number"},
                                  seconds={"type": "number"})),
          status=202, usage=409, errors=(409, 422)),
    Route("POST", "/runs/{run}/propose", "read", steering.propose,
          "Say what would become of a run at another revision of its bundle.", ANY_MAP,
          body=takes("on", on=TEXT), usage=409, errors=(409, 422)),
    Route("POST", "/runs/{run}/undo", "run", steering.undo, "Take back what a finished run did.",
          ref("Started"), body=takes(adopt=FLAG), status=202, usage=409, errors=(409,)),
    Route("POST", "/runs/{run}/fork", "run", steering.fork, "Start a new run from a step of another.",
          ref("Started"),
          body=takes(**{"from": TEXT}, on=TEXT, texts=TEXTS, state=ANY_MAP),
          status=202, starts=True, errors=(409, 422)),
    Route("POST", "/runs/{run}/resolve", "run", steering.resolve,
          "Settle whether an interrupted step took effect.",
          gives("run step resolved", run=TEXT, step=TEXT, resolved=TEXT),
          body=takes("step outcome", step=TEXT,
                     outcome={"type": "string", "enum": ["done", "redo", "failed", "undo"]},
                     output=ANYTHING, note=TEXT), usage=409, errors=(409,)),
    Route("POST", "/runs/{run}/state", "run", steering.change, "Set values of a run's state.",
          gives("run changed", run=TEXT, changed=_NAMES), body=takes("values", values=ANY_MAP),
          usage=409, errors=(409,)),
    Route("POST", "/runs/{run}/signal", "run", steering.signal,
          "Deliver an outside event to a run that waits for it.", ref("Told"),
          body=takes("event", event=TEXT, data=ANYTHING), usage=409, errors=(409,)),
)  # fmt: skip

_PEOPLE: Final = (
    Route("GET", "/approvals", "read", runs.approvals, "List what waits for people.",
          gives("approvals", approvals=listed(ref("Approval"))),
          query=(Param("run", "Only of this run."),)),
    Route("GET", "/runs/{run}/approval", "read", runs.approval,
          "Show what a consent is asked for: the message, and what would run.", ref("Approval"),
          query=(_STEP,), usage=409, errors=(409,)),
    Route("POST", "/runs/{run}/approve", "approve", steering.approve, "Agree.", ref("Told"),
          body=_WAIT, usage=409, errors=(409,)),
    Route("POST", "/runs/{run}/reject", "approve", steering.reject, "Refuse.", ref("Told"),
          body=_WAIT, usage=409, errors=(409,)),
    Route("POST", "/runs/{run}/answer", "approve", steering.answer, "Answer a question.",
          ref("Told"), body=takes(step=TEXT, fields=ANY_MAP, texts=TEXTS,
          nothing={"type": "string", "enum": ["decline", "cancel"]}), usage=409,
          errors=(409, 422)),
    Route("POST", "/runs/{run}/continue", "run", steering.go_on,
          "Let a run go on from a breakpoint.", ref("Told"),
          body=takes(step=TEXT, how={"type": "string", "enum": ["continue", "step", "skip"]}),
          usage=409, errors=(409,)),
)  # fmt: skip

_BUNDLES: Final = (
    Route("GET", "/bundles", "read", bundles.list_, "List the bundles.",
          gives("bundles", bundles=listed(ref("BundleRow")))),
    Route("GET", "/bundles/{bundle}", "read", bundles.show,
          "Show what a bundle takes, does and may touch.",
          gives("name bundle inputs steps", name=TEXT, bundle=TEXT, inputs=listed(ANY_MAP),
                steps=listed(ANY_MAP)), errors=(422,)),
    Route("GET", "/bundles/{bundle}/validate", "read", bundles.validate,
          "Say what is wrong with a bundle.",
          gives("valid diagnostics", valid=FLAG, diagnostics=listed(ref("Diagnostic")))),
    Route("GET", "/bundles/{bundle}/document", "read", bundles.document,
          "Give the document of a bundle's workflow.",
          gives("name path document", name=TEXT, path=TEXT, document=TEXT), errors=(422,)),
    Route("GET", "/bundles/{bundle}/choice", "read", bundles.choice,
          "Say which agents the steps of a bundle would be offered to now, and why.",
          gives("steps", steps=listed(ANY_MAP)),
          query=(Param("agent", "As if this one did all of them; refused if it cannot be used."),),
          errors=(422,)),
    Route("GET", "/bundles/{bundle}/arms", "read", bundles.arms,
          "Compare the agents of A/B steps, as far as the runs of a bundle tell.",
          gives("bundle steps", bundle=TEXT, steps=ANY_MAP),
          query=(Param("limit", "So many of the last runs.", "integer", 1000, 1, 100_000),)),
)  # fmt: skip

_LEVELS = ("bundle", "step", "agent", "model", "user", "run")
_MACHINE: Final = (
    Route("GET", "/costs", "read", runs.costs, "Add up what agents were paid for.",
          gives("rows total", rows=listed(ANY_MAP), total=ANY_MAP),
          query=(Param("by", "Levels, with commas: day, bundle, step, agent, model, user, run.",
                       "string", "bundle"),
                 Param("since", "From this day on: 2027-01-31, or 7d."),
                 Param("until", "Up to this day."),
                 *(Param(one, f"Only this {one}.", "strings") for one in _LEVELS))),
    Route("GET", "/agents", "read", machine.agents, "List the agents that are known there.",
          gives("agents", agents=listed(ANY_MAP))),
    Route("GET", "/agents/check", "read", machine.check_agents, "Look whether agents can be used.",
          gives("agents ok", agents=listed(ANY_MAP), ok=FLAG),
          query=(Param("agent", "Only this one.", "strings"),)),
    Route("GET", "/agents/{agent}", "read", machine.agent, "Show all that is known of an agent.",
          gives("agent", agent=TEXT), usage=404),
    Route("GET", "/tools", "read", machine.tools, "List the tools that are built in.",
          gives("tools", tools=listed(ANY_MAP)),
          query=(Param("bundle", "With the tools of this bundle."),), errors=(404, 422)),
    Route("GET", "/tools/{tool}", "read", machine.tool,
          "Show what a tool, or each of its operations, takes, gives and touches.",
          gives("tools", tools=listed(ANY_MAP)),
          query=(Param("bundle", "Of the tools of this bundle, too."),), usage=404, errors=(422,)),
    Route("POST", "/tools/call", "admin", machine.call_tool, "Call a tool, as a run of one step.",
          ref("Started"),
          doc="`with` are its arguments, `texts` those that are text and are turned into the types "
          "that it declares. One that writes takes `agreed`.",
          body=takes("tool", **{"with": ANY_MAP}, tool=TEXT, texts=TEXTS, bundle=TEXT, agreed=FLAG),
          status=202, starts=True, errors=(404, 422)),
    Route("GET", "/doctor", "read", machine.doctor, "Check the server's machine and project.",
          gives("checks ok", checks=listed(ANY_MAP), ok=FLAG)),
    Route("GET", "/journal/check", "read", machine.journal, "Check that the journal is whole.",
          gives("ok findings runs events", ok=FLAG, findings=listed(ANY_MAP),
                runs={"type": "integer"}, events={"type": "integer"})),
    Route("GET", "/version", "read", machine.version, "Say the version, and who you are.",
          gives("aiworkflow api actor scopes", aiworkflow=TEXT, api=TEXT, actor=TEXT,
                scopes=_NAMES)),
)  # fmt: skip

TABLE: Final[tuple[Route, ...]] = (*_RUNS, *_PEOPLE, *_BUNDLES, *TRIGGERS, *SWEEPS, *_MACHINE)

HEALTH: Final = (
    Route("GET", "/healthz", "", machine.healthz, "The process lives.", gives("status", status=TEXT)),
    Route("GET", "/readyz", "", machine.readyz, "The journal answers, and it is not going down.",
          gives("status", status=TEXT), errors=(503,)),
)  # fmt: skip
