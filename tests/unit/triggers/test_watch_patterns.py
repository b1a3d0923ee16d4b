"""Which files a watch means, and which git ignores: against git itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiworkflow.triggers.watch.patterns import Ignored, Patterns, rules_of
from tests.support import Project

EXHAUSTIVE = os.environ.get("EXHAUSTIVE") == "true"


@pytest.mark.parametrize(
    ("pattern", "meant", "not_meant"),
    [
        ("data/*.csv", ["data/a.csv"], ["data/b/a.csv", "a.csv", "data/a.csv.bak", "x/data/a.csv"]),
        ("**/*.py", ["a.py", "src/a.py", "src/x/a.py"], ["a.pyc"]),
        ("src/**", ["src/a", "src/b/c"], ["src", "srcs/a"]),
        ("src/**/x.py", ["src/x.py", "src/a/b/x.py"], ["x.py", "src/ax.py"]),
        ("src", ["src", "src/a", "src/b/c"], ["srcs/a", "a/src"]),
        ("./src/", ["src/a", "src/b/c"], ["a/src/b"]),
        ("src/*", ["src/a"], ["src/a/b"]),
        ("[ab]?.txt", ["ax.txt", "b1.txt"], ["cx.txt", "a.txt", "a/.txt"]),
        (".", ["a", "a/b"], []),
        ("a+(b).txt", ["a+(b).txt"], ["aab.txt"]),
    ],
)
def test_what_a_pattern_means(pattern: str, meant: list[str], not_meant: list[str]) -> None:
    patterns = Patterns([pattern])
    assert [one for one in meant if not patterns.means(one)] == []
    assert [one for one in not_meant if patterns.means(one)] == []


@pytest.mark.parametrize("pattern", [".", "doc", "doc/*", "**", "doc/**"])
def test_a_name_may_have_several_lines(pattern: str) -> None:
    assert Patterns([pattern]).means("doc/two\nlines")


def test_where_what_is_meant_can_lie() -> None:
    assert Patterns(["data/*.csv", "data/in/**", "src/a/b.py"]).roots == ["data", "src/a/b.py"]
    assert Patterns(["data/*.csv", "**/*.py"]).roots == [""]
    patterns = Patterns(["data/x/*.csv"])
    assert [one for one in ("", "data", "data/x", "data/x/y", "dat", "src") if patterns.leads_to(one)] == [
        "", "data", "data/x", "data/x/y",
    ]  # fmt: skip


def test_a_watch_ignores_by_rules_of_its_own(tmp_path: Path) -> None:
    ignored = Ignored(
        tmp_path, Patterns(["."], ["*.tmp", "build/", "!keep.tmp", "/only"]), gitignore=False
    )
    assert ignored.file("a/x.tmp")
    assert ignored.file("build/a/b")
    assert ignored.file("only")
    assert ignored.file("x/.git/config")
    assert ignored.file(".aiworkflow/state/journal.db")
    assert not any(map(ignored.file, ["keep.tmp", "a/only", "build", ".github/x", "a.tmp.txt"]))


def test_a_gitignore_counts_only_where_it_is_to(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("out/\n")
    for gitignore in (True, False):
        assert Ignored(tmp_path, Patterns(["."]), gitignore=gitignore).file("out/x") is gitignore


PATHS = [
    "a",
    "b.py",
    "out/a",
    "out/b.py",
    "out/x/a",
    "src/a",
    "src/out/b.py",
    "src/out/x/a",
    "src/x y.py",
    "a b",
]
NAMES = st.sampled_from(
    [
        "a",
        "b.py",
        "out",
        "src",
        "x",
        "*",
        "*.py",
        "**",
        "?",
        "[ao]ut",
        "[!a]",
        "o*",
        "x\\ y.py",
        "\\a",
    ]
)
LINES = st.builds(
    lambda sign, front, names, back: sign + front + "/".join(names) + back,
    st.sampled_from(["", "", "", "!", "#"]), st.sampled_from(["", "", "/"]), st.lists(NAMES, min_size=1, max_size=3),
    st.sampled_from(["", "", "/", " "]),
)  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("repository"))
    for path in PATHS:
        project.write(path, "")
    return project


@settings(
    max_examples=2000 if EXHAUSTIVE else 60, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(st.lists(LINES, max_size=4), st.lists(LINES, max_size=3))
def test_it_ignores_what_git_ignores(
    repository: Project, outer: list[str], inner: list[str]
) -> None:
    repository.write(".gitignore", "\n".join(outer))
    repository.write("src/.gitignore", "\n".join(inner))
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"], cwd=repository.root, env=repository.env,
        input="\0".join(PATHS), capture_output=True, text=True,
    )  # fmt: skip
    ours = Ignored(repository.root, Patterns(["."]), gitignore=True)
    assert [one for one in PATHS if ours.file(one)] == [
        one for one in done.stdout.split("\0") if one
    ]


@settings(max_examples=200, deadline=None)
@given(st.text("ab*?[]!\\/ ^-.", max_size=20))
def test_any_text_is_a_rule_or_none(text: str) -> None:
    rules_of(text)
    Patterns([text or "x"], [text]).means("a/b")


def test_no_pattern_takes_long() -> None:
    name = "a" * 200
    for pattern in ("*a" * 60 + "b", "**/a/" * 30 + "b", "[a-z]*" * 50 + "0"):
        assert not Patterns([pattern], [pattern]).means("/".join([name, *["a"] * 60]))
        assert not Patterns([pattern], [pattern]).ignores(name, is_folder=False)
