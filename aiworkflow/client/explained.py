"""Which agents a bundle's steps would be offered to now, in which order, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.agents import Roster
from aiworkflow.agents.figures import Figures
from aiworkflow.bundle.workflow import AgentCall, OutputForm, agent_spec
from aiworkflow.client.agents import kept
from aiworkflow.client.in_force import in_force
from aiworkflow.client.project import BundleInvalid
from aiworkflow.engine import Failure
from aiworkflow.records import record
from aiworkflow.runtime.choosing import Choosing
from aiworkflow.runtime.estimate import Estimate, Sent

if TYPE_CHECKING:
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.given import InForce


@record
class Offered:
    """Who would be asked to do a step.

    Attributes:
        agents: in order, each with why it stands there and what an answer may cost at most.
        problem: why nobody can be asked; "" where somebody can.
    """

    step: str
    agents: tuple[tuple[str, str, float], ...]
    problem: str = ""

    def to_json(self) -> dict[str, Json]:
        """As `agents choose --json` prints it."""
        return {
            "step": self.step,
            "agents": [
                {"agent": agent, "why": why or None, "at_most_usd": usd}
                for agent, why, usd in self.agents
            ],
            "problem": self.problem or None,
        }


def explain(client: Client, checked: Checked) -> list[Offered]:
    """What each agent step of a bundle would be offered, with what is known at this moment.

    The prompt is taken as it is written, so costs are those of its text without what is put in.

    Raises:
        BundleInvalid: the bundle has errors.
    """
    if checked.plan is None or checked.report.has_errors:
        raise BundleInvalid(checked.label, checked.report.sorted())
    settings = in_force(checked.settings)
    breakers, figures = kept(client)
    estimate = Estimate(
        settings.agents, settings.agent, client.project.environ, breakers.__contains__
    )
    roster = Roster()
    choosing = Choosing(
        "",
        settings,
        client.project.environ,
        estimate,
        lambda label: figures.get(label, Figures()),
        lambda: roster,
    )
    found = []
    for node in checked.plan.nodes.values():
        if isinstance(node.action, AgentCall):
            is_checked = node.output.form not in {OutputForm.AUTO, OutputForm.TEXT}
            found.append(_offered(node.id, node.action, settings, choosing, is_checked=is_checked))
    return found


def _offered(
    step: str, action: AgentCall, settings: InForce, choosing: Choosing, *, is_checked: bool
) -> Offered:
    if not (action.agents or action.choice or settings.agent or settings.choice):
        return Offered(step, (), "no agent is configured")
    sent = Sent(len(action.prompt.text.encode()), is_checked=is_checked)
    offers = choosing.offers(action, sent, step, None)
    if isinstance(offers, Failure):
        return Offered(step, (), offers.message)
    named = action.agents or tuple(agent_spec(text) for text in settings.agent)
    first = "/".join(filter(None, (named[0].name, named[0].model))) if named else ""
    rows = [
        (one.agent or first, f"{one.why}{', left alone now' * one.is_left_alone}", one.usd)
        for one in offers
    ]
    return Offered(step, tuple(rows))
