"""Looking at bundles from the command line: checking, describing, drawing, listing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from aiworkflow.errors import EXIT_OK, EXIT_USAGE, UsageError
from aiworkflow.settings.units import format_duration

if TYPE_CHECKING:
    from aiworkflow.cli.out import Out
    from aiworkflow.client.project import Checked, Project
    from aiworkflow.engine.carried import Json

_DRAWINGS = ("terminal", "mermaid", "dot")
_FORMATS = ("text", "json", "sarif", "github")


def validate_bundle(bundle: str, form: str, project: str | None, out: Out) -> int:
    """Print what is wrong with a bundle."""
    from aiworkflow import __version__
    from aiworkflow.client.bundle_views import validity_view
    from aiworkflow.diagnostics import render

    if form not in _FORMATS:
        raise UsageError(f"there is no format `{form}`", hint=f"use one of {', '.join(_FORMATS)}")
    checked = _project(project).check(bundle)
    found = checked.report.sorted()
    valid = checked.is_valid
    match form:
        case "json":
            out.object(validity_view(checked))
        case "sarif":
            out.object(render.to_sarif(found, __version__))
        case "github":
            out.json = False
            if found:
                out.result(render.to_github(found))
        case _:
            out.diagnostics(found)
            if valid:
                refused = [diagnostic.message.split("`")[1] for diagnostic in checked.refused]
                later = (
                    f"; not executable yet: {', '.join(dict.fromkeys(refused))}" if refused else ""
                )
                out.say(f"{out.paint('✓', 'green')} {checked.label} is valid{later}")
    return EXIT_OK if valid else EXIT_USAGE


def show_info(bundle: str, project: str | None, out: Out) -> int:
    """Print what a bundle takes, does and may touch."""
    from aiworkflow.cli.bounding import outlay_lines
    from aiworkflow.client.bounds import outlay
    from aiworkflow.client.bundle_views import info_view

    place = _project(project)
    checked = place.check(bundle)
    about = info_view(place, checked)
    out.object(about)
    if not out.json:
        out.result(info_text(about, out, outlay_lines(outlay(place, checked), steps=False)))
    return EXIT_OK


def info_text(about: Mapping[str, Json], out: Out, cost: Iterable[str] = ()) -> str:
    """What a bundle takes, does and may touch, as text."""
    version = f" {about['version']}" if about["version"] else ""
    lines = [out.paint(f"{about['name']}{version}", "bold"), f"  {about['description']}", ""]
    inputs = cast("list[dict[str, Json]]", about["inputs"])
    if inputs:
        lines.append("inputs")
        for one in inputs:
            need = "required" if one["required"] else f"default {_short(one['default'])}"
            text = f"  {one['name']}: {one['type']}  ({need})"
            lines.append(text + (f"  {one['description']}" if one["description"] else ""))
    if about["outputs"]:
        lines.append(f"outputs    {', '.join(cast('list[str]', about['outputs']))}")
    if about["agents"]:
        lines.append(f"agents     {', '.join(cast('list[str]', about['agents']))}")
    allow = cast("dict[str, list[str]]", about["allow"])
    granted = [f"{kind}: {', '.join(names)}" for kind, names in allow.items() if names]
    lines.append(f"allow      {'; '.join(granted) or 'nothing beyond reading the working tree'}")
    lines.append(f"effect     {about['effect']}")
    lines += cost
    lines.append(f"digest     {str(about['digest'])[:16]}")
    if about["not_executable_yet"]:
        later = dict.fromkeys(cast("list[str]", about["not_executable_yet"]))
        lines.append(f"not executable yet: {', '.join(later)}")
    lines += ["", "steps", *_step_lines(cast("list[dict[str, Json]]", about["steps"]), 1)]
    return "\n".join(lines)


def _step_lines(steps: Sequence[Mapping[str, Json]], depth: int) -> list[str]:
    lines = []
    for step in steps:
        what = step.get("tool") or step.get("language") or ""
        if step.get("agents"):
            what = "/".join(cast("list[str]", step["agents"]))
        if step.get("choose"):
            what = f"{what} {step['choose']}".strip()
        words = [
            f"{step['id']}",
            f"[{step['kind']}{' ' + str(what) if what else ''}]",
            f"line {step['line']}",
        ]
        words += [
            f"{key} {_short(step[key])}"
            for key in ("if", "each", "until", "secrets", "network", "writes")
            if key in step
        ]
        if "timeout_s" in step:
            words.append(f"timeout {format_duration(float(str(step['timeout_s'])))}")
        words += [key for key in ("else", "finally", "parallel") if step.get(key)]
        if step["effect"] != "read":
            words.append(str(step["effect"]))
        lines.append("  " * depth + "  ".join(words))
        lines += _step_lines(cast("list[dict[str, Json]]", step.get("steps", [])), depth + 1)
    return lines


def _short(value: Json) -> str:
    import json

    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def show_settings(bundle: str, project: str | None, out: Out) -> int:
    """Print each setting that holds for a bundle, and who said it."""
    from aiworkflow.cli.show import table

    checked = _project(project).check(bundle)
    out.diagnostics(checked.report.sorted())
    rows = [(name, _without_password(value), who) for name, value, who in checked.settings.rows()]
    out.object(
        {
            "settings": [
                {"name": name, "value": value, "layer": str(origin.layer), "place": origin.place}
                for name, value, origin in rows
            ]
        }
    )
    if not out.json:
        shown = [(name, _short(value), str(origin)) for name, value, origin in rows]
        out.result(table(shown, ("SETTING", "VALUE", "FROM")))
    return EXIT_OK if checked.is_valid else EXIT_USAGE


def _without_password(value: Json) -> Json:
    """A setting as it may be shown: the URL of a journal can hold a password."""
    from aiworkflow.journal.open import shown

    if isinstance(value, list):
        return [_without_password(one) for one in value]
    return shown(value) if isinstance(value, str) and "://" in value else value


def draw(bundle: str, form: str, project: str | None, out: Out) -> int:
    """Print a drawing of a bundle's steps."""
    import shutil

    from aiworkflow.plan import draw_dot, draw_mermaid, draw_terminal

    if form not in _DRAWINGS:
        raise UsageError(f"there is no drawing `{form}`", hint=f"use one of {', '.join(_DRAWINGS)}")
    checked = _valid(_project(project).check(bundle))
    assert checked.plan is not None
    if form == "mermaid":
        text = draw_mermaid(checked.plan)
    elif form == "dot":
        text = draw_dot(checked.plan)
    else:
        text = draw_terminal(checked.plan, shutil.get_terminal_size((100, 24)).columns)
    out.object({"bundle": checked.label, "format": form, "drawing": text})
    out.result(text)
    return EXIT_OK


def list_bundles(project: str | None, out: Out) -> int:
    """Print the project's bundles."""
    return _list(project, out, "bundles")


def list_workflows(project: str | None, out: Out) -> int:
    """Print the project's workflows."""
    return _list(project, out, "workflows")


def _list(project: str | None, out: Out, word: str) -> int:
    from aiworkflow.client.bundle_views import list_view

    shown = list_view(_project(project))
    out.object({word: shown})
    if out.json:
        return EXIT_OK
    if not shown:
        out.say(
            f"no {word} here; create one: aiworkflow workflow create NAME --bundle --output bundles"
        )
        return EXIT_OK
    out.result(bundle_table(shown))
    return EXIT_OK


def bundle_table(shown: Sequence[Mapping[str, Json]]) -> str:
    """Bundles as a table."""
    from aiworkflow.cli.show import table

    rows = [
        (
            str(one["name"]),
            str(one["version"] or ""),
            "" if one["valid"] else "invalid",
            str(one["description"]),
        )
        for one in shown
    ]
    return table(rows, ("NAME", "VERSION", "", "DESCRIPTION"))


def show_document(workflow: str, project: str | None, out: Out) -> int:
    """Print a workflow's document as it stands."""
    from aiworkflow.client.bundle_views import document_view

    found = document_view(_project(project).check(workflow))
    out.object(found)
    out.result(str(found["document"]))
    return EXIT_OK


def dry_run(
    bundle: str,
    project: str | None,
    texts: Mapping[str, str],
    given: Mapping[str, Json],
    overrides: Mapping[str, Json],
    out: Out,
) -> int:
    """Print what a run would do: order, agents, tools, secrets, effects, every live block."""
    from aiworkflow.cli.bounding import outlay_lines
    from aiworkflow.client.bounds import outlay
    from aiworkflow.client.servers import servers_kept
    from aiworkflow.plan import describe_plan, draw_terminal

    place = _project(project)
    place.unfit = []
    checked = place.check(bundle, overrides)
    new = place.prepare(checked, given, texts)
    about = describe_plan(new.plan)
    about["bundle"] = checked.label
    about["values"] = dict(new.inputs)
    about["default_agent"] = list(new.settings.agent)
    secrets = sorted({name for node in new.plan.nodes.values() for name in node.secrets})
    about["secrets"] = {name: name in place.environ for name in secrets}
    found = outlay(place, checked, given, texts=texts)
    about["cost"] = found.to_json()
    about["servers"] = {name: server.shown for name, server in servers_kept(new.settings).items()}
    about["refused"] = say_unfit(place, out)
    out.object(about)
    if out.json:
        return EXIT_OK
    lines = [info_text({**about, "not_executable_yet": []}, out), "", "order"]
    lines += ["  " + line for line in draw_terminal(new.plan, 100).splitlines()[1:]]
    lines += ["", "what can run"]
    for block in cast("list[dict[str, Json]]", about["live_blocks"]):
        what = (
            f"{block['language']} step `{block['step']}`"
            if "step" in block
            else f"tool `{block['tool']}`"
        )
        lines.append(
            f"  {block['file']}:{block['line']}  {what}  sha256 {str(block['sha256'])[:12]}"
        )
    servers = cast("dict[str, str]", about["servers"])
    lines += [f"  MCP server `{name}`  {shown}" for name, shown in servers.items()]
    if secrets:
        lines += ["", "secrets"]
        for name in secrets:
            lines.append(f"  {name}  {'set' if name in place.environ else 'NOT SET'}")
    if new.inputs:
        lines += ["", "inputs"]
        lines += [f"  {name} = {_short(value)}" for name, value in new.inputs.items()]
    cost = list(outlay_lines(found))
    if cost:
        lines += ["", *cost]
    lines += ["", "nothing was started"]
    out.result("\n".join(lines))
    return EXIT_OK


def say_unfit(place: Project, out: Out) -> list[Json]:
    """Warn of agents that cannot be called now; what would refuse the run, for people."""
    found = {str(error): error.hint for error in place.unfit or ()}
    for text, hint in found.items():
        out.note(f"warning: a run would be refused now: {text}")
        if hint:
            out.note(f"  help: {hint}")
    return list(found)


def _project(project: str | None) -> Project:
    from aiworkflow.app import open_project

    return open_project(project)


def _valid(checked: Checked) -> Checked:
    if not checked.is_valid:
        raise _invalid(checked)
    return checked


def _invalid(checked: Checked) -> UsageError:
    from aiworkflow.client.project import BundleInvalid

    return BundleInvalid(checked.label, checked.report.sorted())
