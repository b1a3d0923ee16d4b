"""Script steps run real interpreters."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time

import pytest

from aiworkflow.bundle.workflow import Allow, Output, OutputForm, Script
from aiworkflow.steps.contract import StepError
from aiworkflow.steps.script import perform_script

HOSTILE = [
    "$(touch hacked)", "`touch hacked`", "'; touch hacked; '", '" && touch hacked "', "a\nb\n",
    "--help", "-rf", "*", "~", "$HOME", "\\", "%s%n", "ä😀", "a\tb", "!!",
]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("bash", "echo '{\"answer\": 42}'"),
        ("sh", "echo '{\"answer\": 42}'"),
        ("python", "print('{\"answer\": 42}')"),
        pytest.param(
            "javascript", "console.log('{\"answer\": 42}')",
            marks=pytest.mark.skipif(shutil.which("node") is None, reason="no node here"),
        ),
        ("awk -f", 'BEGIN { print "{\\"answer\\": 42}" }'),
    ],
)  # fmt: skip
def test_each_language_has_its_interpreter(bench, language, code):
    if " " in language:  # a language of the project's own
        bench.interpreters["awk"] = language
        language = "awk"
    assert bench.script(code, language).output == {"answer": 42}


def test_a_language_without_interpreter_is_run_by_the_program_of_its_name(bench):
    with pytest.raises(StepError, match="needs `cobol`, which is not there") as failed:
        bench.script("DISPLAY", "cobol")
    assert failed.value.kind == "not_found"


def test_an_interpreter_of_the_project_is_found_from_every_folder(bench):
    (bench.project / "deep").mkdir()
    (bench.project / "bin").mkdir()
    (bench.project / "bin" / "run").write_text('#!/bin/sh\necho "mine $1"; cat "$2"')
    (bench.project / "bin" / "run").chmod(0o755)
    bench.interpreters["mine"] = "bin/run 'an option'"
    assert bench.script("code", "mine", cwd=bench.project / "deep").output == "mine an option\ncode"


def test_bash_stops_at_the_first_failure_also_in_a_pipe(bench):
    for code in ("false\necho on", "false | true\necho on"):
        with pytest.raises(StepError, match="the script ended with exit code 1") as failed:
            bench.script(code)
        assert (failed.value.kind, failed.value.process_exit) == ("exit", 1)


def test_it_runs_in_its_folder_with_empty_standard_input(bench):
    assert bench.script("pwd; cat").output == str(bench.project)


@pytest.mark.parametrize("value", HOSTILE)
def test_data_reaches_code_as_data_and_never_a_shell(bench, value):
    code = 'printf %s "$INPUT_X"'
    text = Output(OutputForm.TEXT)
    assert bench.script(code, inputs={"x": value}, output=text).output == value.removesuffix("\n")
    read = (
        "import json, os;"
        "print(json.dumps(json.load(open(os.environ['AIWORKFLOW_CONTEXT']))['with']))"
    )
    assert bench.script(read, "python", arguments={"x": value}).output == {"x": value}
    assert os.listdir(bench.project) == []


def test_the_context_file_and_the_facts(bench):
    code = (
        "import json, os; e = os.environ; c = json.load(open(e['AIWORKFLOW_CONTEXT']));"
        "print(json.dumps([c, e['AIWORKFLOW_KEY'], e['AIWORKFLOW_ATTEMPT'], e['AIWORKFLOW_RUN'],"
        "e['AIWORKFLOW_STEP'], os.listdir(e['AIWORKFLOW_SCRATCH'])]))"
    )
    about = {"item": "f", "index": 3, "round": 1}
    found = bench.script(code, "python", inputs={"a": 1}, context=about)
    context, *facts = found.output
    assert context == {"inputs": {"a": 1}, "run": {"id": "r"}, **about, "with": {}}
    assert facts == ["the-key", "2", "06f2k3m9q0-a7c2d9e4r1", "files[3].it", [".step"]]


def test_a_secret_comes_only_where_it_is_asked_for_and_allowed(bench):
    bench.environ["TOKEN"] = "t-1234"
    show = 'echo "${MINE-}:${TOKEN-}"'
    assert bench.script(show).output == ":"
    allow = Allow(secrets=("TOKEN",))
    assert bench.script(show, secret_env={"MINE": "TOKEN"}, allow=allow).output == "t-1234:"
    with pytest.raises(StepError, match="which the workflow does not allow") as failed:
        bench.script(show, secret_env={"MINE": "TOKEN"})
    assert failed.value.kind == "permission"
    with pytest.raises(StepError, match="secret `OTHER` is not set") as failed:
        bench.script(show, secret_env={"MINE": "OTHER"}, allow=Allow(secrets=("OTHER",)))
    assert failed.value.kind == "auth"


def test_output_takes_the_declared_form(bench):
    assert bench.script("echo 1; echo 2", output=Output(OutputForm.LINES)).output == ["1", "2"]
    with pytest.raises(StepError, match="not JSON") as failed:
        bench.script("echo 1 2", output=Output(OutputForm.JSON))
    assert failed.value.kind == "output"


def test_the_log_is_standard_error(bench):
    bench.script("echo out; echo one >&2; echo two >&2")
    assert "".join(bench.log) == "one\ntwo\n"


def test_limits_and_time_hold(bench):
    bench.limits["output"] = 100
    with pytest.raises(StepError, match="more than 100 bytes") as failed:
        bench.script("yes")
    assert (failed.value.kind, failed.value.in_doubt) == ("limit", True)
    with pytest.raises(StepError, match="did not end") as failed:
        bench.script("sleep 60", timeout_s=0.1)
    assert (failed.value.kind, failed.value.in_doubt) == ("timeout", True)


def test_code_is_any_text(bench):
    code = "# ä 😀\r\nprint('''{{ inputs.x }}''' + '$(x)')"
    assert bench.script(code, "python").output == "{{ inputs.x }}$(x)"


def test_code_may_import_modules_named_like_anything_of_ours(bench):
    code = "import code, script_of_ours_is_not_importable"
    with pytest.raises(StepError, match="No module named 'script_of_ours"):
        bench.script(code, "python")
    assert bench.script("import code; print('ok')", "python").output == "ok"


def test_an_interpreter_that_cannot_be_read(bench):
    for line in ("'open", " "):
        bench.interpreters["bash"] = line
        with pytest.raises(StepError) as failed:
            bench.script("true")
        assert failed.value.kind == "input"


def test_starting_is_fast(bench):
    """Three steps in a process of 200 ms in all leave some 20 ms for each."""
    works = [bench.work(Script("bash", "echo $INPUT_X"), inputs={"x": "1"}) for _ in range(20)]
    ports = bench.ports()

    async def all_of_them() -> float:
        await perform_script(works[0], ports)
        began = time.perf_counter()
        for work in works[1:]:
            await perform_script(work, ports)
        return (time.perf_counter() - began) / (len(works) - 1)

    assert asyncio.run(all_of_them()) < 0.03


def test_running_a_script_imports_little():
    import subprocess

    code = (
        "import aiworkflow.steps.script, sys, json;"
        "print(json.dumps([m for m in ('httpx2', 'jsonschema', 'jinja2') if m in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
