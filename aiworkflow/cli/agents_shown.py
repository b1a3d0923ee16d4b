"""What `agents list`, `check` and `show` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.cli.out import printable
from aiworkflow.cli.show import cost_text, seconds_text
from aiworkflow.cli.where import Where, connect
from aiworkflow.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.agents.figures import Figures
    from aiworkflow.cli.out import Out
    from aiworkflow.client.agents import KnownAgent
    from aiworkflow.engine.carried import Json


def list_agents(where: Where, out: Out) -> None:
    """Print all agents as a table."""
    from aiworkflow.client.agents import survey

    client = connect(where)
    try:
        every = survey(client)
    finally:
        client.close()
    out.object({"agents": [one.to_json() for one in every]})
    rows = [("", "agent", "kind", "model", "measured here", "")]
    rows += [
        (
            _mark(one),
            one.name,
            one.api or one.kind,
            one.model or "-",
            _in_short(one.measured) or "-",
            _remark(one),
        )
        for one in every
    ]
    for line in table(rows):
        out.say(printable(line))


def check_command(where: Where, names: Sequence[str], out: Out) -> int:
    """Print whether agents can be used; the exit status."""
    import asyncio

    from aiworkflow.client.views import standings_json

    client = connect(where)
    try:
        found = asyncio.run(standings_json(client, names))
    finally:
        client.close()
    out.object(found)
    agents = cast("list[dict[str, Json]]", found["agents"])
    width = max(len(str(one["agent"])) for one in agents)
    for one in agents:
        bad = one["problem"] and one["counts"]
        mark = out.paint("✓", "green")
        if one["problem"]:
            mark = out.paint("✗" if bad else "·", "red")
        answers = f"answers in {seconds_text(float(str(one['seconds'])))}"
        says = ", ".join(filter(None, (str(one["version"] or ""), answers)))
        text = printable(f"{str(one['agent']).ljust(width)}  {one['problem'] or says}")
        (out.result if bad else out.say)(f"{mark} {text}")
    return EXIT_OK if found["ok"] else EXIT_FAILED


def show_agent(where: Where, name: str, out: Out) -> None:
    """Print all that is known of one agent."""
    from aiworkflow.client.agents import known_agent

    client = connect(where)
    try:
        one = known_agent(client, name)
    finally:
        client.close()
    out.object(one.to_json())
    key = f"{one.key_variable}, {'set' if one.has_key else 'not set'}" if one.key_variable else ""
    price = ", ".join(f"{unit} ${value:g}" for unit, value in one.price.items())
    rows = [
        ("agent", one.name),
        ("kind", f"{one.kind} ({one.api})" if one.api else one.kind),
        ("from", one.origin or "built in"),
        ("model", one.model),
        ("url", one.url),
        ("abilities", ", ".join(one.abilities)),
        ("key", key),
        ("price", f"{price} for a million tokens" if price else ""),
        ("problem", one.problem),
        ("breaker", one.breaker),
    ]
    for label, text in rows:
        if text:
            out.say(printable(f"{label.ljust(10)} {text}"))
    for label, figures in one.figures.items():
        out.say()
        out.say(printable(f"measured here, {label}"))
        for what, text in _at_length(figures):
            out.say(f"  {what.ljust(12)} {text}")


def choose_command(where: Where, bundle: str, out: Out) -> None:
    """Print whom the steps of a bundle would be offered to."""
    from aiworkflow.client.explained import explain

    client = connect(where)
    try:
        steps = explain(client, bundle)
    finally:
        client.close()
    out.object({"steps": [one.to_json() for one in steps]})
    if not steps:
        out.say("no step of it is for an agent")
    for one in steps:
        out.say(printable(one.step if not one.problem else f"{one.step}  {one.problem}"))
        for place, (agent, why, usd) in enumerate(one.agents, 1):
            most = f"at most {cost_text(usd)}" if usd else ""
            words = "  ".join(filter(None, (agent, most, why)))
            out.say(printable(f"  {place}. {words}"))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns under each other; the last column is not padded."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _mark(one: KnownAgent) -> str:
    return "✗" if one.problem and one.is_wanted else "·" if one.problem or one.breaker else "✓"


def _remark(one: KnownAgent) -> str:
    return one.problem.partition("; ")[0] or one.breaker


def _in_short(figures: Figures) -> str:
    if not figures.attempts:
        return ""
    words = [f"{figures.succeeded}/{figures.attempts}"]
    if figures.median_s is not None:
        words.append(seconds_text(figures.median_s))
    if figures.mean_usd is not None:
        words.append(cost_text(figures.mean_usd))
    return " ".join(words)


def _at_length(figures: Figures) -> list[tuple[str, str]]:
    failures = ", ".join(f"{kind} {count}" for kind, count in sorted(figures.failures.items()))
    rows = [
        ("attempts", str(figures.attempts)),
        ("answered", f"{figures.success:.0%}" if figures.success is not None else ""),
        ("failures", failures),
        ("median time", seconds_text(figures.median_s) if figures.median_s is not None else ""),
        ("speed", f"{figures.tokens_per_s:.0f} tokens/s" if figures.tokens_per_s else ""),
        ("mean cost", cost_text(figures.mean_usd)),
    ]
    return [(what, text) for what, text in rows if text]
