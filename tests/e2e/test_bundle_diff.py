"""`bundle diff` through the command, on real revisions."""

from __future__ import annotations

from tests.support import Project, script

OPEN = "allow: {network: [a.example]}\n"


def commit(project: Project) -> None:
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "x")


def change(project: Project, old: str, new: str, path: str = "flow/workflow.md") -> None:
    file = project.root / "bundles" / path
    file.write_text(file.read_text().replace(old, new))


def test_a_change_is_told_for_people_pull_requests_and_scripts(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    project.workflow(script("same", "echo 1"), name="same")
    commit(project)
    project.git("tag", "first")
    change(project, "description: Test.", "description: Test.\n" + OPEN.rstrip())
    change(project, "echo 1", "echo <b>`2`")
    commit(project)

    text = project.run("bundle", "diff", "first", "HEAD")
    assert text.code == 0, text.err
    assert "bundles/flow  first → HEAD" in text.out
    assert "! network   allow.network + `a.example`" in text.out
    assert "-echo 1" in text.out
    assert "bundles/same" not in text.out

    done = project.run("bundle", "diff", "first..HEAD", "flow", "--json").json
    assert (done["behaviour"], done["risk"]) == (True, True)
    assert done["kinds"][0] == "network"
    (bundle,) = done["bundles"]
    assert bundle["bundle"] == "bundles/flow"
    assert {"kind", "step", "text", "risk", "detail"} == bundle["differences"][0].keys()

    page = project.run("bundle", "diff", "first", "flow", "--markdown").out
    assert page.startswith("### `bundles/flow`\n")
    assert page.index("**It can do more than before:**") < page.index("allow.network")
    assert "````diff" in page or "```diff" in page

    assert project.run("bundle", "diff", "HEAD").out == "no difference, HEAD → the working tree\n"


def test_the_exit_status_says_what_was_asked(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    commit(project)
    change(project, "# Test", "# Another title")
    diff = ("bundle", "diff", "HEAD")
    assert "prose" in project.run(*diff).out
    assert project.run(*diff, "--exit-code").code == 0
    change(project, "echo 1", "echo 2")
    assert project.run(*diff).code == 0
    assert project.run(*diff, "--exit-code").code == 1
    assert project.run(*diff, "--fail-on", "secrets,network").code == 0
    assert project.run(*diff, "--fail-on", "secrets,scripts").code == 1
    assert project.run(*diff, "--fail-on", "risk").code == 0
    wrong = project.run(*diff, "--fail-on", "secret")
    assert wrong.code == 2
    assert "there is no kind of difference `secret`" in wrong.err
    assert "secrets" in wrong.err


def test_bundles_that_come_and_go_are_told(project: Project) -> None:
    project.workflow(script("one", "echo 1"), name="old")
    commit(project)
    project.git("mv", "bundles/old", "bundles/new")
    change(project, "name: old", "name: new", "new/workflow.md")
    found = project.run("bundle", "diff", "HEAD", "--json").json["bundles"]
    assert [(one["bundle"], one["new"], one["gone"]) for one in found] == [
        ("bundles/new", True, False),
        ("bundles/old", False, True),
    ]
    assert "(gone)" in project.run("bundle", "diff", "HEAD").out


def test_what_cannot_be_compared_is_said(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    commit(project)
    for words, said in (
        (["nowhere"], "there is no revision `nowhere`"),
        (["HEAD", "HEAD", "other"], "there is no bundle `bundles/other` on either side"),
        (["HEAD", "HEAD", "flow", "more"], "too many words"),
        (["HEAD", "HEAD", "/etc"], "is not in this project"),
        (["--output=x"], ""),
    ):
        done = project.run("bundle", "diff", *words)
        assert done.code == 2, words
        assert said in done.err
    change(project, "```bash step id=one", "```bash step id=1")
    broken = project.run("bundle", "diff", "HEAD", "flow")
    assert broken.code == 2
    assert "bundle `bundles/flow` has an error" in broken.err


def test_another_choice_among_the_same_agents_is_a_difference(project: Project) -> None:
    ask = "## Ask\n\n```yaml step\nid: ask\nagent: {choose: cheapest, among: [echo, ollama/x]}\n```\n\nHi\n\n"
    two = "## Two\n\n```yaml step\nid: two\nagent: {ab: {echo: 0.5, ollama/x: 0.5}}\n```\n\nHi\n\n"
    project.workflow(ask + two)
    commit(project)
    change(project, "choose: cheapest", "choose: best, able: [vision], max_usd: 0.1")
    change(project, "echo: 0.5, ollama/x: 0.5", "echo: 0.1, ollama/x: 0.9")
    done = project.run("bundle", "diff", "HEAD", "--fail-on", "agents")
    assert done.code == 1, done.err
    assert "cheapest of `echo`, `ollama/x` → best of" in done.out
    assert "able to do vision, at most $0.1" in done.out
    assert "ab of `echo` 0.1, `ollama/x` 0.9" in done.out


def test_how_a_group_runs_is_told_in_words(project: Project) -> None:
    head = "## Rounds\n\n```yaml step\nid: rounds\nuntil: round >= 2\nmax_rounds: 3\n```\n\n"
    project.workflow(head + script("one", "echo 1", level=3))
    commit(project)
    change(project, "max_rounds: 3", "max_rounds: 5")
    text = project.run("bundle", "diff", "HEAD").out
    assert "`rounds`: how the group runs\n" in text
    assert "`max_rounds` `3` → `5`" in text


def test_another_wait_is_told_once_as_it_is_written(project: Project) -> None:
    project.workflow("## Pause\n\n```yaml step\nid: pause\nwait: 2d\n```\n\n")
    commit(project)
    change(project, "wait: 2d", "wait: 1h")
    (bundle,) = project.run("bundle", "diff", "HEAD", "--json").json["bundles"]
    (only,) = bundle["differences"]
    assert only["text"] == '`pause`: `wait` `"2d"` → `"1h"`'
