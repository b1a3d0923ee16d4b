"""`run`: inputs, what stands on which stream, exit codes, records, and being interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import frontmatter
import pytest

from tests.support import Project, script

INPUTS = (
    "inputs:\n"
    "  count: {type: integer, minimum: 1}\n"
    "  who: string\n"
    "  tags: {type: [string], default: []}\n"
    "  level: {type: low | high, default: low}\n"
    "outputs:\n"
    '  said: "{{ steps.say.output }}"\n'
    '  tags: "{{ inputs.tags }}"\n'
)
SAY = script("say", 'echo "$INPUT_WHO $INPUT_COUNT $INPUT_LEVEL $INPUT_TAGS"')


def test_inputs_come_one_by_one(project: Project) -> None:
    project.workflow(SAY, head=INPUTS)
    words = ("-i", "count=3", "--input", "who=a=b c", "-i", 'tags=["x"]', "-i", "level=high")
    done = project.run("run", "flow", *words, "--json")
    assert done.code == 0
    assert done.json["outputs"] == {"said": 'a=b c 3 high ["x"]', "tags": ["x"]}


@pytest.mark.parametrize("form", ["json", "yaml", "stdin"])
def test_inputs_come_from_a_file_or_standard_input(project: Project, form: str) -> None:
    project.workflow(SAY, head=INPUTS)
    given = {"count": 4, "who": "me", "tags": ["a", "b"]}
    project.write("in.json", json.dumps(given))
    project.write("in.yaml", "count: 4\nwho: me\ntags: [a, b]\n")
    file = {"json": "in.json", "yaml": "in.yaml", "stdin": "-"}[form]
    done = project.run("run", "flow", "--inputs", file, "--json", stdin=json.dumps(given))
    assert done.json["outputs"] == {"said": 'me 4 low ["a", "b"]', "tags": ["a", "b"]}


def test_one_input_wins_over_the_file(project: Project) -> None:
    project.workflow(SAY, head=INPUTS)
    project.write("in.yaml", "count: 4\nwho: me\n")
    done = project.run("run", "flow", "--inputs", "in.yaml", "-i", "who=you", "--json")
    assert done.json["outputs"]["said"] == "you 4 low []"


def test_all_wrong_inputs_are_said_at_once_and_nothing_starts(project: Project) -> None:
    project.workflow(SAY, head=INPUTS)
    words = ("-i", "count=many", "-i", "levl=low", "-i", "tags=x")
    done = project.run("run", "flow", *words)
    assert done.code == 2
    assert done.out == ""
    for words_said in ("4 inputs", "`count`", "`levl` is not an input", "`level`", "`tags`"):
        assert words_said in done.err
    assert "`who` is required" in done.err
    shown = project.run("run", "flow", "-i", "count=0", "-i", "who=x", "--json")
    assert shown.code == 2
    assert shown.json["error"]["code"] == "invalid-inputs"
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_bytes_that_are_no_text_are_no_input(project: Project) -> None:
    project.workflow(SAY, head=INPUTS)
    refused = project.run("run", "flow", "-i", "count=3", "-i", "who=a\udcff")  # the byte 0xff
    assert refused.code == 2
    assert "`who=a?` on the command line is not UTF-8 text" in refused.err
    assert not project.run("runs", "list", "--json").json["runs"]


def test_half_a_character_out_of_json_fails_its_step_and_not_the_report(project: Project) -> None:
    head = 'outputs: {v: "{{ state.v }}"}\nstate: {v: {reduce: last}}\n'
    half = script("say", r"""printf '%s' '["\ud800"]'""", "output: text\n")
    kept = 'id: keep\nset: {v: "{{ steps.say.output | from_json }}"}\n'
    project.workflow(half + f"## Keep\n\n```yaml step\n{kept}```\n", head=head)
    done = project.run("run", "flow", "--json")
    assert done.code == 1
    assert done.json["error"]["step"] == "keep"
    assert "half a surrogate pair" in done.json["error"]["message"]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("what=1e999", "`what`: it holds inf, which is no number of JSON"),
        ('what="\\ud800"', "`what`: it holds half a surrogate pair, which is no text"),
        ("what=" + "[" * 500 + "]" * 500, "`what`: it is nested more than 100 levels deep"),
        ("who=\udcff", "`who=?` on the command line is not UTF-8 text"),
    ],
)
def test_an_input_that_no_journal_can_hold_is_refused(
    project: Project, word: str, says: str
) -> None:
    project.workflow(
        SAY, head=INPUTS.replace("inputs:\n", "inputs:\n  what: {type: any, default: 1}\n")
    )
    done = project.run("run", "flow", "-i", "count=1", "-i", "who=x", "-i", word)
    assert done.code == 2
    assert says in done.err
    assert project.run("runs", "list", "--json").json["runs"] == []


@pytest.mark.parametrize(
    ("content", "says"),
    [("[1]", "map"), ("{a: 1, a: 2}", "a"), ("{", "in.yaml"), (None, "No such file")],
)
def test_an_inputs_file_that_is_none_is_refused(
    project: Project, content: str | None, says: str
) -> None:
    project.workflow(SAY, head=INPUTS)
    if content is not None:
        project.write("in.yaml", content)
    done = project.run("run", "flow", "--inputs", "in.yaml")
    assert done.code == 2
    assert says in done.err


def test_a_word_without_equals_is_wrong_usage(project: Project) -> None:
    project.workflow(SAY, head=INPUTS)
    done = project.run("run", "flow", "-i", "count", "-i", "=x")
    assert done.code == 2
    assert "--input takes NAME=VALUE, not `count`, `=x`" in done.err


def test_an_input_is_not_given_two_values(project: Project) -> None:
    project.workflow(SAY, head=INPUTS)
    done = project.run("run", "flow", "-i", "who=me", "-i", "count=1", "-i", "count=2")
    assert (done.code, "--input gives `count` twice: `1` and `2`" in done.err) == (2, True)
    assert not project.run("runs", "list", "--json").json["runs"]
    assert project.run("run", "flow", "-i", "who=me", "-i", "count=1", "-i", "count=1").code == 0


def test_the_json_object_is_that_of_the_contract_and_alone(project: Project) -> None:
    project.workflow(SAY + script("skip", "true", "if: false\n"), head=INPUTS)
    done = project.run("run", "flow", "-i", "count=1", "-i", "who=x", "--json")
    assert set(done.json) >= {
        "run",
        "status",
        "outputs",
        "steps",
        "cost_usd",
        "seconds",
        "waiting_for",
    }
    step = done.json["steps"]["say"]
    keys = {"status", "output", "error", "attempts", "agent", "cost_usd", "seconds"}
    assert set(step) == keys
    assert (step["status"], step["attempts"], step["error"]) == ("succeeded", 1, None)
    assert 0 < step["seconds"] <= done.json["seconds"] < 30
    assert done.json["steps"]["skip"]["status"] == "skipped"
    assert done.json["waiting_for"] == []


def test_outputs_go_to_standard_output_and_progress_to_standard_error(project: Project) -> None:
    project.workflow(SAY, head=INPUTS)
    words = ("run", "flow", "-i", "count=1", "-i", "who=x")
    done = project.run(*words)
    assert done.out == "said: x 1 low []\ntags: []\n"
    assert "✓ say" in done.err
    assert "✓ succeeded  run " in done.err
    quiet = project.run(*words, "-q")
    assert (quiet.out, quiet.err) == (done.out, "")
    assert "▶ say" in project.run(*words, "-v").err


def test_a_failed_step_ends_with_one_and_shows_its_log(project: Project) -> None:
    body = script("bad", "echo why >&2; exit 7") + script("never", "touch never")
    project.workflow(body)
    done = project.run("run", "flow")
    assert done.code == 1
    assert "✗ bad" in done.err
    assert "why" in done.err
    assert "exit code 7" in done.err
    assert "aiworkflow runs resume" in done.err
    assert not (project.root / "never").exists()
    shown = project.run("run", "flow", "--json").json
    assert shown["status"] == "failed"
    assert shown["steps"]["bad"]["error"]["exit_code"] == 7
    assert shown["error"]["step"] == "bad"


def test_an_invalid_bundle_ends_with_two_before_anything_starts(project: Project) -> None:
    project.workflow(script("a", "touch ran") + "## B\n\n```yaml step\nuses: nothing.here\n```\n")
    done = project.run("run", "flow")
    assert done.code == 2
    assert "error[AW" in done.err
    assert "nothing was started" in done.err
    shown = project.run("run", "flow", "--json")
    assert shown.json["error"]["code"] == "invalid-bundle"
    assert shown.json["diagnostics"][0]["code"].startswith("AW")
    assert not (project.root / "ran").exists()


@pytest.mark.parametrize(
    "settings",
    ["runs_on: gpu\n", "sandbox: container\n"],
)
def test_settings_that_are_not_built_yet_are_refused_before_anything_starts(
    project: Project, settings: str
) -> None:
    head = 'allow: {write: [file.write], paths: ["x"]}\n'
    project.workflow(script("a", "touch ran", settings), head=head)
    assert project.run("bundle", "validate", "flow").code == 0
    done = project.run("run", "flow")
    assert done.code == 2
    assert "AW901" in done.err
    assert settings.partition(":")[0] in done.err
    assert not (project.root / "ran").exists()
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_a_dry_run_says_it_all_and_starts_nothing(project: Project) -> None:
    body = SAY + script("with_env", "true", 'env: {T: "{{ secrets.TOKEN }}"}\n')
    project.workflow(body, head=INPUTS + "allow: {secrets: [TOKEN]}\n")
    words = ("run", "flow", "--dry-run", "-i", "count=1", "-i", "who=x")
    done = project.run(*words, TOKEN="tok-12345678")
    assert done.code == 0
    for said in ("workflow.md:", "TOKEN  set", "who = x"):
        assert said in done.out
    assert "nothing was started" in done.out
    assert "tok-12345678" not in done.out
    about = project.run(*words, "--json").json
    assert about["secrets"] == {"TOKEN": False}
    assert about["values"]["count"] == 1
    assert [block["step"] for block in about["live_blocks"]] == ["say", "with_env"]
    assert project.run("run", "flow", "--dry-run").code == 2
    assert not (project.root / ".aiworkflow").exists()


def test_a_lone_file_runs(project: Project) -> None:
    project.write("hi.md", "---\nname: hi\ndescription: x\n---\n\n# Hi\n\n" + script("a", "echo 1"))
    assert project.run("run", "hi.md").code == 0
    assert project.run("bundle", "run", "hi.md", "--json").json["steps"]["a"]["output"] == "1"


def test_settings_of_the_command_line_hold(project: Project) -> None:
    project.workflow(script("a", 'echo "$COLOUR"'), head="env: {COLOUR: red}\n")
    done = project.run("run", "flow", "--set", "env.COLOUR=blue", "--json")
    assert done.json["steps"]["a"]["output"] == "blue"
    wrong = project.run("run", "flow", "--set", "limits.max_paralel=3")
    assert wrong.code == 2
    assert "max_parallel" in wrong.err


# -- records --------------------------------------------------------------------------------------


def test_records_of_the_settings_gets_the_record_of_each_run_that_is_over(
    project: Project,
) -> None:
    project.workflow(script("say", "echo hi"))
    project.workflow("## Call\n\n```yaml step\nworkflow: ../flow\n```\n", name="caller")
    project.write(".aiworkflow/config.yaml", "records: docs/runs\n")
    project.write("bundles/flow/tests/one/case.yaml", "inputs: {}\n")
    project.write("inputs.jsonl", "{}\n")
    runs = [project.run("run", name, "--json").json["run"] for name in ("flow", "caller")]
    submitted = project.run("run", "flow", "--detach", "--json").json["run"]
    assert project.run("worker", "--once").code == 0
    line = json.loads(project.run("run", "flow", "--batch", "inputs.jsonl").out)["run"]
    assert project.run("bundle", "test").code == 0  # these are no runs
    folder = project.root / "docs/runs"
    assert {one.stem for one in folder.iterdir()} == {*runs, submitted, line}
    assert "status: succeeded" in (folder / f"{submitted}.md").read_text()


def test_a_record_that_cannot_be_written_is_said_and_the_run_is_what_it_is(
    project: Project,
) -> None:
    project.workflow(script("say", "echo hi"))
    done = project.run("run", "flow", "--set", "records=bundles/flow/workflow.md")
    assert (done.code, "its record cannot be written to" in done.err) == (0, True), done.err


@pytest.mark.parametrize("given", ["0", "1001"])
def test_a_run_that_could_begin_no_step_is_refused(project: Project, given: str) -> None:
    project.workflow(script("say", "echo hi"))
    refused = project.run("run", "flow", "--set", f"limits.max_parallel={given}")
    assert refused.code == 2
    assert (
        f"`limits.max_parallel` takes a whole number from 1 to 1000, not `{given}`" in refused.err
    )
    refused = project.run("run", "flow", AIWORKFLOW_LIMITS__MAX_PARALLEL=given)
    assert refused.code == 2
    assert "`AIWORKFLOW_LIMITS__MAX_PARALLEL` takes a whole number from 1 to 1000" in refused.err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("limits.output", "a size of more than 0"),
        ("limits.prompt", "a size of more than 0"),
        ("limits.max_items", "a count of more than 0"),
        ("timeout", "a duration of more than 0"),
        ("budget.seconds", "a duration of more than 0"),
    ],
)
def test_bounds_that_nothing_fits_in_are_refused(project: Project, name: str, says: str) -> None:
    project.workflow(script("say", "echo hi"))
    room, _, key = name.rpartition(".")
    project.write(".aiworkflow/config.yaml", f"{room}: {{{key}: 0}}\n" if room else f"{key}: 0\n")
    told = f"`{name}` takes {says}, not "
    refused = project.run("run", "flow")
    assert (refused.code, told in refused.err) == (2, True), refused.err
    project.write(".aiworkflow/config.yaml", "")
    if room != "budget":
        refused = project.run("run", "flow", "--set", f"{name}=0")
        assert (refused.code, told in refused.err) == (2, True), refused.err
        variable = f"AIWORKFLOW_{name.upper().replace('.', '__')}"
        refused = project.run("run", "flow", **{variable: "0"})
        assert (refused.code, f"`{variable}` takes {says}" in refused.err) == (2, True)
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_a_step_needs_time(project: Project) -> None:
    project.workflow("## Say\n\n```yaml step\ntimeout: 0s\n```\n\n```bash\ntrue\n```\n")
    refused = project.run("run", "flow")
    assert refused.code == 2
    assert "`timeout` takes a duration of more than 0, not `0s`" in refused.err


def test_slots_of_a_worker_have_the_bounds_of_the_settings(project: Project) -> None:
    said = "takes a whole number from 1 to 1000, not `0`"
    assert said in project.run("worker", "--once", AIWORKFLOW_WORKERS__SLOTS="0").err
    done = project.run("worker", "--once", AIWORKFLOW_WORKERS__SLOTS="1k")
    assert "has failed" not in done.err


def test_the_command_line_sets_no_variable_that_is_kept(project: Project) -> None:
    project.workflow(script("say", "echo hi"))
    refused = project.run("run", "flow", "--set", "env.LD_PRELOAD=x")
    assert refused.code == 2
    assert "`env.LD_PRELOAD` cannot be set: names that begin with" in refused.err
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_a_record_reads_well_and_carries_its_facts(project: Project) -> None:
    project.workflow(SAY, head=INPUTS)
    project.git("add", ".")
    project.git("commit", "-qm", "x")
    commit = project.git("rev-parse", "HEAD").strip()
    words = ("-i", "count=2", "-i", "who=me", "--record", "./records", "--json")
    run = project.run("run", "flow", *words).json["run"]
    (path,) = (project.root / "records").iterdir()
    assert path.name == f"{run}.md"
    post = frontmatter.load(str(path))
    assert post["run"] == run
    assert post["bundle"] == "bundles/flow"
    assert post["status"] == "succeeded"
    assert post["commit"] == commit
    text = path.read_text()
    for said in ("| ✓ | `say` |", "who", "me 2 low", "# Test: ✓ succeeded"):
        assert said in text, text
    assert project.run("runs", "log", "last").out.strip() != ""
    again = project.run("runs", "log", "last", "--record", "more", "--json").json
    assert Path(again["record"]).name == f"{run}.md"
    assert (project.root / "more" / f"{run}.md").is_file()


def test_secrets_are_masked_wherever_anything_is_written(project: Project) -> None:
    secret = "tok/en+12345678=="
    body = script(
        "leak",
        'echo "out $T"; echo "log $T" >&2; printf %s "$T" | base64 >&2',
        'env: {T: "{{ secrets.TOKEN }}"}\n',
    ) + script("fail", 'echo "bad $T" >&2; exit 1', 'env: {T: "{{ secrets.TOKEN }}"}\n')
    project.workflow(body, head="allow: {secrets: [TOKEN]}\n")
    done = project.run("run", "flow", "--record", "./records", TOKEN=secret)
    assert done.code == 1
    shown = [done.out, done.err]
    for words in (("show", "last"), ("log", "last"), ("log", "last", "leak"), ("list",)):
        seen = project.run("runs", *words, "--json", TOKEN="")
        shown += [seen.out, seen.err]
    assert "out ***" in "".join(shown) or "out [" in "".join(shown)
    kept = [p.read_bytes() for p in (project.root / ".aiworkflow/state").rglob("*") if p.is_file()]
    kept += [p.read_bytes() for p in (project.root / "records").rglob("*") if p.is_file()]
    for form in (secret, "dG9rL2VuKzEyMzQ1Njc4PT0="):
        assert all(form not in text for text in shown)
        assert all(form.encode() not in content for content in kept)


# -- Ctrl-C ---------------------------------------------------------------------------------------


def started(driver: subprocess.Popen[str], step: str) -> None:
    """Wait until a step runs."""
    assert driver.stderr is not None
    assert any(f"▶ {step}" in line for line in driver.stderr)


INTERRUPTIBLE = (
    script("first", "echo first >> done.log; echo 1")
    + script("slow", "echo slow >> done.log; [ -e go ] || sleep 30; echo 2")
    + script("after", "echo after >> done.log")
    + script("clean", "echo clean >> done.log", "finally: true\n")
)


def test_ctrl_c_cancels_runs_finally_and_says_how_to_go_on(project: Project) -> None:
    project.workflow(INTERRUPTIBLE)
    driver = project.start("run", "flow", "-v")
    started(driver, "slow")
    log = project.root / "done.log"
    while "slow" not in log.read_text():  # its program has begun, not its attempt alone
        time.sleep(0.01)
    os.killpg(driver.pid, signal.SIGINT)
    _, err = driver.communicate(timeout=20)
    assert driver.returncode == 130
    assert "cancelled" in err
    assert "aiworkflow runs resume" in err
    assert log.read_text().split() == ["first", "slow", "clean"]
    row = project.run("runs", "list", "--json").json["runs"][0]
    assert row["status"] == "cancelled"

    project.write("go", "")
    done = project.run("runs", "resume", row["run"], "--json")
    assert done.code == 0, done.err
    assert done.json["status"] == "succeeded"
    again = log.read_text().split()[3:]
    assert again == ["slow", "after", "clean"]


def test_a_second_ctrl_c_stops_at_once_and_the_run_can_go_on(project: Project) -> None:
    body = script(
        "stuck", "trap '' TERM INT; [ -e go ] && exit 0; for i in $(seq 300); do sleep 0.1; done"
    )
    project.workflow(body)
    driver = project.start("run", "flow", "-v")
    started(driver, "stuck")
    begun = time.monotonic()
    os.kill(driver.pid, signal.SIGINT)
    time.sleep(0.3)
    os.kill(driver.pid, signal.SIGINT)
    _, err = driver.communicate(timeout=20)
    assert driver.returncode == 130
    assert time.monotonic() - begun < 8
    assert "Traceback" not in err
    project.write("go", "")
    done = project.run("runs", "resume", "last", "--json")
    if done.json["status"] == "cancelled":  # the first Ctrl-C is carried out before all else
        done = project.run("runs", "resume", "last", "--json")
    assert done.json["status"] in {"succeeded", "waiting"}, done.out


def test_a_name_stands_in_the_record(project: Project) -> None:
    project.workflow(script("a", "echo 1"))
    assert project.run("run", "flow", "--name", "nightly").code == 0
    assert "nightly" in project.run("runs", "show", "last").out


def test_hostile_text_that_is_read_as_json_fails_the_step_and_nothing_else(
    project: Project,
) -> None:
    body = "## A\n\n```yaml step\nid: a\nset: {x: '{{ inputs.text | from_json }}'}\n```\n\n"
    project.workflow(body, head="inputs: {text: string}\nstate: {x: {reduce: last}}\n")
    deep = "[" * 700 + "]" * 700
    done = project.run("run", "flow", "--input", f"text={deep}")
    assert done.code == 1
    assert "`from_json` cannot read it: it is nested deeper than 100 levels" in done.err


def test_what_a_run_says_cannot_steer_the_terminal(project: Project) -> None:
    title = "\\033]0;pwned\\007"
    says = script("a", f"printf 'one{title}\\r\\ntwo\\302\\233\\t3'; printf 'said{title}\\n' >&2")
    fails = script("b", f"printf 'bad{title}\\n' >&2; exit 3", "on_error: continue\n")
    project.workflow(says + fails + script("c", f"printf 'end{title}\\n' >&2; exit 4"),
                     head="outputs: {a: '{{ steps.a.output }}'}\n")  # fmt: skip
    done = project.run("run", "flow", "--record", "kept/")
    commands = (("show", "last"), ("log", "last"), ("log", "last", "a"), ("log", "last", "c"))
    ended = [done, *(project.run("runs", *words) for words in commands)]
    record = "".join(path.read_text() for path in project.root.glob("kept/*.md"))
    texts = [one.out + one.err for one in ended] + [record]
    assert "end ]0;pwned" in texts[0] + texts[1]
    assert "said ]0;pwned" in texts[3]
    assert "end ]0;pwned" in record
    for text in texts:
        assert not set(text) & set("\x1b\x07\r\x9b")
    shown = project.run("runs", "show", "last", "--json")
    assert shown.json["steps"]["a"]["output"] == "one\x1b]0;pwned\x07\r\ntwo\x9b\t3"
    assert not set(shown.out) & set("\x1b\x07\r\x9b"), "JSON says it with escapes"
