"""What people tell runs of a server: answers, consents, signals, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.client.waits import OpenWait, named
from aiworkflow.http.remote.reading import path_of
from aiworkflow.plan import field_from_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.connection import Connection


class RemoteWaits:
    """As `aiworkflow.client.waits.Waits`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, run: str = "", kinds: Collection[str] = ()) -> list[OpenWait]:
        """Open waits, the oldest run first; of one run, or of all that wait for people."""
        runs = [run]
        if not run:
            waiting = self._connection.get("/approvals")["approvals"]
            listed = cast("list[dict[str, Json]]", waiting)
            runs = [*dict.fromkeys(str(one["run"]) for one in listed)]
        found = [_wait(one) for run in runs for one in self._of(run)]
        return [wait for wait in found if not kinds or wait.kind in kinds]

    def _of(self, run: str) -> Sequence[Mapping[str, Json]]:
        shown = self._connection.get(path_of(run, "waits"))
        return cast("list[dict[str, Json]]", shown["waits"])

    def one(self, reference: str, kinds: Collection[str], what: str) -> OpenWait:
        """The wait that `RUN/STEP`, or a run that has only one such, names.

        Raises:
            UsageError: none is open there, or several are.
        """
        run, _, step = reference.partition("/")
        return named(self.open(run, kinds), run, step, what)

    def is_mine(self, wait: OpenWait) -> bool:
        """As there; only the server knows by which name its token acts, and says no if need be."""
        return True

    def approve(self, reference: str, *, comment: str = "") -> OpenWait:
        """Agree. Raises as there."""
        return self._tell("approve", reference, {"comment": comment})

    def reject(self, reference: str, *, comment: str = "") -> OpenWait:
        """Refuse. Raises as there."""
        return self._tell("reject", reference, {"comment": comment})

    def answer(
        self,
        reference: str,
        given: Mapping[str, Json],
        texts: Mapping[str, str] | None = None,
    ) -> OpenWait:
        """Answer an `ask`. Raises as there."""
        fields: dict[str, Json] = {"fields": dict(given), "texts": dict(texts or {})}
        return self._tell("answer", reference, fields)

    def decline(self, reference: str, *, cancel: bool = False) -> OpenWait:
        """Answer nothing to what a step's server asks. Raises as there."""
        return self._tell("answer", reference, {"nothing": "cancel" if cancel else "decline"})

    def signal(self, run: str, event: str, data: Json = None) -> OpenWait:
        """Deliver an outside event to the step of a run that waits for it. Raises as there."""
        return self._tell("signal", run, {"event": event, "data": data})

    def go_on(self, reference: str, how: str = "continue") -> OpenWait:
        """Let a run go on from a breakpoint. Raises as there."""
        return self._tell("continue", reference, {"how": how})

    def _tell(self, what: str, reference: str, body: Mapping[str, Json]) -> OpenWait:
        run, _, step = reference.partition("/")
        more = {"step": step} if step else {}
        told = self._connection.post(path_of(run, what), {**body, **more})
        return OpenWait(str(told["run"]), str(told["step"]), what, 0, "", "", 0.0)


class RemoteSignals:
    """As `aiworkflow.client.signals.Signals`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def cancel(self, run: str, reason: str = "") -> str:
        """Ask a run to stop. Returns its full id. Raises as there."""
        return str(self._connection.post(path_of(run, "cancel"), {"reason": reason})["run"])

    def resolve(
        self, run: str, step: str, outcome: str, *, output: Json = None, note: str = ""
    ) -> str:
        """Settle whether a step that was interrupted had its effect. Raises as there."""
        body: dict[str, Json] = {"step": step, "outcome": outcome, "output": output, "note": note}
        return str(self._connection.post(path_of(run, "resolve"), body)["run"])

    def change(self, run: str, values: Mapping[str, Json]) -> str:
        """Set values of a run's state. Raises as there."""
        return str(self._connection.post(path_of(run, "state"), {"values": dict(values)})["run"])


def _wait(data: Mapping[str, Json]) -> OpenWait:
    return OpenWait(
        run=str(data["run"]),
        step=str(data["step"]),
        kind=str(data["kind"]),
        visit=cast("int", data["visit"]),
        title=str(data["title"]),
        message=str(data["message"]),
        opened=cast("float", data["since"]),
        by=tuple(cast("list[str]", data["by"])),
        quorum=cast("int", data["quorum"]),
        voters=tuple(cast("list[str]", data["voters"])),
        fields=tuple(field_from_json(one) for one in cast("list[Json]", data["form"])),
        event=cast("str | None", data["event"]),
        uses=cast("str | None", data["uses"]),
        arguments=data["arguments"],
        due=cast("float | None", data["due"]),
        may_decline=bool(data.get("may_decline")),
    )
