"""What people tell runs over HTTP: stop, go on, yes, no, this is the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.client.submitting import keep_going
from aiworkflow.errors import UsageError
from aiworkflow.http.once import claimed
from aiworkflow.http.route import Answer
from aiworkflow.runtime.submit import known_run

if TYPE_CHECKING:
    from aiworkflow.client.run import Run
    from aiworkflow.client.waits import OpenWait
    from aiworkflow.http.route import Asked


# -- runs -----------------------------------------------------------------------------------------


async def cancel(asked: Asked) -> Answer:
    """Ask a run to stop; its `finally` steps still run."""
    run = asked.client.signals.cancel(asked.run, asked.text("reason"))
    asked.context.submitted(run)  # nobody may drive it: then a worker takes it up, and ends it
    return Answer({"run": run, "cancelling": True}, status=202)


async def resume(asked: Asked) -> Answer:
    """Go on with a run where it stopped."""
    budget = {
        unit: float(amount)
        for unit, amount in asked.map("budget").items()
        if isinstance(amount, int | float)
    }
    found = await asked.client.resume(
        asked.run,
        take_over=asked.flag("take_over"),
        budget=budget,
        adopt=asked.flag("adopt"),
        on=asked.text("on") or None,
    )
    return await _driven(asked, found)


async def propose(asked: Asked) -> Answer:
    """What would become of a run that goes on at another revision."""
    found = asked.client.propose(asked.run, asked.text("on"))
    return Answer(found.to_json())


async def undo(asked: Asked) -> Answer:
    """Take back what a finished run did."""
    return await _driven(asked, await asked.client.undo(asked.run, adopt=asked.flag("adopt")))


async def fork(asked: Asked) -> Answer:
    """Start a new run from a step of another."""
    step, revision = asked.text("from") or None, asked.text("on") or None
    if step is None and revision is None:
        raise UsageError(
            "say where the fork begins", hint="give `from`, or `on` for what has changed"
        )
    texts = {name: str(text) for name, text in asked.map("texts").items()}
    client, key = asked.client, claimed(asked, "fork")
    known = known_run(client.runtime, key)
    if known is not None:
        status = client.journal.run(known).status
        return Answer({"run": known, "new": False, "status": status}, headers=_at(known))
    found = await client.fork(
        asked.run, step, texts=texts, state=asked.map("state"), revision=revision, key=key
    )
    answer = await _driven(asked, found)
    return Answer(answer.body, answer.status, _at(found.id))


def _at(run: str) -> dict[str, str]:
    return {"location": f"/api/v1/runs/{run}"}


async def resolve(asked: Asked) -> Answer:
    """Settle whether an interrupted step took effect."""
    step, outcome = asked.text("step"), asked.text("outcome")
    run = asked.client.signals.resolve(
        asked.run, step, outcome, output=asked.body.get("output"), note=asked.text("note")
    )
    return Answer({"run": run, "step": step, "resolved": outcome})


async def change(asked: Asked) -> Answer:
    """Set values of a run's state."""
    values = asked.map("values")
    run = asked.client.signals.change(asked.run, values)
    return Answer({"run": run, "changed": [*sorted(values)]})


async def signal(asked: Asked) -> Answer:
    """Deliver an outside event to a run that waits for it."""
    found = asked.client.waits.signal(asked.run, asked.text("event"), asked.body.get("data"))
    return _told(asked, found, "signalled")


# -- people ---------------------------------------------------------------------------------------


async def approve(asked: Asked) -> Answer:
    """Agree."""
    found = asked.client.waits.approve(_wait(asked), comment=asked.text("comment"))
    return _told(asked, found, "approved")


async def reject(asked: Asked) -> Answer:
    """Refuse."""
    found = asked.client.waits.reject(_wait(asked), comment=asked.text("comment"))
    return _told(asked, found, "rejected")


async def answer(asked: Asked) -> Answer:
    """Answer a question, or say that it has no answer."""
    nothing = asked.text("nothing")
    if nothing:
        declined = asked.client.waits.decline(_wait(asked), cancel=nothing == "cancel")
        return _told(asked, declined, "declined")
    texts = {name: str(text) for name, text in asked.map("texts").items()}
    found = asked.client.waits.answer(_wait(asked), asked.map("fields"), texts)
    return _told(asked, found, "answered")


async def go_on(asked: Asked) -> Answer:
    """Let a run go on from a breakpoint."""
    found = asked.client.waits.go_on(_wait(asked), asked.text("how") or "continue")
    return _told(asked, found, "let go on")


def _wait(asked: Asked) -> str:
    step = asked.text("step")
    return f"{asked.run}/{step}" if step else asked.run


def _told(asked: Asked, wait: OpenWait, done: str) -> Answer:
    asked.context.submitted(wait.run)
    return Answer({"run": wait.run, "step": wait.step, done: True})


async def _driven(asked: Asked, run: Run) -> Answer:
    """A run that goes on here, or elsewhere if this process dies; it has when this is answered."""
    asked.context.mind(run)
    await asked.client.exists(run.id)
    keep_going(asked.client, run.id)
    return Answer({"run": run.id, "status": asked.client.journal.run(run.id).status}, status=202)
