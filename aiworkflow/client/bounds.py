"""What a run may cost, before it starts: the plan's bound at known prices, and what past runs cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.choosing import chosen_of_plain
from aiworkflow.bundle.policies import Budget
from aiworkflow.bundle.workflow import agent_spec
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.plan.bound import Bound, Tariff, Terms, bound
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.agents import AgentConfig
    from aiworkflow.bundle.choosing import AgentChoice
    from aiworkflow.bundle.workflow import AgentSpec
    from aiworkflow.client.project import Checked, Project
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.given import InForce

_PAST: Final = 200  # runs that are looked at
_FEW: Final = 1000  # tokens: of very many some models charge more for each
_BY_THEMSELVES: Final = frozenset({"acp", "cli"})


@record
class Past:
    """What the last runs of a bundle cost that succeeded, US dollars; nothing is known of no runs.

    Attributes:
        p50, p90: half of them, nine of ten, cost no more.
    """

    runs: int = 0
    p50: float = 0.0
    p90: float = 0.0

    def to_json(self) -> dict[str, Json]:
        """As `bundle info --json` prints it."""
        known = self.runs > 0
        return {
            "runs": self.runs,
            "p50_usd": self.p50 if known else None,
            "p90_usd": self.p90 if known else None,
        }


@record
class Outlay:
    """What a run of a bundle may cost."""

    bound: Bound
    past: Past

    def to_json(self) -> dict[str, Json]:
        """As `bundle info --json` prints it."""
        return {**self.bound.to_json(), "past": self.past.to_json()}


def outlay(
    project: Project,
    checked: Checked,
    inputs: Mapping[str, Json] | None = None,
    *,
    texts: Mapping[str, str] | None = None,
    journal: Callable[[], Journal] | None = None,
) -> Outlay:
    """What a run may cost at most, and what past runs cost.

    Args:
        inputs: values of the declared inputs; None for their defaults.
        texts: inputs as text from a command line.
        journal: opens the journal of the project; None for the one that is there, if any.

    Raises:
        BundleInvalid, InputsInvalid.
    """
    from aiworkflow.client.inputs import check_inputs
    from aiworkflow.client.project import BundleInvalid

    plan = checked.plan
    if plan is None or checked.report.has_errors:
        raise BundleInvalid(checked.label, checked.report.sorted())
    if inputs is None:
        inputs = {one.name: one.default for one in plan.inputs if not one.required}
    else:
        inputs = check_inputs(plan.name, plan.inputs, inputs, texts)
    return outlay_of(project, checked, inputs, journal=journal)


def outlay_of(
    project: Project,
    checked: Checked,
    known: Mapping[str, Json],
    *,
    journal: Callable[[], Journal] | None = None,
) -> Outlay:
    """What runs may cost of which these inputs are known."""
    assert checked.plan is not None
    found = bound(checked.plan, terms_of(project, checked, known))
    if not found.steps:
        return Outlay(found, Past())
    return Outlay(found, past_runs(project, checked.label, journal))


def terms_of(project: Project, checked: Checked, inputs: Mapping[str, Json]) -> Terms:
    """What the bound of a bundle rests on: its settings here, and prices."""
    from aiworkflow.client.in_force import in_force

    settings = in_force(checked.settings)

    def called(path: str) -> tuple[Plan, Terms]:
        child = checked.children[path]
        assert child.plan is not None
        return child.plan, terms_of(project, child, {})

    candidates, choice = default_agents(settings)
    return Terms(
        lambda spec: tariff(spec, settings, project.environ),
        candidates,
        inputs,
        settings.limits["max_items"],
        settings.limits["prompt"],
        _budget(settings.budget),
        called,
        every_agent(settings),
        choice,
    )


def every_agent(settings: InForce) -> tuple[AgentSpec, ...]:
    """All agents that the settings name, those in use by default first."""
    return tuple(agent_spec(one) for one in dict.fromkeys([*settings.agent, *settings.agents]))


def default_agents(settings: InForce) -> tuple[tuple[AgentSpec, ...], AgentChoice | None]:
    """Who may do a step that names nobody, and how one of them is chosen; None for the first."""
    if not settings.choice:
        return tuple(agent_spec(text) for text in settings.agent), None
    said = chosen_of_plain(settings.choice)
    return said.agents or every_agent(settings), said.choice


def tariff(spec: AgentSpec, settings: InForce, environ: Mapping[str, str]) -> Tariff:
    """What an agent costs, whether its key is there or not."""
    from aiworkflow.agents import Consumed, cost_of

    config = agent_without_key(spec, settings, environ)
    if config is None:
        return Tariff(f"{spec.name}/{spec.model}" if spec.model else spec.name)
    why = "it decides itself how often it asks its model" if config.kind in _BY_THEMSELVES else ""
    asked = cost_of(config, Consumed(_FEW))
    answered = cost_of(config, Consumed(output_tokens=_FEW))
    return Tariff(config.label, config.max_tokens, _million(asked), _million(answered), why)


def _million(price: float | None) -> float | None:
    return None if price is None else price * 1_000_000 / _FEW


def agent_without_key(
    spec: AgentSpec, settings: InForce, environ: Mapping[str, str]
) -> AgentConfig | None:
    """An agent as it would be used, were its key there; None where there is none of the name."""
    from aiworkflow.agents import described_agent

    try:
        return described_agent(spec, settings.agents, environ)
    except UsageError:
        return None


def past_runs(project: Project, bundle: str, journal: Callable[[], Journal] | None = None) -> Past:
    """What the last runs of a bundle that succeeded cost, forks and called runs apart.

    A journal that is not there, or does not answer, knows of none.
    """
    from aiworkflow.client.journals import open_existing, own_journal

    try:
        store = journal() if journal is not None else open_existing(project, own_journal(project))
    except AIWorkflowError:
        return Past()
    try:
        page = store.runs(status=("succeeded",), bundle=bundle, limit=_PAST)
    except AIWorkflowError:
        return Past()
    finally:
        if journal is None:
            store.close()
    return spread([row.cost_usd for row in page.runs if row.trigger != "workflow"])


def spread(costs: Sequence[float]) -> Past:
    """Half and nine of ten of some costs."""
    if not costs:
        return Past()
    ordered = sorted(costs)

    def at(share: float) -> float:  # the smallest that so many are no more than
        return ordered[max(0, math.ceil(len(ordered) * share) - 1)]

    return Past(len(ordered), at(0.5), at(0.9))


def _budget(said: Mapping[str, Json]) -> Budget | None:
    usd, tokens = said.get("usd"), said.get("tokens")
    if usd is None and tokens is None:
        return None
    return Budget(
        float(cast("float", usd)) if usd is not None else None,
        int(cast("int", tokens)) if tokens is not None else None,
    )
