"""The rules of the house: what start-up may load, how long files are, what may stand in them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, Project, script

PACKAGE = ROOT / "aiworkflow"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 500  # "some 400": past it there is a second idea for certain


def loaded(project: Project, *words: str) -> set[str]:
    """Modules that a command loads."""
    code = (
        "import sys\n"
        f"sys.argv = ['aiworkflow', *{list(words)!r}]\n"
        "from aiworkflow.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print('LOADED', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(done.stderr.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    ("words", "never"),
    [
        (("--version",), {"typer", "asyncio", "yaml", "jinja2", "pydantic"}),
        (("--help",), {"asyncio", "yaml", "jinja2", "markdown_it", "pydantic", "rich", "sqlite3"}),
        (
            ("bundle", "validate", "bundles/flow"),
            {"asyncio", "pydantic", "rich", "sqlite3", "httpx2", "jsonschema", "croniter", "ssl"},
        ),
        (
            ("run", "bundles/flow"),
            {"pydantic", "rich", "httpx2", "jsonschema", "croniter", "frontmatter"},
        ),
    ],
)
def test_a_command_loads_only_what_it_needs(
    tmp_path: Path, words: tuple[str, ...], never: set[str]
) -> None:
    project = Project(tmp_path, git=False)
    project.workflow(script("one", "echo 1"))
    found = loaded(project, *words)
    assert "aiworkflow" in found
    assert not found & never


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_one_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST, "look for the second idea in it"
    found = re.search(r"NotImplementedError|\b(TODO|FIXME|XXX)\b", text)
    assert found is None or path.name in {"catalogue"}, found


def test_every_room_says_what_it_is_for() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"""'), f"{path} has no docstring"


def test_no_room_has_a_name_that_says_nothing() -> None:
    empty = {"core", "utils", "helpers", "managers", "common", "util", "misc"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem in empty]


def calls_of_git(path: Path) -> list[tuple[int, bool]]:
    """The lines where a list of words begins with `git`, and whether the safe options follow."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            continue
        first, *more = node.elts
        if isinstance(first, ast.Constant) and first.value == "git":
            follows = ast.unparse(more[0]) if more else ""
            found.append((node.lineno, follows == "*SAFE"))
    return found


def test_git_is_called_with_the_same_safe_options_everywhere() -> None:
    found = {
        str(path.relative_to(PACKAGE)): calls for path in FILES if (calls := calls_of_git(path))
    }
    assert set(found) == {
        "agents/changes.py",
        "runtime/gitwords.py",
        "runtime/workspace.py",
        "tools/builtin/git.py",
    }
    assert not [(path, line) for path, all_ in found.items() for line, safe in all_ if not safe]
