"""`bundle validate|info|graph|list`: a bundle looked at without running anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import Project, group, script

BROKEN = (
    "## A\n\n```yaml step\nid: a\nif: steps.reviw.output == 1\n```\n\n```bash\necho 1\n```\n\n"
    + script("review", "echo 1")
)
KEYS = {
    "code",
    "severity",
    "message",
    "file",
    "line",
    "column",
    "end_line",
    "end_column",
    "hint",
}


def test_a_valid_bundle_is_said_to_be(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    done = project.run("bundle", "validate", "flow")
    assert (done.code, done.out, done.err) == (0, "✓ bundles/flow is valid\n", "")
    assert project.run("bundle", "validate", "flow", "--json").json == {
        "valid": True,
        "diagnostics": [],
    }
    assert project.run("bundle", "validate", "flow", "-q").out == ""


def test_a_lone_file_goes_by_its_name(project: Project) -> None:
    home = project.root / project.workflow(script("one", "echo 1"), name="lone")
    (home / "workflow.md").rename(home.parent / "lone.md")
    home.rmdir()
    (listed,) = project.run("bundle", "list", "--json").json["bundles"]
    done = project.run("bundle", "validate", listed["name"])
    assert (done.code, done.out) == (0, "✓ bundles/lone.md is valid\n")


def test_a_broken_bundle_shows_the_line_and_a_caret(project: Project) -> None:
    project.workflow(BROKEN)
    done = project.run("bundle", "validate", "bundles/flow")
    assert done.code == 2
    assert done.out == ""
    assert "error[AW103]" in done.err
    assert "--> bundles/flow/workflow.md:" in done.err
    assert "^" in done.err


def test_json_findings_have_exactly_the_keys_of_the_contract(project: Project) -> None:
    project.workflow(BROKEN)
    done = project.run("bundle", "validate", "flow", "--json")
    assert done.code == 2
    assert done.err == ""
    assert set(done.json) == {"valid", "diagnostics"}
    assert done.json["valid"] is False
    assert all(set(found) == KEYS for found in done.json["diagnostics"])
    (found,) = [f for f in done.json["diagnostics"] if f["code"] == "AW103"]
    lines = (project.root / "bundles/flow/workflow.md").read_text().splitlines()
    assert lines[found["line"] - 1][found["column"] - 1 :].startswith("reviw")
    assert (found["end_line"], found["end_column"]) == (found["line"], found["column"] + 5)
    assert found["file"] == "bundles/flow/workflow.md"


def test_sarif_is_sarif(project: Project) -> None:
    project.workflow(BROKEN)
    done = project.run("bundle", "validate", "flow", "--format", "sarif")
    assert done.code == 2
    sarif = json.loads(done.out)
    assert sarif["version"] == "2.1.0"
    (run,) = sarif["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in run["results"]} <= rules
    where = run["results"][0]["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "bundles/flow/workflow.md"


def test_github_gets_annotations(project: Project) -> None:
    project.workflow(BROKEN)
    done = project.run("bundle", "validate", "flow", "--format", "github")
    assert done.code == 2
    assert "::error file=bundles/flow/workflow.md,line=" in done.out
    project.workflow(script("one", "echo 1"))
    done = project.run("bundle", "validate", "flow", "--format", "github")
    assert (done.code, done.out) == (0, "")


def test_an_unknown_format_is_wrong_usage(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    for words in (("validate", "flow", "--format", "xml"), ("graph", "flow", "--format", "svg")):
        done = project.run("bundle", *words)
        assert done.code == 2
        assert "use one of" in done.err


def test_a_bundle_that_is_not_there_is_suggested(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    done = project.run("bundle", "validate", "flwo")
    assert done.code == 2
    assert "flow" in done.err
    shown = project.run("bundle", "validate", "flwo", "--json")
    assert set(shown.json) == {"error"}
    assert shown.json["error"]["message"] == "there is no bundle `flwo`"


FULL = (
    script("get", "echo '[1,2]'", "output: [integer]\ntimeout: 5s\n")
    + group(
        "both",
        "parallel: true\nif: inputs.deep\n",
        script("left", "true", level=3),
        script("right", "true", level=3),
    )
    + script("each", "true", "each: steps.get.output\nas: n\n")
    + "## Write\n\n```yaml step\nid: write\nuses: file.write\n"
    "with: {path: out/x.txt, content: x}\n```\n\n" + script("last", "true", "finally: true\n")
)
HEAD = (
    "version: 1.2.3\n"
    "inputs: {deep: {type: boolean, default: false, description: Dig}, who: string}\n"
    "outputs: {all: '{{ steps.get.output }}'}\n"
    'allow: {write: [file.write], paths: ["out/**"]}\n'
)


def test_info_tells_inputs_steps_permissions_and_effects(project: Project) -> None:
    project.workflow(FULL, head=HEAD)
    about = project.run("bundle", "info", "flow", "--json").json
    assert (about["name"], about["version"]) == ("flow", "1.2.3")
    assert {one["name"]: one["required"] for one in about["inputs"]} == {
        "deep": False,
        "who": True,
    }
    assert about["allow"]["write"] == ["file.write"]
    assert [step["id"] for step in about["steps"]] == ["get", "both", "each", "write", "last"]
    assert about["outputs"] == ["all"]
    text = project.run("bundle", "info", "flow").out
    for words in ("flow 1.2.3", "who: string", "required", "Dig", "file.write", "finally"):
        assert words in text


def test_times_are_written_as_in_the_workflow(project: Project) -> None:
    project.workflow(script("one", "echo 1", "timeout: 5m\n"))
    for words in (("bundle", "info", "flow"), ("run", "flow", "--dry-run")):
        assert "  one  [script bash]  line 8  timeout 5m\n" in project.run(*words).out


def test_a_dry_run_needs_no_agent_that_can_be_called(project: Project) -> None:
    project.workflow("## A\n\n```yaml step\n```\n\nSay it.\n", head="agent: anthropic/claude-x\n")
    project.write("in.jsonl", "{}\n")
    said = "agent `anthropic` needs a key, and the variable ANTHROPIC_API_KEY is not set"
    for words in ((), ("--batch", "in.jsonl")):
        done = project.run("run", "flow", "--dry-run", *words)
        assert done.code == 0
        assert f"warning: a run would be refused now: {said}" in done.err
        (refused,) = project.run("run", "flow", "--dry-run", "--json", *words).json["refused"]
        assert said in refused
        with_key = project.run("run", "flow", "--dry-run", *words, ANTHROPIC_API_KEY="k")
        assert (with_key.code, "refused" in with_key.err) == (0, False)
    done = project.run("run", "flow")
    assert (done.code, said in done.err) == (2, True)
    nobody = project.run("run", "flow", "--dry-run", "--agent", "nope")
    assert (nobody.code, "would be refused now: there is no agent `nope`" in nobody.err) == (
        0,
        True,
    )


def test_the_digest_does_not_depend_on_the_place(project: Project) -> None:
    project.workflow(FULL, head=HEAD)
    other = Project(project.root.parent / "other", git=False)
    other.workflow(FULL, head=HEAD)
    digests = {p.run("bundle", "info", "flow", "--json").json["digest"] for p in (project, other)}
    assert len(digests) == 1
    other.workflow(FULL + "\n## More\n\nProse.\n", head=HEAD.replace("1.2.3", "1.2.4"))
    digests.add(other.run("bundle", "info", "flow", "--json").json["digest"])
    assert len(digests) == 2


def test_settings_say_where_each_comes_from(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "limits:\n  max_parallel: 5\n  max_items: 50\n")
    project.write(".home/.config/aiworkflow/config.yaml", "agent: ollama/user\n")
    project.workflow(script("one", "echo 1"), head="timeout: 9m\n")
    project.write("bundles/flow/config.yaml", "env: {COLOUR: blue}\nlimits: {max_items: 40}\n")
    found: dict[str, Any] = {
        one["name"]: one
        for one in project.run(
            "bundle", "info", "flow", "--settings", "--json", AIWORKFLOW_LIMITS__OUTPUT="3MB"
        ).json["settings"]
    }
    layers = {name: one["layer"] for name, one in found.items()}
    assert layers["limits.max_parallel"] == "project's config.yaml"
    assert layers["limits.max_items"] == "bundle's config.yaml"
    assert layers["env.COLOUR"] == "bundle's config.yaml"
    assert layers["limits.output"] == "environment"
    assert layers["agent"] == "user's config.yaml"
    assert layers["timeout"] == "frontmatter"
    assert layers["limits.log"] == "default"
    assert found["limits.max_items"]["value"] == 40
    assert found["limits.max_parallel"]["place"] == ".aiworkflow/config.yaml:2:17"
    text = project.run("bundle", "info", "flow", "--settings").out
    assert "project's config.yaml (.aiworkflow/config.yaml:2:17)" in text


@pytest.mark.parametrize(
    ("form", "begins"), [("terminal", "Test\n├─ "), ("mermaid", "flowchart"), ("dot", "digraph")]
)
def test_a_bundle_is_drawn(project: Project, form: str, begins: str) -> None:
    project.workflow(FULL, head=HEAD)
    done = project.run("bundle", "graph", "flow", "--format", form)
    assert done.code == 0
    assert done.out.startswith(begins), done.out
    for id_ in ("get", "both", "left", "right", "write", "last"):
        assert id_ in done.out
    drawn = project.run("bundle", "graph", "flow", "--format", form, "--json").json
    assert drawn["drawing"].strip() == done.out.strip()


def test_looking_runs_nothing_and_makes_no_state(project: Project) -> None:
    project.workflow(script("one", "touch ran"))
    for words in (("validate",), ("info",), ("info", "--settings"), ("graph",)):
        assert project.run("bundle", words[0], "flow", *words[1:]).code == 0
    assert project.run("run", "flow", "--dry-run").code == 0
    assert not (project.root / "ran").exists()
    assert not (project.root / ".aiworkflow").exists()


def test_a_name_of_expressions_is_refused_with_the_way_out(project: Project) -> None:
    project.workflow(
        script("loop", "true", "retry: 1\n") + "## Inputs\n\n```bash step\ntrue\n```\n"
    )
    done = project.run("bundle", "validate", "flow")
    assert done.code == 2
    assert "give it another id" in done.err + done.out
    assert "add `id: name` to the step's settings" in done.err + done.out
