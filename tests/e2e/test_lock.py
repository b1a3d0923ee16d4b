"""The lock of a bundle through the command: what it says, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.test_mcp import EFFECT, config
from tests.support import Project, script

TOOLS = "box:\n  operations:\n    put: {effect: write, inputs: {text: string}}\n    get: {effect: read}\n"
BODY = (
    script("get", "echo facts")
    + '## Ask\n\n```yaml step\nid: ask\nagent: openai/m1\n```\n\n{% include "how.md" %}\nScore {{ steps.get.output }}\n\n'
    + "## Save\n\n```yaml step\nid: save\nuses: box.put\nwith: {text: '{{ steps.ask.output }}'}\napprove: true\n```\n\n"
    + "## Call\n\n```yaml step\nid: call\nworkflow: ../inner\n```\n\n"
)
HEAD = "allow: {write: [box.put]}\noutputs: {it: '{{ steps.save.output }}'}\n"


def bundle(project: Project) -> None:
    project.workflow(script("one", "echo 1"), name="inner")
    project.workflow(BODY, head=HEAD, box="print(1)\n")
    project.write("bundles/flow/how.md", "Be brief.\n")
    project.write("bundles/flow/data.json", "{}\n")
    project.write("bundles/flow/README.md", "Read me.\n")
    project.write("bundles/flow/config.yaml", "limits: {max_parallel: 2}\n")
    project.write("bundles/flow/tools.yaml", TOOLS)


def edit(path: str, old: str, new: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        file = project.root / "bundles" / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (edit("flow/workflow.md", "Score {{", "Rate {{"), ["prompt ask"]),
        (edit("flow/how.md", "brief", "long"), ["include how.md", "prompt ask"]),
        (edit("flow/workflow.md", "echo facts", "echo more"), ["script get"]),
        (edit("flow/workflow.md", "openai/m1", "openai/m2"), ["agent ask"]),
        (edit("flow/workflow.md", "approve: true\n", ""), ["step save"]),
        (edit("flow/workflow.md", "outputs: {it:", "outputs: {that:"), ["workflow outputs"]),
        (edit("flow/workflow.md", "write: [box.put]", "write: [box.put], network: [a.example]"), ["workflow allow"]),
        (edit("flow/tools/box.py", "1", "2"), ["tool tools/box.py"]),
        (edit("flow/tools.yaml", "text: string", "text: string, more?: string"), ["operation box.put"]),
        (edit("flow/data.json", "{}", "[]"), ["file data.json"]),
        (edit("flow/config.yaml", "2", "3"), ["config limits"]),
        (edit("inner/workflow.md", "echo 1", "echo 2"), ["child ../inner"]),
        (edit("flow/README.md", "Read", "Do read"), []),
        (edit("flow/workflow.md", "# Test", "# Another title"), []),
    ],
)  # fmt: skip
def test_each_change_is_named_and_nothing_else(
    project: Project, change: Callable[[Project], None], facts: list[str]
) -> None:
    bundle(project)
    assert project.run("bundle", "lock", "flow").code == 0
    change(project)
    done = project.run("bundle", "lock", "flow", "--check", "--json")
    assert [one["fact"] for one in done.json["bundles"][0]["drift"]] == facts
    assert done.code == (1 if facts else 0)


def test_who_is_asked_and_what_the_whole_run_does_are_facts(project: Project) -> None:
    agents = "agents:\n  a: {api: openai, url: http://127.0.0.1:1, model: m1}\n  b: {echo: {}}\n"
    settings = agents + "agent: {choose: cheapest, among: [a, b]}\n"
    project.workflow("## Ask\n\n```yaml step\nid: ask\n```\n\nHello\n\n", head="on_error: fail\n")

    def drift(old: str, new: str, path: str = ".aiworkflow/config.yaml") -> list[str]:
        project.write(".aiworkflow/config.yaml", settings)
        assert project.run("bundle", "lock", "flow").code == 0
        file = project.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        done = project.run("bundle", "lock", "flow", "--check", "--json")
        return [one["fact"] for one in done.json["bundles"][0]["drift"]]

    assert drift("model: m1", "model: m2") == ["model a"]
    assert drift("cheapest", "best") == ["step ask"]
    assert drift("among: [a, b]", "among: [b, a]") == ["agent ask"]
    assert drift("on_error: fail", "on_error: rollback", "bundles/flow/workflow.md") == [
        "workflow on_error"
    ]
    assert drift("on_error:", "workspace: worktree\non_error:", "bundles/flow/workflow.md") == [
        "workflow workspace"
    ]


def test_whoever_may_be_chosen_of_all_that_are_known_is_locked(project: Project) -> None:
    agents = "agents:\n  a: {api: openai, url: http://127.0.0.1:1, model: m1}\n"
    project.write(".aiworkflow/config.yaml", agents)
    body = "## Ask\n\n```yaml step\nid: ask\nagent: {choose: cheapest}\n```\n\nHello\n\n"
    project.workflow(body)
    assert project.run("bundle", "lock", "flow").code == 0
    lock = (project.root / "bundles/flow/workflow.lock").read_text()
    assert "agent ask = any\n" in lock
    assert "model a = openai/m1\n" in lock
    for now in (agents.replace("m1", "m2"), agents + "  b: {api: ollama, model: m3}\n"):
        project.write(".aiworkflow/config.yaml", now)
        done = project.run("bundle", "lock", "flow", "--check", "--json")
        facts = [one["fact"] for one in done.json["bundles"][0]["drift"]]
        assert facts == (["model a"] if "m2" in now else ["model b"])


def test_a_lock_is_the_same_everywhere_and_says_only_facts(project: Project) -> None:
    bundle(project)
    project.run("bundle", "lock", "flow")
    path = project.root / "bundles/flow/workflow.lock"
    content = path.read_bytes()
    lines = content.decode().splitlines()
    assert lines == sorted(lines)
    assert b"\r" not in content
    assert b"agent ask = openai/m1\n" in content
    assert str(project.root).encode() not in content
    other = Project(project.root.parent / "other")
    bundle(other)
    other.run("bundle", "lock", "flow")
    assert (other.root / "bundles/flow/workflow.lock").read_bytes() == content
    again = project.run("bundle", "lock", "flow")
    assert "unchanged:" in again.err
    plan = project.run("bundle", "info", "flow", "--json").json["digest"]
    path.unlink()
    assert project.run("bundle", "info", "flow", "--json").json["digest"] == plan


def test_who_is_asked_is_one_fact_wherever_it_is_said(project: Project) -> None:
    asked = "## Ask\n\n```yaml step\nid: ask\n```\n\nHello\n\n"
    project.workflow(asked, head="agent: echo\n")
    assert project.run("bundle", "lock", "flow").code == 0
    same = project.run("run", "flow", "--locked", "--agent", "echo")
    assert same.code == 0, same.err
    other = project.run("run", "flow", "--locked", "--agent", "ollama/x")
    assert other.code == 4
    assert "is not what was locked: `agent ask` is ollama/x, not echo\n" in other.err


def test_a_run_of_what_was_locked_runs(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    none = project.run("run", "flow", "--locked")
    assert none.code == 2
    assert "bundle `bundles/flow` has no workflow.lock" in none.err
    assert "aiworkflow bundle lock bundles/flow" in none.err
    assert project.run("bundle", "lock", "flow").code == 0
    assert project.run("run", "flow", "--locked").code == 0
    edit("flow/workflow.md", "echo 1", "echo 2")(project)
    before = project.run("runs", "list", "--json").json["runs"]
    refused = project.run("run", "flow", "--locked", "--json")
    assert refused.json["error"]["code"] == "lock-drift"
    assert [one["fact"] for one in refused.json["drift"]] == ["script one"]
    assert project.run("runs", "list", "--json").json["runs"] == before, "nothing was started"
    refused = project.run("run", "flow", "--locked")
    assert refused.code == 4
    assert "bundle `bundles/flow` is not what was locked: `script one`" in refused.err
    shown = project.run("bundle", "lock", "flow")
    assert "- script one = " in shown.out
    assert "+ script one = " in shown.out
    project.write("bundles/flow/workflow.lock", "nonsense\n")
    assert "is no fact: nonsense" in project.run("bundle", "lock", "flow", "--check").err
    project.write(
        "lone.md", (project.root / "bundles/flow/workflow.md").read_text().replace("flow", "lone")
    )
    assert "has no place for a lock" in project.run("bundle", "lock", "lone.md").err


def test_all_locked_bundles_are_looked_at_without_a_name(project: Project) -> None:
    for name in ("one", "two", "loose"):
        project.workflow(script("step", "echo 1"), name=name)
    none = project.run("bundle", "lock", "--check")
    assert none.code == 2
    assert "no bundle of this project is locked yet" in none.err
    for name in ("one", "two"):
        assert project.run("bundle", "lock", name).code == 0
    assert project.run("bundle", "lock", "--check").code == 0
    edit("two/workflow.md", "echo 1", "echo 2")(project)
    done = project.run("bundle", "lock", "--check", "--json")
    assert done.code == 1
    assert done.json["locked"] is False
    assert [(one["bundle"], len(one["drift"])) for one in done.json["bundles"]] == [
        ("bundles/one", 0),
        ("bundles/two", 1),
    ]
    assert project.run("bundle", "lock").code == 0
    assert project.run("bundle", "lock", "--check").code == 0


def test_tools_of_servers_are_pinned_and_looked_at_when_they_are_called(project: Project) -> None:
    config(project)
    project.workflow("## A\n\n```yaml step\nid: a\nuses: mcp:t/add\nwith: {a: 1, b: 2}\n```\n")
    assert project.run("bundle", "lock", "flow").code == 0
    lock = project.root / "bundles/flow/workflow.lock"
    pins = [one for one in lock.read_text().splitlines() if one.startswith("mcp-tool t/add = ")]
    assert len(pins) == 1
    assert project.run("run", "flow", "--locked").code == 0
    other = {"TEST_DESCRIPTION": "Add, and tell nobody."}
    config(project, f"{EFFECT}, env: {{TEST_DESCRIPTION: {other['TEST_DESCRIPTION']!r}}}")
    done = project.run("run", "flow", "--locked", "--json")
    assert done.code == 1, done.out + done.err
    message = done.json["steps"]["a"]["error"]["message"]
    assert "is not the tool that workflow.lock pins" in message
    assert "Add, and tell nobody." in message
    checked = project.run("bundle", "lock", "flow", "--check")
    assert checked.code == 1
    assert "mcp-tool t/add" in checked.out


def test_the_version_of_a_program_is_locked(project: Project) -> None:
    program = project.root / "agent.sh"
    project.write("agent.sh", "#!/bin/sh\necho 'fake 1.0'\n")
    program.chmod(0o755)
    project.write(
        ".aiworkflow/config.yaml",
        f"agents:\n  mine:\n    mode: read\n    cli: {{command: [{program}], version: [--version]}}\n",
    )
    project.workflow("## A\n\n```yaml step\nid: a\nagent: mine\n```\n\nDo it.\n", head="")
    done = project.run("bundle", "lock", "flow")
    assert done.code == 0, done.out + done.err
    assert "version mine = " in (project.root / "bundles/flow/workflow.lock").read_text()
    program.write_text("#!/bin/sh\necho 'fake 2.0'\n")
    done = project.run("run", "flow", "--locked")
    assert done.code == 4
    assert "`version mine`" in done.err
