"""Writes the pages of docs/reference from the code. `--check` says whether they are up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent / "reference"
HEAD = "<!-- Made by `make docs` from the code; do not edit. -->\n\n"


VARIABLES = """
## Variables of the environment

`AIWORKFLOW_ACTOR` says who you are, instead of your login; `AIWORKFLOW_SERVER`, `AIWORKFLOW_TOKEN` and
`AIWORKFLOW_TOKEN_FILE` name the [server](../how-to/use-the-http-api.md) where commands are done. Others are settings,
stronger than every file and weaker than the command line; those that set nothing are warned of.

| variable | setting |
|-|-|"""
FOUND_BY_SCRIPTS = """
## What a script finds

Code and tools get `PATH`, `HOME`, `LANG` and `TZ` of the environment, what `env` says, and:

| variable | what it is |
|-|-|
| `INPUT_<NAME>` | each input of the run; lists and objects as JSON |
| `AIWORKFLOW_CONTEXT` | a JSON file with `inputs`, `run`, the step's `with`, and of items and rounds `item`, `index`, `round` |
| `AIWORKFLOW_SCRATCH` | a folder of the attempt, removed after it |
| `AIWORKFLOW_KEY` | the same for all attempts of a visit: whoever is called can tell a second attempt from a first |
| `AIWORKFLOW_ATTEMPT` | 1, 2, … |
| `AIWORKFLOW_RUN`, `AIWORKFLOW_STEP` | the run's id, the step's path |
"""


def cell(text: object) -> str:
    """Text of a cell; within backticks nothing but the bar is escaped, since there it would be seen."""
    parts = " ".join(str(text).split()).replace("|", "\\|").split("`")
    return "`".join(
        part.replace("<", "&lt;") if at % 2 == 0 else part for at, part in enumerate(parts)
    )


def code(text: object) -> str:
    return "`` " + " ".join(str(text).split()).replace("|", "\\|") + " ``"


def settings() -> str:
    from aiworkflow.bundle.keys import TABLE

    scopes = {
        "frontmatter": "Frontmatter of a workflow",
        "step": "Settings of a step",
        "tool": "Tools in tools.yaml",
        "operation": "Operations in tools.yaml",
        "config": "config.yaml",
    }
    parts = [
        "# Settings\n\nThe right column says on which kinds of step a setting means something. "
        "What is marked *later* is read and checked, and refused by `run` in this version.\n"
    ]
    for scope, title in scopes.items():
        rows = [key for key in TABLE if str(key.scope) == scope]
        if not rows:
            continue
        parts.append(
            f"\n## {title}\n\n| setting | what it is | takes | example | on |\n|-|-|-|-|-|"
        )
        for key in rows:
            kinds = (
                "all" if key.kinds is None else ", ".join(sorted(str(kind) for kind in key.kinds))
            )
            later = (
                " *(later)*"
                if key.reserved is True
                else " *(some forms later)*"
                if key.reserved
                else ""
            )
            on = kinds if scope == "step" else ""
            parts.append(
                f"| `{key.name}`{later} | {cell(key.doc)} | {cell(key.reader.expects)} | {code(key.example)} | {on} |"
            )
    from aiworkflow.settings.layers import variables

    parts.append(VARIABLES)
    parts += [f"| `{variable}` | `{setting}` |" for variable, setting in variables()]
    parts.append(FOUND_BY_SCRIPTS)
    return "\n".join(parts) + "\n"


def expressions() -> str:
    from aiworkflow.expr.functions import FILTERS, FUNCTIONS, TESTS

    parts = [
        '# Expressions\n\nThe syntax is Jinja2\'s: `a.b`, `a["b"]`, `a[0]`, arithmetic, comparisons, `in`, '
        "`and`, `or`, `not`, `x if test else y`, filters `x | name`, tests `x is name`. There are no "
        "attributes and no methods; `none` is the only null. Reading a field of null, or what is not "
        "defined, is an error; `x | default(y)` takes the place of both.\n"
    ]
    for title, table, form in (
        ("Filters", FILTERS, "x | {}"),
        ("Tests", TESTS, "x is {}"),
        ("Functions", FUNCTIONS, "{}()"),
    ):
        parts.append(
            f"\n## {title}\n\n| {title.lower()[:-1]} | what it gives | example | gives |\n|-|-|-|-|"
        )
        for name, function in table.items():
            parts.append(
                f"| {code(form.format(name))} | {cell(function.doc)} | {code(function.example)} | {code(json.dumps(function.result, ensure_ascii=False))} |"
            )
    return "\n".join(parts) + "\n"


def diagnostics() -> str:
    from aiworkflow.diagnostics.catalogue import all_rules
    from aiworkflow.diagnostics.render import rule_page

    pages = "\n".join(rule_page(rule).rstrip() + "\n" for rule in all_rules())
    lines = [
        "#" + line if line.startswith("#") and not fenced else line
        for line, fenced in with_fences(pages)
    ]
    return (
        "# Diagnostics\n\nThe same pages are printed by `aiworkflow explain CODE`.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def with_fences(text: str) -> list[tuple[str, bool]]:
    """Lines, and whether each is within a code block."""
    found, fence = [], ""
    for line in text.split("\n"):
        mark = line.lstrip()[: len(line.lstrip()) - len(line.lstrip().lstrip("`"))]
        if fence:
            found.append((line, True))
            if mark.startswith(fence) and not line.strip().strip("`"):
                fence = ""
        else:
            found.append((line, len(mark) >= 3))
            if len(mark) >= 3:
                fence = mark
    return found


def tools() -> str:
    from aiworkflow.bundle.builtins import BUILTINS

    parts = ["# Built-in tools\n"]
    for tool in BUILTINS.values():
        parts.append(
            f"\n## {tool.name}\n\n{tool.description}\n\n| operation | effect | what it does |\n|-|-|-|"
        )
        for operation in tool.operations.values():
            parts.append(
                f"| `{tool.name}.{operation.name}` | {operation.effect} | {cell(operation.description)} |"
            )
    return "\n".join(parts) + "\n"


def commands() -> str:
    import typer

    from aiworkflow.cli.main import COMMANDS, app

    group = typer.main.get_command(app)
    parts = [
        "# Commands\n\nEvery command takes `--json`, `-v`, `-q` and `--project DIR`. Exit status: 0 done, "
        "1 the run failed, 2 wrong usage or an invalid bundle, 3 the run waits for a person, 4 refused, "
        "130 interrupted.\n\nAn option that is shown as `STATUS,…` takes several words: with commas between, "
        "or once for each.\n"
    ]
    with typer.Context(group, info_name="aiworkflow") as context:
        found = [(f"aiworkflow {name}", group.get_command(context, name)) for name in COMMANDS]
    while found:
        words, command = found.pop(0)
        below = getattr(command, "commands", None)
        if below:
            found[:0] = [(f"{words} {name}", one) for name, one in below.items()]
            continue
        with typer.Context(command, info_name=words, help_option_names=["-h", "--help"]) as inner:
            inner.terminal_width = 100
            help_text = command.get_help(inner)
        parts.append(f"\n## {words}\n\n```text\n{help_text.rstrip()}\n```")
    return "\n".join(parts) + "\n"


def http_api() -> str:
    from aiworkflow.http.openapi import API, problem_statuses
    from aiworkflow.http.table import HEALTH, TABLE

    parts = [
        "# HTTP API\n\nThe same as a description for programs: [openapi.json](openapi.json), which a server gives "
        f"at `{API}/openapi.json`. Answers are JSON, errors `application/problem+json` with `code`, `detail` and "
        "`hint`. How to use it: [Use the HTTP API](../how-to/use-the-http-api.md).\n"
    ]
    for route in (*TABLE, *HEALTH):
        path = (API if route in TABLE else "") + route.path
        parts.append(f"\n## {route.method} {path}\n\n{route.summary} {route.doc}".rstrip() + "\n")
        facts = []
        if route.scope:
            facts.append(f"Scope `{route.scope}`.")
        if route.starts:
            facts.append("Takes `Idempotency-Key`.")
        if route.stream:
            facts.append("Also as `text/event-stream`; takes `Last-Event-ID`.")
        if route.binary:
            facts.append("Answers bytes.")
        statuses = ", ".join(
            str(one)
            for one in (
                route.status,
                *sorted(problem_statuses(route) if route.scope else route.errors),
            )
        )
        parts.append(" ".join([*facts, f"Statuses {statuses}."]) + "\n")
        rows = [f"| `{one.name}` | query | {one.kind} | {cell(one.doc)} |" for one in route.query]
        keys = (route.body or {}).get("properties") or {}
        needs = (route.body or {}).get("required") or []
        for name, schema in keys.items():
            kind = schema.get("type", "anything")
            allowed = f": {', '.join(schema['enum'])}" if "enum" in schema else ""
            rows.append(
                f"| `{name}` | body | {kind}{allowed} | {'needed' if name in needs else ''} |"
            )
        if rows:
            parts.append("| name | in | takes | |\n|-|-|-|-|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def openapi_json() -> str:
    from aiworkflow.http.openapi import openapi

    return json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n"


PAGES = {
    "settings.md": settings,
    "expressions.md": expressions,
    "diagnostics.md": diagnostics,
    "tools.md": tools,
    "commands.md": commands,
    "http-api.md": http_api,
    "openapi.json": openapi_json,
}


def main() -> int:
    stale = []
    for name, make in PAGES.items():
        path, text = HERE / name, (HEAD if name.endswith(".md") else "") + make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    print("\n".join(stale) if stale else "up to date")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
