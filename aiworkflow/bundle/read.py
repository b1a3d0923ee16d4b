"""The front door: a folder or file → a workflow and everything that was found on the way.

Never raises for what a bundle holds, never runs anything, and finds all errors in one pass.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle import policies as p
from aiworkflow.bundle import workflow as w
from aiworkflow.bundle.choosing import agents_said
from aiworkflow.bundle.configfile import read_configfile
from aiworkflow.bundle.files import BundleSource, collect, has_document, shown_path
from aiworkflow.bundle.frontmatter import find_frontmatter
from aiworkflow.bundle.keys import read_settings
from aiworkflow.bundle.outline import read_outline
from aiworkflow.bundle.reading import Scope, Settings
from aiworkflow.bundle.rules.hidden import check_characters, check_hidden, check_html, may_hide
from aiworkflow.bundle.rules.prose import check_documentation
from aiworkflow.bundle.step import StepReader
from aiworkflow.bundle.toolfile import ToolDeclaration, read_toolfile
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics import Fragment, Report, Source, Span
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.sections import Outline
    from aiworkflow.bundle.workflow import Value, Workflow
    from aiworkflow.diagnostics import Place

BUILTIN_TOOLS: Final = ("http", "file", "git", "template")
_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@record
class Reading:
    """A bundle as it was read: the workflow, unless errors prevent it, and all findings."""

    workflow: Workflow | None
    report: Report


def read_bundle(path: str | Path) -> Reading:
    """Read a bundle's folder, or a lone .md file."""
    report = Report()
    source = collect(Path(path), report)
    return Reading(_Reader(source, report, Path(path)).workflow(), report)


def read_document(text: str, *, name: str) -> Reading:
    """Read a workflow that is given as text."""
    report = Report()
    file = f"{name}.md"
    content = text.encode("utf-8", "surrogatepass")
    source = BundleSource(Path(), file, "", lone=True)
    source.files[file] = w.BundleFile(file, content)
    return Reading(_Reader(source, report, Path(file)).workflow(), report)


@record
class BundlePath:
    """A bundle of a project, by its name and its folder or file."""

    name: str
    path: Path


def list_bundles(root: Path) -> list[BundlePath]:
    """The bundles of a project: folders below `bundles/` with a workflow, and lone files there."""
    home = root / "bundles"
    found = []
    for path in sorted(home.iterdir()) if home.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if has_document(path):
                found.append(BundlePath(path.name, path))
        elif path.suffix == ".md" and path.name not in {"README.md", "CHANGELOG.md"}:
            found.append(BundlePath(path.stem, path))
    return found


class _Reader:
    def __init__(self, files: BundleSource, report: Report, path: Path) -> None:
        self.files = files
        self.report = report
        self.path = path

    def workflow(self) -> Workflow | None:
        """The whole workflow; None where there is no document to read."""
        if self.files.document is None:
            return None
        source = self.files.text(self.files.document, self.report)
        if source is None:
            return None
        bounds = find_frontmatter(source, self.report)
        if bounds is None:
            settings, after = Settings(), self._skip_broken(source)
        else:
            node = compose(source, bounds[0], bounds[1], self.report)
            settings = read_settings(node, Scope.FRONTMATTER, None, self.report, self._file_text)
            after = bounds[2]
        outline = read_outline(source, after, self.report)
        reader = StepReader(outline, self.report, self._file_text, self._include)
        steps = reader.steps(outline.sections)
        self._check_documentation(outline)
        if not steps and not self.report.has_errors:
            at = outline.title.heading if outline.title else Span(0, min(3, len(source.text)))
            self.report.error(
                "AW106",
                source.place(at.start, at.end),
                "this workflow has no steps",
                "add a section `## Name` with a ```bash step block below it",
            )
        tools = self._tools()
        config = self._config()
        name = self._name(settings, source)
        return self._made(name, source, outline, settings, steps, tools, config)

    @staticmethod
    def _skip_broken(source: Source) -> int:
        """Where to go on reading when the frontmatter is broken, so that more is found."""
        found = re.search(r"^# ", source.text, re.MULTILINE)
        return found.start() if found else len(source.text)

    # -- files ------------------------------------------------------------------------------------

    def _file_text(self, path: str) -> str | None:
        normal = posixpath.normpath(path)
        if normal.startswith(("../", "/")):
            return None
        source = self.files.text(normal, self.report)
        return source.text if source is not None else None

    def _include(self, path: str, place: Place) -> Fragment | None:
        normal = posixpath.normpath(path)
        if path.startswith("/") or normal == ".." or normal.startswith("../"):
            self.report.error(
                "AW411", place, f"`{path}` leads out of the bundle", "include files of the bundle"
            )
            return None
        known = self.files.files
        if normal not in known:
            hint = did_you_mean(normal, known) or "paths are relative to the bundle's folder"
            self.report.error("AW411", place, f"there is no file `{path}` in the bundle", hint)
            return None
        source = self.files.text(normal, self.report)
        if source is None:
            return None
        text = source.text.rstrip("\n")
        fragment = Fragment(text, source, ((0, 0),), Span(0, len(text)))
        check_hidden(fragment, self.report)
        return fragment

    # -- documentation ----------------------------------------------------------------------------

    def _check_documentation(self, outline: Outline) -> None:
        source = outline.source
        text = source.text[outline.start :]
        whole = Fragment(text, source, ((0, outline.start),), Span(outline.start, len(source.text)))
        if "<" in text:
            check_html(whole, self.report)
        self._check_characters(outline)
        check_documentation(outline, self.report)

    def _check_characters(self, outline: Outline) -> None:
        """Hidden characters in the settings and in all of the sections that are steps."""
        if not may_hide(outline.source.text):
            return
        check_characters(outline.lines(1, outline.source.position(outline.start)[0]), self.report)
        pending = list(outline.sections)
        while pending:
            section = pending.pop()
            if section.steps:
                check_characters(outline.lines(section.line, section.end), self.report)
            else:
                pending += section.children

    # -- tools ------------------------------------------------------------------------------------

    def _tools(self) -> Mapping[str, w.Tool]:
        scripts: dict[str, str] = {}
        for path in self.files.files:
            folder, _, name = path.partition("/")
            if folder != "tools" or "/" in name or name.startswith("_") or self.files.lone:
                continue
            stem = name.partition(".")[0]
            place = Source(self.files.display(path), "").place(0)
            if stem in BUILTIN_TOOLS:
                self.report.error(
                    "AW605",
                    place,
                    f"`{path}` is named like the built-in tool `{stem}`",
                    "rename it",
                )
            elif stem in scripts:
                self.report.error(
                    "AW606",
                    place,
                    f"`{path}` and `{scripts[stem]}` are both the tool `{stem}`",
                    "rename one of them",
                )
            else:
                scripts[stem] = path
        declared = self._declared(scripts)
        tools: dict[str, w.Tool] = {}
        for name, path in scripts.items():
            said = declared.get(name)
            tools[name] = w.Tool(
                name,
                path,
                said.operations if said else MappingProxyType({}),
                said.description if said else "",
                said.place if said else None,
                said.protocol if said else "",
            )
        return MappingProxyType(tools)

    def _declared(self, scripts: Mapping[str, str]) -> Mapping[str, ToolDeclaration]:
        if "tools.yaml" not in self.files.files or self.files.lone:
            return {}
        source = self.files.text("tools.yaml", self.report)
        if source is None:
            return {}
        check_characters(_whole(source), self.report)
        found = read_toolfile(source, self.report, self._file_text)
        for name, tool in found.items():
            if name not in scripts:
                hint = did_you_mean(name, scripts) or f"add tools/{name}.py"
                self.report.error(
                    "AW607", tool.place, f"there is no script for the tool `{name}` in tools/", hint
                )
        return found

    def _config(self) -> Settings:
        if "config.yaml" not in self.files.files or self.files.lone:
            return Settings()
        source = self.files.text("config.yaml", self.report)
        if source is None:
            return Settings()
        check_characters(_whole(source), self.report)
        return read_configfile(source, self.report)

    # -- the workflow -----------------------------------------------------------------------------

    def _name(self, settings: Settings, source: Source) -> str:
        given = settings.get("name", str)
        actual = self.path.absolute().name if not self.files.lone else Path(self.path.name).stem
        if given is None:
            node = settings.node
            unread = node is None and self.report.has_errors  # said already
            if "name" not in settings.plain and not unread:
                self.report.error(
                    "AW107",
                    node.place if node is not None else source.place(0, 3),
                    "the frontmatter has no `name`",
                    f"add `name: {actual}`",
                )
            return actual if _NAME.fullmatch(actual) else "workflow"
        if given != actual and _NAME.fullmatch(actual):
            self.report.error(
                "AW107",
                settings.where["name"],
                f"the workflow is called `{given}` and its "
                f"{'file' if self.files.lone else 'folder'} `{actual}`",
                f"write `name: {actual}`, or rename the {'file' if self.files.lone else 'folder'}",
            )
        return given

    def _made(
        self,
        name: str,
        source: Source,
        outline: Outline,
        settings: Settings,
        steps: tuple[w.Step, ...],
        tools: Mapping[str, w.Tool],
        config: Settings,
    ) -> Workflow:
        values = settings.values
        title = outline.title
        assert self.files.document is not None
        files = tuple(
            replace(file, content=text.text.encode("utf-8"))
            if (text := self.files.sources.get(path)) is not None
            else file
            for path, file in sorted(self.files.files.items())
        )
        return w.Workflow(
            name=name,
            root=shown_path(self.path),
            document=self.files.document,
            title=title.title if title is not None else name,
            place=outline.place(title) if title is not None else source.place(0),
            steps=steps,
            description=cast("str", values.get("description", "")),
            version=settings.get("version", str),
            where=settings.where,
            inputs=cast("tuple[w.Field, ...]", values.get("inputs", ())),
            outputs=cast("Mapping[str, Value]", values.get("outputs", {})),
            state=cast("tuple[w.Channel, ...]", values.get("state", ())),
            triggers=cast("tuple[w.Trigger, ...]", values.get("on", ())),
            agents=agents_said(values.get("agent"))[0],
            choice=agents_said(values.get("agent"))[1],
            allow=cast("w.Allow", values.get("allow", w.Allow())),
            env=cast("Mapping[str, Value]", values.get("env", {})),
            timeout_s=cast("float | None", values.get("timeout")),
            on_error=cast("w.OnError", values.get("on_error", w.OnError.FAIL)),
            budget=settings.get("budget", p.Budget),
            concurrency=settings.get("concurrency", p.Concurrency),
            sessions=cast("Mapping[str, int]", values.get("sessions", {})),
            workspace=settings.get("workspace", str),
            tools=tools,
            config=config.plain,
            config_where=config.where,
            files=files,
            reserved={
                **settings.reserved,
                **{f"config: {k}": v for k, v in config.reserved.items()},
            },
            settings=settings.plain,
        )


def _whole(source: Source) -> Fragment:
    return Fragment(source.text, source, ((0, 0),), Span(0, len(source.text)))
