"""What `agents list`, `check` and `show` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.cli.show import cost_text, seconds_text, table
from aiworkflow.cli.triggering import in_loop, opened
from aiworkflow.cli.where import Where
from aiworkflow.errors import EXIT_FAILED, EXIT_OK
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.engine.carried import Json

    _Shown = dict[str, Json]


def list_agents(where: Where, out: Out) -> None:
    """Print all agents as a table."""
    with opened(where) as client:
        about = client.views.agents()
    out.object(about)
    rows = [
        (
            _mark(one),
            str(one["agent"]),
            str(one["api"] or one["kind"]),
            str(one["model"] or "-"),
            _in_short(cast("_Shown", one["together"])) or "-",
            _why_not(one),
        )
        for one in cast("list[_Shown]", about["agents"])
    ]
    out.result(table(rows, ("", "AGENT", "KIND", "MODEL", "MEASURED HERE", "")))


def check_command(where: Where, names: Sequence[str], out: Out) -> int:
    """Print whether agents can be used; the exit status."""
    found = in_loop(where, lambda client: client.views.check_agents(names))
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
        text = steady(f"{str(one['agent']).ljust(width)}  {one['problem'] or says}")
        (out.result if bad else out.say)(f"{mark} {text}")
    return EXIT_OK if found["ok"] else EXIT_FAILED


def show_agent(where: Where, name: str, out: Out) -> None:
    """Print all that is known of one agent."""
    with opened(where) as client:
        one = client.views.agent(name)
    out.object(one)
    said = cast("_Shown | None", one["key"])
    key = f"{said['variable']}, {'set' if said['is_set'] else 'not set'}" if said else ""
    prices = cast("dict[str, float]", one["price"] or {})
    price = ", ".join(f"{unit} ${value:g}" for unit, value in prices.items())
    rows = [
        ("agent", one["agent"]),
        ("kind", f"{one['kind']} ({one['api']})" if one["api"] else one["kind"]),
        ("from", one["origin"] or "built in"),
        ("model", one["model"]),
        ("url", one["url"]),
        ("abilities", ", ".join(cast("list[str]", one["abilities"]))),
        ("key", key),
        ("price", f"{price} for a million tokens" if price else ""),
        ("problem", one["problem"]),
        ("breaker", one["breaker"]),
    ]
    for label, text in rows:
        if text:
            out.say(steady(f"{label.ljust(10)} {text}"))
    for label, figures in cast("dict[str, _Shown]", one["measured"]).items():
        out.say()
        out.say(steady(f"measured here, {label}"))
        for what, text in _at_length(figures):
            out.say(f"  {what.ljust(12)} {text}")


def choose_command(where: Where, bundle: str, out: Out) -> None:
    """Print whom the steps of a bundle would be offered to."""
    with opened(where) as client:
        about = client.views.choice(bundle)
    out.object(about)
    steps = cast("list[_Shown]", about["steps"])
    if not steps:
        out.say("no step of it is for an agent")
    for one in steps:
        out.say(steady("  ".join(filter(None, (str(one["step"]), str(one["problem"] or ""))))))
        for place, offer in enumerate(cast("list[_Shown]", one["agents"]), 1):
            usd = cast("float", offer["at_most_usd"])
            most = f"at most {cost_text(usd)}" if usd else ""
            words = "  ".join(filter(None, (str(offer["agent"]), most, str(offer["why"] or ""))))
            out.say(steady(f"  {place}. {words}"))


def _mark(one: _Shown) -> str:
    if one["problem"]:
        return "✗" if one["wanted"] else "·"
    return "·" if one["breaker"] else "✓"


def _why_not(one: _Shown) -> str:
    """In short, without the name, which its row has."""
    problem = str(one["problem"] or "").partition("; ")[0]
    return problem.removeprefix(f"agent `{one['agent']}` ") or str(one["breaker"] or "")


def _in_short(figures: _Shown) -> str:
    if not figures["attempts"]:
        return ""
    words = [f"{figures['succeeded']}/{figures['attempts']}"]
    if figures["median_seconds"] is not None:
        words.append(seconds_text(float(str(figures["median_seconds"]))))
    if figures["mean_cost_usd"] is not None:
        words.append(cost_text(cast("float", figures["mean_cost_usd"])))
    return " ".join(words)


def _at_length(figures: _Shown) -> list[tuple[str, str]]:
    counts = cast("dict[str, int]", figures["failures"])
    failures = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
    success, median, speed, cost = (
        cast("float | None", figures[name])
        for name in ("success", "median_seconds", "tokens_per_second", "mean_cost_usd")
    )
    rows = [
        ("attempts", str(figures["attempts"])),
        ("answered", f"{success:.0%}" if success is not None else ""),
        ("failures", failures),
        ("median time", seconds_text(median) if median is not None else ""),
        ("speed", f"{speed:.0f} tokens/s" if speed else ""),
        ("mean cost", cost_text(cost)),
    ]
    return [(what, text) for what, text in rows if text]
