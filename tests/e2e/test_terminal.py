"""What is printed, wherever it goes: to a terminal, a pipe, or where not every character can stand."""

from __future__ import annotations

import json
import os
import pty
import subprocess

import pytest

from aiworkflow.cli.show import table
from tests.support import COMMAND, Project, script


def describe(project: Project, text: str) -> None:
    """Write a bundle of which a list says this."""
    head = f"---\nname: flow\nversion: 0.1.0\ndescription: {text}\n---\n\n# Flow\n\n"
    project.write("bundles/flow/workflow.md", head + script("a", "echo 1"))


def on_a_terminal(project: Project, *words: str, columns: int = 80) -> str:
    """What a command prints on a terminal of so many columns."""
    reader, writer = pty.openpty()
    env = {**project.env, "COLUMNS": str(columns), "NO_COLOR": "1"}
    with subprocess.Popen(
        [*COMMAND, *words], cwd=project.root, env=env, stdin=writer, stdout=writer, stderr=writer
    ) as process:
        os.close(writer)
        found = b""
        while True:
            try:
                more = os.read(reader, 65_536)
            except OSError:  # its other end is closed
                break
            if not more:
                break
            found += more
        process.wait()
    os.close(reader)
    return found.decode().replace("\r\n", "\n")


def test_where_not_every_character_can_stand_a_command_still_prints(project: Project) -> None:
    describe(project, "Grüße, 日本語 und 👩\u200d💻")
    listed = project.run("bundle", "list", PYTHONIOENCODING="ascii")
    assert (listed.code, "flow" in listed.out, "??? und" in listed.out) == (0, True, True)
    shown = project.run("bundle", "list", "--json", PYTHONIOENCODING="ascii")
    assert shown.json["bundles"][0]["description"] == "Grüße, 日本語 und 👩\u200d💻"


def in_a_shell(project: Project, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell, where `$DO` is the command."""
    words = " ".join(COMMAND)
    return subprocess.run(
        ["bash", "-c", line],
        cwd=project.root,
        env={**project.env, "DO": words, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("errors", ["2>&-", "2>/dev/full", "2> >(true)"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_run_goes_on_where_nobody_reads_how_it_goes(
    project: Project, errors: str, unbuffered: str
) -> None:
    project.workflow(script("a", "sleep 0.2") + script("b", "echo done > done.txt"))
    done = in_a_shell(project, f"$DO run flow {errors}", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 0, done.stderr
    assert (project.root / "done.txt").read_text() == "done\n"


@pytest.mark.parametrize("words", ["version", "version --json", "nope --json", "--help"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_cannot_be_printed_is_said_to_be_so(
    project: Project, words: str, unbuffered: str
) -> None:
    full = in_a_shell(project, f"$DO {words} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    said = "error: cannot write to standard output: No space left on device\n"
    assert (full.returncode, full.stderr) == (1, said)
    closed = in_a_shell(project, f"$DO {words} >&-", PYTHONUNBUFFERED=unbuffered)
    assert closed.returncode == (2 if "nope" in words else 0)
    assert closed.stderr == ""
    gone = in_a_shell(project, f"$DO {words} > >(true)", PYTHONUNBUFFERED=unbuffered)
    assert gone.stderr == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "a" * 300), "` (300 characters) is too long for a file"),
        (("run", "flow", "--record", "a" * 300), "` (300 characters) is too long for a file"),
        (("run", "flow", "--record="), "`--record` names nothing"),
        (("queue", "purge", ""), "`` is no name of a queue"),
        (("runs", "list", "--limit=x"), "`--limit` takes a whole number from 1 to 1,000, not `x`"),
        (("runs", "list", "-n", "0"), "`--limit` takes a whole number from 1 to 1,000, not `0`"),
        (("runs", "list", "--before=x"), "`x` is not where a page of runs ends"),
        (("runs", "list", "--status=failed,nope"), "no run has the status `nope`"),
        (("runs", "list", "--status=interrupted"), "no run has the status `interrupted`"),
        (("runs", "list", "--status= ,"), "`--status` names nothing"),
        (("sweep", "flow", "--tag", ""), "`--tag` names nothing"),
        (("bundle", "diff", "HEAD", "--fail-on", ""), "`--fail-on` names nothing"),
        (("worker", "--once", "--labels", "gpu", "--labels", "x/y"), "`x/y` is no label"),
        (("agents", "report", "flow", "--limit", "9" * 20), "number from 1 to 100,000, not `9"),
        (("schema", "x"), "PART is frontmatter, step, tools, config or repos, not `x`"),
    ],
)
def test_a_value_that_will_not_do_is_said_with_what_would(
    project: Project, words: tuple[str, ...], message: str
) -> None:
    project.workflow(script("a", "echo 1"))
    done = project.run(*words)
    assert done.code == 2
    assert message in done.err
    as_json = project.run(*words, "--json")
    assert as_json.code == 2
    assert message in as_json.json["error"]["message"]


def test_words_are_given_once_for_each_or_with_commas(project: Project) -> None:
    project.workflow(script("a", "echo 1"))
    project.run("run", "flow")
    project.workflow(script("a", "exit 1"), name="bad")
    project.run("run", "bad")

    def listed(*words: str) -> list[str]:
        return [one["status"] for one in project.run("runs", "list", "--json", *words).json["runs"]]

    both = ["failed", "succeeded"]
    assert listed("--status", "succeeded,failed") == both
    assert listed("--status", "succeeded", "--status", "failed") == both
    assert listed("--status", " failed , cancelled") == ["failed"]
    derived = project.run("runs", "list", "--status", "interrupted").err
    assert "help: it is `running`, and nobody drives it: --status running" in derived
    for words in (("--by", "bundle,agent"), ("--by", "bundle", "--by", "agent")):
        assert project.run("cost", "report", "--json", *words).json["by"] == ["bundle", "agent"]
    for words in (("secrets,nope",), ("secrets", "--fail-on", "nope")):
        done = project.run("bundle", "diff", "HEAD", "--fail-on", *words)
        assert "no kind of difference `nope`" in done.err


def test_every_option_of_several_words_says_so_in_the_same_way(project: Project) -> None:
    for words, shown in (
        (("runs", "list"), "--status STATUS,…"),
        (("journal", "prune"), "--status STATUS,…"),
        (("serve",), "--only KIND,…"),
        (("cost", "report"), "--by LEVEL,…"),
        (("agents", "compare"), "--agents AGENT,…"),
        (("bundle", "diff"), "--fail-on KIND,…"),
        (("token", "create"), "--scope SCOPE,…"),
        (("sweep", "start"), "--tag TAG,…"),
    ):
        assert shown in project.run(*words, "--help").out, words


def test_an_argument_that_is_no_text_is_refused(project: Project) -> None:
    for more in ((), ("--json",)):
        done = subprocess.run(
            [*COMMAND, "runs", "show", b"\xff", *more],
            cwd=project.root,
            env=project.env,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 2
        if more:
            assert "is not UTF-8 text" in json.loads(done.stdout)["error"]["message"]
        else:
            assert done.stderr.startswith(b"error: `?` on the command line is not UTF-8 text\n")


@pytest.mark.parametrize(
    "words",
    [
        ("workers", "list"),
        ("workers", "drain", "x"),
        ("runs", "watch", "last"),
        ("runs", "undo", "last"),
        ("runs", "cancel", "last"),
        ("runs", "resume", "last"),
        ("runs", "wake"),
        ("cache", "clear"),
        ("schedule", "list"),
    ],
)
def test_what_is_about_earlier_runs_makes_nothing_where_there_are_none(
    project: Project, words: tuple[str, ...]
) -> None:
    before = sorted(project.root.rglob("*"))
    assert project.run(*words).code in {0, 2}
    assert sorted(project.root.rglob("*")) == before


def test_a_number_of_thousands_of_digits_is_refused_with_a_word(project: Project) -> None:
    many = "9" * 5000
    for words in (("schedule", "next", "--count", many), ("token", "create", "x", "--days", many)):
        done = project.run(*words)
        assert (done.code, "takes a whole number from 1 to" in done.err) == (2, True), done.err
        assert len(done.err) < 200


def test_where_a_bundle_is_is_not_guessed_from_a_dot(project: Project) -> None:
    project.workflow(script("a", "echo 1"))
    done = project.run("run", ".")
    assert (done.code, "bundle `.` has an error" in done.err) == (2, True), done.err


def test_a_bundle_may_be_named_by_its_document(project: Project) -> None:
    project.workflow(script("a", "echo 1"))
    done = project.run("run", "bundles/flow/workflow.md", "--json")
    assert (done.code, done.json["bundle"]) == (0, "bundles/flow"), done.err


def test_completion_that_cannot_be_installed_says_what_else_to_do(project: Project) -> None:
    home = project.root / "home"
    home.write_text("a file")
    told = {"HOME": str(home), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = project.run("--install-completion", "bash", **told)
    assert done.code == 2
    assert "aiworkflow --show-completion" in done.err


def test_a_bundle_is_called_the_same_whichever_way_leads_to_it(project: Project) -> None:
    project.workflow(script("a", "echo 1"))
    link = project.root.parent / "link"
    link.symlink_to(project.root, target_is_directory=True)
    for words in (
        ("flow", "--project", f"../{project.root.name}"),
        ("bundles/flow", "--project", str(link)),
        (str(link / "bundles/flow"),),
    ):
        assert project.run("run", *words, "--json").json["bundle"] == "bundles/flow", words


def test_a_lone_file_that_is_named_without_its_ending_is_suggested(project: Project) -> None:
    project.write("notes.md", "# Notes\n")
    assert project.run("run", "notes").err.endswith("\n  help: did you mean `notes.md`?\n")


def test_a_bundle_below_another_folder_is_suggested_by_its_path(project: Project) -> None:
    deep = Project(project.root / "deep", git=False)
    deep.write("bundles/other/workflow.md", "")
    done = deep.run("run", "other")
    assert "help: did you mean `bundles/other`? names are those below" in done.err


def test_a_step_that_is_not_there_is_said_with_a_way_out(project: Project) -> None:
    project.workflow(script("one", "true"))
    run = project.run("run", "flow", "--json").json["run"]
    done = project.run("runs", "log", run, "x")
    assert done.err.endswith(f"\n  help: see: aiworkflow runs show {run}\n")


def test_a_place_is_shown_as_it_is_called(project: Project) -> None:
    project.write("repos.yaml", "repos:\n- {path: ../shop}\n")
    assert project.run("repos", "list").out.endswith(f"  {project.root.parent / 'shop'}\n")


def test_a_list_fits_a_terminal_and_is_whole_in_a_pipe(project: Project) -> None:
    describe(project, f"{'word ' * 40}end of it")
    for words in (("bundle", "list"), ("agents", "list"), ("tools", "list")):
        lines = on_a_terminal(project, *words).splitlines()
        assert max(len(line) for line in lines) <= 80, words
    assert "word " * 40 + "end of it\n" in project.run("bundle", "list").out
    listed = project.run("agents", "list", "--quiet").out
    assert "anthropic  -      -              needs a key, and the variable ANTHROPIC_API" in listed


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    rows = [("日本", "1", "two\nlines"), ("a", "10", "\x1b[2J")]
    assert table(rows, ("NAME", "N", "SAYS"), right=(1,)).splitlines() == [
        "NAME   N  SAYS",
        "日本   1  two lines",
        "a     10   [2J",
    ]
