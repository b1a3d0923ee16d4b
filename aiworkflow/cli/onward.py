"""What becomes of a run that goes on at another revision: the table, and whether that is agreed to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.cli.out import Out
    from aiworkflow.client.onward import Proposal

_COLOURS = {
    "reuse": "green",
    "goes on": "green",
    "undo": "yellow",
    "undo, redo": "yellow",
    "stands": "red",
}


class NotAgreed(UsageError):
    """Nobody agreed to what would be done; nothing was changed."""

    code = "not-agreed"

    def __init__(self, proposal: Proposal, hint: str | None = None) -> None:
        self.details = proposal.to_json()
        message = f"run {proposal.run} was not changed: nobody has agreed to what would be done"
        super().__init__(message, hint=hint)


def agree(proposal: Proposal, out: Out, *, agreed: bool) -> None:
    """Show what would be done, and ask for it where nobody has agreed beforehand.

    Raises:
        NotAgreed: nobody did.
    """
    from aiworkflow.cli.prompting import is_terminal

    asks = is_terminal(out)
    for line in table(proposal, out):
        if asks or agreed:
            out.note(line)
        else:
            out.say(line)
    if agreed:
        return
    if not asks:
        agree_by = f"aiworkflow runs resume {proposal.run} --on {proposal.revision} --yes"
        raise NotAgreed(proposal, f"agree: {agree_by}")
    sys.stderr.write("go on so? [y]es, Enter for no: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise NotAgreed(proposal)


def table(proposal: Proposal, out: Out) -> Iterator[str]:
    """A line for each step: what becomes of it, and why."""
    from aiworkflow.steady import steady

    rows = proposal.outlook.replan.steps
    width = max((len(one.step) for one in rows), default=0)
    yield f"run {proposal.run} at {steady(proposal.revision)} ({proposal.commit[:12]}):"
    for one in rows:
        verdict = out.paint(f"{one.verdict:10}", _COLOURS.get(one.verdict, "dim"), err=True)
        count = f" ({one.count} times)" if one.count > 1 else ""
        because = f"  {one.because}" if one.because else ""
        yield f"  {one.step:{width}}  {verdict}{count}{because}".rstrip()
    if proposal.outlook.replan.undo:
        yield "  taken back first, the last one first: " + ", ".join(proposal.outlook.replan.undo)
    if proposal.outlook.replan.stands:
        yield "  cannot be taken back, its effect stands: " + ", ".join(
            proposal.outlook.replan.stands
        )
