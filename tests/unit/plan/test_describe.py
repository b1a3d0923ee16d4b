"""The description of a plan: what it takes, does, needs and may touch, and all that can run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from aiworkflow.plan import describe_plan, seal
from tests.unit.plan.documents import agent, compiled, does, group, read_with_tools, step

BODY = (
    "## Prose\n\nThe code is `make all`, says the prose:\n\n```bash\nmake all\n```\n\n"
    + step("build", 'env: {T: "{{ secrets.TOKEN }}"}\n', "make all")
    + group(
        "g",
        "parallel: 1\nallow: {network: [a.org]}\n",
        does("show", "uses: github.show\nwith: {number: 3}\ntimeout: 5m\n", level=3),
        agent("think", "Think.", "agent: ollama/llama3\non_error: continue\n", level=3),
    )
    + group("r", "until: round > 1\nmax_rounds: 3\n", does("s", "set: {x: 1}\n", level=3))
    + step("many", "each: range(3)\nif: index > 1\n")
    + step("bye", "finally: true\n", "echo bye")
)
HEAD = (
    "version: 1.0.0\nallow: {secrets: [TOKEN], network: [a.org, b.org]}\nagent: anthropic\ntimeout: 1h\n"
    "inputs: {n: {type: integer, default: 3, description: How many}, who: string}\n"
    "state: {x: {reduce: plain.join}}\n"
    'outputs: {log: "{{ steps.build.output }}"}\n'
)


def described(folder: Path) -> dict[str, object]:
    reading = read_with_tools(folder, BODY, HEAD)
    found, problems = compiled(reading)
    assert found is not None, problems
    assert reading.workflow is not None
    return describe_plan(seal(found, reading.workflow))


def test_the_description_is_plain_data(tmp_path: Path) -> None:
    about = described(tmp_path)
    assert json.loads(json.dumps(about, allow_nan=False)) == about


def test_it_says_what_the_workflow_takes_and_may_touch(tmp_path: Path) -> None:
    about = described(tmp_path)
    assert about["inputs"] == [
        {
            "name": "n",
            "type": "integer",
            "required": False,
            "default": 3,
            "description": "How many",
        },
        {"name": "who", "type": "string", "required": True, "default": None, "description": ""},
    ]
    assert about["allow"] == {
        "write": [],
        "network": ["a.org", "b.org"],
        "secrets": ["TOKEN"],
        "paths": [],
    }
    assert (about["name"], about["version"], about["title"]) == ("flow", "1.0.0", "Flow")
    assert (about["outputs"], about["state"], about["agents"]) == (
        ["log"],
        {"x": "tool"},
        ["anthropic"],
    )
    assert (about["effect"], about["timeout_s"]) == ("write", 3600)


def test_it_says_of_every_step_what_it_does(tmp_path: Path) -> None:
    steps = described(tmp_path)["steps"]
    assert isinstance(steps, list)
    build, both, rounds, many, bye = steps
    assert build["secrets"] == ["TOKEN"]
    assert (build["kind"], build["language"], build["effect"]) == ("script", "bash", "write")
    assert (both["parallel"], both["enough"]) == (True, 1)
    assert both["allow"]["network"] == ["a.org"]
    show, think = both["steps"]
    assert (show["tool"], show["timeout_s"], show["effect"]) == ("github.show", 300, "read")
    assert (think["agents"], think["on_error"]) == (["ollama/llama3"], "continue")
    assert (rounds["until"], rounds["max_rounds"], rounds["steps"][0]["sets"]) == (
        "round > 1",
        3,
        ["x"],
    )
    assert (many["each"], many["if"]) == ("range(3)", "index > 1")
    assert bye["finally"] is True
    assert [one["after"] for one in steps] == [[], ["build"], ["g"], ["r"], []]


def test_every_live_block_is_listed_with_its_place_and_digest(tmp_path: Path) -> None:
    blocks = described(tmp_path)["live_blocks"]
    assert isinstance(blocks, list)
    text = (tmp_path / "flow" / "workflow.md").read_text(encoding="utf-8").split("\n")
    scripts = [one for one in blocks if "step" in one]
    assert [one["step"] for one in scripts] == ["build", "many", "bye"]
    for one, code in zip(scripts, ("make all\n", "true\n", "echo bye\n"), strict=True):
        assert text[one["line"] - 1] == "```bash step"
        assert text[one["line"]] + "\n" == code
        assert one["sha256"] == hashlib.sha256(code.encode()).hexdigest()
        assert (one["file"], one["language"]) == ("workflow.md", "bash")
    tools = [one for one in blocks if "tool" in one]
    assert [(one["tool"], one["file"]) for one in tools] == [
        ("github", "tools/github.py"),
        ("plain", "tools/plain.py"),  # the reducer
    ]
    for one in tools:
        content = (tmp_path / "flow" / one["file"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
