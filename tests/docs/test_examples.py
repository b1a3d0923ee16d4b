"""What the documentation says is run: the tutorial's commands, the examples, the links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.support import ROOT, Project

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "bundles/README.md", *sorted(DOCS.rglob("*.md"))]


def commands(page: Path) -> list[str]:
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        found += [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return found


def shell(project: Project, line: str) -> subprocess.CompletedProcess[str]:
    command = line.replace("aiworkflow ", f"{sys.executable} -m aiworkflow ", 1)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    page = DOCS / "tutorial/first-bundle.md"
    lines = commands(page)
    assert lines[:2] == ["mkdir shop", "cd shop"]
    project = Project(tmp_path / "shop", git=False)
    validate, run, look, again, show, test, update, mistake = lines[5:13]
    for line in lines[2:6]:
        done = shell(project, line)
        assert done.returncode == 0, (line, done.stderr)
    assert "is valid" in done.stdout
    done = shell(project, run)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "greeting: Hello, Ada!\n"

    document = project.root / "bundles/my-first/workflow.md"
    text = document.read_text()
    step = re.search(r"^````markdown\n(.*?)^````", page.read_text(), re.DOTALL | re.MULTILINE)
    output = re.search(r"^```yaml\n(outputs:.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert step is not None
    assert output is not None
    text = text.replace("## What to change first", step.group(1) + "\n## What to change first")
    text = re.sub(r"outputs:\n  greeting: .*\n", output.group(1), text)
    document.write_text(text)
    done = shell(project, look)
    assert done.returncode == 0, done.stderr
    assert "nothing was started" in done.stdout
    done = shell(project, again)
    assert done.stdout == "greeting: HELLO, ADA!\n"
    assert "HELLO, ADA!" in shell(project, show).stdout
    done = shell(project, test)
    assert done.returncode == 1
    shown = re.search(
        r"^```\n(bundles/my-first\n.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
    )
    assert shown is not None
    for line in shown.group(1).splitlines():
        assert line.partition("  0.")[0] in done.stdout, (line, done.stdout)
    assert shell(project, update).returncode == 0
    assert "all passed" in shell(project, test).stdout

    document.write_text(text.replace("steps.greet.output }}", "steps.greeet.output }}", 1))
    done = shell(project, mistake)
    assert done.returncode == 2
    expected = re.search(
        r"^```\n(error\[AW103\].*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
    )
    assert expected is not None
    first, place = expected.group(1).splitlines()[:2]
    assert first in done.stderr
    assert place.strip() in done.stderr
    assert validate == mistake


def test_the_first_bundle_of_the_readme_runs(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    part = text.split("## A first bundle in two minutes", 1)[1]
    lines = re.findall(r"^    (aiworkflow .*)$", part, re.MULTILINE)
    assert len(lines) == 6
    project = Project(tmp_path)
    said = []
    for line in lines:
        done = shell(project, line)
        assert done.returncode == 0, (line, done.stderr)
        said.append(done.stdout)
    assert "Hello, Ada!" in said[3]
    assert "2 cases, all passed" in said[5]


def test_the_python_examples_run(tmp_path: Path) -> None:
    text = (DOCS / "how-to/use-it-from-python.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(examples) == 3
    project = Project(tmp_path)
    project.workflow("## Say\n\n```bash step\necho hello\n```\n", name="hello")
    project.workflow(
        "## Say\n\n```bash step\necho all rights > LICENSE\n```\n", name="update-licences"
    )
    shop = Project(tmp_path / "shop")
    shop.write("a.txt", "one\n")
    shop.write(".gitignore", "/.home/\n")
    shop.git("add", ".")
    shop.git("commit", "-qm", "first")
    project.write("repos.yaml", "repos:\n  - {path: shop, tags: [python]}\n")
    outputs = []
    with ModelServer([{"uses": ["a wall"]}, "Noted.", "With straw."]) as server:
        agent = (
            f'{{api: anthropic, url: "{server.url}", model: m, price: {{input: 3, output: 15}}}}'
        )
        project.write(".aiworkflow/config.yaml", f"agent: paid\nagents: {{paid: {agent}}}\n")
        for code in examples:
            path = project.write("example.py", code)
            done = subprocess.run(
                [sys.executable, str(path)],
                cwd=tmp_path,
                env=project.env,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
            outputs.append(done.stdout)
    assert "succeeded {'lines': " in outputs[0]
    lines = outputs[1].splitlines()
    assert lines[0].startswith("{'uses': ['a wall']} paid/m 0.0")
    assert lines[1:3] == ["With straw.", "42"]
    assert lines[3].startswith("1 RunStarted(")
    assert lines[-1] == "succeeded"
    assert outputs[2].splitlines()[-2:] == ["shop succeeded", "succeeded []"]


def test_the_commands_of_the_page_about_costs_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow("## Review\n\n```yaml step\n```\n\nReview it.\n", name="code-review")
    project.git("add", "bundles")
    project.git("commit", "-q", "-m", "one")
    for tag in ("v1.2", "v1.3"):
        project.git("tag", tag)
    with ModelServer(["fine"]) as server:
        agent = (
            f'{{api: anthropic, url: "{server.url}", model: m, price: {{input: 3, output: 15}}}}'
        )
        project.write(".aiworkflow/config.yaml", f"agent: paid\nagents: {{paid: {agent}}}\n")
        assert project.run("run", "code-review").code == 0
    lines = commands(DOCS / "how-to/know-what-runs-cost.md")
    assert len(lines) >= 6
    for line in lines:
        done = shell(project, line)
        assert done.returncode == 0, (line, done.stderr)


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    if not page.exists():
        pytest.fail(f"{page} is missing")
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_bundle_that_hands_tools_to_an_agent_is_valid(tmp_path: Path) -> None:
    page = (DOCS / "how-to/give-an-agent-tools.md").read_text()
    document = re.search(r"^````markdown\n(.*?)^````", page, re.DOTALL | re.MULTILINE)
    tools = re.search(r"^```yaml\n(board:.*?)^```", page, re.DOTALL | re.MULTILINE)
    session = re.search(r"^```yaml\n(sessions:.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert document is not None
    assert tools is not None
    assert session is not None
    project = Project(tmp_path, git=False)
    text = document.group(1).replace("turns: 20\n", "turns: 20\nsession: design\n")
    text = text.replace("agent: anth", f"{session.group(1)}agent: anth", 1)
    project.write("bundles/caretaker/workflow.md", text)
    project.write("bundles/caretaker/tools.yaml", tools.group(1))
    project.write("bundles/caretaker/tools/board.py", "print()\n")
    done = project.run("bundle", "validate", "bundles/caretaker")
    assert done.code == 0, done.out + done.err
