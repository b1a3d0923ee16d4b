"""What waits for people, shown and asked for on a terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from aiworkflow.errors import AIWorkflowError
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Field
    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.result import RunResult
    from aiworkflow.client.waits import OpenWait
    from aiworkflow.engine.carried import Json


def shown(wait: OpenWait, *, fields: bool = True) -> list[str]:
    """All there is to know before answering, as lines; `fields` with what an answer consists of."""
    from aiworkflow.client.views import when
    from aiworkflow.steady import steady

    lines = [f"{wait.id}  {wait.title}", ""]
    lines += [steady(wait.message), ""]
    if wait.uses is not None:
        lines.append(f"calls     {wait.uses}")
    if isinstance(wait.arguments, dict):
        for name, value in wait.arguments.items():
            if name != "context":
                lines += _block(name, value)
    elif wait.arguments is not None:
        lines += _block("items", wait.arguments)
    lines += [f"field     {steady(_described(one))}" for one in wait.fields if fields]
    lines.append(f"by        {', '.join(wait.by) or 'anyone'}")
    if wait.quorum > 1:
        voters = f": {', '.join(wait.voters)}" if wait.voters else ""
        lines.append(f"agreed    {len(wait.voters)} of {wait.quorum}{voters}")
    if wait.due is not None:
        lines.append(f"until     {when(wait.due)} UTC")
    return lines


def _block(name: str, value: Json) -> list[str]:
    from aiworkflow.steady import steady

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return [f"{name}:", *(f"  {line}" for line in steady(text).splitlines())]


def ask_here(client: Client, result: RunResult, out: Out) -> bool:
    """Ask the person at the terminal for what a run waits for; whether anything was answered."""
    if not is_terminal(out):
        return False
    from aiworkflow.client.views import PEOPLE

    waits = client.waits.open(result.run, (*PEOPLE, "break"))
    # what is for others is not asked: an answer would be refused after it was typed
    answered = [_ask_one(client, wait, out) for wait in waits if client.waits.is_mine(wait)]
    return any(answered)


def _ask_one(client: Client, wait: OpenWait, out: Out) -> bool:
    try:
        if wait.kind == "break":
            return _ask_break(client, wait, out)
        show(wait, out)
        if wait.may_decline and not _wants_to_answer(client, wait, out):
            return not any(wait.id == one.id for one in client.waits.open(wait.run, ("ask",)))
        if wait.kind == "ask":
            client.waits.answer(wait.id, {}, ask_fields(wait, out))
            return True
        reply = _choice("approve? [y]es, [n]o", {"y": "yes", "n": "no"}, out)
        if reply == "yes":
            client.waits.approve(wait.id)
        elif reply == "no":
            client.waits.reject(wait.id, comment=_line_in("why? ").strip())
        else:
            return False
    except EOFError:
        return False
    except AIWorkflowError as error:
        out.error(error)
        return False
    return True


def _wants_to_answer(client: Client, wait: OpenWait, out: Out) -> bool:
    """Whether the person answers what a server asks; a no is said here."""
    what = "[a]nswer" if wait.fields else "[a]ccept"
    ways = {"a": "answer", "accept": "answer", "y": "answer", "yes": "answer"}
    ways |= {"d": "decline", "n": "decline", "no": "decline"}
    reply = _choice(f"{what}, [d]ecline", ways, out)
    if reply == "decline":
        client.waits.decline(wait.id)
    return reply == "answer"


def _choice(question: str, ways: Mapping[str, str], out: Out) -> str:
    """The way that a person chooses, asked again until it is one; "" for later.

    Args:
        ways: each by what is typed for it; its own name will do too.
    """
    while True:
        reply = _line_in(f"{question}, Enter for later: ").strip()
        way = ways.get(reply.lower(), reply.lower())
        if not way or way in ways.values():
            return way
        out.note(f"  `{steady(reply)}` is none of these")


_WAYS = {"c": "continue", "s": "step", "k": "skip"}
_HELP = (
    "[c]ontinue, [s]tep, s[k]ip, [a]bort, [i]nspect, NAME=JSON changes the state, Enter for later"
)


def _ask_break(client: Client, wait: OpenWait, out: Out) -> bool:
    """Stopped before a step: ask until the run goes on or is left for later."""
    out.note(f"\nstopped before `{wait.step}`  {wait.title}")
    while True:
        reply = _line_in(f"{_HELP}: ").strip()
        try:
            if not reply:
                return False
            if reply in {"i", "inspect"}:
                _look(client, wait, out)
            elif reply in {"a", "abort"}:
                client.signals.cancel(wait.run, "at a breakpoint")
                return True
            elif "=" in reply:
                from aiworkflow.cli.given import read_state

                client.signals.change(wait.run, read_state([reply]))
                out.note(f"  set {reply.partition('=')[0].strip()}")
            else:
                how = _WAYS.get(reply, reply)
                if how not in _WAYS.values():
                    out.note(f"  `{reply}` is none of these")
                    continue
                client.waits.go_on(wait.id, how)
                return True
        except AIWorkflowError as error:
            out.error(error)


def _look(client: Client, wait: OpenWait, out: Out) -> None:
    """The run as it is, on standard error beside the prompts."""
    from aiworkflow.cli.looking import run_lines
    from aiworkflow.client.looking import inspect_run

    for line in run_lines(inspect_run(client, wait.run, events=0), out):
        out.note(line)


def ask_fields(wait: OpenWait, out: Out) -> dict[str, str]:
    """The fields of a question, as text; each is asked again until it fits."""
    return {one.name: text for one in wait.fields if (text := _ask_field(one, out)) is not None}


def _about(one: Field) -> str:
    """A field by its name, with what it takes and what it is without an answer."""
    from aiworkflow.expr import describe

    default = "" if one.required else f", {json.dumps(one.default)} if empty"
    return f"{one.name} ({describe(one.schema)}{default})"


def _described(one: Field) -> str:
    return f"{_about(one)}  {one.description}" if one.description else _about(one)


def _ask_field(one: Field, out: Out) -> str | None:
    from aiworkflow.expr import coerce

    about = f"{one.description}\n" if one.description else ""
    while True:
        text = _line_in(f"{about}{_about(one)}: ")
        if not text and not one.required:
            return None
        try:
            coerce(one.schema, text)
        except ValueError as error:
            out.note(f"  {error}")
        else:
            return text


def show(wait: OpenWait, out: Out) -> None:
    """Show a wait beside the prompts, on standard error."""
    out.note("")
    for line in shown(wait, fields=False):  # each is asked for by itself
        out.note(line)


def _line_in(prompt: str) -> str:
    """A line from the terminal; prompts stand on standard error. Raises EOFError at its end."""
    sys.stderr.write(steady(prompt))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def is_terminal(out: Out) -> bool:
    """Whether somebody sits at a terminal and may be asked."""
    return not out.json and not out.quiet and sys.stdin.isatty() and sys.stderr.isatty()
