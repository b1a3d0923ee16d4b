"""`init`, `workflow` and the small commands: what they make and print."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from aiworkflow.cli.main import app
from tests.support import Project, script

TEMPLATES = ("basic", "multi-step", "with-agent", "with-tools")


def test_init_makes_a_project_and_keeps_what_is_there(project: Project) -> None:
    first = project.run("init", "--json").json
    names = sorted(Path(path).name for path in first["made"])
    assert names == [".gitignore", "config.yaml"]
    project.write(".aiworkflow/config.yaml", "limits: {max_parallel: 2}\n")
    assert project.run("init", "--json").json["made"] == []
    text = (project.root / ".aiworkflow/config.yaml").read_text()
    assert text == "limits: {max_parallel: 2}\n"
    assert "nothing was changed" in project.run("init").out


def test_init_takes_a_folder(project: Project) -> None:
    made = project.run("init", "elsewhere")
    assert made.code == 0
    assert f"the project here is the git repository {project.root}\n" in made.err
    assert "git repository" not in project.run("init", "../apart").err
    project.git("init", "-q", "elsewhere")
    assert "git repository" not in project.run("init", "elsewhere").err
    assert (project.root / "elsewhere/.aiworkflow/config.yaml").is_file()
    assert not (project.root / ".aiworkflow").exists()


def test_what_stands_in_the_way_of_a_file_is_named_before_anything_runs(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    project.write("taken", "a file")
    for words in (("init", "taken"), ("workflow", "create", "x", "--output", "taken/below")):
        done = project.run(*words)
        assert done.code == 2, done.err
        assert done.err.startswith("error: cannot write `taken/"), done.err
        assert "\n  help: name another folder, or mend what stands there" in done.err
    for words in (
        ("run", "flow", "--record", "taken/"),
        ("runs", "log", "last", "--record", "taken"),
    ):
        done = project.run(*words)
        assert done.code == 2, done.err
        assert f"`{project.root}/taken` is no folder\n  help: name a folder" in done.err, done.err
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_state_is_ignored_by_git(project: Project) -> None:
    project.run("init")
    project.workflow(script("one", "echo 1"))
    assert project.run("run", "bundles/flow").code == 0
    seen = project.git("status", "--porcelain", "--untracked-files=all")
    assert ".aiworkflow/config.yaml" in seen
    assert "state" not in seen


def test_the_templates_are_listed(project: Project) -> None:
    found = project.run("workflow", "list", "--templates", "--json").json["templates"]
    assert {one["name"] for one in found} >= set(TEMPLATES)
    assert all(one["description"] for one in found)
    assert "basic" in project.run("workflow", "list", "--templates").out


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_created_valid_and_runs(project: Project, template: str) -> None:
    words = ("my-own", "--template", template, "--bundle", "--output", "bundles")
    made = project.run("workflow", "create", *words, "--json").json
    assert made["workflow"] == "bundles/my-own"
    assert all((project.root / path).is_file() for path in made["files"])
    assert project.run("bundle", "validate", "bundles/my-own").code == 0
    info = project.run("bundle", "info", "my-own", "--json").json
    assert info["name"] == "my-own"
    given = {one["name"]: "x" for one in info["inputs"] if one["required"]}
    words = tuple(word for name, value in given.items() for word in ("-i", f"{name}={value}"))
    project.git("add", ".")
    project.git("commit", "-qm", "a bundle")
    document = project.root / "bundles/my-own/workflow.md"
    document.write_text(document.read_text() + "\nA change.\n")
    done = project.run("run", "my-own", "--json", "--agent", "echo", *words)
    assert done.code == 0, done.err + done.out
    assert done.json["status"] == "succeeded"
    if template == "with-agent":
        assert done.json["outputs"] == {"verdict": "approve", "report": "**approve**, 0 findings"}
    cases = {"basic": ["you"], "with-agent": ["nothing-changed", "one-finding"]}.get(template, [])
    tested = project.run("bundle", "test", "my-own")
    assert [line.split()[1] for line in tested.out.splitlines() if "✓" in line] == cases


def test_a_lone_file_is_created_and_runs(project: Project) -> None:
    made = project.run("workflow", "create", "lone", "--json").json
    assert made == {"workflow": "lone.md", "files": ["lone.md"]}
    assert project.run("run", "lone.md").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("Bad Name",), "cannot be a workflow's name"),
        (("x", "--template", "basik"), "basic"),
        (("x", "--template", "with-tools"), "--bundle"),
        (("taken",), "is there already"),
    ],
)
def test_create_refuses_with_the_way_out(
    project: Project, words: tuple[str, ...], says: str
) -> None:
    project.write("taken.md", "mine")
    done = project.run("workflow", "create", *words)
    assert done.code == 2
    assert says in done.err
    assert (project.root / "taken.md").read_text() == "mine"


def test_workflows_are_listed_with_the_broken_ones(project: Project) -> None:
    project.workflow(script("one", "echo 1"), name="good", head="version: 1.2.0\n")
    project.workflow("## A\n\n```yaml step\nuses: nothing.here\n```\n", name="bad")
    for words in (("workflow", "list"), ("bundle", "list")):
        found = project.run(*words, "--json").json
        (rows,) = found.values()
        assert {row["name"]: (row["valid"], row["version"]) for row in rows} == {
            "bad": (False, None),
            "good": (True, "1.2.0"),
        }
        assert "good" in project.run(*words).out


def test_no_workflows_is_said_with_the_way_on(project: Project) -> None:
    assert "aiworkflow workflow create" in project.run("workflow", "list").out


def test_show_prints_the_document_as_it_is(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    text = (project.root / "bundles/flow/workflow.md").read_text()
    assert project.run("workflow", "show", "flow").out.rstrip("\n") == text.rstrip("\n")
    assert project.run("workflow", "show", "flow", "--json").json["document"] == text


@pytest.mark.parametrize("part", ["frontmatter", "step", "tools", "config", "repos"])
def test_schemas_are_json_schemas(project: Project, part: str) -> None:
    schema = json.loads(project.run("schema", part).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema.get("properties") or schema["additionalProperties"]


def test_an_unknown_schema_is_wrong_usage(project: Project) -> None:
    assert project.run("schema", "nothing").code == 2


def test_explain_has_the_why_and_both_examples(project: Project) -> None:
    done = project.run("explain", "AW103")
    assert done.code == 0
    assert "AW103" in done.out
    assert project.run("explain", "AW103", "--json").json["code"] == "AW103"
    wrong = project.run("explain", "AW10")
    assert wrong.code == 2
    assert "AW10" in wrong.err


def test_version_says_where_things_are(project: Project) -> None:
    facts = project.run("version", "--json").json
    assert facts["project"] == str(project.root)
    assert facts["state"] == str(project.root / ".aiworkflow/state")
    assert project.run("--version").out == f"aiworkflow {facts['aiworkflow']}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_a_shell(project: Project, shell: str) -> None:
    done = project.run("--show-completion", shell)
    assert done.code == 0, done.err
    assert "aiworkflow" in done.out


def test_completion_offers_the_commands(project: Project) -> None:
    done = project.run(
        _AIWORKFLOW_COMPLETE="complete_bash", COMP_WORDS="aiworkflow bun", COMP_CWORD="1"
    )
    assert done.out.split() == ["bundle"], done.err


def test_a_near_miss_of_a_command_is_suggested(project: Project) -> None:
    done = project.run("bundel")
    assert done.code == 2
    assert "bundle" in done.err


def _helps(words: str, command: Any) -> Iterator[tuple[str, str]]:
    """The help of a command and of all below it."""
    with typer.Context(command, info_name=words, help_option_names=["-h", "--help"]) as context:
        yield words, command.get_help(context)
        for name in getattr(command, "commands", {}):
            yield from _helps(f"{words} {name}", command.get_command(context, name))


def test_help_of_every_command_reads_well(project: Project) -> None:
    shown = project.run("runs", "list", "--help").out
    found = dict(_helps("aiworkflow", typer.main.get_command(app)))
    assert found["aiworkflow runs list"].strip() == shown.strip()
    assert {"aiworkflow init", "aiworkflow queue dead retry"} <= {*found}
    for words, text in found.items():
        usage, _, rest = text.partition("\n\n")
        assert usage.startswith(f"Usage: {words}"), words
        assert not re.search(r"[{}]|\[\[", usage), usage  # `{BUNDLE}`, `[[BUNDLE]]`
        assert not re.search(r"<(str|int|list)\b", text), words  # names of Python's types
        assert not re.search(r"\w\.\.\.$", rest, re.MULTILINE), words  # cut off
    usage = "Usage: aiworkflow queue dead retry [OPTIONS] NAME [ID]...\n"
    assert usage in found["aiworkflow queue dead retry"]


def test_the_shell_is_offered_bundles_and_runs(project: Project) -> None:
    def offered(words: str) -> list[str]:
        env = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = project.run(_AIWORKFLOW_COMPLETE="complete_bash", **env)
        assert (done.code, done.err) == (0, "")
        return done.out.split()

    assert offered("aiworkflow runs show ") == ["last"]
    project.workflow(script("one", "echo 1"))
    project.workflow(script("one", "echo 1"), name="other")
    run = project.run("run", "flow", "--json").json["run"]
    assert offered("aiworkflow run ") == ["flow", "other"]
    assert offered("aiworkflow bundle validate o") == ["other"]
    for words in ("bundle test", "bundle lock", "runs list --bundle", "cost report --bundle"):
        assert offered(f"aiworkflow {words} o") == ["other"], words
    assert offered("aiworkflow run ./bundles/o") == []  # the shell has files for that
    assert offered("aiworkflow runs show ") == ["last", run]
    assert offered(f"aiworkflow runs resume {run[:-3]}") == [run]
    project.write(".aiworkflow/config.yaml", "journal: [\n")
    assert offered("aiworkflow runs show ") == []


def test_commands_work_from_a_folder_below_and_by_project(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    below = project.root / "deep/er"
    below.mkdir(parents=True)
    elsewhere = Project(project.root.parent / "elsewhere", git=False)
    words = ("--project", os.fspath(below), "--json")
    found = elsewhere.run("workflow", "list", *words).json["workflows"]
    assert [one["name"] for one in found] == ["flow"]
    assert elsewhere.run("run", "flow", *words).json["status"] == "succeeded"
