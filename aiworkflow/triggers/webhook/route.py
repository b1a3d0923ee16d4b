"""An entry of `on.webhook`, made ready once: its check, filters, schema and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.webhook import Respond, Verify
from aiworkflow.expr import EvaluationError, Expression, Limits, check, evaluate
from aiworkflow.tools.paths import matches
from aiworkflow.triggers.webhook.events import branches_of, event_pattern, files_of
from aiworkflow.triggers.webhook.limits import Buckets
from aiworkflow.triggers.webhook.verify import checker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.expr import Schema
    from aiworkflow.triggers.contract import Armed
    from aiworkflow.triggers.webhook.events import Event

MAX_BODY: Final = 1_000_000
"""The largest body, in bytes, where nothing else is said."""

_LIMITS: Final = Limits(operations=100_000)
_SHOWN: Final = 5
_LONGEST_NAME: Final = 200


class Route:
    """A webhook that can be called.

    Args:
        secret: the value of a secret by its name.

    Attributes:
        telling: lower-case names of headers that hold its secret or signature.
        busy: how many requests of it are under way.

    Raises:
        SecretMissing, SecretTooShort, UsageError: it cannot be armed.
    """

    def __init__(self, armed: Armed, secret: Callable[[str], str]) -> None:
        values = armed.trigger.values
        self.armed = armed
        self.path = str(values["path"])
        self.verify = cast("Verify", values["verify"])
        self.check = checker(self.verify, secret)
        own = self.verify.options.get("header")
        self.telling = frozenset({own.lower()} if isinstance(own, str) else ())
        self.respond = cast("Respond", values.get("respond", Respond()))
        self.starts = bool(values.get("start", True))
        self.max_body = int(cast("float", values.get("max_body", MAX_BODY)))
        self.max_parallel = cast("int | None", values.get("max_parallel"))
        self.busy = 0
        rate = cast("tuple[int, float] | None", values.get("rate"))
        self.rate = Buckets(*rate, names=1) if rate is not None else None
        self._said_events = cast("Sequence[str]", values.get("events", ()))
        self._events = [event_pattern(one) for one in self._said_events]
        self._branches = cast("Sequence[str]", values.get("branches", ()))
        self._paths = cast("Sequence[str]", values.get("paths", ()))
        self._if = cast("Expression | None", values.get("if"))
        self._event = cast("Expression | None", values.get("event"))
        self._schema = cast("Schema | None", values.get("schema"))

    def wants(self, event: Event) -> bool:
        """Whether an event that is answered at once, a ping, is asked for by its name."""
        return event.name in self._said_events

    def name_of(self, trigger: Mapping[str, Json], name: str | None) -> str | None:
        """What an event is called here.

        Raises:
            EvaluationError: `event` has no value.
        """
        if self._event is not None:
            found = evaluate(self._event, {"trigger": trigger}, _LIMITS)
            name = found if isinstance(found, str) else None
        return name if name is not None and 0 < len(name) <= _LONGEST_NAME else None

    def why_not(self, event: Event, trigger: Mapping[str, Json]) -> str:
        """Why an event does not count; "" where it does."""
        if self._events and not any(
            pattern.fullmatch(name) for pattern in self._events for name in event.names
        ):
            return "events"
        body = trigger["body"]
        if self._branches and not any(
            matches(pattern, branch) for branch in branches_of(body) for pattern in self._branches
        ):
            return "branches"
        if self._paths and not any(
            matches(pattern, path) for path in files_of(body) for pattern in self._paths
        ):
            return "paths"
        if self._if is not None:
            try:
                return "" if evaluate(self._if, {"trigger": trigger}, _LIMITS) else "if"
            except EvaluationError as error:
                return f"if: {error.message}"
        return ""

    def problems(self, body: Json) -> list[str]:
        """Why a body is not what `schema` says; empty where it is."""
        if self._schema is None:
            return []
        return [str(one) for one in check(self._schema, body)[:_SHOWN]]
