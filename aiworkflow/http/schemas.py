"""JSON Schemas of what the API takes and gives. Answers may have more keys than are named here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.client.result import Status
from aiworkflow.journal.runid import FORM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Json
    from aiworkflow.http.route import Schema

TEXT: Final[Schema] = {"type": "string"}
MAYBE_TEXT: Final[Schema] = {"type": ["string", "null"]}
FLAG: Final[Schema] = {"type": "boolean"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
MAYBE_NUMBER: Final[Schema] = {"type": ["number", "null"]}
ANY_MAP: Final[Schema] = {"type": "object"}
ANYTHING: Final[Schema] = {}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
STATUSES: Final = tuple(str(one) for one in Status)
STATUS: Final[Schema] = {"type": "string", "enum": [*STATUSES]}
CURSOR: Final = FORM
"""The form of a cursor, which is the id of a run or a sweep."""


def ref(name: str) -> Schema:
    """A schema that has a name of its own."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(of: Schema) -> Schema:
    """A list of something."""
    return {"type": "array", "items": of}


def gives(need: str = "", /, **keys: Schema) -> Schema:
    """An object of an answer.

    Args:
        need: keys that are always there, with spaces between.
    """
    found: Schema = {"type": "object", "properties": dict(keys)}
    if need:
        found["required"] = list(need.split())
    return found


def takes(need: str = "", /, **keys: Schema) -> Schema:
    """An object of a request: no other keys than these."""
    return {**gives(need, **keys), "additionalProperties": False}


_ORIGIN: Final[Mapping[str, Schema]] = {
    "commit": MAYBE_TEXT,
    "dirty": FLAG,
    "digest": TEXT,
    "trigger": TEXT,
    "actor": TEXT,
}
_ERROR: Final[Schema] = {"type": ["object", "null"]}

STEP: Final = gives(
    "status output error attempts agent cost_usd seconds",
    status=TEXT,
    output=ANYTHING,
    error=_ERROR,
    attempts=WHOLE,
    agent=MAYBE_TEXT,
    cost_usd=MAYBE_NUMBER,
    seconds=NUMBER,
)
RUN: Final = gives(
    "run bundle status outputs steps error cost_usd unknown_price seconds waiting_for started finished",
    run=TEXT,
    bundle=TEXT,
    status=ref("Status"),
    outputs=ANY_MAP,
    steps={"type": "object", "additionalProperties": ref("Step")},
    error=_ERROR,
    cost_usd=NUMBER,
    unknown_price=WHOLE,
    seconds=NUMBER,
    waiting_for=listed(ANY_MAP),
    standing=listed(TEXT),
    started=TEXT,
    finished=MAYBE_TEXT,
    interrupted=FLAG,
    imported=FLAG,
    **_ORIGIN,
)
RUN_ROW: Final = gives(
    "run bundle status started finished seconds cost_usd",
    run=TEXT,
    bundle=TEXT,
    status=ref("Status"),
    interrupted=FLAG,
    imported=FLAG,
    started=TEXT,
    finished=MAYBE_TEXT,
    seconds=NUMBER,
    cost_usd=NUMBER,
    **_ORIGIN,
)
STANDING: Final = gives(
    "run status waiting driven interrupted imported root events",
    run=TEXT,
    bundle=TEXT,
    status=ref("Status"),
    started=NUMBER,
    finished=MAYBE_NUMBER,
    cost_usd=NUMBER,
    waiting=listed(ANY_MAP),
    driven=FLAG,
    interrupted=FLAG,
    imported=FLAG,
    root=TEXT,
    events=WHOLE,
    **_ORIGIN,
)
EVENT: Final = gives(
    "seq",
    seq=WHOLE,
    at=NUMBER,
    type=TEXT,
    step=MAYBE_TEXT,
    text=TEXT,
    fields=ANY_MAP,
    event=ANY_MAP,
)
APPROVAL: Final = gives(
    "approval run step kind message by quorum voters fields",
    approval=TEXT,
    run=TEXT,
    step=TEXT,
    kind=TEXT,
    title=TEXT,
    message=TEXT,
    by=listed(TEXT),
    quorum=WHOLE,
    voters=listed(TEXT),
    fields=TEXTS,
    uses=MAYBE_TEXT,
    arguments=ANYTHING,
    may_decline=FLAG,
    opened=TEXT,
    until=MAYBE_TEXT,
)
BUNDLE_ROW: Final = gives(
    "name path valid description version",
    name=TEXT,
    path=TEXT,
    version=MAYBE_TEXT,
    description=TEXT,
    valid=FLAG,
)
DIAGNOSTIC: Final = gives(
    "code severity message file line column",
    code=TEXT,
    severity=TEXT,
    message=TEXT,
    file=TEXT,
    line=WHOLE,
    column=WHOLE,
    end_line=WHOLE,
    end_column=WHOLE,
    hint=MAYBE_TEXT,
)
PROBLEM: Final = gives(
    "type title status code detail hint",
    type=TEXT,
    title=TEXT,
    status=WHOLE,
    code=TEXT,
    detail=TEXT,
    hint=MAYBE_TEXT,
    exit_code=WHOLE,
    place=TEXT,
    problems=listed(TEXT),
    diagnostics=listed(ref("Diagnostic")),
    id=TEXT,
)
STARTED: Final = gives("run status", run=TEXT, status=ref("Status"), new=FLAG)
TOLD: Final = gives("run step", run=TEXT, step=TEXT)

COMPONENTS: Final[Mapping[str, Schema]] = {
    "Approval": APPROVAL,
    "BundleRow": BUNDLE_ROW,
    "Diagnostic": DIAGNOSTIC,
    "Event": EVENT,
    "Problem": PROBLEM,
    "Run": RUN,
    "RunRow": RUN_ROW,
    "Standing": STANDING,
    "Started": STARTED,
    "Status": STATUS,
    "Step": STEP,
    "Told": TOLD,
}


def whole(schema: Schema) -> dict[str, Json]:
    """A schema by itself, with all that it may refer to."""
    return {**schema, "components": {"schemas": dict(COMPONENTS)}}
