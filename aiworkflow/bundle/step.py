"""A section with step blocks → a `Step`: its kind, its settings, its code or its prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle import policies as p
from aiworkflow.bundle import workflow as w
from aiworkflow.bundle.blocks import BlockReader, check_prose_fences
from aiworkflow.bundle.choosing import agents_said
from aiworkflow.bundle.keys import read_settings
from aiworkflow.bundle.keys_policies import as_approval, as_cache, as_retry
from aiworkflow.bundle.names import ROOTS, problem_with_name
from aiworkflow.bundle.readers_step import Parallel
from aiworkflow.bundle.reading import Scope, Settings
from aiworkflow.bundle.rules.hidden import check_hidden
from aiworkflow.bundle.rules.prose import check_tables, check_unexpanded
from aiworkflow.bundle.workflow import Kind
from aiworkflow.bundle.yaml_nodes import Mapping as YamlMap
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics import Label

if TYPE_CHECKING:
    from aiworkflow.bundle.sections import Fence, Outline, Section
    from aiworkflow.bundle.workflow import Json, Value
    from aiworkflow.diagnostics import Fragment, Place, Report
    from aiworkflow.expr import Expression, Template

_PROMPTS: Final = frozenset({Kind.AGENT, Kind.ASK, Kind.GATE})
_INFO_KEYS: Final = ("id", "output", "timeout", "cwd")
_MARKUP: Final = re.compile(r"[`*~]|\[([^\]]*)\]\([^)]*\)|<[^>]*>")
_MOST_STEPS: Final = 500
_LONGEST_TITLE: Final = 500
_PAIR: Final = re.compile(r"(\w+)=(\S+)")
_ACTIONS: Final = {
    "uses": Kind.TOOL,
    "workflow": Kind.CHILD,
    "ask": Kind.ASK,
    "wait": Kind.WAIT,
    "set": Kind.ASSIGN,
}

ReadFile = Callable[[str], "str | None"]
Include = Callable[[str, "Place"], "Fragment | None"]


def id_from_title(title: str) -> str:
    """The id a heading gives: markup stripped, lower case, the rest to `_`, runs collapsed."""
    import unicodedata

    start = title[:_LONGEST_TITLE]  # an id is shorter anyway
    plain = unicodedata.normalize("NFC", _MARKUP.sub(lambda m: m.group(1) or "", start)).lower()
    return re.sub(r"[\W_]+", "_", plain).strip("_")


class StepReader:
    """Reads the steps of a document."""

    def __init__(
        self, outline: Outline, report: Report, read_file: ReadFile, include: Include
    ) -> None:
        self.outline = outline
        self.source = outline.source
        self.report = report
        self.read_file = read_file
        self.include = include
        self.blocks = BlockReader(self.source, report)
        self.seen: dict[str, Place] = {}
        self.count = 0

    def steps(self, sections: list[Section]) -> tuple[w.Step, ...]:
        """The steps of a list of sections; sections without step blocks only hold their own."""
        found: list[w.Step] = []
        for section in sections:
            if section.steps:
                self.count += 1
                if self.count > _MOST_STEPS:
                    self._too_many(section)
                    break
                step = self.step(section)
                if step is not None:
                    found.append(step)
            else:
                found.extend(self.steps(section.children))
        return tuple(found)

    def _too_many(self, section: Section) -> None:
        if self.count == _MOST_STEPS + 1:
            self.report.error(
                "AW118",
                self.outline.place(section),
                f"a workflow has at most {_MOST_STEPS} steps",
                "move parts into workflows of their own, or go through a list with `each`",
            )

    # -- one step ---------------------------------------------------------------------------------

    def step(self, section: Section) -> w.Step | None:
        """The step of a section; None where its blocks cannot be read at all."""
        blocks = self.blocks.read(section)
        code = blocks.code
        node = self._compose(blocks.settings)
        children = self.steps(section.children)
        kind = self._kind(section, node, code, children)
        settings = read_settings(node, Scope.STEP, kind, self.report, self.read_file)
        inline = self._info_settings(code, settings) if code is not None else {}
        id_ = self._id(section, settings, inline)
        action = self._action(section, kind, settings, inline, code, children)
        if kind not in _PROMPTS:
            self._check_unexpanded(section, kind)
        if id_ is None:
            return None
        if action is None:  # reported; what refers to the step need not be reported too
            action = w.Script("", "")
        return self._made(section, id_, action, settings, inline, blocks.undo)

    def _compose(self, fence: Fence | None) -> YamlMap | None:
        if fence is None or not fence.content.strip():
            return None
        found = compose(self.source, fence.start, fence.end, self.report)
        if isinstance(found, YamlMap):
            return found
        if found is not None:
            read_settings(found, Scope.STEP, None, self.report)
        return None

    # -- its kind ---------------------------------------------------------------------------------

    def _kind(
        self,
        section: Section,
        node: YamlMap | None,
        code: Fence | None,
        children: tuple[w.Step, ...],
    ) -> Kind:
        found: list[tuple[Kind, Place, str]] = []
        if code is not None:
            found.append((Kind.SCRIPT, self.blocks.place(code), "a code step block"))
        for name, kind in _ACTIONS.items():
            entry = node.entry(name) if node is not None else None
            if entry is not None:
                found.append((kind, entry.key.place, f"`{name}`"))
        if children:
            found.append((Kind.GROUP, children[0].place, "child steps"))
        if len(found) > 1:
            (_, first, one), (_, second, two) = found[:2]
            self.report.error(
                "AW104",
                second,
                f"a step does one thing, and this one has {one} and {two}",
                "give each a section of its own",
                Label(first, one),
            )
        if found:
            return found[0][0]
        has = node.entry if node is not None else (lambda _: None)
        if has("approve") is not None and has("agent") is None:
            return Kind.GATE
        return Kind.AGENT

    # -- its settings -----------------------------------------------------------------------------

    def _info_settings(self, fence: Fence, settings: Settings) -> Mapping[str, object]:
        """`id output timeout cwd` beside the language of a code block."""
        words = fence.info.split()[2:]
        if not words:
            return {}
        lines = []
        for word in words:
            pair = _PAIR.fullmatch(word)
            if pair is None or pair.group(1) not in _INFO_KEYS:
                at = fence.at + fence.info.index(word)
                self.report.error(
                    "AW208",
                    self.source.place(at, at + len(word)),
                    f"`{word}` cannot stand beside the language",
                    f"only {', '.join(_INFO_KEYS)} can, as `id=name`; "
                    "the rest goes into a `yaml step` block",
                )
                continue
            name = pair.group(1)
            if name in settings.plain:
                at = fence.at + fence.info.index(word)
                self.report.error(
                    "AW208",
                    self.source.place(at, at + len(word)),
                    f"`{name}` is set twice: here and in the `yaml step` block",
                    "keep one of them",
                )
                continue
            lines.append((name, pair.group(2), fence.at + fence.info.index(word)))
        return self._read_words(lines)

    def _read_words(self, lines: list[tuple[str, str, int]]) -> Mapping[str, object]:
        from aiworkflow.bundle.yaml_nodes import Entry, Scalar

        entries = []
        for name, value, at in lines:
            key = Scalar(name, name, "", self.source, at, at + len(name))
            start = at + len(name) + 1
            typed: int | str = value
            if value.isdigit():
                typed = int(value)
            entries.append(
                Entry(key, Scalar(typed, value, "", self.source, start, start + len(value)))
            )
        if not entries:
            return {}
        node = YamlMap(tuple(entries), self.source, entries[0].key.start, entries[-1].value.end)
        found = read_settings(node, Scope.STEP, Kind.SCRIPT, self.report, self.read_file)
        return {**found.values, "@plain": dict(found.plain), "@where": found.where}

    def _id(self, section: Section, settings: Settings, inline: Mapping[str, object]) -> str | None:
        place = self.outline.place(section)
        given = settings.values.get("id") or inline.get("id")
        if isinstance(given, str):
            where = settings.where if "id" in settings.where else inline.get("@where", {})
            place = cast("Mapping[str, Place]", where).get("id", place)
            id_ = given
        elif "id" in settings.plain:
            return None  # reported already
        else:
            id_ = id_from_title(section.title)
            problem = problem_with_name(id_) if id_ else "is empty"
            if problem is not None:
                given_by = f"gives the id `{id_}`, which {problem}" if id_ else "gives no id"
                self.report.error(
                    "AW101",
                    place,
                    f"the heading {given_by}",
                    "add `id: name` to the step's settings",
                )
                return None
        if id_ in ROOTS:
            self.report.error(
                "AW101",
                place,
                f"`{id_}` is a name that expressions have already",
                "give it another id"
                if isinstance(given, str)
                else "add `id: name` to the step's settings",
            )
            return None
        if id_ in self.seen:
            self.report.error(
                "AW102",
                place,
                f"two steps have the id `{id_}`",
                "give one of them another: `id: name`",
                Label(self.seen[id_], "the other one"),
            )
            return None
        self.seen[id_] = place
        return id_

    # -- what it does -----------------------------------------------------------------------------

    def _action(
        self,
        section: Section,
        kind: Kind,
        settings: Settings,
        inline: Mapping[str, object],
        code: Fence | None,
        children: tuple[w.Step, ...],
    ) -> w.Action | None:
        values = settings.values
        arguments = cast("Mapping[str, Value]", values.get("with", {}))
        cwd = cast("str | None", values.get("cwd", inline.get("cwd")))
        match kind:
            case Kind.SCRIPT:
                assert code is not None
                return w.Script(code.words[0], code.content, arguments, cwd)
            case Kind.TOOL:
                call = settings.get("uses", w.ToolCall)
                if call is None:
                    return None
                return w.ToolCall(call.tool, call.operation, arguments, call.server, cwd)
            case Kind.CHILD:
                path = settings.get("workflow", str)
                return w.Child(path, arguments) if path is not None else None
            case Kind.ASK:
                ask = settings.get("ask", w.Ask)
                if ask is None:
                    return None
                return w.Ask(self._message(section), ask.fields, ask.by, ask.expires_s)
            case Kind.WAIT:
                return settings.get("wait", w.Wait)
            case Kind.ASSIGN:
                found = cast("Mapping[str, Value] | None", values.get("set"))
                return w.Assign(found) if found is not None else None
            case Kind.GROUP:
                return self._group(settings, children)
            case Kind.GATE:
                return w.Gate(self._message(section))
            case Kind.AGENT:
                return self._agent(section, settings)

    def _group(self, settings: Settings, children: tuple[w.Step, ...]) -> w.Group:
        parallel = settings.get("parallel", Parallel)
        return w.Group(
            children,
            parallel=parallel is not None and parallel.together,
            enough=parallel.enough if parallel is not None else None,
            until=cast("Expression | None", settings.values.get("until")),
            max_rounds=settings.get("max_rounds", int),
            result=cast("Value", settings.values.get("result")),
            has_result="result" in settings,
        )

    def _agent(self, section: Section, settings: Settings) -> w.AgentCall | None:
        prose = self.outline.prose(section)
        check_prose_fences(section, self.source, self.report)
        if not prose.text.strip():
            self.report.error(
                "AW105",
                self.outline.place(section),
                "this step has nothing to do: no code, no `uses`, and no prompt",
                "write what the agent is to do, or add a code block",
            )
            return None
        prompt = self._template(prose)
        if prompt is None:
            return None
        agents, choice = agents_said(settings.values.get("agent"))
        return w.AgentCall(
            prompt,
            agents,
            cast("tuple[str, ...]", settings.values.get("tools", ())),
            turns=settings.get("turns", int),
            session=w.Session(name) if (name := settings.get("session", str)) else None,
            files=cast("tuple[Value, ...]", settings.values.get("files", ())),
            cwd=cast("str | None", settings.values.get("cwd")),
            choice=choice,
        )

    def _message(self, section: Section) -> Template | None:
        check_prose_fences(section, self.source, self.report)
        prose = self.outline.prose(section)
        return self._template(prose) if prose.text.strip() else None

    def _template(self, prose: Fragment) -> Template | None:
        from aiworkflow.expr import parse_template

        check_hidden(prose, self.report)
        check_tables(prose, self.report)
        return parse_template(prose, self.report, blocks=True, include=self.include)

    def _check_unexpanded(self, section: Section, kind: Kind) -> None:
        """Templates in prose that is documentation, beside a step that has other work."""
        if "{{" not in self.source.text and "{%" not in self.source.text:
            return
        prose = (
            self.outline.own_prose(section) if kind is Kind.GROUP else self.outline.prose(section)
        )
        check_unexpanded(
            prose, "the prose of this step is documentation: nothing is put in here", self.report
        )

    # -- putting it together ----------------------------------------------------------------------

    def _made(
        self,
        section: Section,
        id_: str,
        action: w.Action,
        settings: Settings,
        inline: Mapping[str, object],
        undo: Fence | None,
    ) -> w.Step:
        values: dict[str, object] = {**inline, **settings.values}
        inline_plain = cast("Mapping[str, Json]", inline.get("@plain", {}))
        on_error = values.get("on_error", w.OnError.FAIL)
        goto = on_error if isinstance(on_error, p.Goto) else None
        each = values.get("each")
        return w.Step(
            id=id_,
            title=section.title,
            place=self.outline.place(section),
            action=action,
            where={**cast("Mapping[str, Place]", inline.get("@where", {})), **settings.where},
            condition=cast("Expression | None", values.get("if")),
            otherwise=bool(values.get("else", False)),
            final=bool(values.get("finally", False)),
            needs=cast("tuple[str, ...] | None", values.get("needs")),
            each=self._each(cast("Expression", each), values) if each is not None else None,
            output=cast("w.Output", values.get("output", w.Output())),
            timeout_s=cast("float | None", values.get("timeout")),
            on_error=w.OnError.GOTO if goto is not None else cast("w.OnError", on_error),
            goto=goto,
            effect=cast("w.Effect | None", values.get("effect")),
            env=cast("Mapping[str, Value]", values.get("env", {})),
            allow=cast("w.Allow | None", values.get("allow")),
            retry=as_retry(values.get("retry")),
            approve=as_approval(values.get("approve")),
            undo=self._undo(settings, undo),
            budget=cast("p.Budget | None", values.get("budget")),
            cache=as_cache(values.get("cache")),
            savepoint=bool(values.get("savepoint", False)),
            reserved=settings.reserved,
            settings={**inline_plain, **settings.plain},
        )

    def _undo(self, settings: Settings, block: Fence | None) -> p.Undo | None:
        if block is None:
            return settings.get("undo", p.Undo)
        if "undo" in settings:
            self.report.error(
                "AW130",
                settings.where["undo@"],
                "this step has two undos: the setting `undo` and a code block",
                "keep one of them",
            )
        return p.Undo(w.Script(block.words[0], block.content))

    @staticmethod
    def _each(items: Expression, values: Mapping[str, object]) -> w.Each:
        return w.Each(
            items,
            name=cast("str", values.get("as", "item")),
            max_parallel=cast("int | None", values.get("max_parallel")),
            rate=cast("tuple[int, float] | None", values.get("rate")),
            max_items=cast("int | None", values.get("max_items")),
        )
