"""New projects and new workflows, made from templates that are themselves tested bundles."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NAME_LINE = re.compile(r"^name: .*$", re.MULTILINE)
_MOST = 64

CONFIG = """\
# Settings of this project; `aiworkflow schema config` has them all. Everything is optional.
# Strongest first: command line, AIWORKFLOW_… variables, a step, its workflow, the bundle's
# config.yaml, this file, ~/.config/aiworkflow/config.yaml, defaults.

# The agent of steps that name none: anthropic/…, openai/…, ollama/…, or a name from `agents`.
# agent: ollama/llama3.2

# agents:
#   local: {api: openai, url: http://127.0.0.1:8080/v1, model: qwen3}

# limits: {max_parallel: 8}
"""
IGNORE = """\
# Runs, logs and blobs of this project: state, not source.
state/
"""


@record
class Template:
    """A workflow to start from."""

    name: str
    description: str
    folder: Path

    @property
    def needs_folder(self) -> bool:
        """Whether it has more than its workflow.md, and cases of it."""
        return any(path.name not in {"workflow.md", "tests"} for path in self.folder.iterdir())


def templates() -> list[Template]:
    """The templates that come with the product, by name."""
    import frontmatter

    found = []
    for folder in sorted(_home().iterdir()):
        document = folder / "workflow.md"
        if document.is_file():
            about = frontmatter.load(str(document)).metadata
            found.append(Template(folder.name, str(about.get("description", "")), folder))
    return found


def _home() -> Path:
    """Beside this module in an installed package; at the top of the repository in a checkout."""
    installed = Path(__file__).parent / "templates"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "templates"


def template(name: str) -> Template:
    """A template by name. Raises UsageError with the names there are."""
    known = templates()
    for found in known:
        if found.name == name:
            return found
    names = [found.name for found in known]
    hint = did_you_mean(name, names) or f"there are {', '.join(names)}"
    raise UsageError(f"there is no template `{name}`", hint=hint)


def create_workflow(name: str, wanted: Template, output: Path, *, bundle: bool) -> list[Path]:
    """Make a new workflow: a folder, or a lone `<name>.md`. Writes nothing that is there already.

    Returns:
        The files made.

    Raises:
        UsageError: the name is none, or something is in the way.
    """
    if not _NAME.fullmatch(name) or len(name) > _MOST:
        raise UsageError(
            f"`{name}` cannot be a workflow's name",
            hint="use lower-case letters, digits and single hyphens, at most 64: my-workflow",
        )
    if not bundle and wanted.needs_folder:
        raise UsageError(
            f"template `{wanted.name}` has tools, so it needs a folder", hint="add --bundle"
        )
    target = output / name if bundle else output / f"{name}.md"
    if target.exists():
        raise UsageError(f"`{target}` is there already", hint="choose another name or --output")
    text = (wanted.folder / "workflow.md").read_text(encoding="utf-8")
    text = _NAME_LINE.sub(f"name: {name}", text, count=1)
    if not bundle:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return [target]
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(wanted.folder, target, ignore=ignore)
    (target / "workflow.md").write_text(text, encoding="utf-8")
    return sorted(path for path in target.rglob("*") if path.is_file())


def init_project(root: Path) -> Sequence[Path]:
    """Make a folder a project: its config and the ignore file of its state. Keeps what is there.

    Returns:
        The files made.
    """
    home = root / ".aiworkflow"
    home.mkdir(parents=True, exist_ok=True)
    made = []
    for path, content in ((home / "config.yaml", CONFIG), (home / ".gitignore", IGNORE)):
        if not path.exists():
            path.write_text(content, encoding="utf-8")
            made.append(path)
    return made
